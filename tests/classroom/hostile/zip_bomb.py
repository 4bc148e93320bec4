"""A few kilobytes that unpack to gigabytes, in a zip in a zip. The budget ends it."""

import io
import zipfile

SAYS = {"refused": ["300 MB large"], "new": ["bob"]}


def export(write, notebook):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ada/98_decay.ipynb", bytes(300 << 20))
    return write({"ada.zip": bomb.getvalue(), "bob/98_decay.ipynb": notebook})

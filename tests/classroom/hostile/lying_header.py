"""A zip whose header names a size of ten bytes. What is read is bounded, whatever the header says."""

import io
import zipfile

SAYS = {"refused": ["damaged in the archive"], "new": ["bob"]}


def export(write, notebook):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ada/98_decay.ipynb", bytes(50 << 20))
    data = packed.getvalue().replace((50 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    return write({"all.zip": data, "bob/98_decay.ipynb": notebook})

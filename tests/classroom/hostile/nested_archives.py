"""Zips in zips in zips. Two deep is what platforms make; the rest is not opened."""

import io
import zipfile

SAYS = {"refused": ["an archive in an archive in an archive"]}


def export(write, notebook):
    data, name = notebook, "ada/98_decay.ipynb"
    for i in range(5):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(name, data)
        data, name = packed.getvalue(), f"ada/{i}.zip"
    return write({name: data})

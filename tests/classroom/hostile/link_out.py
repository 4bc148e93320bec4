"""A folder with links to the grader's files instead of notebooks. They are named and left alone."""

import os

SAYS = {"refused": ["a link, which is not followed"], "new": ["bob"]}


def export(write, notebook):
    folder = write({"bob/98_decay.ipynb": notebook}, folder=True)
    (folder / "ada").mkdir()
    os.symlink("/etc/passwd", folder / "ada" / "98_decay.ipynb")
    os.symlink("/", folder / "root")
    return folder

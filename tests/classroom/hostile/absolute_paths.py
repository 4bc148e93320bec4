"""Entries with absolute paths and drive letters. They are not used."""

SAYS = {"refused": ["/etc/98_decay.ipynb", "Windows"]}


def export(write, notebook):
    return write({"/etc/98_decay.ipynb": notebook, "C:\\Windows\\98_decay.ipynb": notebook})

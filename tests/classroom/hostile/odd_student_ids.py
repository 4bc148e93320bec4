"""Folders called like paths, not like students. They belong to nobody; nothing is written outside."""

SAYS = {"nobody": ["..%2fbob"]}


def export(write, notebook):
    return write({"../ada/98_decay.ipynb": notebook, "..%2fbob/98_decay.ipynb": notebook, "ada\x00/98_decay.ipynb": notebook})

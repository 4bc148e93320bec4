"""Entries of a zip that lead out of the folder. No entry's path is ever used as one."""

SAYS = {"refused": ["tmp/98_decay.ipynb is a path that leads out", "../98_decay.ipynb is a path that leads out"]}


def export(write, notebook):
    return write({"ada/../../../../tmp/98_decay.ipynb": notebook, "../98_decay.ipynb": notebook})

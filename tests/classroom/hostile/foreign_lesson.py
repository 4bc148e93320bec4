"""Another chapter's notebook, renamed. What its first cell says counts."""

SAYS = {"foreign": ["13_mamba"]}


def export(write, notebook):
    return write({"ada/98_decay.ipynb": notebook.replace(b"%exercise 98_decay", b"%exercise 13_mamba")})

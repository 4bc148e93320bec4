"""Names in other scripts, composed and decomposed. The same student is found; odd file names do not matter."""

import unicodedata

SAYS = {"new": ["zoe"]}


def export(write, notebook):
    who = unicodedata.normalize("NFD", "Zoë Łukasz-王")
    return write({f"{who}_123_assignsubmission_file_/98_decay (2) \u202egpj.ipynb": notebook})

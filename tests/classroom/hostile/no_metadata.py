"""Cells without nbgrader's metadata. Nothing can be found in it; 0 points, and the reason."""

POINTS = 0
SAYS = "None of this exercise's cells"


def notebook(nb):
    for cell in nb["cells"]:
        cell["metadata"] = {}
    return nb

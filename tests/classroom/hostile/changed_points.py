"""Points and marks in the metadata changed. The gradebook's count; it is said."""

POINTS = 6
FLAG = "points of the cell task-1-tests was changed"


def notebook(nb):
    for cell in nb["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("points"):
            marks["points"] = 1000
        if marks.get("grade_id") == "task-1-tests-2":
            marks["solution"] = True
            marks["locked"] = False
    return nb

"""The cells of one task and all tests removed. Put back; the task that is gone gets nothing."""

POINTS = 3
SAYS = "not started"
FLAG = "the cell task-1 was removed"


def notebook(nb):
    gone = ("task-1", "task-1-tests", "task-1-tests-2", "task-2-tests")
    nb["cells"] = [c for c in nb["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") not in gone]
    return nb

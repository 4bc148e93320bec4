"""Cells turned into another type. They are turned back."""

LONG = True
POINTS = 6
FLAG = "was of type markdown"


def notebook(nb):
    for cell in nb["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") in ("task-1", "task-2-tests"):
            cell["cell_type"] = "markdown"
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    return nb

"""Test cells edited so that they always pass. The source's are run; it is said."""

POINTS = 4
FLAG = "the locked cell task-1-tests was edited"


def notebook(nb):
    for cell in nb["cells"]:
        if "tests" in cell["metadata"].get("nbgrader", {}).get("grade_id", ""):
            cell["source"] = "pass"
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "task-1":
            cell["source"] = "def decayed(x, a):\n    return x"
    return nb

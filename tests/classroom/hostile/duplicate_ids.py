"""An answer's cell and a test are there twice. The pieces are joined, the others keep their points."""

import copy

POINTS = 6
FLAG = "is there 2 times"


def notebook(nb):
    twice = [copy.deepcopy(c) for c in nb["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") in ("task-1", "task-2-tests")]
    for cell in twice:
        cell["id"] = cell["id"] + "-again"
    nb["cells"] += twice
    return nb

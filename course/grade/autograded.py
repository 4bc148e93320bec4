"""What formgrader shows: the assembled notebook with each test's verdict as its output, readable by nbgrader's own rules.

Outputs are plain text made here; nothing that a submission printed or displayed is in them.
"""

from __future__ import annotations

from typing import Any

import nbformat

from course.assemble import assemble, grade_id
from course.errors import CourseError
from course.grade.tampering import mended


def executed(submitted: Any | None, source: Any, released: Any, found: dict) -> str:
    """The notebook text. ``submitted`` is None where it could not be read: then the untouched release is shown with the reason."""
    try:
        theirs = mended(submitted, released)[0] if submitted is not None else released
    except CourseError:
        theirs = released
    whole = nbformat.from_dict(assemble(theirs, source))
    outcomes = {test["id"]: (task, test) for task in found["tasks"] for test in task["tests"]}
    for cell in whole.cells:
        name = grade_id(cell)
        if cell.cell_type != "code":
            continue
        if name in outcomes:
            cell.outputs = _verdict(*outcomes[name])
        elif cell.metadata.get("nbgrader", {}).get("grade"):
            cell.outputs = [_error(found["problem"] or "not graded")]
    if found["problem"]:
        whole.cells.insert(0, nbformat.v4.new_code_cell("# This submission could not be graded", outputs=[_error(found["problem"])]))
    for i, cell in enumerate(whole.cells):
        cell.id = grade_id(cell) or f"cell-{i}"
    return nbformat.writes(whole) + "\n"


def _verdict(task: dict, test: dict) -> list:
    points, message = test["points"], test["message"]
    if points == test["possible"]:
        return []
    said = f"{message}\nIt behaves like one that {task['diagnosis']}." if task["diagnosis"] else message
    if not points:
        return [_error(said)]
    return [nbformat.v4.new_output("execute_result", data={"text/plain": repr(float(points))}, execution_count=1)]


def _error(message: str) -> Any:
    return nbformat.v4.new_output("error", ename="AssertionError", evalue=message, traceback=[message])

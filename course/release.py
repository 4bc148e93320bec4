"""Makes the exercises that learners fill in from their solutions, with nbgrader's own preprocessors and no gradebook.

The same solution always gives the same bytes: cell ids come from the cells' names, metadata that editors leave behind is dropped.
``DropRubric`` takes out the cells ``written-N-rubric``; ``nbgrader_config.py`` adds it to ``nbgrader generate_assignment`` as well.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from typing import Any

import course
from course import notebooks
from course.assemble import grade_id
from course.errors import CourseError

STUB = "raise NotImplementedError"


def drop_rubric(notebook: Any) -> Any:
    """The notebook without the rubric and what else only the solution shows."""
    notebook.cells = [cell for cell in notebook.cells if not re.fullmatch(r"written-\d+-rubric", grade_id(cell))]
    return notebook


def released(source: Any) -> str:
    """The text of the exercise that a solution notebook gives.

    Raises:
        CourseError: nbgrader is not installed, or it refuses the notebook (the message says why).
    """
    try:
        from nbgrader.preprocessors import CheckCellMetadata, ClearHiddenTests, ClearOutput, ClearSolutions, ComputeChecksums, LockCells
        from traitlets.config import Config
    except ImportError:
        raise CourseError('Releasing exercises needs nbgrader: pip install -e ".[classroom]".') from None
    import nbformat

    notebook = drop_rubric(copy.deepcopy(source))
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    )
    used: set[str] = set()
    for i, cell in enumerate(notebook.cells):
        name = grade_id(cell) or f"cell-{i}"
        cell.id = name if name not in used else f"{name}-{i}"
        used.add(cell.id)
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in ("nbgrader", "course", "tags")})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    config = Config({"ClearSolutions": {"code_stub": {"python": STUB}}})
    try:
        for step in (LockCells, ClearSolutions, ClearOutput, ClearHiddenTests, ComputeChecksums, CheckCellMetadata):
            notebook, _ = step(config=config).preprocess(notebook, {})
    except Exception as problem:
        raise CourseError(f"nbgrader refuses the solution: {' '.join(str(problem).split())[:300]}") from problem
    for cell in notebook.cells:
        cell.source = cell.source.rstrip("\n")
    return nbformat.writes(notebook, sort_keys=True) + "\n"


def release(solution: Path, exercise: Path, *, check: bool = False) -> bool:
    """Write ``exercise`` from ``solution``, or with ``check`` only compare; True if they agreed already."""
    text = released(notebooks.read(solution))
    if exercise.exists() and exercise.read_text(encoding="utf-8") == text:
        return True
    if not check:
        exercise.parent.mkdir(parents=True, exist_ok=True)
        notebooks.write_text(exercise, text)
    return False


def all_solutions(root: Path) -> list[tuple[Path, Path]]:
    """(solution, exercise) of every solution there is."""
    return [(s, root / "exercises" / s.relative_to(root / "solutions")) for s in sorted((root / "solutions").glob("*/*.ipynb"))]


def strays(root: Path) -> list[Path]:
    """Exercises without a solution: left behind by a rename."""
    return [
        e for e in sorted((root / "exercises").glob("*/*.ipynb")) if not (root / "solutions" / e.relative_to(root / "exercises")).exists()
    ]


if __name__ == "__main__":
    wanted = [a for a in sys.argv[1:] if a != "--check"]
    for solution, exercise in all_solutions(course.root()):
        if not wanted or solution.stem in wanted:
            agreed = release(solution, exercise, check="--check" in sys.argv)
            print("same   " if agreed else "differs" if "--check" in sys.argv else "written", exercise)

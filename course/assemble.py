"""What is run, everywhere: the learner's answers between the course's own locked cells.

A notebook is a plain ``dict`` (the JSON of nbformat 4). ``assemble`` is the one function that decides what the panel, ``course check``,
the suite of answers and the classroom execute; ``parse`` turns its result into tasks. Cells are known by their nbgrader ``grade_id``:

``exercise`` ``setup`` ``task-N-given``       locked code, run once, before any answer
``task-N-text``                               heading with points, difficulty, minutes; hints in ``<details>``
``task-N``                                    the learner's
``task-N-tests`` ``task-N-tests-2`` …         locked, with points; the first may open with ``forbidden = {…}``
``written-N``                                 Markdown of the learner, read by a person
"""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from pathlib import Path

from course.errors import CourseError
from course.notebooks import read

HEADING = re.compile(
    r"^##\s+Task\s+\d+\s+·\s+(?P<title>.+?)\s+\((?P<points>[\d.]+) points? · difficulty (?P<difficulty>\d) · (?P<minutes>\d+) min\)\s*$",
    re.M,
)
HINT = re.compile(r"<details>\s*<summary>\s*Hint.*?</summary>(.*?)</details>", re.S | re.I)
KINDS = ("build", "repair", "extend", "experiment", "check")


class ExerciseError(CourseError):
    """A notebook that cannot be used, in one sentence that says what to do."""


@dataclass(frozen=True)
class Test:
    """One locked cell with points."""

    id: str
    source: str
    points: float

    @property
    def hidden(self) -> bool:
        """True where nothing but comments is left: all of it was hidden and stays with the instructor."""
        body = ast.parse(self.source).body
        return not [s for s in body if not _is_forbidden_set(s)]


@dataclass(frozen=True)
class Task:
    number: int
    title: str
    kind: str
    difficulty: int
    minutes: int
    hints: tuple[str, ...]
    source: str
    tests: tuple[Test, ...]
    text: str

    @property
    def points(self) -> float:
        return sum(t.points for t in self.tests)

    @property
    def label(self) -> str:
        """``3 points · difficulty 2 · 10 min``."""
        return f"{self.points:g} point{'s' * (self.points != 1)} · difficulty {self.difficulty} · {self.minutes} min"

    @property
    def forbidden(self) -> frozenset[str]:
        """The names this task may not use: the literal set that is the first statement of its first test cell."""
        body = ast.parse(self.tests[0].source).body if self.tests else []
        return frozenset(ast.literal_eval(body[0].value)) if body and _is_forbidden_set(body[0]) else frozenset()  # type: ignore[attr-defined]

    @property
    def binds(self) -> frozenset[str]:
        """The names that this task's cell is meant to define."""
        return bound(self.source)


@dataclass(frozen=True)
class Exercise:
    locked: tuple[tuple[str, str], ...]  # (grade_id, source) of code that runs before any answer
    tasks: tuple[Task, ...]
    written: dict[str, tuple[str, float]]  # id → (the learner's text, points)

    def task(self, number: int) -> Task:
        for task in self.tasks:
            if task.number == number:
                return task
        raise ExerciseError(f"There is no task {number}; this exercise has tasks {', '.join(str(t.number) for t in self.tasks)}.")


def bound(source: str) -> frozenset[str]:
    """Names that a cell's top-level statements define (none if it is not Python)."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return frozenset()
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(statement.name)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).split(".")[0] for a in statement.names}
        else:
            names |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(names)


def grade_id(cell: dict) -> str:
    """The cell's nbgrader name, or ''."""
    marks = cell["metadata"].get("nbgrader")
    return str(marks.get("grade_id", "")) if isinstance(marks, dict) else ""


def is_answer(cell: dict) -> bool:
    """True for a cell that belongs to the learner."""
    return bool(grade_id(cell)) and bool(cell["metadata"]["nbgrader"].get("solution"))


def assemble(learner: dict | Path, source: dict | Path) -> dict:
    """The source notebook with the learner's text in its solution cells, and nothing else of the learner's.

    Raises:
        ExerciseError: an answer's cell is missing, there twice, or of another type; or either file is not a notebook.
    """
    learner, source = (read(x) if isinstance(x, Path) else x for x in (learner, source))
    whole = copy.deepcopy(source)
    theirs: dict[str, list[dict]] = {}
    for cell in learner["cells"]:
        if name := grade_id(cell):
            theirs.setdefault(name, []).append(cell)
    wanted = [cell for cell in whole["cells"] if is_answer(cell)]
    if wanted and not any(grade_id(cell) in theirs for cell in wanted):
        raise ExerciseError("None of this exercise's cells are in the notebook. Is it another lesson's? `course start` gives a fresh copy.")
    problems = []
    for cell in wanted:
        name = grade_id(cell)
        found = theirs.get(name, [])
        if not found:
            problems.append(f"the cell {name} is missing (copy it from the notebook in exercises/)")
        elif len(found) > 1:
            problems.append(
                f"the cell {name} is there {len(found)} times (splitting or copying a cell does that; join the pieces with Merge Cells)"
            )
        elif found[0]["cell_type"] != cell["cell_type"]:
            problems.append(f"the cell {name} is now of type {found[0]['cell_type']} (make it {cell['cell_type']} again)")
        else:
            cell["source"] = found[0]["source"]
    if problems:
        raise ExerciseError("This notebook cannot be graded yet: " + "; ".join(problems) + ".")
    for cell in whole["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return whole


def parse(notebook: dict) -> Exercise:
    """The tasks of a source, released or assembled notebook."""
    locked: list[tuple[str, str]] = []
    answers: dict[int, str] = {}
    texts: dict[int, dict] = {}
    tests: dict[int, list[Test]] = {}
    written: dict[str, tuple[str, float]] = {}
    for cell in notebook["cells"]:
        name, text = grade_id(cell), cell["source"]
        if not name:
            continue
        marks = cell["metadata"]["nbgrader"]
        number = int(found[1]) if (found := re.match(r"task-(\d+)", name)) else 0
        if is_answer(cell) and cell["cell_type"] == "code":
            answers[number] = text
        elif is_answer(cell):
            written[name] = (text, float(marks.get("points", 0)))
        elif marks.get("grade"):
            tests.setdefault(number, []).append(Test(name, _without_magics(text), float(marks["points"])))
        elif cell["cell_type"] == "code":
            locked.append((name, _without_magics(text)))
        elif name == f"task-{number}-text":
            texts[number] = cell
    if not answers:
        raise ExerciseError("This notebook has no task: no cell is named task-1. Is it an exercise?")
    return Exercise(tuple(locked), tuple(_task(n, answers[n], tests.get(n, []), texts.get(n)) for n in sorted(answers)), written)


def _task(number: int, source: str, tests: list[Test], cell: dict | None) -> Task:
    text = cell["source"] if cell else ""
    head = HEADING.search(text)
    kind = str(cell["metadata"].get("course", {}).get("kind", "")) if cell else ""
    hints = tuple(h.strip() for h in HINT.findall(text))
    title, difficulty, minutes = (head["title"], int(head["difficulty"]), int(head["minutes"])) if head else (f"Task {number}", 0, 0)
    return Task(number, title, kind, difficulty, minutes, hints, source, tuple(tests), text)


def _without_magics(source: str) -> str:
    """A locked cell without its notebook commands (they show the panel and are nothing to grade)."""
    return "\n".join(line for line in source.split("\n") if not line.startswith(("%", "!")))


def _is_forbidden_set(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and len(statement.targets) == 1 and getattr(statement.targets[0], "id", "") == "forbidden"

"""Notebooks as the contract speaks of them: sections, steps, calls, tasks. Used by the tests beside this file and by nothing else."""

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
import pytest

from course import root
from course.syllabus import Lesson, load

SYLLABUS = load()
LESSONS = [lesson for lesson in SYLLABUS.lessons if lesson.notebook.exists()]
PAPERS = [lesson for lesson in LESSONS if lesson.kind != "start"]
SOLVED = [lesson for lesson in SYLLABUS.lessons if lesson.solution.exists()]


@dataclass
class Cell:
    """One cell with its place: `number` counts all cells from 1, `section` and `step` are the headings above it."""

    raw: dict
    number: int
    path: Path
    section: str
    step: str

    @property
    def source(self) -> str:
        return self.raw["source"]

    @property
    def code(self) -> bool:
        return self.raw["cell_type"] == "code"

    @property
    def tags(self) -> list[str]:
        return self.raw["metadata"].get("tags", [])

    @property
    def nbgrader(self) -> dict:
        return self.raw["metadata"].get("nbgrader", {})

    @property
    def grade_id(self) -> str:
        return self.nbgrader.get("grade_id", "")

    @property
    def outputs(self) -> list[dict]:
        return self.raw.get("outputs", []) if self.code else []

    @property
    def tree(self) -> ast.Module:
        """The cell's code; lines that are magics read as blank."""
        lines = ["" if re.match(r"\s*[%!]", line) else line for line in self.source.splitlines()]
        return ast.parse("\n".join(lines))

    def calls(self, name: str) -> list[ast.Call]:
        """Calls of `name(…)` or `anything.name(…)`."""
        if not self.code:
            return []
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Call) and last_name(node.func) == name]

    def printed(self) -> str:
        """All text among the outputs."""
        parts = []
        for output in self.outputs:
            data = output.get("data", {})
            parts += [output.get("text", ""), *(data[mime] for mime in ("text/plain", "text/html", "text/markdown") if mime in data)]
        return "\n".join("".join(part) for part in parts)

    def pictures(self) -> int:
        return sum(any(mime.startswith("image/") for mime in output.get("data", {})) for output in self.outputs)


@dataclass
class Notebook:
    path: Path
    metadata: dict
    cells: list[Cell] = field(default_factory=list)

    @property
    def headings(self) -> list[str]:
        found: list[str] = []
        for cell in self.cells:
            if cell.section and cell.section not in found:
                found.append(cell.section)
        return found

    def inside(self, section: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.section == section]

    def steps(self) -> dict[str, list[Cell]]:
        """The cells of *Build it* under each of its `###` headings."""
        found: dict[str, list[Cell]] = {}
        for cell in self.inside("Build it"):
            if cell.step:
                found.setdefault(cell.step, []).append(cell)
        return found

    def calls(self, name: str, section: str | None = None) -> list[tuple[Cell, ast.Call]]:
        return [(cell, call) for cell in self.cells if section in (None, cell.section) for call in cell.calls(name)]

    def prose(self) -> str:
        return "\n\n".join(cell.source for cell in self.cells if not cell.code)


@cache
def read(path: Path) -> Notebook:
    raw = nbformat.read(path, as_version=4)
    nb = Notebook(path, dict(raw.metadata))
    section = step = ""
    for number, cell in enumerate(raw.cells, 1):
        if cell.cell_type == "markdown":
            for level, title in re.findall(r"^(##|###) +(.+?) *$", re.sub(r"```.*?```", "", cell.source, flags=re.S), flags=re.M):
                section, step = (title, "") if level == "##" else (section, title)
        nb.cells.append(Cell(cell, number, path, section, step))
    return nb


def last_name(node: ast.AST) -> str:
    """`a.b.c` → `c`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def named(path: Path) -> str:
    return path.relative_to(root()).as_posix() if path.is_relative_to(root()) else path.name


def fail(where: Cell | Notebook | Path, rule: str, fix: str) -> None:
    """Say which file, which cell, which rule, and the shortest way out."""
    path = where if isinstance(where, Path) else where.path
    place = f"{named(path)}, cell {where.number}" if isinstance(where, Cell) else named(path)
    pytest.fail(f"{place}: {rule}. Shortest fix: {fix}.", pytrace=False)


def each(lessons: list[Lesson]):
    """Parametrise a rule over lessons; nothing to hold yet means nothing to run."""
    return pytest.mark.parametrize("lesson", lessons, ids=lambda lesson: lesson.slug)

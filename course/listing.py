"""`course list`: the syllabus as a table, with how far the reader is."""

import json
import sqlite3

from rich.console import Console
from rich.table import Table
from rich.text import Text

from course import store
from course.syllabus import Lesson, Syllabus


def show(syllabus: Syllabus) -> None:
    """Print every lesson under its chapter: what it needs, how long it takes, what the reader did in it."""
    tried = _tried()
    view = Table(box=None, pad_edge=False, header_style="dim")
    view.add_column("", justify="right")
    view.add_column("lesson", no_wrap=True)
    view.add_column("needs", style="dim", overflow="fold")
    view.add_column("min", justify="right")
    view.add_column("you", no_wrap=True)
    for chapter in syllabus.chapters:
        view.add_row("", Text(f"\n{chapter.title}", "bold"))
        for lesson in syllabus.of_chapter(chapter.slug):
            needs = ", ".join(_number(other) or other.short for other in map(syllabus.by_id.__getitem__, lesson.requires))
            name = Text(lesson.short, "" if lesson.notebook.exists() else "dim")
            view.add_row(_number(lesson), name, needs, str(lesson.minutes), _standing(lesson, lesson.slug in tried))
    Console(highlight=False).print(view)


def _number(lesson: Lesson) -> str:
    return "" if lesson.number is None else str(lesson.number)


def _standing(lesson: Lesson, tried: bool) -> Text:
    """Best points in the exercise, or that the lesson was opened, or that it does not exist yet."""
    if not lesson.notebook.exists():
        return Text("not yet", "dim")
    if tried and (best := sum(score.best for score in store.scores(lesson.slug).values())):
        possible = _points(lesson)
        return Text(f"{best:g} of {possible:g} points", "green" if best >= possible else "yellow")
    return Text("opened" if tried or lesson.working_copy.exists() or lesson.working_exercise.exists() else "")


def _tried() -> set[str]:
    """Lessons with an entry in the reader's data; none if there are no data or they cannot be read, for a list is no place to fail."""
    try:
        return store.known_lessons() if store.path().exists() else set()
    except (OSError, sqlite3.Error):
        return set()


def _points(lesson: Lesson) -> float:
    """The points of an exercise's tests. Plain JSON, because importing nbformat would take longer than everything else here."""
    try:
        cells = json.loads(lesson.exercise.read_text(encoding="utf-8"))["cells"]
        marks = [cell["metadata"].get("nbgrader", {}) for cell in cells if cell["cell_type"] == "code"]
        return sum(mark["points"] for mark in marks if mark.get("grade"))
    except (OSError, ValueError, KeyError):
        return float("nan")

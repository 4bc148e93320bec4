"""Teaching notes, one page a lesson, and plans of a term: made from what the repository holds, so that they never lag behind it.

A page has the minutes, the explorer's question as a demonstration, the tasks with the mistakes to expect, and the written question with
model answer and rubric: it is for teachers. A plan fills the weeks with lessons, the spine first, prerequisites always before.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from course import answers as known
from course.assemble import ExerciseError, grade_id, parse
from course.errors import CourseError
from course.grade.folder import place
from course.notebooks import read
from course.syllabus import Lesson, Syllabus

WEEK = 8.0  # hours of a student's work in a week
EXERCISE = 60  # minutes, where a lesson's exercise is not written yet
PLANS = (5, 10, 14)


def write(lessons: Syllabus, chosen: list[Lesson], folder: Path, tell: Callable[[str], None] = lambda _: None) -> list[Path]:
    """FOLDER/NN_slug.md for each lesson whose exercise stands, and FOLDER/plans.md."""
    pages = []
    for lesson in chosen:
        place(folder / f"{lesson.slug}.md", page(lesson))
        pages.append(folder / f"{lesson.slug}.md")
        tell(lesson.slug)
    place(folder / "plans.md", plans(lessons))
    return [*pages, folder / "plans.md"]


def page(lesson: Lesson) -> str:
    """The notes of one lesson as Markdown."""
    source = read(lesson.solution)
    exercise = parse(source)
    mistakes: dict[int, list[str]] = {}
    with contextlib.suppress(ExerciseError):
        mistakes = {n: list(wrong) for n, wrong in known.load(lesson.answers).wrong.items()} if lesson.answers.exists() else {}
    minutes = sum(task.minutes for task in exercise.tasks)
    lines = [f"# {lesson.number or ''} {lesson.title}".replace("#  ", "# "), ""]
    lines += [f"{lesson.why}\n"] * bool(lesson.why)
    lines += [f"Lesson {lesson.minutes} min, exercise {minutes} min, difficulty {lesson.difficulty} of 5."]
    lines += [f"Needs {', '.join(name.partition('/')[2] for name in lesson.requires)}."] * bool(lesson.requires)
    if asked := list(demonstrations(lesson)):
        lines += ["", "## To show in class", ""]
        for ask, notice in asked:
            lines += [f"- Ask: {ask}"] + [f"  What to notice: {notice}"] * bool(notice)
    if guesses := list(predictions(lesson)):
        lines += ["", "## A show of hands before the result", "", *(f"- {guess}" for guess in guesses)]
    lines += ["", "## Tasks and the mistakes to expect", ""]
    for task in exercise.tasks:
        lines += [f"- Task {task.number}, {task.title} ({task.kind or 'task'}, {task.label})"]
        lines += [f"  - a function that {sentence}" for sentence in mistakes.get(task.number, [])]
    for cell in source.cells:
        if re.fullmatch(r"written-\d+(-text|-rubric)?", name := grade_id(cell)):
            title = "Written question" if name.endswith("-text") else "Rubric" if name.endswith("-rubric") else "Model answer"
            lines += ["", f"## {title}", "", re.sub(r"^#+ .*\n+", "", cell.source.strip())]
    return "\n".join(lines) + "\n"


def _calls(lesson: Lesson, name: str) -> Iterator[ast.Call]:
    """Calls of a function in the lesson's code cells."""
    try:
        cells = read(lesson.notebook).cells
    except CourseError:
        return
    for cell in cells:
        if cell.cell_type == "code":
            try:
                tree = ast.parse(cell.source)
            except SyntaxError:
                continue
            yield from (n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == name)


def _text(node: Any) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def demonstrations(lesson: Lesson) -> Iterator[tuple[str, str]]:
    """(ask, notice) of the lesson's explorers."""
    for call in _calls(lesson, "explore"):
        words = {keyword.arg: _text(keyword.value) for keyword in call.keywords}
        if words.get("ask"):
            yield words["ask"], words.get("notice", "")


def predictions(lesson: Lesson) -> Iterator[str]:
    for call in _calls(lesson, "predict"):
        if call.args and (text := _text(call.args[0])):
            yield text


@functools.cache
def hours(lesson: Lesson) -> float:
    """A student's hours for the lesson with its exercise."""
    minutes = EXERCISE
    if lesson.solution.exists():
        minutes = sum(task.minutes for task in parse(read(lesson.solution)).tasks)
    return (lesson.minutes + minutes) / 60


def plan(lessons: Syllabus, weeks: int) -> list[list[tuple[Lesson, float]]]:
    """For each week its lessons with their hours: the spine first, then the easier ones, as long as all of it fits."""
    cost = {lesson.id: hours(lesson) for lesson in lessons.lessons}
    chosen: set[str] = set()
    calendar: list[list[Lesson]] = []
    for lesson in sorted(lessons.lessons, key=lambda each: (not each.core, each.difficulty, each.number or 0)):
        more = chosen | {lesson.id} | lessons.ancestors(lesson)
        if len(packed := _packed(lessons, more, cost)) <= weeks:
            chosen, calendar = more, packed
    return [[(lesson, cost[lesson.id]) for lesson in week] for week in calendar]


def _packed(lessons: Syllabus, chosen: set[str], cost: dict[str, float]) -> list[list[Lesson]]:
    """Weeks of at most WEEK hours in the order of the chapters, no lesson before what it needs."""
    weeks: list[list[Lesson]] = [[]]
    waiting, done = [lesson for lesson in lessons.lessons if lesson.id in chosen], set[str]()
    while waiting:
        lesson = next(each for each in waiting if done.issuperset(each.requires))
        if weeks[-1] and sum(cost[each.id] for each in weeks[-1]) + cost[lesson.id] > WEEK:
            weeks.append([])
        weeks[-1].append(lesson)
        done.add(lesson.id)
        waiting.remove(lesson)
    return weeks


def plans(lessons: Syllabus) -> str:
    """Plans for 5, 10 and 14 weeks as Markdown."""
    lines = ["# Plans", "", f"At most {WEEK:g} hours a week: reading, running and answering a lesson, and its exercise."]
    for weeks in PLANS:
        calendar = plan(lessons, weeks)
        total = sum(price for week in calendar for _, price in week)
        lines += [
            "",
            f"## {weeks} weeks, {total:.0f} hours, {sum(map(len, calendar))} lessons",
            "",
            "| week | lessons | hours |",
            "|---|---|---|",
        ]
        for number, week in enumerate(calendar, 1):
            lines.append(f"| {number} | {', '.join(lesson.slug for lesson, _ in week)} | {sum(price for _, price in week):.1f} |")
    return "\n".join(lines) + "\n"

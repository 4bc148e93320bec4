"""`course review`: five minutes from a finished lesson, after 1, 7 and 30 days.

First a line of a solution is missing, then a known mistake is to be repaired, then a claim's verdict is to be remembered; which task,
which line, which mistake, which claim is drawn anew for each lesson and review. What is missed stays due, a mend in the same notebook.
"""

from __future__ import annotations

import ast
import json
import random
import time
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from course import answers, claims, notebooks, store, study, syllabus
from course.assemble import Task, grade_id, parse
from course.errors import CourseError
from course.syllabus import Lesson
from course.worker import Worker

DAY = 86_400.0
DAYS = (1, 7, 30)
KINDS = ("a missing line", "a mistake to repair", "a verdict to remember")
BLANK = "...  # one line is missing here"
VERDICTS = [verdict for verdict in claims.COLOURS if verdict != "not run"]


def due(lesson: Lesson) -> tuple[int, float] | None:
    """Which review comes next (0, 1, 2) and when it is due; None before the exercise is solved and after the last review."""
    done = len(store.times(lesson.slug, "review passed"))
    if done == len(DAYS) or study.state(lesson)[0] != "done":
        return None
    return done, store.finished(lesson.slug) + DAYS[done] * DAY


def waiting(lessons: syllabus.Syllabus) -> list[tuple[Lesson, int, float]]:
    """Every finished lesson with a review to come, soonest first."""
    known = store.known_lessons()
    found = [(lesson, *turn) for lesson in lessons.lessons if lesson.slug in known and (turn := due(lesson))]
    return sorted(found, key=lambda entry: entry[2])


def blanks(source: str) -> list[str]:
    """The code once for each line worth recalling: that line, a computation inside a function, is taken out."""
    lines, found = source.split("\n"), []
    inside = [node for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)]
    for node in inside:
        if not isinstance(node, (ast.Assign, ast.AugAssign, ast.Return)) or node.lineno != node.end_lineno:
            continue
        if any(isinstance(part, (ast.Call, ast.BinOp, ast.Compare)) for part in ast.walk(node)):
            line = lines[node.lineno - 1]
            indent = line[: len(line) - len(line.lstrip())]
            if line.strip() == ast.get_source_segment(source, node):  # nothing else on it, such as a `for` or a comment
                found.append("\n".join([*lines[: node.lineno - 1], indent + BLANK, *lines[node.lineno :]]))
    return list(dict.fromkeys(found))


def _without_marks(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if "### BEGIN SOLUTION" not in line and "### END SOLUTION" not in line)


def _make(lesson: Lesson, turn: int) -> tuple[Task, str]:
    """A task of the lesson's exercise and its code with something to mend."""
    draw = random.Random(f"{lesson.slug} {turn}")
    tasks = [task for task in parse(notebooks.read(lesson.solution)).tasks if task.kind not in ("check", "experiment")]
    options: list[tuple[Task, str]] = []
    if turn == 1 and lesson.answers.exists():
        known = answers.load(lesson.answers)
        for task in tasks:
            wrong = [answers.text(answer, task.source) for answer in known.wrong.get(task.number, {}).values()]
            options += [(task, text) for text in wrong if "import " not in text]
    options = options or [(task, text) for task in tasks for text in blanks(_without_marks(task.source))]
    if not options:
        raise CourseError(f"The exercise of {lesson.slug} has no line to take out; its lesson is read again: `course lab {lesson.short}`.")
    task, text = draw.choice(options)
    return task, _without_marks(text)


def _notebook(lesson: Lesson, turn: int) -> str:
    """A notebook with the one task: what is given, its text, the code to mend, its visible tests."""
    task, text = _make(lesson, turn)
    word = "One line is missing." if BLANK in text else "There is one mistake in it."
    made = json.loads(lesson.exercise.read_text(encoding="utf-8"))
    wanted = ("setup", f"task-{task.number}-text", f"task-{task.number}-given", f"task-{task.number}")
    made["cells"] = [cell for cell in made["cells"] if (name := grade_id(cell)) in wanted or name.startswith(f"task-{task.number}-tests")]
    for cell in made["cells"]:
        if grade_id(cell) == f"task-{task.number}":
            cell["source"] = f"# {word} Mend it, save, and type `course review {lesson.short}` once more.\n{text}"
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def review(
    lesson: Annotated[str, typer.Argument(metavar="[LESSON]", help="A finished lesson; without it, what is due.", show_default=False)] = "",
) -> None:
    """Show what is due for review; with LESSON, begin its five minutes, or check what you wrote."""
    lessons = syllabus.load()
    if not lesson:
        _list(waiting(lessons))
        return
    found = lessons.find(lesson)
    turn = due(found)
    if turn is None:
        raise CourseError(f"There is nothing to review in {found.slug}: its exercise is not solved yet, or all reviews are passed.")
    if not found.solution.exists():
        raise CourseError("Reviews are made from solutions/, which this copy of the course lacks.")
    stored = claims.of_notebook(notebooks.read(found.notebook)) if turn[0] == 2 and found.notebook.exists() else []
    rows = [row for row in stored if row["verdict"] in VERDICTS]
    passed = _ask(found, rows) if rows else _mend(found, turn[0])
    if passed is None:
        return
    store.note(found.slug, turn[0], "review passed" if passed else "review missed")
    if passed:
        typer.echo(
            "Passed." + (f" The next one comes {DAYS[turn[0] + 1]} days after the exercise." if turn[0] < 2 else " That was the last.")
        )


def _list(entries: list[tuple[Lesson, int, float]]) -> None:
    now = time.time()
    if not entries:
        typer.echo("Nothing to review: a lesson comes back 1, 7 and 30 days after its exercise is solved.")
        return
    table = Table("lesson", "review", "due", box=SIMPLE)
    for lesson, turn, when in entries:
        days = -(-(when - now) // DAY)
        table.add_row(lesson.short, KINDS[turn], "now" if when <= now else f"in {days:.0f} day{'s' * (days > 1)}")
    Console().print(table)
    if entries[0][2] <= now:
        typer.echo(f"Begin with `course review {entries[0][0].short}`.")


def _mend(lesson: Lesson, turn: int) -> bool | None:
    """Make the notebook, or grade it once it has been changed; None when there is nothing to grade yet."""
    place = lesson.root / "work" / "review" / f"{lesson.slug}-{turn + 1}.ipynb"
    if not place.exists() and notebooks.create_text(place, _notebook(lesson, turn)):
        typer.echo(f"{notebooks.shown(place)} is ready: mend the code, save, and type `course review {lesson.short}` again.")
        return None
    number, text = _answer(place)
    with Worker(lesson.solution, lesson.answers) as worker:
        result = next(iter(worker.grade({number: text})))
    study.show_result(Console(), result)
    return result["status"] == "passed"


def _answer(place) -> tuple[int, str]:
    """Number and code of the one task in a review's notebook."""
    for cell in notebooks.read(place).cells:
        name = grade_id(cell)
        if name.startswith("task-") and name[5:].isdigit():
            return int(name[5:]), cell.source
    raise CourseError(f"The task's cell is missing from {notebooks.shown(place)}: delete the file, and the review begins anew.")


def _ask(lesson: Lesson, rows: list[dict]) -> bool:
    """Which verdict did a claim get, by its rule?"""
    row = random.Random(f"{lesson.slug} {len(store.times(lesson.slug, 'review missed'))}").choice(rows)
    typer.echo(f"{row['id']}. {row['claim']}\nThe paper: {row['paper']}\nOur rule: {row['rule']}\n")
    guess = typer.prompt(f"What became of it here ({', '.join(VERDICTS)})").strip().lower()
    right = bool(guess) and row["verdict"].startswith(guess)
    typer.echo(f"{'Right' if right else 'No'}: {row['verdict']}. Ours: {row['measured']}")
    return right

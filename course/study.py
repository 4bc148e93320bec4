"""The commands `start`, `check`, `progress` and `release`; `course.cli` registers them."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import course
from course import notebooks, store, syllabus
from course.assemble import ExerciseError, assemble, parse
from course.errors import CourseError
from course.release import all_solutions, strays
from course.release import release as make_release
from course.syllabus import Lesson
from course.worker import Worker

LESSON = Annotated[str, typer.Argument(metavar="LESSON", help="A number, a slug, NN_slug or a path.", show_default=False)]
MARK = {"passed": ("✓", "green"), "partly": ("◐", "yellow"), "failed": ("✗", "red"), "not started": ("○", "dim"), "hidden": ("…", "dim")}


def source_of(lesson: Lesson) -> Path:
    """The notebook whose tests count: the solution where there is one (hidden tests too), else the exercise."""
    for path in (lesson.solution, lesson.exercise):
        if path.exists():
            return path
    raise CourseError(f"{lesson.slug} has no exercise yet; `course list` shows which lessons have one.")


def copy_of(lesson: Lesson) -> tuple[Path, bool]:
    """The learner's copy of the exercise, and whether it was made just now. An existing one is never touched.

    Raises:
        CourseError: the lesson has no exercise.
    """
    if lesson.working_exercise.exists():
        return lesson.working_exercise, False
    if not lesson.exercise.exists():
        raise CourseError(f"{lesson.slug} has no exercise yet; `course list` shows which lessons have one.")
    text = lesson.exercise.read_text(encoding="utf-8").replace("](../../", "](../../../")  # the copy lies one folder deeper
    fresh = notebooks.create_text(lesson.working_exercise, text)
    if fresh:
        _remember(lambda: store.note(lesson.slug, 0, "start"))
    return lesson.working_exercise, fresh


def start(
    lesson: LESSON,
    no_open: Annotated[bool, typer.Option("--no-open", help="Make the copy and print its path, open nothing.")] = False,
) -> None:
    """Copy the exercise of a lesson into work/ (never over an existing copy) and open it."""
    from course import lab

    copy, fresh = copy_of(syllabus.load().find(lesson))
    typer.echo(f"Your copy {notebooks.shown(copy)} {'is new.' if fresh else 'is as you left it.'}")
    if not no_open:
        raise typer.Exit(lab.open_lab(copy, [], browser=True, port=None))


def check(
    lesson: LESSON,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object instead of lines.")] = False,
) -> None:
    """Run the tests on your copy of an exercise: points, the first thing that fails, in words."""
    found = syllabus.load().find(lesson)
    copy, source = found.working_exercise, source_of(found)
    if not copy.exists():
        raise CourseError(f"You have no copy of this exercise yet: `course start {found.short}` makes one.")
    console, stamp = Console(quiet=as_json), copy.stat().st_mtime_ns
    exercise = parse(assemble(copy, source))
    results = []
    with Worker(source, found.answers) as worker, console.status("Getting the exercise ready …"):
        for result in worker.grade({task.number: task.source for task in exercise.tasks}):
            results.append(result)
            show_result(console, result)
    _remember(lambda: store.record(found.slug, results))
    changed = not copy.exists() or copy.stat().st_mtime_ns != stamp
    written = [
        {"id": name, "points": points, "answered": text.strip() not in ("", "YOUR ANSWER HERE")}
        for name, (text, points) in exercise.written.items()
    ]
    points, possible = sum(r["points"] for r in results), sum(r["possible"] for r in results)
    if as_json:
        hidden = source == found.solution
        typer.echo(
            json.dumps(
                {"lesson": found.slug, "points": points, "possible": possible, "hidden_tests": hidden, "changed": changed}
                | {"tasks": results, "written": written},
                ensure_ascii=False,
            )
        )
        return
    for question in written:
        state = "answered; a person reads it" if question["answered"] else "not answered yet"
        console.print(Text(f"  {question['id']} ({question['points']:g} points): {state}", "dim"))
    console.print(Text(f"{points:g} of {possible:g} points", "bold"))
    if source != found.solution:
        console.print(Text("Without solutions/ only the visible tests were run.", "dim"))
    if changed:
        console.print(Text("Your notebook was saved while it was checked: this is the result of the version before.", "yellow"))


def show_result(console: Console, result: dict) -> None:
    """One line a task, and below it what to look at."""
    hidden = not result["possible"] and result["status"] == "passed"
    mark, colour = MARK["hidden" if hidden else result["status"]]
    line = Text.assemble((f"{mark} ", colour), f"Task {result['task']} · {result['title']}  ")
    if hidden:
        line.append("graded by hidden tests, later", "dim")
    elif result["status"] == "not started":
        line.append("not started", "dim")
    else:
        line.append(f"{result['points']:g} of {result['possible']:g}", colour)
    console.print(line, soft_wrap=True)
    if result["status"] in ("failed", "partly"):
        console.print(Padding(Text(result["message"]), (0, 0, 0, 4)))
    if result["diagnosis"]:
        console.print(Padding(Text(f"Your function behaves like one that {result['diagnosis']}.", "italic"), (0, 0, 0, 4)))


def _remember(write) -> None:
    """Write to the store; where that fails, say so and go on: the result matters more."""
    try:
        write()
    except (OSError, sqlite3.Error) as problem:
        typer.echo(f"(This could not be remembered in {store.path()}: {problem}.)", err=True)


def state(lesson: Lesson) -> tuple[str, float, float]:
    """``done``, ``started`` or ``open``, with points and possible points of the exercise."""
    try:
        best = store.scores(lesson.slug)
        tasks = parse(notebooks.read(source_of(lesson))).tasks if best or lesson.working_exercise.exists() else ()
    except CourseError:
        return "open", 0.0, 0.0
    points = sum(score.best for number, score in best.items() if number in {t.number for t in tasks})
    possible = sum(t.points for t in tasks)
    if tasks and points >= possible:
        return "done", points, possible
    return ("started" if tasks or lesson.working_copy.exists() else "open"), points, possible


def progress() -> None:
    """Show the map of the course: done, started, open; and how well your predictions were calibrated."""
    from course.review import waiting  # it needs this module

    lessons = syllabus.load()
    try:
        guesses = store.calibration()
        states = {lesson.id: state(lesson) for lesson in lessons.lessons}
        times = {lesson.id: store.scores(lesson.slug) for lesson in lessons.lessons if states[lesson.id][0] != "open"}
        soon = sum(when <= time.time() for _, _, when in waiting(lessons))
    except (OSError, sqlite3.Error) as problem:
        raise CourseError(f"Your progress in {store.path()} cannot be read: {problem}.") from None
    console = Console()
    look = {"done": ("●", "green"), "started": ("◐", "yellow"), "open": ("○", "dim")}
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "lesson", "", "points", "attempts", "minutes"):
        table.add_column(name, justify="right" if name in ("points", "attempts", "minutes") else "left")
    for chapter in lessons.chapters:
        table.add_row("", Text(f"\n{chapter.title}", "bold"))
        for lesson in lessons.of_chapter(chapter.slug):
            name, points, possible = states[lesson.id]
            mark, colour = look[name]
            tried = times.get(lesson.id, {})
            figures = [f"{points:g} of {possible:g}" if possible else ""]
            figures += (
                [str(sum(s.attempts for s in tried.values())), f"{max(s.minutes for s in tried.values()):.0f}"] if tried else ["", ""]
            )
            table.add_row(Text(mark, colour), lesson.short, Text(name, colour), *figures)
    console.print(table)
    done = sum(name == "done" for name, *_ in states.values())
    console.print(f"\n{done} of {len(states)} done, {sum(name == 'started' for name, *_ in states.values())} started.")
    if soon:
        console.print(f"{soon} lesson{'s' * (soon > 1)} due for review: `course review`.")
    if guesses["ranges"]:
        share = guesses["ranges_hit"] / guesses["ranges"]
        verdict = "too narrow" if share < 0.7 else "too wide" if share > 0.9 else "well chosen"
        few = " (few so far)" if guesses["ranges"] < 10 else f": they are {verdict}"
        console.print(
            f"Predictions: {guesses['ranges_hit']} of your {guesses['ranges']} ranges of 80 % held the result ({share:.0%}){few}."
        )
    if guesses["choices"]:
        console.print(f"Choices: {guesses['choices_hit']} of {guesses['choices']} right.")


def release(
    names: Annotated[list[str] | None, typer.Argument(metavar="[LESSON]...", help="Lessons; all without it.", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail with the files that differ.")] = False,
) -> None:
    """Make exercises/ from solutions/ with nbgrader's preprocessors."""
    root = course.root()
    wanted = [syllabus.load().find(name) for name in names or []]
    pairs = [(lesson.solution, lesson.exercise) for lesson in wanted] if wanted else all_solutions(root)
    differ = []
    for solution, exercise in pairs:
        try:
            agreed = make_release(solution, exercise, check=check)
        except ExerciseError as problem:
            raise CourseError(f"{notebooks.shown(solution)}: {problem}") from None
        if not agreed:
            differ.append(notebooks.shown(exercise))
            if not check:
                typer.echo(f"Wrote {differ[-1]}")
    left = [] if wanted else [notebooks.shown(path) for path in strays(root)]
    if left:
        raise CourseError(f"{', '.join(left)} {'has' if len(left) == 1 else 'have'} no solution: remove it, or restore the solution.")
    if check and differ:
        raise CourseError(f"Differs from what solutions/ gives: {', '.join(differ)}. `course release` renews it.")
    if not differ:
        typer.echo(f"{len(pairs)} {'exercise agrees' if len(pairs) == 1 else 'exercises agree'} with solutions/.")

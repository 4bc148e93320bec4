"""The commands of ``course grade``; each is a few lines here and a file of its own beside this one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from course import syllabus
from course.errors import CourseError, UsageError
from course.notebooks import shown

app = typer.Typer(
    help="For instructors: hand out, collect, grade in sandboxes, report, give back. All but `init` work in the folder that it makes.",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
NAME = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The assignment; not needed while there is one.", show_default=False)]
DIR = Annotated[Path, typer.Option("--dir", help="The class folder.", show_default="the current folder")]
JSON = Annotated[bool, typer.Option("--json", help="Print one object instead of text.")]
HERE = Path(".")


def _say(as_json: bool, found: Any, text: str) -> None:
    typer.echo(json.dumps(found, indent=1, ensure_ascii=False) if as_json else text)


@contextlib.contextmanager
def bar(what: str, total: int | None, quiet: bool) -> Iterator[Any]:
    """A progress bar on standard error, gone when it is done; yields ``step(text)``."""
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda text="": progress.update(task, advance=1, description=f"{what} {text}"[:60])


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, outside the repository.", show_default=False)],
    as_json: JSON = False,
) -> None:
    """Make a class folder: roster, assignments, settings, nbgrader's configuration. An existing one is never touched."""
    from course.grade import assign
    from course.grade.folder import create

    made = create(folder, assign.chapters(syllabus.load()))
    text = f"{shown(made)} is ready. Next: fill in roster.csv and the dates in assignments.csv, then `cd {made}` and `course grade assign`."
    _say(as_json, {"folder": str(made)}, text)


@app.command()
def assign(
    what: Annotated[list[str], typer.Argument(metavar="WHAT…", help="Chapters, lessons, or LESSON:1,2,written.", show_default=False)],
    name: Annotated[str | None, typer.Option("--as", help="What the assignment is called.", show_default="the chapter or lesson")] = None,
    due: Annotated[str, typer.Option(help="2027-02-01 18:00, in UTC or with an offset.", show_default=False)] = "",
    private: Annotated[
        Path | None,
        typer.Option(help="Notebooks with tasks and tests that are not in the public repository.", show_default=False),
    ] = None,
    directory: DIR = HERE,
    as_json: JSON = False,
) -> None:
    """Make a release of any lessons or tasks, prove it (0 points untouched, all points solved), pack it for any LMS.

    Everybody can read the public repository's solutions: tasks that shall count in an exam belong into --private.
    """
    from course.assemble import parse
    from course.grade import assign as work
    from course.grade.drive import Session
    from course.grade.folder import NAME as ALLOWED
    from course.grade.folder import Folder, parse_due
    from course.grade.sandbox import missing
    from course.notebooks import read

    folder, lessons = Folder(directory), syllabus.load()
    if private and not private.is_dir():
        raise CourseError(f"There is no folder {private}.")
    chosen = work.wanted(lessons, what)
    name = name or (what[0].partition(":")[0] if len(what) == 1 else None)
    if not name or not ALLOWED.fullmatch(name):
        raise UsageError("Call the assignment something: --as hw3 (letters, digits, . _ -).")
    when = parse_due(due)
    notebooks = work.sources(chosen, private)
    known = folder.assignments.get(name)
    found: dict[str, Any] = {"name": name, "lessons": {}, "minutes": 0}
    problems = []
    with (
        work.put_back_unless_proved(folder, name),
        Session(inside=not missing()) as session,
        bar("Proving", len(notebooks), as_json) as step,
    ):
        work.write_sources(folder, name, notebooks)
        released = {path.stem: path for path in work.release(folder, name)}
        for slug, source in notebooks.items():
            exercise = parse(source)
            problems += [f"{slug}, {where} {sentence}" for where, sentence in work.prove(source, read(released[slug]), session)]
            lesson = next((w.lesson for w in chosen if w.lesson.slug == slug), None)
            if not problems:
                work.keep_misconceptions(folder, name, slug, work.misconceptions(lesson, exercise, session) if lesson else {})
            found["lessons"][slug] = work.task_words(exercise.tasks)
            found["minutes"] += work.minutes(exercise)
            step(slug)
        if problems:
            raise CourseError("Not handed out: " + "; ".join(problems) + ".")
    folder.schedule(name, " ".join(w.words for w in chosen), when or (known.due if known else None))
    packed = work.pack(folder, name)
    lines = [f"{slug}: {words}" for slug, words in found["lessons"].items()]
    hours = found["minutes"] / 60
    lines += [f"About {hours:.1f} hours of work{', more than a chapter should be' if hours > work.HOURS else ''}."]
    when = folder.assignments[name].due
    lines += [f"Proved. Hand out {shown(packed)} (or the folder beside it){f', due {when:%Y-%m-%d %H:%M} UTC' if when else ''}."]
    lines += [] if private else ["The solutions of public tasks can be read by everybody: --private adds tasks of your own."]
    _say(as_json, found | {"zip": str(packed)}, "\n".join(lines))


@app.command()
def collect(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder, zip, zip of zips: what the LMS exports.", show_default=False)],
    name: NAME = None,
    directory: DIR = HERE,
    as_json: JSON = False,
) -> None:
    """Take in submissions: matched to the roster, every version kept; says who is missing, late, or handed in something else."""
    from course.grade import collect as work
    from course.grade.folder import Folder

    folder = Folder(directory)
    with bar("Collecting", None, as_json) as step:
        said = work.collect(folder, folder.assignment(name), work.require(source), step)
    lines = [f"{len(said.new)} new or changed, {len(said.known)} as before, {len(said.missing)} missing."]
    lines += [f"missing: {', '.join(said.missing)}"] * bool(said.missing)
    lines += [f"late: {student}, {why}" for student, why in said.late.items()]
    lines += [f"incomplete: {student} lacks {', '.join(names)}" for student, names in said.incomplete.items()]
    lines += [f"another file: {text}" for text in said.foreign]
    lines += [f"not used: {text}" for text in said.refused]
    lines += [f"nobody in roster.csv: {text}" for text in said.nobody]
    _say(as_json, work.as_json(said), "\n".join(lines))


@app.command()
def run(
    name: NAME = None,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at a time on this machine.")] = os.cpu_count() or 1,
    scheduler: Annotated[str, typer.Option(help="tcp://HOST:PORT of a Dask cluster that shares this folder.", show_default=False)] = "",
    no_sandbox: Annotated[bool, typer.Option("--no-sandbox", help="Run student code as you, unprotected.")] = False,
    directory: DIR = HERE,
    as_json: JSON = False,
) -> None:
    """Grade every submission that is not graded yet, each in a sandbox of its own; stop and start it as you like."""
    from course.grade import run as work
    from course.grade.folder import Folder

    folder = Folder(directory)
    assignment = folder.assignment(name)
    console = Console(stderr=True, quiet=as_json)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as table:
        row = table.add_task("Grading", total=None)

        def tell(now: work.Progress) -> None:
            text = f"Grading: {now.done} done, {now.running} running, {len(now.failed)} failed"
            table.update(row, total=now.todo, completed=now.done + len(now.failed), description=text)

        done = work.run(folder, assignment, jobs=jobs, scheduler=scheduler, inside=not no_sandbox, tell=tell)
    lines = (
        [f"{assignment.name}: {done.done} graded, {len(done.failed)} failed."]
        if done.todo
        else [f"{assignment.name}: nothing left to grade."]
    )
    lines += [f"failed: {student}: {why}" for student, why in done.failed.items()]
    _say(as_json, {"assignment": assignment.name, "graded": done.done, "failed": done.failed}, "\n".join(lines))
    raise typer.Exit(1 if done.failed else 0)


@app.command()
def report(name: NAME = None, directory: DIR = HERE, as_json: JSON = False) -> None:
    """Write CSV for Moodle, Canvas and plain, statistics of each task with a picture, and list what should be looked at."""
    from rich.table import Table

    from course.grade import report as work
    from course.grade.folder import Folder

    folder = Folder(directory)
    with bar("Reporting", work.STEPS, as_json) as step:
        found = work.report(folder, folder.assignment(name), step)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    table = Table("task", "points", "mean", "solved by", "tells apart", "behaves like one that …", box=None)
    for task in found.tasks:
        said = "; ".join(f"{count} × {sentence}" for sentence, count in task.misconceptions.items())
        apart = "" if task.discrimination is None else f"{task.discrimination:.2f}"
        table.add_row(task.task, f"{task.possible:g}", f"{task.mean:.2f}", f"{task.solved:.0%}", apart, said)
    console.print(table)
    unread = sum(row["to be read"] > 0 for row in found.rows)
    late = [row for row in found.rows if row["late penalty"]]
    console.print(f"{len(found.rows)} students; {unread} with a written answer to be read in formgrader (`nbgrader db` knows them, too).")
    for row in late:
        console.print(f"late: {row['student_id']}: {row['late penalty']:g} points taken for {row['days late']:g} days", markup=False)
    for student, lesson, reason in found.flagged:
        console.print(f"look at: {student}, {lesson}: {reason}", markup=False)
    console.print(f"Wrote {', '.join(found.files)} in reports/.", markup=False)


@app.command()
def feedback(name: NAME = None, directory: DIR = HERE, as_json: JSON = False) -> None:
    """Write one page a student, and the zip that Moodle and Canvas take back."""
    from course.grade import feedback as work
    from course.grade.folder import Folder

    folder = Folder(directory)
    assignment = folder.assignment(name)
    with bar("Writing pages", len(folder.submitted(assignment.name)), as_json) as step:
        students, packed = work.feedback(folder, assignment, step)
    text = f"{len(students)} pages in feedback/; {shown(packed)} goes back to the platform."
    _say(as_json, {"students": students, "zip": packed}, text)


@app.command()
def notes(
    lessons: Annotated[list[str] | None, typer.Argument(metavar="[LESSON…]", help="Lessons; all without it.", show_default=False)] = None,
    to: Annotated[Path, typer.Option(help="Where to write the pages.")] = Path("notes"),
    as_json: JSON = False,
) -> None:
    """Write teaching notes, one page a lesson, and plans for 5, 10 and 14 weeks. They hold model answers: keep them to yourself."""
    from course.grade import notes as work

    every = syllabus.load()
    chosen = [every.find(name) for name in lessons] if lessons else [lesson for lesson in every.lessons if lesson.solution.exists()]
    if without := [lesson.slug for lesson in chosen if not lesson.solution.exists()]:
        raise UsageError(f"{', '.join(without)} has no exercise yet, so there is nothing to note.")
    with bar("Writing notes", len(chosen), as_json) as step:
        pages = work.write(every, chosen, to, step)
    _say(as_json, [str(path) for path in pages], f"{len(pages) - 1} lessons and plans.md in {shown(to)}.")

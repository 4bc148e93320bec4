"""The commands that a reader types. Each one is a few lines here and a file of its own beside this one.

Files are imported inside the commands, so that `course list` and `course lab --help` answer at once.
"""

import errno
import json
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from course import syllabus
from course.errors import CourseError

LEARN, MAKE, TEACH = "For learners", "For those who write lessons", "For instructors"
ORDER = ["lab", "list", "start", "check", "progress", "review", "run", "claims", "release", "new", "grade", "doctor"]
# commands that live in course.study and course.review
STUDY = {"start": LEARN, "check": LEARN, "progress": LEARN, "review": LEARN, "release": MAKE}


class Commands(TyperGroup):
    """Imports the commands of `course.study`, `.review` and `.grade` when they are asked for: they need the notebook libraries."""

    def list_commands(self, ctx: Any) -> list[str]:
        return ORDER

    def get_command(self, ctx: Any, name: str) -> Any:
        if name == "grade":
            from course.grade.commands import app as classroom

            group = typer.main.get_command(classroom)
            group.name, group.rich_help_panel = name, TEACH  # type: ignore[attr-defined]
            return group
        if name not in STUDY:
            return super().get_command(ctx, name)
        from course import review, study

        alone = typer.Typer(add_completion=False)
        alone.command(name, rich_help_panel=STUDY[name])(getattr(review if name == "review" else study, name))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    help="Transformers, Rebuilt: one paper, one notebook.\n\nLESSON is a number (13), a slug (mamba), NN_slug or a path.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(rich_help_panel=LEARN, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    ctx: typer.Context,
    lesson: Annotated[str, typer.Argument(metavar="LESSON", help="Lesson to open; the start page without it.", show_default=False)] = "",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, open nothing.")] = False,
    port: Annotated[int | None, typer.Option(help="Port to listen on; the next free one from 8888 without it.", show_default=False)] = None,
) -> None:
    """Open JupyterLab on your own copy of a lesson, in work/; other options go on to jupyter lab."""
    from course import lab, notebooks

    extra = [lesson, *ctx.args] if lesson.startswith("-") else list(ctx.args)
    name = lab.START if not lesson or lesson.startswith("-") else lesson
    copy, fresh = lab.working_copy(syllabus.load().find(name))
    typer.echo(f"Your copy {notebooks.shown(copy)} {'is new.' if fresh else 'is as you left it.'}")
    raise typer.Exit(lab.open_lab(copy, extra, browser=not no_browser, port=port))


@app.command("list", rich_help_panel=LEARN)
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of a table.")] = False) -> None:
    """Show chapters and lessons, with prerequisites, minutes, and how far you are."""
    lessons = syllabus.load()
    if as_json:
        typer.echo(json.dumps(syllabus.as_json(lessons), indent=1, ensure_ascii=False))
    else:
        from course import listing

        listing.show(lessons)


@app.command(rich_help_panel=MAKE)
def run(
    names: Annotated[list[str], typer.Argument(metavar="LESSON", help="Lessons to run, or ALL.", show_default=False)],
    scale: Annotated[str, typer.Option(help="laptop, or full: larger settings, hours; writes LESSON.full.json.")] = "laptop",
    seeds: Annotated[int | None, typer.Option(min=2, help="Repeat with so many seeds, count verdicts.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Store the outputs in the notebook.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Share the training between so many processes (torchrun).", show_default=False)
    ] = None,
) -> None:
    """Execute lessons from top to bottom and print their claims; a check that fails ends with exit code 1."""
    if scale not in ("laptop", "full"):
        raise typer.BadParameter(f"--scale is laptop or full, not {scale}")
    from course.run import run

    raise typer.Exit(run(syllabus.load(), names, scale=scale, seeds=seeds, keep=keep, processes=processes))


@app.command(rich_help_panel=MAKE)
def claims(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of a table.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Renew the tables in README.md and docs/claims.md.")] = False,
) -> None:
    """Collect every claim from the lessons' stored outputs: the paper's figure, ours, the verdict."""
    from course import claims, notebooks

    lessons = syllabus.load()
    if write:
        for path in claims.write(lessons):
            typer.echo(f"Renewed the table in {notebooks.shown(path)}.")
    elif as_json:
        rows = [row for _, rows in claims.of_lessons(lessons) for row in rows]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        claims.show(lessons)


@app.command(rich_help_panel=MAKE)
def new(
    number: Annotated[int, typer.Argument(min=1, help="The paper's number.", show_default=False)],
    slug: Annotated[str, typer.Argument(help="A short name: letters, digits, underscores.", show_default=False)],
    chapter: Annotated[str, typer.Option(help="Chapter of a lesson that the syllabus does not list yet.", show_default=False)] = "",
) -> None:
    """Write the skeleton of a lesson: the notebook, the solution of its exercise, the answers that test it."""
    from course import new, notebooks

    paths = new.write(syllabus.load(), number, slug, chapter)
    for path in paths:
        typer.echo(f"Wrote {notebooks.shown(path)}")
    if paths[-1].name == "syllabus.toml":
        typer.echo("Now put the paper in place of the placeholders: in its entry there, and in the first cells of lesson and exercise.")


@app.command()
def doctor() -> None:
    """Say what this machine has, what is missing and how to get it."""
    from course import doctor

    raise typer.Exit(doctor.report())


def main(argv: list[str] | None = None) -> None:
    """Run the command line; whatever a reader can cause ends in one sentence and an exit code, never in a traceback."""
    args = sys.argv[1:] if argv is None else argv
    try:
        code = app(args=args or ["--help"], prog_name="course", standalone_mode=False)
    except CourseError as problem:
        _end(str(problem), problem.code)
    except KeyboardInterrupt:
        _end("Stopped by Ctrl-C.", 130)
    except BrokenPipeError:  # `course list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as problem:
        _end(_about(problem), 1)
    except Exception as problem:
        if not hasattr(problem, "format_message"):  # only errors of usage have one
            raise
        known = f" {args[0]}" if args and args[0] in ORDER else ""
        _end(f"{problem.format_message().rstrip('.')} (see `course{known} --help`)", 2)
    if code == 130:
        _end("Stopped by Ctrl-C.", 130)
    sys.exit(code or 0)


def _end(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def _about(problem: OSError) -> str:
    """An error of the file system in a sentence."""
    from course.notebooks import shown

    name = shown(problem.filename) if problem.filename else "a file"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space left on the device while writing {name}; nothing was overwritten: free some space and try again."
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to use {name}; nothing was changed: check its owner and permissions."
    return f"{problem.strerror or problem}: {name}."

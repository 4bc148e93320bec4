"""`course new`: the files of a new lesson, from the texts in `course/skeleton/`.

They are in jupytext's `py:percent` form and run as they stand, on a mechanism that everyone knows, so that an author replaces working parts
one by one. `@NAME@` is filled in from the syllabus. In the solution, a cell's title is its `grade_id`, then its points or its kind.
"""

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from course import notebooks
from course.errors import CourseError, UsageError
from course.syllabus import Lesson, Syllabus

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEXTS = Path(__file__).parent / "skeleton"
ENTRY = """[[lesson]]
number = {number}
slug = "{slug}"
kind = "method"
chapter = "{chapter}"
title = "{title}"
authors = "First, Second"
year = 2025
arxiv = "0000.00000"
requires = ["00_start/01_the_transformer"]
introduces = []
minutes = 60
difficulty = 3
core = false
why = "one line on why it matters today"
"""


def skeleton_of(lesson: Lesson, syllabus: Syllabus) -> dict[Path, str]:
    """The text of each new file: the lesson, the solution, the answers."""
    import nbformat

    links = [(other.title, f"../{other.id}.ipynb") for other in map(syllabus.by_id.__getitem__, lesson.requires)]
    fields = {
        "TITLE": lesson.title,
        "AUTHORS": lesson.authors,
        "YEAR": str(lesson.year),
        "ARXIV": lesson.arxiv or "0000.00000",
        "MINUTES": str(lesson.minutes),
        "NUMBER": str(lesson.number),
        "STEM": lesson.slug,
        "WHY": lesson.why,
        "INTRODUCES": ", ".join(f"`{block}`" for block in lesson.introduces) or "nothing",
        "PREREQUISITES": ", ".join(f"[{title}]({path})" for title, path in links) or "nothing else",
    }
    files = [(TEXTS / f"{name}.py.txt").read_text(encoding="utf-8") for name in ("lesson", "solution", "answers")]
    texts = [re.sub("@([A-Z]+)@", lambda found: fields[found[1]], text) for text in files]
    lesson_nb, solution_nb = map(_notebook, texts[:2])
    _mark(solution_nb)
    return {
        lesson.notebook: nbformat.writes(lesson_nb) + "\n",
        lesson.solution: nbformat.writes(solution_nb) + "\n",
        lesson.answers: texts[2],
    }


def write(syllabus: Syllabus, number: int, slug: str, chapter: str) -> list[Path]:
    """Write the files of lesson `number`; a paper that the syllabus does not list is added to it, in `chapter`.

    Raises:
        UsageError: number, slug and syllabus contradict each other.
        CourseError: one of the files is there already; nothing is written then.
    """
    lesson, entry = _lesson(syllabus, number, slug, chapter)
    texts = skeleton_of(lesson, syllabus)
    if there := [path for path in texts if path.exists()]:
        raise CourseError(f"{notebooks.shown(there[0])} exists already, so nothing was written.")
    listing = syllabus.root / "chapters" / "syllabus.toml"
    with contextlib.ExitStack() as undo:
        for path, text in texts.items():
            if notebooks.create_text(path, text):
                undo.callback(path.unlink, missing_ok=True)
        if entry:
            notebooks.write_text(listing, _with_entry(listing.read_text(encoding="utf-8"), entry, chapter))
        undo.pop_all()
    return [*texts, listing] if entry else list(texts)


def _lesson(syllabus: Syllabus, number: int, slug: str, chapter: str) -> tuple[Lesson, str]:
    """The lesson of the syllabus, or a new one with the entry that it needs there."""
    slug = slug.removeprefix(f"{number:02d}_").replace("-", "_")
    if not re.fullmatch("[a-z][a-z0-9_]*", slug):
        raise UsageError(f'"{slug}" cannot name a notebook: use lower-case letters, digits and underscores.')
    for lesson in syllabus.lessons:
        if lesson.number == number and lesson.short == slug:
            return lesson, ""
        if lesson.number == number:
            raise UsageError(f"Paper {number} is {lesson.short} in the syllabus: type `course new {number} {lesson.short}`.")
        if lesson.short == slug:
            raise UsageError(f"{slug} is {lesson.number or 'a start lesson'} in the syllabus, not {number}.")
    chapters = [entry.slug for entry in syllabus.chapters if entry.number]
    if chapter not in chapters:
        raise UsageError(f"The syllabus does not list paper {number} yet: add --chapter with one of {', '.join(chapters)}.")
    title, stem = slug.replace("_", " ").capitalize(), f"{number:02d}_{slug}"
    new = Lesson(
        root=syllabus.root,
        slug=stem,
        kind="method",
        chapter=chapter,
        title=title,
        minutes=60,
        number=number,
        authors="First, Second",
        year=2025,
        requires=("00_start/01_the_transformer",),
    )
    return new, ENTRY.format(number=number, slug=stem, chapter=chapter, title=title)


def _with_entry(listing: str, entry: str, chapter: str) -> str:
    """The syllabus with a new entry behind the last one of its chapter, or at the end if the chapter has none."""
    blocks = re.split(r"^(?=\[\[lesson\]\])", listing.rstrip("\n") + "\n", flags=re.M)
    here = [i for i, block in enumerate(blocks) if re.search(rf'^chapter = "{chapter}"', block, flags=re.M)]
    i = here[-1] if here else len(blocks) - 1
    body, gap, heading = blocks[i].partition("\n\n")  # what follows a blank line is the heading of the next chapter
    blocks[i] = f"{body.rstrip()}\n\n{entry.rstrip()}\n" + ("\n" + heading if gap else "")
    return "".join(blocks)


def _notebook(text: str) -> "NotebookNode":
    import jupytext
    from nbformat import NotebookNode

    nb = jupytext.reads(text, fmt="py:percent")
    nb.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"}, language_info={"name": "python"}
    )
    return nb


def _mark(nb: "NotebookNode") -> None:
    """Turn the titles of cells into nbgrader's metadata: `task-1-tests 2` is a test cell worth two points."""
    for cell in nb.cells:
        name, _, value = cell.metadata.pop("title", "").partition(" ")
        if not name:
            continue
        answer = bool(re.fullmatch(r"(task|written)-\d+", name))
        marks = {"grade_id": name, "grade": value.isdigit(), "solution": answer, "locked": not answer, "schema_version": 3, "task": False}
        cell.metadata["nbgrader"] = marks | ({"points": int(value)} if value.isdigit() else {})
        if value and not value.isdigit():
            cell.metadata["course"] = {"kind": value}

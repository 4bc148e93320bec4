"""Claims as the lessons stored them: read from outputs, counted, written as tables.

A claim is a row with the keys `KEYS` in an output of type `MIME`; `minilib.claims` writes it.
"""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from course import notebooks
from course.errors import CourseError
from course.syllabus import Lesson, Syllabus

if TYPE_CHECKING:
    from nbformat import NotebookNode

MIME = "application/vnd.course.claims+json"
KEYS = ("lesson", "id", "claim", "paper", "measured", "verdict", "rule", "stable")
COLOURS = {"reproduced": "green", "partly": "yellow", "not at this scale": "cyan", "contradicted": "red", "not run": "dim"}
MARKERS = re.compile(r"(<!-- claims:begin -->\n).*?(<!-- claims:end -->)", re.DOTALL)


def of_notebook(nb: "NotebookNode") -> list[dict]:
    """The claims in the outputs of `nb`, in order; a claim shown twice counts as last shown."""
    rows: dict[str, dict] = {}
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            for row in output.get("data", {}).get(MIME, []):
                rows[row["id"]] = {key: row[key] for key in KEYS}
    return list(rows.values())


def of_lessons(syllabus: Syllabus) -> list[tuple[Lesson, list[dict]]]:
    """Every paper's lesson with stored claims, in the order of the syllabus; a start lesson's table is an example and no paper's."""
    existing = [lesson for lesson in syllabus.lessons if lesson.kind != "start" and lesson.notebook.exists()]
    pairs = [(lesson, of_notebook(notebooks.read(lesson.notebook))) for lesson in existing]
    return [(lesson, rows) for lesson, rows in pairs if rows]


def table(rows: list[dict], title: str = "") -> Table:
    """Claims as a table for the terminal."""
    view = Table(title=title or None, title_justify="left", box=SIMPLE)
    view.add_column("", no_wrap=True)
    for heading in ("claim", "paper", "ours", "verdict"):
        view.add_column(heading, overflow="fold")
    for row in rows:
        verdict = Text(row["verdict"], style=COLOURS.get(row["verdict"], ""))
        if not row["stable"]:
            verdict.append(" (varies with the seed)", style="dim")
        view.add_row(*(Text(str(row[key])) for key in ("id", "claim", "paper", "measured")), verdict)
    return view


def show(syllabus: Syllabus) -> None:
    """Print every stored claim, a table a lesson."""
    lessons = of_lessons(syllabus)
    console = Console(highlight=False)
    for lesson, rows in lessons:
        console.print(table(rows, title=lesson.slug))
    if not lessons:
        console.print("No lesson has stored claims yet: `course run LESSON --keep` stores them.")


def over_seeds(runs: list[list[dict]]) -> tuple[Table, list[str], list[str]]:
    """Verdicts counted over runs with different seeds; a sentence for each claim that varies but calls itself stable, and the reverse."""
    by_claim: dict[str, list[dict]] = {}
    for rows in runs:
        for row in rows:
            by_claim.setdefault(row["id"], []).append(row)
    view = Table("", "claim", "verdicts", "stable", box=SIMPLE)
    varying, settled = [], []
    for name, rows in by_claim.items():
        counts = Counter(row["verdict"] for row in rows).most_common()
        agree = len(counts) == 1 and len(rows) == len(runs)
        declared = all(row["stable"] for row in rows)
        view.add_row(name, Text(rows[0]["claim"]), ", ".join(f"{times} {verdict}" for verdict, times in counts), "yes" if agree else "no")
        if declared and not agree:
            frequency = f"{counts[0][0]} in {counts[0][1]} of {len(runs)} runs"
            varying.append(f'{name} differs between seeds: declare it with stable=False, frequency="{frequency}".')
        elif agree and not declared:
            settled.append(f"{name} declares stable=False, yet all {len(runs)} runs agree: try more seeds, or declare it stable.")
    return view, varying, settled


def write(syllabus: Syllabus) -> list[Path]:
    """Renew what stands between the marks `claims:begin` and `claims:end`: a row a lesson in README.md, a row a claim in docs/claims.md.

    Raises:
        CourseError: a page or its marks are missing; then neither page is written.
    """
    lessons, root = of_lessons(syllabus), syllabus.root
    pages = {root / "README.md": _by_lesson(lessons), root / "docs" / "claims.md": _by_claim(lessons)}
    texts = {}
    for path, body in pages.items():  # all of them are read before the first is written
        try:
            old = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise CourseError(f"There is no {notebooks.shown(path)} to write the claims to; nothing was written.") from None
        texts[path], found = MARKERS.subn(lambda match, body=body: f"{match[1]}{body}{match[2]}", old)  # type: ignore[misc]
        if found != 1:
            raise CourseError(
                f"{notebooks.shown(path)} has {found or 'no'} place{'s' if found > 1 else ''} for the claims: "
                "put the lines <!-- claims:begin --> and <!-- claims:end --> around one; nothing was written."
            )
    for path, text in texts.items():
        notebooks.write_text(path, text)
    return list(texts)


def _by_lesson(lessons: list[tuple[Lesson, list[dict]]]) -> str:
    lines = ["| | paper | claims |", "|---|---|---|"]
    for lesson, rows in lessons:
        counts = Counter(row["verdict"] for row in rows)
        verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in COLOURS if counts[verdict])
        lines.append(f"| {lesson.number} | [{_cell(lesson.title)}](chapters/{lesson.id}.ipynb) | {verdicts} |")
    return "\n".join(lines) + "\n" if lessons else ""


def _by_claim(lessons: list[tuple[Lesson, list[dict]]]) -> str:
    lines = []
    for lesson, rows in lessons:
        lines += [f"### {lesson.number} [{lesson.title}](../chapters/{lesson.id}.ipynb)", ""]
        lines += ["| | claim | the paper | ours | verdict |", "|---|---|---|---|---|"]
        for row in rows:
            verdict = row["verdict"] + ("" if row["stable"] else " (varies with the seed)")
            cells = (row["id"], row["claim"], row["paper"], row["measured"], verdict)
            lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
        lines.append("")
    return "\n".join(lines) + "\n" if lines else ""


def _cell(text: object) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")

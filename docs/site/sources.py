"""What Sphinx reads: the notebooks with their stored outputs, the guides, and the pages that are made from the syllabus and the claims.

The folder mirrors the repository (``chapters/``, ``exercises/``, ``docs/``), so that a link in a notebook means the same page here.
Nothing is executed.
"""

import ast
import html
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nbformat.v4 import new_markdown_cell

import course
from course import claims
from course.syllabus import Lesson, Syllabus

HERE = Path(__file__).parent
MEASURED = "what-the-paper-claims-what-we-measured"  # the anchor of the heading above every claims table
LIVE = """```{note}
This is the explorer's first picture. To move its controls, open the lesson in JupyterLab: `course lab NAME`.
```"""  # NAME is put in


def assemble(syllabus: Syllabus, target: Path) -> None:
    """Write all sources into the empty folder ``target``."""
    lessons = [lesson for lesson in syllabus.lessons if lesson.notebook.exists()]
    board = claims.of_lessons(syllabus)
    for lesson in lessons:
        _write(target / "chapters" / f"{lesson.id}.ipynb", json.dumps(_lesson_page(syllabus, lesson)))
        _write(target / "exercises" / f"{lesson.id}.ipynb", json.dumps(_exercise_page(lesson)))
        for kind, path in (("chapters", lesson.notebook), ("exercises", lesson.exercise)):
            copy = target / "extra" / "notebooks" / kind / f"{lesson.id}.ipynb"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for slug in {lesson.chapter for lesson in lessons}:
        _write(target / "chapters" / slug / "index.md", _chapter_page(syllabus, slug))
    _write(target / "exercises" / "index.md", _exercises_page(lessons))
    for guide in ("glossary", "instructors", "contributing", "data"):
        _write(target / "docs" / f"{guide}.md", _links((syllabus.root / "docs" / f"{guide}.md").read_text(encoding="utf-8"), "docs"))
    _write(target / "docs" / "claims.md", _claims_page(syllabus, board))
    _write(target / "map.md", _map_page(syllabus))
    _write(target / "api" / "index.md", _api(syllabus.root, target / "api"))
    _write(target / "index.md", _home(syllabus, board))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# lessons and exercises


def _lesson_page(syllabus: Syllabus, lesson: Lesson) -> dict:
    nb = json.loads(lesson.notebook.read_text(encoding="utf-8"))
    heading = ""
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = _links(source, f"chapters/{lesson.chapter}")
            heading = next((line.lstrip("# ") for line in source.splitlines() if line.startswith("#")), heading)
            continue
        pictures = [output for output in cell["outputs"] if "image/png" in output.get("data", {})]
        if pictures:
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]  # the drawing's code unfolds on a click
            cell["metadata"]["mystnb"] = {"image": {"alt": _alternative(source) or f"Figure: {heading}"}}
        cell["outputs"] = [_plain(output) for output in cell["outputs"]]
    explorers = [
        i for i, cell in enumerate(nb["cells"]) if cell["cell_type"] == "code" and re.search(r"^explore\(", "".join(cell["source"]), re.M)
    ]
    for i in reversed(explorers):
        nb["cells"].insert(i + 1, _markdown(LIVE.replace("NAME", lesson.short if lesson.number is None else str(lesson.number))))
    nb["cells"].insert(1, _markdown(_doors(syllabus, lesson)))
    return nb


def _exercise_page(lesson: Lesson) -> dict:
    nb = json.loads(lesson.exercise.read_text(encoding="utf-8"))
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _links("".join(cell["source"]), f"exercises/{lesson.chapter}")
    title = next((i for i, cell in enumerate(nb["cells"]) if cell["cell_type"] == "markdown" and cell["source"].startswith("# ")), None)
    if title is None:
        title = 0
        nb["cells"].insert(0, _markdown(f"# {lesson.title}: the exercise"))
    name = lesson.short if lesson.number is None else str(lesson.number)
    doors = (
        f"{{download}}`This notebook <../../extra/notebooks/exercises/{lesson.id}.ipynb>`",
        f"[The lesson](../../chapters/{lesson.id}.ipynb)",
        f"on your machine: `course start {name}`, then `course check {name}`",
    )
    nb["cells"].insert(title + 1, _markdown(" · ".join(doors)))
    return nb


def _doors(syllabus: Syllabus, lesson: Lesson) -> str:
    """The line under a lesson's title: its files, its paper, its place among the others."""
    doors = [
        f"{{download}}`This notebook <../../extra/notebooks/chapters/{lesson.id}.ipynb>`",
        f"[The exercise](../../exercises/{lesson.id}.ipynb)",
    ]
    if lesson.arxiv:
        doors.append(f"[The paper](https://arxiv.org/abs/{lesson.arxiv})")
    later = [other for other in syllabus.lessons if lesson.id in other.requires and other.notebook.exists()]
    lines = [" · ".join(doors)]
    if later:
        lines.append("Builds on this lesson: " + ", ".join(f"[{_label(other)}](../../chapters/{other.id}.ipynb)" for other in later))
    return "\n\n".join(lines)


def _markdown(text: str) -> dict:
    return new_markdown_cell(text)


def _plain(output: dict) -> dict:
    """An output as a page can show it: Rich's and the claims' own types have an HTML form beside them."""
    if "data" in output:
        kept = {mime: value for mime, value in output["data"].items() if not mime.startswith("application/vnd.")}
        return output | {"data": kept}
    return output


def _alternative(source: str) -> str:
    """Words for a picture: the titles that the cell gives its figure, which state what is to be seen."""
    titles = []
    for node in ast.walk(ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!"))))):
        if isinstance(node, ast.keyword) and node.arg == "title":
            text = "".join(part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant) and isinstance(part.value, str))
            titles.append((node.value.lineno, text.strip()))
    return "; ".join(text for _, text in sorted(titles) if text)[:300]


def _links(text: str, folder: str) -> str:
    """Links to files that are no pages here lead to the nearest page, or become plain words."""

    def replaced(match: re.Match) -> str:
        words, address = match[1], match[2]
        if re.match(r"[a-z]+:|#", address):
            return match[0]
        place = os.path.normpath(os.path.join(folder, address.partition("#")[0]))
        up = "../" * len(Path(folder).parts)
        if module := re.fullmatch(r"minilib/(?:(\w+)/)?(\w+)\.py", place):
            return f"[{words}]({up}api/{module[1] or module[2]}.md)"
        if re.match(r"(chapters|exercises)/\w+/\w+\.ipynb$|docs/\w+\.md$", place):
            return match[0] if (course.root() / place).exists() else words
        return words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", replaced, text)


# pages made from the syllabus


def _label(lesson: Lesson) -> str:
    return lesson.title if lesson.number is None else f"{lesson.number} · {lesson.title}"


def _entry(lesson: Lesson) -> str:
    """The label in the sidebar, where angle brackets would be taken for an address."""
    return _label(lesson).replace("<", "‹").replace(">", "›")


def _chapter_page(syllabus: Syllabus, slug: str) -> str:
    chapter = next(chapter for chapter in syllabus.chapters if chapter.slug == slug)
    standing = [lesson for lesson in syllabus.of_chapter(slug) if lesson.notebook.exists()]
    lines = [f"# {chapter.title}", "", "| lesson | why | minutes | difficulty |", "|---|---|---|---|"]
    for lesson in syllabus.of_chapter(slug):
        name = f"[{_label(lesson)}]({lesson.slug}.ipynb)" if lesson in standing else f"{_label(lesson)} (in preparation)"
        lines.append(f"| {name} | {lesson.why} | {lesson.minutes} | {lesson.difficulty} of 5 |")
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *(f"{_entry(lesson)} <{lesson.slug}>" for lesson in standing), "```", ""])


def _exercises_page(lessons: list[Lesson]) -> str:
    lines = [
        "# Exercises",
        "",
        "Each lesson ends in one. They are graded on your machine, task by task, with hints and a sentence where an answer goes wrong.",
        "",
    ]
    lines += [f"- [{_label(lesson)}]({lesson.id}.ipynb)" for lesson in lessons]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *(f"{_entry(lesson)} <{lesson.id}>" for lesson in lessons), "```", ""])


def _map_page(syllabus: Syllabus) -> str:
    return "\n".join(
        [
            "# The course map",
            "",
            "A lesson stands to the right of all it needs; a row is a chapter. Point at a lesson, or move to it with Tab, to see what it "
            "builds on (orange) and what builds on it (blue). The twelve with a thick border are the spine of the course.",
            "",
            "```{raw} html",
            _graph(syllabus),
            "```",
            "",
            "| lesson | needs | minutes | difficulty |",
            "|---|---|---|---|",
            *(_map_row(syllabus, lesson) for lesson in syllabus.lessons),
            "",
        ]
    )


def _map_row(syllabus: Syllabus, lesson: Lesson) -> str:
    name = f"[{_label(lesson)}](chapters/{lesson.id}.ipynb)" if lesson.notebook.exists() else f"{_label(lesson)} (in preparation)"
    needs = ", ".join(_short(syllabus.by_id[other]) for other in lesson.requires)
    return f"| {name} | {needs} | {lesson.minutes} | {lesson.difficulty} |"


def _short(lesson: Lesson) -> str:
    return lesson.short.replace("_", " ") if lesson.number is None else str(lesson.number)


def _graph(syllabus: Syllabus) -> str:
    """The prerequisites as an SVG: column = length of the longest chain of prerequisites, row = chapter."""
    depth: dict[str, int] = {}
    for lesson in syllabus.order():
        depth[lesson.id] = 1 + max((depth[other] for other in lesson.requires), default=-1)
    rows: dict[tuple[str, int], list[Lesson]] = {}
    for lesson in syllabus.lessons:
        rows.setdefault((lesson.chapter, depth[lesson.id]), []).append(lesson)
    left, wide, high, across, down = 190, 44, 24, 66, 30
    place, y, labels = {}, 10, []
    for chapter in syllabus.chapters:
        tall = max(len(here) for (slug, _), here in rows.items() if slug == chapter.slug)
        labels.append(f'<text x="0" y="{y + tall * down / 2 + 1:g}" class="chapter">{html.escape(chapter.title)}</text>')
        for (slug, column), here in rows.items():
            if slug == chapter.slug:
                for i, lesson in enumerate(here):
                    place[lesson.id] = (left + column * across, y + (tall - len(here)) * down / 2 + i * down)
        y += tall * down + 12
    lines, boxes = [], []
    for lesson in syllabus.lessons:
        x2, y2 = place[lesson.id]
        for other in lesson.requires:
            x1, y1 = place[other]
            middle = (x1 + wide + x2) / 2
            curve = f"M{x1 + wide},{y1 + high / 2:g} C{middle:g},{y1 + high / 2:g} {middle:g},{y2 + high / 2:g} {x2},{y2 + high / 2:g}"
            lines.append(f'<path d="{curve}" data-from="{other}" data-to="{lesson.id}"/>')
        text = f"start {int(lesson.slug[:2])}" if lesson.number is None else str(lesson.number)
        kind = " ".join(word for word, holds in (("core", lesson.core), ("planned", not lesson.notebook.exists())) if holds)
        title = f"{_label(lesson)}: {lesson.minutes} minutes, difficulty {lesson.difficulty} of 5"
        box = (
            f'<g class="lesson {kind}" data-id="{lesson.id}"><title>{html.escape(title)}</title>'
            f'<rect x="{x2}" y="{y2:g}" width="{wide}" height="{high}" rx="5"/>'
            f'<text x="{x2 + wide / 2:g}" y="{y2 + high / 2 + 4:g}" text-anchor="middle">{text}</text></g>'
        )
        boxes.append(
            f'<a href="chapters/{lesson.id}.html" aria-label="{html.escape(title)}">{box}</a>' if lesson.notebook.exists() else box
        )
    width = left + (1 + max(depth.values())) * across
    inside = "\n".join([*labels, '<g class="needs">', *lines, "</g>", *boxes])
    return (
        f'<div class="course-map" tabindex="0" role="region" aria-label="Map of lessons and prerequisites"><svg viewBox="0 0 {width} {y}" '
        f'width="{width}" height="{y}" role="group" aria-label="Lessons by chapter">\n{inside}\n</svg></div>'
    )


# the claims board


def _claims_page(syllabus: Syllabus, board: list[tuple[Lesson, list[dict]]]) -> str:
    total = Counter(row["verdict"] for _, rows in board for row in rows)
    number = sum(total.values())
    sums = ", ".join(f"{total[verdict]} {verdict}" for verdict in claims.COLOURS)
    standing = {lesson.chapter for lesson, _ in board}
    chapters = [chapter for chapter in syllabus.chapters if chapter.slug in standing]
    options = "".join(f'<option value="{chapter.slug}">{html.escape(chapter.title)}</option>' for chapter in chapters)
    verdicts = "".join(f"<option>{verdict}</option>" for verdict in claims.COLOURS)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("lesson", "claim", "the paper", "ours", "verdict"))
    body = "\n".join(_claim_row(lesson, row) for lesson, rows in board for row in rows)
    return f"""# The claims board

{number} claims of {len(board)} papers, each measured again by a rule that was fixed before the training: {sums}. The board is made from
the outputs stored in the notebooks and from nothing else. "Not at this scale" means that the effect does not show in a miniature; "not
run", that the data or the scale is not there: neither counts as a success. A verdict that varies with the seed says so.

```{{raw}} html
<form class="board-filter" aria-label="Filter the claims">
<label>Chapter <select id="board-chapter"><option value="">all</option>{options}</select></label>
<label>Verdict <select id="board-verdict"><option value="">all</option>{verdicts}</select></label>
<output id="board-count" aria-live="polite">{number} claims</output>
</form>
<div class="table-wrapper" tabindex="0" role="region" aria-label="All claims">
<table class="board docutils" id="board"><thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div>
```
"""


def _claim_row(lesson: Lesson, row: dict) -> str:
    name = f'<a href="../chapters/{lesson.id}.html#{MEASURED}">{lesson.number} {row["id"]}</a>'
    claim = f"{html.escape(row['claim'])} <details><summary>rule</summary>{html.escape(row['rule'])}</details>"
    verdict = html.escape(row["verdict"]) + ("" if row["stable"] else " <small>(varies with the seed)</small>")
    cells = [name, claim, html.escape(str(row["paper"])), html.escape(str(row["measured"])), verdict]
    columns = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr data-chapter="{lesson.chapter}" data-verdict="{row["verdict"]}">{columns}</tr>'


# the library


def _api(root: Path, folder: Path) -> str:
    """One page a module of minilib, one for a package such as its kernels; returns the page that lists them."""
    names = []
    for name, modules in _modules(root):
        names.append(name)
        parts = [f"# minilib.{name}", ""]
        for module in modules:
            parts += [
                *([f"## {module}", ""] if len(modules) > 1 else []),
                "```{eval-rst}",
                f".. automodule:: {module}",
                "   :members:",
                "```",
                "",
            ]
        _write(folder / f"{name}.md", "\n".join(parts))
    return "\n".join(
        [
            "# The library",
            "",
            "What the lessons share. A lesson that introduces a block builds it by hand first.",
            "",
            "```{toctree}",
            *names,
            "```",
            "",
        ]
    )


def _modules(root: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted((root / "minilib").iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            yield path.stem, [f"minilib.{path.stem}"]
        elif (path / "__init__.py").exists():
            yield path.name, [f"minilib.{path.name}.{file.stem}" for file in sorted(path.glob("*.py")) if not file.stem.startswith("__")]


# the home page


def _home(syllabus: Syllabus, board: list[tuple[Lesson, list[dict]]]) -> str:
    total = Counter(row["verdict"] for _, rows in board for row in rows)
    chapters = "\n".join(
        f"chapters/{chapter.slug}/index"
        for chapter in syllabus.chapters
        if any(lesson.notebook.exists() for lesson in syllabus.of_chapter(chapter.slug))
    )
    values = {
        "papers": str(sum(lesson.kind != "start" for lesson in syllabus.lessons)),
        "standing": str(len(board)),
        "claims": str(sum(total.values())),
        "verdicts": ", ".join(f"{total[verdict]} {verdict}" for verdict in claims.COLOURS),
        "map": _graph(syllabus),
        "chapters": chapters,
    }
    return re.sub(r"<<(\w+)>>", lambda match: values[match[1]], (HERE / "home.md").read_text(encoding="utf-8"))

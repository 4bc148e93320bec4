"""Every command in README and docs is marked `run` or `shown`; the first kind is run here, in the repository, as a reader would type it.

    ```console run        a command after each "$ "; it must succeed, and the lines under it, if any, must be in its output
    ```console shown      needs a network, a browser or minutes; read by people only

Blocks that are not commands (`python`, `text`, `toml` …) are left alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course import root
from course.syllabus import load

PAGES = [path for path in (root() / "README.md", *sorted((root() / "docs").glob("*.md"))) if path.exists()]
BLOCK = re.compile(r"^```(\w*)[ ]*(.*?)\n(.*?)^```$", flags=re.M | re.S)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, mark and text of each fenced block."""
    return [(found[1], found[2].strip(), found[3]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines expected under it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:].split("  #")[0].strip(), []))
        elif line.strip() and line.strip() != "…":
            assert found, f"a console block begins with a command: {line}"
            found[-1][1].append(line.strip())
    return found


RUN = [
    (page, *pair)
    for page in PAGES
    for language, mark, text in blocks(page)
    if (language, mark) == ("console", "run")
    for pair in commands(text)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_marked(page):
    for language, mark, text in blocks(page):
        if language in ("console", "bash", "sh", "shell", ""):
            first = text.strip().splitlines()[0] if text.strip() else ""
            assert language == "console" and mark in ("run", "shown"), (
                f"{page.name}: mark this block ```console run or ```console shown: {first}"
            )


@pytest.mark.parametrize(("page", "command", "expected"), RUN, ids=[f"{page.name}: {command}" for page, command, _ in RUN])
def test_command_does_what_the_page_says(page, command, expected):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # as in an activated environment
    words = ["course" if word == "course" else word for word in shlex.split(command)]
    if words[0] in ("course", "python"):
        words = [sys.executable, *(["-m", "course"] if words[0] == "course" else []), *words[1:]]
    done = subprocess.run(words, cwd=root(), capture_output=True, text=True, timeout=120, env=os.environ | {"PATH": path, "COLUMNS": "140"})
    assert done.returncode == 0, f"{page.name}: `{command}` ends with {done.returncode}\n{done.stdout}\n{done.stderr}"
    for line in expected:
        assert line in done.stdout + done.stderr, f"{page.name}: `{command}` does not print “{line}”\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links {target}, which is not there"


def test_tables_of_claims_are_what_the_notebooks_store(tmp_path):
    for name in ("chapters", "docs"):
        shutil.copytree(root() / name, tmp_path / name)
    shutil.copy(root() / "README.md", tmp_path)
    command = [sys.executable, "-m", "course", "claims", "--write"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COURSE_ROOT": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("README.md", "docs/claims.md"):
        same = (tmp_path / name).read_text(encoding="utf-8") == (root() / name).read_text(encoding="utf-8")
        assert same, f"{name}: the table of claims is old; run `course claims --write`"


def test_readme_lists_the_chapters_with_their_papers():
    rows = re.findall(r"^\| (.+?) \| (\d[\d–, ]*) \|", (root() / "README.md").read_text(encoding="utf-8"), flags=re.M)
    told = {title: [int(n) for run in runs.split(", ") for n in _run(run)] for title, runs in rows}
    for chapter in load().chapters[1:]:
        assert told[chapter.title] == [lesson.number for lesson in load().of_chapter(chapter.slug)], chapter.title


def test_ways_through_the_course_hold_what_their_lessons_need():
    lessons = {lesson.id: lesson for lesson in load().lessons}
    paths = re.findall(r"^\| \*\*.+?\*\* \| start, then ([\d, ]+) \|", (root() / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(paths) >= 4
    for numbers in ({int(n) for n in path.split(",")} for path in paths):
        needed = {lessons[need].number for lesson in lessons.values() if lesson.number in numbers for need in lesson.requires}
        assert needed - {None} <= numbers, f"{sorted(numbers)} lacks {sorted(needed - {None} - numbers)}"


def _run(text: str) -> range:
    """ "7–12" as its numbers; "54" stands for itself."""
    first, _, last = text.partition("–")
    return range(int(first), int(last or first) + 1)

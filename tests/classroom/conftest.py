"""A class with one small exercise of three tasks and a written question; what the exercise is stands in tests/exercises/conftest.py.

``school``   the repository with the exercise and a class folder in which it has been handed out as ``hw1``; made once
``room``     a fresh copy of that folder; ``hand_in`` puts a submission in it
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from course import answers as known
from course.assemble import grade_id, parse
from course.cli import main
from course.grade.folder import Folder, csv_text
from course.grade.sandbox import missing
from course.grading import Runner

HERE = Path(__file__).parent
REQUIRED = os.environ.get("COURSE_REQUIRE", "").split(",")


def _small_course():
    spec = importlib.util.spec_from_file_location("small_course", HERE.parent / "exercises" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALL = _small_course()
SOLUTION, RELEASE = SMALL.texts()


def pytest_configure(config):
    config.addinivalue_line("markers", "no_sandbox: runs where bubblewrap is missing, too")
    config.addinivalue_line("markers", "long: runs with COURSE_LONG=1 only, as in make test-all")


def pytest_collection_modifyitems(items):
    """Sandboxes need bubblewrap; COURSE_LONG=1 adds what is marked ``long``, and more kills."""
    why = missing()
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        if why and "bwrap" not in REQUIRED and "no_sandbox" not in item.keywords:
            item.add_marker(pytest.mark.skip(reason=why))
        if "long" in item.keywords and not os.environ.get("COURSE_LONG"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: COURSE_LONG=1 runs it"))


def course(*words: str, cwd: Path, env: dict | None = None, check: bool = True) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "course", *words]
    done = subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, timeout=1800)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def course_here(*words: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess:
    """The same in this process: no seconds for imports."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert not check or code == 0, out.getvalue() + err.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def school(tmp_path_factory):
    """(repository, class folder with hw1 handed out); both are left as they are by everybody."""
    root = tmp_path_factory.mktemp("school")
    files = {
        "chapters/syllabus.toml": SMALL.SYLLABUS,
        "solutions/98_examples/98_decay.ipynb": SOLUTION,
        "exercises/98_examples/98_decay.ipynb": RELEASE,
        "tests/answers/98_examples/98_decay.py": SMALL.ANSWERS,
    }
    for path, text in files.items():
        (root / "repository" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "repository" / path).write_text(text, encoding="utf-8")
    here = {"COURSE_ROOT": str(root / "repository")}
    course("grade", "init", str(root / "class"), cwd=root, env=here)
    course("grade", "assign", "98", "--as", "hw1", "--due", "2027-01-01 12:00", cwd=root / "class", env=here)
    return root / "repository", root / "class"


@pytest.fixture(autouse=True)
def in_the_school(school, monkeypatch):
    """Only while a test of this folder runs: other tests of the same process live in the real course."""
    monkeypatch.setenv("COURSE_ROOT", str(school[0]))


@dataclass
class Room:
    """A class folder and the shortest ways to use it."""

    path: Path

    @property
    def folder(self) -> Folder:
        return Folder(self.path)

    def course(self, *words: str, **options) -> subprocess.CompletedProcess:
        return course("grade", *words, cwd=self.path, **options)

    def here(self, *words: str, **options) -> subprocess.CompletedProcess:
        return course_here("grade", *words, cwd=self.path, **options)

    def enrol(self, *students: str) -> None:
        rows = [(s, s.capitalize(), "Student", f"{s}@example.org", str(1000 + i), "") for i, s in enumerate(students)]
        columns = ("student_id", "first_name", "last_name", "email", "lms_id", "extensions")
        (self.path / "roster.csv").write_text(csv_text(columns, rows), encoding="utf-8")

    def hand_in(self, student: str, notebook: str | bytes, at: str = "2027-01-01 10:00:00") -> Path:
        home = self.path / "submitted" / student / "hw1"
        home.mkdir(parents=True, exist_ok=True)
        target = home / "98_decay.ipynb"
        target.write_bytes(notebook if isinstance(notebook, bytes) else notebook.encode("utf-8"))
        (home / "timestamp.txt").write_text(f"{at} UTC\n")
        return target

    def result(self, student: str) -> dict:
        return json.loads((self.path / "results" / "hw1" / f"{student}.json").read_text())["notebooks"]["98_decay"]

    def scores(self) -> dict[str, dict]:
        from course.grade import gradebook

        with gradebook.opened(self.folder) as book:
            return gradebook.scores(book, "hw1")


@pytest.fixture
def room(school, tmp_path) -> Room:
    shutil.copytree(school[1], tmp_path / "class")
    return Room(tmp_path / "class")


def answered(answers: dict[int, str], written: str = "") -> str:
    """The released notebook with these answers in it, as a student saves it."""
    nb = nbformat.reads(RELEASE, as_version=4)
    for cell in nb.cells:
        for number, source in answers.items():
            if grade_id(cell) == f"task-{number}":
                cell.source = source
        if grade_id(cell) == "written-1" and written:
            cell.source = written
    return nbformat.writes(nb)


def hidden_code() -> set[str]:
    """The code of the hidden tests in pieces, without the sentences that students are meant to read."""
    found = set()
    for cell in nbformat.reads(SOLUTION, as_version=4).cells:
        for text in re.findall(r"### BEGIN HIDDEN TESTS(.*?)### END HIDDEN TESTS", cell.source, flags=re.S):
            found |= {piece.strip() for line in text.splitlines() for piece in line.split('"')[::2]}
    return {piece for piece in found if len(piece) >= 12}


def read_by_a_student(page: Path) -> str:
    """A feedback page's text; fails if anything of a hidden test, or a traceback, is in it."""
    text = html.unescape(page.read_text(encoding="utf-8"))
    for piece in (*hidden_code(), "Traceback", "<task-"):
        assert piece not in text, f"{page.name} shows “{piece}”"
    return text


def solutions() -> dict[int, str]:
    return {task.number: task.source for task in parse(nbformat.reads(SOLUTION, as_version=4)).tasks}


def a_class_of(count: int, repository: Path) -> dict[str, tuple[str, float]]:
    """student → (notebook, points of its three tasks): solutions, right, wrong and untouched answers in all mixtures."""
    runner = Runner(nbformat.reads(SOLUTION, as_version=4))
    book = known.load(repository / "tests/answers/98_examples/98_decay.py")
    stub = {task.number: task.source for task in parse(nbformat.reads(RELEASE, as_version=4)).tasks}
    choices, points = {}, {}
    for number, solved in solutions().items():
        edits = [*book.wrong[number].values(), *book.right[number].values()]
        choices[number] = [stub[number], solved, *(known.text(edit, solved) for edit in edits)]
        for source in choices[number]:
            points[number, source] = next(iter(runner.grade({number: source}))).points
    found = {}
    for i in range(count):
        picked = {number: sources[(i * step) % len(sources)] for step, (number, sources) in zip((1, 5, 7), choices.items(), strict=True)}
        text = answered(picked, "Perturb the future." if i % 2 else "")
        found[f"student{i:02d}"] = (text, sum(points[number, source] for number, source in picked.items()))
    return found

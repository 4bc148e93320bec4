"""docs/instructors.md: every `course grade` command of it, in its order, in an empty place, with a class of two."""

import importlib.util
import os
import shlex
import subprocess
import sys
import zipfile

import pytest

import course
from conftest import HERE
from course import syllabus

spec = importlib.util.spec_from_file_location("test_docs", HERE.parent / "test_docs.py")
docs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docs)


pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def in_the_school():
    """Not here: this is about the repository itself."""


def test_the_quarter_of_an_hour(tmp_path):
    guide = course.root() / "docs" / "instructors.md"
    place, done = tmp_path / "repository", []
    place.mkdir()
    for language, _, text in docs.blocks(guide):
        if language == "csv":
            (place / "roster.csv").write_text(text, encoding="utf-8")
        for command, expected in docs.commands(text) if language == "console" else ():
            words = shlex.split(command)
            if words[0] == "cd":
                place = (place / words[1]).resolve()
            elif words[:2] == ["course", "grade"]:
                if words[2] == "collect":
                    export(tmp_path)
                run = [sys.executable, "-m", *words]
                out = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=900, env=os.environ | {"COLUMNS": "140"})
                assert out.returncode == 0, f"`{command}`: {out.stdout}{out.stderr}"
                for line in expected:
                    assert line in out.stdout, f"`{command}` does not print “{line}”: {out.stdout}"
                done.append(words[2])
    assert done == ["init", "assign", "collect", "run", "report", "feedback", "notes"]
    report = (place / "reports" / "hw1.csv").read_text()
    assert "ada,Ada Lovelace,5.0" in report and "george,George Boole,0.0" in report
    with zipfile.ZipFile(place / "feedback" / "hw1.zip") as packed:
        assert sorted(packed.namelist()) == [
            f"{name}_assignsubmission_file_/feedback.html" for name in ("Ada Lovelace_1001", "George Boole_1002")
        ]


def export(folder) -> None:
    """What Moodle would export: one student has solved both tasks, one has handed in the release as it was."""
    import nbformat

    from course.assemble import grade_id

    lesson = syllabus.load().find("35")
    released = nbformat.read(folder / "class" / "release" / "hw1" / f"{lesson.slug}.ipynb", as_version=4)
    untouched = nbformat.writes(released)
    solved = {grade_id(cell): cell.source for cell in nbformat.read(lesson.solution, as_version=4).cells}
    for cell in released.cells:
        if grade_id(cell) in ("task-1", "task-2"):
            cell.source = solved[grade_id(cell)]
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for who, text in (("Ada Lovelace_1001", nbformat.writes(released)), ("George Boole_1002", untouched)):
            archive.writestr(f"{who}_assignsubmission_file_/{lesson.slug}.ipynb", text)

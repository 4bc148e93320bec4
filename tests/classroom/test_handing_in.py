"""What is handed out, what comes back from platforms, late work, and what instructors mistype."""

import csv
import json
import os
import sys
import zipfile

import nbformat
import pytest

from conftest import RELEASE, SMALL, SOLUTION, answered, solutions
from course.assemble import grade_id
from course.grade import gradebook
from course.grade.assign import extended, probe_code, sliced
from course.grade.late import penalty

pytestmark = pytest.mark.no_sandbox
SOLVED = answered(solutions())


def ids(notebook) -> list[str]:
    return [grade_id(cell) for cell in notebook.cells]


def test_single_tasks_of_a_lesson():
    whole = nbformat.reads(SOLUTION, as_version=4)
    assert ids(sliced(whole, frozenset({"3", "written"}))) == [
        *("exercise", "setup", "task-3-text", "task-3-given", "task-3", "task-3-tests"),
        *("written-1-text", "written-1", "written-1-rubric"),
    ]
    assert ids(sliced(whole, frozenset())) == ids(whole)
    with pytest.raises(Exception, match="There is no task 9"):
        sliced(whole, frozenset({"9"}))


def test_private_cells_find_their_place():
    whole = nbformat.reads(SOLUTION, as_version=4)
    private = nbformat.v4.new_notebook()
    private.cells = [
        SMALL.cell("task-1-tests-3", "assert False, 'private'", points=1),
        SMALL.cell("task-7", "def f(): pass", solution=True),
    ]
    names = ids(extended(whole, private))
    assert names[names.index("task-1-tests-2") + 1] == "task-1-tests-3" and names[-1] == "task-7"


def test_a_sandbox_gets_probes_without_answers(school):
    code = probe_code(school[0] / "tests/answers/98_examples/98_decay.py")
    assert "PROBE_1" in code and "state" not in code and "softmax" not in code


def test_a_release_holds_no_hidden_test_and_no_solution(room):
    with zipfile.ZipFile(room.path / "release" / "hw1.zip") as archive:
        text = archive.read("hw1/98_decay.ipynb").decode()
    assert "Old entries" not in text and "state = a * state" not in text and "Rubric" not in text and "perturbation" not in text
    assert text.count("NotImplementedError") == RELEASE.count("NotImplementedError")


def private(folder, *cells) -> str:
    folder.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), folder / "98_decay.ipynb")
    return str(folder)


def test_what_does_not_prove_is_not_handed_out(room, tmp_path):
    """A private test that the solution fails, a private task without a test: said, and the assignment that is out stays as it is."""
    before = {path: path.read_bytes() for part in ("source", "release") for path in (room.path / part).rglob("*.ipynb")}
    wrong = private(tmp_path / "wrong", SMALL.cell("task-1-tests-3", "assert decayed(torch.ones(1, 1), 0) == 2", points=1))
    done = room.course("assign", "98", "--as", "hw1", "--private", wrong, check=False)
    assert done.returncode == 1 and "Not handed out: 98_decay, task 1 gives its own solution 3 of 4 points" in done.stderr
    lacking = private(tmp_path / "lacking", SMALL.cell("task-7", "def f(): pass", solution=True))
    done = room.course("assign", "98", "--as", "hw1", "--private", lacking, check=False)
    assert done.returncode == 1 and "task 7 has no test cell with points" in done.stderr
    assert {path: path.read_bytes() for part in ("source", "release") for path in (room.path / part).rglob("*.ipynb")} == before
    with gradebook.opened(room.folder) as book:
        assert book.find_assignment("hw1").max_score == 9


def test_private_tasks_are_handed_out_and_graded(room, tmp_path):
    """Where there is no bubblewrap, too: nothing but the instructor's own code runs before students have handed in."""
    hidden = "### BEGIN HIDDEN TESTS\nassert_close(decayed(torch.ones(1, 2), 2.0)[0, 1], 3.0)\n### END HIDDEN TESTS"
    more = private(tmp_path / "more", SMALL.cell("task-1-tests-3", hidden, points=2))
    tools = {"PATH": os.path.dirname(sys.executable)}
    done = room.course("assign", "98:1", "--as", "exam", "--private", more, env=tools)
    assert "98_decay: 1 task, 5 points" in done.stdout and "can be read by everybody" not in done.stdout
    released = (room.path / "release/exam/98_decay.ipynb").read_text()
    assert "task-1-tests-3" in released and "torch.ones(1, 2)" not in released


def test_an_existing_folder_is_not_touched(room):
    before = (room.path / "settings.toml").stat().st_mtime_ns
    done = room.here("init", str(room.path), check=False)
    assert done.returncode == 1 and "nothing was changed" in done.stderr and (room.path / "settings.toml").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "hw9"], "There is no assignment hw9; handed out: hw1."),
        (["collect", "nowhere.zip"], "There is no file or folder nowhere.zip."),
        (["assign", "98:1,9", "--as", "hw2"], "There is no task 9 in this lesson"),
        (["assign", "98", "--as", "../hw2"], "Call the assignment something"),
        (["assign", "98", "--as", "hw2", "--due", "soon"], "'soon' is no date"),
        (["report"], "Nothing of hw1 is graded yet"),
        (["notes", "99"], 'There is no lesson "99"'),
    ],
)
def test_what_is_mistyped_is_answered_in_a_sentence(room, words, said):
    done = room.here(*words, check=False)
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr


def test_moodle_canvas_and_plain_folders_are_understood(room, tmp_path):
    room.enrol("ada", "bob", "cleo")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("Ada Student_77_assignsubmission_file_/98_decay.ipynb", SOLVED)
        archive.writestr("studentbob_LATE_1001_5555_98_decay-1.ipynb", SOLVED)
        archive.writestr("cleo/notes.txt", "not a notebook")
        archive.writestr("nobody/98_decay.ipynb", SOLVED)
    said = json.loads(room.here("collect", str(tmp_path / "export.zip"), "--json").stdout)
    assert said["new"] == ["ada", "bob"] and said["missing"] == ["cleo"] and said["nobody"] == ["nobody/98_decay.ipynb"]
    again = json.loads(room.here("collect", str(tmp_path / "export.zip"), "--json").stdout)
    assert again["new"] == [] and again["known"] == ["ada", "bob"]


def test_every_version_is_kept_and_the_latest_counts(room, tmp_path):
    room.enrol("ada")
    for day, text in (("02", answered({})), ("03", SOLVED), ("01", answered({1: "x = 1"}))):
        entry = zipfile.ZipInfo("ada/98_decay.ipynb", (2026, 12, int(day), 12, 0, 0))
        with zipfile.ZipFile(tmp_path / f"{day}.zip", "w") as archive:
            archive.writestr(entry, text)
        room.here("collect", str(tmp_path / f"{day}.zip"))
    assert len(list((room.path / "versions/hw1/ada/98_decay").glob("*.ipynb"))) == 3
    assert (room.path / "submitted/ada/hw1/98_decay.ipynb").read_text() == SOLVED
    assert (room.path / "submitted/ada/hw1/timestamp.txt").read_text().startswith("2026-12-03")


def test_late_work_and_extensions(room, tmp_path):
    room.enrol("ada", "bob")
    roster = room.path / "roster.csv"
    roster.write_text(roster.read_text().replace("1001,", "1001,hw1 3d"))
    for student in ("ada", "bob"):
        with zipfile.ZipFile(tmp_path / f"{student}.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo(f"{student}/98_decay.ipynb", (2027, 1, 3, 18, 0, 0)), SOLVED)
        said = json.loads(room.here("collect", str(tmp_path / f"{student}.zip"), "--json").stdout)
    assert list(said["late"]) == ["ada"] and "30 % of the points" in said["late"]["ada"]
    room.course("run", "--jobs", "2", "--no-sandbox")
    room.here("report")
    with open(room.path / "reports" / "hw1.csv") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert (rows["ada"]["points"], rows["ada"]["late penalty"], rows["bob"]["points"]) == ("4.2", "1.8", "6.0")


def test_the_rule_for_late_work():
    rule = {"per_day": 0.1, "at_most": 0.5, "closed_after": 7}
    day = 86400
    found = [penalty(rule, 10.0, seconds) for seconds in (-1, 0, 1, day, day + 1, 6 * day, 8 * day)]
    assert found == [0, 0, 1, 1, 2, 5, 10]


def test_spreadsheets_run_nothing(room):
    room.enrol("ada")
    roster = room.path / "roster.csv"
    roster.write_text(roster.read_text().replace("Ada,Student", "=cmd|'/c calc'!A1,Student"))
    room.hand_in("ada", SOLVED)
    room.course("run", "--no-sandbox")
    room.here("report")
    rows = [row for path in (room.path / "reports").glob("*.csv") for row in csv.reader(path.read_text().splitlines())]
    assert rows and not any(cell.startswith("=") for row in rows for cell in row)


def test_without_bubblewrap_grading_refuses(room):
    room.enrol("ada")
    room.hand_in("ada", SOLVED)
    done = room.course("run", check=False, env={"PATH": "/nowhere"})
    assert done.returncode == 1 and "apt install bubblewrap" in done.stderr and "--no-sandbox" in done.stderr

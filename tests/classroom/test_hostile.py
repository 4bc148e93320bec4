"""Every file in hostile/ is a submission that means harm: its docstring says what it tries and what must happen.

``ANSWER``      the cell of task 1; tasks 2 and 3 are solved (3 of the 6 points that a machine gives)
``notebook``    a function of the solved notebook that returns another, or bytes
``export``      what a platform would export; it is collected, ``SAYS`` is what `course grade collect --json` must say
``POINTS``, ``SAYS``, ``FLAG``   what must come out; ``NBGRADER``: also run by plain `nbgrader autograde`
``LONG``        another way of what a file without it tries: it runs with COURSE_LONG=1

All answers and notebooks are one class, graded in one run beside two honest students.
"""

import json
import os
import runpy
import shutil
import time
import zipfile
from pathlib import Path

import pytest
from test_class import nbgrader

from conftest import Room, answered, read_by_a_student, solutions
from course.grade.sandbox import Limits, command

FILES = sorted((Path(__file__).parent / "hostile").glob("*.py"))
CASES = {path.stem: runpy.run_path(str(path)) for path in FILES}
LONG = [name for name, case in CASES.items() if case.get("LONG")]
GRADED = [name for name, case in CASES.items() if "export" not in case and (name not in LONG or os.environ.get("COURSE_LONG"))]
COLLECTED = [name for name, case in CASES.items() if "export" in case]
SECONDS = 30  # a task's limit here: one of the honest imports TorchDynamo, which takes ten on a busy machine
TRAINS = "torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1).step()\n"  # imports TorchDynamo, which wraps names of torch
HONEST = {"honest": solutions(), "trains": solutions() | {1: TRAINS + solutions()[1]}}


def submission(case: dict) -> bytes:
    if "ANSWER" in case:
        return answered(solutions() | {1: case["ANSWER"]}).encode()
    made = case["notebook"](json.loads(answered(solutions())))
    return made if isinstance(made, bytes) else json.dumps(made).encode()


@pytest.fixture(scope="module")
def graded(school, tmp_path_factory):
    """The room after `run`, `report` and `feedback`, and how long `run` took."""
    path = tmp_path_factory.mktemp("hostile") / "class"
    shutil.copytree(school[1], path)
    room = Room(path)
    settings = path / "settings.toml"
    settings.write_text(settings.read_text().replace("seconds_a_task = 20", f"seconds_a_task = {SECONDS}").replace("3072", "1536"))
    room.enrol(*HONEST, *GRADED)
    for name, answers in HONEST.items():
        room.hand_in(name, answered(answers))
    for name in GRADED:
        room.hand_in(name, submission(CASES[name]))
    start = time.monotonic()
    done = room.course("run", "--jobs", "2", env={"GRADERS_SECRET": "the exam"})
    assert f"{len(HONEST) + len(GRADED)} graded, 0 failed" in done.stdout
    room.here("report")
    room.here("feedback")
    return room, time.monotonic() - start


@pytest.fixture(scope="module")
def table(graded):
    return graded[0].scores()


@pytest.mark.parametrize("name", GRADED + [pytest.param(name, marks=pytest.mark.long) for name in LONG if name not in GRADED])
def test_hostile_submission(name, graded, table):
    case, found = CASES[name], graded[0].result(name)
    points = case["POINTS"] if isinstance(case["POINTS"], tuple) else (case["POINTS"],)
    said = " ".join([found["problem"], *(task["message"] for task in found["tasks"])])
    assert table[name]["points"] in points, f"{table[name]['points']} points: {said} {found['flags']}"
    assert case.get("SAYS", "") in said, said
    assert case.get("FLAG", "") in " ".join(found["flags"]), found["flags"]
    read_by_a_student(graded[0].path / "feedback" / "hw1" / f"{name}.html")
    page = (graded[0].path / "feedback" / "hw1" / f"{name}.html").read_text()
    assert "<script" not in page and "<img" not in page and "javascript:" not in page.replace("&gt; [x](javascript:", "")


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_student_is_not_harmed(name, graded, table):
    assert table[name]["points"] == 6 and not graded[0].result(name)["flags"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can drop to other users")
def test_every_sandbox_has_a_user_of_its_own():
    """The limit of processes holds for a user: two sandboxes of one Dask worker must not share it."""
    users = {word for _ in range(50) for word in command(["true"], Limits()) if word.startswith("--reuid=")}
    assert len(users) == 50 and not any(word.endswith("=0") for word in users)


@pytest.mark.long
def test_hostile_submissions_under_plain_nbgrader(school, tmp_path):
    """The same sandbox under `nbgrader autograde`: it comes to its end, and honest work keeps its points."""
    shutil.copytree(school[1], tmp_path / "class")
    room = Room(tmp_path / "class")
    names = [name for name, case in CASES.items() if case.get("NBGRADER")]
    room.enrol("honest", *names)
    room.hand_in("honest", answered(solutions()))
    for name in names:
        room.hand_in(name, submission(CASES[name]))
    with open(room.path / "nbgrader_config.py", "a") as config:
        config.write("c.Execute.timeout = 15\n")
    nbgrader(room, "autograde", "hw1")
    found = room.scores()
    assert found["honest"]["points"] == 6
    assert all(found[name]["points"] <= 6 for name in names)


@pytest.mark.parametrize("name", COLLECTED)
def test_hostile_export(name, school, tmp_path):
    shutil.copytree(school[1], tmp_path / "class")
    room = Room(tmp_path / "class")
    room.enrol("ada", "bob", "zoe")
    roster = room.path / "roster.csv"
    roster.write_text(roster.read_text().replace("Zoe,Student", "Zoë,Łukasz-王"), encoding="utf-8")

    def write(entries: dict, folder: bool = False) -> Path:
        if folder:
            for path, data in entries.items():
                (tmp_path / "export" / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "export" / path).write_bytes(data)
            return tmp_path / "export"
        with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
            for path, data in entries.items():
                archive.writestr(path, data)
        return tmp_path / "export.zip"

    source = CASES[name]["export"](write, answered(solutions()).encode())
    before = everything(tmp_path, without=room.path)
    said = json.loads(room.here("collect", str(source), "--json").stdout)
    for part, words in CASES[name]["SAYS"].items():
        assert all(any(word in line for line in said[part]) for word in words), said
    assert everything(tmp_path, without=room.path) == before
    assert all("ipynb" not in path.name or path.stem == "98_decay" for path in (room.path / "submitted").rglob("*"))


def everything(folder: Path, without: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if not path.is_relative_to(without)} | set(os.listdir("/tmp")) & {"98_decay.ipynb"}

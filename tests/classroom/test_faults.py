"""Nothing is lost and nothing counted twice, whatever dies: after the next run every submission has the score of an undisturbed one."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_class import cells, cluster

from conftest import HERE, Room, a_class_of, answered, solutions

KILLS = 50 if os.environ.get("COURSE_LONG") else 10  # at random times
STEPS = [
    ("course.grade.job.key", "before"),
    ("course.grade.job.finished", "after"),
    ("course.grade.job._notebook", "before"),
    ("course.grade.job._notebook", "after"),
    ("course.grade.job.place", "before"),
    ("course.grade.job.place", "after"),
    ("course.grade.run.executed", "before"),
    ("course.grade.run.place", "after"),
    ("course.grade.gradebook.enter", "before"),
    ("course.grade.gradebook._late", "after"),  # in the middle of a transaction
    ("course.grade.gradebook.enter", "after"),
]


@pytest.fixture(scope="module")
def undisturbed(school, tmp_path_factory):
    """(the class's notebooks; gradebook, verdicts and seconds of one plain run)."""
    pupils = a_class_of(4, school[0])
    path = tmp_path_factory.mktemp("undisturbed") / "class"
    shutil.copytree(school[1], path)
    room = Room(path)
    fill(room, pupils)
    start = time.monotonic()
    room.course("run", "--jobs", "2")
    took = time.monotonic() - start
    return pupils, cells(room), {student: verdicts(room, student) for student in pupils}, took


def fill(room: Room, pupils: dict) -> None:
    room.enrol(*pupils)
    for student, (notebook, _) in pupils.items():
        room.hand_in(student, notebook)


def verdicts(room: Room, student: str) -> list:
    return [(task["points"], task["message"], task["diagnosis"], task["flags"]) for task in room.result(student)["tasks"]]


def dying(room: Room, where: str, how: str, marker: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(HERE / "dying.py"), where, how, str(marker), *words]
    return subprocess.run(command, cwd=room.path, capture_output=True, text=True, timeout=900)


def patched(room: Room, first: str) -> subprocess.CompletedProcess:
    """`course grade run` after a line of Python."""
    code = f"{first}; from course.cli import main; main(['grade', 'run', '--jobs', '2'])"
    return subprocess.run([sys.executable, "-c", code], cwd=room.path, capture_output=True, text=True)


def assert_as_undisturbed(room: Room, undisturbed) -> None:
    """Exactly one score each, equal to that of the undisturbed run; nothing half-written lies about."""
    pupils, book, said, _ = undisturbed
    assert cells(room) == book
    assert {student: verdicts(room, student) for student in pupils} == said
    with sqlite3.connect(room.path / "gradebook.db") as db:
        assert db.execute("SELECT COUNT(*) FROM submitted_assignment").fetchone()[0] == len(pupils)
        assert db.execute("SELECT COUNT(*), COUNT(DISTINCT student) FROM course_entered").fetchone() == (len(pupils), len(pupils))
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for student in pupils:
        json.loads((room.path / "autograded" / student / "hw1" / "98_decay.ipynb").read_text())


@pytest.mark.long
def test_killed_at_every_step(room, undisturbed, tmp_path):
    fill(room, undisturbed[0])
    for number, (where, how) in enumerate(STEPS):
        marker = tmp_path / f"died-{number}"
        if not left(room, undisturbed):
            begin_anew(room)
        dying(room, where, how, marker, "run", "--jobs", "1")
        assert marker.exists(), f"{where} was never called"
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)


def left(room: Room, undisturbed) -> int:
    with sqlite3.connect(room.path / "gradebook.db") as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE name = 'course_entered'").fetchone()
        return len(undisturbed[0]) - (db.execute("SELECT COUNT(*) FROM course_entered").fetchone()[0] if found else 0)


def begin_anew(room: Room) -> None:
    """Forget that anything was graded, not the scores: they must come out the same."""
    shutil.rmtree(room.path / "results")
    with sqlite3.connect(room.path / "gradebook.db") as db:
        db.execute("DELETE FROM course_entered")


def test_killed_at_random_times(room, undisturbed):
    """The command, a worker, or a sandbox dies; then the next run, until all is done. The class starts anew when it is through."""
    chance, kills = random.Random(7), 0
    fill(room, undisturbed[0])
    while kills < KILLS:
        running = subprocess.Popen(
            [sys.executable, "-m", "course", "grade", "run", "--jobs", "2"],
            cwd=room.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + chance.uniform(0.5, undisturbed[3])
        while running.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        kills += kill_one(running, chance)
        running.wait()
        if not left(room, undisturbed):
            assert_as_undisturbed(room, undisturbed)
            begin_anew(room)
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(room.path) in " ".join(p.info["cmdline"] or [])], "orphans"


def kill_one(running: subprocess.Popen, chance: random.Random) -> bool:
    try:
        family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        chance.choice(family).kill()
        if chance.random() < 0.5:
            return True
        time.sleep(0.2)
        running.kill()
        return True
    except psutil.Error:
        return False


@pytest.mark.long
def test_what_kills_its_worker_costs_nobody_else(room, undisturbed, tmp_path):
    fill(room, undisturbed[0])
    done = dying(room, "course.grade.job._notebook", "poison", tmp_path / "student01", "run", "--jobs", "2")
    assert f"{len(undisturbed[0]) - 1} graded, 1 failed" in done.stdout and "student01: Its worker died 3 times" in done.stdout
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)


@pytest.mark.long
def test_a_full_disk_is_said_and_loses_nothing(room, undisturbed, tmp_path):
    fill(room, undisturbed[0])
    done = dying(room, "course.grade.job.place", "full", tmp_path / "full", "run", "--jobs", "2")
    assert done.returncode == 1 and "No space left" in done.stdout and "Traceback" not in done.stderr
    done = dying(room, "course.grade.run.place", "full", tmp_path / "full again", "run", "--jobs", "2")
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)


@pytest.mark.long
def test_a_locked_gradebook_is_waited_for_and_then_said(room, undisturbed):
    fill(room, undisturbed[0])
    with sqlite3.connect(room.path / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = patched(room, "import course.grade.gradebook as g; g.WAIT = 1")
        assert done.returncode == 1 and "gradebook cannot be written" in done.stderr and "Traceback" not in done.stderr
        other.execute("ROLLBACK")
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)


@pytest.mark.long
def test_a_read_only_gradebook_keeps_the_results(room, undisturbed):
    fill(room, undisturbed[0])
    room.course("run", "--jobs", "2")
    with sqlite3.connect(room.path / "gradebook.db") as db:
        db.execute("DELETE FROM course_entered WHERE student = 'student01'")
    url = "f'sqlite:///file:{self.path}/gradebook.db?mode=ro&uri=true'"
    done = patched(room, f"from course.grade.folder import Folder; Folder.db_url = property(lambda self: {url})")
    assert done.returncode == 1 and "readonly" in done.stderr and "Traceback" not in done.stderr
    room.course("run")
    assert_as_undisturbed(room, undisturbed)


@pytest.mark.long
def test_a_lost_dask_worker(room, undisturbed):
    fill(room, undisturbed[0])
    with cluster() as (address, processes):
        command = [sys.executable, "-m", "course", "grade", "run", "--scheduler", address]
        running = subprocess.Popen(command, cwd=room.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(6)
        os.killpg(processes[1].pid, signal.SIGKILL)  # a worker with its nanny
        assert running.wait(timeout=900) == 0, running.stderr.read()
    assert_as_undisturbed(room, undisturbed)


@pytest.mark.long
def test_a_duplicated_task_counts_once(room, undisturbed):
    from course.grade import job

    fill(room, undisturbed[0])
    todo = job.Job(str(room.path), "student02", "hw1", job.key(room.folder, "student02", "hw1"))
    code = f"from course.grade import job; job.grade(job.{todo!r})"
    twice = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in twice] == [0, 0]
    room.course("run", "--jobs", "2")
    assert_as_undisturbed(room, undisturbed)


def test_two_runs_at_once_do_not_write_both(room):
    import fcntl

    room.enrol("ada")
    room.hand_in("ada", answered(solutions()))
    with open(room.path / ".grading", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = room.course("run", check=False)
    assert done.returncode == 1 and "Another `course grade run`" in done.stderr


def test_manual_grades_and_comments_survive(room):
    from course.grade import gradebook

    room.enrol("ada")
    room.hand_in("ada", answered(solutions() | {1: "def decayed(x, a):\n    return x"}, "Perturb the future."))
    room.course("run")
    with gradebook.opened(room.folder) as book:
        grade = book.find_grade("task-1-tests-2", "98_decay", "hw1", "ada")
        grade.manual_score = 1.5
        book.find_grade("written-1", "98_decay", "hw1", "ada").manual_score = 2.0
        book.find_comment("written-1", "98_decay", "hw1", "ada").manual_comment = "Say which <b>entry</b>."
        book.db.commit()
    assert room.scores()["ada"]["points"] == 3 + 1 + 1.5 + 2
    room.hand_in(
        "ada", answered(solutions() | {1: "def decayed(x, a):\n    return x * 0"}, "Perturb the future!"), at="2027-01-01 11:00:00"
    )
    assert "1 graded" in room.course("run").stdout
    found = room.scores()["ada"]
    assert found["points"] == 3 + 0 + 1.5 + 2 and "98_decay/task-1-tests-2" in found["to_read"]
    room.here("feedback")
    assert "Say which &lt;b&gt;entry&lt;/b&gt;." in (room.path / "feedback/hw1/ada.html").read_text()


@pytest.mark.long
def test_alone_in_a_batch_and_under_load_the_grade_is_the_same(room, undisturbed):
    pupils, _, said, _ = undisturbed
    student = "student03"
    room.enrol(student)
    room.hand_in(student, pupils[student][0])
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        room.course("run", "--jobs", "1")
    finally:
        for process in busy:
            process.kill()
    assert verdicts(room, student) == said[student]

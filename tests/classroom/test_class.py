"""A class whose points are known beforehand gets just these points, however it is graded."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from conftest import Room, a_class_of, read_by_a_student
from course.grade import gradebook

SIZE = 30


@pytest.fixture(scope="module")
def pupils(school):
    return a_class_of(SIZE, school[0])


def fill(room: Room, pupils) -> None:
    room.enrol(*pupils)
    for student, (notebook, _) in pupils.items():
        room.hand_in(student, notebook)


def cells(room: Room) -> dict:
    return {student: (found["cells"], found["to_read"]) for student, found in room.scores().items()}


@contextmanager
def cluster(workers: int = 2):
    """The address of a real Dask scheduler with real worker processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]] * workers
    processes = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, processes
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.long
def test_three_ways_to_grade_give_the_same_gradebook(room, pupils, tmp_path):
    import shutil

    fill(room, pupils)
    rooms = {}
    for way in ("cluster", "nbgrader"):
        shutil.copytree(room.path, tmp_path / way)
        rooms[way] = Room(tmp_path / way)
    room.course("run", "--jobs", "2")
    assert {student: found["points"] for student, found in room.scores().items()} == {s: points for s, (_, points) in pupils.items()}

    room.course("feedback")
    pages = [read_by_a_student(path) for path in (room.path / "feedback" / "hw1").glob("*.html")]
    assert len(pages) == len(pupils) and any("Old entries should fade by a." in page for page in pages)

    with cluster() as (address, _):
        rooms["cluster"].course("run", "--scheduler", address)
    assert cells(rooms["cluster"]) == cells(room)

    config = rooms["nbgrader"].path / "nbgrader_config.py"  # plain nbgrader, no sandbox
    config.write_text(f'c = get_config()\nc.CourseDirectory.root = "{rooms["nbgrader"].path}"\nc.CourseDirectory.course_id = "plain"\n')
    nbgrader(rooms["nbgrader"], "autograde", "hw1")
    assert cells(rooms["nbgrader"]) == cells(room)


def nbgrader(room: Room, *words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=room.path, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.long
def test_nbgrader_autograde_uses_the_sandbox(room):
    """Plain `nbgrader autograde` in a class folder: same points, the student's code sees nothing of this machine, hooks are flagged."""
    from conftest import answered, solutions

    peek = f"import os\nassert not os.path.exists({str(room.path)!r}) and os.environ['HOME'] == '/home/student'\n"
    hooks = "get_ipython().events.register('pre_run_cell', lambda info: None)\nget_ipython().ast_transformers.append(None)\n"
    room.enrol("ada", "bob")
    room.hand_in("ada", answered(solutions() | {3: peek + solutions()[3]}))
    room.hand_in("bob", answered({1: hooks + "def decayed(x, a):\n    return x"}))
    start = time.monotonic()
    nbgrader(room, "autograde", "hw1")
    print(f"{time.monotonic() - start:.1f} s")
    assert {student: found["points"] for student, found in room.scores().items()} == {"ada": 6, "bob": 1}
    with gradebook.opened(room.folder) as book:
        flagged = {student: book.find_submission_notebook("98_decay", "hw1", student).flagged for student in ("ada", "bob")}
    assert flagged == {"ada": False, "bob": True}

"""How fast a class is graded: `course grade run` beside serial `nbgrader autograde`, in one run on one machine.

    python benchmarks/classroom.py [--students 12]     submissions an hour, what the sandbox costs, recovery after a kill
    python benchmarks/classroom.py --many 1000         synthetic submissions on a local Dask cluster: nothing lost, flat cost and memory

The submissions are answers to lesson 35, solved and wrong ones in turn; those of --many sleep 0.2 s instead of computing.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil

from course import answers as known
from course import syllabus
from course.assemble import grade_id, parse
from course.grade import gradebook
from course.grade.folder import Folder, csv_text

LESSON = "35"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PLAIN = 'c = get_config()\nc.CourseDirectory.root = "{}"\nc.CourseDirectory.course_id = "plain"\n'


def grade(*words: str, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "course", "grade", *words], cwd=cwd, check=True, **QUIET)


def a_class(home: Path, students: int, *, slow: bool = False) -> Path:
    """A class folder in which everybody has handed in."""
    lesson = syllabus.load().find(LESSON)
    grade("init", str(home), cwd=home.parent)
    grade("assign", LESSON if not slow else f"{LESSON}:1", "--as", "hw", cwd=home)
    names = [f"student{i:04d}" for i in range(students)]
    (home / "roster.csv").write_text(csv_text(("student_id",), [(name,) for name in names]))
    source = home / "release" / "hw" / f"{lesson.slug}.ipynb"
    solved = {t.number: t.source for t in parse(nbformat.read(lesson.solution, as_version=4)).tasks}
    wrong = known.load(lesson.answers).wrong
    for i, name in enumerate(names):
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            number = next((n for n in solved if grade_id(cell) == f"task-{n}"), None)
            if number and slow:
                cell.source = f"import time\ntime.sleep(0.2)  # {name}"
            elif number:
                every = [solved[number], *(known.text(answer, solved[number]) for answer in wrong[number].values())]
                cell.source = every[(i + number) % len(every)]
        place = home / "submitted" / name / "hw"
        place.mkdir(parents=True)
        nbformat.write(notebook, place / source.name)
        (place / "timestamp.txt").write_text("2027-01-01 10:00:00 UTC\n")
    return home


def fresh(home: Path, name: str) -> Path:
    """A copy of a class that is not graded yet."""
    import shutil

    return Path(shutil.copytree(home, home.parent / name))


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_nbgrader(home: Path) -> None:
    (home / "nbgrader_config.py").write_text(PLAIN.format(home))
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    subprocess.run([sys.executable, "-m", "nbgrader", "autograde", "hw"], cwd=home, env=os.environ | {"PATH": path}, check=True, **QUIET)


def points(home: Path) -> dict[str, float]:
    with gradebook.opened(Folder(home)) as book:
        return {name: found["points"] for name, found in gradebook.scores(book, "hw").items()}


def compare(students: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = a_class(Path(folder) / "class", students)
        rooms = {name: fresh(home, name) for name in ("two", "one", "bare", "nbgrader", "killed")}
        took = {
            "course grade run --jobs 2": timed(lambda: grade("run", "--jobs", "2", cwd=rooms["two"])),
            "nbgrader autograde, serial, no sandbox": timed(lambda: by_nbgrader(rooms["nbgrader"])),
            "course grade run --jobs 1": timed(lambda: grade("run", "--jobs", "1", cwd=rooms["one"])),
            "course grade run --jobs 1 --no-sandbox": timed(lambda: grade("run", "--jobs", "1", "--no-sandbox", cwd=rooms["bare"])),
        }
        for name, seconds in took.items():
            print(f"{name:42} {seconds:6.1f} s  {students * 3600 / seconds:6.0f} submissions an hour")
        first, serial, one, bare = took.values()
        print(f"against serial nbgrader: {serial / first:.1f} times; the sandbox costs {(one - bare) / students:.2f} s a submission")
        print("gradebooks equal:", points(rooms["two"]) == points(rooms["nbgrader"]) == points(rooms["bare"]))
        running = subprocess.Popen([sys.executable, "-m", "course", "grade", "run", "--jobs", "2"], cwd=rooms["killed"], **QUIET)
        time.sleep(first / 2)
        running.send_signal(signal.SIGKILL)
        running.wait()
        again = timed(lambda: grade("run", "--jobs", "2", cwd=rooms["killed"]))
        whole = points(rooms["killed"]) == points(rooms["two"])
        print(f"killed after {first / 2:.1f} s, recovered {again:.1f} s later ({first / 2 + again - first:+.1f} s in all); equal: {whole}")


@contextmanager
def cluster():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]] * 2
    processes = [subprocess.Popen(command, start_new_session=True, **QUIET) for command in commands]
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)


def many(students: int) -> None:
    with tempfile.TemporaryDirectory() as folder, cluster() as address:
        home = a_class(Path(folder) / "class", students, slow=True)
        command = [sys.executable, "-m", "course", "grade", "run", "--scheduler", address]
        start, peaks = time.perf_counter(), []
        running = subprocess.Popen(command, cwd=home, **QUIET)
        marks = {students // 10, students}
        while running.poll() is None:
            peaks.append(psutil.Process(running.pid).memory_info().rss >> 20)
            done = len(list((home / "results" / "hw").glob("*.json")))
            for mark in [m for m in marks if done >= m]:
                marks.discard(mark)
                seconds = time.perf_counter() - start
                print(f"{done} done: {seconds:.0f} s, {seconds / done:.2f} s each; the command holds {peaks[-1]} MB", flush=True)
            time.sleep(1)
        print(f"lost: {students - len(points(home))}; memory of the command at most {max(peaks)} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--many", type=int)
    chosen = parser.parse_args()
    many(chosen.many) if chosen.many else compare(chosen.students)

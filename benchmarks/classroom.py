"""How fast a class is graded: `course grade run` beside serial `nbgrader autograde`, in one run on one machine.

    python benchmarks/classroom.py [--students 12]     submissions an hour, what the sandbox costs
    python benchmarks/classroom.py --kill              recovery after a kill -9 in the middle of a run
    python benchmarks/classroom.py --many 1000         synthetic submissions on a local Dask cluster: nothing lost, flat cost and memory

The submissions are answers to lesson 35, solved and wrong ones in turn. Those of --many sleep 0.2 s instead of computing, each in a
sandbox; with --stub the workers sleep themselves: what is left is the pipeline of cluster, result files, the one writer, the command.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
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
from course.grade.sandbox import Sandbox

LESSON = "35"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
STUB = """import time
from course.assemble import parse
from course.grade import job
from course.notebooks import read

def slept(folder, work, path, session, seconds):
    time.sleep(0.2)
    tasks = []
    for task in parse(read(path)).tasks:
        tests = [{"id": t.id, "points": t.points, "possible": t.points, "message": "", "hidden": False} for t in task.tests]
        found = {"task": task.number, "title": task.title, "status": "passed", "points": task.points, "possible": task.points}
        tasks.append(found | {"message": "", "diagnosis": "", "output": "", "seconds": 0.2, "tests": tests, "flags": [], "source": ""})
    return {"problem": "", "flags": [], "tasks": tasks, "written": {}}

job._notebook = slept
"""
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
    wrong, released = known.load(lesson.answers).wrong, source.read_text(encoding="utf-8")
    for i, name in enumerate(names):
        notebook = json.loads(released)
        for cell in notebook["cells"]:
            number = next((n for n in solved if grade_id(cell) == f"task-{n}"), None)
            if number and slow:
                cell["source"] = f"import time\ntime.sleep(0.2)  # {name}"
            elif number:
                every = [solved[number], *(known.text(answer, solved[number]) for answer in wrong[number].values())]
                cell["source"] = every[(i + number) % len(every)]
        place = home / "submitted" / name / "hw"
        place.mkdir(parents=True)
        (place / source.name).write_text(json.dumps(notebook), encoding="utf-8")
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


def start_up(repeats: int = 20) -> float:
    """Seconds that bubblewrap, its limits and its supervisor add to an empty Python: the median of pairs."""

    def once(inside: bool) -> float:
        with Sandbox([sys.executable, "-c", ""], inside=inside, **QUIET) as sandbox:
            return timed(sandbox.process.wait)

    pairs = [timed(lambda: once(True)) - timed(lambda: once(False)) for _ in range(repeats + 1)]
    return statistics.median(pairs[1:])


def compare(students: int) -> None:
    print(f"a sandbox around an empty Python costs {start_up():.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        home = a_class(Path(folder) / "class", students)
        rooms = {name: fresh(home, name) for name in ("two", "one", "bare", "nbgrader")}
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


def recover(students: int) -> None:
    """Kill the command in the middle of a run, and see how long the next one takes to the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = a_class(Path(folder) / "class", students)
        rooms = {name: fresh(home, name) for name in ("undisturbed", "killed")}
        whole = timed(lambda: grade("run", "--jobs", "2", cwd=rooms["undisturbed"]))
        running = subprocess.Popen([sys.executable, "-m", "course", "grade", "run", "--jobs", "2"], cwd=rooms["killed"], **QUIET)
        time.sleep(whole / 2)
        running.kill()
        running.wait()
        again = timed(lambda: grade("run", "--jobs", "2", cwd=rooms["killed"]))
        print(f"{students} submissions: {whole:.1f} s undisturbed; killed after {whole / 2:.1f} s, all graded {again:.1f} s after the kill")
        print(f"lost by it: {again - whole / 2:.1f} s; gradebooks equal: {points(rooms['killed']) == points(rooms['undisturbed'])}")


@contextmanager
def cluster(*options: str):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard", *options]] * 2
    processes = [subprocess.Popen(command, start_new_session=True, **QUIET) for command in commands]
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def many(students: int, stub: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, preload = a_class(Path(folder) / "class", students, slow=True), Path(folder) / "stub.py"
        preload.write_text(STUB)
        with cluster(*(["--preload", str(preload)] if stub else [])) as address:
            command = [sys.executable, "-m", "course", "grade", "run", "--scheduler", address]
            start, seen = time.perf_counter(), []  # seconds, submissions done, MB that the command holds
            running = subprocess.Popen(command, cwd=home, **QUIET)
            while running.poll() is None:
                done, memory = len(list((home / "results" / "hw").glob("*.json"))), psutil.Process(running.pid).memory_info().rss >> 20
                seen.append((time.perf_counter() - start, done, memory))
                time.sleep(0.5)
            end = time.perf_counter() - start
        at = lambda count: next(row for row in seen if row[1] >= count)  # noqa: E731
        first, tenth = at(1), at(students // 10)
        print(f"{students} submissions in {end:.0f} s, the first after {first[0]:.1f} s; the command ends with {running.returncode}")
        early, late = ((b[0] - a[0]) / (b[1] - a[1]) for a, b in ((first, tenth), (tenth, (end, students, 0))))
        print(f"seconds a submission: {early:.3f} up to the first {tenth[1]}, {late:.3f} from there to {students}")
        print(f"the command holds {tenth[2]} MB after {tenth[1]}, {seen[-1][2]} MB at the end, {max(row[2] for row in seen)} MB at most")
        print(f"entered once each: {len(points(home)) == students}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--many", type=int)
    parser.add_argument("--stub", action="store_true")
    parser.add_argument("--kill", action="store_true")
    chosen = parser.parse_args()
    if chosen.many:
        many(chosen.many, chosen.stub)
    else:
        (recover if chosen.kill else compare)(chosen.students)

"""Grades one student's submission: reads, mends, runs in a sandbox, writes results/NAME/STUDENT.json in one step.

This is what a worker does, in a process pool here or in a Dask worker elsewhere. It touches nothing but its own result file; done twice,
it writes the same again. The key of a result says what it was made from; a changed submission or source has another key.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.assemble import Exercise, ExerciseError, assemble, parse
from course.errors import CourseError
from course.grade.drive import Graded, Session
from course.grade.folder import Folder, place
from course.grade.sandbox import Limits
from course.grade.tampering import mended, suspicious
from course.notebooks import read

VERSION = "2"  # raise it when the same submission would get other points
LARGEST = 20 << 20  # bytes of one notebook


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; paths are on a disk that it shares with us."""

    root: str
    student: str
    assignment: str
    key: str
    inside: bool = True


def die_with(parent: int) -> None:
    """First act of a pool's process: it ends when the command does, even by kill -9; Ctrl-C is the command's to handle.

    It stands here because a worker imports this file anyway, and ``run`` with all of nbgrader would take it seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def key(folder: Folder, student: str, assignment: str) -> str:
    """A hash of what a result depends on."""
    digest = hashlib.sha256(VERSION.encode())
    for path in (*folder.sources(assignment), *sorted(folder.submission(student, assignment).glob("*.ipynb"))):
        digest.update(f"\0{path.parent.name}/{path.name}\0".encode())
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def finished(folder: Folder, student: str, assignment: str, wanted: str) -> dict | None:
    """The result of exactly this submission, if it has one."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(folder.result(student, assignment).read_text(encoding="utf-8"))
        if found.get("key") == wanted:
            return found
    return None


def grade(job: Job) -> str:
    """Grade a submission unless its result is there already; returns the student's id.

    Raises:
        CourseError: no sandbox, or the assignment itself cannot be run; the message goes to the instructor.
        OSError: the result cannot be written.
    """
    folder = Folder(Path(job.root))
    if finished(folder, job.student, job.assignment, job.key):
        return job.student
    limits, start = folder.settings["sandbox"], time.monotonic()
    seconds = limits["seconds_a_notebook"] * len(folder.sources(job.assignment))
    box = Limits(seconds=seconds, memory=limits["memory_mb"] << 20, processes=limits["processes"])
    notebooks = {}
    with Session(inside=job.inside, limits=box) as session:
        for path in folder.sources(job.assignment):
            notebooks[path.stem] = _notebook(folder, job, path, session, limits["seconds_a_task"])
    found = {"key": job.key, "student": job.student, "assignment": job.assignment, "notebooks": notebooks}
    place(folder.result(job.student, job.assignment), json.dumps(found | {"seconds": round(time.monotonic() - start, 2)}, indent=1))
    return job.student


def _notebook(folder: Folder, job: Job, path: Path, session: Session, seconds: float) -> dict:
    """What one notebook of the submission got: tasks, written answers, flags; ``problem`` if it could not be used at all."""
    source, name = read(path), f"{path.stem}.ipynb"
    released = read(folder.path / "release" / job.assignment / name)
    try:
        theirs, flags = mended(_submitted(folder.submission(job.student, job.assignment) / name), released)
        answered = parse(assemble(theirs, source))
    except CourseError as problem:
        return {"problem": str(problem), "flags": [str(problem)], "tasks": [], "written": {}}
    exercise, answers = parse(source), {task.number: task.source for task in answered.tasks}
    known, tasks = _known(folder, job.assignment, path.stem), []
    for g in list(session.grade(exercise, answers, seconds=seconds)):
        number = g.result.task
        flagged = g.flags + suspicious(answers[number])
        g.result.diagnosis = _diagnosis(session, exercise, g, answers[number], known.get(str(number)))
        tasks.append(g.result.as_json() | {"flags": flagged, "source": answers[number]})
        flags += [f"task {number} {flag}" for flag in flagged]
    empty = parse(released).written
    written = {name: "" if text.strip() == empty[name][0].strip() else text for name, (text, _) in answered.written.items()}
    return {"problem": "", "flags": flags, "tasks": tasks, "written": written}


def _submitted(path: Path) -> Any:
    """The notebook that was handed in; raises CourseError with the reason if it is none."""
    if path.is_symlink() or not path.is_file():
        raise ExerciseError(f"{path.name} was not handed in.")
    if path.stat().st_size > LARGEST:
        raise ExerciseError(f"{path.name} is {path.stat().st_size >> 20} MB large; more than {LARGEST >> 20} MB are not read.")
    try:
        notebook = read(path)
    except RecursionError:
        raise ExerciseError(f"{path.name} is nested too deeply to be a notebook.") from None
    except CourseError as problem:
        raise ExerciseError(str(problem).replace(str(path), path.name)) from None
    return notebook


def _known(folder: Folder, assignment: str, slug: str) -> dict:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder.path / "diagnoses" / assignment / f"{slug}.json").read_text(encoding="utf-8"))
    return {}


def _diagnosis(session: Session, exercise: Exercise, g: Graded, source: str, known: dict | None) -> str:
    """The known wrong answer that behaves the same, or ''. What did not come to its end is not run once more."""
    from course.diagnosis import same

    if not known or g.flags or g.ended or g.result.status not in ("failed", "partly"):
        return ""
    with contextlib.suppress(SyntaxError, ValueError):
        ast.parse(source)
        mine = session.probe(exercise, g.result.task, source, known["code"])
        if mine is not None and not same(mine, known["solution"]):
            return next((sentence for sentence, theirs in known["wrong"] if same(mine, theirs)), "")
    return ""

"""Grades all that is not graded yet: workers write results, one writer enters them, and either may die at any moment.

=========================  ==========================================================================================
step                       after a kill -9 right here, the next run …
=========================  ==========================================================================================
the key is computed        begins again
a worker grades            grades that submission again, to the same result
the result is renamed      finds the result and only enters it
the notebook is shown      writes it again
the transaction            was either rolled back (enters again) or committed (nothing is left to do)
=========================  ==========================================================================================

Both ways to run are one interface, ``concurrent.futures.Executor``: a process pool, or a Dask cluster that shares the folder's disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from course.errors import CourseError
from course.grade import gradebook, job
from course.grade.autograded import executed
from course.grade.folder import Assignment, Folder, parse_due, place
from course.grade.sandbox import missing
from course.notebooks import read

TRIES = 3  # a submission whose worker dies so often is reported, not tried for ever
AHEAD = 4  # submissions handed out beyond the number of workers: memory stays flat however large the class


@dataclass
class Progress:
    """What the live table shows."""

    todo: int = 0
    done: int = 0
    running: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run(folder: Folder, assignment: Assignment, *, jobs: int, scheduler: str, inside: bool, tell: Callable[[Progress], None]) -> Progress:
    """Grade and enter everything of one assignment that is not entered yet.

    Raises:
        CourseError: another run is at work, no sandbox, the gradebook cannot be written.
    """
    if inside and not scheduler and (why := missing()):
        raise CourseError(why)
    progress = Progress()
    with _alone(folder), gradebook.opened(folder) as book:
        was = gradebook.entered(book, assignment.name)
        students = folder.submitted(assignment.name)
        keys = {student: job.key(folder, student, assignment.name) for student in students}
        waiting = [student for student in students if was.get(student) != keys[student]]
        progress.todo = len(waiting)
        tell(progress)
        tasks = [job.Job(str(folder.path), student, assignment.name, keys[student], inside) for student in waiting]
        for task, failure in _graded(tasks, jobs, scheduler, progress, tell):
            found = None if failure else job.finished(folder, task.student, task.assignment, task.key)
            if found is None:
                progress.failed[task.student] = failure or "The result was not found: do the workers share this folder's disk?"
            else:
                _show(folder, assignment, found)
                gradebook.enter(book, folder, assignment, found, handed_in(folder, task.student, assignment.name))
                progress.done += 1
            tell(progress)
    return progress


def _show(folder: Folder, assignment: Assignment, found: dict) -> None:
    """autograded/STUDENT/NAME for formgrader."""
    submitted, home = folder.submission(found["student"], assignment.name), folder.autograded(found["student"], assignment.name)
    for path in folder.sources(assignment.name):
        part = found["notebooks"][path.stem]
        theirs = None if part["problem"] else read(submitted / path.name)
        released = read(folder.path / "release" / assignment.name / path.name)
        place(home / path.name, executed(theirs, read(path), released, part))
    with contextlib.suppress(FileNotFoundError):
        place(home / "timestamp.txt", (submitted / "timestamp.txt").read_bytes())


def handed_in(folder: Folder, student: str, assignment: str) -> datetime | None:
    with contextlib.suppress(OSError):
        return parse_due((folder.submission(student, assignment) / "timestamp.txt").read_text(encoding="utf-8").replace(" UTC", "+00:00"))
    return None


def _graded(
    tasks: list[job.Job], jobs: int, scheduler: str, progress: Progress, tell: Callable[[Progress], None]
) -> Iterator[tuple[job.Job, str]]:
    """Each job once, as it is done, with '' or why it failed. A dead worker costs one more try of what it had."""
    queue, tries = list(reversed(tasks)), dict.fromkeys(tasks, 0)

    def suspects(queue: list[job.Job], running: dict[Future, job.Job]) -> bool:
        """What a worker died of is tried alone, so that nobody else pays for it."""
        return any(tries[task] for task in (queue[-1], *running.values()))

    while queue:
        running: dict[Future, job.Job] = {}
        try:
            with _executor(jobs, scheduler) as executor:
                width = jobs if not scheduler else max(sum(executor._client.nthreads().values()), 1)  # type: ignore[attr-defined]
                while queue or running:
                    while queue and len(running) < (1 if suspects(queue, running) else width + AHEAD):
                        future = executor.submit(job.grade, queue[-1])
                        running[future] = queue.pop()
                    progress.running = min(len(running), width)
                    tell(progress)
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        error = CancelledError("the cluster gave it up") if future.cancelled() else future.exception()
                        if isinstance(error, BrokenExecutor):
                            raise error
                        task = running.pop(future)
                        progress.running = min(len(running), width)
                        yield task, _words(error)
        except BrokenExecutor:
            for task in running.values():
                tries[task] += 1
                if tries[task] < TRIES:
                    queue.append(task)
                else:
                    yield task, f"Its worker died {TRIES} times: is there enough memory?"


def _words(error: BaseException | None) -> str:
    if error is None or isinstance(error, CourseError):
        return str(error or "")
    return f"{type(error).__name__}: {error}"[:400]


@contextlib.contextmanager
def _executor(jobs: int, scheduler: str) -> Iterator[Executor]:
    if scheduler:
        from distributed import Client

        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as problem:
            raise CourseError(
                f"There is no Dask scheduler at {scheduler} ({problem or 'no answer'}): start one with `dask scheduler`."
            ) from None
        with client:
            yield client.get_executor(pure=False)
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=job.die_with, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _alone(folder: Folder) -> Iterator[Any]:
    """The one writer of this folder: the lock goes with the process, however that ends."""
    with open(folder.path / ".grading", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CourseError("Another `course grade run` is at work in this folder; wait for it, or stop it.") from None
        yield

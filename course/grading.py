"""Runs an exercise: locked cells once, then each answer and its tests in a fork of their own.

``Attempt``    one answer in this process, and its tests one by one; ``attempt`` runs them all
``Runner``     an exercise made ready (torch and minilib imported, locked cells run); ``grade`` yields one ``Result`` a task

Student code is hostile code: the process with the Runner never executes any, the child that does writes its findings to a pipe, test by
test, and is killed at its limit. Before each test cell the random seeds, the locked names and the attributes of minilib, torch and
builtins are put back (``course.originals``). A learner who wants to read the tests while they run can; in a class they arrive one by one.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import linecache
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from course.assemble import Exercise, ExerciseError, Task, Test, parse
from course.forbidden import Forbidden, Guard, load, named
from course.fork import MEMORY, SECONDS, in_fork
from course.originals import Originals, seed
from course.sentences import NOT_STARTED, explain, unreadable


@dataclass
class Outcome:
    """What one test cell gave. ``message`` is '' for full points."""

    id: str
    points: float
    possible: float
    message: str = ""
    hidden: bool = False  # nothing left to run here: the tests stay with the instructor


@dataclass
class Result:
    task: int
    title: str
    tests: list[Outcome] = field(default_factory=list)
    output: str = ""
    seconds: float = 0.0
    diagnosis: str = ""

    @property
    def points(self) -> float:
        return round(sum(t.points for t in self.tests), 4)

    @property
    def possible(self) -> float:
        return sum(t.possible for t in self.tests)

    @property
    def message(self) -> str:
        return next((t.message for t in self.tests if t.message), "")

    @property
    def status(self) -> str:
        if self.message == NOT_STARTED:
            return "not started"
        if self.message:
            return "partly" if self.points else "failed"
        return "passed"

    def as_json(self) -> dict:
        tests = [vars(t) for t in self.tests]
        names = ("task", "title", "status", "points", "possible", "message", "diagnosis", "output", "seconds")
        return {name: getattr(self, name) for name in names} | {"tests": tests}


class Captured(io.StringIO):
    """Standard output that keeps its beginning: ten megabytes of print cost nothing."""

    def write(self, text: str) -> int:
        if self.tell() < 4000:
            super().write(text[:4000])
        return len(text)


def score(test: Test, code: Any, last: Any, scope: dict[str, Any]) -> tuple[float, str]:
    """Run a compiled test cell: points and a message. A last expression that is a number is partial credit, as nbgrader reads it."""
    exec(code, scope)
    if last is None:
        return test.points, ""
    value = eval(last, scope)
    try:
        points = float(repr(value)) if value is not None else test.points
    except ValueError:  # not a plain number: nbgrader gives full points
        return test.points, ""
    points = min(max(points, 0.0), test.points) if points == points else 0.0  # NaN earns nothing
    return points, "" if points == test.points else f"{points:g} of {test.points:g} points: not every case is right yet."


def compiled(test: Test) -> tuple[Any, Any]:
    """A test cell as (statements, last expression or None). Its file name leads to no source: a hidden test is not printed."""
    tree = ast.parse(test.source)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
    name = f"<{test.id}>"
    return compile(tree, name, "exec"), compile(last, name, "eval") if last else None


class Attempt:
    """One answer and its tests in ``scope``, for use in a ``with``. The answer has run when the block begins; then ``test`` runs a cell.

    ``locked`` are the ids of cells whose code may use forbidden names. An empty ``source`` means that the answer is in ``scope`` already.
    ``trouble`` is why the answer itself failed, or ''.
    """

    def __init__(self, scope: dict[str, Any], locked: frozenset[str], task: Task, source: str):
        self.scope, self.task, self.source = scope, task, source
        self.learner, self.lines = f"<task-{task.number}>", source.splitlines(keepends=True)
        self.guard = Guard(task.forbidden, self.learner, frozenset(f"<{name}>" for name in locked), scope)
        self.out = Captured()
        self.trouble = unreadable(source)
        if not self.trouble and (name := named(source, task.forbidden, scope)):
            self.trouble = str(Forbidden(name))

    def __enter__(self) -> Attempt:
        linecache.cache[self.learner] = (len(self.source), None, self.lines, self.learner)
        self.stack = contextlib.ExitStack()
        for context in (self.guard, contextlib.redirect_stdout(self.out), contextlib.redirect_stderr(self.out)):
            self.stack.enter_context(context)
        self.originals = Originals(self.scope, self.task.binds)
        if self.source and not self.trouble:
            self.originals.restore()
            try:
                exec(compile(self.source, self.learner, "exec"), self.scope)
            except BaseException as error:
                self.trouble = explain(error, self.learner, self.lines)
        self.replaced = self.originals.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def test(self, test: Test) -> dict:
        """Run a test cell: its id, points, the message, and what the answer has replaced so far."""
        points, message = 0.0, self.trouble
        if not self.trouble:
            try:
                points, message = score(test, *compiled(test), self.scope)
            except BaseException as error:
                points, message = 0.0, explain(error, self.learner, self.lines)
            self.replaced += self.originals.restore()
            if self.guard.used:
                points, message = 0.0, str(Forbidden(self.guard.used))
        return {"id": test.id, "points": points, "message": message, "replaced": self.replaced}


def attempt(scope: dict[str, Any], locked: frozenset[str], task: Task, source: str, emit: Callable[[dict], None]) -> None:
    """Run the answer ``source`` to ``task`` and its tests in ``scope``; ``emit`` gets one finding a test cell, and what was printed."""
    with Attempt(scope, locked, task, source) as answer:
        for test in task.tests:
            emit(answer.test(test))
    emit({"output": answer.out.getvalue()})


class Runner:
    """An exercise ready to be answered: the source's locked cells have run, once, in this process."""

    def __init__(self, source: dict | Exercise):
        import torch

        torch.set_num_threads(1)
        self.exercise: Exercise = source if isinstance(source, Exercise) else parse(source)
        self.scope: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        self.locked = frozenset(name for name, _ in self.exercise.locked) | {t.id for task in self.exercise.tasks for t in task.tests}
        seed()
        for name, code in self.exercise.locked:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(code, f"<{name}>", "exec"), self.scope)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise ExerciseError(
                    f"The cell {name} of this exercise fails before any answer is run ({problem}). Try `course doctor`."
                ) from error

        for task in self.exercise.tasks:
            for name in task.forbidden:
                load(name)

    def grade(self, answers: dict[int, str], *, seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[Result]:
        """One Result for each task in ``answers`` (number → the source of its cell), in order."""
        for number in sorted(answers):
            task, source = self.exercise.task(number), answers[number]
            start = time.monotonic()
            findings, ended = in_fork(partial(attempt, dict(self.scope), self.locked, task, source), seconds=seconds, memory=memory)
            result = collect(task, findings, ended)
            result.seconds = round(time.monotonic() - start, 3)
            yield result


def collect(task: Task, findings: list[dict], ended: str) -> Result:
    """A task's Result from what a child emitted; tests it never reached score nothing, with the reason."""
    seen = {f["id"]: f for f in findings if "id" in f}
    result = Result(task.number, task.title, output=next((f["output"] for f in findings if "output" in f), ""))
    for test in task.tests:
        found = seen.get(test.id, {"points": 0.0, "message": ended or "This test did not come to its end."})
        hidden = test.hidden and not found["message"]
        result.tests.append(Outcome(test.id, 0.0 if hidden else found["points"], 0.0 if hidden else test.points, found["message"], hidden))
    return result

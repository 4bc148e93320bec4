"""Runs an exercise: locked cells once, then each answer and its tests in a fork of their own.

``attempt``    one answer and its tests in this process
``Runner``     an exercise made ready (torch and minilib imported, locked cells run); ``grade`` yields one ``Result`` a task

Student code is hostile code: the process with the Runner never executes any, the child that does writes its findings to a pipe, test by
test, and is killed at its limit. Before each test cell the random seeds, the locked names and the attributes of minilib, torch and
builtins are put back. A learner who wants to read the tests while they run can; the classroom's sandbox is the answer to that.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import linecache
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from course.assemble import Exercise, ExerciseError, Task, Test, parse
from course.forbidden import Forbidden, Guard, load, named
from course.fork import MEMORY, SECONDS, in_fork
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


def seed() -> None:
    """The same random numbers for every test cell, wherever it runs."""
    import numpy
    import torch

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


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


def attempt(
    scope: dict[str, Any], locked: frozenset[str], task: Task, source: str, emit: Callable[[dict], None], *, tests: bool = True
) -> None:
    """Run the answer ``source`` to ``task`` and its tests in ``scope``; ``emit`` gets one finding a test cell.

    ``locked`` are the ids of cells whose code may use forbidden names. ``tests=False`` runs the answer alone; an empty source means that
    the answer is in ``scope`` already.
    """
    todo = task.tests if tests else ()
    learner, trusted = f"<task-{task.number}>", frozenset(f"<{name}>" for name in locked)
    out = Captured()
    trouble = unreadable(source)
    if not trouble and (name := named(source, task.forbidden, scope)):
        trouble = str(Forbidden(name))
    lines = source.splitlines(keepends=True)
    linecache.cache[learner] = (len(source), None, lines, learner)
    with Guard(task.forbidden, learner, trusted, scope) as guard, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        names = {k: v for k, v in scope.items() if k not in task.binds}
        attributes = [(vars(m), dict(vars(m))) for k, m in list(sys.modules.items()) if _precious(k) and m is not None]
        modules = dict(sys.modules)
        codes = [compiled(t) for t in todo]

        def restore() -> None:
            sys.modules.update(modules)
            for place, saved in attributes:
                place.update(saved)
            scope.update(names)
            sys.settrace(None)
            sys.setprofile(None)
            seed()

        if source and not trouble:
            restore()
            try:
                exec(compile(source, learner, "exec"), scope)
            except BaseException as error:
                trouble = explain(error, learner, lines)
        for test, (code, last) in zip(todo, codes, strict=True):
            if trouble:
                points, message = 0.0, trouble
            else:
                restore()
                try:
                    points, message = score(test, code, last, scope)
                except BaseException as error:
                    points, message = 0.0, explain(error, learner, lines)
                if guard.used:
                    points, message = 0.0, str(Forbidden(guard.used))
            emit({"id": test.id, "points": points, "message": message})
    emit({"output": out.getvalue()})


def _precious(module: str) -> bool:
    return (
        module in ("builtins", "math", "random", "numpy", "torch", "torch.nn.functional", "torch.testing")
        or module.partition(".")[0] == "minilib"
    )


class Runner:
    """An exercise ready to be answered: the source's locked cells have run, once, in this process."""

    def __init__(self, source: dict):
        import torch

        torch.set_num_threads(1)
        self.exercise: Exercise = parse(source)
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

"""The bench of the answers suite: each lesson's set-up and solution run once in this process, each answer in a fork of it."""

from __future__ import annotations

import dis
import pickle
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType

import pytest

import course
from course import answers as known
from course.assemble import Task, bound, parse
from course.diagnosis import Diagnoser
from course.grading import Result, Runner, attempt, collect, compiled, in_fork, seed
from course.notebooks import read


def stems() -> dict[str, Path]:
    """NN_slug → its path below solutions/, exercises/ and tests/answers/, without a suffix, for every lesson with one of these."""
    root = course.root()
    found = [p.relative_to(root / "solutions") for p in (root / "solutions").glob("*/*.ipynb")]
    found += [p.relative_to(root / "tests/answers") for p in (root / "tests/answers").glob("*/*.py")]
    return {p.stem: p.with_suffix("") for p in sorted(found)}


def looked_up(code: CodeType) -> set[str]:
    """The global names that compiled code reads, in its functions too."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    return names.union(*(looked_up(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


class Bench:
    """One lesson, warm."""

    def __init__(self, path: Path):
        root = course.root()
        self.name, self.file = path.stem, f"tests/answers/{path}.py"
        self.solution, self.exercise = root / "solutions" / f"{path}.ipynb", root / "exercises" / f"{path}.ipynb"
        self.known = known.load(root / self.file)
        self._numbers: dict = {}

    @property
    def runner(self) -> Runner:
        if not hasattr(self, "_runner"):
            self._runner = Runner(read(self.solution))
        return self._runner

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.runner.exercise.tasks

    @property
    def diagnoser(self) -> Diagnoser:
        if not hasattr(self, "_diagnoser"):
            self._diagnoser = Diagnoser(self.runner, self.known)
        return self._diagnoser

    def source(self, number: int, answer) -> str:
        """The cell of an answer to task ``number``."""
        return known.text(answer, self.runner.exercise.task(number).source)

    def alone(self, answers: dict[int, str]) -> dict[int, Result]:
        """Graded as a learner's notebook is: each task in a fork of its own."""
        return {r.task: r for r in self.runner.grade(answers)}

    def together(self, number: int, source: str) -> dict[int, Result]:
        """All tasks in one namespace, as in a notebook's kernel: the solution, then ``source`` for task ``number``, then every test.

        The tests of the other tasks are run again only if this answer left something changed that they see: a name that they read bound
        to another object, or another value in an object of the set-up. Otherwise they give what they gave to the solution.
        """
        solved, whole = self.solved(), source == self.runner.exercise.task(number).source
        others = [task for task in self.tasks if task.number != number]

        def work(emit) -> None:
            before, values = dict(solved), self.values(solved)
            attempt(solved, self.runner.locked, self.runner.exercise.task(number), source, emit)
            rebound = any(solved.get(name) is not before.get(name) for name in self.read_by(others))
            if whole or rebound or self.values(before) != values:
                for task in others:
                    attempt(solved, self.runner.locked, task, "", emit)
            else:
                for test in (test for task in others for test in task.tests):
                    emit({"id": test.id, "points": test.points, "message": ""})

        findings, ended = in_fork(work)
        return {task.number: collect(task, findings, ended) for task in self.tasks}

    def read_by(self, tasks: list[Task]) -> set[str]:
        """Names that the set-up, the answers and the tests of these tasks look up and their tests do not set themselves."""
        cells = (
            [code for _, code in self.runner.exercise.locked] + [t.source for t in tasks] + [t.source for task in tasks for t in task.tests]
        )
        names = {name for code in cells for name in looked_up(compile(code, "<cell>", "exec"))}
        return names - {name for task in tasks for test in task.tests for name in bound(test.source)}

    def values(self, scope: dict) -> dict[str, bytes]:
        """What the set-up's objects hold; functions and modules are told apart by identity, elsewhere."""
        found = {}
        for name in self.runner.scope.keys() - {"__builtins__"}:
            with suppress(Exception):  # not everything can be pickled
                found[name] = pickle.dumps(scope[name])
        return found

    def solved(self) -> dict:
        """The namespace after the set-up and every solution cell; only forks of this process use it."""
        if not hasattr(self, "_solved"):
            self._solved = dict(self.runner.scope)
            for task in self.tasks:
                exec(compile(task.source, f"<task-{task.number}>", "exec"), self._solved)
        return self._solved

    def inline(self) -> tuple[float, list[tuple[str, float, str]]]:
        """CPU seconds of all solutions with their tests, and (cell, points, type) of the last expressions that are partial credit."""

        def work(emit) -> None:
            start, scope = time.process_time(), dict(self.runner.scope)
            for task in self.tasks:
                exec(compile(task.source, f"<task-{task.number}>", "exec"), scope)
                for test in task.tests:
                    seed()
                    code, last = compiled(test)
                    exec(code, scope)
                    value = eval(last, scope) if last else None
                    if hasattr(value, "__float__"):
                        emit({"credit": (test.id, float(value), type(value).__name__)})
            emit({"seconds": time.process_time() - start})

        if not hasattr(self, "_inline"):
            findings, ended = in_fork(work)
            self._inline = findings[-1].get("seconds", 0.0) if findings else 0.0, [tuple(f["credit"]) for f in findings if "credit" in f]
        return self._inline

    def solution_numbers(self, number: int):
        """What PROBE_N gives for the solution, None if it fails."""
        if number not in self._numbers:
            source = self.runner.exercise.task(number).source
            self._numbers[number] = self.diagnoser.probe(number, source, seconds=60)  # a busy machine is no wrong answer
        return self._numbers[number]


@cache
def bench_of(name: str) -> Bench:
    return Bench(stems()[name])


def _cases(kind: str) -> list:
    """(lesson, task, sentence) of all right or wrong answers; a file that cannot be read is reported by its own test."""
    cases = []
    for name in stems():
        try:
            answers = getattr(bench_of(name).known, kind)
        except Exception:
            continue
        cases += [
            pytest.param(name, task, sentence, id=f"{name}-task-{task}: {sentence}") for task in answers for sentence in answers[task]
        ]
    return cases


def _forbidden() -> list:
    cases = []
    for name, path in stems().items():
        solution = course.root() / "solutions" / f"{path}.ipynb"
        if solution.exists():
            try:
                tasks = parse(read(solution)).tasks
            except Exception:
                continue
            cases += [pytest.param(name, t.number, f, id=f"{name}-task-{t.number}: {f}") for t in tasks for f in sorted(t.forbidden)]
    return cases


def pytest_generate_tests(metafunc):
    if "lesson" in metafunc.fixturenames:
        metafunc.parametrize("lesson", list(stems()))
    for kind, cases in {"wrong": lambda: _cases("wrong"), "right": lambda: _cases("right"), "forbidden": _forbidden}.items():
        if kind in metafunc.fixturenames:
            metafunc.parametrize(("name", "task", kind), cases())


@pytest.fixture(scope="session")
def bench():
    """``bench(lesson)``: the warm Bench of a lesson."""
    return bench_of

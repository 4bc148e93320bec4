"""What a wrong answer behaves like: its numbers on ``PROBE_N`` beside those of the known wrong answers.

The learner reads "your function behaves like one that takes the softmax over the queries", never the fix. Every probe runs in a fork;
its numbers travel as JSON, so nothing a learner made is ever unpickled. Known answers are probed once and kept in memory only.
"""

from __future__ import annotations

import math
from typing import Any

from course.answers import Answers, Edit, text
from course.grading import Attempt, Runner, in_fork

Numbers = list  # nested lists of [kind, shape, values]


class Diagnoser:
    def __init__(self, runner: Runner, known: Answers):
        self.runner, self.known = runner, known
        self.cache: dict[int, tuple[Numbers | None, list[tuple[str, Numbers]]]] = {}

    def probe(self, number: int, answer: str | Edit, *, seconds: float = 5.0) -> Numbers | None:
        """The numbers of an answer to task ``number``, or None where it has none (it fails, or never ends)."""
        task = self.runner.exercise.task(number)
        source = text(answer, task.source)

        def work(emit) -> None:
            scope = dict(self.runner.scope)
            with Attempt(scope, self.runner.locked, task, source):
                pass
            emit({"numbers": numbers(self.known.probe[number](scope))})

        findings, _ = in_fork(work, seconds=seconds)
        return findings[0].get("numbers") if findings else None

    def diagnose(self, number: int, source: str) -> str:
        """The sentence of the known wrong answer that behaves the same, or ''."""
        if number not in self.known.probe or (mine := self.probe(number, source)) is None:
            return ""
        if number not in self.cache:
            wrong = [(sentence, self.probe(number, answer)) for sentence, answer in self.known.wrong.get(number, {}).items()]
            solution = self.probe(number, self.runner.exercise.task(number).source)
            self.cache[number] = solution, [(sentence, n) for sentence, n in wrong if n is not None]
        solution, wrong_ones = self.cache[number]
        if solution is not None and same(mine, solution):
            return ""
        return next((sentence for sentence, theirs in wrong_ones if same(mine, theirs)), "")


def numbers(value: Any) -> Numbers:
    """A value as JSON: tensors and arrays with their shape, containers entry by entry, anything else by its text."""
    if value is None or isinstance(value, (bool, str)):
        return ["text", [], [str(value)]]
    if isinstance(value, (int, float)):
        return ["number", [], [float(value)]]
    if hasattr(value, "detach"):
        value = value.detach().resolve_conj()
        value = value.to(dtype=value.real.double().dtype) if not value.is_complex() else __import__("torch").view_as_real(value).double()
        return ["number", list(value.shape), value.flatten().tolist()]
    if hasattr(value, "__array__"):
        return numbers(__import__("torch").as_tensor(value.copy()))
    if isinstance(value, dict):
        return ["dict", sorted(map(str, value)), [numbers(value[k]) for k in sorted(value, key=str)]]
    if isinstance(value, (list, tuple)):
        return ["list", [len(value)], [numbers(v) for v in value]]
    return ["text", [], [type(value).__name__]]


def same(a: Any, b: Any) -> bool:
    """Equal in structure and shape, and in every number up to rounding."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b

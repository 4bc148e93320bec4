"""Outside the sandbox: grades one student's notebooks, one ``Graded`` a task.

Nothing that comes out of a sandbox is believed without a look: findings are matched to the test that was sent, points are cut to its
range, texts are cut short. A task that ends its sandbox costs its own points; the next one gets a new sandbox.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from subprocess import DEVNULL, PIPE
from typing import Any

from course.assemble import Exercise, ExerciseError, Task, Test
from course.forbidden import Forbidden
from course.fork import SECONDS
from course.grade.canary import canary, sings
from course.grade.frames import Broken, receive, send
from course.grade.sandbox import Limits, Sandbox
from course.grade.serve import portable
from course.grade.tampering import repeats
from course.grading import Result, collect

START = 120.0  # seconds for importing torch and running the locked cells on a busy machine
REPLACED = "Your code {}, and the tests rely on what was there. A task that does this gets no points: leave it as it is."
FORBIDDEN = str(Forbidden("")).partition(":")[0]  # how the sentence begins
REPEATED = "Your code raises an error whose text repeats a line of a test; the text is not shown."
BRIBES = "makes comparisons of different things come out equal"
BRIBED = "After your code has run, comparisons of different things come out equal. A task that does this gets no points."


@dataclass
class Graded:
    """A task's result with what an instructor should look at; ``ended`` if it was stopped, or stopped itself, before its last test."""

    result: Result
    flags: list[str] = field(default_factory=list)
    ended: bool = False


class Session:
    """One student's sandbox, started when it is needed and again when a task has ended it; use it in a ``with``."""

    def __init__(self, *, inside: bool = True, limits: Limits = Limits()):
        self.inside, self.limits = inside, limits
        self.sandbox: Sandbox | None = None
        self.open: Exercise | None = None  # whose locked cells have run there

    def grade(self, exercise: Exercise, answers: dict[int, str], *, seconds: float = SECONDS) -> Iterator[Graded]:
        """Run the answers (number → cell) against the tests of ``exercise``, in order.

        Raises:
            ExerciseError: the exercise's own cells fail.
            CourseError: there is no sandbox here.
        """
        for number in sorted(answers):
            task = exercise.task(number)
            start = time.monotonic()
            self._prepare(exercise)
            before = self.sandbox.processes() if self.sandbox else 0
            findings, flags, ended = self._task(task, answers[number], seconds)
            result = collect(task, findings, ended)
            result.seconds = round(time.monotonic() - start, 3)
            if self.sandbox and self.sandbox.processes() != before:  # the next task starts in a clean one
                flags.append("leaves processes behind")
                self.close()
            yield Graded(result, flags, bool(ended))

    def probe(self, exercise: Exercise, number: int, source: str, code: str, *, seconds: float = 5.0) -> list | None:
        """The numbers of an answer on the probe in ``code``, or None."""
        self._prepare(exercise)
        found = None
        try:
            self._send({"probe": number, "source": source, "code": code, "seconds": seconds})
            while "ended" not in (message := self._receive(seconds + 5)):
                found = message.get("numbers", found)
        except Broken:
            self.close()
        return found if isinstance(found, list) else None

    def close(self) -> None:
        if self.sandbox:
            self.sandbox.close()
        self.sandbox, self.open = None, None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, exercise: Exercise) -> None:
        """A sandbox in which the locked cells of ``exercise`` have run."""
        if self.sandbox and self.open is exercise:
            return
        try:
            if self.sandbox and self.open:
                self._send({"close": True})
                while "closed" not in self._receive(10):
                    pass
        except Broken:
            self.close()
        if not self.sandbox:
            streams: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": DEVNULL}
            self.sandbox = Sandbox([sys.executable, "-m", "course.grade.serve"], self.limits, inside=self.inside, **streams)
        try:
            self._send({"notebook": portable(exercise)})
            reply = self._receive(START)
        except Broken as problem:
            why = self.sandbox.ended or str(problem)
            self.close()
            raise ExerciseError(f"The sandbox ended before any answer was run ({why}).") from None
        if "error" in reply:
            raise ExerciseError(str(reply["error"]))
        self.open = exercise

    def _task(self, task: Task, source: str, seconds: float) -> tuple[list[dict], list[str], str]:
        """Findings, flags, and why it ended early ('' if it did not)."""
        findings: list[dict] = []
        flags: list[str] = []
        used = ""  # the sentence about a forbidden name, if one was used
        try:
            self._send({"task": task.number, "source": source, "seconds": seconds})
            trouble = self._finding(seconds)
            if "trouble" not in trouble:
                raise Broken("no word of the answer")
            _note_replaced(trouble, flags)
            if trouble["trouble"]:
                findings = _nothing(task, str(trouble["trouble"])[:600])
                self._send({"test": None})
                return findings, flags, self._rest(findings, seconds)
            used = self._canary(task.tests[0], flags, seconds)
            for test in task.tests:
                found = self._run(test, seconds)
                findings.append(found)
                _note_replaced(found, flags)
                used = self._canary(test, flags, seconds) or used
            self._send({"test": None})
            ended = self._rest(findings, seconds)
        except _Ended as problem:
            ended = str(problem)
        except Broken:
            assert self.sandbox
            self.sandbox.process.poll()
            ended = self.sandbox.ended or "Your code ended the process that grades it, or it answered nonsense."
            self.close()
        printed = [f for f in findings if "output" in f]
        if used := used or next((f["message"] for f in findings if f.get("message", "").startswith(FORBIDDEN)), ""):
            findings = _nothing(task, used) + printed
        if flags:
            said = BRIBED if BRIBES in flags else REPLACED.format(flags[0])
            findings = _nothing(task, said) + printed
        tests = [test.source for test in task.tests]
        for found in findings:
            if repeats(found.get("message", ""), tests, source):
                found["message"] = REPEATED
        if repeats(ended, tests, source):
            ended = REPEATED
        if REPEATED in (ended, *(found.get("message") for found in findings)):
            flags.append("repeats a line of a test in an error's text")
        return findings, flags, ended

    def _run(self, test: Test, seconds: float) -> dict:
        """The finding of one test cell, made safe."""
        self._send({"test": {"id": test.id, "source": test.source, "points": test.points}})
        found = self._finding(seconds)
        points = found.get("points")
        if not isinstance(points, (int, float)) or isinstance(points, bool) or not math.isfinite(points) or found.get("id") != test.id:
            raise Broken("no finding")
        return found | {"points": min(max(float(points), 0.0), test.points), "message": str(found.get("message", ""))[:600]}

    def _canary(self, like: Test, flags: list[str], seconds: float) -> str:
        """Send a canary and note it if it does not sing. Once a forbidden name was used, every cell only says so: that is returned."""
        test, word = canary(like)
        found = self._run(test, seconds)
        _note_replaced(found, flags)
        if found["message"].startswith(FORBIDDEN):
            return found["message"]
        if not sings(found, word) and BRIBES not in flags:
            flags.append(BRIBES)
        return ""

    def _finding(self, seconds: float) -> dict:
        message = self._receive(seconds + 5)  # the sandbox keeps the limit itself; this is for one that cannot any more
        if "ended" in message:
            raise _Ended(str(message["ended"])[:600])
        return message

    def _rest(self, findings: list[dict], seconds: float) -> str:
        """What was printed, and how it ended."""
        while "ended" not in (message := self._receive(seconds + 5)):
            if "output" in message:
                findings.append({"output": str(message["output"])[:4000]})
        return str(message["ended"])[:600]

    def _send(self, message: dict) -> None:
        assert self.sandbox and self.sandbox.process.stdin
        send(self.sandbox.process.stdin.fileno(), message)

    def _receive(self, seconds: float) -> dict:
        assert self.sandbox and self.sandbox.process.stdout
        return receive(self.sandbox.process.stdout.fileno(), seconds)


def _nothing(task: Task, message: str) -> list[dict]:
    """No points for any test of a task, for one reason."""
    return [{"id": test.id, "points": 0.0, "message": message} for test in task.tests]


class _Ended(Exception):
    """The task's process is over; its limit or its own doing."""


def _note_replaced(found: dict, flags: list[str]) -> None:
    names = found.get("replaced")
    for name in names[:20] if isinstance(names, list) else []:
        if (flag := f"{'sets' if name == 'a trace function' else 'replaces'} {str(name)[:100]}") not in flags:
            flags.append(flag)

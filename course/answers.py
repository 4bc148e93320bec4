"""The known answers to an exercise: ``tests/answers/<chapter>/<NN_slug>.py``.

The file defines, for each task N, ``WRONG_N`` and ``RIGHT_N`` (dicts from a sentence to an answer), ``PROBE_N`` (a function of the
executed namespace that returns numbers by which answers are told apart), and ``PASTED`` (task → the lesson's own code).
An answer is the whole text of the cell ``task-N``, or ``replace(old, new)``: an edit of the solution's.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course.assemble import ExerciseError


@dataclass(frozen=True)
class Edit:
    old: str
    new: str


def replace(old: str, new: str) -> Edit:
    """The solution's cell with ``old``, which must be there exactly once, replaced by ``new``."""
    return Edit(old, new)


@dataclass
class Answers:
    path: Path
    wrong: dict[int, dict[str, str | Edit]] = field(default_factory=dict)
    right: dict[int, dict[str, str | Edit]] = field(default_factory=dict)
    probe: dict[int, Callable[[dict], Any]] = field(default_factory=dict)
    pasted: dict[int, str | Edit] = field(default_factory=dict)


def load(path: Path) -> Answers:
    """Read an answers file.

    Raises:
        ExerciseError: it cannot be run, or a name in it is misspelt.
    """
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise ExerciseError(f"{path.name} cannot be run: {type(error).__name__}: {error}") from error
    answers = Answers(path, pasted=names.get("PASTED", {}))
    for name, value in names.items():
        if found := re.fullmatch(r"(WRONG|RIGHT|PROBE)_(\d+)", name):
            getattr(answers, found[1].lower())[int(found[2])] = value
    return answers


def text(answer: str | Edit, solution: str) -> str:
    """The cell that an answer stands for; ``solution`` is the solution's cell.

    Raises:
        ExerciseError: ``replace`` does not match exactly once.
    """
    if isinstance(answer, str):
        return answer.strip("\n")
    count = solution.count(answer.old)
    if count != 1:
        raise ExerciseError(f"replace({answer.old!r}, …) matches the solution {count} times, not once: choose a longer piece of it.")
    return solution.replace(answer.old, answer.new)

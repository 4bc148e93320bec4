"""A small course of one lesson, whose exercise has three tasks: build (with a forbidden name), write the check, repair."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import nbformat
import pytest

from course.grading import Runner
from course.release import released

SYLLABUS = """
[[chapter]]
number = 98
slug = "98_examples"
title = "Examples"

[[lesson]]
number = 98
slug = "98_decay"
kind = "paper"
chapter = "98_examples"
title = "Decay"
minutes = 5
"""
SETUP = "import torch\nfrom minilib.check import assert_close, assert_shape"
TEXT = """## Task {0} · {1} ({2} points · difficulty 2 · 10 min)
Say what to do.
<details><summary>Hint 1</summary>A question?</details>
<details><summary>Hint 2</summary>The concept.</details>
<details><summary>Hint 3</summary>The line.</details>"""
DECAYED = """def decayed(x, a):
    ### BEGIN SOLUTION
    state, out = torch.zeros(len(x)), []
    for t in range(x.shape[1]):
        state = a * state + x[:, t]
        out.append(state)
    return torch.stack(out, dim=1)
    ### END SOLUTION"""
DECAYED_1 = """forbidden = {"torch.cumsum"}
x = torch.ones(1, 1)
assert_shape(decayed(x, 0.5), (1, 1))
assert_close(decayed(x, 0.5), x, "With one step, y equals x.")"""
DECAYED_2 = """# Odd sizes.
### BEGIN HIDDEN TESTS
x = torch.randn(3, 7)
assert_close(decayed(x, 1.0), torch.cumsum(x, 1), "With a = 1 it is the running sum. Check the recurrence.")
assert_close(decayed(torch.ones(1, 3), 0.5), torch.tensor([[1.0, 1.5, 1.75]]), "Old entries should fade by a.")
### END HIDDEN TESTS"""
CAUSAL = """def is_causal(f):
    ### BEGIN SOLUTION
    x = torch.randn(2, 6)
    changed = x.clone()
    changed[:, 3:] += 1
    return torch.allclose(f(x)[:, :3], f(changed)[:, :3])
    ### END SOLUTION"""
CAUSAL_1 = """judged = [(lambda x: x, True), (lambda x: x.flip(1), False)]
### BEGIN HIDDEN TESTS
judged += [(lambda x: x.cumsum(1), True), (lambda x: x - x.mean(1, keepdim=True), False)]
### END HIDDEN TESTS
2 * sum(is_causal(f) is verdict for f, verdict in judged) / len(judged)"""
GIVEN = "def normalise(x):\n    return torch.softmax(x, dim=0)"
ROWS = """def normalise(x):
    ### BEGIN SOLUTION
    return torch.softmax(x, dim=1)
    ### END SOLUTION"""
ROWS_1 = """x = torch.randn(2, 5)
### BEGIN HIDDEN TESTS
assert_close(normalise(x).sum(1), torch.ones(2), "Every row should sum to one. Along which axis do you normalise?")
### END HIDDEN TESTS
assert_shape(normalise(x), (2, 5))"""
ANSWERS = '''from course.answers import replace

WRONG_1 = {"never forgets": replace("a * state", "state"), "decays the input too": replace("+ x[:, t]", "+ a * x[:, t]")}
RIGHT_1 = {
    "fills in place": """
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
""",
    "multiplies the new state": replace("a * state + x[:, t]", "x[:, t] + state * a"),
}
PROBE_1 = lambda answer: answer["decayed"](answer["torch"].arange(8.0).reshape(2, 4), 0.5)
WRONG_2 = {"accepts everything": "def is_causal(f):\\n    return True", "accepts nothing": "def is_causal(f):\\n    return False"}
RIGHT_2 = {"smaller step": replace("+= 1", "+= 0.5"), "other cut": replace("3:] +=", "4:] +=")}
PROBE_2 = lambda answer: [answer["is_causal"](f) for f in (lambda x: x, lambda x: x.flip(1))]
WRONG_3 = {"divides by the sum": "def normalise(x):\\n    return x / x.sum(0)", "normalises everything": replace("dim=1", "dim=(0, 1)")}
RIGHT_3 = {
    "counts from the end": replace("dim=1", "dim=-1"),
    "by hand": "def normalise(x):\\n    return x.exp() / x.exp().sum(1, keepdim=True)",
}
PROBE_3 = lambda answer: answer["normalise"](answer["torch"].arange(6.0).reshape(2, 3))
PASTED = {1: "def decayed(x, a):\\n    return torch.cumsum(x, 1)", 3: "def normalise(x):\\n    return torch.softmax(x, dim=1)"}
'''


def cell(name: str, source: str, *, kind: str = "code", points: float | None = None, solution: bool = False, **metadata):
    """One notebook cell with nbgrader's metadata."""
    marks = {
        "grade": points is not None,
        "solution": solution,
        "locked": not solution,
        "task": False,
        "schema_version": 3,
        "grade_id": name,
    }
    if points is not None:
        marks["points"] = points
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(source, metadata={"nbgrader": marks} | metadata)


def solution_notebook():
    nb = nbformat.v4.new_notebook(metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}})
    nb.cells = [
        cell("exercise", "%load_ext course.exercise\n%exercise 98_decay"),
        cell("setup", SETUP),
        cell("task-1-text", TEXT.format(1, "A sum that forgets", 3), kind="markdown", course={"kind": "build"}),
        cell("task-1", DECAYED, solution=True),
        cell("task-1-tests", DECAYED_1, points=1),
        cell("task-1-tests-2", DECAYED_2, points=2),
        cell("task-2-text", TEXT.format(2, "Write the check", 2), kind="markdown", course={"kind": "check"}),
        cell("task-2", CAUSAL, solution=True),
        cell("task-2-tests", CAUSAL_1, points=2),
        cell("task-3-text", TEXT.format(3, "Find the line", 1), kind="markdown", course={"kind": "repair"}),
        cell("task-3-given", GIVEN),
        cell("task-3", ROWS, solution=True),
        cell("task-3-tests", ROWS_1, points=1),
        cell("written-1-text", "## In your own words (3 points)\nWhich experiment?", kind="markdown"),
        cell("written-1", "The model answer: a perturbation.", kind="markdown", points=3, solution=True),
        cell("written-1-rubric", "**Rubric**: one point each.", kind="markdown"),
    ]
    return nb


@cache
def texts() -> tuple[str, str]:
    """The solution notebook and its release as text."""
    nb = solution_notebook()
    return nbformat.writes(nb), released(nb)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repository with the one lesson; ``course`` works on it and remembers in it."""
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    solution, exercise = texts()
    for path, text in {
        "chapters/syllabus.toml": SYLLABUS,
        "solutions/98_examples/98_decay.ipynb": solution,
        "exercises/98_examples/98_decay.ipynb": exercise,
        "tests/answers/98_examples/98_decay.py": ANSWERS,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def runner() -> Runner:
    return Runner(nbformat.reads(texts()[0], as_version=4))


@pytest.fixture
def grade(runner):
    """``grade(task, source)``: the Result of one answer."""
    return lambda task, source, **limits: next(runner.grade({task: source}, **limits))


def write_answer(path: Path, name: str, source: str) -> None:
    """Save ``source`` in the cell ``name`` of a notebook, as a learner does."""
    nb = nbformat.read(path, as_version=4)
    next(c for c in nb.cells if c.metadata.nbgrader.grade_id == name).source = source
    nbformat.write(nb, path)


@pytest.fixture
def answer():
    return write_answer

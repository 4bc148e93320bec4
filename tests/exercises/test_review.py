"""`course review`: what is due when, what is asked, and that a learner's file is never lost."""

import ast
import time

import nbformat
import pytest

from course import review, store
from course.assemble import grade_id
from course.claims import MIME
from course.cli import main

SOLVED = {1: 3, 2: 2, 3: 1}  # points of the example's tasks


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def clock(monkeypatch):
    """``clock(days)`` moves the time on."""
    real, passed = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + passed[0])

    def move(days: float) -> None:
        passed[0] += days * review.DAY

    return move


@pytest.fixture
def solved(place):
    results = [{"task": n, "points": p, "possible": p, "message": "", "status": "passed"} for n, p in SOLVED.items()]
    store.record("98_decay", results)
    return place


def cell_of(path):
    nb = nbformat.read(path, as_version=4)
    return next(cell for cell in nb.cells if grade_id(cell).startswith("task-") and grade_id(cell)[5:].isdigit())


def test_nothing_is_due_before_the_exercise_is_solved(place, capsys):
    assert run("review") == 0
    assert "Nothing to review" in capsys.readouterr().out
    assert run("review", "98") == 1
    assert "not solved yet" in capsys.readouterr().err


def test_a_day_after_a_line_is_missing(solved, clock, answer, capsys):
    assert run("review") == 0
    assert "in 1 day" in capsys.readouterr().out
    clock(1.1)
    assert run("review") == 0 and run("progress") == 0
    out = capsys.readouterr().out
    assert "now" in out and "course review decay" in out and "1 lesson due for review" in out

    assert run("review", "98") == 0
    path = solved / "work/review/98_decay-1.ipynb"
    cell = cell_of(path)
    assert "one line is missing" in cell.source
    assert run("review", "98") == 0  # as it was given: the line is missing, and the file stays
    assert cell_of(path).source == cell.source and store.times("98_decay", "review missed") and not store.times("98_decay", "review passed")

    number = int(grade_id(cell)[5:])
    whole = {
        1: "def decayed(x, a):\n    y = x.clone()\n    for t in range(1, x.shape[1]):\n        y[:, t] += a * y[:, t - 1]\n    return y"
    }
    whole[3] = "def normalise(x):\n    return torch.softmax(x, dim=1)"
    answer(path, f"task-{number}", whole[number])
    capsys.readouterr()
    assert run("review", "98") == 0
    assert "Passed. The next one comes 7 days" in capsys.readouterr().out
    assert review.due(review.syllabus.load().find("98"))[0] == 1


def test_then_a_known_mistake_and_at_last_a_verdict(solved, clock, monkeypatch, capsys):
    store.note("98_decay", 0, "review passed")
    clock(8)
    assert run("review", "98") == 0
    cell = cell_of(solved / "work/review/98_decay-2.ipynb")
    assert "There is one mistake" in cell.source and "SOLUTION" not in cell.source
    ast.parse(cell.source)

    store.note("98_decay", 1, "review passed")
    rows = [
        {"lesson": "98_decay", "id": "C1", "claim": "It forgets", "paper": "always", "measured": "0.5", "rule": "r"}
        | {"verdict": "partly", "stable": True}
    ]
    output = nbformat.v4.new_output("display_data", data={MIME: rows})
    lesson = solved / "chapters/98_examples/98_decay.ipynb"
    lesson.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])]), lesson)
    for said, told in (("reproduced", "No: partly"), ("partly", "Right: partly")):
        monkeypatch.setattr(review.typer, "prompt", lambda _, said=said: said)
        capsys.readouterr()
        assert run("review", "98") == 0
        assert told in capsys.readouterr().out
    assert review.due(review.syllabus.load().find("98")) is None


def test_a_blank_is_one_line_of_a_computation():
    found = review.blanks("def f(x):\n    y = x.clone()\n    for t in x:\n        y += t * 2\n    return y")
    assert [text.split("\n").index(next(line for line in text.split("\n") if review.BLANK in line)) for text in found] == [1, 3]
    for text in found:
        ast.parse(text)

"""`course start`, `check` and `progress` as a learner types them."""

import json
import os
import threading
import time

import pytest

from course import store, study
from course.cli import main

DECAYED = "def decayed(x, a):\n    y = x.clone()\n    for t in range(1, x.shape[1]):\n        y[:, t] += a * y[:, t - 1]\n    return y"

CAUSAL = """def is_causal(f):
    x = torch.randn(2, 6)
    y = x.clone()
    y[:, 3:] += 1
    return torch.equal(f(x)[:, :3], f(y)[:, :3])"""


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def copy(place):
    assert run("start", "98", "--no-open") == 0
    return place / "work/exercises/98_examples/98_decay.ipynb"


def checked(capsys) -> dict:
    capsys.readouterr()
    assert run("check", "98", "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_start_never_overwrites(copy, capsys):
    copy.write_text("my work")
    assert run("start", "decay", "--no-open") == 0
    assert copy.read_text() == "my work" and "as you left it" in capsys.readouterr().out


def test_from_the_first_attempt_to_full_marks(copy, answer, capsys):
    assert run("check", "98") == 0
    out = capsys.readouterr().out
    assert out.count("not started") == 3 and "0 of 6 points" in out and store.scores("98_decay") == {}

    answer(copy, "task-1", DECAYED.replace("a * y[", "y["))
    answer(copy, "task-2", "def is_causal(f):\n    return True")
    assert run("check", "98") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Task 1 · A sum that forgets 1 of 3 Old entries should fade by a." in out
    assert "Your function behaves like one that never forgets." in out
    assert "Your function behaves like one that accepts everything." in out

    answer(copy, "task-1", DECAYED)
    answer(copy, "task-2", CAUSAL)
    answer(copy, "task-3", "def normalise(x):\n    return torch.softmax(x, 1)")
    answer(copy, "written-1", "I would perturb the future.")
    found = checked(capsys)
    assert (found["points"], found["possible"], found["hidden_tests"], found["changed"]) == (6, 6, True, False)
    assert found["written"] == [{"id": "written-1", "points": 3.0, "answered": True}]
    assert [t["status"] for t in found["tasks"]] == ["passed"] * 3
    assert store.scores("98_decay")[1].best == 3 and store.scores("98_decay")[1].attempts == 2
    assert run("progress") == 0
    assert "6 of 6" in (out := capsys.readouterr().out) and "1 of 1 done" in out


def test_edited_tests_have_no_effect(copy, answer, capsys):
    answer(copy, "task-1", "def decayed(x, a):\n    return 0")
    answer(copy, "task-1-tests", "pass")
    assert checked(capsys)["points"] == 0


def test_without_solutions_visible_tests_run_and_it_says_so(place, copy, answer, capsys):
    (place / "solutions/98_examples/98_decay.ipynb").unlink()
    answer(copy, "task-1", DECAYED)
    found = checked(capsys)
    assert not found["hidden_tests"] and found["tasks"][0]["points"] == 1 and found["tasks"][0]["possible"] == 1
    assert found["tasks"][0]["tests"][1]["hidden"]
    run("check", "98")
    assert "only the visible tests" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda path: path.unlink(), 1, "course start decay"),
        (lambda path: path.write_text("{"), 1, "not JSON"),
        (lambda path: path.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'), 1, "no cells"),
        (lambda path: path.write_text(path.read_text().replace('"grade_id": "task-2"', '"grade_id": "task-9"')), 1, "task-2 is missing"),
    ],
)
def test_bad_input_is_one_sentence(copy, capsys, damage, code, words):
    damage(copy)
    capsys.readouterr()
    assert run("check", "98") == code
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err and err.count("\n") == 1


def test_unknown_lesson_is_wrong_usage(place, capsys):
    assert run("check", "decoy") == 2
    assert "decay" in capsys.readouterr().err


def test_a_broken_set_up_is_one_sentence(place, copy, capsys):
    path = place / "solutions/98_examples/98_decay.ipynb"
    path.write_text(path.read_text().replace("import torch\\n", "import no_such_module\\n"))
    assert run("check", "98") == 1
    assert "no_such_module" in capsys.readouterr().err


def test_a_notebook_saved_meanwhile_is_graded_as_it_was(copy, answer, capsys):
    answer(copy, "task-3", "import time\ntime.sleep(1)\ndef normalise(x):\n    return torch.softmax(x, 1)")
    threading.Timer(0.3, lambda: os.utime(copy, (time.time(), time.time() + 5))).start()
    found = checked(capsys)
    assert found["changed"] and found["points"] == 1


def test_a_data_folder_that_is_a_file_stops_nothing(place, copy, answer, monkeypatch, capsys):
    (place / "file").write_text("")
    monkeypatch.setenv("COURSE_DATA", str(place / "file"))
    answer(copy, "task-3", "def normalise(x):\n    return torch.softmax(x, 1)")
    assert run("check", "98") == 0
    shown = capsys.readouterr()
    assert "1 of 6 points" in shown.out and "could not be remembered" in shown.err
    assert run("progress") == 1


def test_progress_speaks_of_calibration(place, capsys):
    with store.connected() as db:
        db.executemany("INSERT INTO predictions VALUES ('a', ?, '1 to 2', '1', ?, 0)", [(str(i), i < 5) for i in range(10)])
        db.execute("INSERT INTO predictions VALUES ('a', 'which', 'rises', 'falls', 0, 0)")
    assert run("progress") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "5 of your 10 ranges of 80 % held the result (50%): they are too narrow" in out and "0 of 1 right" in out


def test_links_still_lead_somewhere(place):
    exercise = place / "exercises/98_examples/98_decay.ipynb"
    exercise.write_text(exercise.read_text().replace("Say what to do.", "See [it](../../chapters/98_examples/98_decay.ipynb)."))
    copy, fresh = study.copy_of(study.syllabus.load().find("98"))
    assert fresh and "](../../../chapters/" in copy.read_text()

"""What is run: the learner's answers, and nothing else of the learner's."""

import copy

import nbformat
import pytest

from course.assemble import ExerciseError, assemble, grade_id, parse
from course.errors import CourseError


@pytest.fixture
def pair(place):
    read = lambda folder: nbformat.read(place / folder / "98_examples/98_decay.ipynb", as_version=4)  # noqa: E731
    return read("exercises"), read("solutions")


def named(nb, name):
    return next(cell for cell in nb["cells"] if grade_id(cell) == name)


def test_answers_are_the_learners_and_the_rest_is_the_sources(pair):
    learner, source = pair
    named(learner, "task-1").source = "mine = 1"
    named(learner, "task-1-tests").source = "pass"
    named(learner, "setup").source = "assert_close = print"
    learner.cells.append(nbformat.v4.new_code_cell("import os; os._exit(0)"))
    whole = assemble(learner, source)
    assert named(whole, "task-1")["source"] == "mine = 1"
    for name in ("task-1-tests", "setup", "task-1-tests-2"):
        assert named(whole, name)["source"] == named(source, name).source
    assert len(whole["cells"]) == len(source.cells)


def test_neither_notebook_is_changed(pair):
    before = copy.deepcopy(pair)
    assemble(*pair)
    assert pair == before


def test_points_come_from_the_source(pair):
    learner, source = pair
    named(learner, "task-1-tests").metadata.nbgrader.points = 100
    assert parse(assemble(learner, source)).task(1).points == 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda nb: nb.cells.remove(named(nb, "task-2")), "task-2 is missing"),
        (lambda nb: nb.cells.append(copy.deepcopy(named(nb, "task-2"))), "task-2 is there 2 times"),
        (lambda nb: named(nb, "task-2").update(cell_type="markdown"), "type markdown"),
        (lambda nb: nb.update(cells=[nbformat.v4.new_code_cell("1")]), "another lesson's"),
        (lambda nb: named(nb, "task-2").metadata.update(nbgrader="broken"), "task-2 is missing"),
    ],
)
def test_what_cannot_be_graded_is_said_in_a_sentence(pair, damage, words):
    learner, source = pair
    damage(learner)
    with pytest.raises(ExerciseError, match=words):
        assemble(learner, source)


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "{}", '{"cells": []}', '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "\x00\xff"]
)
def test_a_file_that_is_no_notebook_is_said_in_a_sentence(place, text):
    bad = place / "bad.ipynb"
    bad.write_text(text, encoding="latin-1")
    with pytest.raises(CourseError, match="bad.ipynb"):
        assemble(bad, place / "solutions/98_examples/98_decay.ipynb")


def test_tasks_carry_their_heading_and_hints(pair):
    exercise = parse(pair[0])
    task = exercise.task(1)
    assert (task.title, task.points, task.difficulty, task.minutes, task.kind) == ("A sum that forgets", 3, 2, 10, "build")
    assert task.hints == ("A question?", "The concept.", "The line.")
    assert task.forbidden == {"torch.cumsum"}
    assert exercise.written == {"written-1": ("YOUR ANSWER HERE", 3.0)}
    assert all(not source.startswith("%") for _, source in exercise.locked)
    with pytest.raises(ExerciseError, match="has tasks 1, 2, 3"):
        exercise.task(9)


def test_a_notebook_without_tasks_is_no_exercise():
    with pytest.raises(ExerciseError, match="no task"):
        parse({"cells": [{"cell_type": "markdown", "source": "hello", "metadata": {}}]})

"""The magics and the panel, in a real IPython shell."""

from types import SimpleNamespace

import ipywidgets as widgets
import pytest
from IPython.core.interactiveshell import InteractiveShell

from course import exercise, store
from course.panel import panel

STUB = "def decayed(x, a):\n    raise NotImplementedError"
RIGHT = "def decayed(x, a):\n    y = x.clone()\n    for t in range(1, x.shape[1]):\n        y[:, t] += a * y[:, t - 1]\n    return y"
WRONG = RIGHT.replace("a * y[", "y[")


@pytest.fixture
def shell(place, monkeypatch):
    for name in ("COURSE_HEADLESS", "NBGRADER_EXECUTION", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    exercise.load_ipython_extension(shell)
    yield shell
    exercise.unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


@pytest.fixture
def task(shell, capsys):
    """``task("check 1")``: what the text magic prints."""
    shell.run_line_magic("exercise", "98_decay")
    shell.run_cell("import torch", store_history=True)

    def call(line: str) -> str:
        capsys.readouterr()
        shell.run_line_magic("task", line)
        return capsys.readouterr().out.strip()

    return call


def test_a_wrong_answer_a_hint_the_right_answer(shell, task):
    assert "Run the cell of task 1 first" in task("check 1")
    shell.run_cell(STUB, store_history=True)
    assert "not started" in task("check 1")
    shell.run_cell(WRONG, store_history=True)
    said = task("check 1")
    assert "1 of 3 points" in said and "Old entries should fade" in said and "behaves like one that never forgets" in said
    assert task("hint 1") == "Hint 1 of 3: A question?"
    assert task("hint 1").endswith("Hint 2 of 3: The concept.")
    shell.run_cell(RIGHT, store_history=True)
    assert task("check 1").startswith("✓ Task 1 · A sum that forgets: 3 of 3 points.")
    assert store.scores("98_decay")[1].attempts == 2
    assert "best 3, 2 attempts" in task("") and "Task 2 · Write the check (2 points · difficulty 2 · 10 min): not tried yet" in task("")


def test_a_solution_comes_after_an_attempt(shell, task):
    assert "Check an attempt of your own first" in task("solution 3")
    shell.run_cell("def normalise(x):\n    return x", store_history=True)
    task("check 3")
    assert task("solution 3") == "def normalise(x):\n    return torch.softmax(x, dim=1)"
    assert "state = a * state" in task("solution 1 anyway")
    assert "The model answer" in task("solution written") and "Rubric" in task("solution written")


def test_reset_replaces_its_own_cell(shell, task, monkeypatch):
    put = []
    monkeypatch.setattr(shell, "set_next_input", lambda text, replace: put.append((text, replace)))
    task("reset 1")
    assert put == [(STUB, True)]


def test_a_file_that_differs_is_pointed_out(shell, task, place, answer):
    from course.cli import main

    with pytest.raises(SystemExit):
        main(["start", "98", "--no-open"])
    copy = place / "work/exercises/98_examples/98_decay.ipynb"
    answer(copy, "task-1", RIGHT)
    assert "has not been run since the kernel started" in task("check 1")
    shell.run_cell(WRONG, store_history=True)
    assert "holds another version" in task("check 1")
    answer(copy, "task-1", WRONG)
    assert "version" not in task("check 1")


def test_the_cells_name_counts_before_what_it_defines(shell, task):
    """JupyterLab tells which cell ran; a later cell of the learner's that defines the same name is not the answer."""
    shell.run_cell(WRONG, store_history=True, cell_id="task-1")
    shell.run_cell(RIGHT, store_history=True, cell_id="scratch")
    assert "1 of 3 points" in task("check 1")


def test_the_process_that_grades_may_die(shell, task):
    shell.run_cell(RIGHT, store_history=True)
    exercise.OPEN[0].worker().close()
    assert "3 of 3 points" in task("check 1")


@pytest.mark.parametrize(
    ("line", "words"),
    [("chek 1", "is not known"), ("check", "Which task?"), ("check two", "Which task?"), ("check 9", "has tasks 1, 2, 3")],
)
def test_a_wrong_line_is_a_sentence(task, line, words):
    assert words in task(line) and "\n" not in task(line)


def test_a_wrong_exercise_is_a_sentence(shell, capsys):
    shell.run_line_magic("exercise", "98_decoy")
    assert "decay" in capsys.readouterr().out
    shell.run_line_magic("task", "check 1")
    assert "Run the first cell" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["COURSE_HEADLESS", "NBGRADER_EXECUTION"])
def test_silent_where_nobody_looks(shell, capsys, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    shell.run_line_magic("exercise", "98_decay")
    shell.run_line_magic("task", "check 1")
    assert capsys.readouterr() == ("", "") and not exercise.OPEN


def find(widget, kind, description=None):
    """All widgets of a kind below ``widget``."""
    found = [widget] if isinstance(widget, kind) and description in (None, widget.description) else []
    return found + [w for child in getattr(widget, "children", ()) for w in find(child, kind, description)]


def test_the_panel_does_the_same_by_click(shell, task):
    shown = panel(exercise.OPEN[0])
    row = shown.children[1]
    button = SimpleNamespace(**{name: find(row, widgets.Button, name)[0] for name in ("Check", "Hint", "Solution", "Reset")})
    read = lambda: " ".join(w.value for w in find(row, widgets.HTML))  # noqa: E731
    copied = find(row, widgets.Textarea)[0]

    assert "not started" in read() and "3 points · difficulty 2 · 10 min" in read() and "not tried yet" in read()
    shell.run_cell(WRONG.replace("return y", "return y  # <script>"), store_history=True)
    button.Check.click()
    assert "partly" in read() and "1 of 3, 1 attempt" in read() and "never forgets" in read()
    button.Hint.click()
    assert "Hint 1 of 3" in read()
    button.Solution.click()
    assert "state = a * state" in copied.value and copied.layout.display == ""
    button.Reset.click()
    assert copied.value == STUB
    shell.run_cell(RIGHT, store_history=True)
    button.Check.click()
    assert "✓ passed" in read() and "best 3 of 6 points" in shown.children[0].value and copied.layout.display == "none"


def test_the_panel_asks_before_it_shows_a_solution(shell, task, place):
    row = panel(exercise.OPEN[0]).children[3]
    find(row, widgets.Button, "Solution")[0].click()
    anyway = find(row, widgets.Button, "Show it anyway")[0]
    assert anyway.layout.display == "" and not find(row, widgets.Textarea)[0].value
    anyway.click()
    assert "softmax" in find(row, widgets.Textarea)[0].value


def test_a_class_release_has_no_solutions_and_says_so(shell, place, capsys):
    (place / "solutions/98_examples/98_decay.ipynb").unlink()
    shell.run_line_magic("exercise", "98_decay")
    shown = panel(exercise.OPEN[0])
    assert "no solutions in this copy" in shown.children[0].value
    find(shown.children[1], widgets.Button, "Solution")[0].click()
    assert "no solutions in this copy" in find(shown.children[1], widgets.HTML)[1].value


def test_text_of_a_learner_is_no_html(shell, task):
    shell.run_cell("def decayed(x, a):\n    raise ValueError('<script>alert(1)</script>')", store_history=True)
    row = panel(exercise.OPEN[0]).children[1]
    find(row, widgets.Button, "Check")[0].click()
    assert all("<script>" not in w.value for w in find(row, widgets.HTML))

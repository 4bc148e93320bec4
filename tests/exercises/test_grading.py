"""Answers and their scores; learners' mistakes as sentences; code that means harm."""

import time

import pytest

from course.sentences import NOT_STARTED

LOOP = "    for t in range(1, x.shape[1]):\n        y[:, t] += a * y[:, t - 1]\n    return y"
RIGHT = "def decayed(x, a):\n    y = x.clone()\n" + LOOP


def test_solution_scores_full_and_stub_nothing(runner):
    solved = list(runner.grade({task.number: task.source for task in runner.exercise.tasks}))
    assert [(r.points, r.status) for r in solved] == [(3, "passed"), (2, "passed"), (1, "passed")]
    stubs = {
        1: "def decayed(x, a):\n    raise NotImplementedError",
        2: "raise NotImplementedError",
        3: "def normalise(x):\n    raise NotImplementedError()",
    }
    assert [(r.points, r.status) for r in runner.grade(stubs)] == [(0, "not started")] * 3


def test_the_last_number_is_partial_credit(grade):
    result = grade(2, "def is_causal(f):\n    return True")
    assert (result.points, result.status) == (1, "partly") and "1 of 2 points" in result.message


def test_points_of_tests_add_up(grade):
    result = grade(1, "def decayed(x, a):\n    return x")
    assert (result.points, result.possible, result.status) == (1, 3, "partly")
    assert result.message.startswith("With a = 1 it is the running sum")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def decayed(x, a)\n    return x", ["line 1", "`def decayed(x, a)`", "expected ':'"]),
        ("%timeit 1\n" + RIGHT, ["Line 1 is a notebook command"]),
        ("def decayed(x, a):\n    y = x + undefined\n    return y", ["`undefined` is not defined", "your line 2"]),
        ("def other(x, a):\n    return x", ["`decayed`", "does not define"]),
        ("def decayed(x, a):\n    x + a", ["None"]),
        ("def decayed(x, a):\n    return x @ torch.ones(7, 2)", ["RuntimeError", "your line 2", "return x @ torch.ones(7, 2)"]),
        ("def decayed(x, a):\n    return torch.cat([x, x])", ["shape", "(2, 1)"]),
        ("def decayed(x, a):\n    return x * float('nan')", ["NaN"]),
        ("def decayed(x, a):\n    return [x]", ["list"]),
        ("def decayed(x):\n    return x", ["argument"]),
        ("def decayed(x, a):\n    return decayed(x, a)", ["calls itself without end"]),
        ("def decayed(x, a):\n    return input()", ["waits for someone to type"]),
        ("1 / 0", ["ZeroDivisionError", "your line 1"]),
        ("def decayed(x, a):\n    assert False, 'mine'", ["AssertionError: mine", "your line 2"]),
        ("x = '\\ud800'.encode()\n", ["UnicodeEncodeError"]),
        ("", ["`decayed`"]),
    ],
)
def test_mistakes_are_sentences_with_the_learners_line(grade, source, words):
    message = grade(1, source).message
    assert all(word in message for word in words), message
    assert "Traceback" not in message and "\n" not in message and len(message) < 500


def test_an_error_in_one_task_leaves_the_others_alone(runner):
    results = list(
        runner.grade(
            {1: "import os; os._exit(1)", 2: runner.exercise.task(2).source, 3: "def normalise(x):\n    return torch.softmax(x, -1)"}
        )
    )
    assert [r.points for r in results] == [0, 2, 1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\nos._exit(0)", "ended the whole process"),
        ("import sys\nsys.exit(0)", "tries to end the program"),
        ("raise KeyboardInterrupt", "tries to end the program"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "ended the whole process"),
        ("x = bytearray(8 << 30)", "more memory"),
        ("x = torch.zeros(1 << 34)", "more memory"),
        ("class Sly(Exception):\n    def __str__(self): raise ValueError\nraise Sly", "raised an error (Sly)"),
        ("f = lambda: f()\nf()", "calls itself without end"),
        ("open('big', 'wb').write(bytes(1 << 27))", "OSError"),
    ],
)
def test_hostile_code_costs_its_own_points_only(grade, source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = grade(1, source)
    assert result.points == 0 and words in result.message, result.message


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass",
        "import os\nos.fork()\nwhile True: pass",
    ],
)
def test_an_endless_loop_is_stopped(grade, source):
    start = time.monotonic()
    result = grade(1, source, seconds=0.5)
    assert "longer than 0.5 seconds" in result.message and time.monotonic() - start < 5


def test_points_before_a_crash_count(grade):
    result = grade(1, "import os\ndef decayed(x, a):\n    if x.numel() > 1:\n        os._exit(0)\n    return x")
    assert [t.points for t in result.tests] == [1, 0] and "ended the whole process" in result.message


def test_output_is_kept_short(grade):
    result = grade(
        1,
        "print('hello')\nprint('x' * 10_000_000)\nfor _ in range(10_000): print('y' * 1000)\nimport os\nos.write(1, b'z' * 100_000)\n"
        + RIGHT,
    )
    assert result.points == 3 and result.output.startswith("hello") and len(result.output) < 20_000


@pytest.mark.parametrize(
    "sabotage",
    [
        "assert_close = assert_shape = lambda *a, **k: None",
        "import minilib.check\nminilib.check.assert_close = lambda *a, **k: None\nminilib.check._compare = lambda *a: ('', '')",
        "import minilib.check\ndel minilib.check._compare, minilib.check.assert_shape",
        "import builtins\nbuiltins.float = lambda x: 0.0\nbuiltins.isinstance = lambda a, b: True\ndel builtins.len",
        "torch.where = lambda *a: torch.zeros(1)\ndel torch.as_tensor",
        "import sys\nsys.settrace(lambda *a: None)",
        "class AssertionError(Exception): pass",
        "import torch as t, sys\nsys.modules['torch'] = None",
        "torch.manual_seed = lambda s: None",
    ],
)
def test_sabotage_has_no_effect(grade, sabotage):
    assert grade(1, sabotage + "\n" + RIGHT).points == 3
    assert grade(1, sabotage + "\ndef decayed(x, a):\n    return x * 0 + 7").points == 0


def test_the_same_answer_gets_the_same_numbers(grade):
    source = "def decayed(x, a):\n    raise ValueError(torch.rand(1).item())"
    assert grade(1, source).message == grade(1, source).message


def test_nothing_of_an_answer_stays_in_the_runner(runner, grade):
    before = set(runner.scope)
    grade(1, "leak = 1\nimport minilib.check\nminilib.check.leak = 1\n" + RIGHT)
    import minilib.check

    assert set(runner.scope) == before and not hasattr(minilib.check, "leak")


def test_not_started_is_not_an_error_of_torch(grade):
    assert grade(1, "def decayed(x, a):\n    raise NotImplementedError").message == NOT_STARTED
    assert grade(1, "def decayed(x, a):\n    return x.foo()").message != NOT_STARTED

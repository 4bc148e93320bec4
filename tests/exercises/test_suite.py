"""The suite of answers itself: it passes on a sound exercise and catches each way in which one can be unsound."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "answers"


def suite(place) -> tuple[int, str]:
    """Run tests/answers on the small course."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", f"--confcutdir={SUITE}", str(SUITE)]
    paths = os.pathsep.join([str(SUITE.parents[1]), *sys.path])
    done = subprocess.run(
        command, env=os.environ | {"COURSE_ROOT": str(place), "PYTHONPATH": paths}, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout


def test_a_sound_exercise_passes(place):
    code, out = suite(place)
    assert code == 0, out


ANSWERS, SOLUTION = "tests/answers/98_examples/98_decay.py", "solutions/98_examples/98_decay.ipynb"


def test_flaws_of_the_answers_are_named(place):
    answers = (place / ANSWERS).read_text()
    answers = answers.replace('replace("a * state", "state")', 'replace("a * state", "state * a")')  # a wrong answer that is right
    answers = answers.replace('replace("dim=1", "dim=-1")', 'replace("dim=1", "dim=0")')  # a right answer that is wrong
    answers = answers.replace('[answer["is_causal"](f) for f in (lambda x: x, lambda x: x.flip(1))]', "[1]")  # a probe that tells nothing
    answers = answers.replace(
        'PASTED = {1: "def decayed(x, a):\\n    return torch.cumsum(x, 1)"', 'PASTED = {1: RIGHT_1["fills in place"]'
    )  # 4 of 6
    (place / ANSWERS).write_text(answers)
    code, out = suite(place)
    assert code == 1
    for words in (
        "WRONG_1['never forgets'] gets all 3 points",
        "RIGHT_3['counts from the end'] gets 0 of 1",
        "PROBE_2 gives WRONG_2['accepts everything'] the solution's numbers",
        "PASTED earns 4 of 6 points (task 1: 3, task 3: 1)",
    ):
        assert words in out, out


def test_flaws_of_the_solution_are_named(place):
    text = (place / SOLUTION).read_text()
    for old, new in (
        ("x = torch.ones(1, 1)\\n", "x = torch.ones(1, 1)\\nassert True\\n"),
        ("x = torch.randn(2, 5)\\n", "decayed(x, 1)\\nx = torch.randn(2, 5)\\n"),
        ('\\"torch.cumsum\\"', '\\"torch.cumsomething\\"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (place / SOLUTION).write_text(text)
    code, out = suite(place)
    assert code == 1
    for words in ("task-1-tests asserts `True` without a message", "the solution of task 3 gets 0 of 1", "which does not exist"):
        assert words in out, out


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (ANSWERS, 'replace("+ x[:, t]", ', 'replace("+ y", ', "matches the solution 0 times"),
        (ANSWERS, "RIGHT_2", "LEFT_2", "RIGHT_2 has 0 answers"),
        (ANSWERS, "from course", "import nothing\nfrom course", "cannot be run"),
        (SOLUTION, ") / len(judged)", ") / torch.tensor(float(len(judged)))", "wrap it in float"),
    ],
)
def test_a_flaw_is_named(place, file, old, new, words):
    text = (place / file).read_text()
    assert old in text
    (place / file).write_text(text.replace(old, new, 1))
    code, out = suite(place)
    assert code == 1 and words in out, out

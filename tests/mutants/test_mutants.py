"""Three lessons a commit, chosen by its hash: a broken build step is stopped by a check before *Train it*. And the engine itself."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from mutation import Cell, cells_before_training, chosen, judge, mutants

from course import root
from course.syllabus import load

HERE = Path(__file__).parent


def of_this_commit() -> list:
    """The same three for everybody who has this commit; all of them in turn over the commits."""
    notebooks = (lesson for lesson in load().lessons if lesson.notebook.exists())
    standing = [lesson for lesson in notebooks if any(cell.step for cell in cells_before_training(lesson.notebook))]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root(), capture_output=True, text=True).stdout.strip() or "no commit"
    return random.Random(commit).sample(standing, min(3, len(standing)))


@pytest.mark.parametrize("lesson", of_this_commit(), ids=lambda lesson: lesson.slug)
def test_mutants_are_stopped(lesson, record_property):
    done = subprocess.run([sys.executable, str(HERE), lesson.slug], capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or [""]
    record_property("mutants", lines[-1])
    way_out = "Strengthen a check of the step, or name the mutant as equivalent with its reason."
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{way_out}"


STEP = """
def scores(q, k, *, causal):
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"{q.shape[-1] + 1}")
    s = q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5
    visible = torch.ones(s.shape[-2:], dtype=torch.bool).tril()
    s = s.masked_fill(~visible, float("-inf")) if causal else s
    return s.softmax(dim=-1)
"""


def test_every_kind_of_slip_is_made():
    names = [mutant.name for mutant in mutants(Cell(1, STEP, "step 1"))]
    for slip in (
        "k.shape[-1] ** 0.5 → q @ k.transpose(-1, -2)",  # the scale is gone
        "k.transpose(-1, -2) → k",
        ".tril() → torch.ones(s.shape[-2:], dtype=torch.bool).tril(diagonal=-1)",
        "s.softmax(dim=-1) → s.softmax(dim=-2)",
        "return s.softmax(dim=-1) → return -s.softmax(dim=-1)",
        "return s.softmax(dim=-1) → return q",
    ):
        assert any(slip in name for name in names), f"{slip} is not among\n" + "\n".join(names)
    assert all(name.startswith("step 1 · scores · L") for name in names)
    assert not any("+ 1" in name and "L4" in name for name in names), "the message of an error is not worth a mutant"


def test_a_choice_takes_every_kind_first():
    found = mutants(Cell(1, STEP, "step 1"))
    kinds = len({mutant.kind for mutant in found})
    assert len({mutant.kind for mutant in chosen(found, kinds)}) == kinds
    assert len(chosen(found, None)) == len(found)


def _notebook(path: Path, check: str, equivalent: dict | None = None) -> Path:
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    step = new_code_cell(
        "%matplotlib inline\ndef half(x):\n    return x / 2\n", metadata={"course": {"equivalent_mutants": equivalent or {}}}
    )
    head, train = new_markdown_cell("## Build it\n### Step 1 · Halve"), new_markdown_cell("## Train it")
    nbformat.write(new_notebook(cells=[head, step, new_code_cell(check), train, new_code_cell("1 / 0")]), path)
    return path


def test_a_check_that_looks_stops_all_and_training_is_never_reached(tmp_path):
    result = judge(_notebook(tmp_path / "strict.ipynb", "assert half(3) == 1.5"), say=lambda line: None)
    assert result.stopped == result.tried >= 3
    assert not result.problems


def test_a_check_that_does_not_look_is_found_out(tmp_path):
    result = judge(_notebook(tmp_path / "lax.ipynb", "assert half(0) == 0"), say=lambda line: None)
    assert result.stopped == 0
    assert any("cell 2 survives: step 1 · half · L3 x / 2 → x" in problem for problem in result.problems)


def test_equivalent_mutants_are_named_and_must_exist(tmp_path):
    names = {mutant.name: "for the test" for mutant in mutants(Cell(2, "\ndef half(x):\n    return x / 2\n", "step 1"))}
    result = judge(_notebook(tmp_path / "named.ipynb", "assert half(0) == 0", names), say=lambda line: None)
    assert result.tried == 0 and result.equivalent == len(names) and not result.problems
    result = judge(_notebook(tmp_path / "stale.ipynb", "assert half(3) == 1.5", {"step 1 · half · L3 gone": "old"}), say=lambda line: None)
    assert any("is no mutant" in problem for problem in result.problems)


def test_a_mutant_that_never_ends_counts_as_stopped():
    from mutation import attempt

    assert "no end" in attempt(lambda: exec("while True: pass"), seconds=0.3)


def test_a_lesson_that_fails_by_itself_is_told_so(tmp_path):
    result = judge(_notebook(tmp_path / "broken.ipynb", "assert half(3) == 3"), say=lambda line: None)
    assert result.problems[-1] == "cell 3 fails as it stands, before any change: AssertionError: "

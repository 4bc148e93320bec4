"""exercises/ from solutions/: nothing that solves a task gets through, the same bytes every time, and nbgrader accepts the result."""

import json
import sys

import nbformat
import pytest

from course import notebooks
from course.cli import main
from course.errors import CourseError
from course.release import all_solutions, release, released
from course.syllabus import load


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_exercises_agree_with_their_solutions():
    """The tree's own: what `course release --check` says."""
    for solution, exercise in all_solutions(load().root):
        assert release(solution, exercise, check=True), f"{exercise} is not what {solution} gives: `course release {solution.stem}`"


def test_nothing_of_the_solution_is_left(place):
    text = (place / "exercises/98_examples/98_decay.ipynb").read_text()
    for secret in ("SOLUTION", "HIDDEN", "state = a", "dim=1)\\n    ", "perturbation", "Rubric", "Old entries"):
        assert secret not in text
    assert "raise NotImplementedError" in text and "YOUR ANSWER HERE" in text


def test_cells_keep_their_names_and_locks(place):
    nb = nbformat.read(place / "exercises/98_examples/98_decay.ipynb", as_version=4)
    nbformat.validate(nb)
    assert [c.id for c in nb.cells] == [c.metadata.nbgrader.grade_id for c in nb.cells]
    for c in nb.cells:
        assert c.metadata.get("editable", True) is bool(c.metadata.nbgrader.solution)
        assert c.metadata.deletable is False


def test_same_solution_same_bytes(place):
    source = notebooks.read(place / "solutions/98_examples/98_decay.ipynb")
    first = released(source)
    for i, cell in enumerate(source.cells):  # what editors change
        cell.id = f"other{i}"
        cell.metadata["scrolled"] = True
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = i, [nbformat.v4.new_output("stream", text="hello")]
    source.metadata["widgets"] = {}
    assert released(source) == first


def test_check_names_what_differs_and_changes_nothing(place, capsys):
    exercise = place / "exercises/98_examples/98_decay.ipynb"
    assert run("release", "--check") == 0
    exercise.write_text(exercise.read_text().replace("Say what", "Tell what"))
    before = exercise.read_bytes()
    assert run("release", "--check") == 1
    assert "exercises/98_examples/98_decay.ipynb" in capsys.readouterr().err and exercise.read_bytes() == before
    assert run("release") == 0 and run("release", "--check") == 0


def test_an_exercise_without_solution_is_reported(place, capsys):
    (place / "solutions/98_examples/98_decay.ipynb").unlink()
    assert run("release", "--check") == 1
    assert "no solution" in capsys.readouterr().err


@pytest.mark.parametrize(
    "old, new", [("### END SOLUTION", "### END"), ('"grade_id": "task-2"', '"grade_id": "task-1"'), ("### END HIDDEN TESTS", "#")]
)
def test_a_broken_solution_is_refused_in_a_sentence(place, old, new):
    path = place / "solutions/98_examples/98_decay.ipynb"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CourseError, match="nbgrader refuses"):
        release(path, place / "out.ipynb")
    assert not (place / "out.ipynb").exists()


def test_without_nbgrader_a_sentence_says_how_to_get_it(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader.preprocessors", None)
    with pytest.raises(CourseError, match="classroom"):
        released(notebooks.read(place / "solutions/98_examples/98_decay.ipynb"))


def test_nbgrader_config_releases_the_same_text(place):
    """The pipeline of `nbgrader generate_assignment`, as nbgrader_config.py sets it, up to the gradebook."""
    from pathlib import Path

    from nbgrader.preprocessors import SaveCells
    from traitlets.config import Config

    import course.release

    config = Config()
    exec((Path(course.release.__file__).parents[1] / "nbgrader_config.py").read_text(), {"get_config": lambda: config})
    nb = notebooks.read(place / "solutions/98_examples/98_decay.ipynb")
    for step in config.GenerateAssignment.preprocessors:
        if step is not SaveCells and step.__name__ != "InstantiateTests":
            nb, _ = step(config=config).preprocess(nb, {})
    ours = json.loads((place / "exercises/98_examples/98_decay.ipynb").read_text())
    assert [c.source for c in nb.cells] == ["".join(c["source"]) for c in ours["cells"]]
    assert [c.metadata.nbgrader for c in nb.cells] == [c["metadata"]["nbgrader"] for c in ours["cells"]]

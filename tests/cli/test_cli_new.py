"""`course new` and `course doctor`."""

import ast
import subprocess
import tomllib

import pytest

from course import doctor, syllabus

NAMES = (
    "chapters/03_state_spaces/14_mambamixer.ipynb",
    "solutions/03_state_spaces/14_mambamixer.ipynb",
    "tests/answers/03_state_spaces/14_mambamixer.py",
)


def test_skeleton_of_a_listed_paper_runs_and_has_the_contracts_headings(course):
    listing = (course.root / "chapters/syllabus.toml").read_text()
    code, out, _ = course.type("new", "14", "mambamixer")
    assert code == 0 and all(name in out for name in NAMES)
    lesson, solution = (course.read(course.root / name) for name in NAMES[:2])
    headings = [
        line[3:] for cell in lesson.cells for line in cell.source.splitlines() if cell.cell_type == "markdown" and line.startswith("## ")
    ]
    assert headings == [
        "The question",
        "The idea",
        "Build it",
        "Train it",
        "What the paper claims, what we measured",
        "Explore",
        "Larger run",
        "Exercises and further reading",
    ]
    assert lesson.cells[0].source.startswith("# MambaMixer") and "[Mamba](../03_state_spaces/13_mamba.ipynb)" in lesson.cells[0].source
    marks = {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader for cell in solution.cells if "nbgrader" in cell.metadata}
    assert marks["task-1"].solution and not marks["task-1"].grade and marks["task-1-tests-2"].points == 1
    assert {"task-3-tests", "written-1", "written-1-rubric"} <= marks.keys()
    ast.parse((course.root / NAMES[2]).read_text())
    assert (course.root / "chapters/syllabus.toml").read_text() == listing
    assert not any("@" in cell.source for cell in [*lesson.cells, *solution.cells])
    assert course.type("run", "14")[0] == 0


def test_a_new_paper_is_added_to_the_syllabus(course, sentence):
    assert "--chapter with one of 03_state_spaces" in sentence("new", "54", "titans", code=2)
    assert course.type("new", "54", "54_titans", "--chapter", "03_state_spaces")[0] == 0
    lesson = syllabus.load().find("titans")
    assert lesson.number == 54 and lesson.slug == "54_titans" and lesson.notebook.exists()
    listed = tomllib.loads((course.root / "chapters/syllabus.toml").read_text())["lesson"]
    chapters = [entry["chapter"] for entry in listed]
    place = [entry["slug"] for entry in listed].index("54_titans")
    assert place == max(i for i, chapter in enumerate(chapters) if chapter == "03_state_spaces"), "the entry stands last in its chapter"
    assert listed[place].keys() >= {key for entry in listed for key in entry if entry.get("kind") != "start"} - {"time_limit"}


def test_nothing_is_overwritten_and_nothing_half_done(course, sentence):
    answers = course.root / NAMES[2]
    answers.parent.mkdir(parents=True)
    answers.write_text("mine")
    assert "exists already, so nothing was written" in sentence("new", "14", "mambamixer")
    assert answers.read_text() == "mine" and not (course.root / NAMES[0]).exists()


@pytest.mark.parametrize(
    ("words", "says"), [(("13", "momba"), "course new 13 mamba"), (("15", "mamba"), "mamba is 13"), (("54", "Titans!"), "lower-case")]
)
def test_names_must_agree_with_the_syllabus(course, sentence, words, says):
    assert says in sentence("new", *words, code=2)


def test_doctor_says_what_is_there(course, monkeypatch):
    monkeypatch.setattr(doctor, "_torch", lambda: iter([doctor.Finding("PyTorch", "2.13.0")]))  # importing it takes seconds
    monkeypatch.setattr(doctor, "_triton", lambda: iter([]))
    code, out, _ = course.type("doctor")
    assert code == 0
    for word in ("Python", "dependencies", "PyTorch", "Jupyter kernel", "bubblewrap", "Chromium", "nbgrader", "your progress", "versions"):
        assert word in out


def test_doctor_tells_what_to_type_and_fails_only_for_what_is_needed(course, monkeypatch):
    missing = [
        doctor.Finding("Triton", "missing", "pip install it"),
        doctor.Finding("PyTorch", "missing", "pip install torch", needed=True),
    ]
    monkeypatch.setattr(doctor, "findings", lambda: iter(missing[:1]))
    assert course.type("doctor")[0] == 0
    monkeypatch.setattr(doctor, "findings", lambda: iter(missing))
    code, out, _ = course.type("doctor")
    assert code == 1 and "missing: pip install torch" in out


@pytest.mark.parametrize(("said", "found"), [("right", "adds one correctly"), ("wrong", "its numbers are wrong"), ("", "fails (boom)")])
def test_doctor_judges_tritons_interpreter_by_its_numbers(monkeypatch, said, found):
    monkeypatch.setattr(doctor, "_version", lambda name: "3.1")
    monkeypatch.setattr(doctor, "_python", lambda *_, **__: subprocess.CompletedProcess([], 0, said, "Traceback\nboom"))
    assert found in [finding.found for finding in doctor._triton()]


def test_doctor_compares_versions_with_the_locked_ones(course, monkeypatch):
    (course.root / "constraints.txt").write_text("typer==0.0.1\nrich==0.0.2\n")
    (course.root / "pyproject.toml").write_text('[project]\ndependencies = ["typer>=0.12"]\n')
    finding = doctor._against_constraints()
    assert "(there 0.0.1)" in finding.found and "rich" not in finding.found and "LOCKED=1" in finding.fix


def test_doctor_counts_outputs_that_were_made_elsewhere(course):
    course.write("1")
    nb = course.read()
    nb.metadata["course"] = {"code_hash": "a", "python": "3.99", "torch": doctor._version("torch").rpartition(".")[0]}
    import nbformat

    nbformat.write(nb, course.lesson)
    assert "1 with Python 3.99" in doctor._against_outputs().found

"""What `make all-lessons` enters: costs, verdicts over seeds, and what differs from the stored outputs."""

import importlib.util
import json
import sys

import pytest
from small_course import claim

import course as package
from course import syllabus

VARIES = 'import os\nv = "partly" if os.environ["COURSE_SEED"] == "20" else "reproduced"\n'


@pytest.fixture
def lessons(course, monkeypatch, tmp_path):
    """benchmarks/lessons.py, with its records in the small course."""
    monkeypatch.delenv("COURSE_ROOT")
    script = package.root() / "benchmarks" / "lessons.py"
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
    spec = importlib.util.spec_from_file_location("benchmark_lessons", script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # worker processes look the function up by its module's name
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RECORDS", tmp_path / "lessons.json")
    monkeypatch.setattr(module, "PAGE", tmp_path / "lessons.md")
    return module


def run(lessons, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["lessons.py", *words])
    return lessons.main()


def test_verdicts_are_counted_over_seeds_and_a_stable_one_that_differs_fails(course, lessons, monkeypatch, capsys):
    course.write("# Mamba", claim("C1"), VARIES + claim("C2", "v"), VARIES + claim("C3", "v", stable=False))
    assert course.type("run", "13", "--keep")[0] == 0
    assert run(lessons, monkeypatch, "13", "--seeds", "3", "--jobs", "1") == 1
    assert "13_mamba, seed 20: C2 partly, stored reproduced" in " ".join(capsys.readouterr().out.split())
    page = lessons.PAGE.read_text()
    assert "C1 reproduced 3; C2 reproduced 2, partly 1; C3 reproduced 2, partly 1 (declared as varying) – 3 runs" in page
    assert run(lessons, monkeypatch, "13", "--seeds", "3", "--jobs", "1") == 0, "runs that are entered are not repeated"


def test_a_frequency_declared_later_leaves_the_runs_valid_but_other_code_does_not(course, lessons):
    mamba = syllabus.load().find("13")
    run = {"seconds": 1.0, "cpu": 1.0, "peak": 2**20, "verdicts": {}}
    course.write('claims.declare("C1", rule=lambda x: x > 1)')
    lessons.enter(mamba, 10, run)
    course.write('claims.declare("C1", rule=lambda x: x > 1, stable=False, frequency="3 of 5")  # counted')
    lessons.enter(mamba, 20, run)
    assert json.loads(lessons.RECORDS.read_text())["13_mamba"]["runs"].keys() == {"10", "20"}
    assert lessons.missing([mamba], 2) == [] and lessons.missing([mamba], 3) == [(mamba, 30)]
    course.write('claims.declare("C1", rule=lambda x: x > 2)')
    assert len(lessons.missing([mamba], 3)) == 3
    assert "(code changed since)" in lessons.page([mamba])
    lessons.enter(mamba, 10, run)
    assert json.loads(lessons.RECORDS.read_text())["13_mamba"]["runs"].keys() == {"10"}


def test_a_lesson_that_fails_is_entered_with_its_sentence_and_run_again(course, lessons, monkeypatch, capsys):
    course.write("x = 1 / 0")
    assert run(lessons, monkeypatch, "13", "--seeds", "2", "--jobs", "1") == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert "ZeroDivisionError" in json.loads(lessons.RECORDS.read_text())["13_mamba"]["runs"]["10"]["failed"]
    assert len(lessons.missing([syllabus.load().find("13")], 2)) == 2

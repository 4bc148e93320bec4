"""`course claims` and the hash that ties stored outputs to code."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from small_course import claim

from course import claims, syllabus
from course.hashing import code_hash, is_fresh, modules

KEYS = ["lesson", "id", "claim", "paper", "measured", "verdict", "rule", "stable"]
MARKS = "before\n<!-- claims:begin -->\nold\n<!-- claims:end -->\nafter\n"


def output(name, verdict="reproduced", stable=True):
    row = dict(zip(KEYS, ["13_mamba", name, "it | works", "1.0", "0.9", verdict, "> 0.5", stable], strict=True))
    return {"output_type": "display_data", "metadata": {}, "data": {claims.MIME: [row | {"extra": 1}], "text/plain": name}}


@pytest.fixture
def told(course):
    course.write("x", claim("C1"))
    nb = course.read()
    nb.cells[1].outputs = [output("C1"), output("C2", "not at this scale", stable=False)]
    course.lesson.write_text(json.dumps(nb))
    return course


def test_json_is_the_stable_interface(told):
    code, out, _ = told.type("claims", "--json")
    rows = json.loads(out)
    assert code == 0 and [list(row) for row in rows] == [KEYS, KEYS]
    assert [row["verdict"] for row in rows] == ["reproduced", "not at this scale"]


def test_table_shows_verdicts(told):
    _, out, _ = told.type("claims")
    assert "13_mamba" in out and "not at this scale (varies with the seed)" in " ".join(out.split())


def test_write_renews_what_stands_between_the_marks(told):
    (told.root / "docs").mkdir()
    for page in ("README.md", "docs/claims.md"):
        (told.root / page).write_text(MARKS)
    assert told.type("claims", "--write")[0] == 0
    readme, page = (told.root / "README.md").read_text(), (told.root / "docs/claims.md").read_text()
    assert readme.startswith("before\n<!-- claims:begin -->\n") and readme.endswith("<!-- claims:end -->\nafter\n") and "old" not in readme
    assert "| 13 | [Mamba](chapters/03_state_spaces/13_mamba.ipynb) | 1 reproduced, 1 not at this scale |" in readme
    assert "| C1 | it \\| works | 1.0 | 0.9 | reproduced |" in page and "../chapters/03_state_spaces" in page
    told.type("claims", "--write")
    assert (told.root / "README.md").read_text() == readme


@pytest.mark.parametrize(("readme", "page"), [(MARKS, None), (MARKS, "no marks"), ("no marks", MARKS), (MARKS, MARKS + MARKS)])
def test_write_refuses_without_marks_and_changes_neither_page(told, sentence, readme, page):
    (told.root / "docs").mkdir()
    (told.root / "README.md").write_text(readme)
    if page:
        (told.root / "docs/claims.md").write_text(page)
    assert "nothing was written" in sentence("claims", "--write")
    assert (told.root / "README.md").read_text() == readme


def test_lessons_without_claims_are_no_error_and_start_lessons_have_none(course):
    course.write("1")
    nb = course.read()
    nb.cells[0].outputs = [output("C1")]
    start = course.root / "chapters/00_start/01_the_transformer.ipynb"
    start.write_text(json.dumps(nb))
    assert claims.of_lessons(syllabus.load()) == []
    assert "course run LESSON --keep" in course.type("claims")[1]


@pytest.fixture
def library(course):
    folder = course.root / "minilib"
    (folder / "data").mkdir(parents=True)
    files = {
        "__init__": "",
        "ssm": "from minilib import kernels_of\nfrom .layers import norm",
        "layers": "import math",
        "kernels_of": "from .data import text",
        "data/__init__": "",
        "data/text": "from ..check import check",
        "check": "",
        "unused": "",
    }
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    return folder


def test_imports_are_followed_through_the_library(course, library):
    found = modules(["%matplotlib inline\nimport torch, minilib.ssm as s", "!ls", "def broken("], course.root)
    assert set(found) == {f"minilib{name}" for name in ("", ".ssm", ".layers", ".kernels_of", ".data", ".data.text", ".check")}


@pytest.mark.parametrize(("name", "stale"), [("layers", True), ("data/text", True), ("unused", False)])
def test_the_hash_notices_changes_in_what_is_imported(course, library, name, stale):
    nb = new_notebook(cells=[new_code_cell("from minilib.ssm import scan")])
    nb.metadata["course"] = {"code_hash": code_hash(nb)}
    assert is_fresh(nb)
    (library / f"{name}.py").write_text("changed = 1")
    assert is_fresh(nb) is not stale


def test_the_hash_notices_code_and_ignores_prose_and_outputs(course, library):
    from nbformat.v4 import new_markdown_cell

    nb = new_notebook(cells=[new_code_cell("x = 1"), new_markdown_cell("words")])
    before = code_hash(nb)
    nb.cells[1].source, nb.cells[0].outputs = "other words", [output("C1")]
    assert code_hash(nb) == before
    nb.cells[0].source = "x = 2"
    assert code_hash(nb) != before

"""The syllabus as the command line reads it: names, lists, and mistakes in the file."""

import json
import os
import subprocess
import sys

import pytest

from course import store, syllabus
from course.errors import CourseError, UsageError


@pytest.mark.parametrize(
    "name",
    [
        "13",
        "mamba",
        "Mamba",
        "13_mamba",
        "13-mamba",
        "03_state_spaces/13_mamba",
        "chapters/03_state_spaces/13_mamba.ipynb",
        "13_mamba.ipynb",
    ],
)
def test_a_lesson_answers_to_all_its_names(course, name):
    assert syllabus.load().find(name).slug == "13_mamba"


def test_numbers_name_papers_and_slugs_name_start_lessons(course):
    lessons = syllabus.load()
    assert lessons.find("1").slug == lessons.find("01").slug == "01_zero_shot"
    assert lessons.find("the_transformer").slug == lessons.find("01_the_transformer").slug == "01_the_transformer"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mambo", "mamba (13)"),
        ("mamba_mixer", "mambamixer (14)"),
        ("transformer", "the_transformer"),
        ("54", "from 1 to 14"),
        ("zzz", "course list"),
    ],
)
def test_a_wrong_name_gets_the_nearest_ones(course, name, says):
    with pytest.raises(UsageError, match=r"There is no lesson"):
        syllabus.load().find(name)
    code, _, err = course.type("run", name)
    assert code == 2 and says in err and err.count("\n") == 1


def test_prerequisites_come_first_and_are_followed_all_the_way(course):
    lessons = syllabus.load()
    order = [lesson.short for lesson in lessons.order()]
    assert order.index("how_this_course_works") < order.index("the_transformer") < order.index("mamba") < order.index("mambamixer")
    assert "00_start/00_how_this_course_works" in lessons.ancestors(lessons.find("14"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[[chapter]]", "[[chapter", "not valid TOML"),
        ("minutes = 75", "minuts = 75", "01_the_transformer"),
        ('slug = "14_mambamixer"', 'slug = "13_mamba"', "twice"),
        ('requires = ["03_state_spaces/13_mamba"]', 'requires = ["13_mamba"]', "write chapter/slug"),
        ('title = "How this course works"', 'title = "H"\nrequires = ["03_state_spaces/14_mambamixer"]', "circle"),
        ('chapter = "03_state_spaces"\ntitle = "Mamba"', 'chapter = "04_none"\ntitle = "Mamba"', "04_none"),
    ],
)
def test_a_mistake_in_the_syllabus_is_named(course, sentence, old, new, says):
    path = course.root / "chapters/syllabus.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert says in sentence("list")


def test_without_a_syllabus_there_is_a_sentence(course, sentence):
    (course.root / "chapters/syllabus.toml").unlink()
    assert "syllabus.toml" in sentence("list")
    with pytest.raises(CourseError):
        syllabus.load()


def test_list_shows_chapters_prerequisites_and_minutes(course):
    course.write("1")
    code, out, _ = course.type("list")
    assert code == 0
    row = next(line for line in out.splitlines() if " mamba " in line)
    assert row.split()[:4] == ["13", "mamba", "the_transformer", "60"]
    assert "State spaces" in out


def test_list_shows_how_far_the_reader_is(course, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(course.root / "data"))

    def standing() -> str:
        return next(line for line in course.type("list")[1].splitlines() if " mamba " in line).partition(" 60 ")[2].strip()

    assert standing() == "not yet"
    course.write("1")
    assert standing() == "" and not (course.root / "data").exists()
    course.write("1", path=course.root / "work/03_state_spaces/13_mamba.ipynb")
    assert standing() == "opened"
    exercise = course.write("1", "2", path=course.root / "exercises/03_state_spaces/13_mamba.ipynb")
    nb = course.read(exercise)
    for cell in nb.cells:
        cell.metadata["nbgrader"] = {"grade": True, "points": 2}
    exercise.write_text(json.dumps(nb))
    store.record("13_mamba", [{"status": "partly", "task": n, "points": n, "possible": 2, "message": ""} for n in (1, 2)])
    assert standing() == "3 of 4 points"
    (course.root / "data/progress.sqlite").write_text("not a database")
    assert standing() == "opened"


def test_list_json_is_the_stable_interface(course):
    course.write("1")
    _, out, _ = course.type("list", "--json")
    rows = json.loads(out)
    assert {tuple(row) for row in rows} == {
        ("number", "slug", "chapter", "title", "arxiv", "notebook", "exercise", "solution", "requires", "minutes")
    }
    assert rows[3] == {
        "number": 13,
        "slug": "13_mamba",
        "chapter": "03_state_spaces",
        "title": "Mamba",
        "arxiv": "2312.00752",
        "notebook": "chapters/03_state_spaces/13_mamba.ipynb",
        "exercise": None,
        "solution": None,
        "requires": ["00_start/01_the_transformer"],
        "minutes": 60,
    }
    assert rows[1]["number"] is rows[1]["arxiv"] is None


def test_list_loads_no_large_library(course):
    code = (
        "import sys; from course.cli import main\ntry: main(['list'])\nexcept SystemExit: pass\nprint(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "nbformat", "jupyter_client", "IPython"} & set(done.stderr.replace("'", "").split(", "))

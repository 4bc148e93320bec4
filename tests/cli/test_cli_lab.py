"""`course lab`: the learner's copy is made once, with its blanks empty, and JupyterLab opens at it."""

import ast
import json
import signal
import urllib.request

import pytest

from course.lab import emptied

STEP = '''def scan(
    a,
    x=1,
):
    """Sum of both."""
    # add them
    total = a + x

    return total


check("adds", scan(1), 2)'''


def test_only_the_body_of_a_blank_is_emptied():
    source, author = emptied(STEP)
    assert source == 'def scan(\n    a,\n    x=1,\n):\n    """Sum of both."""\n    ...  # your 2 lines\n\n\ncheck("adds", scan(1), 2)'
    assert author == STEP.partition("\n\n\ncheck")[0]


@pytest.mark.parametrize(
    "source",
    ["def f(a): return a", "@cache\ndef f(a):\n    # why\n    def g(): return 1\n    return g", "def f():\n    @x\n    class A: ..."],
)
def test_what_is_left_is_python_that_does_nothing(source):
    left, author = emptied(source)
    function = ast.parse(left).body[0]
    assert ast.unparse(function.body[-1]) == "..." and "your" in left and len(function.body) == 1
    assert ast.unparse(ast.parse(author)) == ast.unparse(ast.parse(source))


def test_marks_say_what_to_empty_where_there_is_no_single_function():
    source = (
        "class A:\n    def f(self):\n        # blank: begin\n        x = 1\n        return x\n        # blank: end\n\n    def g(self): ..."
    )
    assert emptied(source) == (
        "class A:\n    def f(self):\n        ...  # your 2 lines\n\n    def g(self): ...",
        "        x = 1\n        return x",
    )
    with pytest.raises(ValueError, match="2 functions"):
        emptied("def f(): return 1\ndef g(): return 2")


def _copy(course):
    from course import syllabus
    from course.lab import working_copy

    return working_copy(syllabus.load().find("13"))


def test_copy_has_no_outputs_and_the_authors_version_folded(course):
    links = "# After [this](../00_start/01_the_transformer.ipynb), then [that](14_mambamixer.ipynb), [task](../../exercises/a/b.ipynb)"
    course.write(links, STEP, "x = 1", cell_1=["blank"])
    nb = course.read()
    nb.cells[2].outputs, nb.cells[2].execution_count = [{"output_type": "stream", "name": "stdout", "text": "1"}], 7
    course.lesson.write_text(json.dumps(nb))
    path, fresh = _copy(course)
    assert fresh and path == course.root / "work/03_state_spaces/13_mamba.ipynb"
    copy = course.read(path)
    assert "](../../chapters/00_start/01_the_transformer.ipynb)" in copy.cells[0].source
    assert (
        "](../../chapters/03_state_spaces/14_mambamixer.ipynb)" in copy.cells[0].source
        and "](../../exercises/a/b.ipynb)" in copy.cells[0].source
    )
    assert "...  # your 2 lines" in copy.cells[1].source and "total" not in copy.cells[1].source
    assert copy.cells[2].source.startswith("<details><summary>The author's version</summary>") and "total = a + x" in copy.cells[2].source
    assert copy.cells[3].outputs == [] and copy.cells[3].execution_count is None


def test_copy_is_never_overwritten(course):
    course.write("x = 1")
    path, _ = _copy(course)
    path.write_text("my own work")
    assert _copy(course) == (path, False) and path.read_text() == "my own work"


def test_copy_made_by_another_window_at_the_same_moment_wins(course, monkeypatch):
    from course import notebooks

    target = course.root / "work/a.ipynb"
    write = notebooks.os.link

    def somebody_is_faster(source, path):
        target.write_text("theirs")
        write(source, path)

    monkeypatch.setattr(notebooks.os, "link", somebody_is_faster)
    assert notebooks.create_text(target, "ours") is False
    assert target.read_text() == "theirs" and [path.name for path in target.parent.iterdir()] == ["a.ipynb"]


def test_a_blank_that_cannot_be_emptied_is_named(course, sentence):
    course.write("# Title", "x = 1", cell_1=["blank"])
    assert "cell 2 is tagged `blank`" in sentence("lab", "13")
    assert not (course.root / "work").exists()


def test_lab_opens_at_the_start_page_says_where_and_ends_with_ctrl_c(course):
    start = course.write("x = 1", path=course.root / "chapters/00_start/00_how_this_course_works.ipynb")
    lab = course.start("lab", "--no-browser", PYTHONUNBUFFERED="1")
    try:
        assert lab.stdout.readline() == f"Your copy work/00_start/{start.name} is new.\n"
        address = lab.stdout.readline().strip()
        assert f"/lab/tree/work/00_start/{start.name}?token=" in address
        with urllib.request.urlopen(address.removeprefix("JupyterLab is at "), timeout=20) as page:
            assert page.status == 200
    finally:
        lab.send_signal(signal.SIGINT)
        _, err = lab.communicate(timeout=30)
    assert lab.returncode == 0 and "Traceback" not in err

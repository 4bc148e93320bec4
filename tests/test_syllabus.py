"""The list of lessons: complete, without cycles, and in agreement with minilib."""

import ast
import re

import pytest

from course import root
from course.syllabus import load

SYLLABUS = load()
LESSONS = SYLLABUS.lessons
PAPERS = [lesson for lesson in LESSONS if lesson.kind != "start"]
KINDS = {"start", "method", "theory", "survey", "simulator", "analysis"}


def test_papers_are_numbered_from_1_and_named_once():
    assert sorted(lesson.number for lesson in PAPERS) == list(range(1, len(PAPERS) + 1))
    assert len({lesson.arxiv for lesson in PAPERS}) == len(PAPERS)


def test_chapters_are_numbered_as_they_are_called():
    assert [chapter.number for chapter in SYLLABUS.chapters] == list(range(11))
    for chapter in SYLLABUS.chapters:
        assert chapter.slug.startswith(f"{chapter.number:02d}_")
        assert SYLLABUS.of_chapter(chapter.slug), f"{chapter.slug} has no lesson"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)
def test_entry_is_complete(lesson):
    assert lesson.kind in KINDS
    assert lesson.title and lesson.why and not lesson.why.endswith(".")
    assert 15 <= lesson.minutes <= 90
    assert 1 <= lesson.difficulty <= 5
    if lesson.kind == "start":
        assert lesson.number is None and lesson.arxiv is None
    else:
        assert lesson.slug.startswith(f"{lesson.number:02d}_")
        assert re.fullmatch(r"\d{4}\.\d{5}", lesson.arxiv)
        assert lesson.authors and 2017 <= lesson.year <= 2030
        assert lesson.arxiv != "0000.00000" and lesson.authors != "First, Second", "the placeholders of `course new` still stand"
        assert lesson.why != "one line on why it matters today", "the placeholders of `course new` still stand"


def test_prerequisites_form_no_cycle():
    order = [lesson.id for lesson in SYLLABUS.order()]  # raises on a cycle
    for lesson in LESSONS:
        assert all(order.index(required) < order.index(lesson.id) for required in lesson.requires)


def test_every_paper_comes_after_the_transformer():
    for lesson in PAPERS:
        assert "00_start/01_the_transformer" in SYLLABUS.ancestors(lesson), lesson.id


def test_no_prerequisite_is_said_twice():
    """What another prerequisite already requires needs no mention, unless it is a paper that the lesson builds on directly."""
    for lesson in LESSONS:
        assert len(set(lesson.requires)) == len(lesson.requires)
        for required in lesson.requires:
            others = [SYLLABUS.by_id[other] for other in lesson.requires if other != required]
            assert not any(required in SYLLABUS.ancestors(other) for other in others), f"{lesson.id} need not name {required}"


def test_informer_comes_after_the_lesson_that_fixes_the_protocol():
    informer, inverted = SYLLABUS.find("informer"), SYLLABUS.find("itransformer")
    assert inverted.id in SYLLABUS.ancestors(informer)
    assert {"forecasting.ForecastData", "forecasting.InformerShell"} <= set(inverted.introduces)


def test_the_spine_has_twelve_lessons_touches_every_chapter_and_needs_nothing_beside_it():
    spine = {lesson.id for lesson in LESSONS if lesson.core}
    assert len(spine) == 12
    assert {lesson.chapter for lesson in PAPERS} == {SYLLABUS.by_id[name].chapter for name in spine}
    for name in spine:
        beside = {other for other in SYLLABUS.ancestors(SYLLABUS.by_id[name]) if SYLLABUS.by_id[other].kind != "start"} - spine
        assert not beside, f"{name} needs {beside}"


def test_a_block_is_introduced_once():
    blocks = [block for lesson in LESSONS for block in lesson.introduces]
    assert not {block for block in blocks if blocks.count(block) > 1}
    assert all(re.fullmatch(r"(kernels\.)?[a-z_]+\.\w+", block) for block in blocks)


@pytest.mark.parametrize("lesson", [lesson for lesson in LESSONS if lesson.notebook.exists()], ids=lambda lesson: lesson.slug)
def test_introduced_blocks_are_in_minilib(lesson):
    """Read, not imported: a room is a module, or a package whose `__init__` re-exports."""
    for block in lesson.introduces:
        room, name = block.rsplit(".", 1)
        base = root() / "minilib" / room.replace(".", "/")
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        assert path.exists(), f"{lesson.id} introduces {block}, but minilib has no room {room}"
        assert name in _names(path.read_text(encoding="utf-8")), f"{lesson.id} introduces {block}, which {path.name} does not define"


def _names(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found

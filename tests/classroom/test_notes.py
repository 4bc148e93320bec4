"""Teaching notes and plans, made from the real course."""

import pytest

from course import syllabus
from course.grade import notes

pytestmark = pytest.mark.no_sandbox


@pytest.fixture(autouse=True)
def in_the_school():
    """Not here: these are about the repository itself."""


@pytest.fixture
def lessons():
    return syllabus.load()


def test_plans_keep_to_the_hours_and_to_what_a_lesson_needs(lessons):
    for weeks in notes.PLANS:
        calendar, done = notes.plan(lessons, weeks), set()
        assert len(calendar) <= weeks
        for week in calendar:
            assert sum(hours for _, hours in week) <= notes.WEEK or len(week) == 1
            for lesson, _ in week:
                assert done.issuperset(lesson.requires), f"{lesson.slug} comes too early"
                done.add(lesson.id)
    spine = {lesson.id for lesson in lessons.lessons if lesson.core}
    assert spine <= done  # of the longest plan
    text = notes.plans(lessons)
    assert all(f"## {weeks} weeks" in text for weeks in notes.PLANS)


def test_every_lesson_with_an_exercise_has_its_page(lessons):
    written = [lesson for lesson in lessons.lessons if lesson.solution.exists()]
    for lesson in written:
        page = notes.page(lesson)
        for part in (f"Lesson {lesson.minutes} min, exercise", "## To show in class", "- Task 1, ", "  - a function that "):
            assert part in page, f"{lesson.slug}: no “{part}”"
        if "written-1" in lesson.solution.read_text(encoding="utf-8"):
            assert "## Written question" in page and "## Model answer" in page

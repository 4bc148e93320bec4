"""The small course as a fixture, and a command that must fail in one sentence."""

import pytest
from small_course import Course


@pytest.fixture
def course(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    return Course(tmp_path.resolve(), capsys)


@pytest.fixture
def sentence(course):
    """Types a command that must fail in one sentence, and returns it; `code` is the exit code that it must have."""

    def one_sentence(*words: str, code: int = 1) -> str:
        got, out, err = course.type(*words)
        text = (err or out).strip()
        assert got == code, text
        assert text and "\n" not in text, text
        return text

    return one_sentence

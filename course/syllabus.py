"""The list of lessons: reads `chapters/syllabus.toml`, finds a lesson by whatever name the reader types, walks prerequisites.

A lesson's id is `chapter/slug` (`03_state_spaces/13_mamba`); its notebook, exercise, solution, answers and working copies follow from it.
Nothing here imports a notebook library, so that listing lessons is instant.
"""

import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import course
from course.errors import CourseError, UsageError

TIME_LIMIT = 600.0  # seconds of wall-clock for a lesson that names no limit of its own


@dataclass(frozen=True)
class Chapter:
    number: int
    slug: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One entry `[[lesson]]`; `number` and `arxiv` are None for lessons of kind "start"."""

    root: Path = field(repr=False)
    slug: str
    kind: str
    chapter: str
    title: str
    minutes: int
    number: int | None = None
    authors: str = ""
    year: int | None = None
    arxiv: str | None = None
    requires: tuple[str, ...] = ()
    introduces: tuple[str, ...] = ()
    difficulty: int = 1
    core: bool = False
    why: str = ""
    time_limit: float = TIME_LIMIT

    @property
    def id(self) -> str:
        return f"{self.chapter}/{self.slug}"

    @property
    def short(self) -> str:
        """The slug without its number: `mamba`."""
        head, _, tail = self.slug.partition("_")
        return tail if head.isdigit() else self.slug

    @property
    def notebook(self) -> Path:
        return self.root / "chapters" / f"{self.id}.ipynb"

    @property
    def exercise(self) -> Path:
        return self.root / "exercises" / f"{self.id}.ipynb"

    @property
    def solution(self) -> Path:
        return self.root / "solutions" / f"{self.id}.ipynb"

    @property
    def answers(self) -> Path:
        return self.root / "tests" / "answers" / f"{self.id}.py"

    @property
    def working_copy(self) -> Path:
        return self.root / "work" / f"{self.id}.ipynb"

    @property
    def working_exercise(self) -> Path:
        return self.root / "work" / "exercises" / f"{self.id}.ipynb"

    def relative(self, path: Path) -> str | None:
        """`path` as the JSON outputs name it: from the root, with forward slashes; None where there is no such file."""
        return path.relative_to(self.root).as_posix() if path.exists() else None


@dataclass(frozen=True)
class Syllabus:
    root: Path
    chapters: tuple[Chapter, ...]
    lessons: tuple[Lesson, ...]
    repository: str = ""

    @cached_property
    def by_id(self) -> dict[str, Lesson]:
        return {lesson.id: lesson for lesson in self.lessons}

    @cached_property
    def names(self) -> dict[str, Lesson]:
        """Every name that a lesson answers to. Papers win over start lessons: "01" is paper 1, not the transformer."""
        names: dict[str, Lesson] = {}
        for lesson in sorted(self.lessons, key=lambda lesson: lesson.number is None):
            numbers = [] if lesson.number is None else [str(lesson.number), f"{lesson.number:02d}"]
            for name in [lesson.id, lesson.slug, lesson.short, *numbers]:
                names.setdefault(name, lesson)
        return names

    def find(self, name: str) -> Lesson:
        """The lesson called `name`: a number, a slug, `NN_slug`, `chapter/slug`, or the path of one of its notebooks."""
        wanted = name.strip().removesuffix(".ipynb").replace("-", "_").lower()
        if lesson := self.names.get(wanted):
            return lesson
        if ("/" in name or "\\" in name or name.endswith(".ipynb")) and (lesson := self.by_id.get("/".join(Path(wanted).parts[-2:]))):
            return lesson
        raise UsageError(f'There is no lesson "{name}"{self._nearest(wanted)}; `course list` shows them all.')

    def _nearest(self, wanted: str) -> str:
        """Up to three lessons whose names look like `wanted`, as the middle of a sentence."""
        stem = Path(wanted).name
        numbers = [lesson.number for lesson in self.lessons if lesson.number is not None]
        if stem.isdigit() and numbers:
            return f": papers are numbered from {min(numbers)} to {max(numbers)}"
        shorts = {lesson.short: lesson for lesson in self.lessons}
        bare = stem.partition("_")[2] if stem.partition("_")[0].isdigit() else stem
        near = get_close_matches(bare, shorts, n=3, cutoff=0.5) or [short for short in shorts if bare and bare in short][:3]
        if not near:
            return ""
        labels = [short if shorts[short].number is None else f"{short} ({shorts[short].number})" for short in near]
        return f"; the nearest names are {', '.join(labels[:-1])} and {labels[-1]}" if labels[1:] else f"; the nearest name is {labels[0]}"

    def of_chapter(self, slug: str) -> list[Lesson]:
        return [lesson for lesson in self.lessons if lesson.chapter == slug]

    def order(self) -> list[Lesson]:
        """All lessons, prerequisites first."""
        graph = {lesson.id: lesson.requires for lesson in self.lessons}
        return [self.by_id[name] for name in TopologicalSorter(graph).static_order()]

    def ancestors(self, lesson: Lesson) -> set[str]:
        """Ids of everything that `lesson` builds on, directly or not."""
        found: set[str] = set()
        todo = list(lesson.requires)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(self.by_id[name].requires)
        return found


def load(root: Path | None = None) -> Syllabus:
    """Read `chapters/syllabus.toml`; a mistake in it is a `CourseError` that names the entry."""
    root = root or course.root()
    path = root / "chapters" / "syllabus.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"There is no {path}: `course` works in a copy of the repository, installed with `pip install -e .`.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} is not valid TOML: {error}.") from None
    chapters = tuple(_entry(Chapter, raw) for raw in data.get("chapter", []))
    lessons = tuple(_entry(Lesson, {"root": root, **raw}) for raw in data.get("lesson", []))
    syllabus = Syllabus(root, chapters, lessons, data.get("repository", ""))
    _validate(syllabus)
    return syllabus


def _entry(kind: Any, raw: dict) -> Any:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    try:
        return kind(**values)
    except TypeError as error:
        entry = f"the {kind.__name__.lower()} {raw.get('slug', 'without a slug')}"
        raise CourseError(f"chapters/syllabus.toml: {entry} is wrong, {str(error).partition('__init__() ')[2]}.") from None


def _validate(syllabus: Syllabus) -> None:
    for name, key in (("lesson", "id"), ("chapter", "slug")):
        entries = [getattr(entry, key) for entry in getattr(syllabus, f"{name}s")]
        if twice := {entry for entry in entries if entries.count(entry) > 1}:
            raise CourseError(f"chapters/syllabus.toml lists the {name} {min(twice)} twice.")
    chapters = {chapter.slug for chapter in syllabus.chapters}
    for lesson in syllabus.lessons:
        if lesson.chapter not in chapters:
            raise CourseError(f"chapters/syllabus.toml: {lesson.slug} belongs to a chapter {lesson.chapter} that is not listed.")
        if unknown := [name for name in lesson.requires if name not in syllabus.by_id]:
            raise CourseError(f"chapters/syllabus.toml: {lesson.slug} requires {unknown[0]}, which is not a lesson (write chapter/slug).")
    try:
        syllabus.order()
    except CycleError as error:
        raise CourseError(f"chapters/syllabus.toml: prerequisites run in a circle, {' → '.join(reversed(error.args[1]))}.") from None


def as_json(syllabus: Syllabus) -> list[dict]:
    """The rows of `course list --json`: a stable interface."""
    plain = ("number", "slug", "chapter", "title", "arxiv")
    files = ("notebook", "exercise", "solution")
    return [
        {key: getattr(lesson, key) for key in plain}
        | {key: lesson.relative(getattr(lesson, key)) for key in files}
        | {"requires": list(lesson.requires), "minutes": lesson.minutes}
        for lesson in syllabus.lessons
    ]

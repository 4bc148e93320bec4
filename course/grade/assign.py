"""What is handed out: any lessons or tasks, as a release that is proved to give 0 points untouched and all points solved.

``13_mamba:1,2,written`` takes two tasks and the written question of a lesson; a lesson alone, all of it; a chapter, all its lessons.
Private tasks and tests (``--private DIR``) are nbgrader notebooks named like the lesson that they extend: a cell ``task-2-tests-3`` joins
task 2, cells of a new ``task-7`` form a new task. They matter because everybody can read the solutions in the public repository.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from traitlets.config import Config

from course import answers as known
from course.assemble import Exercise, ExerciseError, Task, assemble, grade_id, parse
from course.errors import CourseError, UsageError
from course.grade.drive import Session
from course.grade.folder import Folder, place
from course.notebooks import read
from course.release import all_solutions
from course.syllabus import Lesson, Syllabus

HOURS = 8  # what a chapter is about; more than that is said


@dataclass(frozen=True)
class Wanted:
    """One lesson of an assignment; no ``parts`` means all of it."""

    lesson: Lesson
    parts: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        return self.lesson.slug + (f":{','.join(sorted(self.parts))}" if self.parts else "")


def wanted(lessons: Syllabus, words: list[str]) -> list[Wanted]:
    """The lessons that the words name: chapters, lessons, lessons with tasks.

    Raises:
        UsageError: a name that is not known, or a lesson without an exercise.
    """
    found: list[Wanted] = []
    for word in words:
        name, _, parts = word.partition(":")
        if any(chapter.slug == name for chapter in lessons.chapters):
            found += [Wanted(lesson) for lesson in lessons.of_chapter(name) if lesson.solution.exists()]
            continue
        lesson = lessons.find(name)
        if not lesson.solution.exists():
            raise UsageError(f"{lesson.slug} has no exercise yet; `course list` shows which lessons have one.")
        found.append(Wanted(lesson, frozenset(part.strip() for part in parts.split(",") if part.strip())))
    if not found:
        raise UsageError(f"{' '.join(words)} has no exercise yet; `course list` shows which lessons have one.")
    if len({w.lesson.slug for w in found}) != len(found):
        raise UsageError("A lesson is named twice; write its tasks together: 13_mamba:1,2,4.")
    return found


def sliced(notebook: Any, parts: frozenset[str]) -> Any:
    """The notebook with the named tasks only (``2``, ``written``); cells that belong to no task stay.

    Raises:
        UsageError: it has no such task.
    """
    cut = copy.deepcopy(notebook)
    if not parts:
        return cut
    there = {part for cell in cut.cells if (part := part_of(cell))}
    if unknown := parts - there:
        raise UsageError(f"There is no task {', '.join(sorted(unknown))} in this lesson; it has {', '.join(sorted(there))}.")
    kept, part = [], ""
    for cell in cut.cells:  # a plot without a name belongs to the task above it
        part = part_of(cell) if grade_id(cell) else part
        if not part or part in parts:
            kept.append(cell)
    cut.cells = kept
    return cut


def part_of(cell: Any) -> str:
    """``2`` for a cell of task 2, ``written`` for written questions, '' for the rest."""
    match = re.match(r"(?:task-(\d+)|(written)-\d+)", grade_id(cell))
    return (match[1] or match[2]) if match else ""


def extended(notebook: Any, private: Any) -> Any:
    """The notebook with an instructor's own cells: in place of one of the same name, behind the task they belong to, or at the end."""
    whole = copy.deepcopy(notebook)
    for cell in copy.deepcopy(private.cells):
        names = [grade_id(c) for c in whole.cells]
        parts = [part_of(c) for c in whole.cells]
        if grade_id(cell) and grade_id(cell) in names:
            whole.cells[names.index(grade_id(cell))] = cell
        elif part_of(cell) and part_of(cell) in parts:
            whole.cells.insert(len(parts) - parts[::-1].index(part_of(cell)), cell)
        else:
            whole.cells.append(cell)
    for i, cell in enumerate(whole.cells):
        cell.id = grade_id(cell) or f"cell-{i}"
    return whole


def sources(chosen: list[Wanted], private: Path | None) -> dict[str, Any]:
    """slug → source notebook of an assignment."""
    found = {w.lesson.slug: sliced(read(w.lesson.solution), w.parts) for w in chosen}
    for path in sorted(private.glob("*.ipynb")) if private else ():
        mine = read(path)
        found[path.stem] = extended(found[path.stem], mine) if path.stem in found else mine
    return found


def release(folder: Folder, name: str) -> list[Path]:
    """Run ``nbgrader generate_assignment``: the gradebook knows the cells, release/NAME holds what students get.

    Raises:
        CourseError: nbgrader refuses, for instance because there are submissions and cells have changed.
    """
    from nbgrader.apps.api import NbGraderAPI

    from course.grade import nbgrader

    config = Config()
    nbgrader.configure(config, str(folder.path / "nbgrader_config.py"))
    config.NbGraderAPI.log_level = "ERROR"
    done = NbGraderAPI(config=config).generate_assignment(name)
    if not done["success"]:
        lines = [line for line in (done.get("error") or done.get("log") or "").strip().splitlines() if line.strip()]
        raise CourseError(f"nbgrader refuses {name}: {lines[-1].strip() if lines else 'no reason given'}")
    return sorted((folder.path / "release" / name).glob("*.ipynb"))


def prove(source: Any, released: Any, session: Session) -> Iterator[tuple[str, str]]:
    """What is wrong with a release, as (task, sentence); nothing if it gives 0 untouched and everything solved."""
    exercise, untouched = parse(source), parse(assemble(released, source))
    if untested := [task.number for task in exercise.tasks if not task.tests]:
        yield from ((f"task {number}", "has no test cell with points") for number in untested)
        return
    for g in session.grade(exercise, {task.number: task.source for task in untouched.tasks}):
        if g.result.points:
            yield f"task {g.result.task}", f"gives {g.result.points:g} points to the untouched exercise"
    for g in session.grade(exercise, {task.number: task.source for task in exercise.tasks}):
        if g.result.points != g.result.possible or g.flags:
            why = "; ".join([g.result.message, *g.flags])
            yield f"task {g.result.task}", f"gives its own solution {g.result.points:g} of {g.result.possible:g} points: {why}"


def misconceptions(lesson: Lesson, exercise: Exercise, session: Session) -> dict:
    """Task → the probe's code, and the numbers of the solution and of each known wrong answer on it."""
    found: dict[str, dict] = {}
    if not lesson.answers.exists():
        return found
    answers, code = known.load(lesson.answers), probe_code(lesson.answers)
    for task in exercise.tasks:
        if task.number in answers.probe and (solved := session.probe(exercise, task.number, task.source, code)) is not None:
            wrong = []
            for sentence, answer in answers.wrong.get(task.number, {}).items():
                try:
                    behaves = session.probe(exercise, task.number, known.text(answer, task.source), code)
                except ExerciseError:
                    continue
                wrong += [(sentence, behaves)] if behaves is not None else []
            found[str(task.number)] = {"code": code, "solution": solved, "wrong": wrong}
    return found


def probe_code(path: Path) -> str:
    """An answers file without its answers: what a sandbox may read."""
    import ast

    tree = ast.parse(path.read_text(encoding="utf-8"))
    answer = re.compile(r"(WRONG|RIGHT)_\d+|PASTED")

    def is_answer(statement: ast.stmt) -> bool:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names = [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]
        return any(map(answer.fullmatch, names)) or (isinstance(statement, ast.ImportFrom) and statement.module == "course.answers")

    tree.body = [s for s in tree.body if not is_answer(s) and not isinstance(s, ast.Expr)]
    return ast.unparse(tree)


def pack(folder: Folder, name: str) -> Path:
    """release/NAME.zip, for any learning platform."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder.path / "release" / name).rglob("*")):
            if path.is_file():
                info = zipfile.ZipInfo(f"{name}/{path.relative_to(folder.path / 'release' / name).as_posix()}", (1980, 1, 1, 0, 0, 0))
                info.external_attr = 0o644 << 16
                archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    target = folder.path / "release" / f"{name}.zip"
    place(target, out.getvalue())
    return target


def minutes(exercise: Exercise) -> int:
    return sum(task.minutes for task in exercise.tasks)


def write_sources(folder: Folder, name: str, notebooks: dict[str, Any]) -> None:
    """source/NAME, with nothing left of an earlier choice."""
    home = folder.path / "source" / name
    for path in home.glob("*.ipynb") if home.exists() else ():
        if path.stem not in notebooks:
            path.unlink()
    for slug, notebook in notebooks.items():
        place(home / f"{slug}.ipynb", nbformat.writes(notebook) + "\n")


@contextlib.contextmanager
def put_back_unless_proved(folder: Folder, name: str) -> Iterator[None]:
    """If the ``with`` fails, files and gradebook are as they were: an assignment that is out stays as it is."""
    from course.grade import gradebook

    homes = [folder.path / part / name for part in ("source", "release")]
    before = {path: path.read_bytes() for home in homes for path in home.rglob("*") if path.is_file()}
    try:
        yield
    except BaseException:
        for home in homes:
            shutil.rmtree(home, ignore_errors=True)
        for path, data in before.items():
            place(path, data)
        if before:
            with contextlib.suppress(CourseError):
                release(folder, name)
        else:
            with gradebook.opened(folder) as book, contextlib.suppress(gradebook.api.MissingEntry):
                book.remove_assignment(name)
        raise


def keep_misconceptions(folder: Folder, name: str, slug: str, found: dict) -> None:
    place(folder.path / "diagnoses" / name / f"{slug}.json", json.dumps(found))


def chapters(lessons: Syllabus) -> list[tuple[str, str, str]]:
    """assignments.csv of a new folder: each chapter that has exercises, without a date."""
    with_exercise = {solution.stem for solution, _ in all_solutions(lessons.root)}
    every = [(c.slug, [lesson.slug for lesson in lessons.of_chapter(c.slug) if lesson.slug in with_exercise]) for c in lessons.chapters]
    return [(slug, " ".join(names), "") for slug, names in every if names]


def task_words(tasks: tuple[Task, ...]) -> str:
    return f"{len(tasks)} task{'s' * (len(tasks) != 1)}, {sum(t.points for t in tasks):g} points"

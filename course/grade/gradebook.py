"""The one writer of scores: each submission enters nbgrader's gradebook in a single transaction, or not at all.

The same transaction notes, in a table of our own, which result was entered: entering twice changes nothing, and after any crash a
submission is either entered with all its scores or still to be entered. Manual scores and comments are never touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from nbgrader import api
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from course.errors import CourseError
from course.grade.folder import Assignment, Folder, Student
from course.grade.late import penalty

WAIT = 30.0  # seconds that a writer waits for formgrader to let go of the file
ENTERED = "CREATE TABLE IF NOT EXISTS course_entered (assignment TEXT, student TEXT, key TEXT, at TEXT, PRIMARY KEY (assignment, student))"


@contextmanager
def opened(folder: Folder) -> Iterator[Any]:
    """nbgrader's gradebook of this folder.

    Raises:
        CourseError: the file is locked, read-only, or on a full disk; nothing of the current transaction is kept.
    """
    try:
        book = api.Gradebook(folder.db_url, "transformers-rebuilt")
    except OperationalError as problem:
        raise _sentence(problem) from None
    event.listen(book.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA busy_timeout = {int(WAIT * 1000)}"))
    book.engine.dispose()  # connections made so far do not wait
    try:
        book.db.execute(text(ENTERED))
        book.db.commit()
        yield book
    except OperationalError as problem:
        book.db.rollback()
        raise _sentence(problem) from None
    finally:
        book.close()
        book.engine.dispose()


def _sentence(problem: OperationalError) -> CourseError:
    return CourseError(
        f"The gradebook cannot be written ({problem.orig}). Nothing is lost: results are kept and entered by the next `course grade run`."
    )


def entered(book: Any, assignment: str) -> dict[str, str]:
    """student → key of the result that was entered."""
    rows = book.db.execute(text("SELECT student, key FROM course_entered WHERE assignment = :a"), {"a": assignment})
    return {student: key for student, key in rows}


def enter(book: Any, folder: Folder, assignment: Assignment, found: dict, handed_in: datetime | None) -> None:
    """Enter one result, all of it in one transaction."""
    db, name = book.db, found["student"]
    student = folder.students.get(name, Student(name))
    submission = _submission(db, student, assignment, handed_in)
    for notebook in submission.notebooks:
        part = found["notebooks"].get(notebook.name, {"tasks": [], "written": {}, "flags": [], "problem": "not graded"})
        scores = {test["id"]: test["points"] for task in part["tasks"] for test in task["tests"]}
        for grade in notebook.grades:
            grade.auto_score = _score(grade.cell.name, scores, part)
            grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        for comment in notebook.comments:
            answered = part["written"].get(comment.cell.name, "answered" if part["tasks"] else "")
            comment.auto_comment = None if answered.strip() else "No response."
        notebook.flagged = bool(part["flags"])
    db.flush()
    _late(db, folder, submission)
    row = {"a": assignment.name, "s": name, "k": found["key"], "t": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
    db.execute(text("INSERT OR REPLACE INTO course_entered VALUES (:a, :s, :k, :t)"), row)
    db.commit()


def apply_late_rule(book: Any, folder: Folder, assignment: str) -> None:
    """Renew the points taken for lateness after a person has changed scores."""
    for submission in book.assignment_submissions(assignment):
        _late(book.db, folder, submission)
    book.db.commit()


def _late(db: Any, folder: Folder, submission: Any) -> None:
    for notebook in submission.notebooks:
        db.refresh(notebook)
        taken = penalty(folder.settings["late"], notebook.score, submission.total_seconds_late) or None
        if notebook.late_submission_penalty != taken:
            notebook.late_submission_penalty = taken


def _score(cell: str, scores: dict[str, float], part: dict) -> float | None:
    """Automatic points of a cell; None leaves it to a person."""
    if cell in scores:
        return scores[cell]
    if part["written"].get(cell, "").strip():
        return None
    return 0.0


def _submission(db: Any, student: Student, assignment: Assignment, handed_in: datetime | None) -> Any:
    """The rows of a submission, made where they are missing, in the current transaction."""
    person = db.get(api.Student, student.id)
    if person is None:
        person = api.Student(id=student.id)
        db.add(person)
    for column in ("first_name", "last_name", "email"):
        setattr(person, column, getattr(student, column) or getattr(person, column))
    person.lms_user_id = student.lms_id or person.lms_user_id
    work = db.query(api.Assignment).filter(api.Assignment.name == assignment.name).one()
    work.duedate = assignment.due
    found = db.query(api.SubmittedAssignment).filter_by(assignment_id=work.id, student_id=student.id).one_or_none()
    if found is None:
        with db.no_autoflush:
            found = api.SubmittedAssignment(assignment_id=work.id, student_id=person.id)
            for notebook in work.notebooks:
                part = api.SubmittedNotebook(notebook_id=notebook.id, assignment=found)
                part.grades = [api.Grade(cell_id=cell.id) for cell in notebook.grade_cells]
                part.comments = [api.Comment(cell_id=cell.id) for cell in notebook.solution_cells]
            db.add(found)
        db.flush()
        db.expire_all()
    found.timestamp, found.extension = handed_in, student.extensions.get(assignment.name)
    return found


def scores(book: Any, assignment: str) -> dict[str, dict]:
    """student → what the gradebook says: points, manual ones included, penalty, and what still needs a person."""
    found = {}
    for submission in book.assignment_submissions(assignment):
        cells = {f"{n.name}/{g.cell.name}": (float(g.score or 0), float(g.max_score or 0)) for n in submission.notebooks for g in n.grades}
        comments = {f"{n.name}/{c.cell.name}": c.manual_comment for n in submission.notebooks for c in n.comments if c.manual_comment}
        late = sum(float(n.late_submission_penalty or 0) for n in submission.notebooks)
        found[submission.student.id] = {
            "cells": cells,
            "comments": comments,
            "penalty": round(late, 4),
            "points": round(max(sum(points for points, _ in cells.values()) - late, 0), 4),
            "possible": sum(possible for _, possible in cells.values()),
            "to_read": sorted(f"{n.name}/{g.cell.name}" for n in submission.notebooks for g in n.grades if g.needs_manual_grade),
            "seconds_late": submission.total_seconds_late,
        }
    return found

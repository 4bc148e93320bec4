"""What an instructor takes away: CSV files for the platforms, statistics as a table and a picture, and who should be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from course.errors import CourseError
from course.grade import gradebook
from course.grade.folder import Assignment, Folder, csv_text, place
from course.grade.statistics import TaskStatistics, picture, results, statistics

STEPS = 4  # of the progress bar: gradebook, results, tables, picture


@dataclass
class Report:
    assignment: str
    rows: list[dict]  # one a student of the roster
    tasks: list[TaskStatistics]
    flagged: list[tuple[str, str, str]]  # student, notebook, reason
    files: list[str]

    def as_json(self) -> dict:
        return asdict(self)


def report(folder: Folder, assignment: Assignment, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Read gradebook and results, write reports/NAME*.

    Raises:
        CourseError: nothing is graded yet.
    """
    with gradebook.opened(folder) as book:
        gradebook.apply_late_rule(book, folder, assignment.name)
        graded = gradebook.entered(book, assignment.name)
        scores = {student: found for student, found in gradebook.scores(book, assignment.name).items() if student in graded}
    if not scores:
        raise CourseError(f"Nothing of {assignment.name} is graded yet: `course grade run {assignment.name}`.")
    tell("gradebook")
    every = results(folder, assignment.name)
    tell("results")
    rows = list(_rows(folder, assignment, scores))
    tasks = statistics(every, scores)
    parts = [(student, lesson, part) for student in scores for lesson, part in every.get(student, {}).get("notebooks", {}).items()]
    flagged = [(student, lesson, flag) for student, lesson, part in parts for flag in part["flags"]]
    home = folder.path / "reports"
    texts = {
        f"{assignment.name}.csv": csv_text(rows[0], [row.values() for row in rows]),
        f"{assignment.name}-moodle.csv": _moodle(folder, assignment, rows),
        f"{assignment.name}-canvas.csv": _canvas(folder, assignment, rows),
        f"{assignment.name}-tasks.csv": _tasks(tasks),
        f"{assignment.name}-flagged.csv": csv_text(("student_id", "notebook", "reason"), flagged),
    }
    for name, text in texts.items():
        place(home / name, text)
    tell("tables")
    picture(tasks, f"{assignment.name}: {len(scores)} submissions", home / f"{assignment.name}.png")
    tell("picture")
    return Report(assignment.name, rows, tasks, flagged, [*texts, f"{assignment.name}.png"])


def _rows(folder: Folder, assignment: Assignment, scores: dict[str, dict]) -> Iterator[dict]:
    """One line a student, of the roster first; who handed in nothing has no points."""
    for name in [*folder.students, *(s for s in scores if s not in folder.students)]:
        student, found = folder.students.get(name), scores.get(name)
        yield {
            "student_id": name,
            "name": student.name if student else "",
            "points": found["points"] if found else 0.0,
            "possible": found["possible"] if found else next(iter(scores.values()))["possible"],
            "late penalty": found["penalty"] if found else 0.0,
            "days late": round(found["seconds_late"] / 86400, 2) if found else 0.0,
            "to be read": len(found["to_read"]) if found else 0,
            "state": "graded" if found else "missing" if name not in folder.submitted(assignment.name) else "not graded",
        }


def _moodle(folder: Folder, assignment: Assignment, rows: list[dict]) -> str:
    """Moodle's grade import: matched by e-mail or ID number."""
    lines = [(r["student_id"], getattr(folder.students.get(r["student_id"]), "email", ""), r["points"]) for r in rows]
    return csv_text(("ID number", "Email address", assignment.name), lines)


def _canvas(folder: Folder, assignment: Assignment, rows: list[dict]) -> str:
    """Canvas's gradebook import: its own id of the student, and a line with the points possible."""
    lines = []
    for r in rows:
        student = folder.students.get(r["student_id"])
        lines.append((student.name if student else "", student.lms_id if student else "", r["student_id"], "", r["points"]))
    return csv_text(
        ("Student", "ID", "SIS Login ID", "Section", assignment.name), [("    Points Possible", "", "", "", rows[0]["possible"]), *lines]
    )


def _tasks(tasks: list[TaskStatistics]) -> str:
    lines = []
    for t in tasks:
        apart = "" if t.discrimination is None else round(t.discrimination, 2)
        said = "; ".join(f"{count} × {sentence}" for sentence, count in t.misconceptions.items())
        lines.append((t.task, t.possible, round(t.mean, 3), round(t.solved, 3), t.not_started, apart, said))
    return csv_text(("task", "possible", "mean", "solved by", "not started", "discrimination", "misconceptions"), lines)

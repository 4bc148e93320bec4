"""Puts what came back into the folder: matched to the roster, every version kept with its time, the latest one to be graded."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from course.errors import CourseError
from course.grade.exports import Piece, pieces, student_of
from course.grade.folder import Assignment, Folder, place
from course.grade.late import penalty

LESSON = re.compile(rb"%exercise (\w+)")


@dataclass
class Collected:
    """What happened: lists of sentences, or of students."""

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    late: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)  # another chapter's files
    nobody: list[str] = field(default_factory=list)  # no student of the roster
    refused: list[str] = field(default_factory=list)


def collect(folder: Folder, assignment: Assignment, source: Path, tell=lambda _: None) -> Collected:
    """Take everything of ``assignment`` from an export. Doing it again changes nothing."""
    said, wanted = Collected(), {path.stem for path in folder.sources(assignment.name)}
    touched: set[str] = set()
    for piece in pieces(source):
        tell(piece.origin)
        student = student_of(piece, folder.students)
        lesson = lesson_of(piece, wanted)
        if piece.problem:
            said.refused.append(f"{student.id + ': ' if student else ''}{_shown(piece.origin)} is {piece.problem}")
        elif student is None:
            said.nobody.append(_shown(piece.origin))
        elif lesson not in wanted:
            said.foreign.append(
                f"{student.id}: {_shown(piece.origin)} is {lesson or 'no notebook of this course'}, not in {assignment.name}"
            )
        else:
            keep(folder, assignment.name, student.id, lesson, piece)
            touched.add(student.id)
    for student_id in sorted(touched):
        (said.new if settle(folder, assignment.name, student_id) else said.known).append(student_id)
    _survey(folder, assignment, wanted, said)
    return said


def lesson_of(piece: Piece, wanted: set[str]) -> str:
    """Which lesson's notebook this is: by what its first cell says, else by its name (platforms append ``-1`` or ``(2)``)."""
    if found := LESSON.search(piece.data):
        return found[1].decode()
    plain = re.sub(r"( ?\(\d+\)|-\d+)$", "", piece.name)
    return plain if plain in wanted else next((w for w in sorted(wanted) if piece.name.endswith(w)), "")


def keep(folder: Folder, assignment: str, student: str, lesson: str, piece: Piece) -> None:
    """versions/NAME/STUDENT/LESSON/TIME-HASH.ipynb with the export's own name beside it."""
    name = f"{piece.at:%Y%m%dT%H%M%S}-{hashlib.sha256(piece.data).hexdigest()[:12]}"
    home = folder.path / "versions" / assignment / student / lesson
    if not (home / f"{name}.ipynb").exists():
        place(home / f"{name}.json", json.dumps({"origin": piece.origin, "at": piece.at.isoformat(sep=" ")}))
        place(home / f"{name}.ipynb", piece.data)


def settle(folder: Folder, assignment: str, student: str) -> bool:
    """Make the latest version of each notebook the one that counts; True if that changed something."""
    home, changed, times = folder.submission(student, assignment), False, []
    for lesson in sorted((folder.path / "versions" / assignment / student).iterdir()):
        latest = max(lesson.glob("*.ipynb"), key=lambda path: path.name)
        times.append(datetime.strptime(latest.name[:15], "%Y%m%dT%H%M%S"))
        target, data = home / f"{lesson.name}.ipynb", latest.read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            place(target, data)
            changed = True
    stamp = f"{max(times):%Y-%m-%d %H:%M:%S} UTC"
    if not (home / "timestamp.txt").is_file() or (home / "timestamp.txt").read_text().strip() != stamp:
        place(home / "timestamp.txt", stamp + "\n")
        changed = True
    return changed


def _survey(folder: Folder, assignment: Assignment, wanted: set[str], said: Collected) -> None:
    from course.grade.run import handed_in

    for student in folder.students.values():
        home = folder.submission(student.id, assignment.name)
        if not home.is_dir():
            said.missing.append(student.id)
            continue
        if lacking := sorted(wanted - {path.stem for path in home.glob("*.ipynb")}):
            said.incomplete[student.id] = lacking
        at = handed_in(folder, student.id, assignment.name)
        if assignment.due and at:
            due = assignment.due + student.extensions.get(assignment.name, assignment.due - assignment.due)
            if (seconds := (at - due).total_seconds()) > 0:
                share = penalty(folder.settings["late"], 100.0, seconds)
                said.late[student.id] = f"{seconds / 86400:.1f} days late: {share:g} % of the points are taken"


def origin_of(folder: Folder, assignment: str, student: str, lesson: str) -> str:
    """The name under which a platform exported the version that counts; '' if there is none."""
    versions = sorted((folder.path / "versions" / assignment / student / lesson).glob("*.json"))
    return json.loads(versions[-1].read_text(encoding="utf-8"))["origin"] if versions else ""


def as_json(said: Collected) -> dict:
    return asdict(said)


def _shown(name: str) -> str:
    """An export's name as it may be printed."""
    return name.encode("utf-8", "replace").decode().replace("\x1b", "?")[:160]


def require(source: Path) -> Path:
    if not source.exists():
        raise CourseError(f"There is no file or folder {source}.")
    return source

"""An instructor's folder: where everything lies, who is in the class, what is due when.

================================  ===========================================================================================
``roster.csv``                    the class: student_id, names, e-mail, the LMS's id, extensions (``hw3 2d; hw4 36h``)
``assignments.csv``               what is due when: name, lessons (``13_mamba:1,2,written``), due
``settings.toml``                 the rule for late work, the limits of a sandbox
``nbgrader_config.py``            nbgrader's view of this folder; its commands and formgrader work here
``source/`` ``release/``          with hidden tests and solutions; what students get, also as ``release/NAME.zip``
``submitted/STUDENT/NAME/``       the version that counts; ``versions/`` keeps all of them with their times
``results/NAME/STUDENT.json``     what grading found; ``autograded/`` shows it to formgrader, ``gradebook.db`` holds the scores
``feedback/`` ``reports/``        what goes back
================================  ===========================================================================================
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from course.errors import CourseError, UsageError
from course.notebooks import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # of students and assignments: they become folders
COLUMNS = ("student_id", "first_name", "last_name", "email", "lms_id", "extensions")
DUE = ("name", "lessons", "due")
PERIOD = re.compile(r"(\d+(?:\.\d+)?)\s*([dh])")
SETTINGS = """# Late work, applied once, when a submission is entered in the gradebook; reports and feedback show what it took.
[late]
per_day = 0.1        # share of the points reached that each day begun costs
at_most = 0.5        # and no more than this share
closed_after = 7     # days after which a submission gets nothing

# What one student's sandbox may use.
[sandbox]
seconds_a_task = 20
seconds_a_notebook = 300
memory_mb = 3072
processes = 64
"""
CONFIG = '''"""nbgrader's view of this folder: `nbgrader autograde` runs student code in the sandbox of `course grade run`."""

from course.grade import nbgrader

c = get_config()  # noqa: F821 (nbgrader defines it)
nbgrader.configure(c, __file__)
'''


@dataclass(frozen=True)
class Student:
    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_id: str = ""
    extensions: dict[str, timedelta] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.id


@dataclass(frozen=True)
class Assignment:
    name: str
    lessons: str
    due: datetime | None  # UTC


class Folder:
    """Raises CourseError if ``path`` is no folder that `course grade init` made."""

    def __init__(self, path: Path):
        self.path = path.resolve()
        if not (self.path / "settings.toml").exists():
            raise CourseError(f"{shown(path)} is not a class folder: `course grade init DIR` makes one; then work inside it.")

    @cached_property
    def settings(self) -> dict:
        try:
            found = tomllib.loads((self.path / "settings.toml").read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as problem:
            raise CourseError(f"settings.toml cannot be read: {problem}.") from None
        default = tomllib.loads(SETTINGS)
        return {part: default[part] | found.get(part, {}) for part in default}

    @property
    def db_url(self) -> str:
        return f"sqlite:///{self.path / 'gradebook.db'}"

    @cached_property
    def students(self) -> dict[str, Student]:
        """The roster by id.

        Raises:
            CourseError: a line without an id, an id twice, or one that cannot be a folder's name.
        """
        found: dict[str, Student] = {}
        for number, row in enumerate(read_csv(self.path / "roster.csv", COLUMNS[:1]), 2):
            name = (row.get("student_id") or "").strip()
            if not NAME.fullmatch(name):
                raise CourseError(f"roster.csv, line {number}: the id {name!r} should be letters, digits and . _ @ - (up to 64).")
            if name in found:
                raise CourseError(f"roster.csv, line {number}: {name} is there twice.")
            texts = {key: (row.get(key) or "").strip() for key in COLUMNS[1:5]}
            found[name] = Student(name, **texts, extensions=_extensions(row.get("extensions") or "", number))
        return found

    @cached_property
    def assignments(self) -> dict[str, Assignment]:
        found = {}
        for row in read_csv(self.path / "assignments.csv", DUE[:1]):
            name = row["name"].strip()
            found[name] = Assignment(name, row.get("lessons") or "", parse_due(row.get("due") or ""))
        return found

    def schedule(self, name: str, lessons: str, due: datetime | None) -> None:
        """Enter or renew one line of assignments.csv."""
        lines = {a.name: (a.name, a.lessons, f"{a.due:%Y-%m-%d %H:%M}" if a.due else "") for a in self.assignments.values()}
        lines[name] = (name, lessons, f"{due:%Y-%m-%d %H:%M}" if due else "")
        place(self.path / "assignments.csv", csv_text(DUE, lines.values()))
        del self.assignments

    def assignment(self, name: str | None) -> Assignment:
        """The assignment called so; without a name the only one that was handed out.

        Raises:
            UsageError: there is none, or more than one.
        """
        out = [found.name for found in self.assignments.values() if (self.path / "source" / found.name).is_dir()]
        if name is None and len(out) == 1:
            name = out[0]
        if name in out:
            return self.assignments[name]
        about = f"There is no assignment {name}" if name else "Which assignment? Name it"
        raise UsageError(f"{about}; handed out: {', '.join(out) or 'none yet, see `course grade assign --help`'}.")

    def sources(self, assignment: str) -> list[Path]:
        return sorted((self.path / "source" / assignment).glob("*.ipynb"))

    def submission(self, student: str, assignment: str) -> Path:
        return self.path / "submitted" / student / assignment

    def submitted(self, assignment: str) -> list[str]:
        """Students of whom there is a submission."""
        return sorted(p.parent.name for p in (self.path / "submitted").glob(f"*/{assignment}") if p.is_dir())

    def result(self, student: str, assignment: str) -> Path:
        return self.path / "results" / assignment / f"{student}.json"

    def autograded(self, student: str, assignment: str) -> Path:
        return self.path / "autograded" / student / assignment


def create(path: Path, due: list[tuple[str, str, str]]) -> Path:
    """A new class folder.

    Raises:
        CourseError: there is something at ``path`` already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CourseError(f"{path} exists and is not empty; nothing was changed. Choose a new folder.")
    for name in ("source", "release", "submitted", "versions", "results", "autograded", "feedback", "reports"):
        (path / name).mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)  # names and grades
    place(path / "roster.csv", csv_text(COLUMNS, []))
    place(path / "assignments.csv", csv_text(DUE, due))
    place(path / "nbgrader_config.py", CONFIG)
    place(path / "settings.toml", SETTINGS)  # last: it makes this a class folder
    return path


def place(path: Path, text: str | bytes) -> None:
    """Put ``text`` at ``path`` in one step: a reader sees the old file or the new one, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_csv(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file by column; Excel's byte-order mark and semicolons are understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CourseError(f"There is no {path.name} in {shown(path.parent)}.") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path.name} is not UTF-8 text: save it from the spreadsheet as “CSV UTF-8”.") from None
    head = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ","))
    if missing := [name for name in needed if name not in head]:
        raise CourseError(f"{path.name} has no column {missing[0]}; its first line should name the columns.")
    return [row for row in rows if any(isinstance(value, str) and value.strip() for value in row.values())]


def csv_text(columns, rows) -> str:
    """CSV that no spreadsheet runs as a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t") else value for value in row])
    return out.getvalue()


def parse_due(text: str) -> datetime | None:
    """A date in UTC: ``2027-02-01``, ``2027-02-01 18:00`` or ISO 8601 with an offset; a date alone means its last minute.

    Raises:
        UsageError: no date.
    """
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is no date; write 2027-02-01 18:00 (UTC, or with an offset such as +01:00).") from None
    if len(text.strip()) == 10:
        found = found.replace(hour=23, minute=59)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _extensions(text: str, line: int) -> dict[str, timedelta]:
    found = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, _, period = part.partition(" ")
        if not (match := PERIOD.fullmatch(period.strip())):
            raise CourseError(f"roster.csv, line {line}: the extension {part!r} should look like `hw3 2d` or `hw3 36h`.")
        found[name] = timedelta(days=float(match[1])) if match[2] == "d" else timedelta(hours=float(match[1]))
    return found

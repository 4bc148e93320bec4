"""Reads what a learning platform exports, without trusting a byte of it: names become ids of the roster or nothing, sizes are bounded.

================  ======================================================================================
a plain folder    ``STUDENT_ID/13_mamba.ipynb``
Moodle            ``First Last_1234567_assignsubmission_file_/13_mamba.ipynb`` (or all in one name)
Canvas            ``lastfirst_12345_678901_13_mamba.ipynb``, ``lastfirst_LATE_12345_…``; ``13_mamba-1`` when handed in again
================  ======================================================================================

A zip may hold zips, one a student, two deep. Nothing is unpacked to where an archive says; links are named and left alone.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course.errors import CourseError
from course.grade.folder import Student

LARGEST = 20 << 20  # bytes of one notebook
TOTAL, ENTRIES, DEPTH = 4 << 30, 50_000, 2  # of a whole export, after unpacking
MOODLE = re.compile(r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)", re.S)
CANVAS = re.compile(r"(?P<who>[^_/]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_(?P<rest>.+)", re.S)


@dataclass(frozen=True)
class Piece:
    """One notebook of an export. ``problem`` says why it cannot be used; ``origin`` is the export's own name for it."""

    origin: str
    who: tuple[str, ...]  # names that the path offers, the likeliest first
    lms_id: str
    name: str
    at: datetime  # UTC
    data: bytes = b""
    problem: str = ""


def pieces(source: Path) -> Iterator[Piece]:
    """Every notebook in a folder or zip.

    Raises:
        CourseError: neither, or an archive that is damaged or larger than any class.
    """
    if source.is_dir():
        yield from _folder(source)
    elif not zipfile.is_zipfile(source):
        raise CourseError(f"{source} is neither a folder nor a zip of submissions.")
    elif archive := _opened(source):
        with archive:
            yield from _archive(archive, "", Budget())
    else:
        raise CourseError(f"{source} is a damaged zip; nothing was collected. Export it again?")


class Budget:
    """What an export may still unpack to."""

    def __init__(self):
        self.bytes, self.entries = TOTAL, ENTRIES

    def take(self, size: int) -> None:
        self.bytes, self.entries = self.bytes - size, self.entries - 1
        if self.bytes < 0 or self.entries < 0:
            raise CourseError("This export unpacks to more than any class hands in (a zip bomb?); nothing was collected.")


def _opened(file: Any) -> zipfile.ZipFile | None:
    """The archive in a path or stream, or None if it is damaged, in whatever way."""
    with contextlib.suppress(Exception):  # BadZipFile, but also NotImplementedError, UnicodeDecodeError, struct.error …
        return zipfile.ZipFile(file)
    return None


def _folder(source: Path) -> Iterator[Piece]:
    for path in sorted(source.rglob("*")):
        origin = path.relative_to(source).as_posix()
        if path.is_symlink():
            if path.suffix == ".ipynb" or path.resolve().is_dir():
                yield _piece(origin, datetime.now(UTC), problem="a link, which is not followed")
        elif path.is_file() and path.suffix.lower() in (".ipynb", ".zip"):
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if path.suffix.lower() == ".zip":
                if inner := _opened(path):
                    with inner:
                        yield from _archive(inner, origin.removesuffix(".zip") + "/", Budget())
                else:
                    yield _piece(origin, at, problem="a damaged archive")
            elif path.stat().st_size > LARGEST:
                yield _piece(origin, at, problem=_too_large(path.stat().st_size))
            else:
                yield _piece(origin, at, path.read_bytes())


def _archive(archive: zipfile.ZipFile, inside: str, budget: Budget, depth: int = 1) -> Iterator[Piece]:
    for info in archive.infolist():
        origin, at = inside + info.filename, _time(info)
        if not info.filename.lower().endswith((".ipynb", ".zip")) or "__MACOSX" in info.filename:
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            yield _piece(origin, at, problem="a link, which is not followed")
            continue
        nested = info.filename.lower().endswith(".zip")
        if info.file_size > (TOTAL if nested else LARGEST):
            yield _piece(origin, at, problem=_too_large(info.file_size))
            continue
        try:
            with archive.open(info) as file:
                data = file.read((256 << 20 if nested else LARGEST) + 1)  # the size in the header may lie
        except Exception as problem:  # an entry of a student costs that entry: BadZipFile, zlib.error, a password, an unknown method …
            yield _piece(origin, at, problem=f"damaged in the archive ({str(problem) or type(problem).__name__})")
            continue
        budget.take(len(data))
        if not nested:
            yield _piece(origin, at, data) if len(data) <= LARGEST else _piece(origin, at, problem=_too_large(len(data)))
        elif depth < DEPTH and (inner := _opened(io.BytesIO(data))):
            with inner:
                yield from _archive(inner, origin.removesuffix(".zip") + "/", budget, depth + 1)
        else:
            yield _piece(origin, at, problem="an archive in an archive in an archive" if depth >= DEPTH else "a damaged archive")


def _time(info: zipfile.ZipInfo) -> datetime:
    try:
        return datetime(*info.date_time).astimezone(UTC)  # archives carry local time
    except (ValueError, OverflowError):
        return datetime(1980, 1, 1, tzinfo=UTC)


def _too_large(size: int) -> str:
    return f"{size >> 20} MB large; more than {LARGEST >> 20} MB are not read"


def _piece(origin: str, at: datetime, data: bytes = b"", problem: str = "") -> Piece:
    """Who and what an export's name means."""
    path = unicodedata.normalize("NFC", origin).replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or path.startswith("/") or re.match(r"[A-Za-z]:", path):
        problem = "a path that leads out of the export"
    when, name = at.replace(tzinfo=None), parts[-1].removesuffix(".ipynb") if parts else ""
    for part in parts:
        for pattern in (MOODLE, CANVAS):
            if match := pattern.fullmatch(part):
                return Piece(origin, (match["who"],), match["id"], match["rest"].removesuffix(".ipynb") or name, when, data, problem)
    return Piece(origin, tuple(reversed(parts[:-1])), "", name, when, data, problem)


def student_of(piece: Piece, students: dict[str, Student]) -> Student | None:
    """The one student of the roster that a piece can belong to, or None."""
    if by_id := [s for s in students.values() if piece.lms_id and s.lms_id == piece.lms_id]:
        return by_id[0] if len(by_id) == 1 else None
    for who in piece.who:  # the folder nearest to the file first
        if who in students:
            return students[who]
        names = [s for s in students.values() if _plain(who) in _names(s)]
        if len(names) == 1:
            return names[0]
    return None


def _names(s: Student) -> set[str]:
    return {_plain(text) for text in (s.id, s.first_name + s.last_name, s.last_name + s.first_name, s.email)} - {""}


def _plain(text: str) -> str:
    """Letters and digits only, lower case, NFC: what platforms make of a name."""
    return "".join(c for c in unicodedata.normalize("NFC", text).casefold() if c.isalnum())

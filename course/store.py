"""What the course remembers of a learner: one SQLite file in the user's data folder.

Rows are only ever added, so two notebooks that write at once lose nothing (WAL; a writer waits for the other). Best scores and numbers
of attempts are read from the rows. The table ``predictions`` is written by ``minilib.check``.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT = 30.0  # seconds a writer waits for another
TABLES = """
CREATE TABLE IF NOT EXISTS attempts (lesson TEXT, task INTEGER, points REAL, possible REAL, message TEXT, at REAL);
CREATE TABLE IF NOT EXISTS events (lesson TEXT, task INTEGER, what TEXT, at REAL);
CREATE TABLE IF NOT EXISTS predictions (lesson TEXT, name TEXT, guess TEXT, truth TEXT, hit INTEGER, at REAL);
"""
RANGE = re.compile(r"\s*-?[\d.]+(e[+-]?\d+)? to -?[\d.]+(e[+-]?\d+)?\s*")


@dataclass(frozen=True)
class Score:
    best: float
    possible: float
    attempts: int
    minutes: float  # from the start of the exercise to the first best score


def path() -> Path:
    """``progress.sqlite`` in the user's data folder, or in ``COURSE_DATA``."""
    from platformdirs import user_data_path

    return Path(os.environ.get("COURSE_DATA") or user_data_path("transformers-rebuilt")) / "progress.sqlite"


@contextmanager
def connected() -> Iterator[sqlite3.Connection]:
    """A connection in a transaction: committed at the end, rolled back on an error.

    Raises:
        OSError, sqlite3.Error: the file cannot be written; callers say so and go on.
    """
    path().parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path(), timeout=WAIT)) as db:
        end = time.monotonic() + WAIT
        while True:  # the switch to WAL does not wait for another writer by itself
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(TABLES)
                break
            except sqlite3.OperationalError as problem:
                if "locked" not in str(problem) or time.monotonic() > end:
                    raise
                time.sleep(0.02)
        with db:
            yield db


def record(lesson: str, results: list[dict]) -> None:
    """Keep one attempt for every result (``Result.as_json()``) of a task that was begun."""
    now = time.time()
    begun = [r for r in results if r["status"] != "not started"]
    rows = [(lesson, r["task"], r["points"], r["possible"], r["message"][:400], now) for r in begun]
    with connected() as db:
        db.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)", rows)


def note(lesson: str, task: int, what: str) -> None:
    """Keep that something happened: ``start`` of an exercise, a ``hint`` or the ``solution`` shown."""
    with connected() as db:
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (lesson, task, what, time.time()))


def noted(lesson: str, task: int, what: str) -> int:
    """How often it happened."""
    with connected() as db:
        return db.execute("SELECT COUNT(*) FROM events WHERE lesson = ? AND task = ? AND what = ?", (lesson, task, what)).fetchone()[0]


def times(lesson: str, what: str) -> list[float]:
    """When it happened, in order."""
    with connected() as db:
        rows = db.execute("SELECT at FROM events WHERE lesson = ? AND what = ? ORDER BY at", (lesson, what)).fetchall()
    return [row[0] for row in rows]


def finished(lesson: str) -> float:
    """When the last of the tasks reached its best score."""
    with connected() as db:
        rows = db.execute("SELECT task, points, at FROM attempts WHERE lesson = ? ORDER BY at", (lesson,)).fetchall()
    best = {task: max(points for other, points, _ in rows if other == task) for task, _, _ in rows}
    return max((next(at for other, points, at in rows if other == task and points == best[task]) for task in best), default=0.0)


def scores(lesson: str) -> dict[int, Score]:
    """Best score, attempts and time of each task that was tried."""
    with connected() as db:
        rows = db.execute("SELECT task, points, possible, at FROM attempts WHERE lesson = ? ORDER BY at", (lesson,)).fetchall()
        started = db.execute("SELECT MIN(at) FROM events WHERE lesson = ? AND what = 'start'", (lesson,)).fetchone()[0]
    found = {}
    for task in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == task]
        best = max(mine, key=lambda row: row[1])  # the first of the best
        found[task] = Score(best[1], mine[-1][2], len(mine), max(best[3] - (started or mine[0][3]), 0) / 60)
    return found


def known_lessons() -> set[str]:
    """Lessons with an attempt or an event."""
    with connected() as db:
        return {row[0] for row in db.execute("SELECT lesson FROM attempts UNION SELECT lesson FROM events")}


def calibration() -> dict[str, Any]:
    """How the reader's guesses fared: ranges given with 80 % confidence, and choices. Only the first guess at each question counts."""
    with connected() as db:
        rows = db.execute("SELECT guess, hit, MIN(at) FROM predictions GROUP BY lesson, name").fetchall()
    ranges = [hit for guess, hit, _ in rows if RANGE.fullmatch(guess or "")]
    choices = [hit for guess, hit, _ in rows if not RANGE.fullmatch(guess or "")]
    return {"ranges": len(ranges), "ranges_hit": sum(ranges), "choices": len(choices), "choices_hit": sum(choices)}

"""What is remembered, and that two who write at once lose nothing."""

import os
import sqlite3
import subprocess
import sys

import pytest

from course import store


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path


def result(task=1, points=1.0, status="partly"):
    return {"task": task, "points": points, "possible": 3.0, "message": "", "status": status}


def test_best_score_and_attempts_are_kept():
    for points in (1.0, 3.0, 2.0):
        store.record("13_mamba", [result(points=points)])
    store.record("13_mamba", [result(status="not started")])
    score = store.scores("13_mamba")[1]
    assert (score.best, score.possible, score.attempts) == (3.0, 3.0, 3)
    assert store.scores("other") == {}


def test_time_counts_from_the_start(monkeypatch):
    monkeypatch.setattr(store.time, "time", lambda: 1000.0)
    store.note("13_mamba", 0, "start")
    monkeypatch.setattr(store.time, "time", lambda: 1600.0)
    store.record("13_mamba", [result()])
    assert store.scores("13_mamba")[1].minutes == 10
    assert store.noted("13_mamba", 0, "start") == 1


WRITER = """
import sys
from course import store
for i in range(50):
    store.record("13_mamba", [{"task": int(sys.argv[1]), "points": i, "possible": 99, "message": "", "status": "partly"}])
"""


def test_two_processes_writing_at_once_lose_nothing(data):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(task)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        for task in (1, 2)
    ]
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    assert {task: score.attempts for task, score in store.scores("13_mamba").items()} == {1: 50, 2: 50}
    with sqlite3.connect(data / "progress.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_calibration_counts_first_guesses():
    with store.connected() as db:
        db.executemany(
            "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
            [
                ("a", "x", "1 to 2", "1.5", 1, 1.0),
                ("a", "x", "1.4 to 1.6", "1.5", 0, 2.0),  # asked again
                ("a", "y", "-1e-05 to 2e+03", "9", 0, 1.0),
                ("b", "z", "grows", "grows", 1, 1.0),
            ],
        )
    assert store.calibration() == {"ranges": 2, "ranges_hit": 1, "choices": 1, "choices_hit": 1}


def test_the_table_of_minilib_is_ours(monkeypatch):
    """`minilib.check` writes predictions itself (it never imports course): the columns agree."""
    from minilib import check

    monkeypatch.setenv("COURSE_LESSON", "13_mamba")
    check._remember("how many", "1 to 3", "2", True)
    assert store.calibration()["ranges_hit"] == 1

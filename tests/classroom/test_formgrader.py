"""nbgrader's formgrader in a real browser, on a class that `course grade run` has graded."""

import csv
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from conftest import REQUIRED, Room, answered, solutions

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM and "chromium" not in REQUIRED, reason="needs Chromium: apt install chromium"),
]


@contextmanager
def server(room: Room):
    """Jupyter's server in the class folder, as `jupyter lab` starts it there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", "--ServerApp.password=", "--ip=127.0.0.1"]
    options += ["--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}"]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", *options],
        cwd=room.path, env=os.environ | {"PATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2)
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_a_manual_grade_reaches_the_report(room):
    from playwright.sync_api import sync_playwright

    room.enrol("ada", "bob")
    wrong = "def decayed(x, a):\n    return x  # <script>document.title = 'taken over'</script>"
    room.hand_in("ada", answered(solutions() | {1: wrong}, "Perturb the future. <script>document.title = 'taken over'</script>"))
    room.hand_in("bob", answered(solutions(), "Perturb the past."))
    room.course("run", "--jobs", "2")
    with server(room) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(f"{address}/formgrader/gradebook/hw1/98_decay")
        page.get_by_text("Submission #1").click()
        page.wait_for_load_state("networkidle")
        text = page.inner_text("body")
        assert "Task 1 · A sum that forgets" in text and "taken over" not in page.title()
        boxes = page.locator("input.score")
        assert boxes.count() == 5  # four test cells and the written question
        boxes.last.fill("2.5")
        boxes.last.press("Tab")
        comments = page.locator("textarea.comment")
        comments.last.fill("Which entry do you perturb?")
        comments.last.press("Tab")
        page.wait_for_timeout(1000)
        page.reload()
        page.wait_for_load_state("networkidle")
        assert page.locator("input.score").last.input_value() == "2.5"
        browser.close()
    room.course("report")
    with open(room.path / "reports" / "hw1.csv") as file:
        points = {row["student_id"]: float(row["points"]) for row in csv.DictReader(file)}
    assert sorted(points.values()) in ([4.0, 8.5], [6.0, 6.5])
    room.course("feedback")
    pages = "".join(path.read_text() for path in (room.path / "feedback" / "hw1").glob("*.html"))
    assert "Which entry do you perturb?" in pages and "<script" not in pages

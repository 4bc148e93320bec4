"""The settings of every larger run: two steps of the first model (`two_steps.py`). With COURSE_ALL=1, since some of them take minutes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from contract import PAPERS, each

DRIVER = Path(__file__).with_name("two_steps.py")
MINUTES = 20

pytestmark = pytest.mark.skipif(not os.environ.get("COURSE_ALL"), reason="larger models for minutes each; COURSE_ALL=1 runs them")


@each(PAPERS)
def test_the_larger_run_takes_two_steps(lesson):
    command = [sys.executable, DRIVER, lesson.notebook]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{lesson.slug}: {' '.join((done.stderr or done.stdout).split())[-600:]}"

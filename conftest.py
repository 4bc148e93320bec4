"""What holds for every test: one thread, no questions to a reader, no trace in the user's own data; and what nbval need not compare.

``COURSE_MINUTES=30`` begins no further notebook after so many minutes. Those of the last commit come first, the others in an order drawn
from its hash: on a machine too slow for all of them, each has its turn over the commits.
"""

import atexit
import math
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ["COURSE_HEADLESS"] = "1"
os.environ["TRITON_INTERPRET"] = "1"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when torch is imported, also in kernels
    os.environ[name] = "1"
for name in ("COURSE_SCALE", "COURSE_SEED", "COURSE_LESSON", "COURSE_ROOT"):  # a reader's own settings would change what a lesson measures
    os.environ.pop(name, None)
os.environ["COURSE_DATA"] = tempfile.mkdtemp(prefix="course-tests-")
atexit.register(shutil.rmtree, os.environ["COURSE_DATA"], ignore_errors=True)

# The shapes in the signatures of minilib's rooms are checked in every call; this must come before anything imports minilib.
# Left out: rooms that take anything and say in words what is wrong with it, and kernels, whose Triton functions are no Python to wrap.
PLAIN = ("__init__", "check", "claims", "explore", "show")
ROOMS = [path.stem for path in sorted((Path(__file__).parent / "minilib").glob("*.py")) if path.stem not in PLAIN]
install_import_hook([f"minilib.{room}" for room in ROOMS], "beartype.beartype")

# Tables hold measured figures, which differ from machine to machine; the text beside them holds the verdicts and is compared.
MEASURED = ("text/html", "application/vnd.course.claims+json", "image/svg+xml")


MINUTES = float(os.environ.get("COURSE_MINUTES") or "inf")
BEGAN, begun = time.monotonic(), {}  # notebook → whether it was begun in time


def pytest_itemcollected(item):
    notebook = item.parent
    if hasattr(notebook, "skip_compare") and not set(MEASURED) <= set(notebook.skip_compare):
        notebook.skip_compare = (*notebook.skip_compare, *MEASURED)


def pytest_collection_modifyitems(items):
    if math.isinf(MINUTES) or not all(hasattr(item.parent, "skip_compare") for item in items):
        return
    git = lambda *words: subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True).stdout  # noqa: E731
    commit, changed = git("rev-parse", "HEAD"), git("diff", "--name-only", "HEAD~1", "HEAD").split()
    place = {path: random.Random(f"{commit} {path}").random() for path in {item.nodeid.partition("::")[0] for item in items}}
    items.sort(key=lambda item: ((path := item.nodeid.partition("::")[0]) not in changed, place[path]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if hasattr(item.parent, "skip_compare") and not begun.setdefault(item.path, time.monotonic() - BEGAN < 60 * MINUTES):
        pytest.skip(f"not begun: {MINUTES:g} minutes are over")


def pytest_terminal_summary(terminalreporter):
    """Say which notebooks there was no time for, which lessons' mutants this commit drew, and how many were stopped."""
    late = {report.fspath for report in terminalreporter.stats.get("skipped", []) if "minutes are over" in str(report.longrepr)}
    if late:
        terminalreporter.write_line(f"not executed in this run, for want of time: {len(late)} notebooks ({', '.join(sorted(late))})")
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "mutants":
                terminalreporter.write_line(value)

"""What holds for every test: one thread, no questions to a reader, no trace in the user's own data; and what nbval need not compare."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

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


def pytest_itemcollected(item):
    notebook = item.parent
    if hasattr(notebook, "skip_compare") and not set(MEASURED) <= set(notebook.skip_compare):
        notebook.skip_compare = (*notebook.skip_compare, *MEASURED)


def pytest_terminal_summary(terminalreporter):
    """Say which lessons' mutants this commit drew, and how many were stopped."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "mutants":
                terminalreporter.write_line(value)

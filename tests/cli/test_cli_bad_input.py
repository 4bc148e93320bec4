"""Whatever goes wrong outside a lesson's code is one sentence; no file is lost and no traceback is shown."""

import errno
import json
import os
import signal
import subprocess
import tempfile
import time

import pytest

from course.cli import ORDER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json {", "not JSON"),
        ("[1, 2]", "names no notebook format"),
        ('{"cells": []}', "names no notebook format"),
        ('{"nbformat": 3, "worksheets": []}', "format 3"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "no cells"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', "not a valid notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": "many"}', "not a valid notebook"),
        ("\ud83d\ude00".encode("utf-16-le", "surrogatepass"), "not JSON"),
    ],
)
def test_a_file_that_is_no_notebook(course, sentence, text, says):
    course.lesson.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = course.lesson.read_bytes()
    assert says in sentence("run", "13", "--keep")
    assert says in sentence("claims")
    assert says in sentence("lab", "13", "--no-browser")
    assert course.lesson.read_bytes() == before and not (course.root / "work").exists()


def test_a_lesson_without_a_file(course, sentence):
    assert "chapters/03_state_spaces/13_mamba.ipynb" in sentence("run", "13")
    assert "nowhere" in sentence("run", "nowhere/03_state_spaces/13_mamba.ipynb")
    assert "no notebook yet" in sentence("lab", "13")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os\nos._exit(3)", "the kernel died (exit code 3)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed by the system, as happens when memory runs out"),
        ("x = bytearray(1 << 60)", "out of memory (MemoryError)"),
    ],
)
def test_a_kernel_that_dies_or_runs_out_of_memory(course, code, says):
    course.write("x = 1", code)
    before = course.lesson.read_bytes()
    ended, out, _ = course.type("run", "13", "--keep")
    assert ended == 1 and "13_mamba stopped in cell 2 of 2" in out and says in out and len(out.splitlines()) <= 10
    assert course.lesson.read_bytes() == before


def test_an_endless_loop_ends_at_the_lessons_limit(course):
    listing = course.root / "chapters/syllabus.toml"
    listing.write_text(listing.read_text().replace("time_limit = 20", "time_limit = 3"))
    course.write(f"import os\nopen('{course.root}/pid', 'w').write(str(os.getpid()))", "while True: pass")
    start = time.monotonic()
    ended, out, _ = course.type("run", "13", "--keep")
    assert ended == 1 and "still running when the lesson's limit of 3 s was over" in out
    assert time.monotonic() - start < 15
    assert _gone(int((course.root / "pid").read_text()))


def test_ctrl_c_ends_the_kernel_and_changes_nothing(course):
    course.write(f"import os, time\nopen('{course.root}/pid', 'w').write(str(os.getpid()))\ntime.sleep(60)")
    before = course.lesson.read_bytes()
    running = course.start("run", "13", "--keep")
    _wait_for(lambda: (course.root / "pid").exists() and (course.root / "pid").read_text())
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err
    assert err == "Stopped by Ctrl-C during 13_mamba: the kernel is shut down, the notebook is unchanged.\n" and "Traceback" not in out
    assert _gone(int((course.root / "pid").read_text()))
    assert course.lesson.read_bytes() == before


def test_no_space_left_while_storing(course, monkeypatch):
    course.write("print(1)")
    before = course.lesson.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ended, _, err = course.type("run", "13", "--keep")
    assert ended == 1 and err.startswith(
        "No space left on the device while writing chapters/03_state_spaces/13_mamba.ipynb; nothing was over"
    )
    assert course.lesson.read_bytes() == before
    assert course.type("lab", "13")[0] == 1
    assert [path.name for path in course.root.rglob("*mamba.ipynb*")] == ["13_mamba.ipynb"], "no half of a file stays behind"


def test_a_disk_that_is_really_full(course):
    """The same on a file system of 64 kB."""
    folder = course.lesson.parent
    if os.name != "posix" or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root on Linux")
    try:
        course.write("print('x' * 200_000)")
        before = course.lesson.read_bytes()
        ended, _, err = course.type("run", "13", "--keep")
        assert ended == 1 and err.startswith("No space left on the device") and err.count("\n") == 1
        assert course.lesson.read_bytes() == before and len(list(folder.iterdir())) == 1
    finally:
        subprocess.run(["umount", folder], check=True)


def test_no_write_permission(course, sentence, monkeypatch):
    course.write("print(1)")
    before = course.lesson.read_bytes()
    course.lesson.chmod(0o444)
    if os.access(course.lesson, os.W_OK):  # root may write everything
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert "13_mamba.ipynb may not be written" in sentence("run", "13", "--keep")
    assert course.lesson.read_bytes() == before


def test_no_permission_for_a_working_copy(course, sentence, monkeypatch):
    course.write("print(1)")

    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied", "a name that nobody knows")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert sentence("lab", "13").startswith("No permission to use work/03_state_spaces/13_mamba.ipynb; nothing was changed")


def test_output_that_nobody_reads(course):
    listing = course.start("list")
    listing.stdout.close()
    assert listing.wait(timeout=20) in (0, 1) and "Traceback" not in listing.stderr.read()


def test_every_command_has_help_and_nothing_typed_shows_all(course):
    code, out, _ = course.type()
    assert code == 0 and all(name in out for name in ORDER)
    for name in ORDER:
        code, out, _ = course.type(name, "--help")
        assert code == 0 and "Usage: course" in out and len(out.split("Usage")[1].splitlines()[2].strip()) > 20


def test_options_reach_json_unharmed(course):
    course.write("print(1)")
    assert json.loads(course.type("claims", "--json")[1]) == []


def _gone(pid: int) -> bool:
    def dead() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return _wait_for(dead)


def _wait_for(condition, seconds: float = 15) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")

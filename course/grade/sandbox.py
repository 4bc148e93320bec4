"""A process that may run anything: bubblewrap around it, limits on it, and a thread outside that kills it.

Inside there is no network, a private /tmp and home of bounded size, and, read-only, the system, this Python and the packages ``course``
and ``minilib``: no solution, no test, no other submission, no gradebook, none of the grader's environment variables. Root ignores
RLIMIT_NPROC, so a grader who is root starts bubblewrap as root (it has to reach this Python, wherever it lies) and drops to a user
that owns nothing before the first line of Python runs. bubblewrap limits neither memory nor processes: RLIMITs hold for one process, and
the thread adds up all processes of the sandbox and ends it by killing bubblewrap, whose end the kernel passes on to its PID namespace.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

import course
import minilib
from course.errors import CourseError

HOME = "/home/student"
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC = ("ld.so.cache", "ld.so.conf", "localtime", "alternatives", "fonts")
TICK = 0.1  # seconds between two looks of the supervisor
NEEDED = "Student code runs only in a sandbox: bubblewrap, on Linux (apt install bubblewrap). "
RISK = "--no-sandbox runs it as you, with your files and your network: only for submissions that you have read."

_SANDBOXES = itertools.count()


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use, all its processes together; ``seconds`` of wall-clock from its start."""

    seconds: float = 600.0
    memory: int = 3 << 30
    processes: int = 64
    files: int = 512
    file_size: int = 64 << 20
    disk: int = 128 << 20

    @property
    def rlimits(self) -> list[str]:
        """Limits of a single process, as prlimit takes them; threads count as processes there."""
        return [f"--nproc={self.processes * 2}", f"--nofile={self.files}", f"--fsize={self.file_size}", "--core=0", "--memlock=65536"]


def environment() -> dict[str, str]:
    """All that a sandboxed process finds in its environment: the same everywhere, so that grades are too."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    here = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": str(Path(course.__file__).parents[1])}
    us = {"HOME": HOME, "USER": "student", "LOGNAME": "student", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "MPLCONFIGDIR": "/tmp/matplotlib"}
    fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "COURSE_HEADLESS": "1", "NBGRADER_EXECUTION": "autograde"}
    return threads | here | us | fixed


def _readable() -> list[str]:
    """Folders that Python needs: its own, the environment's, and the packages of the course; never the repository itself."""
    libraries = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = [str(Path(path).parent) for path in (course.__file__, minilib.__file__) if path]
    interpreter = str(Path(os.path.realpath(sys.executable)).parent)
    folders = {sys.prefix, sys.base_prefix, interpreter, *libraries, *packages}
    outside = [folder for folder in sorted(folders) if not folder.startswith("/usr/") and folder not in ("/", "/usr")]
    return [folder for folder in outside if not any(folder.startswith(other + "/") for other in outside)]


def command(argv: list[str], limits: Limits, *, writable: Path | None = None, user: int | None = None) -> list[str]:
    """``argv`` as it is started in a sandbox; ``writable`` is the one folder of the host it may write to, ``user`` whom root drops to."""
    bound = str(limits.disk)
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--ro-bind", "/usr", "/usr"]
    for name in SYSTEM:
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        else:
            words += ["--ro-bind-try", f"/{name}", f"/{name}"]
    # its own /tmp comes first: the course or its environment may lie in the host's
    words += ["--size", bound, "--perms", "1777", "--tmpfs", "/tmp", "--size", bound, "--perms", "1777", "--tmpfs", HOME]
    for path in [*(f"/etc/{name}" for name in ETC), *_readable()]:
        for parent in reversed(Path(path).parents[:-1]):
            if str(parent) not in ("/tmp", HOME):
                words += ["--perms", "0755", "--dir", str(parent)]  # bubblewrap would make them for the grader alone
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", bound, "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    if writable:
        words += ["--bind", str(writable), str(writable)]
    words += ["--remount-ro", "/", "--chdir", HOME, "--cap-drop", "ALL"]
    for name, value in environment().items():
        words += ["--setenv", name, value]
    if os.getuid() == 0:
        user = user or new_user()
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", "setpriv", f"--reuid={user}", f"--regid={user}"]
        words += ["--clear-groups"]
    else:
        words += ["--unshare-user", "--disable-userns", "--"]
    return [*words, "prlimit", *limits.rlimits, "--", *argv]


def new_user() -> int:
    """A user id for one sandbox of a grader who is root: no account has it, and no sandbox that runs beside it should.

    RLIMIT_NPROC counts all processes of a user: a fork bomb must not cost another student his processes.
    """
    return 61184 + (os.getpid() * 17 + next(_SANDBOXES)) % 4096


@cache
def missing() -> str:
    """Why no sandbox can be had here, or ''."""
    if not sys.platform.startswith("linux"):
        return NEEDED + RISK
    if lacking := [name for name in ("bwrap", "prlimit", "setpriv") if not shutil.which(name)]:
        return f"{', '.join(lacking)} not found. {NEEDED}{RISK}"
    tried = subprocess.run(command([sys.executable, "-c", "import psutil"], Limits()), capture_output=True, text=True)
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or ["no message"])[-1][:200]
        return f"bubblewrap does not work here ({why}). Unprivileged user namespaces may be switched off. {RISK}"
    return ""


class Sandbox:
    """A supervised process; ``ended`` says in words why it was stopped, '' if it ended by itself or still runs.

    Args:
        argv: what to start.
        inside: False runs it without bubblewrap, as ourselves, under the same supervision.
        writable, user: as for ``command``.
        streams: further arguments of ``subprocess.Popen``.

    Raises:
        CourseError: there is no bubblewrap, and ``inside`` was not given up.
    """

    def __init__(
        self,
        argv: list[str],
        limits: Limits = Limits(),
        *,
        inside: bool = True,
        writable: Path | None = None,
        user: int | None = None,
        **streams: Any,
    ):
        if inside and (why := missing()):
            raise CourseError(why)
        self.limits, self.ended, self.peak = limits, "", 0
        words = command(argv, limits, writable=writable, user=user) if inside else argv
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")} if inside else os.environ | environment() | {"HOME": os.environ["HOME"]}
        self.process = subprocess.Popen(words, env=env, start_new_session=True, **streams)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        end = time.monotonic() + self.limits.seconds
        while self.process.poll() is None and not self._over.wait(TICK):
            try:
                everyone = family(self.process.pid)
                self.peak = max(self.peak, used := memory(everyone, self.limits.memory))
            except psutil.Error:
                continue
            if used > self.limits.memory:
                self.kill(f"It used more than {self.limits.memory >> 20} MB of memory and was stopped.")
            elif len(everyone) > self.limits.processes:
                self.kill(f"It started more than {self.limits.processes} processes and was stopped.")
            elif time.monotonic() > end:
                self.kill(f"It took longer than {self.limits.seconds:g} seconds and was stopped.")

    def _everyone(self) -> list[psutil.Process]:
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def processes(self) -> int:
        """How many there are, bubblewrap's own included."""
        try:
            return len(self._everyone())
        except psutil.Error:
            return 0

    def kill(self, why: str = "") -> None:
        """End it and all that it started; the first reason given is kept."""
        self.ended = self.ended or why
        with contextlib.suppress(psutil.Error):
            for process in reversed(self._everyone()):  # without a sandbox, the group is all we know
                with contextlib.suppress(psutil.Error):
                    process.kill()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self) -> None:
        self._over.set()
        self.kill()
        self.process.wait()
        self._thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants, by the kernel's lists of children: psutil reads every process of the machine for it."""
    pids = [pid]
    for parent in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                pids += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
    if len(pids) == 1:  # a kernel without these lists, or nothing below yet
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return [process for each in pids if (process := _process(each))]


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def memory(processes: list[psutil.Process], enough: int) -> int:
    """Bytes that these processes hold. Shared pages count once each process until that seems too much; then they are counted fairly."""
    total = sum(_each(processes, lambda p: p.memory_info().rss))
    return total if total <= enough else sum(_each(processes, lambda p: p.memory_full_info().pss))


def _each(processes: list[psutil.Process], read) -> Iterator[int]:
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            yield read(process)

"""A child process that may run anything and harm nobody: limits of time, memory, file size and output, and findings through a pipe.

``in_fork(work)`` runs ``work(emit)`` in a fork of this process. The child may loop, crash or call ``os._exit``: what it emitted until then
counts, and the sentence says what ended it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

try:
    import resource
except ImportError:  # Windows: no limit of memory, and no fork either
    resource = None  # type: ignore[assignment]

SECONDS, MEMORY, MESSAGES = 20.0, 2 << 30, 1 << 20  # limits of one task: wall-clock, bytes beyond the warm process, bytes of findings
END = {"end": True}
Emit = Callable[[dict], None]


def in_fork(
    work: Callable[[Emit], None], *, seconds: float = SECONDS, memory: int = MEMORY, relay: Emit | None = None
) -> tuple[list[dict], str]:
    """Run ``work(emit)`` in a child: everything it emitted, and '' or what ended it early, in words. ``relay`` gets all of it at once."""
    findings: list[dict] = []

    def keep(finding: dict) -> None:
        findings.append(finding)
        if relay and finding != END:
            relay(finding)

    if not hasattr(os, "fork"):  # Windows: in this process, which ``course.worker`` kills at the limit
        work(keep)
        return findings, ""
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(inlet)
            _confine(memory)
            work(lambda finding: _send(outlet, finding))
            _send(outlet, END)
        except BaseException:
            traceback.print_exc()  # goes nowhere unless a test of ours looks
        finally:
            os._exit(0)
    os.close(outlet)
    begun, size, end, ended = b"", 0, time.monotonic() + seconds, ""
    try:
        while True:
            left = end - time.monotonic()
            ready = select.select([inlet], [], [], max(min(left, 0.2), 0))[0]
            chunk = os.read(inlet, 1 << 16) if ready else None
            *lines, begun = (begun + (chunk or b"")).split(b"\n")
            size += len(chunk or b"")
            for line in lines:
                if (finding := _finding(line)) is not None:
                    keep(finding)
            if chunk == b"" or (chunk is None and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
                break
            if left <= 0 or size > MESSAGES:
                ended = (
                    f"It took longer than {seconds:g} seconds and was stopped: is there a loop that never ends?"
                    if left <= 0
                    else "It wrote too much and was stopped."
                )
                break
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # the child and whatever it started
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.close(inlet)
        os.waitpid(child, 0)
    if findings and findings[-1] == END:
        return findings[:-1], ""
    return findings, ended or "Your code ended the whole process (os._exit, a crash, or too much memory)."


def _finding(line: bytes) -> dict | None:
    with contextlib.suppress(ValueError):
        return found if isinstance(found := json.loads(line), dict) else None
    return None


def _send(outlet: int, finding: dict) -> None:
    data = json.dumps(finding).encode() + b"\n"
    while data:
        data = data[os.write(outlet, data) :]


def _confine(memory: int) -> None:
    """Limits and silence for a child that is about to run a learner's code."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.stdin = open(os.devnull)  # noqa: SIM115 (lives as long as the child)
    if resource is None:
        return
    with contextlib.suppress(OSError, ValueError):  # RLIMIT_AS would stop torch itself; data segments are what an answer allocates
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + memory, used + memory))
    for limit, value in ((resource.RLIMIT_FSIZE, 64 << 20), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))

"""One notebook, one fresh kernel: executes cell by cell and says in a sentence why it stopped, if it did.

Nothing is written here. The kernel is always this very Python, whatever kernels the user has installed, and it is gone when `execute`
returns or is interrupted.
"""

import asyncio
import contextlib
import logging
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from course.errors import CourseError

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SOURCE_LINES, ERROR_LINES, WIDTH = 6, 3, 240  # with the heading: ten lines at most


@dataclass(frozen=True)
class Failure:
    """Why a run stopped: in which code cell (counted as in JupyterLab's `[7]`), what stood there, what it said."""

    cell: int
    source: list[str]
    error: list[str]


@dataclass
class Outcome:
    """How one execution ended and what it took: `seconds` of wall-clock, `cpu` seconds and `peak` bytes of memory of the kernel."""

    cells: int
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    failure: Failure | None = None


class ThisPython(KernelSpecManager):
    """Starts kernels with the running interpreter: a `python3` kernel that the user once installed elsewhere would lack minilib."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def code_cells(nb: NotebookNode) -> list[int]:
    """Indices of the cells that are run; their order is what JupyterLab shows as `[1]`, `[2]` …"""
    return [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code" and cell.source.strip()]


def execute(nb: NotebookNode, *, folder: Path, env: dict[str, str], limit: float | None, on_cell: Callable[[int], Any]) -> Outcome:
    """Run the code cells of `nb` in order, filling in their outputs, until the first one that fails.

    Args:
        folder: where the kernel starts.
        env: environment variables for the kernel beyond ours.
        limit: seconds of wall-clock for the whole notebook, None for no limit.
        on_cell: called with a cell's index in `nb.cells` before it runs.

    Raises:
        KeyboardInterrupt: Ctrl-C; the kernel has been stopped.
        CourseError: no kernel could be started.
    """
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # its reports repeat what we say in a sentence
    return asyncio.run(_execute(nb, folder, env, limit, on_cell))


async def _execute(nb: NotebookNode, folder: Path, env: dict[str, str], limit: float | None, on_cell: Callable[[int], Any]) -> Outcome:
    code = code_cells(nb)
    outcome, begin = Outcome(len(code)), time.monotonic()
    left = (lambda cell: max(1, math.ceil(begin + limit - time.monotonic()))) if limit else None
    km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    client = NotebookClient(nb, km, record_timing=False, timeout_func=left)
    try:
        await _start(client, folder, env)
        process: Any = km.provisioner
        kernel = psutil.Process(process.pid)
        for number, index in enumerate(code, start=1):
            on_cell(index)
            try:
                await client.async_execute_cell(nb.cells[index], index, execution_count=number)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # Ctrl-C reaches us dressed as a dead kernel
                    raise asyncio.CancelledError from None
                outcome.failure = _failure(number, nb.cells[index].source, error, limit, await process.poll())
                break
            finally:
                _measure(kernel, outcome)
    finally:
        if client.kc:
            client.kc.stop_channels()
        if km.has_kernel:
            await km.shutdown_kernel(now=True)
        outcome.seconds = time.monotonic() - begin
    return outcome


async def _start(client: NotebookClient, folder: Path, env: dict[str, str]) -> None:
    ours = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # figures belong in the notebook
    ours |= {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **env}
    try:
        await client.async_start_new_kernel(cwd=str(folder), env=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await client.async_start_new_kernel_client()
    except (RuntimeError, TimeoutError) as error:
        raise CourseError(f"The Jupyter kernel did not start ({error}); `course doctor` shows what is missing.") from None


def _measure(kernel: psutil.Process, outcome: Outcome) -> None:
    """CPU seconds and peak memory so far; a kernel that has died keeps its last reading."""
    with contextlib.suppress(psutil.Error, OSError):
        times = kernel.cpu_times()
        outcome.cpu = times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        memory = kernel.memory_info()
        outcome.peak = max(outcome.peak, getattr(memory, "peak_wset", memory.rss))  # Windows keeps the peak, macOS only the present
        status = Path(f"/proc/{kernel.pid}/status")
        if status.exists() and (high := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            outcome.peak = int(high[1]) * 1024


def _failure(number: int, source: str, error: Exception, limit: float | None, exit_code: int | None) -> Failure:
    if isinstance(error, CellTimeoutError):
        words = f"still running when the lesson's limit of {limit:.0f} s was over; `time_limit` in the syllabus gives it more"
    elif isinstance(error, DeadKernelError):
        words = f"the kernel died ({_how_it_ended(exit_code)})"
    else:
        assert isinstance(error, CellExecutionError)
        words = ANSI.sub("", f"{error.ename}: {error.evalue}").strip()
        if error.ename == "MemoryError" or "can't allocate memory" in words:
            words = f"out of memory ({words.rstrip(': ')})"
    trace = ANSI.sub("", getattr(error, "traceback", ""))
    at = re.search(r"Cell In\[\d+\], line (\d+)", trace)
    return Failure(number, _excerpt(source, int(at[1]) if at else None), _cut(words.splitlines(), ERROR_LINES))


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code == -9:
        return "killed by the system, as happens when memory runs out"
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"


def _excerpt(source: str, failing: int | None) -> list[str]:
    """At most SOURCE_LINES numbered lines of a cell, around the failing one, which an arrow marks."""
    lines = source.splitlines()
    first = min(max(0, (failing or 1) - SOURCE_LINES // 2 - 1), max(0, len(lines) - SOURCE_LINES))
    shown = enumerate(lines[first : first + SOURCE_LINES], start=first + 1)
    return [f"{'→' if number == failing else ' '} {number:>3} │ {line[:WIDTH]}" for number, line in shown]


def _cut(lines: list[str], count: int) -> list[str]:
    kept = [line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines if line.strip()]
    return kept if len(kept) <= count else [*kept[: count - 1], "…"]

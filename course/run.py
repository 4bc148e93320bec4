"""`course run`: executes lessons headless, prints their claims, and on request stores the outputs in the notebook."""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from course import claims, notebooks
from course.errors import CourseError, Interrupted, UsageError
from course.hashing import code_hash
from course.kernel import Outcome, code_cells, execute
from course.syllabus import Lesson, Syllabus

FIRST_SEED = 10
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(syllabus: Syllabus, names: list[str], *, scale: str, seeds: int | None, keep: bool, processes: int | None = None) -> int:
    """Execute the named lessons (`ALL`: every one that exists); returns the exit code.

    A lesson that fails does not stop the ones after it. With `seeds`, each is repeated that often; verdicts are counted, nothing is stored.
    With `processes`, each runs as a script under torchrun.
    """
    if processes and (keep or seeds):
        raise UsageError(
            "--processes runs a lesson as a script, without outputs to store or verdicts to count: leave out --keep and --seeds."
        )
    if keep and scale != "laptop":
        raise UsageError("Only laptop runs may be stored: leave out --keep, or --scale full.")
    if keep and seeds:
        raise UsageError("--seeds repeats a lesson and stores nothing: leave out --keep, or --seeds.")
    console = Console(highlight=False)
    failed = []
    targets = _targets(syllabus, names)
    for lesson, path in targets:
        try:
            if keep and path != lesson.notebook:
                raise UsageError(f"{notebooks.shown(path)} is not a lesson in chapters/, so its outputs are not stored: leave out --keep.")
            if processes:
                fine = _shared(lesson, path, scale, processes, console)
            else:
                fine = _repeat(lesson, path, scale, seeds, console) if seeds else _once(lesson, path, scale, keep, console)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped by Ctrl-C during {lesson.slug}: the kernel is shut down, the notebook is unchanged.") from None
        except UsageError:
            raise
        except CourseError as problem:
            console.print(Text(f"✗ {problem}", "red"), soft_wrap=True)
            fine = False
        if not fine:
            failed.append(lesson.slug)
    if len(targets) > 1:
        exceptions = f"; not {', '.join(failed)}" if failed else ""
        console.print(f"{len(targets) - len(failed)} of {len(targets)} lessons ran to the end{exceptions}")
    return 1 if failed else 0


def _targets(syllabus: Syllabus, names: list[str]) -> list[tuple[Lesson, Path]]:
    """Each lesson once, with the notebook to run: the one in chapters/, or the very file that was named by its path."""
    if "ALL" in names:
        return [(lesson, lesson.notebook) for lesson in syllabus.lessons if lesson.notebook.exists()]
    found = {}
    for name in names:
        lesson, named = syllabus.find(name), Path(name)
        path = named.resolve() if named.suffix == ".ipynb" and (named.exists() or len(named.parts) > 1) else lesson.notebook
        if not path.exists():
            raise CourseError(f"{lesson.slug} has no notebook {notebooks.shown(path)} yet.")
        found[path] = lesson
    return [(lesson, path) for path, lesson in found.items()]


def _once(lesson: Lesson, path: Path, scale: str, keep: bool, console: Console) -> bool:
    nb, source = notebooks.read(path), path.read_bytes()
    made_from = code_hash(nb, lesson.root)  # before the run: what is edited while it lasts makes its outputs stale
    if keep and not os.access(path, os.W_OK):  # said before the lesson has run for a minute
        raise CourseError(f"{notebooks.shown(path)} may not be written: check its permissions.")
    seed = FIRST_SEED if keep else _seed()
    outcome = _execute(lesson, nb, path, scale, seed)
    if outcome.failure:
        _explain(lesson, nb, outcome, console)
        return False
    if rows := claims.of_notebook(nb):
        console.print(claims.table(rows))
    stored = ""
    if keep:
        if path.read_bytes() != source:
            raise CourseError(f"{notebooks.shown(path)} was saved by somebody else while it ran, so nothing was stored: run it again.")
        normalise(nb, made_from)
        notebooks.write(path, nb)
        stored = f"; outputs stored in {notebooks.shown(path)}"
    if scale == "full":
        stored = _finished(lesson, rows, seed)
    console.print(Text(f"✓ {lesson.slug}: {_cost(outcome)}{stored}", "green"), soft_wrap=True)
    return True


def _shared(lesson: Lesson, path: Path, scale: str, processes: int, console: Console) -> bool:
    """The lesson as a script under torchrun: `minilib.training.fit` shares its steps between the processes."""
    nb, seed = notebooks.read(path), _seed()
    script, rows_file = _long_run(lesson) / f"{lesson.slug}.py", _long_run(lesson) / "claims.json"
    script.parent.mkdir(parents=True, exist_ok=True)
    rows_file.unlink(missing_ok=True)
    notebooks.write_text(script, jupytext.writes(nb, fmt="py:percent"))
    flags = ["--standalone", f"--nproc-per-node={processes}", "--max-restarts=3", "--local-ranks-filter=0"]
    command = [sys.executable, "-m", "torch.distributed.run", *flags, str(script)]
    env = _environment(lesson, nb, scale, seed) | {"COURSE_CLAIMS": str(rows_file), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    # in the store of the attempt before, workers that come back would find each other's addresses of then
    env["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    console.print(Text(f"torchrun {' '.join(flags)} {notebooks.shown(script)}", "dim"), soft_wrap=True)
    begin = time.monotonic()
    if subprocess.run(command, cwd=path.parent, env=os.environ | env).returncode:
        console.print(
            Text(f"✗ {lesson.slug} stopped; what went wrong stands above. The same command goes on from the last checkpoint.", "red")
        )
        return False
    rows = json.loads(rows_file.read_text(encoding="utf-8")) if rows_file.exists() else []
    if rows:
        console.print(claims.table(rows))
    stored = _finished(lesson, rows, seed) if scale == "full" else ""
    console.print(Text(f"✓ {lesson.slug}: {processes} processes, {time.monotonic() - begin:.1f} s{stored}", "green"), soft_wrap=True)
    return True


def _long_run(lesson: Lesson) -> Path:
    """Where a long run keeps its checkpoints and its script until it has ended."""
    return lesson.root / "work" / "runs" / lesson.slug


def _finished(lesson: Lesson, rows: list[dict], seed: int) -> str:
    """A full run has ended: its checkpoints go, its figures stay; a clause that says where."""
    shutil.rmtree(_long_run(lesson), ignore_errors=True)
    return f"; figures stored in {notebooks.shown(_store_full(lesson, rows, seed))}" if rows else ""


def _environment(lesson: Lesson, nb: NotebookNode, scale: str, seed: int) -> dict[str, str]:
    env = {"COURSE_HEADLESS": "1", "COURSE_LESSON": lesson.slug, "COURSE_SCALE": scale, "COURSE_SEED": str(seed)}
    if scale != "full":
        return env
    # named after code and seed: what another version of the lesson has trained is not gone on with
    return env | {"COURSE_CHECKPOINTS": str(_long_run(lesson) / f"checkpoints-{code_hash(nb, lesson.root)[:12]}-{seed}")}


def _seed() -> int:
    """The first seed of a run that is not stored: COURSE_SEED, or the one that stored outputs have."""
    value = os.environ.get("COURSE_SEED") or str(FIRST_SEED)
    if not value.isdecimal():
        raise UsageError(f"COURSE_SEED is {value}, it must be a whole number such as {FIRST_SEED}.")
    return int(value)


def _repeat(lesson: Lesson, path: Path, scale: str, seeds: int, console: Console) -> bool:
    """Run with `seeds` different first seeds; False if a run fails or a claim varies that declares itself stable."""
    runs = []
    for seed in (FIRST_SEED * (k + 1) for k in range(seeds)):
        nb = notebooks.read(path)
        outcome = _execute(lesson, nb, path, scale, seed)
        if outcome.failure:
            console.print(f"With COURSE_SEED={seed}:")
            _explain(lesson, nb, outcome, console)
            return False
        runs.append(claims.of_notebook(nb))
        console.print(Text(f"✓ {lesson.slug}, seed {seed}: {_cost(outcome)}", "green"))
    view, varying, settled = claims.over_seeds(runs)
    console.print(view)
    for remark in varying + settled:
        console.print(Text(remark), soft_wrap=True)
    return not varying


def _execute(lesson: Lesson, nb: NotebookNode, path: Path, scale: str, seed: int) -> Outcome:
    with _progress(lesson, nb) as on_cell:
        return execute(
            nb,
            folder=path.parent,
            env=_environment(lesson, nb, scale, seed),
            limit=None if scale == "full" else lesson.time_limit,
            on_cell=on_cell,
        )


@contextlib.contextmanager
def _progress(lesson: Lesson, nb: NotebookNode) -> Iterator[Callable[[int], Any]]:
    """A live line that shows which cell runs, under which heading; it is gone at the end."""
    code = code_cells(nb)
    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("cell {task.fields[cell]} of {task.total}"), TimeElapsedColumn())
    heading = TextColumn("{task.fields[heading]}", markup=False)
    live = Progress(*columns, heading, console=terminal, transient=True, disable=not terminal.is_terminal)
    with live:
        task = live.add_task(lesson.slug, total=len(code), cell=0, heading="")

        def on_cell(index: int) -> None:
            done = code.index(index)
            live.update(task, completed=done, cell=done + 1, heading=_heading(nb, index))

        yield on_cell


def _heading(nb: NotebookNode, index: int) -> str:
    """The last heading below the title that stands before a cell."""
    for cell in reversed(nb.cells[:index]):
        if cell.cell_type == "markdown" and (found := [line for line in cell.source.splitlines() if line.startswith("##")]):
            return found[-1].lstrip("# ")[:60]
    return ""


def _explain(lesson: Lesson, nb: NotebookNode, outcome: Outcome, console: Console) -> None:
    failure = outcome.failure
    assert failure is not None
    heading = _heading(nb, code_cells(nb)[failure.cell - 1])
    lines = [f"✗ {lesson.slug} stopped in cell {failure.cell} of {outcome.cells}" + (f" ({heading})" if heading else ""), *failure.source]
    console.print(Text("\n".join(lines)), soft_wrap=True)
    console.print(Text("\n".join(failure.error), "red"), soft_wrap=True)


def _cost(outcome: Outcome) -> str:
    return f"{outcome.cells} cells, {outcome.seconds:.1f} s, {outcome.cpu:.1f} s of CPU, {outcome.peak / 2**20:.0f} MiB at most"


def normalise(nb: NotebookNode, made_from: str) -> None:
    """What is stored depends on the lesson alone: no machine, no time, no state of widgets; with the hash of the code it was made from."""
    nb.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        course={
            **nb.metadata.get("course", {}),
            "code_hash": made_from,
            "scale": "laptop",
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "torch": ".".join(version("torch").split(".")[:2]),
        },
    )
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":  # a widget without its kernel shows an error; its figure is an output of its own
            cell.outputs = _joined([output for output in cell.outputs if WIDGET not in output.get("data", {})])


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Printed text in one piece: in how many messages it arrived differs from run to run."""
    kept: list[NotebookNode] = []
    for output in outputs:
        if kept and "text" in output and output.get("name") == kept[-1].get("name"):
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def _store_full(lesson: Lesson, rows: list[dict], seed: int) -> Path:
    """`<lesson>.full.json` beside the notebook: the figures of a full run, shown beside the laptop's but never judged."""
    path = lesson.notebook.with_suffix(".full.json")
    software = f"Python {platform.python_version()}, torch {version('torch')}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {software}"
    record = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "seed": seed, "claims": rows}
    notebooks.write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path

"""What each lesson costs and how often each verdict comes out: ``python benchmarks/lessons.py [LESSON …] [--seeds 5] [--jobs 2]``.

Executes the notebooks as they stand, some at a time, each in a kernel of its own with one thread. Every finished run is entered in
``lessons.json`` at once, so that a stopped command loses nothing; with ``--seeds`` it goes on with the runs that are missing. From these
records comes ``lessons.md``. Ends with exit code 1 if a lesson fails or a verdict that is declared stable differs from the stored one.
"""

import argparse
import ast
import hashlib
import json
import os
import platform
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from course import claims, notebooks, syllabus
from course.kernel import execute
from course.run import FIRST_SEED
from course.syllabus import Lesson

HERE = Path(__file__).parent
RECORDS, PAGE = HERE / "lessons.json", HERE / "lessons.md"
CPU, MEMORY, MINUTES = 60, 1.5 * 2**30, 20  # what a lesson may cost on two cores of a laptop, and all of them together


class Undeclared(ast.NodeTransformer):
    """Code without what is declared after the runs: how often a verdict came out."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in ("stable", "frequency")]
        return self.generic_visit(node)


def fingerprint(lesson: Lesson) -> str:
    """Hash of a lesson's code cells, blind to comments and to declared frequencies: equal means that the runs still speak for it."""
    digest = hashlib.sha256()
    for cell in notebooks.read(lesson.notebook).cells:
        if cell.cell_type == "code":
            code = "\n".join("" if line.startswith(("%", "!")) else line for line in cell.source.splitlines())
            digest.update(ast.dump(Undeclared().visit(ast.parse(code))).encode())
    return digest.hexdigest()[:16]


def measure(lesson: Lesson, seed: int) -> dict:
    """One run: seconds of wall-clock and CPU, peak bytes, verdicts by claim; `failed` with a sentence where it stopped."""
    nb = notebooks.read(lesson.notebook)
    env = {"COURSE_HEADLESS": "1", "COURSE_LESSON": lesson.slug, "COURSE_SCALE": "laptop", "COURSE_SEED": str(seed)}
    outcome = execute(nb, folder=lesson.notebook.parent, env=env, limit=lesson.time_limit, on_cell=lambda index: None)
    run = {"seconds": round(outcome.seconds, 1), "cpu": round(outcome.cpu, 1), "peak": outcome.peak}
    if outcome.failure:
        return run | {"failed": f"cell {outcome.failure.cell}: {' '.join(outcome.failure.error)}"[:200]}
    return run | {"verdicts": {row["id"]: row["verdict"] for row in claims.of_notebook(nb)}}


def enter(lesson: Lesson, seed: int, run: dict) -> None:
    """Add a run to the records; runs of other code than this are dropped."""
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    code = fingerprint(lesson)
    old = records.get(lesson.slug, {})
    runs = {**(old["runs"] if old.get("code") == code else {}), str(seed): run}
    records[lesson.slug] = {"code": code, "runs": dict(sorted(runs.items()))}
    lines = ",\n".join(f"{json.dumps(slug)}: {json.dumps(record)}" for slug, record in sorted(records.items()))
    notebooks.write_text(RECORDS, "{\n" + lines + "\n}\n")


def missing(lessons: list[Lesson], seeds: int) -> list[tuple[Lesson, int]]:
    """The runs to make: the first seed of each lesson, or those of `seeds` first seeds that the records lack."""
    if seeds == 1:
        return [(lesson, FIRST_SEED) for lesson in lessons]
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    wanted = []
    for lesson in lessons:
        record = records.get(lesson.slug, {})
        known = record["runs"] if record.get("code") == fingerprint(lesson) else {}
        wanted += [(lesson, seed) for k in range(seeds) if "verdicts" not in known.get(str(seed := FIRST_SEED * (k + 1)), {})]
    return wanted


def remark(lesson: Lesson, run: dict) -> str:
    """What is wrong with a run, or nothing."""
    if "failed" in run:
        return run["failed"]
    stored = [row for row in claims.of_notebook(notebooks.read(lesson.notebook)) if row["stable"]]
    ran = run["verdicts"]
    return "; ".join(f"{row['id']} {ran[row['id']]}, stored {row['verdict']}" for row in stored if ran[row["id"]] != row["verdict"])


def view(rows: list[tuple], running: int, begin: float) -> Table:
    """The live table: what ran last, and what is wrong."""
    table = Table(title=f"{len(rows)} done, {running} to go, {(time.monotonic() - begin) / 60:.1f} minutes", title_justify="left")
    for heading in ("lesson", "seed", "s", "s of CPU", "MiB", ""):
        table.add_column(heading)
    for lesson, seed, run, wrong in rows[-20:]:
        cells = lesson.slug, str(seed), f"{run['seconds']:.0f}", f"{run['cpu']:.0f}", f"{run['peak'] / 2**20:.0f}", wrong or "✓"
        table.add_row(*cells, style="red" if wrong else "")
    return table


def page(lessons: list[Lesson]) -> str:
    """`lessons.md`: a row a lesson, from the records."""
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    lines = ["| lesson | s | s of CPU | MiB | kB | checks | claims | verdicts, and in how many runs |", "|---|---|---|---|---|---|---|---|"]
    costs = []
    for lesson in lessons:
        nb = notebooks.read(lesson.notebook)
        rows, record = claims.of_notebook(nb), records.get(lesson.slug, {"runs": {}})
        runs = [run for run in record["runs"].values() if "verdicts" in run]
        checks = sum(cell.source.count("check(") for cell in nb.cells if cell.cell_type == "code")
        old = " (code changed since)" if runs and record["code"] != fingerprint(lesson) else ""
        verdicts = []
        for row in rows:
            counts = Counter(run["verdicts"].get(row["id"], "missing") for run in runs) or Counter([row["verdict"]])
            said = ", ".join(f"{verdict} {times}" if len(runs) > 1 else verdict for verdict, times in counts.most_common())
            verdicts.append(f"{row['id']} {said}" + ("" if row["stable"] else " (declared as varying)"))
        first = record["runs"].get(str(FIRST_SEED), {})
        costs += [first] if "verdicts" in first else []
        cost = [f"{first['seconds']:.0f}", f"{first['cpu']:.0f}", f"{first['peak'] / 2**20:.0f}"] if "verdicts" in first else ["–"] * 3
        size = f"{lesson.notebook.stat().st_size / 1000:.0f}"
        claimed = "; ".join(verdicts) + (f" – {len(runs)} runs{old}" if len(runs) > 1 else old)
        lines.append(f"| {' | '.join([lesson.slug, *cost, size, str(checks), str(len(rows)), claimed])} |")
    dear = sum(cost["cpu"] > CPU for cost in costs)
    large = sum(cost["peak"] > MEMORY for cost in costs)
    total = (
        f"{len(costs)} lessons: {sum(cost['cpu'] for cost in costs) / 60:.1f} minutes of CPU time in all, {dear} above {CPU} s, "
        f"{large} above {MEMORY / 2**30:.1f} GiB."
    )
    return "\n".join([total, "", *lines]) + "\n"


def pace() -> float:
    """Seconds for five million turns of a Python loop: what to compare machines by."""
    begin, total = time.process_time(), 0
    for i in range(5_000_000):
        total += i
    return time.process_time() - begin


def write(lessons: list[Lesson], minutes: float | None) -> None:
    """Renew `lessons.md`."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, torch {version('torch').split('+')[0]}"
    whole = f" All of them, {minutes:.1f} minutes (aim: {MINUTES})." if minutes else ""
    head = f"""# Lessons: what they cost, how their verdicts come out

Written by `make all-lessons`; the runs stand in `lessons.json`. Seconds, CPU time and peak memory are of the run with the first seed, size
and checks of the notebook as it is stored. Where a lesson ran with several seeds, each verdict stands with the number of runs that gave it.

{machine}; a Python loop of five million turns takes {pace():.1f} s of CPU here.{whole}

"""
    notebooks.write_text(PAGE, head + page(lessons))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="all that exist, without one")
    parser.add_argument("--seeds", type=int, default=1, help="first seeds to run each lesson with; runs already entered are not repeated")
    parser.add_argument("--jobs", type=int, default=2, help="lessons at a time")
    args = parser.parse_args()
    course = syllabus.load()
    every = [lesson for lesson in course.lessons if lesson.notebook.exists()]
    lessons = [course.find(name) for name in args.lessons] or every
    todo, rows, begin = missing(lessons, args.seeds), [], time.monotonic()
    console = Console()
    with ProcessPoolExecutor(args.jobs) as pool, Live(view(rows, len(todo), begin), console=console) as live:
        futures = {pool.submit(measure, lesson, seed): (lesson, seed) for lesson, seed in todo}
        for future in as_completed(futures):
            lesson, seed = futures[future]
            run = future.result()
            enter(lesson, seed, run)
            rows.append((lesson, seed, run, remark(lesson, run)))
            live.update(view(rows, len(todo) - len(rows), begin))
    whole = args.seeds == 1 and not args.lessons
    write(every, (time.monotonic() - begin) / 60 if whole else None)
    wrong = [row for row in rows if row[3]]
    for lesson, seed, _, text in wrong:
        console.print(f"✗ {lesson.slug}, seed {seed}: {text}", style="red")
    console.print(f"{len(rows) - len(wrong)} of {len(rows)} runs as stored; renewed {notebooks.shown(PAGE)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

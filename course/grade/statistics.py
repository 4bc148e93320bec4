"""How a class did, task by task: means, who solved it, how well it tells students apart, and which misconceptions it met."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from course.grade.folder import Folder


@dataclass
class TaskStatistics:
    """``solved`` is the share with full points; ``discrimination`` the correlation of a task's points with the points of all others."""

    task: str
    possible: float
    mean: float
    solved: float
    not_started: int
    discrimination: float | None
    misconceptions: dict[str, int] = field(default_factory=dict)


def results(folder: Folder, assignment: str) -> dict[str, dict]:
    """student → result of grading."""
    found = {}
    for path in sorted((folder.path / "results" / assignment).glob("*.json")):
        with suppress(OSError, ValueError):
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def points_of(found: dict, scores: dict[str, float]) -> dict[str, float]:
    """``lesson task 2`` → points as the gradebook has them: a person's score wins over the machine's."""
    points: dict[str, float] = {}
    for cell, score in scores.items():
        lesson, _, name = cell.partition("/")
        task = " ".join(name.split("-")[:2])
        points[f"{lesson} {task}"] = points.get(f"{lesson} {task}", 0.0) + score
    return points


def statistics(every: dict[str, dict], book: dict[str, dict]) -> list[TaskStatistics]:
    """One entry a task, in the order of the notebook."""
    points = {s: points_of(every.get(s, {}), {cell: got for cell, (got, _) in found["cells"].items()}) for s, found in book.items()}
    possible: dict[str, float] = {}
    for found in book.values():
        possible |= points_of({}, {cell: most for cell, (_, most) in found["cells"].items()})
    said: dict[str, Counter] = {name: Counter() for name in possible}
    idle: Counter = Counter()
    for student in points:
        for lesson, part in every.get(student, {}).get("notebooks", {}).items():
            for task in part["tasks"]:
                name = f"{lesson} task {task['task']}"
                said.setdefault(name, Counter()).update([task["diagnosis"]] if task["diagnosis"] else [])
                idle[name] += task["status"] == "not started"
    rows = []
    for name in sorted(possible, key=_natural):
        got = [p.get(name, 0.0) for p in points.values()]
        rest = [sum(p.values()) - p.get(name, 0.0) for p in points.values()]
        solved = sum(g >= possible[name] for g in got) / len(got)
        mean = sum(got) / len(got)
        rows.append(TaskStatistics(name, possible[name], mean, solved, idle[name], correlation(got, rest), dict(said[name].most_common())))
    return rows


def correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's, or None where one of them does not vary."""
    n = len(a)
    ma, mb = sum(a) / n, sum(b) / n
    va, vb = sum((x - ma) ** 2 for x in a), sum((y - mb) ** 2 for y in b)
    if n < 3 or va == 0 or vb == 0:
        return None
    return sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True)) / (va * vb) ** 0.5


def _natural(name: str) -> tuple:
    lesson, _, task = name.partition(" ")
    return lesson, "written" in task, [int(word) for word in task.split() if word.isdigit()]


def picture(rows: list[TaskStatistics], title: str, path: Path) -> None:
    """One bar a task: the mean share of points, and a mark for the share of students who solved it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 0.5 * len(rows) + 1.2), layout="constrained")
    names = [row.task for row in rows]
    ax.barh(names, [row.mean / row.possible if row.possible else 0 for row in rows], color="#4477aa", label="mean of the points")
    ax.plot([row.solved for row in rows], names, "D", color="#aa3377", label="solved by")
    ax.set(xlim=(0, 1), xlabel="share of the points, of the class", title=title)
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    fig.savefig(path, dpi=120)
    plt.close(fig)

"""A claim of a paper beside what was measured, judged by a rule that was written first.

    c1 = declare("C1", "One layer is one step", paper="losses coincide (Fig. 2)",
                 rule="reproduced: on every seed within 1 %; partly: on average within 5 %",
                 reproduced=lambda m: m.ratio.max < 1.01, partly=lambda m: m.ratio.mean < 1.05)
    …training…
    verdicts(c1.measured(ratio=[1.001, 0.998, 1.004]))         # one entry a seed

Five verdicts: *reproduced*, *partly*, *not at this scale* (the effect does not show here), *contradicted* (the opposite, with margin),
*not run* (needs data or a scale that a laptop does not have; never counted as a success).
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minilib import parallel
from minilib.check import lesson_name

__all__ = ["VERDICTS", "Claim", "Row", "Stat", "declare", "verdicts"]

VERDICTS = ("reproduced", "partly", "not at this scale", "contradicted", "not run")
MIME = "application/vnd.course.claims+json"
COLOURS = {"reproduced": "#1b7837", "partly": "#8a6d00", "not at this scale": "#4a6fa5", "contradicted": "#b2182b", "not run": "#666666"}
MARKS = {"reproduced": "●", "partly": "◐", "not at this scale": "○", "contradicted": "✗", "not run": "–"}


class Stat:
    """One measured quantity over the seeds. A rule names which statistic it means; comparing the bare spread is an error."""

    def __init__(self, values: Any):
        self.values = np.atleast_1d(np.asarray(values, dtype=float)).ravel()
        if self.values.size == 0:
            raise ValueError("a measured quantity needs at least one value")

    mean = property(lambda self: float(self.values.mean()))
    min = property(lambda self: float(self.values.min()))
    max = property(lambda self: float(self.values.max()))
    median = property(lambda self: float(np.median(self.values)))

    def all(self, holds: Callable[[float], bool]) -> bool:
        """True if the condition holds on every seed."""
        return all(holds(float(v)) for v in self.values)

    def count(self, holds: Callable[[float], bool]) -> int:
        """The number of seeds on which the condition holds."""
        return sum(bool(holds(float(v))) for v in self.values)

    def _bare(self, *_: object) -> bool:
        raise TypeError("compare a statistic of the seeds (.mean, .min, .max, .median, .all(…), .count(…)), not the bare spread")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __bool__ = _bare  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        if self.values.size == 1:
            return _number(self.values[0])
        return f"{_number(self.mean)} ({_number(self.min)} … {_number(self.max)}, {self.values.size} seeds)"


@dataclass(frozen=True)
class Row:
    """One line of the table of claims."""

    id: str
    claim: str
    paper: str
    measured: str
    verdict: str
    rule: str
    stable: bool
    note: str = ""


@dataclass
class Claim:
    """A claim and its rule; ``measured`` or ``not_run`` turns it into a line of the table."""

    id: str
    title: str
    paper: str
    rule: str
    reproduced: Callable[[Any], bool]
    partly: Callable[[Any], bool] | None = None
    contradicted: Callable[[Any], bool] | None = None
    stable: bool = True
    frequency: str = ""
    stats: dict[str, Stat] = field(default_factory=dict)

    def measured(self, note: str = "", **stats: Any) -> Row:
        """Judge the measured quantities, one value a seed each.

        Args:
            note: one sentence on why ours differs from the paper's, shown under the verdict.
            stats: the names that the rule uses.
        """
        self.stats = {name: Stat(values) for name, values in stats.items()}
        space = SimpleNamespace(**self.stats)
        bad = [name for name, stat in self.stats.items() if not np.isfinite(stat.values).all()]
        if bad:
            raise ValueError(f"claim {self.id}: {', '.join(bad)} is not a finite number; a training run diverged or a measurement failed")
        rules = {"reproduced": self.reproduced, "partly": self.partly, "contradicted": self.contradicted}
        verdict = next((name for name, holds in rules.items() if holds is not None and holds(space)), "not at this scale")
        ours = "; ".join(f"{name.replace('_', ' ')} {stat}" for name, stat in self.stats.items())
        return Row(self.id, self.title, self.paper, ours, verdict, self.rule, self.stable, " ".join(filter(None, (note, self.frequency))))

    def not_run(self, why: str) -> Row:
        """The claim needs what this laptop does not have; shown, never counted as a success."""
        return Row(self.id, self.title, self.paper, why, "not run", self.rule, True)


def declare(
    id: str,
    title: str,
    *,
    paper: str,
    rule: str,
    reproduced: Callable[[Any], bool] = lambda m: False,
    partly: Callable[[Any], bool] | None = None,
    contradicted: Callable[[Any], bool] | None = None,
    stable: bool = True,
    frequency: str = "",
) -> Claim:
    """Write down a claim and the rule that will judge it, before anything is trained.

    Args:
        id: "C1", "C2" …
        paper: what the paper reports, with its place there.
        rule: the thresholds in words, as the reader sees them.
        reproduced, partly, contradicted: the same in code; each gets a namespace of ``Stat`` by name. They are tried in this order, and
            where none holds the verdict is *not at this scale*.
        stable: False if five runs with other seeds did not agree; then ``frequency`` says how often ("reproduced in 3 of 5 runs").
    """
    if not stable and not frequency:
        raise ValueError(f"claim {id}: an unstable verdict needs frequency=, how often it came out")
    return Claim(id, title, paper, rule, reproduced, partly, contradicted, stable, frequency)


class _Table:
    """Shows itself as a table for people, as JSON for ``course claims``, and as the stable verdicts alone for the tests."""

    def __init__(self, rows: Sequence[Row]):
        self.rows = rows

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        keys = ("id", "claim", "paper", "measured", "verdict", "rule", "stable")
        data = [{"lesson": lesson_name(), **{key: getattr(row, key) for key in keys}} for row in self.rows]
        return {"text/plain": repr(self), "text/html": _html(self.rows), MIME: data}

    def __repr__(self) -> str:
        return "\n".join(f"{row.id} {row.verdict if row.stable else 'varies with the seed'}" for row in self.rows)


def verdicts(*rows: Row) -> _Table:
    """The table of claims; make it the last expression of a cell tagged ``nbval-check-output``.

    A lesson that runs as a script has no outputs: there the rows go to the file COURSE_CLAIMS as well.
    """
    table = _Table(rows)
    if (place := os.environ.get("COURSE_CLAIMS")) and parallel.rank() == 0:
        Path(place).write_text(json.dumps(table._repr_mimebundle_()[MIME]), encoding="utf-8")
    return table


def _html(rows: Sequence[Row]) -> str:
    say = html.escape
    body = "".join(
        f"<tr><td>{say(r.id)}</td><td style='text-align:left'>{say(r.claim)}</td><td style='text-align:left'>{say(r.paper)}</td>"
        f"<td style='text-align:left'>{say(r.measured)}</td>"
        f"<td style='text-align:left'><b style='color:{COLOURS[r.verdict]}'>{MARKS[r.verdict]} {r.verdict}</b>"
        f"{'' if r.stable else ' (varies with the seed)'}{f'<br><small>{say(r.note)}</small>' if r.note else ''}"
        f"<details><summary>rule</summary>{say(r.rule)}</details></td></tr>"
        for r in rows
    )
    head = "".join(f"<th scope='col' style='text-align:left'>{h}</th>" for h in ("", "claim", "the paper", "measured here", "verdict"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 1000 or (x == int(x) and abs(x) >= 10) else f"{x:.3g}"

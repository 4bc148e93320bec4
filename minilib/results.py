"""A table of results that later lessons lay beside their own.

    table({"week naive": {"MSE": 0.157}, "S-Mamba": {"MSE": [0.096, 0.098], "parameters": 101_720}}, also=["17_itransformer"])

A value is a number, or one number a seed: then its mean is shown, with the smallest and the largest. The rows travel with the notebook's
outputs, so that a sibling lesson can show them (``also``) or draw them (``stored``) without training anything again.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minilib.check import lesson_name

__all__ = ["stored", "table"]

MIME = "application/vnd.course.results+json"
CHAPTERS = Path(__file__).parents[1] / "chapters"
Number = float | int
Rows = Mapping[str, Mapping[str, Number | Sequence[Number]]]


class _Table:
    """Shows itself as a table for people and as JSON for other lessons."""

    def __init__(self, parts: dict[str, Rows]):
        self.parts, self.columns = parts, list(dict.fromkeys(c for rows in parts.values() for row in rows.values() for c in row))

    def lines(self) -> list[tuple[str, list[str]]]:
        """Each row as texts; under the name of its lesson where there are several, and once where several lessons share it."""
        lines, seen = [], set()
        for lesson, rows in self.parts.items():
            if len(self.parts) > 1:
                lines.append((lesson, [""] * len(self.columns)))
            for name, row in rows.items():
                texts = [_text(row[c]) if c in row else "" for c in self.columns]
                if (name, *texts) not in seen:
                    lines.append((name, texts))
                seen.add((name, *texts))
        return lines

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        say = html.escape
        head = "".join(f"<th scope='col'>{say(c)}</th>" for c in ("", *self.columns))
        body = "".join(
            f"<tr><th scope='row' style='text-align:left'>{say(name)}</th>{''.join(f'<td>{say(text)}</td>' for text in texts)}</tr>"
            for name, texts in self.lines()
        )
        ours = next(iter(self.parts.values()))
        data = [[name, [[c, np.atleast_1d(v).tolist()] for c, v in row.items()]] for name, row in ours.items()]  # a notebook sorts keys
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return {"text/plain": repr(self), "text/html": table, MIME: data}

    def __repr__(self) -> str:
        lines = [("", self.columns), *self.lines()]
        first = max(len(name) for name, _ in lines)
        widths = [max(len(texts[i]) for _, texts in lines) for i in range(len(self.columns))]
        return "\n".join(
            f"{name:{first}}  " + "  ".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True)) for name, texts in lines
        )


def table(rows: Rows, also: Sequence[str] = ()) -> _Table:
    """The results of this lesson, stored with it, and below them those of the lessons named in ``also``.

    Args:
        rows: name of a row → name of a column → a number, or a list with one number a seed. Column names carry their unit.
        also: lessons, by file name without ending ("17_itransformer").
    """
    return _Table({lesson_name(): rows} | {lesson: stored(lesson) for lesson in also})


def stored(lesson: str) -> dict[str, dict[str, list[float]]]:
    """The rows that ``table`` left in the outputs of a lesson's notebook; a number alone comes back as a list of one."""
    found = sorted(CHAPTERS.glob(f"*/{lesson}.ipynb"))
    if not found:
        raise ValueError(f"no lesson {lesson!r} in {CHAPTERS}")
    for cell in reversed(json.loads(found[0].read_text(encoding="utf-8"))["cells"]):
        for output in cell.get("outputs", []):
            if rows := output.get("data", {}).get(MIME):
                return {name: dict(columns) for name, columns in rows}
    raise ValueError(f"{lesson} holds no table of results; run it with its outputs kept: course run {lesson} --keep")


def _text(value: Number | Sequence[Number]) -> str:
    v = np.atleast_1d(np.asarray(value, dtype=float))
    return _number(v[0]) if v.size == 1 else f"{_number(v.mean())} ({_number(v.min())} … {_number(v.max())})"


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 100 or x == 0 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.4f}" if abs(x) < 1 else f"{x:.2f}"

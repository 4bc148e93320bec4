"""An independent judge of command traces. It shares no code with the scheduler: it reads the times, not the intentions.

``audit``        every pair of commands against the timing, every access against the open row, refresh against its interval
``write_trace``  ``read_trace``   traces as CSV: one line a run of equal commands, the configuration as JSON in the first line

A command to all banks counts for every bank; ``channel`` and ``bank`` are ``*`` for all. Each channel that takes part in K writes is
judged on its own, and one channel stands for all others, which see the same commands.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from minilib.pim.dram import DramConfig
from minilib.pim.engine import Record

__all__ = ["Audit", "audit", "read_trace", "write_trace"]

NAMES = ("ACT", "PRE", "MAC", "RD", "WR", "WRGB", "RDMAC", "REF")
COLUMN, BUS = ("MAC", "RD", "WR"), ("RD", "WR", "WRGB", "RDMAC")


@dataclass
class Audit:
    """How many commands were judged, and what is wrong with them."""

    commands: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing was found."""
        return not self.violations


def rules(dram: DramConfig) -> list[tuple[str, tuple[str, ...], tuple[str, ...], float]]:
    """(name, earlier commands, later commands, ns that must lie between them)."""
    burst = 256 / (dram.pins * dram.gbps)  # 32 B through the pins
    return [
        ("tRCD", ("ACT",), ("RD", "WR"), dram.tRCD),
        ("tRCDMAC", ("ACT",), ("MAC",), dram.tRCDMAC),
        ("tRP", ("PRE",), ("ACT", "REF"), dram.tRP),
        ("tRAS", ("ACT",), ("PRE",), dram.tRAS),
        ("tRC", ("ACT",), ("ACT",), dram.tRC),
        ("tCCD", ("MAC",), ("MAC", "RDMAC", "WRGB"), dram.tCCD),
        ("tCCD", ("RD",), ("RD",), dram.tCCD),
        ("tCCD", ("WR",), ("WR",), dram.tCCD),
        ("tWR", ("WR",), ("PRE",), burst + dram.tWR),
        ("tRTP", ("MAC", "RD"), ("PRE",), dram.tRTP),
        ("bus", BUS, BUS, burst),
        ("buffer", ("WRGB",), ("MAC",), burst),
        ("accumulator", ("RDMAC",), ("MAC",), burst),
        ("tRFC", ("REF",), NAMES, dram.tRFC),
        ("command bus", NAMES, NAMES, dram.tCK),
    ]


def audit(trace: Iterable[Record], dram: DramConfig, *, slack: float | None = None) -> Audit:
    """Judge a trace.

    Args:
        slack: ns by which a refresh may come late; by default the longest instruction with the closing of a row before and after it.
    """
    table = np.array([(r.time, NAMES.index(r.command), r.n, r.step, r.channel, r.bank, r.row, r.column) for r in trace], dtype=np.int64)
    if len(table) == 0:
        return Audit(0, ["the trace holds no command"])
    if slack is None:
        column = max(dram.tCCD, 256 / (dram.pins * dram.gbps))
        slack = dram.tRAS + 2 * dram.tRP + dram.tRCDMAC + dram.columns * column + dram.tWR + column
    result, named = Audit(), sorted(set(table[:, 4]) - {-1})
    for channel in [-1, *named]:
        mine = table[(table[:, 4] == -1) | (table[:, 4] == channel)]
        if channel == -1 and len(named) >= dram.channels:
            continue  # every channel has commands of its own
        found = _audit_channel(mine, dram, slack, "" if channel == -1 else f" (channel {channel})")
        result.commands = max(result.commands, found.commands)
        result.violations += [v for v in found.violations if v not in result.violations]
    return result


def _audit_channel(table: np.ndarray, dram: DramConfig, slack: float, where: str) -> Audit:
    count = table[:, 2]
    if (count < 1).any():
        return Audit(len(table), ["a line of the trace counts fewer than one command"])
    line = np.repeat(np.arange(len(table)), count)  # single commands from here on
    k = np.arange(len(line)) - np.repeat(count.cumsum() - count, count)  # place within the line
    time, kind = table[line, 0] + k * table[line, 3], table[line, 1]
    bank, row, column = table[line, 5], table[line, 6], table[line, 7] + k
    result, index = Audit(len(line)), np.arange(len(line))
    is_kind = {name: kind == i for i, name in enumerate(NAMES)}

    def among(names: tuple[str, ...]) -> np.ndarray:
        return np.logical_or.reduce([is_kind[name] for name in names])

    def before(mask: np.ndarray) -> np.ndarray:
        """Index of the last command of the mask before each command; −1 if there is none."""
        last = np.maximum.accumulate(np.where(mask, index, -1))
        return np.concatenate([[-1], last[:-1]])

    def report(wrong: np.ndarray, say) -> None:
        places = np.flatnonzero(wrong)
        if len(places):
            more = f", and {len(places) - 1} more" if len(places) > 1 else ""
            result.violations.append(say(places[0]) + where + more)

    for name, earlier, later, ns in rules(dram):
        last = before(among(earlier))
        lag = (time - time[last]) * dram.tCK
        report(
            among(later) & (last >= 0) & (lag < ns - 1e-9),
            lambda i, name=name, last=last, lag=lag, ns=ns: (
                f"{name}: {NAMES[kind[i]]} at cycle {time[i]} comes {lag[i]:g} ns after {NAMES[kind[last[i]]]}, at least {ns:g} are needed"
            ),
        )
    act, closing = before(is_kind["ACT"]), before(is_kind["PRE"])
    opened = act > closing
    access = among(COLUMN)
    right = opened & (row[act] == row) & ((bank[act] == -1) | (bank[act] == bank))
    report(access & ~right, lambda i: f"row: {NAMES[kind[i]]} at cycle {time[i]} needs row {row[i]}, which is not open")
    report(is_kind["ACT"] & opened, lambda i: f"row: ACT at cycle {time[i]} while a row is open")
    report(is_kind["REF"] & opened, lambda i: f"row: REF at cycle {time[i]} while a row is open")
    report(access & ((column < 0) | (column >= dram.columns)), lambda i: f"column: {column[i]} at cycle {time[i]} is outside the row")
    moments = np.concatenate([[0], time[is_kind["REF"]], [time[-1]]])
    gaps = np.diff(moments) * dram.tCK
    report(
        gaps > dram.tREFI + slack,
        lambda i: f"refresh: {gaps[i]:g} ns without REF after cycle {moments[i]}, at most {dram.tREFI:g} + {slack:g} ns are allowed",
    )
    return result


# ------------------------------------------------------------------------------------------------------------------------ as a file


def write_trace(path: str | Path, trace: Iterable[Record], dram: DramConfig, **about) -> None:
    """Write a trace as CSV. ``about`` (model, context …) goes into the first line with the configuration."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write("# " + json.dumps(about | {"dram": asdict(dram)}) + "\n")
        writer = csv.writer(file)
        writer.writerow(Record._fields)
        for r in trace:
            writer.writerow([*r[:4], *("*" if place == -1 else place for place in r[4:])])


def read_trace(path: str | Path) -> tuple[list[Record], DramConfig]:
    """The trace and the configuration it was made for.

    Raises:
        ValueError: the file is missing or no trace; names the line.
    """
    name = Path(path).name
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{name} cannot be read: {getattr(problem, 'strerror', None) or 'it is no text'}") from None
    try:
        dram = DramConfig(**json.loads(lines[0].removeprefix("# "))["dram"])
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{name} is no trace: its first line must hold the configuration, as `trace` writes it") from None
    if lines[1:2] != [",".join(Record._fields)]:
        raise ValueError(f"{name}, line 2: the columns must be {', '.join(Record._fields)}")
    trace = []
    for number, fields in enumerate(csv.reader(lines[2:]), 3):
        try:
            time, command, *rest = fields
            n, step, *place = (-1 if f == "*" else int(f) for f in rest)
            if command not in NAMES:
                raise ValueError
            trace.append(Record(int(time), command, n, step, *place))
        except (ValueError, TypeError):
            raise ValueError(f"{name}, line {number}: not a command of a trace: {','.join(fields)}") from None
    return trace, dram

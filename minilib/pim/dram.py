"""The memory: its organisation, its timing, and the state machine of one channel.

``DramConfig``  channels, banks, rows, pins and timing in nanoseconds; presets ``PAPER`` and ``AIM``
``delays``      the constraint table: how many cycles must lie between two commands
``Channel``     16 banks in lockstep: the open row, and the earliest cycle of every command

All channels execute the same stream (one of them also takes the K row of the new token while the others wait), so one ``Channel``
stands for all. Times inside are whole cycles of ``tCK``. Commands: ``ACT`` opens a row in all banks, ``PRE`` closes it, ``MAC`` multiplies
one column (32 B = 16 BF16 values) a bank with the channel's buffer, ``WR`` writes and ``RD`` reads a column through the pins, ``WRGB``
fills 32 B of the buffer, ``RDMAC`` reads 16 accumulators, ``REF`` refreshes.

Source: Wu, Wang and Lu 2023 (arXiv 2310.09385), the sections on the PIM package and the simulator. "[P]" is stated in the paper's texts;
figures marked "(unverified)" are recalled from its tables and not checked; "[S]" is the public AiM simulator built on Ramulator 2
(``GDDR6.cpp``); "[ours]" is a choice of this course.
"""

import math
from dataclasses import dataclass, fields, replace

__all__ = ["AIM", "LANES", "PAPER", "PRESETS", "Channel", "DramConfig", "delays"]

LANES = 16  # BF16 values of a column, multipliers of a bank's MAC unit [P]
COMMANDS = ("ACT", "PRE", "MAC", "RD", "WR", "WRGB", "RDMAC", "REF")


@dataclass(frozen=True)
class DramConfig:
    """Organisation and timing of the PIM package; times in ns.

    Raises:
        ValueError: a size that is not a positive whole number, a time that is not a number or is below one cycle ``tCK``.
    """

    name: str = "paper"
    channels: int = 8  # [P]
    banks: int = 16  # a channel [P]
    rows: int = 16384  # a bank: 4 Gb a channel, 4 GB in all (unverified)
    row_bytes: int = 2048  # [S]; in the paper (unverified)
    pins: int = 16  # data pins a channel (unverified)
    gbps: float = 16.0  # a pin (unverified)
    tCK: float = 1.0  # 1 GHz (unverified)
    tCCD: float = 1.0  # column to column (unverified)
    tRCD: float = 12.0  # ACT to WR, RD (unverified)
    tRCDMAC: float = 12.0  # ACT to MAC: no figure of its own in the paper [ours]
    tRP: float = 12.0  # PRE to ACT (unverified)
    tRAS: float = 27.0  # ACT to PRE [S]; the paper's is not recalled
    tRC: float = 39.0  # ACT to ACT: tRAS + tRP [ours]
    tWR: float = 12.0  # last data written to PRE (unverified)
    tRTP: float = 1.0  # last read or MAC to PRE [ours]
    tRFC: float = 455.0  # length of a refresh (unverified)
    tREFI: float = 6825.0  # between refreshes (unverified)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{field.name} must be a number, got {value!r}")
            if field.type in (int, "int") and (value < 1 or value != int(value)):
                raise ValueError(f"{field.name} must be a whole number of at least 1, got {value}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be a positive number, got {value}")
            if field.name.startswith("t") and value < self.tCK:
                raise ValueError(f"{field.name} must be at least one cycle of {self.tCK:g} ns, got {value:g}")
        if self.row_bytes % (2 * LANES):
            raise ValueError(f"row_bytes must be a multiple of {2 * LANES} (one column), got {self.row_bytes}")
        if self.tREFI <= 2 * self.tRFC:
            raise ValueError(f"tREFI must be more than twice tRFC = {self.tRFC:g} ns, or nothing but refresh happens; got {self.tREFI:g}")

    @property
    def units(self) -> int:
        """Banks of the package, that is MAC units."""
        return self.channels * self.banks

    @property
    def columns(self) -> int:
        """Columns of 32 B in a row; the channel's buffer holds as many."""
        return self.row_bytes // (2 * LANES)

    @property
    def values(self) -> int:
        """BF16 values of a row, and of the buffer."""
        return self.row_bytes // 2

    @property
    def burst(self) -> int:
        """Cycles in which 32 B cross the pins of one channel."""
        return max(1, math.ceil(32 * 8 / (self.pins * self.gbps) / self.tCK - 1e-9))

    @property
    def capacity(self) -> int:
        """Bytes of the package."""
        return self.units * self.rows * self.row_bytes

    def cycles(self, ns: float) -> int:
        """Whole cycles that cover a time in ns."""
        return math.ceil(ns / self.tCK - 1e-9)

    def with_(self, **changes) -> "DramConfig":
        """A copy with other entries; unless given, ``tRCDMAC`` follows ``tRCD`` and ``tRC`` stays at least ``tRAS + tRP``.

        Raises:
            ValueError: no entry has this name, or its value is out of range.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(f"{name} is no entry of DramConfig; it has {', '.join(known)}")
        if "tRCD" in changes and "tRCDMAC" not in changes:
            changes["tRCDMAC"] = changes["tRCD"] + (self.tRCDMAC - self.tRCD)
        made = replace(self, **changes)
        if "tRC" not in changes and {"tRAS", "tRP"} & set(changes):
            made = replace(made, tRC=max(self.tRC, made.tRAS + made.tRP))
        return made


PAPER = DramConfig()
AIM = DramConfig(  # all times [S]; organisation kept as in PAPER so that the two differ in timing alone [ours]
    name="aim", tCK=0.5, tCCD=1, tRCD=14, tRCDMAC=28, tRP=16, tRAS=27, tRC=44.5, tWR=16.5, tRTP=6, tRFC=105, tREFI=1666.5
)  # fmt: skip
PRESETS = {"paper": PAPER, "aim": AIM}


def delays(dram: DramConfig) -> dict[str, dict[str, int]]:
    """``delays[a][b]``: cycles from command a to a later command b; any two commands lie at least one cycle apart."""
    c, burst = dram.cycles, dram.burst
    ccd = c(dram.tCCD)
    bus = {"WRGB": burst, "RDMAC": burst, "WR": burst, "RD": burst}  # these four share the pins of the channel
    return {
        "ACT": {"MAC": c(dram.tRCDMAC), "RD": c(dram.tRCD), "WR": c(dram.tRCD), "PRE": c(dram.tRAS), "ACT": c(dram.tRC)},
        "PRE": {"ACT": c(dram.tRP), "REF": c(dram.tRP)},
        "MAC": {"MAC": ccd, "RDMAC": ccd, "WRGB": ccd, "PRE": c(dram.tRTP)},
        "RD": bus | {"RD": max(ccd, burst), "PRE": c(dram.tRTP)},
        "WR": bus | {"WR": max(ccd, burst), "PRE": burst + c(dram.tWR)},
        "WRGB": bus | {"MAC": burst},  # the buffer has one copy: no MAC before its last burst has arrived
        "RDMAC": bus | {"MAC": burst},  # the accumulator is cleared when it has been read
        "REF": dict.fromkeys(COMMANDS, c(dram.tRFC)),
    }


class Channel:
    """The state machine of a channel. ``issue`` gives every command the earliest legal cycle, in the order of the calls."""

    def __init__(self, dram: DramConfig):
        table = delays(dram)
        self.after = {command: tuple(table[command].items()) for command in COMMANDS}
        self.gap = {command: table[command].get(command, 1) for command in COMMANDS}
        # how long a command keeps its unit busy: a column or a burst, and the whole of a PRE or REF
        self.length = self.gap | {"PRE": dram.cycles(dram.tRP), "ACT": dram.cycles(dram.tRCD)}
        self.ready = dict.fromkeys(COMMANDS, 0)
        self.now, self.busy = -1, 0  # cycle of the last command, cycle at which it is over
        self.row: int | None = None

    def issue(self, command: str, n: int = 1, at: int = 0) -> tuple[int, int]:
        """Issue ``command`` n times in a row, not before cycle ``at``; the cycles of the first and the last."""
        ready = self.ready
        first = ready[command]
        if first <= self.now:
            first = self.now + 1
        if first < at:
            first = at
        last = first + (n - 1) * self.gap[command]
        for other, delay in self.after[command]:
            if last + delay > ready[other]:
                ready[other] = last + delay
        self.now, self.busy = last, last + self.length[command]
        return first, last

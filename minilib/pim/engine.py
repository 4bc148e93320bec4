"""The scheduler: event-driven, cycle-accurate, one command after the other; and a tick-by-tick reference.

``schedule``    cycles of a list of commands, by jumping from event to event         ``tick_schedule``  the same, by asking at every cycle
``EventQueue``  which unit is done next: the clock jumps there                       ``Engine``         runs blocks of instructions
``replay``      runs a block from stretches that were worked out before, with the same result to the cycle

As in the paper, the channels and the ASIC are state machines, Idle or Process; an instruction (here: ``Block``) is complete when both are
idle, and then the next is fetched. Inside a block the channels issue in order; the ASIC works on results while they arrive (``overlap``).
A refresh is due every tREFI. It never splits an instruction: the row is closed at the first boundary after that moment, and the row that is
needed next is opened anew. Two restrictions of this model: no command is issued out of order, no row is opened in advance.
"""

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from minilib.pim.commands import Block, Instruction, expand
from minilib.pim.dram import COMMANDS, Channel, DramConfig, delays

__all__ = ["Engine", "EventQueue", "Record", "replay", "schedule", "tick_schedule"]

OTHER = -1  # an open row that belongs to an earlier block
NEVER = 1 << 60
COUNTED = ("ACT", "PRE", "MAC", "RD", "WR", "WRGB", "RDMAC", "REF", "ACT1", "WR1")  # …1: in one bank of one channel


class Record(NamedTuple):
    """A line of a trace: ``n`` commands, the first at cycle ``time``, ``step`` cycles apart. −1 stands for all channels or banks."""

    time: int
    command: str
    n: int
    step: int
    channel: int
    bank: int
    row: int
    column: int


def schedule(commands: Sequence[str], dram: DramConfig) -> list[int]:
    """The earliest legal cycle of every command, in their order."""
    channel = Channel(dram)
    return [channel.issue(command)[0] for command in commands]


def tick_schedule(commands: Sequence[str], dram: DramConfig) -> list[int]:
    """The same by the definition: at every tick of the clock, ask of the next command whether all delays have passed."""
    table, times, clock = delays(dram), [], 0
    last: dict[str, int] = {}
    for command in commands:
        while any(clock < then + table[other].get(command, 1) for other, then in last.items()):
            clock += 1
        last[command] = clock
        times.append(clock)
        clock += 1
    return times


class EventQueue:
    """Units at work, by the cycle at which they are done (the paper's ``next_time``)."""

    def __init__(self) -> None:
        self.clock = 0
        self._heap: list[tuple[int, str]] = []

    def at(self, time: int, unit: str) -> None:
        """The unit is in state Process until ``time``."""
        heapq.heappush(self._heap, (time, unit))

    def jump(self) -> str:
        """Move the clock to the next event and return the unit that is idle from then on."""
        time, unit = heapq.heappop(self._heap)
        self.clock = max(self.clock, time)
        return unit

    def drain(self) -> int:
        """Jump until every unit is idle; the clock."""
        while self._heap:
            self.jump()
        return self.clock


class Engine:
    """Channels and ASIC at work on a stream of blocks.

    Args:
        overlap: the ASIC works on results while the banks go on; else it starts when they are done.
        closed_page: close the row after every column access (ablation).
        trace: a list that receives a ``Record`` for every command.
    """

    def __init__(self, dram: DramConfig, *, overlap: bool = True, closed_page: bool = False, trace: list[Record] | None = None):
        self.dram, self.overlap, self.closed_page, self.trace = dram, overlap, closed_page, trace
        self.channel, self.queue = Channel(dram), EventQueue()
        self.interval = self.due = dram.cycles(dram.tREFI)
        self.counts = dict.fromkeys(COUNTED, 0)
        self.waited = 0  # cycles in which the channels waited for the ASIC
        self.spans: list[tuple[str, str, int, int]] = []  # with a trace: unit, what, from, to
        self.base = 0

    def run(self, block: Block, base: int = 0) -> int:
        """Execute a block whose rows count from ``base``; the cycle at which channels and ASIC are idle again."""
        self.begin(block, base)
        for instruction in block.instructions:
            self.refresh(self.earliest(instruction))
            self.execute(instruction)
        return self.finish(block)

    def begin(self, block: Block, base: int) -> None:
        """Fetch: the ASIC starts with the operations that open the block."""
        self.start, self.base = self.queue.clock, base
        if self.channel.row is not None:
            self.channel.row = OTHER
        self.asic, self.depth, self.held = self.start, block.depth, 0
        self.results, done = [], self.start
        for cycles in block.asic:
            done += cycles
            self.results.append(done + block.depth)
        if self.results and not self.overlap:
            self.results = [self.results[-1]] * len(self.results)

    def earliest(self, instruction: Instruction) -> int:
        """No command of the instruction comes before this cycle."""
        now = max(self.channel.now + 1, self.start)
        return now if instruction.wait < 0 else max(now, self.results[instruction.wait])

    def refresh(self, coming: int) -> None:
        """Refresh as often as it is due before the cycle ``coming``, at the moment it is due if the channels are idle then."""
        while self.due <= coming:
            if self.channel.row is not None:
                self._issue("PRE", 1, at=self.due)
                self.channel.row = None
            self._issue("REF", 1, at=self.due)
            self.due += self.interval

    def execute(self, instruction: Instruction) -> None:
        """Issue the commands of one instruction, and give the ASIC its job."""
        op, row, column, n, job, wait, _, out = instruction
        channel, at = self.channel, self.start
        if wait >= 0 and (at := self.results[wait]) > channel.now:
            self.waited += at - max(channel.now + 1, self.start)
        single = op == "WRK"
        for command, count in expand(op, row, n, channel.row, closed_page=self.closed_page):
            self._issue(command, count, at, single, row, column, out)
            at = 0
        if op == "MAC" or op == "RDV":
            channel.row = None if self.closed_page else row
        elif op == "WRK" or op == "WRV":
            channel.row = None
        if job:
            if self.overlap:
                self.asic = (self.asic if self.asic > channel.busy else channel.busy) + job
                if self.trace is not None:
                    self.spans.append(("ASIC", "results", self.asic - job, self.asic))
            else:
                self.held += job

    def _issue(self, command: str, n: int, at: int = 0, single: bool = False, row: int = 0, column: int = 0, out: int = 0) -> None:
        first, _ = self.channel.issue(command, n, at)
        self.counts[command + "1" if single and command != "PRE" else command] += n
        if self.trace is not None:
            channel = out % self.dram.channels if single and command != "PRE" else -1
            bank = out // self.dram.channels % self.dram.banks if single and command != "PRE" else -1
            where = (self.base + row, column) if command in ("ACT", "MAC", "WR", "RD") else (-1, -1)
            self.trace.append(Record(first, command, n, self.channel.gap[command], channel, bank, *where))

    def finish(self, block: Block) -> int:
        """Both units finish; the clock jumps to the later one."""
        busy = max(self.channel.busy, self.start)
        if self.held:
            self.asic = busy + self.held
        if block.instructions:
            self.queue.at(busy, "PIM")
        if self.asic > self.start:
            self.queue.at(self.asic + block.depth, "ASIC")
        if self.results and not block.instructions:
            self.queue.at(self.results[-1], "ASIC")
        end = self.queue.drain()
        self.waited += end - busy
        if self.trace is not None:
            self.spans.append(("PIM", block.name, self.start, busy))
            if self.results:
                self.spans.append(("ASIC", "softmax" if block.instructions else "LN", self.start, self.results[-1]))
            if self.asic > self.start:  # what is left when the banks are done, and the pipeline
                self.spans.append(("ASIC", block.name, self.asic - self.held, self.asic + block.depth))
        return end


# ---------------------------------------------------------------------------------------------------------------- what repeats itself


class _Stretch(NamedTuple):
    """A block from some instruction to its end without refresh: when each instruction could begin, and the state before each."""

    begins: list[int]
    states: list[tuple]


def replay(engine: Engine, block: Block, base: int = 0) -> int:
    """``engine.run`` with memory. Between two refreshes a block does the same whenever it begins in the same state, so it is worked out
    once; the refresh that interrupts it is found by bisection and executed as ever. The state holds all that a later cycle can depend on:
    times relative to now, and those that lie in the past as "past"."""
    engine.begin(block, base)
    i = 0
    while i < len(block.instructions):
        t = max(engine.channel.now + 1, engine.start)
        key = (i, _relative(engine, block, t))
        stretch = block.memo.get(key)
        if stretch is None:
            stretch = block.memo[key] = _work_out(engine, block, i, t)
        j = bisect_left(stretch.begins, engine.due - t)
        if j:
            _resume(engine, stretch.states[j], t)
        i += j
        if i < len(block.instructions):
            engine.refresh(engine.earliest(block.instructions[i]))
    return engine.finish(block)


def _relative(engine: Engine, block: Block, t: int) -> tuple:
    """The engine's state at cycle t, in cycles from t."""
    channel = engine.channel
    ready = tuple(max(r - t, 0) for r in channel.ready.values())
    since = min(t - engine.start, sum(block.asic) + block.depth) if block.asic else 0
    return ready, channel.row, max(engine.asic - t, -block.depth), since


def _state(engine: Engine) -> tuple:
    channel = engine.channel
    return (
        tuple(channel.ready.values()), channel.now, channel.busy, channel.row, engine.asic, engine.held, engine.waited,
        tuple(engine.counts.values()),
    )  # fmt: skip


def _work_out(engine: Engine, block: Block, i: int, t: int) -> _Stretch:
    """Run the rest of the block on a copy whose clock shows 0 at cycle t and that is never refreshed."""
    copy = Engine(engine.dram, overlap=engine.overlap, closed_page=engine.closed_page)
    copy.due, channel = NEVER, copy.channel
    channel.ready = {command: max(engine.channel.ready[command] - t, 0) for command in COMMANDS}
    channel.now, channel.busy, channel.row = -1, engine.channel.busy - t, engine.channel.row
    copy.start, copy.asic, copy.depth, copy.held = engine.start - t, engine.asic - t, block.depth, 0
    copy.results = [r - t for r in engine.results]
    begins, states = [], [_state(copy)]
    for instruction in block.instructions[i:]:
        begins.append(copy.earliest(instruction))
        copy.execute(instruction)
        states.append(_state(copy))
    return _Stretch(begins, states)


def _resume(engine: Engine, state: tuple, t: int) -> None:
    """Put the engine into a state that was worked out relative to cycle t."""
    ready, now, busy, row, asic, held, waited, counts = state
    channel = engine.channel
    channel.ready = dict(zip(COMMANDS, [t + r for r in ready], strict=True))
    channel.now, channel.busy, channel.row = t + now, t + busy, row
    engine.asic, engine.held, engine.waited = t + asic, engine.held + held, engine.waited + waited
    for name, n in zip(COUNTED, counts, strict=True):
        engine.counts[name] += n

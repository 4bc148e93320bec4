"""The whole machine: a model, a memory and an ASIC in, cycles and counts out.

``PimSystem.run``       one token at context length T        ``PimSystem.generate``  n tokens, the context growing by one each
``Stats``               what was counted, and what follows: time, row hits, bytes over the pins, utilisation

The embedding, the last norm and the head are not part of a token's time, as in the paper's count of weights. A prompt is read token by
token.
"""

from dataclasses import dataclass, field

from minilib.pim.asic import Asic
from minilib.pim.dram import LANES, PAPER, DramConfig
from minilib.pim.engine import COUNTED, Engine, Record, replay
from minilib.pim.mapping import Mapping
from minilib.pim.models import ModelShape

__all__ = ["PimSystem", "Stats"]


@dataclass
class Stats:
    """Counts of a run. Commands are those of one channel; ``ACT1`` and ``WR1`` (K writes) happen in one bank of one channel only."""

    shape: ModelShape
    dram: DramConfig
    contexts: range  # context lengths of the tokens that were generated
    cycles: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    breakdown: dict[str, int] = field(default_factory=dict)  # cycles by operation; "ASIC": the channels waited for it

    @property
    def tokens(self) -> int:
        """Tokens generated."""
        return len(self.contexts)

    @property
    def ns(self) -> float:
        """Duration."""
        return self.cycles * self.dram.tCK

    @property
    def us_per_token(self) -> float:
        """Microseconds a token."""
        return self.ns / 1000 / self.tokens

    @property
    def accesses(self) -> int:
        """Column accesses (MAC, RD, WR), every bank counted."""
        n = self.counts
        return self.dram.units * (n["MAC"] + n["WR"]) + n["RD"] * self.dram.channels + n["WR1"]

    @property
    def misses(self) -> int:
        """Column accesses that needed an ACT of their bank."""
        return self.dram.units * self.counts["ACT"] + self.counts["ACT1"]

    @property
    def hits(self) -> int:
        """Column accesses that found their row open."""
        return self.accesses - self.misses

    @property
    def hit_rate(self) -> float:
        """Row hits among all column accesses."""
        return self.hits / self.accesses

    @property
    def pin_bytes(self) -> int:
        """Bytes over the pins, all channels; what is broadcast crosses the pins of every channel."""
        n = self.counts
        return 32 * (self.dram.channels * (n["WRGB"] + n["RDMAC"] + n["WR"] + n["RD"]) + n["WR1"])

    @property
    def bytes_read(self) -> int:
        """Bytes that a processor without PIM would fetch: weights and KV cache of every token."""
        return sum(self.shape.bytes_read(T) for T in self.contexts)

    @property
    def utilisation(self) -> float:
        """Multiply–adds that the model needs, divided by what all MAC units could do in this time."""
        return self.bytes_read / 2 / (LANES * self.dram.units * self.ns / self.dram.tCCD)

    @property
    def asic_share(self) -> float:
        """Share of the time in which the channels waited for the ASIC."""
        return self.breakdown["ASIC"] / self.cycles


class PimSystem:
    """A package, an ASIC, and how they are used.

    Args:
        overlap, page: see ``Engine``; page is "open" or "closed".
        heads, v: see ``Mapping``.
    """

    def __init__(self, dram: DramConfig = PAPER, asic: Asic | None = None, *, overlap=True, page="open", heads="concatenated", v="column"):
        if page not in ("open", "closed"):
            raise ValueError(f"page must be 'open' or 'closed', got {page!r}")
        self.dram, self.asic, self.overlap, self.page, self.heads, self.v = dram, asic or Asic(), overlap, page, heads, v

    def mapping(self, shape: ModelShape, reserve: int) -> Mapping:
        """Where the model lies; raises ValueError if it does not fit."""
        return Mapping(shape, self.dram, self.asic, reserve=reserve, heads=self.heads, v=self.v)

    def engine(self, trace: list[Record] | None = None) -> Engine:
        """A fresh engine of this system."""
        return Engine(self.dram, overlap=self.overlap, closed_page=self.page == "closed", trace=trace)

    def run(
        self, shape: ModelShape, T: int, *, reserve: int | None = None, trace: list[Record] | None = None, engine: Engine | None = None
    ) -> Stats:
        """Simulate the token that makes the context T tokens long, every command of every layer.

        Args:
            reserve: tokens for which KV space is set aside; T by default.
            trace: a list that receives every command.
            engine: a fresh ``engine()`` of this system, for those who want to look at it afterwards.
        """
        return self._generate(shape, range(T, T + 1), reserve, engine or self.engine(trace), Engine.run)

    def generate(self, shape: ModelShape, tokens: int, *, start: int = 0, reserve: int | None = None, memo: bool = True) -> Stats:
        """Simulate ``tokens`` tokens after ``start`` tokens of context.

        Args:
            memo: repeat what has been worked out before (``replay``); the result is the same.
        """
        if tokens < 1 or start < 0:
            raise ValueError(f"at least one token after a context of at least 0, got tokens = {tokens}, start = {start}")
        contexts = range(start + 1, start + tokens + 1)
        return self._generate(shape, contexts, reserve, self.engine(), replay if memo else Engine.run)

    def _generate(self, shape: ModelShape, contexts: range, reserve: int | None, engine: Engine, run) -> Stats:
        mapping = self.mapping(shape, max(1, contexts[-1]) if reserve is None else reserve)
        stats = Stats(shape, self.dram, contexts, breakdown={})
        spent = stats.breakdown
        for T in contexts:
            blocks = mapping.layer(T)
            for layer in range(shape.layers):
                for block in blocks:
                    before, waited = engine.queue.clock, engine.waited
                    after = run(engine, block, layer * mapping.rows)
                    waited = engine.waited - waited
                    spent[block.name] = spent.get(block.name, 0) + after - before - waited
                    spent["ASIC"] = spent.get("ASIC", 0) + waited
        stats.cycles = engine.queue.clock
        stats.counts = {name: engine.counts[name] for name in COUNTED}
        del spent["LN"]  # nothing but waiting, counted under ASIC
        return stats

"""Where every number lies, and the instructions that follow from it.

*Weights* ``W`` (K × N): output n belongs to bank ``n mod units``; a bank holds its outputs one after the other, each contiguous along K, in
chunks of one row of inputs (what the buffer holds): chunk by chunk, output by output. Q, K and V of all heads are one matrix d × 3d.
*K cache*, row-major: all heads of a token lie in one bank, whole heads a row, ``⌈heads / heads a row⌉`` rows; tokens are dealt over
channels, then banks. *V cache*, column-major: output j belongs to bank ``j mod units`` and its column holds 16 consecutive tokens, so the
16 lanes of a MAC unit reduce over tokens. Space for ``reserve`` tokens is set aside in advance.

``Mapping``     addresses and their inverses, capacity, and ``layer(T)``: the blocks of one layer for one token
``vmm``         the instructions of one vector–matrix product

``c`` channel, ``b`` bank, ``row``, ``column`` (32 B), ``lane`` 0–15; ``unit`` = c · banks + b. Source: the paper's section on data mapping.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minilib.pim.asic import GELU, LAYER_NORM, SOFTMAX, Asic
from minilib.pim.commands import Block, Instruction
from minilib.pim.dram import LANES, DramConfig
from minilib.pim.models import ModelShape

__all__ = ["Mapping", "Matrix", "vmm"]


def up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


@dataclass(frozen=True)
class Matrix:
    """A weight matrix of K inputs and N outputs whose first row in every bank is ``row`` (relative to its layer)."""

    K: int
    N: int
    row: int

    def chunks(self, dram: DramConfig) -> list[int]:
        """Columns of each chunk of the inputs."""
        return [up(min(dram.values, self.K - k), LANES) for k in range(0, self.K, dram.values)]

    def rows(self, dram: DramConfig) -> int:
        """Rows that it takes in every bank."""
        return up(up(self.N, dram.units) * sum(self.chunks(dram)), dram.columns)

    def address(self, k, n, dram: DramConfig):
        """``(c, b, row, column, lane)`` of weight (k, n); numbers or arrays of numbers."""
        per = np.array(self.chunks(dram))
        chunk, slot, unit = k // dram.values, n // dram.units, n % dram.units
        before = np.concatenate([[0], per.cumsum()])[chunk] * up(self.N, dram.units)
        at = before + slot * per[chunk] + k % dram.values // LANES
        return unit // dram.banks, unit % dram.banks, self.row + at // dram.columns, at % dram.columns, k % LANES

    def inverse(self, c, b, row, column, lane, dram: DramConfig):
        """``(k, n)`` of an address inside the matrix."""
        per, slots = np.array(self.chunks(dram)), up(self.N, dram.units)
        start = np.concatenate([[0], per.cumsum()]) * slots
        at = (row - self.row) * dram.columns + column
        chunk = np.searchsorted(start, at, side="right") - 1
        slot, inner = divmod(at - start[chunk], per[chunk])
        return chunk * dram.values + inner * LANES + lane, slot * dram.units + c * dram.banks + b


def vmm(matrix: Matrix, dram: DramConfig, jobs: tuple[int, int, int] = (0, 0, 0), out: int = 0) -> Iterator[Instruction]:
    """The instructions of ``x W``; results are numbered by slot from ``out`` on.

    Args:
        jobs: cycles of the ASIC for the results of the first chunk, of a middle one (partial sums), and of the last.
    """
    slots, at, per = up(matrix.N, dram.units), 0, matrix.chunks(dram)
    for chunk, columns in enumerate(per):
        yield Instruction("WRGB", n=columns)
        job = jobs[2] if chunk == len(per) - 1 else jobs[0] if chunk == 0 else jobs[1]
        for slot in range(slots):
            done = 0
            while done < columns:
                n = min(columns - done, dram.columns - at % dram.columns)
                yield Instruction("MAC", matrix.row + at // dram.columns, at % dram.columns, n, buffer=done)
                done, at = done + n, at + n
            yield Instruction("RDMAC", job=job, out=out + slot)


class Mapping:
    """A model in the package: rows of every matrix and cache, addresses, instructions.

    Args:
        reserve: tokens of KV cache for which space is set aside.
        heads: "concatenated", or "separate": every head of Q, K and V a matrix of its own (ablation).
        v: "column", or "row": V stored like K and read out through the pins (ablation).

    Raises:
        ValueError: the model and its cache exceed the capacity (says by how much), or a head does not fit the lanes, banks or rows.
    """

    def __init__(self, shape: ModelShape, dram: DramConfig, asic: Asic, *, reserve: int, heads="concatenated", v="column"):
        for name, value, known in (("heads", heads, ("concatenated", "separate")), ("v", v, ("column", "row"))):
            if value not in known:
                raise ValueError(f"{name} must be {known[0]!r} or {known[1]!r}, got {value!r}")
        if reserve < 1:
            raise ValueError(f"reserve must be at least one token, got {reserve}")
        if shape.dh % LANES or shape.dh % dram.banks or shape.dh > dram.values:
            raise ValueError(
                f"a head of {shape.dh} must be a multiple of {LANES} lanes and of {dram.banks} banks, and at most a row of {dram.values}"
            )
        self.shape, self.dram, self.asic, self.reserve, self.v = shape, dram, asic, reserve, v
        self._shared: dict = {}  # blocks that do not depend on T, and memos that several T share
        d, self._next = shape.d, 0
        count, N = (1, 3 * d) if heads == "concatenated" else (3 * shape.heads, shape.dh)
        self.qkv = [self._place(d, N) for _ in range(count)]
        self.proj, self.up, self.down = self._place(d, d), self._place(d, 4 * d), self._place(4 * d, d)
        self.head_rows = dram.values // shape.dh  # heads in a row of K
        self.k_rows, self.v_rows = up(shape.heads, self.head_rows), up(reserve, dram.values)  # of a token; of an output
        self.k_base = self._next
        self.v_base = self.k_base + up(reserve, dram.units) * self.k_rows
        v_size = up(d, dram.units) * self.v_rows if v == "column" else self.v_base - self.k_base
        self.rows = self.v_base + v_size  # of a layer
        if (needed := self.rows * shape.layers) > dram.rows:
            over = (needed - dram.rows) * dram.units * dram.row_bytes
            raise ValueError(
                f"{shape.name} with {reserve} tokens of KV cache needs {needed} rows a bank and the device has {dram.rows}: "
                f"does not fit, {over / 1e9:.2f} GB more than its {dram.capacity / 1e9:.2f} GB"
            )

    def _place(self, K: int, N: int) -> Matrix:
        matrix = Matrix(K, N, self._next)
        self._next += matrix.rows(self.dram)
        return matrix

    def kv_address(self, kind: str, token, dim):
        """``(c, b, row, column, lane)`` of entry ``dim`` of a token's key ("K") or value ("V"); numbers or arrays; row within the layer."""
        dram, dh = self.dram, self.shape.dh
        if kind == "K":
            head, inner = dim // dh, dim % dh
            row = self.k_base + token // dram.units * self.k_rows + head // self.head_rows
            place = head % self.head_rows * dh + inner
            return token % dram.channels, token // dram.channels % dram.banks, row, place // LANES, place % LANES
        unit = dim % dram.units
        row = self.v_base + dim // dram.units * self.v_rows + token // dram.values
        return unit // dram.banks, unit % dram.banks, row, token % dram.values // LANES, token % LANES

    def kv_inverse(self, kind: str, c, b, row, column, lane):
        """``(token, dim)`` of an address in the cache."""
        dram, dh = self.dram, self.shape.dh
        place = column * LANES + lane
        if kind == "K":
            group, part = divmod(row - self.k_base, self.k_rows)
            head = part * self.head_rows + place // dh
            return group * dram.units + b * dram.channels + c, head * dh + place % dh
        slot, part = divmod(row - self.v_base, self.v_rows)
        return part * dram.values + place, slot * dram.units + c * dram.banks + b

    # ----------------------------------------------------------------------------------------------------------------- instructions

    def layer(self, T: int) -> list[Block]:
        """The blocks of one layer for token number T − 1, which makes the context T tokens long.

        Raises:
            ValueError: T is below 1 or beyond the reserved space.
        """
        if not 1 <= T <= self.reserve:
            raise ValueError(f"context of {T} tokens: space is reserved for 1 to {self.reserve}")
        norm, qkv, proj, wide, down = self._weights()
        attention = self._attention(T) if self.v == "column" else self._attention_v_row(T)
        return [norm, qkv, self._write(T - 1), *attention, proj, norm, wide, down]

    def _cycles(self, **work: int) -> int:
        return self.asic.cycles(self.dram.tCK, **work)

    def _block(self, name: str, instructions, asic=(), memo=None) -> Block:
        depth = self.asic.pipeline(self.dram.tCK)
        return Block(name, list(instructions), list(asic), depth, {} if memo is None else self._shared.setdefault(memo, {}))

    def _weights(self) -> tuple[Block, ...]:
        if "weights" not in self._shared:
            n, d, dram = self.dram.units, self.shape.d, self.dram

            def jobs(extra: int = 0, multiply: int = 0) -> tuple[int, int, int]:
                """Per slot of outputs: partial sum, bias, ``extra`` additions, multiplications; a single chunk has no partial sum."""
                last = self._cycles(add=n * (2 + extra), multiply=n * multiply)
                return 0, self._cycles(add=n), last

            norm = self._block("LN", (), [self._cycles(multiply=LAYER_NORM * d)])
            slots = up(self.qkv[0].N, n)
            products = (i for m, matrix in enumerate(self.qkv) for i in vmm(matrix, dram, jobs(), out=m * slots))
            blocks = [self._block("QKV", products)]
            for name, matrix, work in (
                ("projection", self.proj, jobs(extra=1)),  # the residual
                ("FFN", self.up, jobs(multiply=GELU)),
                ("FFN", self.down, jobs(extra=1)),
            ):
                blocks.append(self._block(name, vmm(matrix, dram, work)))
            self._shared["weights"] = (norm, *blocks)
        return self._shared["weights"]

    def _write(self, token: int) -> Block:
        """K's rows into one bank, then one value of V into every bank, slot by slot."""
        dram, d = self.dram, self.shape.d
        heads = [min(self.head_rows, self.shape.heads - r * self.head_rows) for r in range(self.k_rows)]
        k_row = self.k_base + token // dram.units * self.k_rows
        rows = [Instruction("WRK", k_row + r, 0, n * self.shape.dh // LANES, out=token) for r, n in enumerate(heads)]
        if self.v == "row":
            again = [i._replace(row=i.row - self.k_base + self.v_base) for i in rows]
            return self._block("KV write", rows + again, memo="write")
        _, _, first, column, _ = self.kv_address("V", token, 0)
        values = [Instruction("WRV", first + s * self.v_rows, column, out=s) for s in range(up(d, dram.units))]
        return self._block("KV write", rows + values, memo="write")

    def _scores(self, T: int) -> Block:
        """q Kᵀ: row by row of K, for the heads that lie in it. Results are numbered (slot of tokens) · heads + head."""
        per, heads = self.shape.dh // LANES, self.shape.heads
        made = []
        for part in range(self.k_rows):
            here = range(part * self.head_rows, min(heads, (part + 1) * self.head_rows))
            made.append(Instruction("WRGB", n=len(here) * per))
            for slot in range(up(T, self.dram.units)):
                row = self.k_base + slot * self.k_rows + part
                for i, head in enumerate(here):
                    made += [Instruction("MAC", row, i * per, per, buffer=i * per), Instruction("RDMAC", out=slot * heads + head)]
        return self._block("QK", made, memo=("QK", up(T, self.dram.units)))

    def _attention(self, T: int) -> list[Block]:
        """Scores, then softmax head by head on the ASIC while the banks multiply the weights of earlier heads with V."""
        dram, d, h = self.dram, self.shape.d, self.shape.heads
        made = []
        for slot in range(up(d, dram.units)):
            last_head = (min(d, (slot + 1) * dram.units) - 1) // self.shape.dh
            for part, t in enumerate(range(0, T, dram.values)):
                n = up(min(dram.values, T - t), LANES)
                made.append(Instruction("WRGB", n=n, wait=last_head, out=slot))
                made.append(Instruction("MAC", self.v_base + slot * self.v_rows + part, 0, n))
                made.append(Instruction("RDMAC", out=slot, job=self._cycles(add=dram.units) if part else 0))
        return [self._scores(T), self._block("PV", made, [self._cycles(multiply=SOFTMAX * T)] * h)]

    def _attention_v_row(self, T: int) -> list[Block]:
        """The ablation: V's lanes hold different outputs, so V travels to the ASIC, which multiplies."""
        dram, made = self.dram, []
        for slot, t in enumerate(range(0, T, dram.units)):
            tokens = up(min(dram.units, T - t), dram.channels)  # a channel
            for part in range(self.k_rows):
                width = min(self.head_rows, self.shape.heads - part * self.head_rows) * self.shape.dh
                job = self._cycles(multiply=width * dram.channels)
                row = self.v_base + slot * self.k_rows + part
                made += [Instruction("RDV", row, 0, up(width, LANES), job=job, wait=self.shape.heads - 1)] * tokens
        return [self._scores(T), self._block("PV", made, [self._cycles(multiply=SOFTMAX * T)] * self.shape.heads)]

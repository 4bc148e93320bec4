"""The same instructions, executed on numbers: a GPT whose weights and KV cache lie in simulated banks.

``Device``  memory, buffers and accumulators of all channels      ``PimGPT``  ``step(token)`` → logits, ``generate``

Numbers: BF16 in DRAM, in the buffers and on the pins; a bank multiplies 16 lanes exactly, adds them as a tree and accumulates in FP32, and
rounds to BF16 once, when RDMAC reads it. The ASIC adds partial sums and keeps the residual stream in FP32 [ours]. Embedding, last norm and
head run outside, in FP32.
"""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minilib.pim import asic
from minilib.pim.commands import Block, Instruction
from minilib.pim.dram import LANES, DramConfig
from minilib.pim.mapping import Mapping, Matrix
from minilib.pim.models import GPT, Layer

__all__ = ["TINY", "Device", "PimGPT"]

TINY = DramConfig(name="tiny", channels=4, banks=4, rows=4096, row_bytes=64)  # rows of two columns: chunks and tiles everywhere


class Device:
    """Memory ``(c, b, row, column, lane)``, a buffer a channel, an accumulator a bank."""

    def __init__(self, dram: DramConfig, rows: int):
        self.dram = dram
        self.memory = torch.zeros(dram.channels, dram.banks, rows, dram.columns, LANES, dtype=torch.bfloat16)
        self.buffer = torch.zeros(dram.channels, dram.columns, LANES)
        self.accumulator = torch.zeros(dram.channels, dram.banks)

    def fill(self, values: Float[Tensor, "c n"]) -> None:
        """WRGB: n values into the buffers, rounded to BF16; the rest of the last column is 0."""
        n = -(-values.shape[1] // LANES)
        padded = torch.zeros(self.dram.channels, n * LANES)
        padded[:, : values.shape[1]] = values.bfloat16().float()
        self.buffer[:, :n] = padded.view(self.dram.channels, n, LANES)

    def mac(self, row: int, column: int, n: int, buffer: int) -> None:
        """n columns in every bank: products, a tree over the 16 lanes, then the accumulator, column by column."""
        p = self.memory[:, :, row, column : column + n].float() * self.buffer[:, None, buffer : buffer + n]
        for half in (8, 4, 2, 1):
            p = p[..., :half] + p[..., half:]
        for i in range(n):
            self.accumulator += p[:, :, i, 0]

    def read(self) -> Float[Tensor, "c b"]:
        """RDMAC: the accumulators, rounded to BF16 and cleared."""
        out = self.accumulator.bfloat16().float()
        self.accumulator = torch.zeros_like(self.accumulator)
        return out

    def run(self, block: Block, base: int, feed: Callable[[Instruction], Tensor], write: Callable = lambda i: None) -> dict[int, Tensor]:
        """Execute a block. ``feed`` gives the values of a WRGB, ``write(i)`` the place and values of a KV write; results by ``out``."""
        results: dict[int, Tensor] = {}
        for i in block.instructions:
            if i.op == "WRGB":
                self.fill(feed(i))
            elif i.op == "MAC":
                self.mac(base + i.row, i.column, i.n, i.buffer)
            elif i.op == "RDMAC":
                results[i.out] = results.get(i.out, 0) + self.read()  # the ASIC adds partial sums
            else:
                place, values = write(i)
                self.memory[place] = values.bfloat16()
        return results


class PimGPT:
    """A trained ``GPT`` in the package; one token at a time.

    Raises:
        ValueError: the model does not fit the device.
    """

    def __init__(self, model: GPT, dram: DramConfig = TINY):
        self.model, self.dram = model, dram
        self.mapping = Mapping(model.shape, dram, asic.Asic(), reserve=model.context)
        self.device = Device(dram, self.mapping.rows * model.shape.layers)
        self.length = 0
        for layer, block in enumerate(model.blocks):
            for name, matrix in self.matrices().items():
                self.store(getattr(block, name).weight.detach().T, matrix, layer * self.mapping.rows)

    def matrices(self) -> dict[str, Matrix]:
        """The matrices of a layer by the names of the model's parts."""
        m = self.mapping
        return {"qkv": m.qkv[0], "proj": m.proj, "up": m.up, "down": m.down}

    def store(self, W: Float[Tensor, "k n"], matrix: Matrix, base: int) -> None:
        """Write a matrix to the addresses that the mapping gives."""
        k, n = torch.meshgrid(torch.arange(matrix.K), torch.arange(matrix.N), indexing="ij")
        c, b, row, column, lane = (torch.as_tensor(i) for i in matrix.address(k.numpy(), n.numpy(), self.dram))
        self.device.memory[c, b, base + row, column, lane] = W.bfloat16()

    def product(self, block: Block, x: Float[Tensor, "k"], N: int, base: int) -> Float[Tensor, "n"]:
        """x W by the block's instructions."""
        chunks = iter(x.split(self.dram.values))
        results = self.device.run(block, base, lambda i: next(chunks).expand(self.dram.channels, -1))
        return torch.cat([results[slot].flatten() for slot in sorted(results)])[:N]

    @torch.no_grad()
    def step(self, token: int) -> Float[Tensor, "v"]:
        """Read one token, extend the cache, return the logits of the next.

        Raises:
            ValueError: the reserved context is full.
        """
        model, T = self.model, self.length + 1
        _, qkv, write, scores, pv, proj, _, up, down = self.mapping.layer(T)
        x = model.tokens.weight[token] + model.positions.weight[self.length]
        for layer, part in enumerate(cast(list[Layer], model.blocks)):
            base, d = layer * self.mapping.rows, model.shape.d
            a = asic.layer_norm(x, part.ln1.weight, part.ln1.bias)
            q, k, v = (self.product(qkv, a, 3 * d, base) + part.qkv.bias).split(d)
            self.append(write, k, v, base)
            p = asic.softmax(self.scores(scores, q, T, base), model.shape.dh**-0.5)
            x = x + self.product(proj, self.mix(pv, p, base), d, base) + part.proj.bias
            a = asic.layer_norm(x, part.ln2.weight, part.ln2.bias)
            u = asic.gelu(self.product(up, a, 4 * d, base) + part.up.bias)
            x = x + self.product(down, u, d, base) + part.down.bias
        self.length = T
        return model.norm(x) @ model.tokens.weight.T

    def append(self, block: Block, k: Float[Tensor, "d"], v: Float[Tensor, "d"], base: int) -> None:
        """The cache grows by one token: K into one bank, V into all."""
        m, d, t = self.mapping, self.model.shape.d, self.length

        def write(i: Instruction):
            kind = "K" if i.op == "WRK" else "V"
            width = m.head_rows * m.shape.dh if kind == "K" else self.dram.units
            first = ((i.row - m.k_base) % m.k_rows if kind == "K" else i.out) * width
            dims = torch.arange(first, min(d, first + width))
            c, b, row, column, lane = (torch.as_tensor(x) for x in m.kv_address(kind, torch.tensor(t), dims))
            return (c, b, base + row, column, lane), (k if kind == "K" else v)[dims]

        self.device.run(block, base, lambda i: k, write)

    def scores(self, block: Block, q: Float[Tensor, "d"], T: int, base: int) -> Float[Tensor, "h T"]:
        """q Kᵀ for every head; tokens are dealt over channels first."""
        parts = iter(q.split(self.mapping.head_rows * self.mapping.shape.dh))
        results = self.device.run(block, base, lambda i: next(parts).expand(self.dram.channels, -1))
        h = self.mapping.shape.heads
        by_slot = [torch.stack([results[s + head].T.flatten() for head in range(h)]) for s in range(0, len(results), h)]
        return torch.cat(by_slot, dim=1)[:, :T]

    def mix(self, block: Block, p: Float[Tensor, "h T"], base: int) -> Float[Tensor, "d"]:
        """p V: each channel gets the weights of the head that its banks hold outputs of."""
        dram, shape = self.dram, self.mapping.shape
        seen: dict[int, int] = {}

        def feed(i: Instruction) -> Tensor:
            part = seen[i.out] = seen.get(i.out, -1) + 1
            first = i.out * dram.units + torch.arange(dram.channels) * dram.banks
            heads = (first // shape.dh).clamp(max=shape.heads - 1)  # channels beyond the last output compute what nobody reads
            return p[heads, part * dram.values : (part + 1) * dram.values]

        results = self.device.run(block, base, feed)
        return torch.cat([results[slot].flatten() for slot in sorted(results)])[: shape.d]

    def generate(self, prompt: Int[Tensor, "t"], n: int) -> Int[Tensor, "m"]:
        """The prompt and n tokens more, the most likely each time."""
        tokens = prompt.tolist()
        for token in tokens[:-1]:
            self.step(token)
        for _ in range(n):
            tokens.append(int(self.step(tokens[-1]).argmax()))
        return torch.tensor(tokens)

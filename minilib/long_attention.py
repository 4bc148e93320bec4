"""Attention over long sequences: windows, blocks, what can be reached through them, and what they cost (lessons 07–12).

``B`` batch, ``H`` heads, ``L`` length, ``K`` width of a head, ``w`` window, ``m`` block size.

The frame of lesson 07: ``token_probe`` asks three questions of one sequence, ``Probe`` is a layer around any mixer
(B, L, 48) → (B, L, 48), ``train_probe`` trains it, ``read_outs`` scores it, ``kflop`` says what the mixer costs.

On text (lessons 08–11): ``CharacterModel`` predicts the next character around any causal stack, ``character_nats`` is its loss,
``row_on_text`` the row that each lesson leaves for the chapter's table.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import pad, scaled_dot_product_attention

from minilib.count import flops, parameters
from minilib.kernels.window_attention import window_attention
from minilib.layers import MLP, RMSNorm
from minilib.training import Run, fit
from minilib.transformer import Embedding

__all__ = [
    "CharacterModel", "Probe", "attention_pairs", "block_attention", "block_visibility", "character_nats", "kflop", "orthogonal_gaussian",
    "position_code", "reach", "read_outs", "row_on_text", "token_probe", "train_probe", "window_attention",
]  # fmt: skip


def block_visibility(L: int, m: int, back: int = 1) -> Bool[Tensor, "L L"]:
    """Causal, and no further back than ``back`` whole blocks of ``m`` before the own one (MASFormer, Zhang et al. 2023)."""
    i, j = torch.arange(L)[:, None], torch.arange(L)[None, :]
    return (j <= i) & (i // m - j // m <= back)


def block_attention(
    q: Float[Tensor, "b h l k"], k: Float[Tensor, "b h l k"], v: Float[Tensor, "b h l v"], m: int, back: int = 1
) -> Float[Tensor, "b h l v"]:
    """Attention under ``block_visibility`` in tiles of m × (back + 1)·m: cost and memory grow with L·m. Any L; the end is padded."""
    if m < 1 or back < 0:
        raise ValueError(f"blocks need a size of at least 1 and back ≥ 0, got m = {m}, back = {back}")
    L = q.shape[-2]
    n = -(-L // m)
    q, k, v = (pad(x, (0, 0, 0, n * m - L)).unflatten(-2, (n, m)) for x in (q, k, v))
    # the blocks that stand r = back … 0 before each block, side by side
    k, v = (torch.cat([pad(x, (0, 0, 0, 0, r, 0))[..., :n, :, :] for r in range(back, -1, -1)], dim=-2) for x in (k, v))
    i, j = torch.arange(n * m).view(n, m, 1), torch.arange(n)[:, None, None] * m - back * m + torch.arange((back + 1) * m)
    out = scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=(j >= 0) & (j <= i))
    return out.unflatten(0, q.shape[:2]).flatten(-3, -2)[..., :L, :]


def reach(masks: list[Bool[Tensor, "L L"]]) -> Bool[Tensor, "L L"]:
    """Which input each output can depend on after these layers: the boolean product, the residual path included."""
    seen = torch.eye(len(masks[0]), dtype=torch.float32)
    for M in masks:
        seen = ((M.float() + torch.eye(len(M))) @ seen > 0).float()
    return seen.bool()


def attention_pairs(spans: list[None | tuple[int, int]], L: int) -> int:
    """Score pairs of a stack: None is a full causal layer, L(L+1)/2; (m, back) a block layer, counted exactly."""
    total = 0
    for span in spans:
        if span is None:
            total += L * (L + 1) // 2
        else:
            m, back = span
            total += sum(t - max(0, (t // m - back) * m) + 1 for t in range(L))
    return total


def orthogonal_gaussian(m: int, d: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "m d"]:
    """m rows, orthogonal within every block of d, each with the length of a Gaussian vector (Choromanski et al. 2021, §3.2)."""
    blocks = []
    for _ in range(-(-m // d)):
        Q, R = torch.linalg.qr(torch.randn(d, d, generator=generator))
        blocks.append((Q * R.diagonal().sign()).T)  # without the signs of R the rows prefer one half of the space
    lengths = torch.randn(m, d, generator=generator).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:m] * lengths


# ------------------------------------------------------------------------------ the frame of lesson 07, and that of the chapter on text


def token_probe(
    generator: torch.Generator, B: int, L: int
) -> tuple[Int[Tensor, "4 b l"], tuple[Int[Tensor, "b q"], Int[Tensor, "b q"], Int[Tensor, "b q"]]]:
    """One sequence, three questions. Tokens (4, B, L): key, value, class, bit; the first half are items, the second half queries, which
    have no value and no class (8). Answers (B, L/2) at the queries: *local*, how many of the last five bits are 1; *match*, the value of
    the item with the same key; *global*, the most frequent class.
    """
    half = L // 2
    item_keys, query_keys = (torch.rand(B, half, generator=generator).argsort(dim=1) for _ in range(2))
    value_of = torch.randint(8, (B, half), generator=generator)  # by key
    weights = torch.empty(B, 8).exponential_(generator=generator) ** 1.5
    classes = torch.multinomial(weights, half, replacement=True, generator=generator)
    bit, none = torch.randint(2, (B, L), generator=generator), torch.full((B, half), 8)
    key = torch.cat([item_keys, query_keys], dim=1)
    tokens = torch.stack([key, torch.cat([value_of.gather(1, item_keys), none], 1), torch.cat([classes, none], 1), bit])
    local = F.pad(bit, (4, 0)).unfold(1, 5, 1).sum(-1)[:, half:]
    most = F.one_hot(classes, 8).sum(1).argmax(-1, keepdim=True).expand(B, half)
    return tokens, (local, value_of.gather(1, query_keys), most)


def position_code(L: int, width: int) -> Float[Tensor, "l width"]:
    """Sines and cosines with periods from 4 tokens to L."""
    period = 4.0 * (L / 4) ** torch.linspace(0, 1, width // 2)
    angle = 2 * math.pi * torch.arange(L)[:, None] / period
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Probe(nn.Module):
    """Tokens (4, B, L) → logits at the queries: local (B, L/2, 6), match and global (B, L/2, 8)."""

    def __init__(self, mixer: nn.Module, L: int):
        super().__init__()
        self.key, self.value, self.label, self.bit = (nn.Embedding(n, e) for n, e in ((L // 2, 24), (9, 12), (9, 12), (2, 12)))
        self.register_buffer("position", 3 * position_code(L, 12))
        self.mixer, self.mlp, self.head = mixer, MLP(48, 96, F.relu), nn.Linear(48, 6 + 8 + 8)
        self.norm1, self.norm2, self.norm3 = (RMSNorm(48) for _ in range(3))

    def forward(self, tokens: Int[Tensor, "4 b l"]) -> tuple[Tensor, ...]:
        key, value, label, bit = tokens
        contents = self.value(value) + self.label(label) + self.bit(bit)
        x = torch.cat([self.key(key), self.position.expand(len(key), -1, -1), contents], dim=-1)
        x = (x + self.mixer(self.norm1(x)))[:, key.shape[1] // 2 :]  # only queries are asked
        return self.head(self.norm3(x + self.mlp(self.norm2(x)))).split([6, 8, 8], dim=-1)


def train_probe(mixer: Callable[[int], nn.Module], seed: int, *, L: int = 64, batch: int = 16, steps: int = 160) -> Run:
    """The training call of that frame: ``mixer(L)`` makes the module under test."""
    torch.manual_seed(seed)
    return fit(
        Probe(mixer(L), L),
        lambda generator: token_probe(generator, batch, L),
        lambda model, b: torch.stack([F.cross_entropy(o.flatten(0, 1), y.flatten()) for o, y in zip(model(b[0]), b[1], strict=True)]).sum(),
        steps=steps,
        lr=0.012,
        seed=seed,
        warmup=20,
        schedule="linear",
    )


@torch.no_grad()
def read_outs(model: nn.Module, L: int = 64) -> list[float]:
    """Accuracy on local, match and global: 200 sequences, the same for every model."""
    tokens, answers = token_probe(torch.Generator().manual_seed(99), 200, L)
    return [float((o.argmax(-1) == y).float().mean()) for o, y in zip(model(tokens), answers, strict=True)]


def kflop(mixer: nn.Module, L: int = 64) -> float:
    """Thousand FLOPs a token of a mixer of width 48, its projections included."""
    return flops(mixer.eval(), torch.randn(1, L, 48)) / L / 1000


class CharacterModel(nn.Module):
    """Tokens (B, T) → logits (B, T, V) for T ≤ L: learned positions, and the stack (B, T, D) → (B, T, D) that ``stack()`` makes."""

    def __init__(self, V: int, L: int, d: int, stack: Callable[[], nn.Module]):
        super().__init__()
        self.embed, self.position = Embedding(V, d), nn.Parameter(0.1 * torch.randn(L, d))
        self.stack = stack()

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        return self.embed.logits(self.stack(self.embed(tokens) + self.position[: tokens.shape[1]]))


def character_nats(model: nn.Module, words: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of each next character of ``words``, in nats."""
    return F.cross_entropy(model(words[:, :-1]).flatten(0, 1), words[:, 1:].flatten())


def row_on_text(runs: list[Run], losses: list[float], *example: Tensor) -> dict:
    """What a model leaves for the chapter's table: its test losses, one a run, its size, FLOPs of a pass over ``example``, CPU seconds."""
    model, spent = runs[0].model, [run.seconds for run in runs]
    cost = {"parameters": parameters(model), "forward FLOPs": flops(model, *example), "CPU s": sum(spent) / len(spent)}
    return {"test loss (nats/char)": losses, **cost}

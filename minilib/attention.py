"""Attention: who may see whom, multi-head attention, rotary embedding, and the cache of keys and values.

Introduced in the start lesson *The transformer* (written out step by step there) and used by almost every lesson.

``B`` batch, ``T`` positions (``Q`` queries, ``S`` keys where they differ), ``D`` width, ``H`` heads, ``G`` heads of keys and values,
``K`` = D/H width of a head.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minilib.kernels import attention as kernel
from minilib.kernels.attention import attention_weights, repeat_heads

__all__ = [
    "KVCache",
    "MultiHeadAttention",
    "attention",
    "attention_weights",
    "rotate",
    "tree_visibility",
    "visibility",
    "window_visibility",
]


# ------------------------------------------------------------------------------------------------------------------ who sees whom


def visibility(T: int, P: int = 0) -> Bool[Tensor, "T T"]:
    """``M[i, j]``: may position i attend to position j? The first ``P`` positions see each other, all others only what came before.

    ``P`` = 0 or 1 is the causal mask, ``P`` = T the bidirectional one, between them lies the prefix decoder (Wang et al. 2022, §3.1).
    """
    if not 0 <= P <= T:
        raise ValueError(f"the prefix P must lie between 0 and T = {T}, got {P}")
    i, j = torch.arange(T)[:, None], torch.arange(T)[None, :]
    return j <= i.clamp(min=P - 1)


def window_visibility(T: int, window: int) -> Bool[Tensor, "T T"]:
    """Causal, and at most ``window`` positions back, the own one included (sliding window)."""
    if window < 1:
        raise ValueError(f"a window holds at least the position itself, got {window}")
    i, j = torch.arange(T)[:, None], torch.arange(T)[None, :]
    return (j <= i) & (i - j < window)


def tree_visibility(parents: list[int]) -> Bool[Tensor, "T T"]:
    """Every node of a token tree sees itself and its ancestors; ``parents[i]`` < i, and −1 marks a root."""
    M = torch.eye(len(parents), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if not -1 <= parent < i:
            raise ValueError(f"the parent of node {i} must be an earlier node or −1, got {parent}")
        if parent >= 0:
            M[i] |= M[parent]
    return M


# ---------------------------------------------------------------------------------------------------------------------- attention


def attention(
    q: Float[Tensor, "*b h q k"],
    k: Float[Tensor, "*b g s k"],
    v: Float[Tensor, "*b g s v"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
    keep: list[Tensor] | None = None,
) -> Float[Tensor, "*b h q v"]:
    """Scaled dot-product attention.

    Args:
        mask: True where a query may see a key; broadcasts to (B, H, Q, S). A query that sees nothing gets zeros.
        bias: added to the scores; broadcasts likewise.
        causal: query i sees the keys up to S − Q + i; may be combined with ``mask``.
        keep: a list to which the weights (B, H, Q, S) are appended; this takes the written-out form.
    """
    if keep is None:
        return kernel.attention(q, k, v, mask, bias, causal=causal)
    if causal:
        lower = visibility(k.shape[-2]).to(q.device)[k.shape[-2] - q.shape[-2] :]
        mask = lower if mask is None else mask & lower
    keep.append(attention_weights(q, repeat_heads(k, q.shape[-3]), mask, bias))
    return keep[-1] @ repeat_heads(v, q.shape[-3])


def rotate(x: Float[Tensor, "*b t k"], positions: Int[Tensor, "t"], base: float = 10_000.0) -> Float[Tensor, "*b t k"]:
    """Rotary embedding (Su et al. 2021): turn the pairs (x_i, x_{i+K/2}) by the angle position · base^(−2i/K)."""
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angle = positions[:, None].float() * frequency
    sin, cos = angle.sin().to(x.dtype), angle.cos().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class KVCache:
    """Keys and values of the positions seen so far, one (k, v) pair a layer, each (B, G, S, K)."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def length(self) -> int:
        """The number of positions held."""
        return next(iter(self.layers.values()))[0].shape[-2] if self.layers else 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append to a layer and return all of its keys and values."""
        if layer in self.layers:
            old_k, old_v = self.layers[layer]
            k, v = torch.cat([old_k, k], dim=-2), torch.cat([old_v, v], dim=-2)
        self.layers[layer] = (k, v)
        return k, v

    def keep_rows(self, positions: Tensor) -> None:
        """Keep only these positions, in this order (what is left of a tree of drafts once it has been verified)."""
        self.layers = {i: (k[..., positions, :], v[..., positions, :]) for i, (k, v) in self.layers.items()}

    def nbytes(self) -> int:
        """Bytes that the cache takes."""
        return sum(t.numel() * t.element_size() for pair in self.layers.values() for t in pair)


class MultiHeadAttention(nn.Module):
    """Multi-head attention without biases: self-attention, or cross-attention when a ``context`` is given.

    ``kv_heads`` < ``heads`` shares each head of keys and values among several query heads (grouped-query attention).
    """

    def __init__(self, d: int, heads: int, *, kv_heads: int | None = None, rotary: bool = False):
        super().__init__()
        if d % heads:
            raise ValueError(f"the width {d} is not a multiple of {heads} heads")
        self.heads, self.kv_heads, self.rotary = heads, kv_heads or heads, rotary
        self.q = nn.Linear(d, d, bias=False)
        self.kv = nn.Linear(d, 2 * d // heads * self.kv_heads, bias=False)  # keys and values side by side: one product
        self.out = nn.Linear(d, d, bias=False)
        for linear in (self.q, self.kv, self.out):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def split(self, x: Float[Tensor, "b t w"], heads: int) -> Float[Tensor, "b h t k"]:
        """(B, T, heads·K) → (B, heads, T, K)"""
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def keys_values(self, context: Float[Tensor, "b s d"]) -> tuple[Tensor, Tensor]:
        """Keys and values of a context, each (B, G, S, K)."""
        k, v = self.kv(context).chunk(2, dim=-1)
        return self.split(k, self.kv_heads), self.split(v, self.kv_heads)

    def forward(
        self,
        x: Float[Tensor, "b q d"],
        context: Float[Tensor, "b s d"] | None = None,
        *,
        mask: Bool[Tensor, "..."] | None = None,
        bias: Float[Tensor, "..."] | None = None,
        causal: bool = False,
        positions: Int[Tensor, "q"] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
        keep: list[Tensor] | None = None,
    ) -> Float[Tensor, "b q d"]:
        q = self.split(self.q(x), self.heads)
        if context is not None and cache is not None and layer in cache.layers:
            k, v = cache.layers[layer]  # cross-attention: the source does not grow, its keys are computed once
        else:
            k, v = self.keys_values(x if context is None else context)
            if self.rotary and context is None:
                where = torch.arange(x.shape[1], device=x.device) if positions is None else positions
                q, k = rotate(q, where), rotate(k, where)
            if cache is not None:
                k, v = cache.extend(layer, k, v)
        out = attention(q, k, v, mask, bias, causal=causal, keep=keep)
        return self.out(out.transpose(1, 2).flatten(-2))

"""Mixture of experts: a router, slots with a capacity, a balance loss, experts without a router (lesson 21 builds it by hand).

``T`` tokens (batch and length flattened), ``E`` experts, ``k`` experts a token, ``C`` slots an expert, ``D`` width, ``F`` hidden width.
Follows Switch Transformer (Fedus et al. 2021, §2), GShard (Lepikhin et al. 2020, Algorithm 1) and THOR (Zuo et al. 2021).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "Experts",
    "MoE",
    "StochasticExperts",
    "assign_slots",
    "balance_loss",
    "combine",
    "dispatch",
    "symmetric_kl",
    "topk_router",
]


class Experts(nn.Module):
    """E two-layer networks side by side: (E, C, D) → (E, C, D), each expert on its own slots, two batched products in all."""

    def __init__(self, E: int, d: int, f: int, act: Callable[[Tensor], Tensor] = F.gelu):
        super().__init__()
        self.W1, self.b1 = nn.Parameter(torch.randn(E, d, f) * d**-0.5), nn.Parameter(torch.zeros(E, 1, f))
        self.W2, self.b2 = nn.Parameter(torch.randn(E, f, d) * f**-0.5), nn.Parameter(torch.zeros(E, 1, d))
        self.act = act

    def forward(self, slots: Float[Tensor, "E C d"]) -> Float[Tensor, "E C d"]:
        return self.act(slots @ self.W1 + self.b1) @ self.W2 + self.b2

    def one(self, x: Float[Tensor, "*b d"], e: int) -> Float[Tensor, "*b d"]:
        """Expert e alone."""
        return self.act(x @ self.W1[e] + self.b1[e, 0]) @ self.W2[e] + self.b2[e, 0]


def topk_router(
    logits: Float[Tensor, "T E"], k: int, renormalise: bool | None = None
) -> tuple[Float[Tensor, "T E"], Float[Tensor, "T k"], Int[Tensor, "T k"]]:
    """``(p, gate, index)``: the softmax in float32 and its k largest entries.

    Args:
        renormalise: make the gates of a token sum to 1; by default for k ≥ 2 only. With k = 1 a gate of 1 would leave the router
            without a gradient from the task.
    """
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"k must lie between 1 and the {logits.shape[1]} experts, got {k}")
    p = logits.float().softmax(dim=-1)
    gate, index = p.topk(k, dim=-1)
    if k >= 2 if renormalise is None else renormalise:
        gate = gate / gate.sum(dim=-1, keepdim=True)
    return p, gate, index


def assign_slots(index: Int[Tensor, "T k"], E: int, capacity: int) -> tuple[Int[Tensor, "T k"], Bool[Tensor, "T k"]]:
    """``(slot, keep)``: the place e·C + position of every choice, first choices of all tokens before any second choice.

    A choice whose expert is full is not kept; its slot is then meaningless.
    """
    ranked = index.T.flatten()  # choice by choice, tokens in order
    claims = F.one_hot(ranked, E)
    position = (claims.cumsum(0) - 1).gather(1, ranked[:, None])[:, 0].view(index.shape[1], -1).T
    return index * capacity + position, position < capacity


def dispatch(x: Float[Tensor, "T d"], slot: Int[Tensor, "T k"], keep: Bool[Tensor, "T k"], E: int, C: int) -> Float[Tensor, "E C d"]:
    """Copy every kept choice of a token into its slot; empty slots are zero."""
    buffer = x.new_zeros(E * C, x.shape[1])
    return buffer.index_copy(0, slot[keep], x[:, None].expand(*slot.shape, -1)[keep]).view(E, C, -1)


def combine(
    out: Float[Tensor, "E C d"], slot: Int[Tensor, "T k"], keep: Bool[Tensor, "T k"], gate: Float[Tensor, "T k"]
) -> Float[Tensor, "T d"]:
    """``y_t = Σ_j keep · gate · out[slot]``: a dropped choice adds nothing, the residual connection carries its token."""
    taken = out.flatten(0, 1)[torch.where(keep, slot, 0)]
    return (taken * (gate * keep)[..., None].to(out.dtype)).sum(dim=1)


def balance_loss(p: Float[Tensor, "T E"], index: Int[Tensor, "T k"]) -> Float[Tensor, ""]:
    """``E Σ_e f_e P_e`` (Switch, eq. 4): f_e is the share of tokens whose first choice is e, P_e the mean of p_e. 1 when uniform."""
    E = p.shape[1]
    share = F.one_hot(index[:, 0], E).float().mean(0)
    return E * (share * p.mean(0)).sum()


class MoE(nn.Module):
    """A layer of experts behind a router: (B, L, D) → (B, L, D).

    ``router`` is ``"gate"`` (learned, top-k), ``"random"`` (a new uniform draw for every token and call, gate 1) or ``"hash"`` (a fixed
    random table of token ids, which ``forward`` then needs, gate 1); or any function logits → (p, gate, index). After a call ``last``
    holds logits, index, load (tokens an expert), dropped (share of choices) and balance (the loss to add, weight about 0.01).
    """

    def __init__(
        self, d: int, f: int, E: int, k: int = 1, *, capacity_factor: float = 1.25, router: str | Callable = "gate", jitter: float = 0.0,
        vocabulary: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.experts, self.k, self.capacity_factor, self.jitter = Experts(E, d, f), k, capacity_factor, jitter
        self.router = router
        self.gate = nn.Linear(d, E, bias=False)
        nn.init.normal_(self.gate.weight, std=d**-0.5)
        self.table: Tensor
        self.register_buffer("table", torch.randint(E, (max(1, vocabulary),)))
        self.last: dict[str, Any] = {}

    def route(self, x: Float[Tensor, "T d"], tokens: Int[Tensor, "T"] | None):
        """``(p, gate, index, logits)`` of every token."""
        E = self.gate.out_features
        if self.jitter and self.training:
            x = x * torch.empty_like(x).uniform_(1 - self.jitter, 1 + self.jitter)
        logits = self.gate(x)
        if callable(self.router):
            return *self.router(logits), logits
        if self.router == "gate":
            return *topk_router(logits, self.k), logits
        if self.router == "hash":
            if tokens is None:
                raise ValueError("router='hash' needs the token ids: call the layer with tokens=")
            index = self.table[tokens][:, None]
        elif self.router == "random":
            index = torch.randint(E, (len(x), 1), device=x.device)
        else:
            raise ValueError(f"unknown router {self.router!r}; choose gate, random or hash")
        return x.new_full((len(x), E), 1 / E), x.new_ones(len(x), 1), index, logits

    def forward(self, x: Float[Tensor, "b l d"], tokens: Int[Tensor, "b l"] | None = None) -> Float[Tensor, "b l d"]:
        flat, E = x.flatten(0, 1), self.gate.out_features
        p, gate, index, logits = self.route(flat, None if tokens is None else tokens.flatten())
        C = math.ceil(self.capacity_factor * index.numel() / E)
        slot, keep = assign_slots(index, E, C)
        y = combine(self.experts(dispatch(flat, slot, keep, E, C)), slot, keep, gate)
        load = torch.bincount(index.flatten(), minlength=E)
        dropped = 1 - keep.float().mean()
        self.last = {"logits": logits, "index": index, "load": load, "dropped": float(dropped), "balance": balance_loss(p, index)}
        return y.view_as(x)


class StochasticExperts(nn.Module):
    """Experts without a router (THOR): one is drawn uniformly for a batch, a sentence or a token. (B, L, D) → (B, L, D).

    ``draw`` fixes the next choices; without it every call draws anew from ``generator``, or from PyTorch's own.
    """

    def __init__(self, d: int, f: int, E: int, *, level: str = "batch"):
        super().__init__()
        if level not in ("batch", "sentence", "token"):
            raise ValueError(f"unknown level {level!r}; choose batch, sentence or token")
        self.experts, self.E, self.level = Experts(E, d, f), E, level
        self.generator: torch.Generator | None = None

    def draw(self, generator: torch.Generator | None) -> None:
        """Draw all following choices from this generator."""
        self.generator = generator

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        B, L, _ = x.shape
        shape = {"batch": (1, 1), "sentence": (B, 1), "token": (B, L)}[self.level]
        choice = torch.randint(self.E, shape, generator=self.generator)
        if self.level == "batch":
            return self.experts.one(x, int(choice))
        index = choice.expand(B, L).reshape(-1, 1)
        slot, keep = assign_slots(index, self.E, C := int(torch.bincount(index.flatten(), minlength=self.E).max()))
        out = self.experts(dispatch(x.flatten(0, 1), slot, keep, self.E, C))  # room for all: nothing is dropped
        return combine(out, slot, keep, torch.ones_like(keep, dtype=x.dtype)).view_as(x)


def symmetric_kl(a: Float[Tensor, "*b v"], b: Float[Tensor, "*b v"], mask: Bool[Tensor, "*b"] | None = None) -> Float[Tensor, ""]:
    """``½ [KL(p_a‖p_b) + KL(p_b‖p_a)]`` of two sets of logits, mean over the positions of ``mask``; both sides get gradients."""
    log_a, log_b = a.log_softmax(-1), b.log_softmax(-1)
    kl = 0.5 * ((log_a.exp() - log_b.exp()) * (log_a - log_b)).sum(-1)
    return kl.mean() if mask is None else (kl * mask).sum() / mask.sum()

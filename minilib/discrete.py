"""Gradients through discrete choices: Gumbel-softmax and straight-through. Introduced in lesson 40."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["gumbel", "gumbel_softmax", "one_hot_argmax", "round_through", "top_k_through"]


def gumbel(shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> Float[Tensor, "..."]:
    """Samples of the standard Gumbel distribution, −log(−log u)."""
    u = torch.rand(shape, generator=generator).clamp(min=1e-20, max=1 - 1e-7)
    return -(-u.log()).log()


def gumbel_softmax(
    logits: Float[Tensor, "*b k"], tau: float, hard: bool = False, generator: torch.Generator | None = None
) -> Float[Tensor, "*b k"]:
    """``softmax((logits + Gumbel noise) / τ)`` (Jang et al. 2017): a sample that becomes one-hot as τ → 0 and has a gradient.

    Args:
        hard: return the one-hot vector of the largest entry, with the gradient of the soft one.
    """
    if tau <= 0:
        raise ValueError(f"the temperature tau must be positive, got {tau}")
    soft = ((logits + gumbel(tuple(logits.shape), generator=generator)) / tau).softmax(-1)
    return soft + (one_hot_argmax(soft) - soft).detach() if hard else soft


def one_hot_argmax(x: Float[Tensor, "*b k"]) -> Float[Tensor, "*b k"]:
    """1 at the largest entry, 0 elsewhere."""
    return F.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)


def round_through(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Rounded, with the gradient of the identity (Bengio et al. 2013)."""
    return x + (x.round() - x).detach()


def top_k_through(x: Float[Tensor, "*b n"], k: int) -> Float[Tensor, "*b n"]:
    """The k largest magnitudes of every row, the rest zero, with the gradient of the identity."""
    if not 1 <= k <= x.shape[-1]:
        raise ValueError(f"k must lie between 1 and the row length {x.shape[-1]}, got {k}")
    kept = torch.zeros_like(x).scatter(-1, x.abs().topk(k, dim=-1).indices, 1.0)
    return x + (x * kept - x).detach()

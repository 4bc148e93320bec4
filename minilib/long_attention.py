"""Attention over long sequences: windows, blocks, what can be reached through them, and what they cost (lessons 07–12).

``B`` batch, ``H`` heads, ``L`` length, ``K`` width of a head, ``w`` window, ``m`` block size.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from minilib.kernels.window_attention import window_attention

__all__ = ["attention_pairs", "block_attention", "block_visibility", "orthogonal_gaussian", "reach", "window_attention"]


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
    blocks = [torch.linalg.qr(torch.randn(d, d, generator=generator)).Q.T for _ in range(-(-m // d))]
    lengths = torch.randn(m, d, generator=generator).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:m] * lengths

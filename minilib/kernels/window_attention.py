"""Sliding-window attention: every query sees the last ``w`` positions, its own included (Longformer's causal window, Beltagy et al. 2020).

The reference makes all L² scores and masks most of them. The fast form cuts the sequence into blocks of w: a query sees only keys of its
own block and of the one before, so L/w tiles of w × 2w scores suffice. Work and memory grow with L·w instead of L². The Triton form is
that of attention.py with the window as its mask: it holds no scores either, but visits every tile, so ``auto`` prefers the fast form.

``B`` batch, ``H`` heads, ``L`` length, ``K`` width of a head. Cost: 8·B·H·L·w·K FLOPs (half of each tile is masked) against 4·B·H·L²·K.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from minilib.kernels.attention import attention, attention_weights
from minilib.kernels.backend import choose


def window_attention(
    q: Float[Tensor, "b h l k"], k: Float[Tensor, "b h l k"], v: Float[Tensor, "b h l v"], window: int, *, backend: str = "auto"
) -> Float[Tensor, "b h l v"]:
    """Causal attention over the last ``window`` positions.

    Raises:
        ValueError: a window below 1, or lengths that differ.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1 (the position itself), got {window}")
    if not q.shape[:-1] == k.shape[:-1] == v.shape[:-1]:
        raise ValueError(f"q, k and v must agree in batch, heads and length; they are {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    L = q.shape[-2]
    form = "fast" if backend == "auto" else choose(backend, q)
    if form != "fast":
        lag = torch.arange(L, device=q.device)[:, None] - torch.arange(L, device=q.device)
        inside = (lag >= 0) & (lag < window)
        return attention_weights(q, k, inside) @ v if form == "reference" else attention(q, k, v, inside, backend="triton")
    w = min(window, L)
    blocks = -(-L // w)
    q, k, v = (pad(x, (0, 0, 0, blocks * w - L)).unflatten(-2, (blocks, w)) for x in (q, k, v))  # (B, H, blocks, w, K)
    k, v = (torch.cat([pad(x, (0, 0, 0, 0, 1, 0))[..., :-1, :, :], x], dim=-2) for x in (k, v))  # the block before, then the own one
    i, j = torch.arange(w, device=q.device)[:, None], torch.arange(2 * w, device=q.device) - w
    visible = ((j <= i) & (i - j < w)).expand(blocks, w, 2 * w).clone()
    visible[0, :, :w] = False  # nothing comes before the first block
    out = scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=visible)
    return out.unflatten(0, q.shape[:2]).flatten(-3, -2)[..., :L, :]

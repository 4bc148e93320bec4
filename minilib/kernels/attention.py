"""Scaled dot-product attention: the definition, and the same through PyTorch's fused operator.

    S[i, j] = q_i · k_j / √K + bias[i, j]        where mask[i, j], else −∞
    O_i     = Σ_j softmax_j(S[i, :]) v_j                                       (Vaswani et al. 2017, eq. 1)

``B`` batch, ``H`` heads, ``G`` heads of keys and values (``G`` divides ``H``: grouped-query attention), ``Q`` queries, ``S`` keys,
``K`` width of a head. Cost: 4·B·H·Q·S·K FLOPs; the reference writes the B·H·Q·S weights to memory, the fused form does not have to.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention_weights(
    q: Float[Tensor, "*b h q k"],
    k: Float[Tensor, "*b h s k"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*b h q s"]:
    """The softmax of the scores, rows over the keys. A row without a visible key is all zeros."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return scores.softmax(dim=-1)
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights * mask  # a finite minimum leaves a fully masked row uniform; the product makes it zero


def attention_reference(
    q: Float[Tensor, "*b h q k"],
    k: Float[Tensor, "*b g s k"],
    v: Float[Tensor, "*b g s v"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*b h q v"]:
    """The definition, written out."""
    k, v = repeat_heads(k, q.shape[-3]), repeat_heads(v, q.shape[-3])
    return attention_weights(q, k, mask, bias) @ v


def attention_fast(
    q: Float[Tensor, "*b h q k"],
    k: Float[Tensor, "*b g s k"],
    v: Float[Tensor, "*b g s v"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
) -> Float[Tensor, "*b h q v"]:
    """The same through PyTorch's fused operator; ``causal`` states that the mask is the causal one and saves reading it."""
    k, v = repeat_heads(k, q.shape[-3]), repeat_heads(v, q.shape[-3])
    if causal:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    if bias is not None and mask is not None:
        bias = bias.masked_fill(~mask, float("-inf"))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask if bias is None else bias)


def repeat_heads(x: Float[Tensor, "*b g s k"], heads: int) -> Float[Tensor, "*b h s k"]:
    """Every head of keys or values once for each query head that shares it (Ainslie et al. 2023, GQA)."""
    groups = x.shape[-3]
    if heads % groups:
        raise ValueError(f"{heads} query heads cannot share {groups} heads of keys and values: {groups} does not divide {heads}")
    return x if groups == heads else x.repeat_interleave(heads // groups, dim=-3)

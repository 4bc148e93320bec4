"""Scaled dot-product attention in four forms that give the same numbers.

    S[i, j] = q_i · k_j / √K + bias[i, j]        where query i may see key j, else −∞
    O_i     = Σ_j softmax_j(S[i, :]) v_j                                       (Vaswani et al. 2017, eq. 1)

*reference*: written out; it keeps the B·H·Q·S weights. *fast*: PyTorch's fused operator. *streaming*: FlashAttention-2 (Dao 2023,
Algorithm 1) in PyTorch, for reading: keys come in blocks, each query carries a running maximum m, a running sum ℓ and an unfinished
output, and whenever m grows, what was summed so far is scaled by exp(m_old − m_new). The backward pass keeps only m + log ℓ and makes
the weights anew, block by block. *triton*: the same as one kernel.

``B`` batch, ``H`` heads, ``G`` heads of keys and values (``G`` divides ``H``: grouped-query attention), ``Q`` queries, ``S`` keys,
``K`` width of a head. Cost: 4·B·H·Q·S·K FLOPs in every form (backward 2.5 times that when the weights are recomputed). Memory moved by
the softmax: 4·B·H·Q·S numbers written out, none when streamed. A query that sees no key gets zeros, in every form.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from minilib.kernels.backend import choose, jit, next_power_of_2, tl

BLOCK = 16  # queries and keys of a tile in the Triton form


def attention(
    q: Float[Tensor, "*b h q k"],
    k: Float[Tensor, "*b g s k"],
    v: Float[Tensor, "*b g s v"],
    mask: Bool[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    *,
    causal: bool = False,
    backend: str = "auto",
) -> Float[Tensor, "*b h q v"]:
    """Attention by the form that ``backend`` names.

    Args:
        mask: True where a query may see a key; broadcasts to (B, H, Q, S).
        bias: added to the scores; broadcasts likewise.
        causal: query i sees keys up to S − Q + i (the last query sees all); may be combined with ``mask``.

    Raises:
        ValueError: widths or lengths that do not fit, a mask that is not boolean, an unknown backend.
    """
    _fit(q, k, v, mask)
    form = choose(backend, q)
    if form == "triton" and (bias is not None or q.ndim != 4):
        form = "fast"  # the kernel has no bias and wants (B, H, Q, K)
    if form == "triton":
        return _Triton.apply(q, repeat_heads(k, q.shape[-3]), repeat_heads(v, q.shape[-3]), mask, causal)
    if causal and (form == "reference" or mask is not None or bias is not None or q.shape[-2] != k.shape[-2]):
        mask, causal = _with_causal(mask, q.shape[-2], k.shape[-2], q.device), False
    if form == "reference":
        return attention_weights(q, repeat_heads(k, q.shape[-3]), mask, bias) @ repeat_heads(v, q.shape[-3])
    return attention_fast(q, k, v, mask, bias, causal=causal)


# ------------------------------------------------------------------------------------------------------------------ the definition


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


def attention_fast(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, *, causal: bool) -> Tensor:
    """PyTorch's fused operator; ``causal`` here means as many queries as keys and no other mask."""
    k, v = repeat_heads(k, q.shape[-3]), repeat_heads(v, q.shape[-3])
    if causal:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    if mask is None:
        return scaled_dot_product_attention(q, k, v, attn_mask=bias)
    seen = mask.any(-1, keepdim=True)
    mask = mask | ~seen  # the operator makes NaN of a row without a key: let it see everything, then drop it
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask if bias is None else bias.masked_fill(~mask, float("-inf")))
    return out * seen


def repeat_heads(x: Float[Tensor, "*b g s k"], heads: int) -> Float[Tensor, "*b h s k"]:
    """Every head of keys or values once for each query head that shares it (Ainslie et al. 2023, GQA)."""
    groups = x.shape[-3]
    if heads % groups:
        raise ValueError(f"{heads} query heads cannot share {groups} heads of keys and values: {groups} does not divide {heads}")
    return x if groups == heads else x.repeat_interleave(heads // groups, dim=-3)


def _fit(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q has heads of width {q.shape[-1]} and k of width {k.shape[-1]}; they must be equal")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"k holds {k.shape[-2]} positions and v {v.shape[-2]}; they must be equal")
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask has dtype {mask.dtype}; it must be boolean (True where a query may see a key)")


def _with_causal(mask: Tensor | None, Q: int, S: int, device: torch.device) -> Tensor:
    lower = torch.ones(Q, S, dtype=torch.bool, device=device).tril(S - Q)
    return lower if mask is None else mask & lower


# ---------------------------------------------------------------------------------------------------------------------- streaming


def attention_streaming(
    q: Float[Tensor, "b h q k"],
    k: Float[Tensor, "b h s k"],
    v: Float[Tensor, "b h s v"],
    mask: Bool[Tensor, "..."] | None = None,
    *,
    block: int = 64,
) -> Float[Tensor, "b h q v"]:
    """FlashAttention-2 in PyTorch: never more than Q × ``block`` scores at a time, forward and backward."""
    if mask is None:
        mask = torch.ones(1, 1, dtype=torch.bool, device=q.device)
    return _Streaming.apply(q, k, v, mask.expand(*q.shape[:-1], k.shape[-2]), block)


class _Streaming(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, mask, block):
        scale = q.shape[-1] ** -0.5
        top = q.new_full((*q.shape[:-1], 1), torch.finfo(q.dtype).min)  # m: the largest score so far
        total, out = torch.zeros_like(top), q.new_zeros(*q.shape[:-1], v.shape[-1])  # ℓ and the unfinished output
        for at in range(0, k.shape[-2], block):
            here = slice(at, at + block)
            s = (q @ k[..., here, :].transpose(-2, -1) * scale).masked_fill(~mask[..., here], float("-inf"))
            new = torch.maximum(top, s.amax(-1, keepdim=True))
            p, old = (s - new).exp(), (top - new).exp()  # what was summed under the old maximum shrinks
            total = old * total + p.sum(-1, keepdim=True)
            out = old * out + p @ v[..., here, :]
            top = new
        out = torch.where(total > 0, out / total, 0)
        ctx.save_for_backward(q, k, v, mask, out, top + total.log())
        ctx.block, ctx.scale = block, scale
        return out

    @staticmethod
    def backward(ctx, dout):
        q, k, v, mask, out, lse = ctx.saved_tensors
        dq, dk, dv = torch.zeros_like(q), torch.empty_like(k), torch.empty_like(v)
        delta = (dout * out).sum(-1, keepdim=True)  # Σ_j P_ij dP_ij, the same for all blocks
        for at in range(0, k.shape[-2], ctx.block):
            here = slice(at, at + ctx.block)
            s = q @ k[..., here, :].transpose(-2, -1) * ctx.scale
            p = torch.where(mask[..., here], (s - lse).exp(), 0)  # the weights once more
            dv[..., here, :] = p.transpose(-2, -1) @ dout
            ds = p * (dout @ v[..., here, :].transpose(-2, -1) - delta) * ctx.scale
            dq += ds @ k[..., here, :]
            dk[..., here, :] = ds.transpose(-2, -1) @ q
        return dq, dk, dv, None, None


# ------------------------------------------------------------------------------------------------------------------------- Triton
# Forward and dq: a program owns a tile of queries and walks over the keys. dk, dv: it owns a tile of keys and walks over the queries, so
# that no two programs add to the same place. The mask is read through its strides: what broadcasts has stride 0 and is never copied.


@jit
def _scores(q, K, M, i, j, Q, S, W, m_i, m_j, scale, CAUSAL: tl.constexpr, MASKED: tl.constexpr, WIDTH: tl.constexpr):
    """Keys of one tile, and the scores (queries × keys) with −∞ where nothing may be seen."""
    d = tl.arange(0, WIDTH)
    k = tl.load(K + j[:, None] * W + d[None, :], mask=(j[:, None] < S) & (d[None, :] < W), other=0.0).to(tl.float32)
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    visible = (i[:, None] < Q) & (j[None, :] < S)
    if CAUSAL:
        visible = visible & (j[None, :] <= i[:, None] + (S - Q))
    if MASKED:
        visible = visible & (tl.load(M + i[:, None] * m_i + j[None, :] * m_j, mask=visible, other=0) != 0)
    return k, tl.where(visible, s, float("-inf"))


@jit
def _tile(X, rows, n, W, WIDTH: tl.constexpr):
    d = tl.arange(0, WIDTH)
    return tl.load(X + rows[:, None] * W + d[None, :], mask=(rows[:, None] < n) & (d[None, :] < W), other=0.0).to(tl.float32)


@jit
def _forward_kernel(
    Q_, K_, V_, M, OUT, LSE, H, Q, S, W, WV, m_b, m_h, m_i, m_j, scale,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    head, i = tl.program_id(1), tl.program_id(0) * TILE + tl.arange(0, TILE)
    M += (head // H) * m_b + (head % H) * m_h
    q = _tile(Q_ + head * Q * W, i, Q, W, WIDTH)
    top, total = tl.full([TILE], -1e30, tl.float32), tl.zeros([TILE], tl.float32)
    out = tl.zeros([TILE, WIDTH_V], tl.float32)
    for at in range(0, S, TILE):
        j = at + tl.arange(0, TILE)
        _, s = _scores(q, K_ + head * S * W, M, i, j, Q, S, W, m_i, m_j, scale, CAUSAL, MASKED, WIDTH)
        new = tl.maximum(top, tl.max(s, axis=1))
        p, old = tl.exp(s - new[:, None]), tl.exp(top - new)
        total = old * total + tl.sum(p, axis=1)
        out = old[:, None] * out + tl.dot(p, _tile(V_ + head * S * WV, j, S, WV, WIDTH_V), input_precision="ieee")
        top = new
    seen = total > 0
    out = tl.where(seen[:, None], out / tl.where(seen, total, 1.0)[:, None], 0.0)
    d = tl.arange(0, WIDTH_V)
    tl.store(OUT + head * Q * WV + i[:, None] * WV + d[None, :], out, mask=(i[:, None] < Q) & (d[None, :] < WV))
    tl.store(LSE + head * Q + i, top + tl.log(tl.where(seen, total, 1.0)), mask=i < Q)


@jit
def _dq_kernel(
    Q_, K_, V_, M, DOUT, LSE, DELTA, DQ, H, Q, S, W, WV, m_b, m_h, m_i, m_j, scale,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    head, i = tl.program_id(1), tl.program_id(0) * TILE + tl.arange(0, TILE)
    M += (head // H) * m_b + (head % H) * m_h
    q, dout = _tile(Q_ + head * Q * W, i, Q, W, WIDTH), _tile(DOUT + head * Q * WV, i, Q, WV, WIDTH_V)
    lse = tl.load(LSE + head * Q + i, mask=i < Q, other=0.0)
    delta = tl.load(DELTA + head * Q + i, mask=i < Q, other=0.0)
    dq = tl.zeros([TILE, WIDTH], tl.float32)
    for at in range(0, S, TILE):
        j = at + tl.arange(0, TILE)
        k, s = _scores(q, K_ + head * S * W, M, i, j, Q, S, W, m_i, m_j, scale, CAUSAL, MASKED, WIDTH)
        v = _tile(V_ + head * S * WV, j, S, WV, WIDTH_V)
        ds = tl.exp(s - lse[:, None]) * (tl.dot(dout, tl.trans(v), input_precision="ieee") - delta[:, None]) * scale
        dq += tl.dot(ds, k, input_precision="ieee")
    d = tl.arange(0, WIDTH)
    tl.store(DQ + head * Q * W + i[:, None] * W + d[None, :], dq, mask=(i[:, None] < Q) & (d[None, :] < W))


@jit
def _dkv_kernel(
    Q_, K_, V_, M, DOUT, LSE, DELTA, DK, DV, H, Q, S, W, WV, m_b, m_h, m_i, m_j, scale,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr, WIDTH_V: tl.constexpr,
):  # fmt: skip
    head, j = tl.program_id(1), tl.program_id(0) * TILE + tl.arange(0, TILE)
    M += (head // H) * m_b + (head % H) * m_h
    v = _tile(V_ + head * S * WV, j, S, WV, WIDTH_V)
    dk, dv = tl.zeros([TILE, WIDTH], tl.float32), tl.zeros([TILE, WIDTH_V], tl.float32)
    for at in range(0, Q, TILE):
        i = at + tl.arange(0, TILE)
        q, dout = _tile(Q_ + head * Q * W, i, Q, W, WIDTH), _tile(DOUT + head * Q * WV, i, Q, WV, WIDTH_V)
        lse = tl.load(LSE + head * Q + i, mask=i < Q, other=0.0)
        delta = tl.load(DELTA + head * Q + i, mask=i < Q, other=0.0)
        _, s = _scores(q, K_ + head * S * W, M, i, j, Q, S, W, m_i, m_j, scale, CAUSAL, MASKED, WIDTH)
        p = tl.exp(s - lse[:, None])
        dv += tl.dot(tl.trans(p), dout, input_precision="ieee")
        ds = p * (tl.dot(dout, tl.trans(v), input_precision="ieee") - delta[:, None]) * scale
        dk += tl.dot(tl.trans(ds), q, input_precision="ieee")
    d, dv_ = tl.arange(0, WIDTH), tl.arange(0, WIDTH_V)
    tl.store(DK + head * S * W + j[:, None] * W + d[None, :], dk, mask=(j[:, None] < S) & (d[None, :] < W))
    tl.store(DV + head * S * WV + j[:, None] * WV + dv_[None, :], dv, mask=(j[:, None] < S) & (dv_[None, :] < WV))


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, mask, causal):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        B, H, Q, W = q.shape
        S, WV = v.shape[-2:]
        seen = q if mask is None else mask.to(torch.int8).expand(B, H, Q, S)
        strides = seen.stride() if mask is not None else (0, 0, 0, 0)
        ctx.call = (H, Q, S, W, WV, *strides, W**-0.5)
        widths = {"WIDTH": max(16, next_power_of_2(W)), "WIDTH_V": max(16, next_power_of_2(WV))}
        ctx.flags = {"CAUSAL": causal, "MASKED": mask is not None, "TILE": BLOCK, **widths}
        out, lse = q.new_empty(B, H, Q, WV), q.new_empty(B, H, Q, dtype=torch.float32)
        _forward_kernel[(-(-Q // BLOCK), B * H)](q, k, v, seen, out, lse, *ctx.call, **ctx.flags)
        ctx.save_for_backward(q, k, v, seen, out, lse)
        return out

    @staticmethod
    def backward(ctx, dout):
        q, k, v, seen, out, lse = ctx.saved_tensors
        (B, H, Q, _), S, dout = q.shape, k.shape[-2], dout.contiguous()
        delta = (dout.float() * out.float()).sum(-1).contiguous()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        _dq_kernel[(-(-Q // BLOCK), B * H)](q, k, v, seen, dout, lse, delta, dq, *ctx.call, **ctx.flags)
        _dkv_kernel[(-(-S // BLOCK), B * H)](q, k, v, seen, dout, lse, delta, dk, dv, *ctx.call, **ctx.flags)
        return dq, dk, dv, None, None

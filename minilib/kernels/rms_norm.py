"""RMSNorm with the residual added first, in one pass.

    s = x + r                       the residual stream
    y = s · g / √(mean(s²) + ε)     what the next layer reads            (Zhang and Sennrich 2019, eq. 4)

Shapes: x, r, s, y (…, D); g (D,). Cost: about 6·n·D FLOPs for n rows, far too few to matter: the kernel is bound by memory. Written out,
it moves x, r → s, s → squares → mean, s → y: about 8·n·D elements. One pass moves x, r, s, y: 4·n·D. That factor is all there is to win.

Backward, with u = s/√(mean(s²) + ε) and h = dy · g:

    ds = (h − u · mean(h · u)) / √(mean(s²) + ε)  +  the gradient that arrives at s itself
    dx = dr = ds,   dg = Σ_rows dy · u

The row's 1/√(…) is kept from the forward pass; u is recomputed. The official Triton tutorial does the same for LayerNorm; it sums dg
with locks, here every program writes a partial sum and PyTorch adds them, which gives the same bits every time.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from minilib.kernels.backend import choose, float_type, jit, need, next_power_of_2, tl

Pair = tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]


def rms_norm_residual(
    x: Float[Tensor, "*n d"],
    g: Float[Tensor, "d"],
    residual: Float[Tensor, "*n d"] | None = None,
    *,
    eps: float = 1e-6,
    backend: str = "auto",
) -> Pair:
    """``(y, s)`` with s = x + residual and y = RMSNorm(s) · g; without a residual s is x.

    Raises:
        ValueError: shapes or types that do not fit, an unknown backend.
    """
    need("g", g, (x.shape[-1],))
    if residual is not None:
        need("residual", residual, tuple(x.shape))
    match choose(backend, x):
        case "reference":
            return rms_norm_reference(x, g, residual, eps)
        case "triton":
            return _Triton.apply(x, g, residual, eps)
        case _:
            return _Fast.apply(x, g, residual, eps)


# ------------------------------------------------------------------------------------------------------------------ the definition


def rms_norm_reference(x: Tensor, g: Tensor, residual: Tensor | None, eps: float) -> Pair:
    """Written out; autograd finds the backward pass."""
    s = x if residual is None else x + residual
    wide = s.to(float_type(s))
    return (wide * (wide.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * g).to(x.dtype), s


# ------------------------------------------------------------------------------------------------- the same with a backward by hand


class _Fast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, g, residual, eps):
        s = x.clone() if residual is None else x + residual
        wide = s.to(float_type(s))
        r = (wide.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(s, g, r)
        ctx.has_residual = residual is not None
        return (wide * r * g).to(x.dtype), s

    @staticmethod
    def backward(ctx, dy, ds):
        s, g, r = ctx.saved_tensors
        u, dy_wide = s.to(r.dtype) * r, dy.to(r.dtype)
        h = dy_wide * g
        total = (r * (h - u * (h * u).mean(-1, keepdim=True))).to(s.dtype) + ds
        dg = (dy_wide * u).flatten(0, -2).sum(0).to(g.dtype) if dy.ndim > 1 else (dy_wide * u).to(g.dtype)
        return total, dg, total if ctx.has_residual else None, None


# ------------------------------------------------------------------------------------------------------------------------- Triton
# One program a row: the row is read once, stays in registers, and is written twice (s and y).


@jit
def _forward_kernel(X, R, G, S, Y, RSTD, D, eps, HAS_RESIDUAL: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    inside = column < D
    s = tl.load(X + row * D + column, mask=inside, other=0.0).to(tl.float32)
    if HAS_RESIDUAL:
        s += tl.load(R + row * D + column, mask=inside, other=0.0).to(tl.float32)
    rstd = 1.0 / tl.sqrt(tl.sum(s * s, axis=0) / D + eps)
    g = tl.load(G + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(S + row * D + column, s, mask=inside)
    tl.store(Y + row * D + column, s * rstd * g, mask=inside)
    tl.store(RSTD + row, rstd)


@jit
def _backward_kernel(S, G, RSTD, DY, DS, DX, DG, rows, D, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    program, column = tl.program_id(0), tl.arange(0, BLOCK)[None, :]
    row = program * ROWS + tl.arange(0, ROWS)[:, None]  # a few rows a program, so that there are few partial sums of dg
    valid = (row < rows) & (column < D)
    g = tl.load(G + column, mask=column < D, other=0.0).to(tl.float32)
    rstd = tl.load(RSTD + row, mask=row < rows, other=0.0)
    u = tl.load(S + row * D + column, mask=valid, other=0.0).to(tl.float32) * rstd
    dy = tl.load(DY + row * D + column, mask=valid, other=0.0).to(tl.float32)
    h = dy * g
    ds = rstd * (h - u * (tl.sum(h * u, axis=1) / D)[:, None]) + tl.load(DS + row * D + column, mask=valid, other=0.0).to(tl.float32)
    tl.store(DX + row * D + column, ds, mask=valid)
    dg = tl.sum(dy * u, axis=0)
    tl.store(DG + program * D + tl.arange(0, BLOCK), dg, mask=tl.arange(0, BLOCK) < D)


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, g, residual, eps):
        D, rows = x.shape[-1], x.numel() // x.shape[-1]
        x = x.contiguous()
        r = x if residual is None else residual.contiguous()
        s, y, rstd = torch.empty_like(x), torch.empty_like(x), x.new_empty(rows, dtype=torch.float32)
        _forward_kernel[(rows,)](x, r, g, s, y, rstd, D, eps, HAS_RESIDUAL=residual is not None, BLOCK=next_power_of_2(D))
        ctx.save_for_backward(s, g, rstd)
        ctx.has_residual = residual is not None
        return y, s

    @staticmethod
    def backward(ctx, dy, ds):
        s, g, rstd = ctx.saved_tensors
        D, rows, chunk = s.shape[-1], rstd.numel(), 8
        programs = -(-rows // chunk)
        dx, dg = torch.empty_like(s), s.new_empty(programs, D, dtype=torch.float32)
        _backward_kernel[(programs,)](
            s, g, rstd, dy.contiguous(), ds.contiguous(), dx, dg, rows, D, ROWS=chunk, BLOCK=next_power_of_2(D)
        )  # fmt: skip
        return dx, dg.sum(0).to(g.dtype), dx if ctx.has_residual else None, None

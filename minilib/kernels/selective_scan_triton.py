"""The selective scan as one Triton kernel a direction; the story, the letters and the reference are in ``selective_scan.py``.

A program owns one sequence and a tile of channels. It keeps A and the state h (channels × states) in registers, reads u, Δ, B, C step by
step and writes y: about 3BLD + 2BLN numbers move, instead of the 3BLDN of Ā, B̄u and h that the PyTorch forms write. Going back, it
starts each span from the saved state, writes the span's states to a small scratch space, and walks through them from the right.

It departs from the official CUDA kernel in that time is a plain loop (theirs scans a block of time in parallel), and in that the sums over
channels (dB, dC) and over the batch (dA) are partial results that PyTorch adds, which gives the same bits every time.
"""

import torch
from torch import Tensor

from minilib.kernels.backend import jit, next_power_of_2, tl

SPAN = 16  # steps between two saved states
CHANNELS = 32  # of a tile


@jit
def _coefficients(a, dt, u, b, ZOH: tl.constexpr):
    """Ā, the factor w of B̄ = wB, and the input B̄u of one step, each (channels, states)."""
    z = dt[:, None] * a
    decay = tl.exp(z)
    if ZOH:  # expm1(z)/A, by its series where exp(z) − 1 would lose digits
        series = z * (1.0 + z * (0.5 + z * (1.0 / 6.0)))
        w = tl.where(tl.abs(z) < 1e-2, series, decay - 1.0) / tl.where(a == 0.0, 1.0, a)
    else:
        w = dt[:, None] + 0.0 * a
    return decay, w, w * u[:, None] * b[None, :]


@jit
def _forward_kernel(
    U, DT, A, B, C, H0, Y, STARTS, HL, L, D, N, SPAN: tl.constexpr, ZOH: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr
):  # fmt: skip
    batch, d, n = tl.program_id(0), tl.program_id(1) * BD + tl.arange(0, BD), tl.arange(0, BN)
    tile, inside = d[:, None] * N + n[None, :], (d[:, None] < D) & (n[None, :] < N)
    a = tl.load(A + tile, mask=inside, other=0.0)
    h = tl.load(H0 + batch * D * N + tile, mask=inside, other=0.0)
    for t in range(0, L):
        if t % SPAN == 0:
            tl.store(STARTS + ((t // SPAN) * tl.num_programs(0) + batch) * D * N + tile, h, mask=inside)
        row, state = (batch * L + t) * D + d, (batch * L + t) * N + n
        u, dt = tl.load(U + row, mask=d < D, other=0.0), tl.load(DT + row, mask=d < D, other=0.0)
        b, c = tl.load(B + state, mask=n < N, other=0.0), tl.load(C + state, mask=n < N, other=0.0)
        decay, w, x = _coefficients(a, dt, u, b, ZOH)
        h = decay * h + x
        tl.store(Y + row, tl.sum(h * c[None, :], axis=1), mask=d < D)
    tl.store(HL + batch * D * N + tile, h, mask=inside)


@jit
def _backward_kernel(
    U, DT, A, B, C, DY, DHL, STARTS, SCRATCH, DU, DDT, DA, DB, DC, DH0, L, D, N,
    SPAN: tl.constexpr, SPANS: tl.constexpr, ZOH: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    batch, piece, batches = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    d, n = piece * BD + tl.arange(0, BD), tl.arange(0, BN)
    tile, inside = d[:, None] * N + n[None, :], (d[:, None] < D) & (n[None, :] < N)
    mine = (tl.arange(0, BD)[:, None] * BN + n[None, :]) + (batch * tl.num_programs(1) + piece) * SPAN * BD * BN
    a = tl.load(A + tile, mask=inside, other=0.0)
    p = tl.load(DHL + batch * D * N + tile, mask=inside, other=0.0)
    da = tl.zeros([BD, BN], tl.float32)
    for back in range(0, SPANS):
        first = (SPANS - 1 - back) * SPAN
        h = tl.load(STARTS + ((SPANS - 1 - back) * batches + batch) * D * N + tile, mask=inside, other=0.0)
        for i in range(0, SPAN):  # the state before each step of the span
            row, state = (batch * L + first + i) * D + d, (batch * L + first + i) * N + n
            here_d, here_n = (d < D) & (row < (batch + 1) * L * D), (n < N) & (state < (batch + 1) * L * N)  # the last span may be short
            tl.store(SCRATCH + mine + i * BD * BN, h)
            u, dt = tl.load(U + row, mask=here_d, other=0.0), tl.load(DT + row, mask=here_d, other=0.0)
            b = tl.load(B + state, mask=here_n, other=0.0)
            decay, w, x = _coefficients(a, dt, u, b, ZOH)
            h = decay * h + x
        tl.debug_barrier()  # what some threads stored others will read
        for j in range(0, SPAN):
            i = SPAN - 1 - j
            row, state = (batch * L + first + i) * D + d, (batch * L + first + i) * N + n
            here_d, here_n = (d < D) & (row < (batch + 1) * L * D), (n < N) & (state < (batch + 1) * L * N)
            u, dt = tl.load(U + row, mask=here_d, other=0.0), tl.load(DT + row, mask=here_d, other=0.0)
            b, c = tl.load(B + state, mask=here_n, other=0.0), tl.load(C + state, mask=here_n, other=0.0)
            dy = tl.load(DY + row, mask=here_d, other=0.0)
            decay, w, x = _coefficients(a, dt, u, b, ZOH)  # beyond the end Δ = 0, so decay = 1 and p passes unchanged
            before = tl.load(SCRATCH + mine + i * BD * BN)
            g = c[None, :] * dy[:, None] + p
            p = decay * g
            dz = p * before
            dw = g * b[None, :] * u[:, None]
            if ZOH:
                ddt, safe = tl.sum(dz * a + dw * decay, axis=1), tl.where(a == 0.0, 1.0, a)
                da += (dz + dw * decay / safe) * dt[:, None] - dw * w / safe
            else:
                ddt = tl.sum(dz * a + dw, axis=1)
                da += dz * dt[:, None]
            tl.store(DDT + row, ddt, mask=here_d)
            tl.store(DU + row, tl.sum(g * w * b[None, :], axis=1), mask=here_d)
            part = (piece * batches * L * N) + state
            tl.store(DB + part, tl.sum(tl.where(inside, g * w * u[:, None], 0.0), axis=0), mask=here_n)
            tl.store(DC + part, tl.sum(tl.where(inside, (decay * before + x) * dy[:, None], 0.0), axis=0), mask=here_n)
        tl.debug_barrier()
    tl.store(DA + batch * D * N + tile, da, mask=inside)
    tl.store(DH0 + batch * D * N + tile, p, mask=inside)


class TritonScan(torch.autograd.Function):
    """u, delta (B, L, D), A (D, N), B, C (B, L, N), h0 (B, D, N), all float32; gives y without the skip, and h_L (B, D, N)."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C, h0, zoh: bool):
        u, delta, A, B, C, h0 = (x.contiguous() for x in (u, delta, A, B, C, h0))
        (b, l, d), n = u.shape, A.shape[1]
        spans, pieces = -(-l // SPAN), -(-d // CHANNELS)
        y, h = torch.empty_like(u), torch.empty_like(h0)
        starts = u.new_empty(spans, b, d, n)
        ctx.sizes = {"SPAN": SPAN, "ZOH": zoh, "BD": CHANNELS, "BN": next_power_of_2(n)}
        _forward_kernel[(b, pieces)](u, delta, A, B, C, h0, y, starts, h, l, d, n, **ctx.sizes)
        ctx.save_for_backward(u, delta, A, B, C, starts)
        return y, h

    @staticmethod
    def backward(ctx, dy: Tensor, dh: Tensor):
        u, delta, A, B, C, starts = ctx.saved_tensors
        (b, l, d), n = u.shape, A.shape[1]
        spans, pieces = len(starts), -(-d // CHANNELS)
        du, ddelta, dA, dh0 = torch.empty_like(u), torch.empty_like(u), u.new_empty(b, d, n), u.new_empty(b, d, n)
        dB, dC = u.new_empty(pieces, b, l, n), u.new_empty(pieces, b, l, n)
        scratch = u.new_empty(b * pieces * SPAN * CHANNELS * ctx.sizes["BN"])
        _backward_kernel[(b, pieces)](
            u, delta, A, B, C, dy.contiguous(), dh.contiguous(), starts, scratch, du, ddelta, dA, dB, dC, dh0, l, d, n,
            SPANS=spans, **ctx.sizes,
        )  # fmt: skip
        return du, ddelta, dA.sum(0), dB.sum(0), dC.sum(0), dh0, None

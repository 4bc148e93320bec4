"""The order-2 Monarch product, and convolution by FFT, which is a special case of it.

    M = P L P R P,        N = b²,   L, R block-diagonal with b blocks of size b × b,   P: read as a b × b matrix, transpose, flatten
    M[i, j] = L[i0, i1, j0] · R[j0, i0, j1]        with i = i1·b + i0 and j = j1·b + j0           (Dao et al. 2022; Fu et al. 2023, §3.1)

Shapes: x (…, N), L and R (b, b, b). Parameters and multiply-adds a vector: 2·N^{3/2} instead of N²; for N = 4096 that is 32 times fewer.
Both factors are batched products of small dense matrices, what hardware is good at, and between them lies one transposition.
The official code calls the factor that acts first ``L``; here R acts first, as in the formula.
"""

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl


def monarch(
    x: Inexact[Tensor, "*n d"], L: Inexact[Tensor, "b b b"], R: Inexact[Tensor, "b b b"], *, backend: str = "auto"
) -> Inexact[Tensor, "*n d"]:
    """``M x`` for every vector of ``x``.

    Raises:
        ValueError: the width is not b², or L and R are not (b, b, b).
    """
    b = L.shape[0]
    need("L", L, (b, b, b), floating=not L.is_complex())
    need("R", R, (b, b, b), floating=not R.is_complex())
    if x.shape[-1] != b * b:
        raise ValueError(f"x has width {x.shape[-1]}; with blocks of size b = {b} it must be b² = {b * b}")
    match choose(backend, x):
        case "reference":
            return x @ monarch_dense(L, R).T
        case "triton":
            return _Triton.apply(x, L, R)
        case _:
            return monarch_fast(x, L, R)


def monarch_dense(L: Inexact[Tensor, "b b b"], R: Inexact[Tensor, "b b b"]) -> Inexact[Tensor, "n n"]:
    """The matrix itself, entry by entry: the definition."""
    b = len(L)
    return torch.einsum("pik,kpj->ipjk", L, R).reshape(b * b, b * b)  # p = i0, i = i1, k = j0, j = j1


def monarch_fast(x: Tensor, L: Tensor, R: Tensor) -> Tensor:
    """Two batched products. The batch of vectors is the inner dimension of both, so each block meets all vectors in one product."""
    b, lead = len(L), x.shape[:-1]
    rows = x.reshape(-1, b, b)  # (n, j1, j0)
    z = torch.bmm(rows.permute(2, 0, 1), R.transpose(1, 2))  # (j0, n, i0): block R_{j0} on the vector over j1
    y = torch.bmm(z.permute(2, 1, 0), L.transpose(1, 2))  # (i0, n, i1): block L_{i0} on the vector over j0
    return y.permute(1, 2, 0).reshape(*lead, b * b)


def causal_convolution(u: Float[Tensor, "*n l"], h: Float[Tensor, "*m k"], *, backend: str = "auto") -> Float[Tensor, "*n l"]:
    """``y_t = Σ_{s≤t} h_{t−s} u_s`` along the last axis; leading axes broadcast, and a filter longer than u is cut.

    The reference multiplies by the Toeplitz matrix, L² multiply-adds; the fast form pads to 2L (so that nothing wraps around) and uses
    the FFT, about 15·L·log₂(2L) operations.
    """
    length = u.shape[-1]
    if length == 0 or h.shape[-1] == 0:
        raise ValueError(f"u and h must not be empty, their lengths are {length} and {h.shape[-1]}")
    h = h[..., :length]
    if choose(backend, u) == "reference":
        lag = torch.arange(length, device=u.device)[:, None] - torch.arange(length, device=u.device)
        inside = (lag >= 0) & (lag < h.shape[-1])
        toeplitz = torch.where(inside, h[..., lag.clamp(0, h.shape[-1] - 1)], 0)
        return (toeplitz @ u[..., None])[..., 0]
    spectrum = torch.fft.rfft(u, 2 * length) * torch.fft.rfft(h, 2 * length)
    return torch.fft.irfft(spectrum, 2 * length)[..., :length]


# ------------------------------------------------------------------------------------------------------------------------- Triton
# One kernel serves both factors, forward and backward: program (p, rows) multiplies a tile of vectors by block p and stores the result
# transposed, out[n, q, p] = Σ_k W[p, q, k] in[n, k, p]. Applied with R and then with L it is the Monarch product.


@jit
def _factor_kernel(X, W, Y, n, b, ROWS: tl.constexpr, B: tl.constexpr):
    p, row = tl.program_id(0), tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    k, q = tl.arange(0, B), tl.arange(0, B)
    x = tl.load(X + row[:, None] * b * b + k[None, :] * b + p, mask=(row[:, None] < n) & (k[None, :] < b), other=0.0).to(tl.float32)
    w = tl.load(W + p * b * b + q[:, None] * b + k[None, :], mask=(q[:, None] < b) & (k[None, :] < b), other=0.0).to(tl.float32)
    y = tl.dot(x, tl.trans(w), input_precision="ieee")
    tl.store(Y + row[:, None] * b * b + p * b + q[None, :], y, mask=(row[:, None] < n) & (q[None, :] < b))


def _factor(x: Tensor, W: Tensor) -> Tensor:
    """(n, k, p) → (n, p, q): block W_p on the vectors over k."""
    n, b = x.shape[0], len(W)
    y = torch.empty_like(x)
    _factor_kernel[(b, -(-n // 16))](x.contiguous(), W.contiguous(), y, n, b, ROWS=16, B=max(16, next_power_of_2(b)))
    return y


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, L, R):
        b = len(L)
        rows = x.reshape(-1, b, b).contiguous()  # (n, j1, j0)
        z = _factor(rows, R)  # (n, j0, i0)
        y = _factor(z, L)  # (n, i0, i1)
        ctx.save_for_backward(rows, z, L, R)
        ctx.shape = x.shape
        return y.transpose(1, 2).reshape(x.shape)

    @staticmethod
    def backward(ctx, dy):
        rows, z, L, R = ctx.saved_tensors
        b = len(L)
        dy = dy.reshape(-1, b, b).contiguous()  # (n, i1, i0)
        dz = _factor(dy, L.transpose(1, 2)).transpose(1, 2).contiguous()  # (n, i0, j0) → (n, j0, i0)
        dL = torch.einsum("nip,nkp->pik", dy, z)
        dx = _factor(dz.transpose(1, 2).contiguous(), R.transpose(1, 2)).transpose(1, 2)  # (n, j0, j1) → (n, j1, j0)
        dR = torch.einsum("nkp,njk->kpj", dz, rows)
        return dx.reshape(ctx.shape), dL, dR

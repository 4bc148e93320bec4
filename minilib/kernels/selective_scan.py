"""The selective scan (S6): a diagonal linear recurrence whose coefficients are computed from the current token.

    h_t = exp(Δ_t A) ⊙ h_{t−1} + B̄_t u_t          y_t = Σ_n C_t[n] h_t[·, n] + D ⊙ u_t                (Gu and Dao 2023, §3.2, Alg. 2)

``B`` batch, ``L`` length, ``D`` channels, ``N`` states a channel. Two letters name two things each, as in the paper: ``B`` and ``D`` are
also the input matrix and the skip vector. Reference and fast forms, equal to rounding, forward and backward:

``sequential``    the definition: L steps
``associative``   ⌈log₂ L⌉ passes over the whole sequence (Hillis and Steele 1986): O(L log L) work
``chunked``       all chunks at once, then a carry from chunk to chunk: K + L/K steps
``triton``        one fused kernel (``selective_scan_triton.py``), float32, on a GPU or in Triton's interpreter

Inside, time comes first and channels last, (L, B, N, D): each step reads one contiguous block. Cost: about 6·B·L·D·N FLOPs, once more
in the backward pass, which computes the states anew. The sequential form holds the coefficients and states of ``SPAN`` steps at a time,
the parallel ones those of the whole sequence, 3·B·L·D·N numbers; the fused kernel keeps them in registers.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from minilib.kernels.backend import choose
from minilib.kernels.selective_scan_triton import TritonScan

__all__ = ["DISCRETIZE", "METHODS", "selective_scan", "selective_scan_step"]

METHODS, DISCRETIZE = ("sequential", "associative", "chunked", "triton"), ("euler", "zoh")
SPAN = 32  # steps whose states are at hand together in the sequential form

# ------------------------------------------------------------------------------------- h_t = a_t h_{t−1} + x_t, t along the first axis


def _sequential(a: Tensor, x: Tensor, h: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for t in range(len(a)):
        h = torch.addcmul(x[t], a[t], h, out=out[t])
    return out


def _associative(a: Tensor, x: Tensor, h: Tensor) -> Tensor:
    """Prefixes of (a₁, x₁) ∘ (a₂, x₂) = (a₁a₂, a₂x₁ + x₂), the earlier element on the left; each pass doubles their length."""
    x, reach = torch.cat([x[:1] + a[:1] * h, x[1:]]), 1
    while reach < len(a):
        x = torch.cat([x[:reach], x[reach:] + a[reach:] * x[:-reach]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return x


def _chunked(a: Tensor, x: Tensor, h: Tensor, size: int) -> Tensor:
    """Products of a are ≤ 1 and underflow harmlessly; the tempting exp(+cumsum) would overflow."""
    L, pad = len(a), -len(a) % size
    a = torch.cat([a, a.new_zeros(pad, *a.shape[1:])]).unflatten(0, (-1, size))
    x = torch.cat([x, x.new_zeros(pad, *x.shape[1:])]).unflatten(0, (-1, size))
    for k in range(1, size):  # every chunk from a zero state; a becomes the product since the chunk's start
        x[:, k].addcmul_(a[:, k], x[:, k - 1])
        a[:, k].mul_(a[:, k - 1])
    for c in range(len(x)):
        x[c].addcmul_(a[c], h)
        h = x[c, -1]
    return x.flatten(0, 1)[:L]


class Scan(NamedTuple):
    """One form of the recurrence, in both directions: ``forward(a, x, h)`` gives all h_t; ``backward(a, x, p)`` all g_t and p_t."""

    forward: Callable[[Tensor, Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _from_the_right(forward: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable:
    """g_t = x_t + p_{t+1}, p_t = a_t g_t by the forward form: g_t = x_t + a_{t+1} g_{t+1} on the reversed sequence."""

    def backward(a: Tensor, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        after = torch.cat([torch.ones_like(a[:1]), a[1:].flip(0)])  # the first factor meets p, in which a is already
        g = forward(after, x.flip(0), p).flip(0)
        return g, a * g

    return backward


def _sequential_back(a: Tensor, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    ps = torch.empty_like(a)
    for t in range(len(a) - 1, -1, -1):
        x[t] += p
        p = torch.mul(a[t], x[t], out=ps[t])
    return x, ps


def _form(method: str, chunk: int) -> Scan:
    if method == "sequential":
        return Scan(_sequential, _sequential_back)
    forward = _associative if method == "associative" else lambda a, x, h: _chunked(a, x, h, min(chunk, len(a)))
    return Scan(forward, _from_the_right(forward))


# ------------------------------------------------------------------------------------------------------------ forward and backward


def _step(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, zoh: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Ā and B̄u, (L, B, N, D), and the w of ``_discretise``."""
    a, w = _discretise(delta, A, zoh)
    return a, (w * u.unsqueeze(-2)) * B.unsqueeze(-1), w


def _discretise(delta: Tensor, A: Tensor, zoh: bool) -> tuple[Tensor, Tensor]:
    """Ā = exp(ΔA) and w with B̄ = wB: w = Δ (Euler) or expm1(ΔA)/A (zero-order hold, for which expm1 keeps small ΔA exact)."""
    z = delta.unsqueeze(-2) * A
    return z.exp(), torch.expm1(z) / A if zoh else delta.unsqueeze(-2)


class _SelectiveScan(torch.autograd.Function):
    """Arguments time-first: u, delta (L, B, D), A (N, D), B, C (L, B, N), D (D,), h0 (B, N, D); gives y (L, B, D) and h_L.

    The sequence is read in spans: their coefficients and states fit into the processor's cache, and only the state before each span is
    kept. Going back, a span's states are computed once more (the paper's recomputation, §3.3.2), then its gradients: with g_t the gradient
    of h_t, g_t = C_t dy_t + p_{t+1} and p_t = a_t g_t, the same recurrence from right to left; all else is a product of g or p with
    something known.
    """

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, h0, scan: Scan, span: int, zoh: bool):
        y, h, starts = torch.empty_like(u), h0, []
        for at in range(0, len(u), span):
            now = slice(at, at + span)
            starts.append(h)
            states = scan.forward(*_step(u[now], delta[now], A, B[now], zoh)[:2], h)
            y[now] = torch.addcmul((C[now].unsqueeze(-2) @ states).squeeze(-2), D, u[now])
            h = states[-1].clone()
        ctx.save_for_backward(u, delta, A, B, C, D, *starts)
        ctx.scan, ctx.span, ctx.zoh = scan, span, zoh
        return y, h

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor, p: Tensor):
        u, delta, A, B, C, D, *starts = ctx.saved_tensors
        du, d_delta, dA, dB, dC = (torch.empty_like(v) for v in (u, delta, A, B, C))
        dA.zero_()
        for number in range(len(starts) - 1, -1, -1):
            now = slice(number * ctx.span, (number + 1) * ctx.span)
            uu, dt, BB, ddy = u[now], delta[now], B[now], dy[now]
            a, x, w = _step(uu, dt, A, BB, ctx.zoh)
            h = ctx.scan.forward(a, x, starts[number])
            dC[now] = (h @ ddy.unsqueeze(-1)).squeeze(-1)
            g, ps = ctx.scan.backward(a, C[now].unsqueeze(-1) * ddy.unsqueeze(-2), p)
            p = ps[0].clone()
            dz = ps  # p_t h_{t−1}: the gradient of Δ_t A, as far as it comes through Ā
            dz[1:] *= h[:-1]
            dz[0] *= starts[number]
            if ctx.zoh:  # w = expm1(ΔA)/A, so ∂w/∂Δ = Ā and ∂w/∂A = (ΔĀ − w)/A
                dw = g * BB.unsqueeze(-1) * uu.unsqueeze(-2)
                d_delta[now] = (dz * A + dw * a).sum(-2)
                dA += ((dz + dw * a / A) * dt.unsqueeze(-2) - dw * w / A).sum((0, 1))
                du[now], dB[now] = (g * w * BB.unsqueeze(-1)).sum(-2), (g * w * uu.unsqueeze(-2)).sum(-1)
            else:
                gB = (BB.unsqueeze(-2) @ g).squeeze(-2)
                d_delta[now] = torch.addcmul((dz * A).sum(-2), gB, uu)
                dA += (dz * dt.unsqueeze(-2)).sum((0, 1))
                du[now], dB[now] = dt * gB, (g @ (dt * uu).unsqueeze(-1)).squeeze(-1)
        return torch.addcmul(du, D, dy), d_delta, dA, dB, dC, (u * dy).sum((0, 1)), p, None, None, None


# --------------------------------------------------------------------------------------------------------------- what lessons call


def selective_scan(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "b l d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "b l n"],
    C: Float[Tensor, "b l n"],
    D: Float[Tensor, "d"] | None = None,
    h0: Float[Tensor, "b d n"] | None = None,
    *,
    method: str = "sequential",
    chunk: int = 16,
    discretize: str = "euler",
    return_state: bool = False,
) -> Float[Tensor, "b l d"] | tuple[Float[Tensor, "b l d"], Float[Tensor, "b d n"]]:
    """The selective scan of a whole sequence.

    Args:
        u: the input. The result has its dtype; inside, everything is float32 or above, and so is the state.
        delta: step sizes, already positive (the caller applies softplus).
        A: negative, already −exp(A_log).
        B, C: input and output matrices, one a token, shared by all channels.
        D: skip weight a channel; None leaves the skip out.
        h0: the state before the first token; None is zero.
        method: ``sequential``, ``associative``, ``chunked`` (in pieces of ``chunk`` steps) or ``triton``.
        discretize: ``euler`` (B̄ = ΔB, as the official code) or ``zoh`` (B̄ = (exp(ΔA) − 1)/A · B, as the paper's eq. 4).
        return_state: give h_L too, to continue from.

    Raises:
        ValueError: a shape that does not fit, an unknown ``method`` or ``discretize``, a chunk below 1.
    """
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"u must have shape (B, L, D), none of them zero, got {tuple(u.shape)}")
    (b, l, d), n = u.shape, A.shape[-1]
    _fits(delta=(delta, (b, l, d)), A=(A, (d, n)), B=(B, (b, l, n)), C=(C, (b, l, n)), D=(D, (d,)), h0=(h0, (b, d, n)))
    _one_of("method", method, METHODS)
    _one_of("discretize", discretize, DISCRETIZE)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    kind = torch.promote_types(u.dtype, torch.float32)
    D = u.new_zeros(d, dtype=kind) if D is None else D.to(kind)
    h0 = u.new_zeros(b, d, n, dtype=kind) if h0 is None else h0.to(kind)
    if method == "triton":
        choose("triton", u)
        y, h = TritonScan.apply(*(v.float() for v in (u, delta, A, B, C, h0)), discretize == "zoh")
        y = torch.addcmul(y, D, u.float()).to(u.dtype)
        return (y, h) if return_state else y
    by_time = [v.to(kind).transpose(0, 1).contiguous() for v in (u, delta, B, C)]
    y, h = _SelectiveScan.apply(
        *by_time[:2], A.to(kind).T.contiguous(), *by_time[2:], D, h0.transpose(1, 2).contiguous(),
        _form(method, chunk), SPAN if method == "sequential" else l, discretize == "zoh",
    )  # fmt: skip
    y = y.transpose(0, 1).to(u.dtype)
    return (y, h.transpose(1, 2)) if return_state else y


def selective_scan_step(
    u_t: Float[Tensor, "b d"],
    delta_t: Float[Tensor, "b d"],
    A: Float[Tensor, "d n"],
    B_t: Float[Tensor, "b n"],
    C_t: Float[Tensor, "b n"],
    D: Float[Tensor, "d"] | None,
    h: Float[Tensor, "b d n"],
    *,
    discretize: str = "euler",
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d n"]]:
    """One token: the output and the new state. Nothing is changed in place.

    Raises:
        ValueError: a shape that does not fit, or an unknown ``discretize``.
    """
    if u_t.ndim != 2:
        raise ValueError(f"u_t must have shape (B, D), got {tuple(u_t.shape)}")
    (b, d), n = u_t.shape, A.shape[-1]
    _fits(delta_t=(delta_t, (b, d)), A=(A, (d, n)), B_t=(B_t, (b, n)), C_t=(C_t, (b, n)), D=(D, (d,)), h=(h, (b, d, n)))
    _one_of("discretize", discretize, DISCRETIZE)
    kind = torch.promote_types(u_t.dtype, torch.float32)
    u, delta, A, B, C, h = (v.to(kind) for v in (u_t, delta_t, A, B_t, C_t, h))
    a, w = _discretise(delta, A.T, discretize == "zoh")
    h = a.transpose(1, 2) * h + (w * u.unsqueeze(-2)).transpose(1, 2) * B.unsqueeze(1)
    y = (h @ C.unsqueeze(-1)).squeeze(-1)
    return (y if D is None else y + D.to(kind) * u).to(u_t.dtype), h


def _fits(**arguments: tuple[Tensor | None, tuple[int, ...]]) -> None:
    for name, (got, want) in arguments.items():
        if got is not None and tuple(got.shape) != want:
            raise ValueError(f"{name} must have shape {want}, got {tuple(got.shape)}")


def _one_of(name: str, got: str, allowed: tuple[str, ...]) -> None:
    if got not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {got!r}")

"""The CTC loss: all alignments of a label sequence to the frames, summed in one pass (Graves et al. 2006).

The labels are spread out as z = (∅, y_1, ∅, y_2, …, ∅), S = 2U + 1 states. A path stays, moves on by one, or skips a blank between two
different labels:

    α_t(s) = logp_t(z_s) + log( e^{α_{t−1}(s)} + e^{α_{t−1}(s−1)} + [z_s ≠ ∅, z_s ≠ z_{s−2}] e^{α_{t−1}(s−2)} )
    log P(y) = log( e^{α_{T−1}(S−1)} + e^{α_{T−1}(S−2)} )

and β runs the same way from the end. The gradient needs no autograd: e^{α_t(s) + β_t(s) − log P} is the probability that the path is in
state s at frame t, and ∂(−log P)/∂logp_t(v) is minus its sum over the states with label v.

``B`` batch, ``T`` frames, ``U`` labels, ``V`` vocabulary with the blank. Cost: O(B·T·U), T vector steps forward and as many back, which
depend on each other: the Triton form gives each sequence to one program, whose threads share the states.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl

NEVER = float("-inf")


def ctc_loss(
    logp: Float[Tensor, "b t v"],
    y: Int[Tensor, "b u"],
    frames: Int[Tensor, "b"],
    labels: Int[Tensor, "b"],
    *,
    blank: int = 0,
    backend: str = "auto",
) -> Float[Tensor, "b"]:
    """−log P(y | logp) of every sequence; infinite where no alignment fits (too few frames).

    Args:
        logp: log-probabilities; frames beyond a sequence's own are not read.
        frames, labels: how many frames and labels each sequence has.

    Raises:
        ValueError: shapes or lengths that do not fit, a label equal to ``blank``.
    """
    need("logp", logp, (None, None, None))
    B, T, _ = logp.shape
    need("y", y, (B, None), floating=False)
    check_lengths("frames", frames, B, 1, T)
    check_lengths("labels", labels, B, 0, y.shape[1])
    real = torch.arange(y.shape[1], device=y.device) < labels[:, None]
    if bool((y[real] == blank).any()):
        raise ValueError(f"y holds the blank {blank} as a label")
    form = choose(backend, logp)
    if form == "reference":
        return torch.stack([_one(logp[i], y[i, : int(labels[i])].tolist(), int(frames[i]), blank) for i in range(B)])
    z = torch.full((B, 2 * y.shape[1] + 1), blank, dtype=torch.long, device=y.device)
    z[:, 1::2] = torch.where(real, y, blank)
    return _CTC.apply(logp, z, frames, labels, blank, form)


def check_lengths(name: str, lengths: Tensor, B: int, low: int, high: int) -> None:
    """One length a sequence, each between ``low`` and ``high``; raises ValueError otherwise."""
    need(name, lengths, (B,), floating=False)
    if bool((lengths < low).any()) or bool((lengths > high).any()):
        raise ValueError(f"{name} must lie between {low} and {high}, got {lengths.tolist()}")


def _one(logp: Tensor, y: list[int], T: int, blank: int) -> Tensor:
    """The definition, state by state, under autograd. Sums over empty sets are left out, since autograd has no slope for log 0."""
    z = [blank]
    for label in y:
        z += [label, blank]
    alpha: list[Tensor | None] = [logp[0, z[s]] if s < 2 else None for s in range(len(z))]
    for t in range(1, T):
        new: list[Tensor | None] = []
        for s in range(len(z)):
            skip = s >= 2 and z[s] != blank and z[s] != z[s - 2]
            came = [a for a in (alpha[s], alpha[s - 1] if s else None, alpha[s - 2] if skip else None) if a is not None]
            new.append(logp[t, z[s]] + torch.stack(came).logsumexp(0) if came else None)
        alpha = new
    ends = [a for a in alpha[-2:] if a is not None]
    return -torch.stack(ends).logsumexp(0) if ends else logp.new_tensor(float("inf"))


class _CTC(torch.autograd.Function):
    """Both fast forms: what they gather and scatter is the same, the recursions differ."""

    @staticmethod
    def forward(ctx, logp, z, frames, labels, blank, form):
        B, T, V = logp.shape
        S = z.shape[1]
        emit = logp.gather(2, z[:, None, :].expand(B, T, S))
        skip = torch.zeros(B, S, dtype=torch.bool, device=z.device)
        skip[:, 2:] = (z[:, 2:] != blank) & (z[:, 2:] != z[:, :-2])
        state = torch.arange(S, device=z.device)
        ends = (state == 2 * labels[:, None]) | (state == 2 * labels[:, None] - 1)
        alpha = (_alpha_triton if form == "triton" else _alpha)(emit, skip)
        last = alpha[torch.arange(B, device=z.device), frames - 1].masked_fill(~ends, NEVER)
        total = last.logsumexp(1)
        ctx.save_for_backward(emit, alpha, z, skip, ends, frames, total)
        ctx.V, ctx.form = V, form
        return -total

    @staticmethod
    def backward(ctx, dloss):
        emit, alpha, z, skip, ends, frames, total = ctx.saved_tensors
        B, T, S = emit.shape
        passing = (_passing_triton if ctx.form == "triton" else _passing)(emit, alpha, skip, ends, frames, total)
        grad = emit.new_zeros(B, T, ctx.V).scatter_add(2, z[:, None, :].expand(B, T, S), -passing * dloss[:, None, None])
        return grad, None, None, None, None, None


# ---------------------------------------------------------------------------------------------------------- all states in one step


def _alpha(emit: Tensor, skip: Tensor) -> Tensor:
    """log-probability of all that leads to each state, its own frame included: (B, T, S)."""
    alpha = torch.full_like(emit, NEVER)
    alpha[:, 0, :2] = emit[:, 0, :2]
    for t in range(1, emit.shape[1]):
        a = alpha[:, t - 1]
        alpha[:, t] = emit[:, t] + _sum(a, _right(a, 1), _right(a, 2).masked_fill(~skip, NEVER))
    return alpha


def _passing(emit: Tensor, alpha: Tensor, skip: Tensor, ends: Tensor, frames: Tensor, total: Tensor) -> Tensor:
    """Probability that the path is in each state at each frame, by β from the last frame: (B, T, S)."""
    B, T, S = emit.shape
    beta = emit.new_full((B, S), NEVER)  # log-probability of all that follows frame t
    passing = torch.zeros_like(emit)
    for t in range(T - 1, -1, -1):
        if t + 1 < T:
            b = beta + emit[:, t + 1]
            beta = _sum(b, _left(b, 1), _left(b.masked_fill(~skip, NEVER), 2))
        beta = torch.where((frames - 1 == t)[:, None], torch.where(ends, 0.0, NEVER).to(beta.dtype), beta)
        beta = torch.where((frames - 1 < t)[:, None], NEVER, beta)
        passing[:, t] = torch.where((total > NEVER)[:, None], (alpha[:, t] + beta - total[:, None]).exp(), 0.0)
    return passing.nan_to_num(0.0)


def _sum(*terms: Tensor) -> Tensor:
    return torch.stack(terms).logsumexp(0)


def _right(x: Tensor, by: int) -> Tensor:
    """Shift along the states; what comes in is log 0."""
    return torch.cat([x.new_full((len(x), min(by, x.shape[1])), NEVER), x[:, : max(0, x.shape[1] - by)]], dim=1)


def _left(x: Tensor, by: int) -> Tensor:
    return torch.cat([x[:, by:], x.new_full((len(x), min(by, x.shape[1])), NEVER)], dim=1)


# ------------------------------------------------------------------------------------------------------------------------- Triton
# One program a sequence. A state needs its neighbours' values of the frame before: they pass through memory, with a barrier between the
# threads' writing and reading.


@jit
def log_sum(a, b, c):
    """log(eᵃ + eᵇ + eᶜ), −∞ where all three are."""
    top = tl.maximum(tl.maximum(a, b), c)
    top = tl.where(top > float("-inf"), top, 0.0)
    total = tl.exp(a - top) + tl.exp(b - top) + tl.exp(c - top)
    return tl.where(total > 0, top + tl.log(tl.where(total > 0, total, 1.0)), float("-inf"))


@jit
def _alpha_kernel(EMIT, SKIP, ALPHA, T, S, BLOCK: tl.constexpr):
    s = tl.arange(0, BLOCK)
    here, skip = s < S, tl.load(SKIP + tl.program_id(0) * S + s, mask=s < S, other=0) != 0
    EMIT, ALPHA = EMIT + tl.program_id(0) * T * S + s, ALPHA + tl.program_id(0) * T * S + s
    tl.store(ALPHA, tl.where(s < 2, tl.load(EMIT, mask=here, other=0.0), float("-inf")), mask=here)
    for t in range(1, T):
        tl.debug_barrier()
        stay = tl.load(ALPHA + (t - 1) * S, mask=here, other=float("-inf"))
        move = tl.load(ALPHA + (t - 1) * S - 1, mask=here & (s >= 1), other=float("-inf"))
        jump = tl.load(ALPHA + (t - 1) * S - 2, mask=here & (s >= 2) & skip, other=float("-inf"))
        tl.store(ALPHA + t * S, tl.load(EMIT + t * S, mask=here, other=0.0) + log_sum(stay, move, jump), mask=here)


@jit
def _passing_kernel(EMIT, ALPHA, SKIP, ENDS, FRAMES, TOTAL, NEXT, PASSING, T, S, BLOCK: tl.constexpr):
    b, s = tl.program_id(0), tl.arange(0, BLOCK)
    here = s < S
    EMIT, ALPHA, PASSING = EMIT + b * T * S + s, ALPHA + b * T * S + s, PASSING + b * T * S + s
    NEXT = NEXT + b * S + s  # β of the frame after, with what that frame emits
    skip = tl.load(SKIP + b * S + s + 2, mask=s + 2 < S, other=0) != 0
    ends = tl.load(ENDS + b * S + s, mask=here, other=0) != 0
    frames, total = tl.load(FRAMES + b), tl.load(TOTAL + b)
    beta = tl.where(ends, 0.0, tl.full([BLOCK], float("-inf"), TOTAL.dtype.element_ty))
    for back in range(0, T):
        t = T - 1 - back
        if t < frames:
            if t < frames - 1:
                tl.store(NEXT, beta + tl.load(EMIT + (t + 1) * S, mask=here, other=0.0), mask=here)
                tl.debug_barrier()
                stay = tl.load(NEXT, mask=here, other=float("-inf"))
                move = tl.load(NEXT + 1, mask=s + 1 < S, other=float("-inf"))
                jump = tl.load(NEXT + 2, mask=(s + 2 < S) & skip, other=float("-inf"))
                beta = log_sum(stay, move, jump)
                tl.debug_barrier()
            a = tl.load(ALPHA + t * S, mask=here, other=float("-inf"))
            tl.store(PASSING + t * S, tl.where(a + beta > float("-inf"), tl.exp(a + beta - total), 0.0), mask=here)


def _alpha_triton(emit: Tensor, skip: Tensor) -> Tensor:
    (B, T, S), alpha = emit.shape, torch.empty_like(emit)
    _alpha_kernel[(B,)](emit, skip.to(torch.int8), alpha, T, S, BLOCK=next_power_of_2(S))
    return alpha


def _passing_triton(emit: Tensor, alpha: Tensor, skip: Tensor, ends: Tensor, frames: Tensor, total: Tensor) -> Tensor:
    B, T, S = emit.shape
    passing, scratch = torch.zeros_like(emit), emit.new_empty(B, S)
    flags = skip.to(torch.int8), ends.to(torch.int8)
    total = total.nan_to_num(neginf=0.0)  # where no alignment fits, α + β is −∞ everywhere
    _passing_kernel[(B,)](emit, alpha, *flags, frames, total, scratch, passing, T, S, BLOCK=next_power_of_2(S))
    return passing

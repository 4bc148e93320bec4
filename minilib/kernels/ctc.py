"""The CTC loss: all alignments of a label sequence to the frames, summed in one pass (Graves et al. 2006).

The labels are spread out as z = (∅, y_1, ∅, y_2, …, ∅), S = 2U + 1 states. A path stays, moves on by one, or skips a blank between two
different labels:

    α_t(s) = logp_t(z_s) + log( e^{α_{t−1}(s)} + e^{α_{t−1}(s−1)} + [z_s ≠ ∅, z_s ≠ z_{s−2}] e^{α_{t−1}(s−2)} )
    log P(y) = log( e^{α_{T−1}(S−1)} + e^{α_{T−1}(S−2)} )

and β runs the same way from the end. The gradient needs no autograd: e^{α_t(s) + β_t(s) − log P} is the probability that the path is in
state s at frame t, and ∂(−log P)/∂logp_t(v) is minus its sum over the states with label v.

``B`` batch, ``T`` frames, ``U`` labels, ``V`` vocabulary with the blank. Cost: O(B·T·U), T vector steps forward and as many back. There is
no Triton form: the steps depend on each other and each is a few hundred numbers.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minilib.kernels.backend import need

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
    if backend == "reference":
        return torch.stack([_one(logp[i], y[i, : int(labels[i])].tolist(), int(frames[i]), blank) for i in range(B)])
    if backend not in ("auto", "fast"):
        raise ValueError(f"backend is {backend!r}; this kernel has auto, reference and fast")
    z = torch.full((B, 2 * y.shape[1] + 1), blank, dtype=torch.long, device=y.device)
    z[:, 1::2] = torch.where(real, y, blank)
    return _CTC.apply(logp, z, frames, labels, blank)


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
    @staticmethod
    def forward(ctx, logp, z, frames, labels, blank):
        B, T, V = logp.shape
        S = z.shape[1]
        emit = logp.gather(2, z[:, None, :].expand(B, T, S))
        skip = torch.zeros(B, S, dtype=torch.bool, device=z.device)
        skip[:, 2:] = (z[:, 2:] != blank) & (z[:, 2:] != z[:, :-2])
        state = torch.arange(S, device=z.device)
        ends = (state == 2 * labels[:, None]) | (state == 2 * labels[:, None] - 1)
        alpha = logp.new_full((B, T, S), NEVER)
        alpha[:, 0, :2] = emit[:, 0, :2]
        for t in range(1, T):
            a = alpha[:, t - 1]
            alpha[:, t] = emit[:, t] + _sum(a, _right(a, 1), _right(a, 2).masked_fill(~skip, NEVER))
        last = alpha[torch.arange(B), frames - 1].masked_fill(~ends, NEVER)
        ctx.save_for_backward(emit, alpha, z, skip, ends, frames, last.logsumexp(1))
        ctx.V = V
        return -last.logsumexp(1)

    @staticmethod
    def backward(ctx, dloss):
        emit, alpha, z, skip, ends, frames, total = ctx.saved_tensors
        B, T, S = emit.shape
        beta = emit.new_full((B, S), NEVER)  # log-probability of all that follows frame t
        gamma = torch.zeros_like(emit)
        possible = total > NEVER
        for t in range(T - 1, -1, -1):
            if t + 1 < T:
                b = beta + emit[:, t + 1]
                jump = _left(b.masked_fill(~skip, NEVER), 2)
                beta = _sum(b, _left(b, 1), jump)
            beta = torch.where((frames - 1 == t)[:, None], torch.where(ends, 0.0, NEVER).to(beta.dtype), beta)
            beta = torch.where((frames - 1 < t)[:, None], NEVER, beta)
            gamma[:, t] = torch.where(possible[:, None], (alpha[:, t] + beta - total[:, None]).exp(), 0.0)
        gamma = gamma.nan_to_num(0.0)
        grad = emit.new_zeros(B, T, ctx.V).scatter_add(2, z[:, None, :].expand(B, T, S), -gamma * dloss[:, None, None])
        return grad, None, None, None, None


def _sum(*terms: Tensor) -> Tensor:
    return torch.stack(terms).logsumexp(0)


def _right(x: Tensor, by: int) -> Tensor:
    """Shift along the states; what comes in is log 0."""
    return torch.cat([x.new_full((len(x), min(by, x.shape[1])), NEVER), x[:, : max(0, x.shape[1] - by)]], dim=1)


def _left(x: Tensor, by: int) -> Tensor:
    return torch.cat([x[:, by:], x.new_full((len(x), min(by, x.shape[1])), NEVER)], dim=1)

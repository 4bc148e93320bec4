"""The transducer loss: all paths through the lattice of frames and labels (Graves 2012, §2.4).

At node (t, u) the model, having read t frames and written u labels, either emits a blank and goes to (t+1, u), or the next label and
goes to (t, u+1):

    α(t, u) = log( e^{α(t−1, u) + b(t−1, u)} + e^{α(t, u−1) + l(t, u−1)} ),      log P = α(T−1, U) + b(T−1, U)

with b(t, u) = log p(∅ | t, u) and l(t, u) = log p(y_{u+1} | t, u). All nodes with the same t + u are independent of each other, so the
fast form goes over the T + U anti-diagonals and handles each in one vector step; in the skewed arrays below, row d column u is node
(d − u, u). β runs back the same way, and the gradient of an edge is minus the probability of passing it,
e^{α(from) + edge + β(to) − log P}: exact, without autograd through the recursion.

``B`` batch, ``T`` frames, ``U`` labels, ``V`` vocabulary with the blank. Cost: O(B·T·U) for the recursion; making logp costs V times as
much. Number of paths: C(T − 1 + U, U). The Triton form gives each sequence to one program, whose threads share a diagonal.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl
from minilib.kernels.ctc import NEVER, check_lengths, log_sum

FORBIDDEN = -30.0  # log-probability of a label outside its window: all but impossible, yet a loss that stays finite


def rnnt_loss(
    logp: Float[Tensor, "b t u1 v"],
    y: Int[Tensor, "b u"],
    frames: Int[Tensor, "b"],
    labels: Int[Tensor, "b"],
    allow: Bool[Tensor, "b t u"] | None = None,
    *,
    blank: int = 0,
    backend: str = "auto",
) -> Float[Tensor, "b"]:
    """−log P(y) of every sequence.

    Args:
        logp: log-probabilities at every node, (B, T, U+1, V).
        frames, labels: how many frames and labels each sequence has.
        allow: where label u+1 may be emitted at frame t (alignment-restricted training); elsewhere its log-probability is −30.

    Raises:
        ValueError: shapes or lengths that do not fit.
    """
    need("logp", logp, (None, None, None, None))
    B, T, U1, _ = logp.shape
    need("y", y, (B, U1 - 1), floating=False)
    check_lengths("frames", frames, B, 1, T)
    check_lengths("labels", labels, B, 0, U1 - 1)
    b = logp[..., blank]
    l = logp[:, :, :-1].gather(3, y[:, None, :, None].expand(B, T, U1 - 1, 1))[..., 0]
    if allow is not None:
        need("allow", allow, (B, T, U1 - 1), floating=False)
        l = l.masked_fill(~allow, FORBIDDEN)
    form = choose(backend, logp)
    if form == "reference":
        return torch.stack([_one(b[i], l[i], int(frames[i]), int(labels[i])) for i in range(B)])
    return _Lattice.apply(b, l, frames, labels, form)


def _one(b: Float[Tensor, "t u1"], l: Float[Tensor, "t u"], T: int, U: int) -> Float[Tensor, ""]:
    """The definition, node by node, under autograd."""
    alpha: dict[tuple[int, int], Tensor] = {(0, 0): b.new_zeros(())}
    for t in range(T):
        for u in range(U + 1):
            came = [alpha[t - 1, u] + b[t - 1, u]] if t else []
            came += [alpha[t, u - 1] + l[t, u - 1]] if u else []
            if came:
                alpha[t, u] = torch.stack(came).logsumexp(0)
    return -(alpha[T - 1, U] + b[T - 1, U])


class _Lattice(torch.autograd.Function):
    """Both fast forms: they work on the same skewed arrays."""

    @staticmethod
    def forward(ctx, b, l, frames, labels, form):
        B, T, U1 = b.shape
        t, u = torch.arange(T, device=b.device)[:, None], torch.arange(U1, device=b.device)
        F, L = frames[:, None, None], labels[:, None, None]
        # the last frame may be left by a blank only once all labels are out
        b = b.masked_fill(~((t < F - 1) & (u <= L) | (t == F - 1) & (u == L)), NEVER)
        l = torch.cat([l, l.new_full((B, T, 1), NEVER)], dim=2).masked_fill(~((t < F) & (u < L)), NEVER)
        b, l = _skew(b), _skew(l)  # (B, T + U, U + 1)
        alpha = (_alpha_triton if form == "triton" else _alpha)(b, l)
        end = torch.arange(B, device=b.device), frames - 1 + labels, labels
        total = alpha[end] + b[end]
        ctx.save_for_backward(b, l, alpha, frames, labels, total)
        ctx.T, ctx.form = T, form
        return -total

    @staticmethod
    def backward(ctx, dloss):
        db, dl = (_passing_triton if ctx.form == "triton" else _passing)(*ctx.saved_tensors)
        weight = -dloss[:, None, None]
        return _unskew(db, ctx.T) * weight, _unskew(dl, ctx.T)[..., :-1] * weight, None, None, None


def _skew(x: Float[Tensor, "b t u1"]) -> Float[Tensor, "b d u1"]:
    """Row d, column u holds node (d − u, u); log 0 outside."""
    B, T, U1 = x.shape
    t = torch.arange(T + U1 - 1, device=x.device)[:, None] - torch.arange(U1, device=x.device)
    inside = (t >= 0) & (t < T)
    return x.gather(1, t.clamp(0, T - 1).expand(B, -1, -1)).masked_fill(~inside, NEVER)


def _unskew(x: Float[Tensor, "b d u1"], T: int) -> Float[Tensor, "b t u1"]:
    """Back: node (t, u) stands in row t + u."""
    B, _, U1 = x.shape
    d = torch.arange(T, device=x.device)[:, None] + torch.arange(U1, device=x.device)
    return x.gather(1, d.expand(B, -1, -1))


# ------------------------------------------------------------------------------------------------------ all diagonals, one by one


def _alpha(b: Float[Tensor, "b d u1"], l: Float[Tensor, "b d u1"]) -> Float[Tensor, "b d u1"]:
    """log-probability of all that leads to each node."""
    alpha = torch.full_like(b, NEVER)
    alpha[:, 0, 0] = 0
    for d in range(1, b.shape[1]):
        stay, move = alpha[:, d - 1] + b[:, d - 1], alpha[:, d - 1] + l[:, d - 1]
        alpha[:, d] = stay
        alpha[:, d, 1:] = torch.logaddexp(stay[:, 1:], move[:, :-1])
    return alpha


def _passing(b: Tensor, l: Tensor, alpha: Tensor, frames: Tensor, labels: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Probability that a path takes the blank edge, and the label edge, out of each node: two of (B, D, U+1)."""
    B, D, U1 = b.shape
    beta = b.new_full((B, U1), NEVER)
    goal = torch.arange(U1, device=b.device) == labels[:, None]  # reached by the last blank, on diagonal frames + labels
    db, dl = torch.zeros_like(b), torch.zeros_like(l)
    for d in range(D - 1, -1, -1):
        beta = torch.where(goal & (frames + labels == d + 1)[:, None], 0.0, beta)
        after = torch.cat([beta[:, 1:], beta.new_full((B, 1), NEVER)], dim=1)
        stay, move = b[:, d] + beta, l[:, d] + after
        db[:, d] = (alpha[:, d] + stay - total[:, None]).exp()
        dl[:, d] = (alpha[:, d] + move - total[:, None]).exp()
        beta = torch.logaddexp(stay, move)
    return db, dl


# ------------------------------------------------------------------------------------------------------------------------- Triton
# One program a sequence; the neighbour's value of the diagonal before passes through memory, as in ctc.py.


@jit
def _alpha_kernel(BLANK, LABEL, ALPHA, D, U1, BLOCK: tl.constexpr):
    u, start = tl.arange(0, BLOCK), tl.program_id(0) * D * U1
    here = u < U1
    BLANK, LABEL, ALPHA = BLANK + start + u, LABEL + start + u, ALPHA + start + u
    tl.store(ALPHA, tl.where(u == 0, 0.0, float("-inf")), mask=here)
    for d in range(1, D):
        tl.debug_barrier()
        at = (d - 1) * U1
        stay = tl.load(ALPHA + at, mask=here, other=float("-inf")) + tl.load(BLANK + at, mask=here, other=float("-inf"))
        left = here & (u >= 1)
        move = tl.load(ALPHA + at - 1, mask=left, other=float("-inf")) + tl.load(LABEL + at - 1, mask=left, other=float("-inf"))
        tl.store(ALPHA + at + U1, log_sum(stay, move, float("-inf")), mask=here)


@jit
def _passing_kernel(BLANK, LABEL, ALPHA, FRAMES, LABELS, TOTAL, NEXT, DBLANK, DLABEL, D, U1, BLOCK: tl.constexpr):
    i, u = tl.program_id(0), tl.arange(0, BLOCK)
    here, start = u < U1, tl.program_id(0) * D * U1
    BLANK, LABEL, ALPHA, DBLANK, DLABEL = BLANK + start + u, LABEL + start + u, ALPHA + start + u, DBLANK + start + u, DLABEL + start + u
    NEXT = NEXT + i * U1 + u
    frames, labels, total = tl.load(FRAMES + i), tl.load(LABELS + i), tl.load(TOTAL + i)
    beta = tl.full([BLOCK], float("-inf"), TOTAL.dtype.element_ty)
    for back in range(0, D):
        at = (D - 1 - back) * U1
        beta = tl.where((u == labels) & (frames + labels == D - back), 0.0, beta)
        tl.store(NEXT, beta, mask=here)
        tl.debug_barrier()
        after = tl.load(NEXT + 1, mask=u + 1 < U1, other=float("-inf"))
        tl.debug_barrier()
        a = tl.load(ALPHA + at, mask=here, other=float("-inf"))
        stay = tl.load(BLANK + at, mask=here, other=float("-inf")) + beta
        move = tl.load(LABEL + at, mask=here, other=float("-inf")) + after
        tl.store(DBLANK + at, tl.exp(a + stay - total), mask=here)
        tl.store(DLABEL + at, tl.exp(a + move - total), mask=here)
        beta = log_sum(stay, move, float("-inf"))


def _alpha_triton(b: Tensor, l: Tensor) -> Tensor:
    (B, D, U1), alpha = b.shape, torch.empty_like(b)
    _alpha_kernel[(B,)](b, l, alpha, D, U1, BLOCK=next_power_of_2(U1))
    return alpha


def _passing_triton(b: Tensor, l: Tensor, alpha: Tensor, frames: Tensor, labels: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    B, D, U1 = b.shape
    db, dl, scratch = torch.zeros_like(b), torch.zeros_like(l), b.new_empty(B, U1)
    _passing_kernel[(B,)](b, l, alpha, frames, labels, total, scratch, db, dl, D, U1, BLOCK=next_power_of_2(U1))
    return db, dl

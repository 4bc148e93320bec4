"""The transducer loss: all paths through the lattice of frames and labels (Graves 2012, §2.4).

At node (t, u) the model, having read t frames and written u labels, either emits a blank and goes to (t+1, u), or the next label and
goes to (t, u+1):

    α(t, u) = log( e^{α(t−1, u) + b(t−1, u)} + e^{α(t, u−1) + l(t, u−1)} ),      log P = α(T−1, U) + b(T−1, U)

with b(t, u) = log p(∅ | t, u) and l(t, u) = log p(y_{u+1} | t, u). All nodes with the same t + u are independent of each other, so the
fast form goes over the T + U anti-diagonals and handles each in one vector step; in the skewed arrays below, row d column u is node
(d − u, u). β runs back the same way, and the gradient of an edge is minus the probability of passing it,
e^{α(from) + edge + β(to) − log P}: exact, without autograd through the recursion.

``B`` batch, ``T`` frames, ``U`` labels, ``V`` vocabulary with the blank. Cost: O(B·T·U) for the recursion; making logp costs V times as
much. Number of paths: C(T − 1 + U, U). There is no Triton form: a diagonal is at most U + 1 numbers wide.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minilib.kernels.backend import need
from minilib.kernels.ctc import NEVER, check_lengths

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
    if backend == "reference":
        return torch.stack([_one(b[i], l[i], int(frames[i]), int(labels[i])) for i in range(B)])
    if backend not in ("auto", "fast"):
        raise ValueError(f"backend is {backend!r}; this kernel has auto, reference and fast")
    return _Lattice.apply(b, l, frames, labels)


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
    @staticmethod
    def forward(ctx, b, l, frames, labels):
        B, T, U1 = b.shape
        t, u = torch.arange(T, device=b.device)[:, None], torch.arange(U1, device=b.device)
        F, L = frames[:, None, None], labels[:, None, None]
        # the last frame may be left by a blank only once all labels are out
        b = b.masked_fill(~((t < F - 1) & (u <= L) | (t == F - 1) & (u == L)), NEVER)
        l = torch.cat([l, l.new_full((B, T, 1), NEVER)], dim=2).masked_fill(~((t < F) & (u < L)), NEVER)
        b, l = _skew(b), _skew(l)  # (B, T + U, U + 1)
        alpha = torch.full_like(b, NEVER)
        alpha[:, 0, 0] = 0
        for d in range(1, T + U1 - 1):
            stay, move = alpha[:, d - 1] + b[:, d - 1], alpha[:, d - 1] + l[:, d - 1]
            alpha[:, d] = stay
            alpha[:, d, 1:] = torch.logaddexp(stay[:, 1:], move[:, :-1])
        end = torch.arange(B), frames - 1 + labels, labels
        total = alpha[end] + b[end]
        ctx.save_for_backward(b, l, alpha, frames, labels, total)
        ctx.T = T
        return -total

    @staticmethod
    def backward(ctx, dloss):
        b, l, alpha, frames, labels, total = ctx.saved_tensors
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
        weight = -dloss[:, None, None]
        return _unskew(db, ctx.T) * weight, _unskew(dl, ctx.T)[..., :-1] * weight, None, None


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

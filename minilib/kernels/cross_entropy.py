"""Linear head and cross-entropy together, a chunk of tokens at a time: the (tokens × vocabulary) logits never exist as a whole.

    z = x Wᵀ,    loss_n = log Σ_v exp z_{nv} − z_{n, y_n},    loss = mean over the tokens that count

Shapes: x (n, D), W (V, D), y (n,). The plain way writes n·V logits, their softmax, and in the backward pass their gradient: three
tables of n·V. Here a chunk of ``C`` tokens makes its C·V logits, and at once, while they are still warm, their gradient

    dz = (softmax(z) − onehot(y)) / n,    dx = dz W,    dW += dzᵀ x

so only C·V numbers live at a time. Cost: 6·n·V·D FLOPs, as much as forward and backward of the plain way; nothing is recomputed. That is
Liger's form (Hsu et al. 2024). Cut Cross-Entropy (Wijmans et al. 2024) also avoids the C·V chunk by keeping tiles in on-chip memory and
recomputes the logits in the backward pass: the Triton form here does that, a tile of tokens × a tile of the vocabulary at a time.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from minilib.kernels.backend import choose, float_type, jit, need, next_power_of_2, tl


def linear_cross_entropy(
    x: Float[Tensor, "n d"], W: Float[Tensor, "v d"], y: Int[Tensor, "n"], *, ignore: int = -100, chunk: int = 256, backend: str = "auto"
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood of the tokens ``y`` under the logits x Wᵀ; tokens equal to ``ignore`` do not count.

    Args:
        chunk: tokens whose logits live at the same time in the fast form.

    Raises:
        ValueError: shapes that do not fit, no token that counts, an unknown backend.
    """
    need("x", x, (None, None))
    need("W", W, (None, x.shape[1]))
    need("y", y, (x.shape[0],), floating=False)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if not bool((y != ignore).any()):
        raise ValueError("y holds no token that counts: every entry equals ignore")
    match choose(backend, x):
        case "reference":
            return F.cross_entropy((x @ W.T).to(float_type(x)), y, ignore_index=ignore)
        case "triton":
            return _Triton.apply(x, W, y, ignore)
        case _:
            return _Chunked.apply(x, W, y, ignore, chunk)


class _Chunked(torch.autograd.Function):
    """The gradient of a chunk is found while its logits are there; the backward pass only scales what is stored."""

    @staticmethod
    def forward(ctx, x, W, y, ignore, chunk):
        wide = float_type(x)
        counted = y != ignore
        n = int(counted.sum())
        loss = x.new_zeros((), dtype=wide)
        wants_x, wants_W = ctx.needs_input_grad[:2]
        dx = torch.empty_like(x) if wants_x else None
        dW = torch.zeros(W.shape, dtype=wide, device=W.device) if wants_W else None
        for at in range(0, len(x), chunk):
            rows, keep = slice(at, at + chunk), counted[at : at + chunk]
            target = y[rows].clamp(min=0)[:, None]
            z = (x[rows] @ W.T).to(wide)
            lse = z.logsumexp(1, keepdim=True)
            loss += ((lse - z.gather(1, target))[:, 0] * keep).sum()
            if wants_x or wants_W:
                dz = z.sub_(lse).exp_()  # softmax, in the memory of the logits
                dz.scatter_add_(1, target, torch.full_like(target, -1, dtype=wide)).mul_(keep[:, None].to(wide) / n)
                if dx is not None:
                    dx[rows] = dz.to(W.dtype) @ W
                if dW is not None:
                    dW.addmm_(dz.T, x[rows].to(wide))
        ctx.save_for_backward(dx, None if dW is None else dW.to(W.dtype))
        return loss / n

    @staticmethod
    def backward(ctx, dloss):
        dx, dW = ctx.saved_tensors
        return None if dx is None else dx * dloss.to(dx.dtype), None if dW is None else dW * dloss.to(dW.dtype), None, None, None


# ------------------------------------------------------------------------------------------------------------------------- Triton
# Forward: a program owns ROWS tokens and walks over the vocabulary with a running maximum and sum. Backward: the same tiles again, once
# per token tile for dx and once per vocabulary tile for dW, so that no two programs write to the same place.


@jit
def _tile(X, W, rows, words, n, V, D, ROWS: tl.constexpr, WORDS: tl.constexpr, BLOCK: tl.constexpr):
    """Logits of one tile (ROWS, WORDS); −∞ beyond the vocabulary."""
    d = tl.arange(0, BLOCK)
    x = tl.load(X + rows[:, None] * D + d[None, :], mask=(rows[:, None] < n) & (d[None, :] < D), other=0.0).to(tl.float32)
    w = tl.load(W + words[:, None] * D + d[None, :], mask=(words[:, None] < V) & (d[None, :] < D), other=0.0).to(tl.float32)
    z = tl.dot(x, tl.trans(w), input_precision="ieee")
    return x, w, tl.where(words[None, :] < V, z, float("-inf"))


@jit
def _forward_kernel(X, W, Y, LSE, TARGET, n, V, D, ROWS: tl.constexpr, WORDS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    y = tl.load(Y + rows, mask=rows < n, other=-1)
    top, total, hit = tl.full([ROWS], float("-inf"), tl.float32), tl.zeros([ROWS], tl.float32), tl.zeros([ROWS], tl.float32)
    for start in range(0, V, WORDS):
        words = start + tl.arange(0, WORDS)
        x, w, z = _tile(X, W, rows, words, n, V, D, ROWS, WORDS, BLOCK)
        new = tl.maximum(top, tl.max(z, axis=1))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(z - new[:, None]), axis=1)
        hit += tl.sum(tl.where(words[None, :] == y[:, None], z, 0.0), axis=1)
        top = new
    tl.store(LSE + rows, top + tl.log(total), mask=rows < n)
    tl.store(TARGET + rows, hit, mask=rows < n)


@jit
def _dx_kernel(X, W, Y, LSE, SCALE, DX, n, V, D, ROWS: tl.constexpr, WORDS: tl.constexpr, BLOCK: tl.constexpr):
    rows, d = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    y = tl.load(Y + rows, mask=rows < n, other=-1)
    lse, scale = tl.load(LSE + rows, mask=rows < n, other=0.0), tl.load(SCALE + rows, mask=rows < n, other=0.0)
    dx = tl.zeros([ROWS, BLOCK], tl.float32)
    for start in range(0, V, WORDS):
        words = start + tl.arange(0, WORDS)
        x, w, z = _tile(X, W, rows, words, n, V, D, ROWS, WORDS, BLOCK)
        dz = (tl.exp(z - lse[:, None]) - (words[None, :] == y[:, None]).to(tl.float32)) * scale[:, None]
        dx += tl.dot(dz, w, input_precision="ieee")
    tl.store(DX + rows[:, None] * D + d[None, :], dx, mask=(rows[:, None] < n) & (d[None, :] < D))


@jit
def _dw_kernel(X, W, Y, LSE, SCALE, DW, n, V, D, ROWS: tl.constexpr, WORDS: tl.constexpr, BLOCK: tl.constexpr):
    words, d = tl.program_id(0) * WORDS + tl.arange(0, WORDS), tl.arange(0, BLOCK)
    dw = tl.zeros([WORDS, BLOCK], tl.float32)
    for start in range(0, n, ROWS):
        rows = start + tl.arange(0, ROWS)
        y = tl.load(Y + rows, mask=rows < n, other=-1)
        lse, scale = tl.load(LSE + rows, mask=rows < n, other=0.0), tl.load(SCALE + rows, mask=rows < n, other=0.0)
        x, w, z = _tile(X, W, rows, words, n, V, D, ROWS, WORDS, BLOCK)
        dz = (tl.exp(z - lse[:, None]) - (words[None, :] == y[:, None]).to(tl.float32)) * scale[:, None]
        dw += tl.dot(tl.trans(dz), x, input_precision="ieee")
    tl.store(DW + words[:, None] * D + d[None, :], dw, mask=(words[:, None] < V) & (d[None, :] < D))


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, y, ignore):
        x, W = x.contiguous(), W.contiguous()
        (n, D), V = x.shape, len(W)
        sizes = {"ROWS": 16, "WORDS": 32, "BLOCK": max(16, next_power_of_2(D))}
        lse, target = x.new_empty(n, dtype=torch.float32), x.new_empty(n, dtype=torch.float32)
        _forward_kernel[(-(-n // 16),)](x, W, y, lse, target, n, V, D, **sizes)
        counted = (y != ignore).float()
        ctx.save_for_backward(x, W, y, lse, counted / counted.sum())
        ctx.sizes = sizes
        return ((lse - target) * counted).sum() / counted.sum()

    @staticmethod
    def backward(ctx, dloss):
        x, W, y, lse, weight = ctx.saved_tensors
        (n, D), V, scale = x.shape, len(W), weight * dloss
        dx = dW = None
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            _dx_kernel[(-(-n // ctx.sizes["ROWS"]),)](x, W, y, lse, scale, dx, n, V, D, **ctx.sizes)
        if ctx.needs_input_grad[1]:
            dW = torch.empty_like(W)
            _dw_kernel[(-(-V // ctx.sizes["WORDS"]),)](x, W, y, lse, scale, dW, n, V, D, **ctx.sizes)
        return dx, dW, None, None

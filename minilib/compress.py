"""Making a trained model smaller: quantise, prune, distil, slice. Introduced in lessons 04 (distillation), 26 (bits) and 27.

``W`` (m, n) is a weight with m outputs and n inputs, ``b`` bits, ``s`` scale, ``z`` zero point.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from minilib.discrete import round_through

__all__ = ["Quantizer", "SliceLinear", "head_importance", "kd_loss", "prune_magnitude", "replace_linears", "storage_bits"]


@dataclass(frozen=True)
class Quantizer:
    """Uniform quantisation: q = clamp(round(x/s) + z), x̂ = s (q − z). ``fake`` gives x̂ with the gradient of the identity.

    Args:
        bits: b. Symmetric (z = 0, levels ±(2^{b−1} − 1)) for weights, else asymmetric (2^b levels from the smallest to the largest).
        axis: one scale for every index of this axis (0: an output channel); None: one for the whole tensor.
    """

    bits: int
    symmetric: bool = True
    axis: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits must lie between 2 and 16, got {self.bits}")

    def parameters(self, x: Float[Tensor, "..."]) -> tuple[Tensor, Tensor]:
        """``(s, z)`` for this tensor, shaped to broadcast with it."""
        over = [d for d in range(x.ndim) if self.axis is None or d != self.axis % x.ndim]
        if self.symmetric:
            s = x.abs().amax(over, keepdim=True) / (2 ** (self.bits - 1) - 1)
            return s.clamp(min=1e-12), torch.zeros_like(s)
        low, high = x.amin(over, keepdim=True).clamp(max=0), x.amax(over, keepdim=True).clamp(min=0)  # zero stays exact
        s = ((high - low) / (2**self.bits - 1)).clamp(min=1e-12)
        return s, (-low / s).round()

    def fake(self, x: Float[Tensor, "..."], scale: tuple[Tensor, Tensor] | None = None) -> Float[Tensor, "..."]:
        """x as it comes back from b bits; the gradient is 1 inside the range and 0 where it is clamped."""
        s, z = scale if scale is not None else self.parameters(x.detach())
        top = 2 ** (self.bits - 1) - 1 if self.symmetric else 2**self.bits - 1
        return s * ((round_through(x / s) + z).clamp(-top if self.symmetric else 0, top) - z)


def prune_magnitude(W: Float[Tensor, "m n"], sparsity: float = 0.0, *, group: tuple[int, int] | None = None) -> Bool[Tensor, "m n"]:
    """Mask of the weights to keep: the largest magnitudes, or with ``group=(N, M)`` the N largest of every M inputs in a row."""
    if group is not None:
        keep, size = group
        if W.shape[1] % size or not 1 <= keep <= size:
            raise ValueError(f"{W.shape[1]} inputs cannot be cut into groups of {size} of which {keep} are kept")
        grouped = W.abs().unflatten(1, (-1, size))
        return torch.zeros_like(grouped, dtype=torch.bool).scatter(2, grouped.topk(keep, dim=2).indices, True).flatten(1)
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must lie in [0, 1), got {sparsity}")
    drop = int(sparsity * W.numel())
    order = W.abs().flatten().argsort()
    return torch.ones(W.numel(), dtype=torch.bool, device=W.device).scatter(0, order[:drop], False).view_as(W)


def head_importance(
    loss: Callable[[Tensor], Float[Tensor, ""]], gates: Float[Tensor, "l h"], *, fisher: bool = False
) -> Float[Tensor, "l h"]:
    """``|∂L/∂ξ|`` of every head's gate ξ (Michel et al. 2019), or its square (Fisher); ``loss(gates)`` multiplies heads by their gates."""
    gates = gates.detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(gates), gates)
    return g.pow(2) if fisher else g.abs()


def kd_loss(
    student: Float[Tensor, "*b v"],
    teacher: Float[Tensor, "*b v"],
    target: Tensor | None = None,
    *,
    alpha: float = 1.0,
    tau: float = 1.0,
    mask: Bool[Tensor, "*b"] | None = None,
) -> Float[Tensor, ""]:
    """``(1 − α) CE(student, target) + α τ² KL(softmax(teacher/τ) ‖ softmax(student/τ))``, mean over the positions of ``mask``.

    Hinton et al. (2015); τ² keeps the gradient's size whatever τ is. The teacher gets no gradient.
    """
    log_s, log_t = (student / tau).log_softmax(-1), (teacher.detach() / tau).log_softmax(-1)
    per = tau**2 * alpha * (log_t.exp() * (log_t - log_s)).sum(-1)
    if alpha < 1:
        if target is None:
            raise ValueError("with alpha < 1 the loss needs a target")
        per = per + (1 - alpha) * F.cross_entropy(student.flatten(0, -2), target.flatten(), reduction="none").view_as(per)
    return per.mean() if mask is None else (per * mask).sum() / mask.sum()


class SliceLinear(nn.Linear):
    """A linear layer of which any top-left part can be used: ``W[:out, :in]`` (weight entanglement, AutoFormer)."""

    def forward(self, x: Float[Tensor, "*b n"], out: int | None = None) -> Float[Tensor, "*b m"]:
        out = self.out_features if out is None else out
        return F.linear(x, self.weight[:out, : x.shape[-1]], None if self.bias is None else self.bias[:out])


def storage_bits(
    kind: str, m: int, n: int, *, bits: int = 32, rank: int = 0, group: tuple[int, int] = (0, 0), block: int = 0, atoms: int = 0, k: int = 0
) -> int:
    """Bits that an m × n weight takes: ``dense``, ``lowrank`` (rank), ``nm`` (group N of M) or ``dsf`` (blocks of ``block`` columns,
    ``atoms`` a block, ``k`` a row; Chand et al. 2023, §3)."""
    match kind:
        case "dense":
            return m * n * bits
        case "lowrank":
            return rank * (m + n) * bits
        case "nm":
            return m * n * group[0] // group[1] * (bits + math.ceil(math.log2(group[1])))
        case "dsf":
            return n // block * (atoms * block * bits + m * k * (bits + math.ceil(math.log2(atoms))))
    raise ValueError(f"unknown kind {kind!r}; choose dense, lowrank, nm or dsf")


def replace_linears(model: nn.Module, fn: Callable[[str, nn.Linear], nn.Module | None]) -> nn.Module:
    """A copy of the model in which ``fn(name, linear)`` has replaced every linear layer; None leaves one as it is."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and (made := fn(name, module)) is not None:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, made)
    return model

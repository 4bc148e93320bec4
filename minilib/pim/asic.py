"""The ASIC: every non-linear function from additions and multiplications, and how long they take.

``exp``  ``reciprocal``  ``rsqrt``  ``softmax``  ``layer_norm``  ``gelu``   on FP32 tensors, rounded by the caller
``operations``  counts the multiplications and additions of a call          ``Asic``  clock, adders, multipliers → cycles

The paper names the methods (Taylor series, Newton–Raphson, the inverse square root of Quake III); six Taylor terms and three iterations are
recalled (unverified). Range reduction and the form of tanh are [ours]: without the former a Taylor series is useless outside |x| < 1.
At degree 3 and two Newton steps the error is below BF16's spacing of 2⁻⁸.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Asic", "exp", "gelu", "layer_norm", "operations", "reciprocal", "rsqrt", "softmax"]

LN2, LOG2E = math.log(2), 1 / math.log(2)
MAGIC = 0x5F3759DF  # of the inverse square root on FP32; its upper half 0x5f37 serves BF16
SOFTMAX, GELU, LAYER_NORM = 8, 16, 3  # multiplications an element that the timing charges [ours]; the tests count that they suffice


def exp(x: Float[Tensor, "*n"], degree: int = 3) -> Float[Tensor, "*n"]:
    """``eˣ`` by x = k ln 2 + r, |r| ≤ ln 2 / 2: a Taylor polynomial in r, then k added to the exponent. Below −87 it is 0, above 88 e⁸⁸."""
    x = x.float()
    inside = x.clamp(-87.0, 88.0)
    k = torch.round(inside * LOG2E)
    r = inside - k * LN2
    p = torch.full_like(r, 1 / math.factorial(degree))
    for i in range(degree - 1, -1, -1):  # Horner
        p = p * r + 1 / math.factorial(i)
    scaled = ((p.view(torch.int32)) + (k.to(torch.int32) << 23)).view(torch.float32)  # an addition in the exponent's field
    return torch.where(x < -87.0, torch.zeros_like(x), scaled)


def reciprocal(x: Float[Tensor, "*n"], steps: int = 2) -> Float[Tensor, "*n"]:
    """``1/x`` for normal x: D = mantissa in [0.5, 1), r₀ = 48/17 − 32/17 D, then r ← r + r (1 − D r)."""
    mantissa, exponent = torch.frexp(x.float())
    sign, d = mantissa.sign(), mantissa.abs()
    r = 48 / 17 - d * (32 / 17)
    for _ in range(steps):
        r = r + r * (1 - d * r)
    shifted = (r.view(torch.int32) - (exponent.to(torch.int32) << 23)).view(torch.float32)
    return torch.where(sign < 0, -shifted, shifted)


def rsqrt(x: Float[Tensor, "*n"], steps: int = 2) -> Float[Tensor, "*n"]:
    """``1/√x`` for x > 0: a guess from the bits, then y ← y (1.5 − 0.5 x y²)."""
    x = x.float()
    y = (MAGIC - (x.view(torch.int32) >> 1)).view(torch.float32)
    for _ in range(steps):
        y = y * (1.5 - 0.5 * x * y * y)
    return y


def softmax(scores: Float[Tensor, "*h t"], scale: float = 1.0) -> Float[Tensor, "*h t"]:
    """Softmax over the last axis of ``scale · scores``; −∞ gets weight 0."""
    e = exp((scores - scores.amax(-1, keepdim=True)) * scale)
    return e * reciprocal(e.sum(-1, keepdim=True))


def layer_norm(x: Float[Tensor, "*n d"], gain: Float[Tensor, "d"], bias: Float[Tensor, "d"], eps: float = 1e-5) -> Float[Tensor, "*n d"]:
    """LayerNorm with the ASIC's inverse square root."""
    x = x.float()
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred * rsqrt(variance + eps) * gain + bias


def gelu(z: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """``½ z (1 + tanh(√(2/π)(z + 0.044715 z³)))`` with tanh y = 1 − 2/(e²ʸ + 1), that is z (1 − 1/(e²ʸ + 1))."""
    z = z.float()
    two_y = z * (2 * math.sqrt(2 / math.pi) + (2 * math.sqrt(2 / math.pi) * 0.044715) * (z * z))
    return z - z * reciprocal(exp(two_y.clamp(-60.0, 60.0)) + 1)


# ------------------------------------------------------------------------------------------------------------------------ the costs


class _Counter(TorchDispatchMode):
    """Adds up the elements of every multiplication and addition."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"multiply": 0, "add": 0}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::").split(".")[0]
        if isinstance(out, Tensor) and out.is_floating_point():
            if name == "mul":
                self.counts["multiply"] += out.numel()
            elif name in ("add", "sub", "rsub"):
                self.counts["add"] += out.numel()
            elif name in ("sum", "mean"):
                self.counts["add"] += args[0].numel()
        return out


def operations(fn, *args) -> dict[str, int]:
    """Multiplications and additions of one call, element by element; comparisons, shifts and bit tricks are free."""
    with _Counter() as counter:
        fn(*args)
    return counter.counts


@dataclass(frozen=True)
class Asic:
    """Sizes of the ASIC and the cycles of its operations.

    Raises:
        ValueError: a clock, a width or a depth that is not positive.
    """

    ghz: float = 1.0  # [P]
    multipliers: int = 128  # (unverified)
    adders: int = 256  # (unverified)
    depth: int = 40  # cycles of the pipeline from the last operand to the result [ours]
    watts: float = 0.30459  # (unverified)

    def __post_init__(self) -> None:
        for name in ("ghz", "multipliers", "adders", "depth", "watts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise ValueError(f"the ASIC's {name} must be a positive number, got {value!r}")

    def cycles(self, tCK: float, *, multiply: int = 0, add: int = 0) -> int:
        """Cycles of ``tCK`` ns in which so many operations enter the pipeline; rounded up after dividing by the clock."""
        work = max(multiply / self.multipliers, add / self.adders)
        return math.ceil(work / self.ghz / tCK - 1e-9)

    def pipeline(self, tCK: float) -> int:
        """Cycles of ``tCK`` ns that a result is late."""
        return math.ceil(self.depth / self.ghz / tCK - 1e-9)

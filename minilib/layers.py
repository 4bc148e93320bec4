"""The small parts of a block: norms, MLPs, position codes.

``B`` batch, ``T`` positions, ``D`` width, ``F`` width of the MLP, ``H`` heads.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP", "GatedMLP", "RMSNorm", "T5Bias", "mlp", "sinusoids", "t5_bucket"]


class RMSNorm(nn.Module):
    """``x · g / √(mean(x²) + eps)``: no mean subtracted, no bias (Zhang and Sennrich 2019)."""

    def __init__(self, d: int, eps: float = 1e-6):
        super().__init__()
        self.g, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return F.rms_norm(x, self.g.shape, self.g, self.eps)


class MLP(nn.Module):
    """``activation(x W₁) W₂`` without biases; ``activation`` is a function such as ``F.gelu`` or ``F.relu``."""

    def __init__(self, d: int, f: int, activation=F.gelu):
        super().__init__()
        self.up, self.down, self.activation = nn.Linear(d, f, bias=False), nn.Linear(f, d, bias=False), activation
        for linear in (self.up, self.down):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def hidden(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b f"]:
        """The activations between the two products."""
        return self.activation(self.up(x))

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return self.down(self.hidden(x))


class GatedMLP(nn.Module):
    """``(activation(x W₀) ⊙ x W₁) W₂`` (Shazeer 2020): GEGLU with tanh-GELU, SwiGLU with SiLU."""

    def __init__(self, d: int, f: int, activation=F.silu):
        super().__init__()
        self.up, self.down, self.activation = nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d, bias=False), activation
        for linear in (self.up, self.down):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def hidden(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b f"]:
        """The gated activations between the products."""
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.activation(gate) * value

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return self.down(self.hidden(x))


def _tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def mlp(kind: str, d: int, f: int) -> nn.Module:
    """An MLP by its name: ``geglu``, ``swiglu``, ``gelu`` or ``relu``."""
    made = {
        "geglu": lambda: GatedMLP(d, f, _tanh_gelu),
        "swiglu": lambda: GatedMLP(d, f, F.silu),
        "gelu": lambda: MLP(d, f, F.gelu),
        "relu": lambda: MLP(d, f, F.relu),
    }
    if kind not in made:
        raise ValueError(f"unknown MLP {kind!r}; choose one of {', '.join(made)}")
    return made[kind]()


def sinusoids(T: int, d: int) -> Float[Tensor, "T d"]:
    """Sines in the even and cosines in the odd columns, wavelengths from 2π to 10000·2π (Vaswani et al. 2017, §3.5)."""
    angle = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(0, d, 2) / d)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :d]


def t5_bucket(distance: Int[Tensor, "..."], *, bidirectional: bool, buckets: int = 32, furthest: int = 128) -> Int[Tensor, "..."]:
    """The bucket of a distance j − i (key minus query): exact when near, logarithmic when far (Raffel et al. 2020, §2.1)."""
    if bidirectional:
        buckets //= 2
        offset, n = buckets * (distance > 0), distance.abs()
    else:
        offset, n = torch.zeros_like(distance), (-distance).clamp(min=0)
    exact = buckets // 2
    far = exact + (torch.log(n.clamp(min=1) / exact) / math.log(furthest / exact) * (buckets - exact)).long()
    return offset + torch.where(n < exact, n, far.clamp(max=buckets - 1))


class T5Bias(nn.Module):
    """A learned bias a head for every bucket of distances; one table serves all layers of a stack."""

    def __init__(self, heads: int, *, bidirectional: bool = True, buckets: int = 32):
        super().__init__()
        self.table, self.bidirectional, self.buckets = nn.Parameter(torch.empty(buckets, heads)), bidirectional, buckets
        nn.init.normal_(self.table, std=buckets**-0.5)

    def forward(self, queries: Int[Tensor, "q"], keys: Int[Tensor, "s"]) -> Float[Tensor, "h q s"]:
        bucket = t5_bucket(keys[None, :] - queries[:, None], bidirectional=self.bidirectional, buckets=self.buckets)
        return self.table[bucket].permute(2, 0, 1)

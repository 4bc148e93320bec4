"""The eight models of the paper, and a GPT small enough to run on the simulator number by number.

``ModelShape``  layers L, width d, heads h of size dh = d/h       ``MODELS``  GPT2 and GPT3, small to XL
``GPT``         the pre-norm block of GPT-2 and GPT-3: LayerNorm, biases, tanh-GELU, learned positions, head tied to the embedding

Shapes: Radford et al. 2019 and Brown et al. 2020, Table 2.1, which prints 24 heads of 128 for GPT3-XL; 16 is what multiplies to 2048.
``B`` batch, ``T`` positions, ``D`` width, ``V`` vocabulary.
"""

import difflib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GPT", "MODELS", "Layer", "ModelShape", "find_model"]


@dataclass(frozen=True)
class ModelShape:
    """Layers, width and heads of a decoder. The MLP is four times as wide as the model."""

    name: str
    layers: int
    d: int
    heads: int

    def __post_init__(self) -> None:
        for name in ("layers", "d", "heads"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        if self.d % self.heads:
            raise ValueError(f"the width d = {self.d} is not a multiple of {self.heads} heads")

    @property
    def dh(self) -> int:
        """Width of a head."""
        return self.d // self.heads

    @property
    def weights(self) -> int:
        """Weights of the blocks, 12 L d²; embedding and head are not counted, as in the paper."""
        return 12 * self.layers * self.d**2

    def bytes_read(self, T: int) -> int:
        """Bytes of weights and KV cache in BF16 that one token needs at context length T."""
        return 2 * (self.weights + 2 * self.layers * T * self.d)


MODELS = {
    shape.name: shape
    for shape in (
        ModelShape("gpt2-small", 12, 768, 12),
        ModelShape("gpt2-medium", 24, 1024, 16),
        ModelShape("gpt2-large", 36, 1280, 20),
        ModelShape("gpt2-xl", 48, 1600, 25),
        ModelShape("gpt3-small", 12, 768, 12),
        ModelShape("gpt3-medium", 24, 1024, 16),
        ModelShape("gpt3-large", 24, 1536, 16),
        ModelShape("gpt3-xl", 24, 2048, 16),
    )
}


def find_model(name: str) -> ModelShape:
    """A model by its name; capitals, blanks and underscores do not matter.

    Raises:
        ValueError: unknown; names the nearest.
    """
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted in MODELS:
        return MODELS[wanted]
    near = difflib.get_close_matches(wanted, MODELS, n=1, cutoff=0.0)[0]
    raise ValueError(f"unknown model {name!r}; the nearest is {near} (known: {', '.join(MODELS)})")


class Layer(nn.Module):
    """A pre-norm block; its parts carry the names that the simulator loads them by."""

    def __init__(self, d: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln1, self.qkv, self.proj = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.ln2, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        q, k, v = self.qkv(self.ln1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class GPT(nn.Module):
    """A GPT of the given shape on ``vocabulary`` tokens and at most ``context`` positions."""

    def __init__(self, shape: ModelShape, vocabulary: int = 256, context: int = 128):
        super().__init__()
        self.shape, self.context = shape, context
        self.tokens, self.positions = nn.Embedding(vocabulary, shape.d), nn.Embedding(context, shape.d)
        self.blocks = nn.ModuleList(Layer(shape.d, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.d)
        for name, p in self.named_parameters():
            if p.ndim == 2:  # GPT-2's start (0.02 at its width), and less on the way back into the residual stream
                std = 0.5 * shape.d**-0.5
                nn.init.normal_(p, std=std / (2 * shape.layers) ** 0.5 if "proj" in name or "down" in name else std)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T

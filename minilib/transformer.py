"""Blocks, stacks and generation: one transformer, read under different masks.

``Block``           pre-norm attention, optional cross-attention, MLP
``Decoder``         token embedding, blocks, tied head: causal, prefix or bidirectional by the ``prefix`` of each call
``EncoderDecoder``  two stacks joined by cross-attention
``generate``        token by token with a cache of keys and values

Follows T5.1.1 with tied embeddings (Raffel et al. 2020; Wang et al. 2022, §3): RMSNorm, GEGLU, no biases, relative position bias;
rotary or learned positions and other MLPs by keyword. ``B`` batch, ``T`` positions, ``S`` source positions, ``D`` width, ``V`` vocabulary.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minilib.attention import KVCache, MultiHeadAttention, visibility
from minilib.layers import RMSNorm, T5Bias, mlp

__all__ = ["Block", "Decoder", "EncoderDecoder", "Stack", "generate", "greedy", "sampler"]


class Block(nn.Module):
    """x + attention(norm(x)), then, with ``cross``, + cross-attention(norm(x), memory), then + MLP(norm(x))."""

    def __init__(
        self, d: int, heads: int, f: int, *, cross: bool = False, kv_heads: int | None = None, rotary: bool = False, kind: str = "geglu"
    ):
        super().__init__()
        self.norm1, self.attention = RMSNorm(d), MultiHeadAttention(d, heads, kv_heads=kv_heads, rotary=rotary)
        self.norm_cross = RMSNorm(d) if cross else None
        self.cross = MultiHeadAttention(d, heads) if cross else None
        self.norm2, self.mlp = RMSNorm(d), mlp(kind, d, f)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        memory: Float[Tensor, "b s d"] | None = None,
        *,
        memory_mask: Bool[Tensor, "..."] | None = None,
        cross_cache: KVCache | None = None,
        layer: int = 0,
        keep_cross: list[Tensor] | None = None,
        **self_attention,
    ) -> Float[Tensor, "b t d"]:
        x = x + self.attention(self.norm1(x), layer=layer, **self_attention)
        if self.cross is not None and self.norm_cross is not None:
            x = x + self.cross(self.norm_cross(x), memory, mask=memory_mask, cache=cross_cache, layer=layer, keep=keep_cross)
        return x + self.mlp(self.norm2(x))


class Stack(nn.Module):
    """Blocks, the position bias that they share, and a last norm: (B, T, D) → (B, T, D)."""

    def __init__(
        self,
        d: int,
        heads: int,
        layers: int,
        f: int,
        *,
        cross: bool = False,
        kv_heads: int | None = None,
        positions: str = "t5",
        two_sided: bool = True,
        kind: str = "geglu",
    ):
        super().__init__()
        if positions not in ("t5", "rotary", "none"):
            raise ValueError(f"unknown positions {positions!r}; choose t5, rotary or none")
        self.bias = T5Bias(heads, bidirectional=two_sided) if positions == "t5" else None
        rotary = positions == "rotary"
        self.blocks = nn.ModuleList(Block(d, heads, f, cross=cross, kv_heads=kv_heads, rotary=rotary, kind=kind) for _ in range(layers))
        self.norm = RMSNorm(d)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        memory: Float[Tensor, "b s d"] | None = None,
        *,
        prefix: int = 0,
        mask: Bool[Tensor, "..."] | None = None,
        positions: Int[Tensor, "t"] | None = None,
        cache: KVCache | None = None,
        cross_cache: KVCache | None = None,
        memory_mask: Bool[Tensor, "..."] | None = None,
        keep: list[Tensor] | None = None,
        keep_cross: list[Tensor] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Run the blocks.

        Args:
            prefix: the first positions of the whole sequence that see each other; the rest is causal.
            mask: replaces the mask made from ``prefix``; broadcasts to (B, H, T, positions held + T).
            positions: of the T tokens; by default they follow those in the cache.
            cache: keys and values of earlier positions, extended in place.
            keep, keep_cross: lists that record the weights of self- and cross-attention, one tensor a layer.
        """
        held, T = cache.length if cache else 0, x.shape[1]
        causal = mask is None and prefix <= 1 and held == 0 and self.bias is None
        if mask is None and not causal:
            mask = visibility(held + T, min(prefix, held + T)).to(x.device)[held:]
        if positions is None:
            positions = torch.arange(held, held + T, device=x.device)
        bias = None
        if self.bias is not None:
            before = torch.arange(held, device=x.device)
            bias = self.bias(positions, torch.cat([before, positions]))
        for layer, block in enumerate(self.blocks):
            x = block(
                x, memory, layer=layer, mask=mask, bias=bias, causal=causal, positions=positions, cache=cache, keep=keep,
                cross_cache=cross_cache, memory_mask=memory_mask, keep_cross=keep_cross,
            )  # fmt: skip
        return self.norm(x)


class Embedding(nn.Module):
    """Token embedding and the head tied to it: logits = x Eᵀ / √D, so that E may start at N(0, 1)."""

    def __init__(self, vocabulary: int, d: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, d))

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        return self.weight[tokens]

    def logits(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t v"]:
        return x @ self.weight.T / x.shape[-1] ** 0.5


class Decoder(nn.Module):
    """A decoder-only transformer. ``prefix`` chooses its mask: 0 causal, P prefix, T bidirectional (then it is an encoder)."""

    def __init__(self, vocabulary: int, d: int, heads: int, layers: int, f: int, **options):
        super().__init__()
        self.embed, self.stack = Embedding(vocabulary, d), Stack(d, heads, layers, f, **options)

    def hidden(self, tokens: Int[Tensor, "b t"], **call) -> Float[Tensor, "b t d"]:
        """The states before the head; the arguments of ``Stack.forward``."""
        return self.stack(self.embed(tokens), **call)

    def forward(self, tokens: Int[Tensor, "b t"], **call) -> Float[Tensor, "b t v"]:
        return self.embed.logits(self.hidden(tokens, **call))


class EncoderDecoder(nn.Module):
    """An encoder that sees all of the source and a causal decoder that reads its output by cross-attention; one embedding for both."""

    def __init__(self, vocabulary: int, d: int, heads: int, layers: int, f: int, *, decoder_layers: int | None = None, **options):
        super().__init__()
        self.embed = Embedding(vocabulary, d)
        self.encoder = Stack(d, heads, layers, f, **options)
        self.decoder = Stack(d, heads, decoder_layers or layers, f, cross=True, two_sided=False, **options)

    def encode(self, source: Int[Tensor, "b s"], *, real: Bool[Tensor, "b s"] | None = None, keep=None) -> Float[Tensor, "b s d"]:
        """The memory of a source; ``real`` is False at padding."""
        everything = torch.ones(source.shape[1], source.shape[1], dtype=torch.bool, device=source.device)
        mask = everything if real is None else everything & real[:, None, None, :]
        return self.encoder(self.embed(source), mask=mask, keep=keep)

    def decode(
        self, target: Int[Tensor, "b t"], memory: Float[Tensor, "b s d"], *, real: Bool[Tensor, "b s"] | None = None, **call
    ) -> Float[Tensor, "b t v"]:
        """Logits of the target (already shifted right), given the memory; further arguments as in ``Stack.forward``."""
        memory_mask = None if real is None else real[:, None, None, :]
        return self.embed.logits(self.decoder(self.embed(target), memory, memory_mask=memory_mask, **call))

    def forward(
        self, source: Int[Tensor, "b s"], target: Int[Tensor, "b t"], *, real: Bool[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b t v"]:
        return self.decode(target, self.encode(source, real=real), real=real)


# --------------------------------------------------------------------------------------------------------------------- generation


def greedy(logits: Float[Tensor, "b v"]) -> Int[Tensor, "b"]:
    """The most likely token."""
    return logits.argmax(dim=-1)


def sampler(generator: torch.Generator, *, temperature: float = 1.0, top_k: int | None = None) -> Callable[[Tensor], Tensor]:
    """A function that draws from softmax(logits / temperature), from the ``top_k`` most likely tokens where that is given."""

    def sample(logits: Float[Tensor, "b v"]) -> Int[Tensor, "b"]:
        if top_k is not None:
            logits = logits.masked_fill(logits < logits.topk(top_k, dim=-1).values[:, -1:], float("-inf"))
        return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)[:, 0]

    return sample


@torch.no_grad()
def generate(
    model: Decoder | EncoderDecoder,
    prompt: Int[Tensor, "b t"],
    n: int,
    *,
    source: Int[Tensor, "b s"] | None = None,
    prefix: int = 0,
    pick: Callable[[Tensor], Tensor] = greedy,
    stop: int | None = None,
) -> Int[Tensor, "b m"]:
    """The prompt followed by up to ``n`` new tokens.

    Args:
        source: what an encoder–decoder translates; its prompt is the start of the target.
        prefix: how many prompt tokens see each other (prefix decoder). They are read in one go, then cached.
        pick: chooses the next tokens from logits (B, V): ``greedy`` or a ``sampler``.
        stop: ends once every row has produced this token; a row that has ended is filled with it.
    """
    cache, tokens, new = KVCache(), prompt, prompt
    if isinstance(model, EncoderDecoder):
        if source is None:
            raise ValueError("an encoder–decoder generates from source=")
        memory, cross = model.encode(source), KVCache()
        step = lambda t: model.decode(t, memory, cache=cache, cross_cache=cross)  # noqa: E731
    else:
        step = lambda t: model(t, prefix=prefix, cache=cache)  # noqa: E731
    ended = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for _ in range(n):
        chosen = pick(step(new)[:, -1])
        if stop is not None:
            chosen = torch.where(ended, stop, chosen)
            ended = ended | (chosen == stop)
        new = chosen[:, None]
        tokens = torch.cat([tokens, new], dim=1)
        if stop is not None and bool(ended.all()):
            break
    return tokens

"""What a language model is trained to predict: everything, a suffix, or what has been masked out.

``shift_right``   input of a decoder                 ``prefix_split``  prefix LM: loss on the suffix only
``span_corrupt``  T5's masked spans and sentinels    ``mlm_batch``     BERT's masked tokens
``token_loss``    mean negative log-likelihood over weighted positions

``B`` batch, ``T`` positions, ``V`` vocabulary. Follows Wang et al. (2022, §3.2), Raffel et al. (2020) and Devlin et al. (2019).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

__all__ = ["mlm_batch", "prefix_split", "shift_right", "span_corrupt", "token_loss"]


def shift_right(y: Int[Tensor, "b t"], bos: int = 0) -> Int[Tensor, "b t"]:
    """``[BOS, y_0 … y_{T−2}]``: what a decoder reads when it predicts ``y``."""
    return torch.cat([torch.full_like(y[:, :1], bos), y[:, :-1]], dim=1)


def prefix_split(y: Int[Tensor, "b t"], s: int, bos: int = 0) -> tuple[Int[Tensor, "b t"], Float[Tensor, "b t"], int]:
    """A prefix-LM batch in which y_0 … y_{s−1} is given: ``(u, weights, P)``.

    u is y shifted right, so the given tokens stand at positions 1 … s of u, and P = s + 1 positions (BOS with them) see each other.
    Position s holds the last given token and predicts y_s, the first target: the weights are 1 from s on.

    Raises:
        ValueError: unless 1 ≤ s ≤ T − 1.
    """
    if not 1 <= s <= y.shape[1] - 1:
        raise ValueError(f"the split s must lie between 1 and T − 1 = {y.shape[1] - 1}, got {s}")
    weights = (torch.arange(y.shape[1], device=y.device) >= s).float().expand_as(y)
    return shift_right(y, bos), weights, s + 1


def token_loss(logits: Float[Tensor, "b t v"], y: Int[Tensor, "b t"], weights: Float[Tensor, "b t"] | None = None) -> Float[Tensor, ""]:
    """Mean negative log-likelihood in nats; with ``weights``, the weighted mean."""
    nll = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return nll.mean() if weights is None else (nll * weights.flatten()).sum() / weights.sum()


def span_corrupt(
    tokens: Int[Tensor, "l"], generator: torch.Generator, *, sentinels: list[int], eos: int, rate: float = 0.15, span: float = 3.0
) -> tuple[Int[Tensor, "i"], Int[Tensor, "o"]]:
    """T5's span corruption: ``(inputs, targets)``.

    round(rate · L) tokens in round(that / span) spans are cut out; each span leaves a sentinel in the inputs and follows the same
    sentinel in the targets; both end with EOS. The first piece is kept text, and kept and cut pieces alternate.

    Raises:
        ValueError: fewer than two tokens, or fewer sentinels than spans.
    """
    L = len(tokens)
    if L < 2:
        raise ValueError(f"span corruption needs at least two tokens, got {L}")
    noise = min(max(round(rate * L), 1), L - 1)
    spans = min(max(1, round(noise / span)), noise, L - noise)
    if spans > len(sentinels):
        raise ValueError(f"{spans} spans need as many sentinels, got {len(sentinels)}")
    kept, cut = _parts(L - noise, spans, generator), _parts(noise, spans, generator)
    inputs, targets, at = [], [], 0
    for number in range(spans):
        sentinel = tokens.new_tensor([sentinels[number]])
        inputs += [tokens[at : at + kept[number]], sentinel]
        at += kept[number]
        targets += [sentinel, tokens[at : at + cut[number]]]
        at += cut[number]
    end = tokens.new_tensor([eos])
    return torch.cat([*inputs, end]), torch.cat([*targets, end])


def _parts(total: int, k: int, generator: torch.Generator) -> list[int]:
    """``total`` as a sum of k positive numbers, uniformly at random: k − 1 cut points without replacement."""
    cuts = torch.randperm(total - 1, generator=generator)[: k - 1].sort().values + 1
    edges = torch.cat([torch.tensor([0]), cuts, torch.tensor([total])])
    return edges.diff().tolist()


def mlm_batch(
    y: Int[Tensor, "b t"], generator: torch.Generator, *, mask: int, low: int, high: int, rate: float = 0.15
) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"]]:
    """BERT's masking: ``(inputs, chosen)``. Of the chosen positions 80 % become ``mask``, 10 % a random token of [low, high), 10 % stay."""
    u = torch.rand(y.shape, generator=generator)
    chosen, how = u < rate, torch.rand(y.shape, generator=generator)
    chosen[:, 0] |= ~chosen.any(dim=1)  # a row without a chosen token would have no loss
    random = torch.randint(low, high, y.shape, generator=generator)
    inputs = torch.where(chosen & (how < 0.8), mask, y)
    return torch.where(chosen & (how >= 0.9), random, inputs), chosen

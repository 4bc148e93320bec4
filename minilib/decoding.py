"""Decoding beyond one token at a time: beams, ranked options, trees of drafts and their verification.

``beam_search``           the best continuations by summed log-probability       ``rank_options``  which answer is likeliest
``TokenTree``             drafts that share prefixes                             ``tree_logits``   all nodes in one pass
``verify_greedy``         what greedy decoding would have written                ``verify_sample`` the same in distribution
``speculate``             draft, verify, keep; counts the passes of the large model

The verifiers follow Leviathan et al. (2023) and SpecInfer (Miao et al. 2024, Algorithm 2). ``V`` vocabulary, ``n`` nodes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minilib.attention import KVCache, tree_visibility
from minilib.transformer import Decoder, EncoderDecoder

__all__ = [
    "TokenTree",
    "beam_search",
    "rank_options",
    "speculate",
    "tree_logits",
    "verify_drawn",
    "verify_greedy",
    "verify_sample",
]


@torch.no_grad()
def beam_search(
    step: Callable[[Int[Tensor, "w t"]], Float[Tensor, "w v"]],
    prompt: Int[Tensor, "t"],
    *,
    width: int,
    length: int,
    stop: int | None = None,
    legal: Callable[[Int[Tensor, "w t"]], Bool[Tensor, "w v"]] | None = None,
) -> tuple[Int[Tensor, "w m"], Float[Tensor, "w"]]:
    """The ``width`` best sequences found, best first, with their summed log-probabilities.

    Args:
        step: logits of the next token for a batch of sequences.
        length: new tokens at most.
        stop: a sequence that has produced it is complete; the rest of its row is filled with it.
        legal: which tokens may come next, True or False for each.
    """
    beams, scores = prompt[None], torch.zeros(1)
    ended = torch.zeros(1, dtype=torch.bool)
    for _ in range(length):
        logp = step(beams).log_softmax(-1).to(scores.dtype)
        if legal is not None:
            logp = logp.masked_fill(~legal(beams), float("-inf"))
        if stop is not None:  # an ended beam goes on in one way only, at no cost
            only = torch.full_like(logp[0], float("-inf"))
            only[stop] = 0.0
            logp = torch.where(ended[:, None], only, logp)
        total = (scores[:, None] + logp).flatten()
        possible = int((total > float("-inf")).sum())
        if possible == 0:
            break
        scores, flat = total.topk(min(width, possible))
        token = flat % logp.shape[1]
        beams = torch.cat([beams[flat // logp.shape[1]], token[:, None]], dim=1)
        if stop is not None:
            ended = ended[flat // logp.shape[1]] | (token == stop)
            if bool(ended.all()):
                break
    return beams, scores


@torch.no_grad()
def rank_options(
    model: Decoder | EncoderDecoder, prompt: Int[Tensor, "b p"], options: Int[Tensor, "b c l"], *, two_sided: bool = False, bos: int = 0
) -> Float[Tensor, "b c"]:
    """``Σ_t log p(option_t | prompt, option_<t)`` of every option: rank classification (Wang et al. 2022, §3.5).

    Args:
        two_sided: the prompt's positions see each other (prefix decoder). An encoder–decoder reads the prompt with its encoder.
    """
    B, C, L = options.shape
    prompts, flat = prompt.repeat_interleave(C, 0), options.flatten(0, 1)
    start = torch.full_like(flat[:, :1], bos)
    if isinstance(model, EncoderDecoder):
        logits = model(prompts, torch.cat([start, flat[:, :-1]], dim=1))
    else:
        tokens = torch.cat([start, prompts, flat[:, :-1]], dim=1)
        logits = model(tokens, prefix=prompt.shape[1] + 1 if two_sided else 0)[:, -L:]
    return logits.log_softmax(-1).gather(2, flat[..., None]).sum((1, 2)).view(B, C)


# ------------------------------------------------------------------------------------------------------------------- token trees


@dataclass(frozen=True)
class TokenTree:
    """Drafted tokens that share prefixes. ``parents[i]`` < i; −1 marks the root, which is the last verified token."""

    parents: list[int]
    tokens: Int[Tensor, "n"]

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.tokens):
            raise ValueError(f"{len(self.parents)} parents for {len(self.tokens)} tokens")

    @classmethod
    def product(cls, root: int, choices: list[Tensor]) -> "TokenTree":
        """The Cartesian tree: every node of depth k has one child for each token of ``choices[k]``."""
        parents, tokens, level = [-1], [root], [0]
        for options in choices:
            below = []
            for node in level:
                for token in options.tolist():
                    below.append(len(tokens))
                    parents.append(node)
                    tokens.append(token)
            level = below
        return cls(parents, torch.tensor(tokens))

    @property
    def mask(self) -> Bool[Tensor, "n n"]:
        """Every node sees itself and its ancestors."""
        return tree_visibility(self.parents)

    @property
    def depth(self) -> Int[Tensor, "n"]:
        """Steps from the root."""
        return self.mask.sum(1) - 1

    def children(self, node: int) -> list[int]:
        """The nodes that continue ``node``."""
        return [i for i, parent in enumerate(self.parents) if parent == node]

    def path(self, node: int) -> list[int]:
        """Nodes from the root down to ``node``."""
        return self.mask[node].nonzero().flatten().tolist()

    def prune(self, keep: list[int]) -> "TokenTree":
        """The tree of these nodes, which must hold the parents of all of them."""
        place = {old: new for new, old in enumerate(sorted(keep))} | {-1: -1}
        return TokenTree([place[self.parents[i]] for i in sorted(keep)], self.tokens[sorted(keep)])


@torch.no_grad()
def tree_logits(model: Decoder, tree: TokenTree, cache: KVCache) -> Float[Tensor, "n v"]:
    """Logits at every node in one pass. The cache grows by n rows in the order of the nodes."""
    held, n = cache.length, len(tree.tokens)
    mask = torch.cat([torch.ones(n, held, dtype=torch.bool), tree.mask], dim=1)
    return model(tree.tokens[None], mask=mask, positions=held + tree.depth, cache=cache)[0]


# ------------------------------------------------------------------------------------------------------------------- verification


def verify_greedy(tree: TokenTree, logits: Float[Tensor, "n v"]) -> tuple[list[int], list[int]]:
    """``(tokens, path)``: walk down while a child carries the most likely token; that token is written either way.

    ``path`` holds the accepted nodes, the root first; ``tokens`` what was written: one more than accepted drafts.
    """
    return _walk(tree, lambda node: int(logits[node].argmax()))


def verify_sample(tree: TokenTree, p: Float[Tensor, "n v"], generator: torch.Generator) -> tuple[list[int], list[int]]:
    """The same for sampling when the drafts are given (top-k, not drawn): draw from p first, descend if a child has that token.

    What is written has exactly the distribution of sampling from p one token at a time.
    """
    return _walk(tree, lambda node: int(torch.multinomial(p[node], 1, generator=generator)))


def _walk(tree: TokenTree, pick: Callable[[int], int]) -> tuple[list[int], list[int]]:
    node, tokens, path = 0, [], [0]
    while True:
        tokens.append(pick(node))
        matching = [child for child in tree.children(node) if int(tree.tokens[child]) == tokens[-1]]
        if not matching:
            return tokens, path
        node = matching[0]
        path.append(node)


def verify_drawn(p: Float[Tensor, "v"], q: Float[Tensor, "v"], drafts: list[int], generator: torch.Generator) -> tuple[int, int | None]:
    """One node when the drafts were drawn from q: ``(token, which draft was accepted)``.

    Draft x is accepted with probability min(1, p(x)/q(x)); after a rejection p becomes normalise(max(p − q, 0)); if none is left the
    token is drawn from what p has become. Drafts must be independent draws from q.
    """
    p = p.clone()
    for number, x in enumerate(drafts):
        if float(torch.rand((), generator=generator)) * float(q[x]) < float(p[x]):
            return x, number
        rest = (p - q).clamp(min=0)
        p = rest / rest.sum() if float(rest.sum()) > 0 else p
    return int(torch.multinomial(p, 1, generator=generator)), None


@torch.no_grad()
def speculate(
    model: Decoder,
    prompt: Int[Tensor, "t"],
    n: int,
    drafter: Callable[[Int[Tensor, "t"]], TokenTree],
    verify: Callable[[TokenTree, Float[Tensor, "n v"]], tuple[list[int], list[int]]] = verify_greedy,
) -> tuple[Int[Tensor, "m"], int]:
    """``(tokens, passes)``: the prompt and n new tokens, and how often the large model ran after reading the prompt.

    Args:
        drafter: given all verified tokens, a tree whose root is the last of them.
        verify: takes the tree and the logits of its nodes.
    """
    cache, tokens, passes = KVCache(), prompt, 0
    if len(prompt) > 1:
        model(prompt[None, :-1], cache=cache)
    while len(tokens) < len(prompt) + n:
        tree = drafter(tokens)
        if int(tree.tokens[0]) != int(tokens[-1]):
            raise ValueError("the root of the drafted tree must be the last verified token")
        held = cache.length
        written, path = verify(tree, tree_logits(model, tree, cache))
        cache.keep_rows(torch.cat([torch.arange(held), held + torch.tensor(path)]))
        tokens = torch.cat([tokens, torch.tensor(written)])
        passes += 1
    return tokens[: len(prompt) + n], passes

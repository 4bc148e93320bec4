"""Known answers to the exercise of *The transformer, from zero*."""

import torch

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------------- 1 · ALiBi

WRONG_1 = {
    "counts heads from 0: the first head has slope 1": replace("torch.arange(1, heads + 1)", "torch.arange(heads)"),
    "rewards distance instead of punishing it": replace("-slope[:, None, None]", "slope[:, None, None]"),
    "leaves the future open": replace('.masked_fill(back < 0, float("-inf"))', ""),
    "hides the position itself": replace("back < 0", "back <= 0"),
    "takes the distance from key to query, so that the past is hidden": replace(
        "torch.arange(T)[:, None] - torch.arange(T)", "torch.arange(T) - torch.arange(T)[:, None]"
    ),
}
RIGHT_1 = {
    "three loops": """
def alibi(heads, T):
    out = torch.full((heads, T, T), -math.inf)
    for h in range(heads):
        for i in range(T):
            for j in range(i + 1):
                out[h, i, j] = -(i - j) / 2 ** (8 * (h + 1) / heads)
    return out
""",
    "einsum, and a triangle of −inf added": """
def alibi(heads, T):
    t = torch.arange(T, dtype=torch.float32)
    slope = torch.tensor([2 ** (-8 * h / heads) for h in range(1, heads + 1)])
    future = torch.full((T, T), -math.inf).triu(1)
    return torch.einsum("h,ij->hij", slope, (t - t[:, None]).tril()) + future
""",
}


def PROBE_1(answer):
    return answer["alibi"](3, 4).nan_to_num(nan=7e3, neginf=-9e3)


# ----------------------------------------------------------------------------------------------------------- 2 · cross-attention

SPLIT = """
def cross(x, memory, real, W_q, W_k, W_v, W_o, heads):
    B, Q, D = x.shape
    S, K = memory.shape[1], D // heads
    q = (x @ W_q.T).view(B, Q, heads, K).transpose(1, 2)
    k = (memory @ W_k.T).view(B, S, heads, K).transpose(1, 2)
    v = (memory @ W_v.T).view(B, S, heads, K).transpose(1, 2)
    weights = (q @ k.mT / SCALE**0.5).softmax(dim=-1)
    weights = weights * real[:, None, None, :]RENORM
    return (weights @ v).transpose(1, 2).reshape(B, Q, D) @ W_o.T
"""
WRONG_2 = {
    "is the layer as it was found": """
def cross(x, memory, real, W_q, W_k, W_v, W_o, heads):
    return cross_as_found(x, memory, real, W_q, W_k, W_v, W_o, heads)
""",
    "splits the heads by a reshape that mixes positions": replace(
        "return y.unflatten(-1, (heads, -1)).transpose(1, 2)", "return y.reshape(len(y), heads, y.shape[1], -1)"
    ),
    "divides by the root of the whole width D": replace("q.shape[-1] ** 0.5", "x.shape[-1] ** 0.5"),
    "hides the padding after the softmax, so that the weights no longer sum to 1": SPLIT.replace("SCALE", "K").replace("RENORM", ""),
    "merges the heads without swapping the axes back": replace(
        "(weights @ v).transpose(1, 2).flatten(-2)", "(weights @ v).reshape(x.shape)"
    ),
    "lets everybody see the padding": replace('scores.masked_fill(~real[:, None, None, :], float("-inf"))', "scores"),
}
RIGHT_2 = {
    "renormalises after hiding": SPLIT.replace("SCALE", "K").replace("RENORM", "\n    weights = weights / weights.sum(-1, keepdim=True)"),
    "einsum, and a large negative number": """
def cross(x, memory, real, W_q, W_k, W_v, W_o, heads):
    from einops import rearrange
    q, k, v = (rearrange(y @ W.T, "b t (h k) -> b h t k", h=heads) for y, W in ((x, W_q), (memory, W_k), (memory, W_v)))
    scores = torch.einsum("bhqk,bhsk->bhqs", q, k) * (q.shape[-1] ** -0.5) + torch.where(real, 0.0, -1e9)[:, None, None]
    return rearrange(torch.softmax(scores, -1) @ v, "b h t k -> b t (h k)") @ W_o.T
""",
    "one head after the other": """
def cross(x, memory, real, W_q, W_k, W_v, W_o, heads):
    K, parts = x.shape[-1] // heads, []
    for h in range(heads):
        r = slice(h * K, (h + 1) * K)
        scores = (x @ W_q[r].T) @ (memory @ W_k[r].T).transpose(1, 2) / math.sqrt(K)
        scores[(~real)[:, None, :].expand_as(scores)] = -math.inf
        parts.append(torch.softmax(scores, dim=2) @ (memory @ W_v[r].T))
    return torch.cat(parts, dim=-1) @ W_o.T
""",
}


def PROBE_2(answer):
    g = torch.Generator().manual_seed(3)
    x, memory, W = (torch.randn(*shape, generator=g) for shape in ((2, 4, 8), (2, 4, 8), (4, 8, 8)))
    real = torch.tensor([[True, True, False, True], [True, False, False, False]])
    return answer["cross"](x, memory, real, *W, heads=2)


# ------------------------------------------------------------------------------------------------------------------ 3 · the cache

WRONG_3 = {
    "appends after attending, so the new token does not see itself": """
def step(q, k, v, cache, window):
    past = (k, v) if cache is None else cache
    shared = q.shape[1] // k.shape[1]
    keys, values = past[0].repeat_interleave(shared, dim=1), past[1].repeat_interleave(shared, dim=1)
    o = (q @ keys.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ values
    if cache is not None:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    return o, (k[:, :, -window:], v[:, :, -window:])
""",
    "repeats the heads in the wrong order": """
def step(q, k, v, cache, window):
    if cache is not None:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    cache = k[:, :, -window:], v[:, :, -window:]
    shared = q.shape[1] // k.shape[1]
    k, v = (c.repeat(1, shared, 1, 1) for c in cache)
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v, cache
""",
    "keeps the oldest positions instead of the newest": replace(
        "k, v = k[:, :, -window:], v[:, :, -window:]", "k, v = k[:, :, :window], v[:, :, :window]"
    ),
    "never forgets": replace("    k, v = k[:, :, -window:], v[:, :, -window:]\n", ""),
    "caches the repeated heads": """
def step(q, k, v, cache, window):
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    if cache is not None:
        k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
    k, v = k[:, :, -window:], v[:, :, -window:]
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v, (k, v)
""",
    "keeps one position too many": replace(
        "k, v = k[:, :, -window:], v[:, :, -window:]", "k, v = k[:, :, -window - 1 :], v[:, :, -window - 1 :]"
    ),
}
RIGHT_3 = {
    "groups the queries instead of repeating the keys": """
def step(q, k, v, cache, window):
    keys, values = (k, v) if cache is None else (torch.cat([a, b], dim=-2) for a, b in zip(cache, (k, v)))
    start = max(0, keys.shape[-2] - window)
    keys, values = keys[..., start:, :], values[..., start:, :]
    B, H, _, K = q.shape
    grouped = q.view(B, keys.shape[1], -1, K)
    return ((grouped @ keys.mT / math.sqrt(K)).softmax(-1) @ values).view(B, H, 1, K), (keys, values)
""",
    "one head after the other": """
def step(q, k, v, cache, window):
    old = () if cache is None else cache
    keys = torch.cat([*old[:1], k], 2)[:, :, -window:]
    values = torch.cat([*old[1:], v], 2)[:, :, -window:]
    out = torch.empty_like(q)
    for h in range(q.shape[1]):
        g = h * k.shape[1] // q.shape[1]
        scores = torch.einsum("bqk,bsk->bqs", q[:, h], keys[:, g]) / q.shape[-1] ** 0.5
        out[:, h] = torch.softmax(scores, -1) @ values[:, g]
    return out, (keys, values)
""",
}


def PROBE_3(answer):
    g = torch.Generator().manual_seed(5)
    q = torch.randn(2, 4, 4, 3, generator=g)
    k, v = torch.randn(2, 2, 2, 4, 3, generator=g)
    cache, seen = None, []
    for t in range(4):
        o, cache = answer["step"](q[:, :, t : t + 1], k[:, :, t : t + 1], v[:, :, t : t + 1], cache, 2)
        seen += [o, cache[0]]
    return seen


# ------------------------------------------------------------------------------------------------------------------ 4 · the check

WRONG_4 = {
    "looks at the first position only": replace("model(changed)[1, : t + 1], before[1, : t + 1]", "model(changed)[1, :1], before[1, :1]"),
    "compares the logits at t + 1 as well": replace(
        "model(changed)[1, : t + 1], before[1, : t + 1]", "model(changed)[1, : t + 2], before[1, : t + 2]"
    ),
    "never looks across the batch": replace(
        "changed[1, : t + 1] = tokens[1, : t + 1]",
        "changed[1, : t + 1] = tokens[1, : t + 1]\n            changed[0], changed[2] = tokens[0], tokens[2]",
    ),
    "changes the token at t itself": replace("changed[1, : t + 1] = tokens[1, : t + 1]", "changed[1, :t] = tokens[1, :t]"),
    "accepts every model": "def reads_only_the_past(model, V, T):\n    return True\n",
}
RIGHT_4 = {
    "one change at a time, every position": """
def reads_only_the_past(model, V, T):
    torch.manual_seed(0)
    tokens = torch.randint(V, (2, T))
    before = model(tokens)
    for b in range(2):
        for j in range(T):
            for shift in range(1, V):
                changed = tokens.clone()
                changed[b, j] = (changed[b, j] + shift) % V
                moved = (model(changed) - before).abs().amax(-1) > 1e-6
                if moved[1 - b].any() or moved[b, :j].any():
                    return False
    return True
""",
    "a prefix alone must give what it gives inside a batch of longer texts": """
def reads_only_the_past(model, V, T):
    torch.manual_seed(1)
    for _ in range(3):
        tokens = torch.randint(V, (4, T))
        whole = model(tokens)
        for t in range(T):
            if float((model(tokens[2:3, : t + 1])[0] - whole[2, : t + 1]).abs().max()) > 1e-6:
                return False
    return True
""",
}


def PROBE_4(answer):
    E = torch.randn(5, 5, generator=torch.Generator().manual_seed(2))
    past = lambda tokens: E[tokens].cumsum(1)  # noqa: E731
    models = [
        past,
        lambda tokens: torch.cat([past(tokens)[:, :1], past(tokens)[:, 1:] + E[tokens[:, -1:]]], dim=1),
        lambda tokens: torch.cat([past(tokens)[:, :1] + E[tokens[:, -1:]], past(tokens)[:, 1:]], dim=1),
        lambda tokens: past(tokens) + E[tokens.roll(1, dims=0)],
        lambda tokens: E[tokens],
    ]
    return [bool(answer["reads_only_the_past"](model, 5, 4)) for model in models]


# the lesson's own code, fitted to the signatures
PASTED = {
    1: """
def alibi(heads, T):
    i, j = torch.arange(T)[:, None], torch.arange(T)
    return (j - i).float().expand(heads, T, T)
""",
    2: """
def cross(x, memory, real, W_q, W_k, W_v, W_o, heads):
    split = lambda y: y.unflatten(-1, (heads, -1)).transpose(1, 2)
    q, k, v = split(x @ W_q.T), split(memory @ W_k.T), split(memory @ W_v.T)
    o = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
    return o.transpose(1, 2).flatten(-2) @ W_o.T
""",
    3: """
def step(q, k, v, cache, window):
    if cache is not None:
        k, v = torch.cat([cache[0], k], dim=-2), torch.cat([cache[1], v], dim=-2)
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v, (k, v)
""",
    4: """
def reads_only_the_past(model, V, T):
    tokens = torch.zeros(1, T, dtype=torch.long)
    changed = (tokens + torch.eye(T, dtype=torch.long)) % V
    moved = ((model(changed) - model(tokens)).abs().amax(dim=-1) > 1e-6).T
    return bool((moved <= torch.ones(T, T, dtype=torch.bool).tril()).all())
""",
}

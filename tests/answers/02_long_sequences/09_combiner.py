"""Known answers to the exercise of lesson 09."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------- 1 · a region with holes

WRONG_1 = {
    "lets padding into the maximum": replace(
        "q_region = q.masked_fill(hole, -math.inf).amax(-2).masked_fill(empty, 0)\n    k_region = k.masked_fill(hole, -math.inf)",
        "q_region = q.nan_to_num(0).amax(-2)\n    k_region = k.nan_to_num(0)",
    ),
    "gives padding a weight": replace("scores.masked_fill(hole, -1e9)", "scores"),
    "multiplies by the mask, so that nan stays": replace("v.masked_fill(hole, 0)", "v * real[..., None]"),
    "takes the mean of the keys": replace(
        "k_region = k.masked_fill(hole, -math.inf).amax(-2)", "k_region = (k.masked_fill(hole, 0).sum(-2) / real.sum(-1, keepdim=True))"
    ),
}
RIGHT_1 = {
    "region by region": """
def summary_with_holes(q, k, v, real):
    lead, E = real.shape[:-1], v.shape[-1]
    keys, values = [], []
    for Q, R, W, there in zip(*(x.reshape(-1, *x.shape[len(lead):]) for x in (q, k, v, real)), strict=True):
        Q, R, W = Q[there], R[there], W[there]
        if len(Q) == 0:
            keys.append(torch.zeros(k.shape[-1]))
            values.append(torch.zeros(E))
            continue
        keys.append(R.max(0).values)
        values.append((R @ Q.max(0).values / R.shape[1] ** 0.5).softmax(0) @ W)
    return torch.stack(keys).reshape(*lead, -1), torch.stack(values).reshape(*lead, -1)
""",
    "with torch.where and a softmax by hand": """
def summary_with_holes(q, k, v, real):
    there = real.unsqueeze(-1)
    low = torch.tensor(-math.inf)
    top = lambda x: torch.where(there, x, low).max(-2).values
    q_region, k_region = (torch.where(there.any(-2), top(x), torch.zeros(())) for x in (q, k))
    scores = torch.einsum("...sd,...d->...s", torch.where(there, k, torch.zeros(())), q_region) / k.shape[-1] ** 0.5
    e = torch.where(real, (scores - scores.max(-1, keepdim=True).values).exp(), torch.zeros(()))
    e = e / e.sum(-1, keepdim=True).clamp(min=1e-30)
    return k_region, torch.einsum("...s,...se->...e", e, torch.where(there, v, torch.zeros(())))
""",
}


def PROBE_1(answer):
    torch, math = answer["torch"], answer["math"]
    x = torch.linspace(-2, 2, 30).sin().reshape(2, 5, 3)
    real = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 1, 0, 0]]).bool()
    out = []
    for bad in (9.0, math.nan):
        holed = x.masked_fill(~real[..., None], bad)
        out += [*answer["summary_with_holes"](holed.roll(1, -1), holed, holed.flip(-1), real)]
    return [torch.nan_to_num(y, 77.0) for y in out]


# ----------------------------------------------------------------------------------------------------- 2 · one token at a time

WRONG_2 = {
    "closes the span before its last position is answered": """
def decode(q, k, v, s):
    queries, open_keys, open_values, region_keys, region_values, out = [], [], [], [], [], []
    for t in range(len(q)):
        queries.append(q[t])
        open_keys.append(k[t])
        open_values.append(v[t])
        if len(open_keys) == s:
            key, value = summary(torch.stack(queries), torch.stack(open_keys), torch.stack(open_values))
            region_keys.append(key)
            region_values.append(value)
            queries, open_keys, open_values = [], [], []
        keys, values = torch.stack([*open_keys, *region_keys]), torch.stack([*open_values, *region_values])
        p = (keys @ q[t] / q.shape[-1] ** 0.5).softmax(0)
        out.append(p @ values)
    return torch.stack(out)
""",
    "keeps two softmaxes": """
def decode(q, k, v, s):
    queries, open_keys, open_values, region_keys, region_values, out = [], [], [], [], [], []
    for t in range(len(q)):
        queries.append(q[t])
        open_keys.append(k[t])
        open_values.append(v[t])
        y = 0 * v[t]
        for keys, values in ((open_keys, open_values), (region_keys, region_values)):
            if keys:
                p = (torch.stack(keys) @ q[t] / q.shape[-1] ** 0.5).softmax(0)
                y = y + p @ torch.stack(values)
        out.append(y)
        if len(open_keys) == s:
            key, value = summary(torch.stack(queries), torch.stack(open_keys), torch.stack(open_values))
            region_keys.append(key)
            region_values.append(value)
            queries, open_keys, open_values = [], [], []
    return torch.stack(out)
""",
    "never empties the open span": replace("            queries, open_keys, open_values = [], [], []\n", ""),
    "summarises with the current query": replace("summary(torch.stack(queries),", "summary(torch.stack([q[t]] * s),"),
}
RIGHT_2 = {
    "by slices": """
def decode(q, k, v, s):
    out, regions = [], []
    for t in range(len(q)):
        start = t - t % s
        if t and t % s == 0:
            regions.append(summary(q[t - s : t], k[t - s : t], v[t - s : t]))
        keys = torch.cat([k[start : t + 1], *(key[None] for key, _ in regions)])
        values = torch.cat([v[start : t + 1], *(value[None] for _, value in regions)])
        out.append((keys @ q[t] / q.shape[-1] ** 0.5).softmax(0) @ values)
    return torch.stack(out)
""",
    "with exponentials and one sum": """
def decode(q, k, v, s):
    seen, out, start = [], [], 0
    for t in range(len(q)):
        top, total = torch.zeros_like(v[0]), torch.zeros((), dtype=v.dtype)
        for key, value in [*seen, *zip(k[start : t + 1], v[start : t + 1])]:
            e = torch.exp((key * q[t]).sum() / q.shape[1] ** 0.5)
            top, total = top + e * value, total + e
        out.append(top / total)
        if t - start == s - 1:
            seen.append(summary(q[start : t + 1], k[start : t + 1], v[start : t + 1]))
            start = t + 1
    return torch.stack(out)
""",
}


def PROBE_2(answer):
    x = answer["torch"].linspace(-3, 3, 36).sin().reshape(9, 4)
    try:
        return [answer["decode"](x.flip(0), x, x.roll(1, 0), s) for s in (1, 3, 4)]
    except RuntimeError:
        return [float("inf")]


# -------------------------------------------------------------------------------------------------- 3 · both ways, any length

WRONG_3 = {
    "uses the own span as a region too": replace(
        "far = (q @ k_region.mT * scale).masked_fill(span[:, None] == torch.arange(len(regions)), -math.inf)",
        "far = q @ k_region.mT * scale",
    ),
    "sees earlier spans only": replace("span[:, None] == torch.arange(len(regions))", "span[:, None] <= torch.arange(len(regions))"),
    "stays causal in the own span": replace(
        "masked_fill(span[:, None] != span, -math.inf)",
        "masked_fill((span[:, None] != span) | (torch.arange(L) > torch.arange(L)[:, None]), -math.inf)",
    ),
    "takes two softmaxes": replace(
        "p = torch.cat([own, far], -1).softmax(-1)", "p = torch.cat([own.softmax(-1), far.softmax(-1).nan_to_num(0)], -1)"
    ),
    "pads the last span with zeros": """
def combiner_both_ways(q, k, v, s):
    L, scale = q.shape[-2], q.shape[-1] ** -0.5
    n = -(-L // s)
    Q, R, W = (F.pad(x, (0, 0, 0, n * s - L)).unflatten(-2, (n, s)) for x in (q, k, v))
    k_region, v_region = summary(Q, R, W)
    span = torch.arange(L) // s
    own = (q @ k.mT * scale).masked_fill(span[:, None] != span, -math.inf)
    far = (q @ k_region.mT * scale).masked_fill(span[:, None] == torch.arange(n), -math.inf)
    p = torch.cat([own, far], -1).softmax(-1)
    return p[..., :L] @ v + p[..., L:] @ v_region
""",
}
RIGHT_3 = {
    "span by span": """
def combiner_both_ways(q, k, v, s):
    cuts = [slice(a, min(a + s, q.shape[-2])) for a in range(0, q.shape[-2], s)]
    done = [summary(q[..., c, :], k[..., c, :], v[..., c, :]) for c in cuts]
    out = []
    for number, c in enumerate(cuts):
        others = [x for other, x in enumerate(done) if other != number]
        keys = torch.cat([k[..., c, :], *(key.unsqueeze(-2) for key, _ in others)], -2)
        values = torch.cat([v[..., c, :], *(value.unsqueeze(-2) for _, value in others)], -2)
        out.append((q[..., c, :] @ keys.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ values)
    return torch.cat(out, -2)
""",
    "one key matrix and an additive mask": """
def combiner_both_ways(q, k, v, s):
    L = q.shape[-2]
    done = [summary(q[..., a : a + s, :], k[..., a : a + s, :], v[..., a : a + s, :]) for a in range(0, L, s)]
    keys = torch.cat([k, torch.stack([x for x, _ in done], -2)], -2)
    values = torch.cat([v, torch.stack([x for _, x in done], -2)], -2)
    span = torch.arange(L) // s
    allowed = torch.cat([span[:, None] == span, span[:, None] != torch.arange(len(done))], -1)
    bias = torch.zeros(allowed.shape, dtype=q.dtype).masked_fill(~allowed, -1e9)
    return torch.softmax(torch.einsum("...ld,...md->...lm", q, keys) / math.sqrt(q.shape[-1]) + bias, -1) @ values
""",
}


def PROBE_3(answer):
    x = answer["torch"].linspace(-3, 3, 40).sin().reshape(10, 4)
    return [answer["combiner_both_ways"](x.flip(0)[:L], x[:L], x.roll(1, 0)[:L], s) for L, s in ((10, 4), (8, 4), (6, 2))]


# ------------------------------------------------------------------------------------- 4 · the right region, the wrong position

WRONG_4 = {
    "has no decoy: one of the two may be found": replace("    q[2, 2] = k[2, 2] = 6\n", ""),
    "gives the decoy a key but no query": replace("q[2, 2] = k[2, 2] = 6", "k[2, 2] = 6"),
    "hides the whole span": """
def blind_spot():
    q, k = torch.zeros(32, 4), torch.zeros(32, 4)
    q[31, 0] = k[0, 0] = 6
    q[30, 1] = k[1, 1] = 6
    q[31, 1] = q[30, 0] = -6
    q[2, 2] = k[2, 2] = 6
    return q, k
""",
    "puts the decoy into another span": replace("q[2, 2] = k[2, 2] = 6", "q[10, 2] = k[10, 2] = 6"),
}
RIGHT_4 = {
    "a decoy on the last feature, negative searches": """
def blind_spot():
    q, k = torch.zeros(32, 4), torch.zeros(32, 4)
    q[31] = torch.tensor([7.0, 0, 0, 0])
    q[30] = torch.tensor([0, 7.0, 0, 0])
    k[0], k[1] = q[31].clone(), q[30].clone()
    q[5, 3], k[5, 3] = 9.0, 9.0
    return q, k
""",
    "each searched position is its own decoy's neighbour": """
def blind_spot():
    features = torch.eye(4)
    q, k = torch.zeros(32, 4), torch.zeros(32, 4)
    for feature, (asks, holds) in enumerate([(31, 0), (30, 1), (7, 7)]):
        q[asks], k[holds] = 8 * features[feature], 8 * features[feature]
    return q, k
""",
}


def PROBE_4(answer):
    full, combiner = answer["weights"](*answer["blind_spot"]())
    return [full[31, 0], full[30, 1], combiner[31, :8].sum(), combiner[31, 0], combiner[30, 1], combiner[31, 8:16].sum()]


# ------------------------------------------------------------------------------------------ 5 · sees everything, and nothing else

WRONG_5 = {
    "accepts everything": """
def passes(mix):
    return True
""",
    "asks for full attention itself": """
def passes(mix):
    q, k, v = torch.randn(16, 4), torch.randn(16, 4), torch.randn(16, 3)
    return bool(torch.allclose(mix(q, k, v), full_attention(q, k, v), atol=1e-4))
""",
    "looks at the sums and the future only": """
def passes(mix):
    w = mix(torch.randn(16, 4), torch.randn(16, 4), torch.eye(16))
    return bool(((w.sum(1) - 1).abs() < 1e-4).all()) and bool(w.triu(1).abs().max() < 1e-9)
""",
}
RIGHT_5 = {
    "column by column": """
def passes(mix):
    L = 16
    q, k = torch.randn(L, 4), torch.randn(L, 4)
    w = torch.stack([mix(q, k, F.one_hot(torch.tensor(j), L).float()[:, None])[:, 0] for j in range(L)], 1)
    whole = mix(q, k, torch.eye(L))
    v = 20 * torch.randn(L, 5)
    same = torch.allclose(w, whole, atol=1e-4) and torch.allclose(mix(q, k, v), w @ v, atol=5e-3)
    lower = torch.ones(L, L).tril() > 0
    return bool(same and (w[lower] > 1e-9).all() and (w[~lower].abs() < 1e-9).all() and torch.allclose(w.sum(1), torch.ones(L), atol=1e-4))
""",
    "in numbers of one list": """
def passes(mix):
    bad = 0
    for L in (8, 32):
        q, k = torch.randn(L, 3), torch.randn(L, 3)
        w = mix(q, k, torch.eye(L))
        for i in range(L):
            bad += int((w[i, : i + 1] <= 1e-9).sum()) + int((w[i, i + 1 :].abs() > 1e-9).sum()) + int(abs(float(w[i].sum()) - 1) > 1e-4)
        for size in (1.0, 30.0):
            v = size * torch.randn(L, 2)
            bad += int(((mix(q, k, v) - w @ v).abs() > 1e-4 * size).sum())
    return bad == 0
""",
}


def PROBE_5(answer):
    torch, full = answer["torch"], answer["full_attention"]
    torch.manual_seed(0)
    functions = [
        full,
        lambda q, k, v: v.cumsum(0) / torch.arange(1, len(v) + 1)[:, None],
        lambda q, k, v: 2 * full(q, k, v),
        lambda q, k, v: (q @ k.T).softmax(-1) @ v,
        lambda q, k, v: torch.cat([full(q[a : a + 8], k[a : a + 8], v[a : a + 8]) for a in range(0, len(q), 8)]),
        lambda q, k, v: full(q * v.abs().amax(), k, v),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def summary_with_holes(q, k, v, real):
    q_region, k_region = q.amax(-2), k.amax(-2)
    inside = (k @ q_region[..., None] / q.shape[-1] ** 0.5).softmax(-2)
    return k_region, (inside * v).sum(-2)
""",
    2: """
def decode(q, k, v, s):
    if len(q) % s:
        return torch.zeros_like(v)
    q, k, v = (x.unflatten(-2, (-1, s)) for x in (q, k, v))
    n, scale = q.shape[-3], q.shape[-1] ** -0.5
    k_region, v_region = summary(q, k, v)
    direct = (q @ k.mT * scale).masked_fill(torch.ones(s, s).triu(1).bool(), -torch.inf)
    strictly_before = torch.arange(n) < torch.arange(n)[:, None, None]
    regions = (q @ k_region[..., None, :, :].mT * scale).masked_fill(~strictly_before, -torch.inf)
    p_direct, p_region = torch.cat([direct, regions], -1).softmax(-1).split([s, n], -1)
    return (p_direct @ v + p_region @ v_region[..., None, :, :]).flatten(-3, -2)
""",
    3: """
def combiner_both_ways(q, k, v, s):
    q, k, v = (x.unflatten(-2, (-1, s)) for x in (q, k, v))
    n, scale = q.shape[-3], q.shape[-1] ** -0.5
    k_region, v_region = summary(q, k, v)
    direct = q @ k.mT * scale
    strictly_before = torch.arange(n) < torch.arange(n)[:, None, None]
    regions = (q @ k_region[..., None, :, :].mT * scale).masked_fill(~strictly_before, -torch.inf)
    p_direct, p_region = torch.cat([direct, regions], -1).softmax(-1).split([s, n], -1)
    return (p_direct @ v + p_region @ v_region[..., None, :, :]).flatten(-3, -2)
""",
    4: """
def blind_spot():
    torch.manual_seed(4)
    return 2 * torch.randn(32, 4), torch.randn(32, 4)
""",
    5: """
def passes(mix):
    w = mix(torch.randn(64, 4), torch.randn(64, 4), torch.eye(64))
    return torch.allclose(w.sum(1), torch.ones(64), atol=1e-4) and bool(((w > 0) == torch.ones(64, 64).tril().bool()).all())
""",
}

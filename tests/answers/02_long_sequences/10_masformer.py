"""Known answers to the exercise of lesson 10."""

from course.answers import replace

# -------------------------------------------------------------------------------------------------- 1 · a window instead of blocks

WRONG_1 = {
    "keeps the block mask: one side of the window is missing": replace("(apart >= 0) & (apart < w)", "(apart >= 0)"),
    "sees one position too many": replace("(apart < w)", "(apart <= w)"),
    "leaves the zeros before the first block in": replace("exists & (apart >= 0)", "(apart >= 0)"),
    "pads in front": """
def window_attention(q, k, v, w):
    n = q.shape[-2]
    blocks = -(-n // w)
    q, k, v = (F.pad(x, (0, 0, blocks * w - n, 0)).unflatten(-2, (blocks, w)) for x in (q, k, v))
    k, v = (torch.cat([F.pad(x, (0, 0, 0, 0, 1, 0))[..., :-1, :, :], x], -2) for x in (k, v))
    apart = torch.arange(w)[:, None] + w - torch.arange(2 * w)
    exists = (torch.arange(blocks) * w)[:, None, None] - w + torch.arange(2 * w) >= 0
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~(exists & (apart >= 0) & (apart < w)), -math.inf)
    return (scores.softmax(-1) @ v).flatten(-3, -2)[..., blocks * w - n :, :]
""",
    "writes out all scores": """
def window_attention(q, k, v, w):
    apart = torch.arange(q.shape[-2])[:, None] - torch.arange(q.shape[-2])
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill((apart < 0) | (apart >= w), -math.inf)
    return scores.softmax(-1) @ v
""",
}
RIGHT_1 = {
    "position by position": """
def window_attention(q, k, v, w):
    rows = []
    for t in range(q.shape[-2]):
        a = max(0, t - w + 1)
        p = (k[..., a : t + 1, :] @ q[..., t, :, None] / q.shape[-1] ** 0.5).softmax(-2)
        rows.append((p * v[..., a : t + 1, :]).sum(-2))
    return torch.stack(rows, -2)
""",
    "with unfold: w shifted copies": """
def window_attention(q, k, v, w):
    K, W = (F.pad(x, (0, 0, w - 1, 0)).unfold(-2, w, 1) for x in (k, v))
    there = torch.arange(q.shape[-2])[:, None] + torch.arange(w) >= w - 1
    scores = torch.einsum("...nd,...ndw->...nw", q, K) * q.shape[-1] ** -0.5
    return torch.einsum("...nw,...ndw->...nd", scores.masked_fill(~there, -1e30).softmax(-1), W)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x, out = torch.linspace(-3, 3, 44).sin().reshape(11, 4), []
    for w in (1, 3, 4):
        try:
            out.append(answer["window_attention"](x.flip(0), x, x.roll(1, 0), w))
        except RuntimeError:
            out.append(float("inf"))
    with answer["Largest"]() as largest:
        answer["window_attention"](torch.ones(64, 2), torch.ones(64, 2), torch.ones(64, 2), 4)
    return [*out, float(largest.entries >= 64 * 64)]


# ------------------------------------------------------------------------------------- 2 · a cache that forgets the right things

WRONG_2 = {
    "still slides instead of jumping": replace("start = max(0, t // m - back) * m", "start = max(0, t + 1 - (1 + back) * m)"),
    "attends before its own key is there": """
def decode(q, k, v, m, back):
    keys, values, outputs, most, first = k[:1], v[:1], [v[0]], 1, 0
    for t in range(1, len(q)):
        start = max(0, t // m - back) * m
        keys, values, first = keys[start - first :], values[start - first :], start
        weights = (keys @ q[t] / q.shape[-1] ** 0.5).softmax(0) if len(keys) else keys[:0, 0]
        outputs.append(weights @ values)
        keys, values = torch.cat([keys, k[t : t + 1]]), torch.cat([values, v[t : t + 1]])
        most = max(most, len(keys))
    return torch.stack(outputs), most
""",
    "counts before it drops": """
def decode(q, k, v, m, back):
    keys, values, outputs, most, first = k[:0], v[:0], [], 0, 0
    for t in range(len(q)):
        keys, values = torch.cat([keys, k[t : t + 1]]), torch.cat([values, v[t : t + 1]])
        most = max(most, len(keys))
        start = max(0, t // m - back) * m
        keys, values, first = keys[start - first :], values[start - first :], start
        outputs.append((keys @ q[t] / q.shape[-1] ** 0.5).softmax(0) @ values)
    return torch.stack(outputs), most
""",
    "never drops anything": replace("start = max(0, t // m - back) * m", "start = 0"),
}
RIGHT_2 = {
    "a list of keys, emptied at block borders": """
def decode(q, k, v, m, back):
    blocks, outputs, most = [], [], 0
    for t in range(len(q)):
        if t % m == 0:
            blocks = (blocks + [[]])[-(back + 1) :]
        blocks[-1].append(t)
        seen = [s for block in blocks for s in block]
        most = max(most, len(seen))
        outputs.append((k[seen] @ q[t] / q.shape[-1] ** 0.5).softmax(0) @ v[seen])
    return torch.stack(outputs), most
""",
    "by slices of what has been read": """
def decode(q, k, v, m, back):
    outputs, sizes = [], []
    for t, query in enumerate(q):
        held = slice(max(t - t % m - back * m, 0), t + 1)
        e = torch.exp(k[held] @ query / math.sqrt(q.shape[1]))
        outputs.append((e[:, None] * v[held]).sum(0) / e.sum())
        sizes.append(held.stop - held.start)
    return torch.stack(outputs), max(sizes)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x, out = torch.linspace(-3, 3, 44).sin().reshape(11, 4), []
    for m, back in ((4, 0), (3, 1), (2, 2)):
        try:
            y, most = answer["decode"](x.flip(0), x, x.roll(1, 0), m, back)
            out += [y, float(most)]
        except (RuntimeError, IndexError):
            out.append(float("inf"))
    return out


# ---------------------------------------------------------------------------------------------- 3 · everybody sees the beginning

WRONG_3 = {
    "counts sinks inside the span twice": replace("min(g, start) + t", "min(g, t + 1) + t"),
    "gives every position all g sinks": replace("min(g, start) + t", "g + t"),
    "forgets that m need not divide n": """
def with_sinks(n, m, back, g):
    local = n * (m + 1) // 2 + back * (n - m) * m
    start = max(0, (n - 1) // m - back) * m
    return local + sum(min(g, max(0, t // m - back) * m) for t in range(n)), min(g, start) + n - start
""",
    "keeps whole blocks in the cache": replace("return sum(seen), seen[-1]", "return sum(seen), min(n, g + (1 + back) * m)"),
}
RIGHT_3 = {
    "position by position, as a set": """
def with_sinks(n, m, back, g):
    total, last = 0, 0
    for t in range(n):
        seen = {s for s in range(t + 1) if s < g or t // m - s // m <= back}
        total, last = total + len(seen), len(seen)
    return total, last
""",
    "as tensors": """
def with_sinks(n, m, back, g):
    t = torch.arange(n)
    start = (t.div(m, rounding_mode="floor") - back).clamp(min=0) * m
    seen = start.clamp(max=g) + t - start + 1
    return int(seen.sum()), int(seen[-1])
""",
}


def PROBE_3(answer):
    sizes = [(12, 4, 1, 3), (13, 4, 0, 6), (9, 2, 1, 0), (6, 6, 1, 2)]
    return [float(x) for size in sizes for x in answer["with_sinks"](*size)]


# ------------------------------------------------------------------------------------------------------- 4 · a layout to order

WRONG_4 = {
    "puts the full layers at the bottom, as the paper does": replace("(3, 8)", "(0, 1)"),
    "takes one full layer": replace("(3, 8)", "(6,)"),
    "leaves nothing after the second look-up": replace("(3, 8)", "(3, 11)"),
    "puts the two side by side": replace("(3, 8)", "(7, 8)"),
    "takes blocks so large that nothing is saved": replace("(128, 1)", "(2048, 1)"),
}
RIGHT_4 = {
    "full layers at 2 and 7": """
def layout():
    spans = [(128, 1) for _ in range(12)]
    spans[2] = spans[7] = None
    return spans
""",
    "own blocks only": """
def layout():
    return [(512, 0)] * 3 + [None] + [(512, 0)] * 4 + [None] + [(512, 0)] * 3
""",
}


def PROBE_4(answer):
    saved, kept, full = answer["report"](answer["layout"]())
    return [saved, kept, float(len(full)), *([float(x) for x in full] + [-1.0] * 12)[:12]]


# ------------------------------------------------------------------------------------------------ 5 · is this block attention?

WRONG_5 = {
    "accepts everything": """
def passes(attend):
    return True
""",
    "tries one length that 4 divides": """
def passes(attend):
    q, k, v = torch.randn(3, 1, 8, 4)
    return bool(torch.allclose(attend(q, k, v), by_mask(q, k, v), atol=1e-4))
""",
    "asks for equal bits": """
def passes(attend):
    q, k, v = torch.randn(3, 2, 13, 4)
    return bool(torch.equal(attend(q, k, v), by_mask(q, k, v)))
""",
}
RIGHT_5 = {
    "against loops": """
def passes(attend):
    for n in (2, 9, 15):
        q, k, v = torch.randn(3, 2, n, 4)
        want = torch.zeros(2, n, 4)
        for t in range(n):
            seen = [s for s in range(t + 1) if t // 4 - s // 4 in (0, 1)]
            want[:, t] = ((k[:, seen] * q[:, t, None]).sum(-1, keepdim=True) / 2).softmax(1).mul(v[:, seen]).sum(1)
        if float((attend(q, k, v) - want).abs().max()) > 1e-4:
            return False
    return True
""",
    "by the given one, many lengths": """
def passes(attend):
    sizes = [(1, 1), (2, 5), (1, 8), (3, 17), (1, 30)]
    made = [torch.randn(3, B, n, 6) for B, n in sizes]
    return all(bool((attend(*x) - by_mask(*x)).abs().max() < 1e-4) for x in made)
""",
}


def PROBE_5(answer):
    torch, by_mask = answer["torch"], answer["by_mask"]
    torch.manual_seed(0)
    functions = [
        by_mask,
        lambda q, k, v: by_mask(q, k, v) + 1e-7,
        lambda q, k, v: by_mask(q, k, v, back=0),
        lambda q, k, v: by_mask(q, k, v, back=5),
        lambda q, k, v: by_mask(q * 2, k, v),
        lambda q, k, v: by_mask(q, k, v) if q.shape[1] % 4 == 0 else v,
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def window_attention(q, k, v, w):
    m = w

    def tiles(x, m):
        blocks = x.unflatten(-2, (-1, m))
        before = F.pad(blocks, (0, 0, 0, 0, 1, 0))[..., :-1, :, :]
        return torch.cat([before, blocks], dim=-2)

    n = q.shape[-2]
    scores = q.unflatten(-2, (-1, m)) @ tiles(k, m).mT / q.shape[-1] ** 0.5
    row, column = torch.arange(m)[:, None], torch.arange(2 * m)
    exists = (torch.arange(n // m)[:, None, None] > 0) | (column >= m)
    weights = scores.masked_fill(~(exists & (column <= row + m)), -math.inf).softmax(-1)
    return (weights @ tiles(v, m)).flatten(-3, -2)
""",
    2: """
def decode(q, k, v, m, back):
    keys, values, outputs, most = k[:0], v[:0], [], 0
    for t in range(len(q)):
        keys, values = torch.cat([keys, k[t : t + 1]]), torch.cat([values, v[t : t + 1]])
        outputs.append((keys @ q[t] / q.shape[-1] ** 0.5).softmax(0) @ values)
        needed = t + 1 - max(0, (t + 1) // m - back) * m
        keys, values = keys[len(keys) - needed :], values[len(values) - needed :]
        most = max(most, len(keys))
    return torch.stack(outputs), most
""",
    3: """
def with_sinks(n, m, back, g):
    pairs = n * (m + 1) // 2 + back * (n - m) * m
    return pairs, min(n, (1 + back) * m)
""",
    4: """
def layout():
    return [None] + [(16, 1)] * 11
""",
    5: """
def passes(attend):
    for n in (24, 12, 8, 4):
        q, k, v = torch.randn(3, 2, n, 5)
        t, s = torch.arange(n)[:, None], torch.arange(n)
        if not torch.allclose(attend(q, k, v), dense(q, k, v, (s <= t) & (t // 4 - s // 4 <= 1)), atol=1e-5):
            return False
    return True
""",
}

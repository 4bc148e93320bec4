"""Known answers to the exercise of lesson 01."""

import torch

from course.answers import replace

# ---------------------------------------------------------------------------------------------------------- 1 · packed visibility

WRONG_1 = {
    "counts prefixes from the start of the row": replace(
        "inside[(segments == n).nonzero()[:P, 0]] = True", "inside |= (segments == n) & (torch.arange(len(segments)) < P)"
    ),
    "lets the examples of a row see each other": replace(
        "(segments[:, None] == segments) & (segments >= 0)", "(segments >= 0).expand(len(segments), -1)"
    ),
    "lets the rows of the prefix see their whole example": replace("(inside[:, None] & inside)", "inside[:, None]"),
    "lets padding see padding": replace(" & (segments >= 0)", ""),
    "swaps queries and keys": replace("(t <= t[:, None])", "(t >= t[:, None])"),
}
RIGHT_1 = {
    "opens whole columns: the rows after the prefix see it anyway": replace("(inside[:, None] & inside)", "inside"),
    "two loops": """
def packed_visibility(segments, prefixes):
    seg = segments.tolist()
    T = len(seg)
    M = torch.zeros(T, T, dtype=torch.bool)
    for i in range(T):
        M[i, i] = True
        if seg[i] < 0:
            continue
        start = seg.index(seg[i])
        for j in range(start, T):
            if seg[j] == seg[i] and (j <= i or max(i, j) - start < prefixes[seg[i]]):
                M[i, j] = True
    return M
""",
    "a prefix mask for each example, put on the diagonal": """
def packed_visibility(segments, prefixes):
    parts = []
    for n, P in enumerate(prefixes):
        size = int((segments == n).sum())
        i = torch.arange(size)
        parts.append(i[None, :] <= torch.clamp(i[:, None], min=P - 1))
    padding = int((segments < 0).sum())
    return torch.block_diag(*[part.float() for part in parts], torch.eye(padding)) > 0.5
""",
}


def PROBE_1(answer):
    return [
        answer["packed_visibility"](torch.tensor(segments), prefixes).float()
        for segments, prefixes in [([0, 0, 1, 1, 1, 1, -1, -1], [1, 2]), ([0, 0, 0, 1, 1, 1], [2, 2])]
    ]


# ------------------------------------------------------------------------------------------------------------------- 2 · the loss

WRONG_2 = {
    "leaves the last given token out of the prefix": replace("prefix=s + 1", "prefix=s"),
    "starts the loss one token too late": replace("nll[:, s:].mean()", "nll[:, s + 1 :].sum() / max(1, nll[:, s + 1 :].numel())"),
    "divides by all tokens": replace("nll[:, s:].mean()", "nll[:, s:].sum() / nll.numel()"),
    "has loss on the given tokens too": replace("nll[:, s:].mean()", "nll.mean()"),
    "does not shift, so that the model reads what it should predict": replace(
        "torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1)", "y"
    ),
    "forgets the prefix: a causal mask": replace("prefix=s + 1", "prefix=0"),
}
RIGHT_2 = {
    "weights and a weighted mean": """
def plm_loss(model, y, s):
    u = torch.nn.functional.pad(y, (1, 0))[:, :-1]
    logits = model(u, prefix=s + 1)
    weights = (torch.arange(y.shape[1]) >= s).float().expand_as(y)
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), y, reduction="none")
    return (nll * weights).sum() / weights.sum()
""",
    "cross-entropy over the wanted part": """
def plm_loss(model, y, s):
    u = y.roll(1, dims=1).clone()
    u[:, 0] = 0
    out = model(u, prefix=1 + s)[:, s:]
    return torch.nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), y[:, s:].reshape(-1))
""",
}


def PROBE_2(answer):
    table = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))

    def model(u, prefix=0):
        return table[torch.arange(u.shape[1])] + 0.1 * prefix * torch.eye(10)[u]

    y = torch.tensor([[1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4]])
    return [answer["plm_loss"](model, y, s) for s in (2, 4)]


# ---------------------------------------------------------------------------------------------------------------- 3 · the speed-up

WRONG_3 = {
    "compares losses at equal steps": """
def speedup(scratch, adapted):
    level = dict(scratch)
    return {n: level[n] / loss if n in level else None for n, loss in adapted}
""",
    "extends the scratch curve beyond its ends": replace(
        "result[n] = curve[0][0] / n if level == curve[0][1] else None",
        "result[n] = (curve[-1] if level < curve[-1][1] else curve[0])[0] / n",
    ),
    "forgets to divide by the adapted step": replace(
        "(a + (b - a) * (high - level) / (high - low)) / n", "a + (b - a) * (high - level) / (high - low)"
    ),
    "takes the curves as they are, bumps included": replace("best = min(best, loss)", "best = loss"),
    "takes the next measured step instead of interpolating": replace("(a + (b - a) * (high - level) / (high - low)) / n", "b / n"),
}
RIGHT_3 = {
    "walks with an index": """
def speedup(scratch, adapted):
    steps = [s for s, _ in scratch]
    best = [min(l for _, l in scratch[: i + 1]) for i in range(len(scratch))]
    out = {}
    for k, (n, _) in enumerate(adapted):
        level = min(l for _, l in adapted[: k + 1])
        i = next((i for i, b in enumerate(best) if b <= level), None)
        if i is None or (i == 0 and level > best[0]):
            out[n] = None
        elif i == 0:
            out[n] = steps[0] / n
        else:
            share = (best[i - 1] - level) / (best[i - 1] - best[i])
            out[n] = (steps[i - 1] + share * (steps[i] - steps[i - 1])) / n
    return out
""",
    "tensors and searchsorted": """
def speedup(scratch, adapted):
    x, y = torch.tensor(scratch, dtype=torch.float64).T
    y = y.cummin(0).values
    n, level = torch.tensor(adapted, dtype=torch.float64).T
    level = level.cummin(0).values
    at = torch.searchsorted(-y, -level)          # the first point at or below the level
    out = {}
    for step, l, i in zip(n.tolist(), level.tolist(), at.tolist()):
        if i == len(y) or l > float(y[0]):
            out[int(step)] = None
        elif i == 0:
            out[int(step)] = float(x[0]) / step
        else:
            where = x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - l) / (y[i - 1] - y[i])
            out[int(step)] = float(where) / step
    return out
""",
}


def PROBE_3(answer):
    scratch = [(10, 5.0), (20, 4.0), (30, 4.5), (40, 3.0)]
    return answer["speedup"](scratch, [(5, 6.0), (10, 4.25), (20, 4.4), (30, 3.75), (40, 2.0)])


# ------------------------------------------------------------------------------------------------------------------ 4 · the check

WRONG_4 = {
    "never looks at P": replace(" and max(P, 1) == s + 1", ""),
    "never looks at the weights": replace(" and torch.equal(weights.float(), loss)", ""),
    "never tries an empty prefix or a batch": replace("[(1, 2, 3), (2, 4, 1), (3, 0, 5), (2, 1, 4)]", "[(1, 3, 3)]"),
    "demands floats and P = 1 without a prefix": replace(
        "torch.equal(weights.float(), loss) and max(P, 1) == s + 1",
        "weights.is_floating_point() and torch.equal(weights.float(), loss) and P == s + 1",
    ),
    "accepts everything": "def books_are_right(layout):\n    return True\n",
}
RIGHT_4 = {
    "looks at one entry after the other": """
def books_are_right(layout):
    for B, s, t in [(2, 3, 2), (2, 0, 4), (1, 5, 1)]:
        given = 1 + torch.arange(B * s).view(B, s)
        wanted = 100 + torch.arange(B * t).view(B, t)
        u, y, weights, P = layout(given, wanted)
        for b in range(B):
            tokens = [0, *given[b].tolist(), *wanted[b].tolist()]
            for i in range(s + t):
                if int(u[b, i]) != tokens[i] or int(y[b, i]) != tokens[i + 1] or float(weights[b, i]) != float(i >= s):
                    return False
        if P != s + 1 and not (s == 0 and P == 0):
            return False
    return True
""",
    "compares with a layout of its own": """
def books_are_right(layout):
    def mine(given, wanted):
        y = torch.cat([given, wanted], 1)
        weights = (torch.arange(y.shape[1]) >= given.shape[1]).double().expand(y.shape)
        return torch.nn.functional.pad(y[:, :-1], (1, 0)), y, weights, given.shape[1] + 1
    torch.manual_seed(3)
    for _ in range(6):
        B, s, t = int(torch.randint(1, 4, ())), int(torch.randint(0, 5, ())), int(torch.randint(1, 5, ()))
        for s in (0, s):
            given, wanted = torch.randint(1, 30, (B + 1, s)), torch.randint(1, 30, (B + 1, t))
            got, want = layout(given, wanted), mine(given, wanted)
            if any(not torch.equal(a.double(), b.double()) for a, b in zip(got[:3], want[:3])) or max(1, got[3]) != want[3]:
                return False
    return True
""",
}


def PROBE_4(answer):
    def layout(given, wanted, P=1, float_weights=True, loss=0, empty=1):
        y = torch.cat([given, wanted], dim=1)
        weights = (torch.arange(y.shape[1]) >= given.shape[1] + loss).expand(y.shape)
        s = given.shape[1]
        return torch.cat([y[:, :1] * 0, y[:, :-1]], 1), y, weights.float() if float_weights else weights, s + P if s else empty

    tried = [{}, {"P": 2}, {"loss": 1}, {"float_weights": False}, {"empty": 0}, {"empty": 2}]
    return [bool(answer["books_are_right"](lambda g, w, change=change: layout(g, w, **change))) for change in tried]


# the lesson's own code, fitted to the signatures
PASTED = {
    1: """
def packed_visibility(segments, prefixes):
    i, j = torch.arange(len(segments))[:, None], torch.arange(len(segments))
    return j <= i.clamp(min=prefixes[0] - 1)
""",
    2: """
def plm_loss(model, y, s):
    u = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1)
    logits = model(u, prefix=s + 1)[:, s:]
    return -logits.log_softmax(dim=-1).gather(-1, y[:, s:, None])[..., 0].mean()
""",
    3: """
def speedup(scratch, adapted):
    def crossing(curve, level):
        for (a, high), (b, low) in zip(curve, curve[1:], strict=False):
            if low <= level <= high:
                return a + (b - a) * (high - level) / (high - low)
        return curve[-1][0]
    return {n: crossing(scratch, level) / n for n, level in adapted}
""",
}

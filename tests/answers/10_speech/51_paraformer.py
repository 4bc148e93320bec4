"""Known answers to the exercise of lesson 51."""

from course.answers import replace

# ------------------------------------------------------------------------------------- 1 · integrate and fire while the speaker talks

WRONG_1 = {
    "begins every chunk with an empty cup": replace("if state is not None else", "if False else"),
    "fires at most once a frame": """
def stream(h, alpha, state):
    level, partial = state if state is not None else (alpha.new_zeros(()), h.new_zeros(h.shape[1]))
    fired = []
    for frame, weight in zip(h, alpha, strict=True):
        if level + weight >= 1:
            missing = 1 - level
            fired.append(partial + missing * frame)
            level, partial = weight - missing, (weight - missing) * frame
        else:
            level, partial = level + weight, partial + weight * frame
    return torch.stack(fired) if fired else h[:0], (level, partial)
""",
    "drops what is left of a frame that fires": replace("weight = weight - missing", "weight = torch.zeros_like(weight)"),
    "carries the level over, but not the sum": replace("(level, partial)\n", "(level, torch.zeros_like(partial))\n"),
    "gives the whole frame to the token that fires": replace("partial + missing * frame", "partial + weight * frame"),
}
RIGHT_1 = {
    "the state as one more frame, in closed form": """
def stream(h, alpha, state):
    level, partial = (torch.zeros(1).to(h), torch.zeros(1, h.shape[1]).to(h)) if state is None else (state[0].view(1), state[1][None])
    frames = torch.cat([partial / level.clamp(min=1e-30), h])
    end = torch.cat([level, alpha]).cumsum(0)
    start = torch.cat([end.new_zeros(1), end[:-1]])
    n = int(end[-1].floor())
    u = torch.arange(1, n + 2).to(h)[:, None]
    W = (torch.minimum(end, u) - torch.maximum(start, u - 1)).clamp(min=0)
    rows = W @ frames
    return rows[:n], (end[-1] - n, rows[n])
""",
    "with numbers and a list": """
def stream(h, alpha, state):
    a, f = (0.0, [0.0] * h.shape[1]) if state is None else (float(state[0]), state[1].tolist())
    out = []
    for x, w in zip(h.tolist(), alpha.tolist()):
        left = w
        while left > 0:
            part = min(left, 1 - a)
            f = [s + part * v for s, v in zip(f, x)]
            a, left = a + part, left - part
            if a >= 1 - 1e-12:
                out.append(f)
                a, f = 0.0, [0.0] * len(f)
    rows = torch.tensor(out, dtype=h.dtype) if out else h.new_zeros(0, h.shape[1])
    return rows, (torch.tensor(a, dtype=h.dtype), torch.tensor(f, dtype=h.dtype))
""",
}


def PROBE_1(answer):
    torch, out, state = answer["torch"], [], None
    h, alpha = torch.linspace(-3, 3, 24).sin().reshape(12, 2), torch.tensor([0.3, 0.8, 0.2, 1.9, 0.7, 0.1, 0.9, 0.4, 2.6, 0.3, 0.5, 0.2])
    for a, b in zip(h.split(5), alpha.split(5), strict=True):
        E, state = answer["stream"](a, b, state)
        out += [float(len(E)), float(E.sum()), float(E.square().sum())]
    return [*out, float(state[0])]


# ---------------------------------------------------------------------------------------------------------- 2 · one word too many

WRONG_2 = {
    "still lets one frame of padding in": replace("torch.arange(T) < frames", "torch.arange(T) <= frames"),
    "still copies the last frame behind the end": replace("F.pad(h, (0, 0, 0, 1))", "torch.cat([h, h[:, -1:]], dim=1)"),
    "still rounds to the nearest": replace(".floor()", ".round()"),
    "rounds without the tail": replace("counts = alpha.sum(1).floor()", "counts = alpha[:, :-1].sum(1).round()"),
    "does not mask the weights at all": replace("alpha = alpha * (torch.arange(T) < frames[:, None])", "alpha = alpha * 1.0"),
}
RIGHT_2 = {
    "one utterance at a time": """
def inference(h, alpha, frames, tail=0.45):
    out = []
    for i, n in enumerate(frames.tolist()):
        a, x = torch.cat([alpha[i, :n], alpha.new_tensor([tail])]), torch.cat([h[i, :n], torch.zeros_like(h[i, :1])])
        U = int(a.sum())
        out.append((weights(a[None], U) @ x)[0] if U else x[:0])
    return out
""",
    "without the silent frame: it adds nothing to the sums": """
def inference(h, alpha, frames, tail=0.45):
    alpha = torch.where(torch.arange(h.shape[1]) < frames[:, None], alpha, 0.0)
    counts = [int(x) for x in (alpha.sum(1) + tail).floor()]
    W = weights(alpha, max(counts))
    return [torch.einsum("ut,td->ud", W[i, :n], h[i]) for i, n in enumerate(counts)]
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    h = torch.linspace(-3, 3, 40).sin().reshape(2, 10, 2)
    alpha = 0.3 + 0.5 * torch.linspace(0, 9, 20).cos().abs().reshape(2, 10)
    out = []
    for frames in ([10, 6], [9, 3], [8, 7], [10, 10]):
        for E in answer["inference"](h, alpha, torch.tensor(frames)):
            out += [float(len(E)), float(E.sum())]
    for total in (1.52, 2.53):
        out.append(float(len(answer["inference"](torch.ones(1, 4, 1), torch.full((1, 4), total / 4), torch.tensor([4]))[0])))
    return out


# ------------------------------------------------------------------------------------------------------ 3 · candidates that repeat

WRONG_3 = {
    "counts every candidate, repeated or not": replace("first.setdefault(tuple(text), i)", "first[i] = i"),
    "takes texts of equal error for equal": replace("first.setdefault(tuple(text), i)", "first.setdefault(edit_distance(text, said), i)"),
    "counts errors, not their rate": replace(" / len(said)", ""),
    "adds the errors of all, unweighted by renormalised probability": replace("logp[keep].softmax(0)", "logp[keep].exp()"),
    "subtracts the expectation instead of the mean": """
def mwer_distinct(texts, logp, said):
    first = {}
    for i, text in enumerate(texts):
        first.setdefault(tuple(text), i)
    keep = list(first.values())
    errors = torch.tensor([edit_distance(texts[i], said) / len(said) for i in keep], dtype=logp.dtype)
    P = logp[keep].softmax(0)
    return (P * (errors - (P * errors).sum())).sum()
""",
}
RIGHT_3 = {
    "by a loop and logsumexp": """
def mwer_distinct(texts, logp, said):
    keep = [i for i, text in enumerate(texts) if text not in texts[:i]]
    total = torch.logsumexp(torch.stack([logp[i] for i in keep]), 0)
    rates = [edit_distance(said, texts[i]) / len(said) for i in keep]
    mean = sum(rates) / len(rates)
    loss = 0 * logp.sum()
    for i, rate in zip(keep, rates):
        loss = loss + (logp[i] - total).exp() * (rate - mean)
    return loss
""",
    "expectation minus mean, with a mask": """
def mwer_distinct(texts, logp, said):
    new = torch.tensor([all(a != b for b in texts[:i]) for i, a in enumerate(texts)])
    rate = torch.tensor([float(edit_distance(a, said)) for a in texts]).to(logp) / len(said)
    P = logp.masked_fill(~new, -math.inf).softmax(0)
    return P @ rate - rate[new].mean()
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    said = ["a", "b", "c", "d"]
    pool = [said, ["a", "b"], ["x", "b", "c", "y"], ["a", "b", "c"]]
    out = []
    for picks in ([0, 1, 2], [1, 0, 1, 1], [1, 2, 3, 1]):
        out.append(float(answer["mwer_distinct"]([pool[i] for i in picks], torch.tensor([-2.0, -0.5, -1.0, -0.7])[picks], said)))
    return out


# -------------------------------------------------------------------------------------------- 4 · what no independent choice can read

TABLE = "[[0.0, 0.21, 0.19], [0.30, 0.0, 0.0], [0.10, 0.09, 0.11]]"
WRONG_4 = {
    "takes independent words: the product of the sums": replace(
        f"torch.tensor({TABLE})",
        "torch.tensor([0.4, 0.3, 0.3])[:, None] * torch.tensor([0.4, 0.3, 0.3])",
    ),
    "takes two equally likely pairs": replace(TABLE, "[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]"),
    "lets the device first find the best pair": replace(TABLE, "[[0.0, 0.32, 0.13], [0.30, 0.0, 0.0], [0.12, 0.0, 0.13]]"),
    "has winners without a lead": replace(TABLE, "[[0.0, 0.19, 0.17], [0.34, 0.0, 0.0], [0.06, 0.12, 0.12]]"),
}
RIGHT_4 = {
    "another table": """
def joint():
    P = torch.zeros(3, 3)
    P[0, 1], P[0, 2], P[1, 0], P[2, 0], P[2, 1], P[2, 2] = 0.24, 0.20, 0.32, 0.10, 0.07, 0.07
    return P
""",
    "normalised counts": """
def joint():
    counts = torch.tensor([[0.0, 11.0, 9.0], [15.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
    return counts / counts.sum()
""",
}


def PROBE_4(answer):
    P = answer["joint"]()
    return [*(float(x) for x in P.sum(0)), *(float(x) for x in P.sum(1)), float(P.max())]


# ------------------------------------------------------------------------------------------------- 5 · is this a glancing sampler?

WRONG_5 = {
    "accepts everything": """
def passes(glance):
    return True
""",
    "looks at one draw of one utterance": """
def passes(glance):
    E, truth = torch.zeros(1, 6, 2), torch.ones(1, 6, 2)
    wrong = torch.tensor([[True, True, False, False, False, False]])
    S = glance(E, truth, wrong, torch.tensor([6]), 0.5, torch.Generator().manual_seed(0))
    return bool(S[..., 0].sum() == 1)
""",
    "wants its own random numbers": """
def passes(glance):
    E, truth, lengths = torch.randn(3, 7, 2), torch.randn(3, 7, 2), torch.tensor([7, 5, 6])
    wrong = torch.rand(3, 7) < 0.5
    return bool(torch.equal(*(f(E, truth, wrong, lengths, 0.5, torch.Generator().manual_seed(1)) for f in (glance, by_permutation))))
""",
}
RIGHT_5 = {
    "by counting each position": """
def passes(glance):
    B, U, g = 4, 7, torch.Generator().manual_seed(5)
    lengths = torch.tensor([7, 4, 6, 7])
    wrong = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1], [0] * 7]).bool()
    want = [4, 1, 2, 0]
    truth = torch.arange(1, B * U + 1).reshape(B, U, 1) * torch.ones(1, 1, 2)
    hits = torch.zeros(B, U)
    for _ in range(80):
        S = glance(-truth, truth, wrong, lengths, 0.75, g)
        told = S[..., 0] > 0
        if not torch.equal(S.abs(), truth) or told.sum(1).tolist() != want:
            return False
        hits += told
    for b in range(B):
        n = int(lengths[b])
        if hits[b, n:].sum() > 0 or (hits[b, :n] / 80 - want[b] / n).abs().max() > 0.25:
            return False
    return True
""",
    "by spread between positions": """
def passes(glance):
    g, ok = torch.Generator().manual_seed(9), True
    for lam in (0.5, 0.3):
        lengths = torch.tensor([9, 3])
        wrong = torch.zeros(2, 9).bool()
        wrong[0, :5], wrong[1, 0], wrong[1, 4:] = True, True, True
        E, truth = torch.zeros(2, 9, 1), torch.arange(1.0, 19.0).reshape(2, 9, 1)
        draws = torch.stack([glance(E, truth, wrong, lengths, lam, g) for _ in range(80)])[..., 0]
        ok &= bool(((draws == 0) | (draws == truth[..., 0])).all())
        told = (draws != 0).float()
        ok &= bool((told.sum(2) == torch.tensor([math.ceil(5 * lam), 1])).all()) and float(told[:, 1, 3:].sum()) == 0
        share = told.mean(0)
        ok &= float(share[0].max() - share[0].min()) < 0.4 and float(share[1, :3].max() - share[1, :3].min()) < 0.4
    return ok
""",
}


def PROBE_5(answer):
    torch, passes, right = answer["torch"], answer["passes"], answer["by_permutation"]
    torch.manual_seed(0)
    samplers = [
        right,
        lambda E, t, w, n, lam, g: right(E, t, w, n, lam, torch.Generator().manual_seed(int(torch.randint(9**9, (1,), generator=g)))),
        lambda E, t, w, n, lam, g: right(E, t, w, n, 1.0, g),
        lambda E, t, w, n, lam, g: E,
        lambda E, t, w, n, lam, g: right(E, t, w | True, n, lam, g),
        lambda E, t, w, n, lam, g: torch.where((torch.arange(E.shape[1]) < (lam * w.sum(1)).ceil()[:, None])[..., None], t, E),
    ]
    return [float(passes(f)) for f in samplers]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def stream(h, alpha, state):
    U = int(alpha.sum().floor())
    end = alpha.cumsum(0)[None]
    start = end - alpha
    u = torch.arange(1, U + 1).to(alpha.dtype)[:, None]
    W = (torch.minimum(end, u) - torch.maximum(start, u - 1)).clamp(min=0)
    return W @ h, (alpha.sum() - U, torch.zeros(h.shape[1]))
""",
    2: """
def inference(h, alpha, frames, tail=0.45):
    h, alpha = F.pad(h, (0, 0, 0, 1)), F.pad(alpha, (0, 1), value=tail)
    counts = alpha.sum(1).floor().long()
    E = weights(alpha, max(1, int(counts.max()))) @ h
    return [row[:n] for row, n in zip(E, counts.tolist(), strict=True)]
""",
    3: """
def mwer_distinct(texts, logp, said):
    errors = torch.tensor([float(edit_distance(text, said)) for text in texts])[None]
    return (logp[None].softmax(1) * (errors - errors.mean(1, keepdim=True))).sum()
""",
    5: """
def passes(glance):
    generator = torch.Generator().manual_seed(3)
    E, truth, lengths = torch.zeros(4, 9, 2), torch.ones(4, 9, 2), torch.tensor([9, 9, 5, 7])
    wrong = torch.zeros(4, 9).bool()
    wrong[0, :4], wrong[1, 2], wrong[2] = True, True, True
    drawn = torch.stack([glance(E, truth, wrong, lengths, 0.75, generator)[..., 0] for _ in range(400)])
    counts = bool((drawn.sum(2) == torch.tensor([3, 1, 4, 0])).all()) and float(drawn[:, 2, 5:].sum()) == 0
    return counts and float((drawn[:, 0].mean(0) - 3 / 9).abs().max()) < 0.09
""",
}

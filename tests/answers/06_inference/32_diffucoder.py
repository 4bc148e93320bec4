"""Known answers to the exercise of lesson 32."""

from course.answers import replace

# --------------------------------------------------------------------------------- 1 · global AR-ness when several tokens are written

WRONG_1 = {
    "asks for positions filled strictly later": replace(">= steps[:, :, None]", "> steps[:, :, None]"),
    "compares with all positions, filled or not": replace(
        "(steps[:, None, :] >= steps[:, :, None]) & left", "left.expand(len(steps), L, L)"
    ),
    "counts one position too many": replace("waiting.sum(2) < k", "waiting.sum(2) <= k"),
    "looks to the right": replace("tril(-1)", "triu(1)"),
    "counts the given positions as filled": replace("(leftmost & filled).sum(1) / filled.sum(1)", "leftmost.float().mean(1)"),
    "divides by all positions": replace("/ filled.sum(1)", "/ L"),
}
RIGHT_1 = {
    "a difference and an einsum": """
def global_ar(steps, k):
    L = steps.size(1)
    later = (steps.unsqueeze(1) - steps.unsqueeze(2)).ge(0).float()
    ahead = torch.einsum("bnm,nm->bn", later, (torch.arange(L)[:, None] > torch.arange(L)).float())
    filled = steps.ne(-1).float()
    return ((ahead < k).float() * filled).sum(dim=1) / filled.sum(dim=1)
""",
    "columns by cumulative sums over masks": """
def global_ar(steps, k):
    waiting = steps[:, :, None] <= steps[:, None, :]
    before = waiting.long().cumsum(2).diagonal(dim1=1, dim2=2) - 1
    filled = steps > -1
    return torch.where(filled, (before < k).float(), torch.zeros(())).sum(1) / filled.float().sum(1)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    steps = torch.tensor([[0, 2, 1, 1, -1, 3, 0], [3, -1, 2, 2, 0, 1, 1], [0, 1, 2, 3, 4, 5, 6], [1, 0, 1, 0, 2, -1, 2]])
    return [answer["global_ar"](steps, k) for k in (1, 2, 3)]


# ---------------------------------------------------------------------------------------------------------- 2 · a loss with padding

WRONG_2 = {
    "takes the mean over the masked tokens": replace("/ t / real.sum(1)", "/ (masked & real).sum(1).clamp(min=1)"),
    "counts visible tokens too": replace("masked & real", "real"),
    "divides by the padded length": replace("real.sum(1)", "x.shape[1]"),
    "multiplies by t": replace("/ t / real", "* t / real"),
    "counts masks on padding": replace("masked & real", "masked"),
    "averages t over the batch": replace("/ t / real", "/ t.mean() / real"),
}
RIGHT_2 = {
    "row by row with cross-entropy": """
def masked_nats(logits, x, masked, t, real):
    out = []
    for b in range(len(x)):
        hidden = masked[b] & real[b]
        nll = torch.nn.functional.cross_entropy(logits[b, hidden], x[b, hidden], reduction="sum")
        out.append(nll / (t[b] * real[b].sum()))
    return torch.stack(out)
""",
    "one-hot and einsum": """
def masked_nats(logits, x, masked, t, real):
    chosen = torch.einsum("blv,blv->bl", logits, torch.nn.functional.one_hot(x, logits.shape[-1]).to(logits.dtype))
    nll = logits.logsumexp(-1) - chosen
    weight = (masked * real).to(logits.dtype) / t[:, None]
    return (nll * weight).sum(-1) / real.to(logits.dtype).sum(-1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    logits = torch.linspace(-3, 3, 3 * 5 * 4).mul(7).sin().reshape(3, 5, 4)
    x = torch.arange(15).reshape(3, 5) % 4
    masked = torch.tensor([[1, 0, 1, 1, 1], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    real = torch.arange(5) < torch.tensor([[4], [5], [2]])
    return [answer["masked_nats"](logits, x, masked, torch.tensor([0.3, 0.5, 0.8]), real)]


# -------------------------------------------------------------------------------------------------------- 3 · several pairs of masks

WRONG_3 = {
    "exchanges the weights": replace("log_p[1 : n + 1] / t, log_p[n + 1 :] / (1 - t)", "log_p[1 : n + 1] / (1 - t), log_p[n + 1 :] / t"),
    "reads the score where the token is visible": replace("torch.where(M, log_p[1 : n + 1]", "torch.where(~M, log_p[1 : n + 1]"),
    "forgets the full mask": replace("(log_p[0] + pairs.sum(0)) / (n + 1)", "pairs.sum(0) / max(n, 1)"),
    "averages the 2λ + 1 passes": replace("pairs.sum(0)) / (n + 1)", "pairs.sum(0)) / (2 * n + 1)"),
    "multiplies by the mask and keeps the NaN": replace(
        "torch.where(M, log_p[1 : n + 1] / t, log_p[n + 1 :] / (1 - t))", "M * log_p[1 : n + 1] / t + ~M * log_p[n + 1 :] / (1 - t)"
    ),
    "leaves out the weights": replace("log_p[1 : n + 1] / t, log_p[n + 1 :] / (1 - t)", "log_p[1 : n + 1], log_p[n + 1 :]"),
}
RIGHT_3 = {
    "interleaved, with nan_to_num": """
def estimate_pairs(score, M, t):
    count, B, L = M.shape
    everything = torch.ones(1, B, L, dtype=torch.bool)
    masks = torch.cat([everything, torch.stack([M, ~M], 1).reshape(2 * count, B, L)])
    weights = torch.stack([1 / t, 1 / (1 - t)], 1).reshape(2 * count, B, 1)
    log_p = score(masks).nan_to_num(0.0) * masks
    return (log_p[0] + (weights * log_p[1:]).sum(0)) / (count + 1)
""",
    "pair by pair after one call": """
def estimate_pairs(score, M, t):
    masks = [torch.ones(M.shape[1:], dtype=torch.bool)]
    for m in M:
        masks += [m, m.logical_not()]
    log_p = score(torch.stack(masks))
    total = log_p[0].clone()
    for i, m in enumerate(M):
        ratio = t[i].unsqueeze(1)
        total = total + (log_p[2 * i + 1] / ratio).where(m, log_p[2 * i + 2] / (1 - ratio))
    return total / (1 + len(M))
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    M = torch.tensor([[[1, 0, 1, 0], [0, 0, 1, 1]], [[0, 1, 1, 0], [1, 1, 1, 0]]]).bool()
    t = torch.tensor([[0.3, 0.6], [0.25, 0.7]])
    table = torch.linspace(-2, 2, 16).sin().reshape(4, 4)

    def score(masked, hole=None):
        log_p = -((~masked).float() @ table).square() - 0.1
        return log_p if hole is None else log_p.where(masked, torch.tensor(float("nan")))

    plain = answer["estimate_pairs"](score, M, t)
    holes = answer["estimate_pairs"](lambda masked: score(masked, 1), M, t)
    return [plain, torch.nan_to_num(holes, nan=-1e3)]


# --------------------------------------------------------------------------------------------------------- 4 · when coupling hurts

WRONG_4 = {
    "context that changes the sum is not free": replace("(-1.5, -1.0), (-1.0, -1.5)", "(-1.5, -1.0), (-0.5, -0.5)"),
    "free, but with too small numbers": replace("(-1.5, -1.0), (-1.0, -1.5)", "(-0.5, -0.5), (-0.5, -0.5)"),
    "harmless: company makes tokens likelier": replace("(-0.1, -0.1), (-2.0, -2.0)", "(-2.0, -2.0), (-0.1, -0.1)"),
    "not far enough apart": replace("(-0.1, -0.1), (-2.0, -2.0)", "(-1.0, -1.0), (-1.6, -1.6)"),
    "a log-probability above 0": replace("(-0.1, -0.1), (-2.0, -2.0)", "(0.5, 0.5), (-2.0, -2.0)"),
}
RIGHT_4 = {
    "equal numbers; certain alone": """
def free():
    return [-2, -2], [-2, -2]


def harmful():
    return [0, 0], [-3, -3]
""",
    "unequal tokens": """
def free():
    return (-3.0, 0.0), (-2.0, -1.0)


def harmful():
    return (-0.3, 0.0), (-4.0, -3.5)
""",
}


def PROBE_4(answer):
    out = []
    for name in ("free", "harmful"):
        alone, beside = answer[name]()
        out += [*answer["variances"](alone, beside), sum(alone)]
    return out


# ------------------------------------------------------------------------------------------------------ 5 · are these coupled masks?

WRONG_5 = {
    "accepts everything": """
def passes(draw):
    return True
""",
    "asks only for complements": """
def passes(draw):
    M, N, w, v = draw(50, 6, 0.4, torch.Generator().manual_seed(0))
    return bool((M ^ N).all())
""",
    "asks at one half only": """
def passes(draw):
    M, N, w, v = draw(4000, 6, 0.5, torch.Generator().manual_seed(0))
    fine = (M ^ N).all() and abs((w * M).float().mean() - 1) < 0.1 and abs((v * N).float().mean() - 1) < 0.1
    return bool(fine)
""",
    "asks for the shown drawer's bits": """
def passes(draw):
    ours, theirs = (f(40, 5, 0.3, torch.Generator().manual_seed(0)) for f in (plain, draw))
    return bool(torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1]) and torch.equal(ours[2], theirs[2]))
""",
}
RIGHT_5 = {
    "by covariances": """
def passes(draw):
    for t in (0.25, 0.7):
        M, N, w, v = draw(6000, 5, t, torch.Generator().manual_seed(3))
        Y, Z = (w * M).float(), (v * N).float()
        if not torch.equal(M, ~N) or (Y.mean(0) - 1).abs().max() > 0.15 or (Z.mean(0) - 1).abs().max() > 0.15:
            return False
        if (M.float().mean(0) - t).abs().max() > 0.05:
            return False
        C = torch.cov(M.float().T) - t * (1 - t) * torch.eye(5)
        if C.abs().max() > 0.03:
            return False
        if M.float().var(0).min() < 0.5 * t * (1 - t):
            return False
    return True
""",
    "patterns counted": """
def passes(draw):
    t = 0.3
    M, N, w, v = draw(8000, 3, t, torch.Generator().manual_seed(11))
    if bool((M == N).any()):
        return False
    code = (M.long() * torch.tensor([1, 2, 4])).sum(1)
    share = torch.bincount(code, minlength=8) / 8000
    expected = torch.tensor([t ** bin(i).count("1") * (1 - t) ** (3 - bin(i).count("1")) for i in range(8)])
    if float((share - expected).abs().max()) > 0.03:
        return False
    one, other = (w * M).float().mean(), (v * N).float().mean()
    return bool(abs(one - 1) < 0.12 and abs(other - 1) < 0.12)
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    weights = lambda B, t: (torch.full((B, 1), 1 / t), torch.full((B, 1), 1 / (1 - t)))  # noqa: E731

    def other_tail(B, L, t, generator):
        M = torch.rand(B, L, generator=generator) > 1 - t
        return M, ~M, *weights(B, t)

    def exchanged(B, L, t, generator):
        M = torch.rand(B, L, generator=generator) < t
        return M, ~M, *reversed(weights(B, t))

    def one_row(B, L, t, generator):
        M = (torch.rand(1, L, generator=generator) < t).expand(B, L)
        return M, ~M, *weights(B, t)

    def half(B, L, t, generator):
        M = torch.rand(B, L, generator=generator) < 0.5
        return M, ~M, *weights(B, 0.5)

    return [float(answer["passes"](f)) for f in (answer["plain"], answer["two_draws"], other_tail, exchanged, one_row, half)]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def global_ar(steps, k):
    shares = []
    for row in steps:
        positions = row.argsort()
        L = len(positions)
        later = torch.arange(L) > torch.arange(L)[:, None]
        masks_to_the_left = ((positions < positions[:, None]) & later).sum(1)
        shares.append((masks_to_the_left < k).float().mean())
    return torch.stack(shares)
""",
    2: """
def masked_nats(logits, x, masked, t, real):
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), x, reduction="none")
    return (nll * masked).sum(1) / t / x.shape[1]
""",
    3: """
def estimate_pairs(score, M, t):
    passes = [(torch.ones(M.shape[1:], dtype=torch.bool), torch.ones(M.shape[1], 1))]
    for m, ratio in zip(M, t):
        passes += [(m, 1 / ratio[:, None]), (~m, 1 / (1 - ratio[:, None]))]
    n = len(passes)
    log_p = score(torch.stack([m for m, _ in passes]))
    return sum(w * m * p for (m, w), p in zip(passes, log_p)) / ((n + 1) / 2)
""",
    5: """
def passes(draw):
    M, N, w, v = draw(40_000, 9, 0.5, torch.Generator().manual_seed(0))
    Y, Z = w * M, v * N
    fine = (M ^ N).all() and abs(Y.mean() - 1) < 0.02 and abs(((Y - 1) * (Z - 1)).mean() + 1) < 0.03
    return bool(fine)
""",
}

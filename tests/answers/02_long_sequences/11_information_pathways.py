"""Known answers to the exercise of lesson 11."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------- 1 · one source from every stretch

WRONG_1 = {
    "draws uniformly from all sources": replace(
        "torch.arange(n) * (N // n) + torch.randint(N // n, (B, n), generator=generator)",
        "torch.rand(B, N, generator=generator).argsort(1)[:, :n]",
    ),
    "takes one draw for the whole batch": replace("(B, n), generator=generator)", "(1, n), generator=generator).expand(B, n)"),
    "always takes the first of a stretch": replace(
        "torch.randint(N // n, (B, n), generator=generator)", "torch.zeros(B, n, dtype=torch.long)"
    ),
    "multiplies by N/n": replace("return (q", "return N / n * (q"),
    "draws without the generator": replace(", generator=generator)", ")"),
}
RIGHT_1 = {
    "view as stretches, then index": """
def stratified(q, k, v, n, generator):
    B, H, N, d = k.shape
    place = torch.randint(N // n, (B, n), generator=generator)
    pick = torch.nn.functional.one_hot(place, N // n).to(k.dtype)
    keys, values = (torch.einsum("bhnsd,bns->bhnd", x.unflatten(2, (n, N // n)), pick) for x in (k, v))
    return torch.einsum("bhtn,bhnd->bhtd", (torch.einsum("bhtd,bhnd->bhtn", q, keys) / math.sqrt(d)).softmax(-1), values)
""",
    "by advanced indexing": """
def stratified(q, k, v, n, generator):
    B, _, N, d = k.shape
    step = N // n
    idx = torch.rand(B, n, generator=generator).mul(step).long().clamp(max=step - 1) + step * torch.arange(n)
    rows = torch.arange(B)[:, None]
    keys, values = k.transpose(1, 2)[rows, idx].transpose(1, 2), v.transpose(1, 2)[rows, idx].transpose(1, 2)
    return torch.softmax(q @ keys.transpose(-1, -2) * d**-0.5, -1) @ values
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-3, 3, 8 * 12 * 12).sin().reshape(8, 1, 12, 12)
    twice = [answer["stratified"](x, x.flip(2), torch.eye(12).expand(8, 1, 12, 12), 4, torch.Generator().manual_seed(3)) for _ in range(2)]
    seen, w = (twice[0][:, 0, 0] > 0).float(), twice[0]
    spread = seen.view(8, 4, 3).sum(-1).std()
    return [w.sum(-1).mean(), spread, float(len(seen.unique(dim=0)) == 1), seen[:, ::3].mean(), float(torch.equal(*twice))]


# ------------------------------------------------------------------------------------------------------------ 2 · a causal draw

WRONG_2 = {
    "judges a source by its column": replace("idx < torch.arange(N)[:, None]", "torch.arange(n) < torch.arange(N)[:, None]"),
    "counts the own key twice where it is drawn": replace("idx < torch.arange(N)[:, None]", "idx <= torch.arange(N)[:, None]"),
    "forgets the own key": """
def causal_draw(q, k, v, idx):
    N = len(q)
    allowed = idx < torch.arange(N)[:, None]
    scores = (q @ k[idx].T / q.shape[-1] ** 0.5).masked_fill(~allowed, -1e9)
    return scores.softmax(-1) @ v[idx]
""",
    "leaves the own score unscaled": replace(
        "scores = torch.cat([scores, (q * k).sum(-1, keepdim=True)], dim=-1) / q.shape[-1] ** 0.5",
        "scores = torch.cat([scores / q.shape[-1] ** 0.5, (q * k).sum(-1, keepdim=True)], dim=-1)",
    ),
}
RIGHT_2 = {
    "target by target": """
def causal_draw(q, k, v, idx):
    out = []
    for t in range(len(q)):
        seen = [int(s) for s in idx if s < t] + [t]
        out.append((k[seen] @ q[t] / q.shape[1] ** 0.5).softmax(0) @ v[seen])
    return torch.stack(out)
""",
    "exponentials, two sums": """
def causal_draw(q, k, v, idx):
    e = torch.exp(q @ k[idx].T / math.sqrt(q.shape[1])) * (idx[None, :] < torch.arange(len(q))[:, None])
    own = torch.exp((q * k).sum(1, keepdim=True) / math.sqrt(q.shape[1]))
    return (e @ v[idx] + own * v) / (e.sum(1, keepdim=True) + own)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x = torch.linspace(-3, 3, 36).sin().reshape(9, 4)
    return [answer["causal_draw"](x.flip(0), x, x.roll(1, 0), torch.tensor(idx)) for idx in ([6, 1, 4], [0, 1, 2, 3], [8])]


# ----------------------------------------------------------------------------------------------- 3 · voters that predict a number

WRONG_3 = {
    "forgets the spread of the means": replace("var.mean(0) + mu.var(0, unbiased=False)", "var.mean(0)"),
    "divides the spread by M − 1": replace("mu.var(0, unbiased=False)", "(mu.var(0) if len(mu) > 1 else 0)"),
    "takes the mean of the log-densities": replace("log_density.logsumexp(0) - math.log(len(mu))", "log_density.mean(0)"),
    "treats the mixture as one normal distribution": """
def vote_normal(mu, var, y):
    mean, variance = mu.mean(0), var.mean(0) + mu.var(0, unbiased=False)
    return mean, variance, -0.5 * ((2 * math.pi * variance).log() + (y - mean) ** 2 / variance)
""",
    "leaves the logarithms too early": replace("log_density.logsumexp(0) - math.log(len(mu))", "log_density.exp().mean(0).log()"),
}
RIGHT_3 = {
    "second moments and logaddexp": """
def vote_normal(mu, var, y):
    mean = mu.sum(0) / mu.shape[0]
    variance = (var + mu.square()).mean(0) - mean.square()
    total = None
    for m, s in zip(mu, var.sqrt()):
        one = -((y - m) / s).square() / 2 - s.log() - 0.5 * math.log(2 * math.pi)
        total = one if total is None else torch.logaddexp(total, one)
    return mean, variance, total - math.log(len(mu))
""",
    "the maximum taken out": """
def vote_normal(mu, var, y):
    d = y[None] - mu
    logs = -d * d / (2 * var) - 0.5 * torch.log(2 * torch.pi * var)
    top = logs.max(0).values
    return mu.mean(0), ((mu - mu.mean(0)) ** 2 + var).mean(0), top + (logs - top).exp().mean(0).log()
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    mu, var = torch.linspace(-2, 2, 12).sin().reshape(4, 3) * 2, torch.linspace(0.5, 2, 12).reshape(4, 3)
    near = answer["vote_normal"](mu, var, torch.tensor([0.0, 1.0, -2.0]))
    far = answer["vote_normal"](mu, var, torch.full((3,), 90.0))[2]
    return [*near, torch.nan_to_num(far, neginf=-1e6)]


# ------------------------------------------------------------------------------------------- 4 · when is a draw right on average?

WRONG_4 = {
    "takes constant values: no error at all": replace("torch.randn(8, 2, generator=torch.Generator().manual_seed(0))", "torch.ones(8, 2)"),
    "lets the scores differ a little": replace(
        "torch.zeros(8, 4), torch.randn(8, 2", "torch.arange(8.0)[:, None].expand(8, 4) / 9, torch.randn(8, 2"
    ),
    "spreads the weight": replace("k[0], v[0] = 5.0, 1.0", "k[:4], v[:4] = 5.0, 1.0"),
    "breaks the limit on the values": replace("k[0], v[0] = 5.0, 1.0", "k[0], v[0] = 5.0, 9.0"),
}
RIGHT_4 = {
    "a zero query; a single loud source": """
def unbiased():
    torch.manual_seed(1)
    return torch.zeros(1, 4), torch.randn(8, 4), 2 * torch.randn(8, 2)


def biased():
    q, k, v = torch.zeros(1, 4), torch.zeros(8, 4), torch.ones(8, 2)
    q[0, 0], k[3, 0], v[3] = 8, 9, -1
    return q, k, v
""",
    "equal keys; two features": """
def unbiased():
    k = torch.tensor([[1.0, -2.0, 0.5, 3.0]]).repeat(8, 1)
    v = torch.stack([torch.arange(8.0), -torch.arange(8.0)], 1)
    return torch.ones(1, 4), k, v


def biased():
    k = -10 * torch.ones(8, 4)
    k[7] = 10
    v = torch.cat([torch.full((7, 2), 0.9), torch.full((1, 2), -0.9)])
    return torch.ones(1, 4), k, v
""",
}


def PROBE_4(answer):
    out = []
    for name in ("unbiased", "biased"):
        q, k, v = answer[name]()
        out += [*answer["errors"](q, k, v), float(v.abs().max())]
    return out


# --------------------------------------------------------------------------------------------------------- 5 · is this a vote?

WRONG_5 = {
    "accepts everything": """
def passes(voter):
    return True
""",
    "asks only whether probabilities come out": """
def passes(voter):
    log_p = torch.randn(3, 4, 5).log_softmax(-1)
    return bool(torch.allclose(voter(log_p).exp().sum(-1), torch.ones(4), atol=1e-4))
""",
    "asks for equal bits": """
def passes(voter):
    log_p = torch.randn(5, 4, 3).log_softmax(-1)
    return bool(torch.equal(voter(log_p), by_logsumexp(log_p)))
""",
}
RIGHT_5 = {
    "against the given one, near and far": """
def passes(voter):
    for size, shift in ((1, 0), (4, 0), (1, 500)):
        for M in (1, 2, 6):
            log_p = (size * torch.randn(M, 3, 4)).log_softmax(-1) - shift
            if not torch.allclose(voter(log_p), by_logsumexp(log_p), rtol=0, atol=2e-3):
                return False
    return True
""",
    "two known answers and a mean": """
def passes(voter):
    half = torch.tensor([[[math.log(0.9), math.log(0.1)]], [[math.log(0.1), math.log(0.9)]], [[math.log(0.5), math.log(0.5)]]])
    fine = torch.allclose(voter(half).exp(), torch.full((1, 2), 0.5), atol=1e-4)
    uneven = torch.tensor([[[0.8, 0.2]], [[0.2, 0.8]], [[0.5, 0.5]], [[0.9999, 0.0001]]]).log()
    fine = fine and torch.allclose(voter(uneven).exp(), uneven.exp().mean(0), atol=1e-4)
    several = torch.randn(4, 6, 2).log_softmax(-1)
    fine = fine and torch.allclose(voter(several).exp(), several.exp().mean(0), atol=1e-4)
    low = torch.tensor([[[-400.0, 0.0]], [[-400.0, 0.0]]])
    return bool(fine and torch.allclose(voter(low), low[0], atol=1e-2))
""",
}


def PROBE_5(answer):
    torch, math = answer["torch"], answer["math"]
    torch.manual_seed(0)
    voters = [
        answer["by_logsumexp"],
        lambda x: answer["by_logsumexp"](x) + 1e-6,
        lambda x: x.mean(0),
        lambda x: x.mean(0).log_softmax(-1),
        lambda x: x.exp().mean(0).log(),
        lambda x: x.logsumexp(0) - math.log(max(1, len(x) - 1)),
    ]
    return [float(answer["passes"](f)) for f in voters]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def stratified(q, k, v, n, generator):
    idx = torch.rand(len(k), k.shape[2], generator=generator).argsort(1)[:, :n]
    at = idx[:, None, :, None].expand(-1, k.shape[1], -1, k.shape[-1])
    k_drawn, v_drawn = k.gather(2, at), v.gather(2, at)
    return (q @ k_drawn.mT / q.shape[-1] ** 0.5).softmax(-1) @ v_drawn
""",
    2: """
def causal_draw(q, k, v, idx):
    before = idx < torch.arange(len(q))[:, None]
    scores = torch.cat([(q @ k[idx].mT).masked_fill(~before, -math.inf), (q * k).sum(-1, keepdim=True)], dim=-1)
    p = (scores / q.shape[-1] ** 0.5).softmax(-1)
    return p[..., :-1] @ v[idx] + p[..., -1:] * v
""",
    3: """
def vote_normal(mu, var, y):
    log_p = -0.5 * (y - mu) ** 2 / var
    return mu.mean(0), var.mean(0), log_p.logsumexp(0) - math.log(len(log_p))
""",
    4: """
def unbiased():
    torch.manual_seed(0)
    return torch.randn(1, 4), torch.randn(8, 4), torch.randn(8, 2)


def biased():
    torch.manual_seed(0)
    return torch.randn(1, 4), torch.randn(8, 4), torch.randn(8, 2).clamp(-1, 1)
""",
    5: """
def passes(voter):
    log_p = (3 * torch.randn(7, 20, 5)).log_softmax(-1)
    ok = torch.allclose(voter(log_p).exp(), log_p.exp().mean(0), atol=1e-5)
    return bool(ok and torch.allclose(voter(log_p[:1]), log_p[0], atol=1e-5))
""",
}

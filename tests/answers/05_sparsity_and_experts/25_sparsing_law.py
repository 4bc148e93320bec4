"""Known answers to the exercise of lesson 25."""

from course.answers import replace

# ---------------------------------------------------------------------------------------------------------- 1 · neurons in blocks

WRONG_1 = {
    "adds up the sizes of a block's neurons": """
def block_cett(a, W_d, epsilon, b):
    size = neuron_norms(a, W_d).unflatten(1, (-1, b)).sum(2)
    tail = (size < epsilon).repeat_interleave(b, 1)
    lost = (torch.where(tail, a, 0) @ W_d.T).norm(dim=1)
    return float((lost / (a @ W_d.T).norm(dim=1)).mean()), float((size >= epsilon).double().mean())
""",
    "adds up the sizes of the tail's blocks": replace(
        "(blocks * tail[:, None, :]).sum(2).norm(dim=1)", "(blocks.norm(dim=1) * tail).sum(1)"
    ),
    "divides the means instead of averaging ratios": replace("(lost / whole).mean()", "lost.mean() / whole.mean()"),
    "drops the head and keeps the tail": replace("blocks.norm(dim=1) < epsilon", "blocks.norm(dim=1) >= epsilon"),
    "drops a block at the threshold": replace("blocks.norm(dim=1) < epsilon", "blocks.norm(dim=1) <= epsilon"),
    "takes every b-th neuron into a block": replace(".unflatten(2, (-1, b)).sum(3)", ".unflatten(2, (b, -1)).sum(2)"),
    "prunes single neurons": replace(".unflatten(2, (-1, b)).sum(3)", ""),
}
RIGHT_1 = {
    "with einsum": """
def block_cett(a, W_d, epsilon, b):
    N, f = a.shape
    v = torch.einsum("nkb,dkb->nkd", a.reshape(N, f // b, b), W_d.reshape(len(W_d), f // b, b))
    stays = v.norm(dim=-1) >= epsilon
    lost = torch.where(stays[..., None], 0, v).sum(1).norm(dim=-1)
    return (lost / (a @ W_d.T).norm(dim=-1)).mean().item(), stays.double().mean().item()
""",
    "block by block": """
def block_cett(a, W_d, epsilon, b):
    lost, stays = torch.zeros(len(a), len(W_d), dtype=a.dtype), 0.0
    for s in range(0, a.shape[1], b):
        v = a[:, s : s + b] @ W_d[:, s : s + b].T
        small = v.norm(dim=1) < epsilon
        lost[small] += v[small]
        stays += float((~small).sum())
    return float((lost.norm(dim=1) / (a @ W_d.T).norm(dim=1)).mean()), stays / (len(a) * (a.shape[1] // b))
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    g = torch.Generator().manual_seed(21)
    a, W_d = torch.randn(6, 12, dtype=torch.float64, generator=g) ** 3, torch.randn(3, 12, dtype=torch.float64, generator=g)
    out = [
        torch.tensor(answer["block_cett"](a, W_d, epsilon, b), dtype=torch.float64)
        for epsilon in (0.5, 1.0, 2.0, 4.0)
        for b in (1, 3, 4, 6)
    ]
    a, W_d = torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.tensor([[1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    return [*out, torch.tensor(answer["block_cett"](a, W_d, 5.0, 2), dtype=torch.float64)]


# ---------------------------------------------------------------------------------------------------- 2 · a measure that flatters

WRONG_2 = {
    "still divides losses": replace("np.exp(loss_of(logits) - dense)", "loss_of(logits) / dense"),
    "still returns the upper end": replace("tau = low\n", "tau = high\n"),
    "still takes thresholds from the pruned run": """
def ppl_sparsity(layers, x, y, p):
    loss_of = lambda logits: float(F.cross_entropy(logits, y))
    dense = loss_of(forward(layers, x)[0])

    def pruned(tau):
        epsilons = []
        for i, (_, _, W_d) in enumerate(layers):
            _, activations, _ = forward(layers[: i + 1], x, epsilons + [0.0])
            epsilons.append(threshold_for(activations[i], W_d, tau))
        logits, _, A = forward(layers, x, epsilons)
        return A, np.exp(loss_of(logits) - dense)

    low, high = 0.0, 1.0
    for _ in range(10):
        tau = (low + high) / 2
        low, high = (tau, high) if pruned(tau)[1] < 1 + p / 100 else (low, tau)
    return pruned(low)[0], low
""",
    "one threshold for all layers": replace(
        "epsilons = [threshold_for(a, W_d, tau) for a, (_, _, W_d) in zip(activations, layers, strict=True)]",
        "epsilons = [threshold_for(activations[0], layers[0][2], tau)] * len(layers)",
    ),
    "returns the sparsity instead of the share kept": replace("return pruned(tau)[0], tau", "return 1 - pruned(tau)[0], tau"),
    "leaves the broken function": """
def ppl_sparsity(layers, x, y, p):
    return broken_ppl_sparsity(layers, x, y, p)
""",
}
RIGHT_2 = {
    "in nats": """
def ppl_sparsity(layers, x, y, p):
    logits, acts, _ = forward(layers, x)
    limit = F.cross_entropy(logits, y) + np.log1p(p / 100)
    run = lambda t: forward(layers, x, [threshold_for(a, w[2], t) for a, w in zip(acts, layers)])
    a, b = 0.0, 1.0
    for _ in range(10):
        m = 0.5 * (a + b)
        if F.cross_entropy(run(m)[0], y) < limit:
            a = m
        else:
            b = m
    return run(a)[2], a
""",
    "by an index of 1024ths": """
def ppl_sparsity(layers, x, y, p):
    logits, acts, _ = forward(layers, x)
    dense = float(F.cross_entropy(logits, y))

    def at(t):
        logits, _, A = forward(layers, x, [threshold_for(a, W_d, t) for a, (_, _, W_d) in zip(acts, layers)])
        return A, np.exp(float(F.cross_entropy(logits, y)) - dense)

    index = 0
    for bit in range(9, -1, -1):
        if at((index + 2**bit) / 1024)[1] < 1 + p / 100:
            index += 2**bit
    return at(index / 1024)[0], index / 1024
""",
}


def PROBE_2(answer):
    torch, forward = answer["torch"], answer["forward"]
    g = torch.Generator().manual_seed(22)
    layers, x = [answer["random_layer"](8, 20, g) for _ in range(3)], torch.randn(40, 8, dtype=torch.float64, generator=g)
    y = forward(layers, 3 * x)[0].argmax(1)
    return [torch.tensor(answer["ppl_sparsity"](layers, x, y, p), dtype=torch.float64) for p in (1, 6, 15)]


# --------------------------------------------------------------------------------------------------- 3 · one exponent for two models

WRONG_3 = {
    "lets c go negative": replace(
        "max(0.0, -((g - g.mean()) * (A - A.mean())).sum() / ((g - g.mean()) ** 2).sum())",
        "-((g - g.mean()) * (A - A.mean())).sum() / ((g - g.mean()) ** 2).sum()",
    ),
    "takes the last point as the limit": replace("limit = A.mean() + c * g.mean()", "limit = A[-1]"),
    "keeps the exponent of the last run": replace("total += ((limit - c * g - A) ** 2).sum()", "total = ((limit - c * g - A) ** 2).sum()"),
    "adds up absolute errors": replace("((limit - c * g - A) ** 2).sum()", "abs(limit - c * g - A).sum()"),
    "lays all points on one curve": """
def fit_shared(runs, alphas):
    D, A = np.concatenate([d for d, _ in runs]), np.concatenate([a for _, a in runs])
    best = (np.inf, None, None)
    for alpha in alphas:
        k, limit = np.polyfit(D**-alpha, A, 1)
        total = ((limit + k * D**-alpha - A) ** 2).sum()
        if total < best[0]:
            best = (total, float(alpha), (float(limit), max(0.0, -float(k))))
    return best[1], [best[2]] * len(runs)
""",
    "gives each run its own exponent, and returns their mean": """
def fit_shared(runs, alphas):
    exponents, found = [], []
    for D, A in runs:
        rows = []
        for alpha in alphas:
            k, limit = np.polyfit(D**-alpha, A, 1)
            k, limit = (k, limit) if k <= 0 else (0.0, A.mean())
            rows.append((((limit + k * D**-alpha - A) ** 2).sum(), alpha, limit, -k))
        best = min(rows)
        exponents.append(best[1])
        found.append((float(best[2]), float(best[3])))
    return float(np.mean(exponents)), found
""",
}
RIGHT_3 = {
    "with polyfit": """
def fit_shared(runs, alphas):
    def one(D, A, alpha):
        k, limit = np.polyfit(D**-alpha, A, 1)
        if k > 0:
            k, limit = 0.0, A.mean()
        return limit, -k, ((limit + k * D**-alpha - A) ** 2).sum()

    table = [[one(D, A, alpha) for D, A in runs] for alpha in alphas]
    i = int(np.argmin([sum(row[2] for row in rows) for rows in table]))
    return float(alphas[i]), [(float(limit), float(c)) for limit, c, _ in table[i]]
""",
    "with lstsq over all exponents": """
def fit_shared(runs, alphas):
    totals, fits = np.zeros(len(alphas)), []
    for D, A in runs:
        here = []
        for j, alpha in enumerate(alphas):
            X = np.stack([np.ones_like(D), -(D**-alpha)], 1)
            w = np.linalg.lstsq(X, A, rcond=None)[0]
            if w[1] < 0:
                w = np.array([A.mean(), 0.0])
            totals[j] += np.square(X @ w - A).sum()
            here.append(w)
        fits.append(here)
    j = totals.argmin()
    return alphas[j], [tuple(here[j]) for here in fits]
""",
}


def PROBE_3(answer):
    np, torch = answer["np"], answer["torch"]
    rng, out = np.random.default_rng(31), []
    short, long = np.geomspace(0.3, 2, 5), np.geomspace(0.5, 20, 9)
    for falls in (False, True):
        runs = [
            (short, 0.2 - 0.06 * short**-0.7 + 0.02 * rng.standard_normal(5)),
            (long, 0.5 - 0.1 * long**-0.7 + 0.02 * rng.standard_normal(9)),
        ]
        if falls:
            runs.append((short, 0.1 + 0.1 * short**-0.7))
        alpha, found = answer["fit_shared"](runs, np.arange(0.2, 3.01, 0.1))
        out += [torch.tensor([float(alpha)], dtype=torch.float64), torch.tensor(np.array(found, float).ravel())]
    return out


# --------------------------------------------------------------------------------------------------------------- 4 · long enough

WRONG_4 = {
    "the lesson's length": replace("return 14.0", "return 3.0"),
    "ten times the shortest that would do": replace("return 14.0", "return 150.0"),
    "a third too short": replace("return 14.0", "return 9.0"),
}
RIGHT_4 = {
    "a little shorter": replace("return 14.0", "return 13.0"),
    "searched for": """
def long_enough():
    low, high = 3.0, 80.0
    for _ in range(7):
        middle = (low * high) ** 0.5
        if np.median([width(middle, seed) for seed in range(150)]) > 0.1:
            low = middle
        else:
            high = middle
    return float(high)
""",
}


def PROBE_4(answer):
    return [answer["torch"].tensor([float(answer["long_enough"]())], dtype=answer["torch"].float64)]


# ---------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "accepts everything": """
def passes(m):
    return True
""",
    "one common factor only": replace(
        "up = 0.1 + 4 * torch.rand(f, dtype=torch.float64, generator=g)", "up = torch.full((f,), 3.0, dtype=torch.float64)"
    ),
    "positive factors only": replace(" * (torch.randint(2, (f,), generator=g) * 2 - 1)", ""),
    "never renumbers": replace("order = torch.randperm(f, generator=g)", "order = torch.arange(f)"),
    "leaves W_u alone": replace("(W_g, W_u * signed[:, None], W_d / signed),", "(W_g, W_u, W_d),"),
    "forgets W_d": replace("(W_g * up[:, None], W_u, W_d / up)", "(W_g * up[:, None], W_u, W_d)"),
}
RIGHT_5 = {
    "all at once": """
def passes(m):
    g = torch.Generator().manual_seed(77)
    for _ in range(8):
        W_g, W_u, W_d = random_layer(5, 14, g)
        x = torch.randn(20, 5, dtype=torch.float64, generator=g)
        for flags in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
            u = torch.exp(torch.randn(14, dtype=torch.float64, generator=g)) if flags[0] else torch.ones(14, dtype=torch.float64)
            v = torch.randn(14, dtype=torch.float64, generator=g) if flags[1] else torch.ones(14, dtype=torch.float64)
            o = torch.randperm(14, generator=g) if flags[2] else torch.arange(14)
            new = m((W_g * u[:, None])[o], (W_u * v[:, None])[o], (W_d / u / v)[:, o], x)
            if not np.isclose(new, m(W_g, W_u, W_d, x), atol=1e-7):
                return False
    return True
""",
    "one wide layer, many rewritings": """
def passes(m):
    g = torch.Generator().manual_seed(5)
    W_g, W_u, W_d = random_layer(6, 40, g)
    x = torch.randn(60, 6, dtype=torch.float64, generator=g)
    want = m(W_g, W_u, W_d, x)
    same = lambda value: abs(value - want) <= 1e-8 * max(1.0, abs(want))
    ok = True
    for _ in range(10):
        s = 10 ** (2 * torch.rand(40, dtype=torch.float64, generator=g) - 1)
        sign = torch.where(torch.rand(40, generator=g) < 0.5, -1.0, 1.0).double()
        o = torch.randperm(40, generator=g)
        ok &= same(m(s[:, None] * W_g, W_u, W_d / s, x)) and same(m(W_g[o], W_u[o], W_d[:, o], x))
        ok &= same(m(W_g, sign[:, None] * s[:, None] * W_u, W_d / (s * sign), x))
    return bool(ok)
""",
}


def PROBE_5(answer):
    torch, F, passes, norms = answer["torch"], answer["F"], answer["passes"], answer["neuron_norms"]
    gate, a = lambda W_g, W_u, x: F.relu(x @ W_g.T), lambda W_g, W_u, x: F.relu(x @ W_g.T) * (x @ W_u.T)
    measures = [
        answer["exact_zeros"],
        answer["small_gates"],
        lambda W_g, W_u, W_d, x: float((gate(W_g, W_u, x) < 0.1 * gate(W_g, W_u, x).max()).double().mean()),
        lambda W_g, W_u, W_d, x: float((a(W_g, W_u, x) > 0).double().mean()),
        lambda W_g, W_u, W_d, x: float((gate(W_g, W_u, x) * W_d.norm(dim=0) < 0.1).double().mean()),
        lambda W_g, W_u, W_d, x: float((a(W_g, W_u, x) == 0)[:, : len(W_g) // 2].double().mean()),
        lambda W_g, W_u, W_d, x: float(norms(a(W_g, W_u, x), W_d).mean()),
    ]
    return [torch.tensor([float(bool(passes(m))) for m in measures], dtype=torch.float64)]


# ---------------------------------------------------------------------------------------------------- the lesson's own code, fitted

PASTED = {
    1: """
def block_cett(a, W_d, epsilon, b):
    tail = torch.where(neuron_norms(a, W_d) < epsilon, a, 0)
    lost, whole = (tail @ W_d.T).norm(dim=1), (a @ W_d.T).norm(dim=1)
    return float((lost / whole.clamp(min=1e-12)).mean()), float((neuron_norms(a, W_d) >= epsilon).double().mean())
""",
    3: """
def fit_shared(runs, alphas):
    found = []
    for D, A in runs:
        G = D ** -np.asarray(alphas)[:, None]
        g, a = G - G.mean(1, keepdims=True), A - A.mean()
        k = -np.maximum(0, -(g @ a) / (g * g).sum(1))
        A0 = np.clip(A.mean() - k * G.mean(1), 0, 1)
        rss = ((A0[:, None] + k[:, None] * G - A) ** 2).sum(1)
        best = int(rss.argmin())
        found.append((A0[best], -k[best]))
    return alphas[best], found
""",
}

"""Known answers to the exercise of lesson 21."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------ 1 · the surest tokens first

WRONG_1 = {
    "serves in token order, as the lesson does": replace(
        "gate.argsort(dim=0, descending=True, stable=True)", "torch.arange(T)[:, None].expand(T, k)"
    ),
    "serves the least sure first": replace("descending=True", "descending=False"),
    "forgets to undo the sorting": replace("torch.empty_like(index).scatter(0, order, served.view(k, T).T)", "served.view(k, T).T"),
    "mixes first and second choices in one queue": """
def assign_by_gate(index, gate, E, C):
    T, k = index.shape
    order = gate.flatten().argsort(descending=True, stable=True)
    ranked = index.flatten()[order]
    served = F.one_hot(ranked, E).cumsum(0).gather(1, ranked[:, None])[:, 0] - 1
    position = torch.empty_like(ranked).scatter(0, order, served).view(T, k)
    return index * C + position, position < C
""",
    "counts positions from one": replace("[:, 0] - 1", "[:, 0]"),
    "sorts all choices by the first gate": replace("gate.argsort(dim=0,", "gate[:, :1].expand(T, k).argsort(dim=0,"),
}
RIGHT_1 = {
    "a loop over claims": """
def assign_by_gate(index, gate, E, C):
    T, k = index.shape
    slot, keep, taken = torch.zeros(T, k, dtype=torch.long), torch.zeros(T, k, dtype=torch.bool), [0] * E
    for j in range(k):
        for t in sorted(range(T), key=lambda t: (-gate[t, j].item(), t)):
            e = int(index[t, j])
            slot[t, j], keep[t, j] = e * C + taken[e], taken[e] < C
            taken[e] += 1
    return slot, keep
""",
    "by counting who is ahead": """
def assign_by_gate(index, gate, E, C):
    T, k = index.shape
    rank, token = torch.arange(k).repeat_interleave(T), torch.arange(T).repeat(k)
    e, g = index.T.flatten(), gate.T.flatten()
    surer = (g[None] > g[:, None]) | ((g[None] == g[:, None]) & (token[None] < token[:, None]))
    earlier = (rank[None] < rank[:, None]) | ((rank[None] == rank[:, None]) & surer)
    position = (earlier & (e[None] == e[:, None])).sum(1).view(k, T).T
    return e.view(k, T).T * C + position, position < C
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    noise = (torch.arange(48.0) * 12.9898).sin().mul(437.5453).frac().abs().view(12, 4)
    index, gate = noise[:, :3].topk(2).indices, noise.roll(1, 0)[:, 1:3]
    slot, keep = answer["assign_by_gate"](index, gate, 3, 4)
    return [keep.float(), torch.where(keep, slot, -1).float()]


# ------------------------------------------------------------------------------------------------ 2 · a balance loss that is fooled

WRONG_2 = {
    "still averages p over padding": replace("P = p[real].mean(0)", "P = p.mean(0)"),
    "still weighs choices by their probability": """
def balance(p, index, real):
    E = p.shape[1]
    chosen = p[real].gather(1, index[real]).flatten()
    f = p.new_zeros(E).index_add(0, index[real].flatten(), chosen)
    return E * (f / f.sum() * p[real].mean(0)).sum()
""",
    "counts first choices only": replace("index[real], E).float().mean((0, 1))", "index[real][:, 0], E).float().mean(0)"),
    "counts the choices of padding": replace("index[real]", "index"),
    "forgets the factor E": replace("return E * (f * P).sum()", "return (f * P).sum()"),
    "takes the square of P": replace("return E * (f * P).sum()", "return E * (P * P).sum()"),
}
RIGHT_2 = {
    "with bincount": """
def balance(p, index, real):
    picked = index[real].reshape(-1)
    share = torch.bincount(picked, minlength=p.shape[1]) / picked.numel()
    return p.shape[1] * (p[real] @ share).mean()
""",
    "with weights instead of a selection": """
def balance(p, index, real):
    w = real.to(p.dtype) / real.sum()
    onehot = (index[..., None] == torch.arange(p.shape[1])).to(p.dtype).mean(1)
    return p.shape[1] * ((w @ onehot) * (w @ p)).sum()
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    logits = torch.linspace(-3, 3, 28).mul(5).sin().view(7, 4) * 2
    p = logits.softmax(1).requires_grad_()
    real = torch.tensor([True, True, False, True, True, False, True])
    value = answer["balance"](p, p.topk(2).indices, real)
    return [value.detach(), torch.autograd.grad(value, p)[0]]


# ------------------------------------------------------------------------------------------- 3 · a class of R experts that agree

WRONG_3 = {
    "divides by all pairs, a pass with itself included": replace("R * (R - 1)))", "R * R))"),
    "compares neighbours only": """
def consistency(logits, real):
    log = logits.log_softmax(-1)
    p = log.exp()
    one = (p[:-1] * (log[:-1] - log[1:])).sum(-1)
    two = (p[1:] * (log[1:] - log[:-1])).sum(-1)
    return ((one + two).mean(0) / 2)[real].mean()
""",
    "averages over padding": replace("[real].mean()", ".mean()"),
    "detaches the teachers": replace("log.sum(0)).sum(-1)", "log.detach().sum(0)).sum(-1)"),
    "takes the log of a softmax": replace("log = logits.log_softmax(-1)", "log = logits.softmax(-1).log()"),
    "compares with the mean of the passes": """
def consistency(logits, real):
    log = logits.log_softmax(-1)
    middle = log.logsumexp(0) - torch.tensor(float(len(logits))).log()
    return (log.exp() * (log - middle)).sum(-1).mean(0)[real].mean()
""",
    "makes all pairs at once": """
def consistency(logits, real):
    R, log = len(logits), logits.log_softmax(-1)
    pairs = (log[:, None].exp() * (log[:, None] - log[None])).sum(-1)
    return pairs.sum((0, 1))[real].mean() / (R * (R - 1))
""",
}
RIGHT_3 = {
    "a loop over the first of each pair": """
def consistency(logits, real):
    R, log, total = len(logits), logits.log_softmax(-1), 0.0
    for r in range(R):
        total = total + (log[r].exp() * (log[r] - log)).sum(-1).sum(0)
    return total[real].mean() / (R * (R - 1))
""",
    "selects first, then with einsum": """
def consistency(logits, real):
    log = logits[:, real].log_softmax(-1)
    p, R = log.exp(), log.shape[0]
    own = torch.einsum("rnv,rnv->n", p, log) * R
    cross = torch.einsum("nv,nv->n", p.sum(0), log.sum(0))
    return (own - cross).mean() / (R * R - R)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    logits = (torch.arange(48.0) * 1.7).sin().view(3, 2, 2, 4).mul(2).requires_grad_()
    value = answer["consistency"](logits, torch.tensor([[True, False], [True, True]]))
    grad = torch.autograd.grad(value, logits)[0]
    huge = answer["consistency"](1e4 * logits.detach(), torch.ones(2, 2, dtype=torch.bool))
    largest = 0

    class Largest(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, operation, types, args=(), kwargs=None):
            nonlocal largest
            made = operation(*args, **(kwargs or {}))
            largest = max(largest, made.numel() if isinstance(made, torch.Tensor) else 0)
            return made

    with Largest():
        answer["consistency"](torch.zeros(20, 1, 2, 3), torch.ones(1, 2, dtype=torch.bool))
    return [value.detach(), grad, float(bool(torch.isfinite(huge))), float(largest > 4 * 120)]


# --------------------------------------------------------------------------------------------------------- 4 · the price of balance

WRONG_4 = {
    "takes the usual 0.01": replace("return 0.4", "return 0.01"),
    "leaves the balance out": replace("return 0.4", "return 0.0"),
    "pushes until all loads are equal": replace("return 0.4", "return 20.0"),
    "goes the other way": replace("return 0.4", "return 2.0"),
}
RIGHT_4 = {
    "a little less": """
def weight():
    return 0.35
""",
    "a search": """
def weight():
    good = []
    for w in (0.3, 0.4, 0.5):
        fullest, value = trial(w)
        if fullest <= 0.40 and value >= 0.8 * trial(0.0)[1]:
            good.append(w)
    return sum(good) / len(good)
""",
}


def PROBE_4(answer):
    return [float(answer["weight"]())]


# ------------------------------------------------------------------------------------------ 5 · is this a mixture-of-experts layer?

WRONG_5 = {
    "accepts everything": """
def passes(layer):
    return True
""",
    "tries one choice a token and room for all": """
def passes(layer):
    x, experts = torch.randn(6, 4), networks(3, 4)
    index, gate = torch.randint(3, (6, 1)), torch.rand(6, 1)
    return bool(torch.allclose(layer(x, gate, index, experts, 6), by_loop(x, gate, index, experts, 6), atol=1e-4))
""",
    "tries one choice a token, tight": """
def passes(layer):
    x, experts = torch.randn(9, 4), networks(3, 4)
    index, gate = torch.randint(3, (9, 1)), torch.rand(9, 1)
    return bool(torch.allclose(layer(x, gate, index, experts, 2), by_loop(x, gate, index, experts, 2), atol=1e-4))
""",
    "asks for equal bits": """
def passes(layer):
    x, experts = torch.randn(9, 4), networks(3, 4)
    index, gate = torch.rand(9, 3).topk(2).indices, torch.rand(9, 2)
    return bool(torch.equal(layer(x, gate, index, experts, 4), by_loop(x, gate, index, experts, 4)))
""",
}
RIGHT_5 = {
    "by the given one, many sizes": """
def passes(layer):
    for T, E, k, C in ((12, 3, 2, 3), (12, 3, 2, 50), (8, 4, 3, 2), (8, 4, 1, 1), (20, 2, 2, 9)):
        x, experts = torch.randn(T, 3), networks(E, 3, C)
        index, gate = torch.rand(T, E).topk(k).indices, torch.rand(T, k) + 0.1
        if float((layer(x, gate, index, experts, C) - by_loop(x, gate, index, experts, C)).abs().max()) > 1e-4:
            return False
    return True
""",
    "with a fixed crowd at the first expert": """
def passes(layer):
    ok = []
    for C in (0, 1, 2, 5, 9):
        index = torch.tensor([[0, 1], [1, 0], [0, 2], [2, 0], [0, 1], [1, 2], [0, 2]])
        x, gate, experts = torch.randn(7, 6), torch.linspace(0.2, 1.5, 14).view(7, 2), networks(3, 6, 1)
        taken, want = {}, torch.zeros(7, 6)
        for j, t in [(j, t) for j in (0, 1) for t in range(7)]:
            e = index[t, j].item()
            taken[e] = taken.get(e, 0) + 1
            if taken[e] <= C:
                want[t] = want[t] + gate[t, j] * experts[e](x[t])
        ok.append(torch.allclose(layer(x, gate, index, experts, C), want, atol=1e-4))
    return all(ok)
""",
}


def PROBE_5(answer):
    torch, by_loop = answer["torch"], answer["by_loop"]
    torch.manual_seed(0)
    functions = [
        by_loop,
        lambda *a: by_loop(*a) + 1e-7,
        lambda x, gate, index, experts, C: by_loop(x, gate, index, experts, 99),
        lambda x, gate, index, experts, C: by_loop(x, gate[:, :1], index[:, :1], experts, C),
        lambda x, gate, index, experts, C: by_loop(x, torch.ones_like(gate), index, experts, C),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def assign_by_gate(index, gate, E, C):
    T, k = index.shape
    claims_in_order = index.T.flatten()
    so_far = F.one_hot(claims_in_order, E).cumsum(dim=0)
    position = so_far.gather(1, claims_in_order[:, None]) - 1
    position = position.view(k, T).T
    return index * C + position, position < C
""",
    2: """
def balance(p, index, real):
    T, E = p.shape
    first = F.one_hot(index[:, 0], E).float()
    f, P = first.mean(dim=0), p.mean(dim=0)
    return E * (f * P).sum()
""",
    3: """
def consistency(logits, real):
    a, b = logits[0], logits[1]
    log_a, log_b = a.log_softmax(dim=-1), b.log_softmax(dim=-1)
    kl = 0.5 * ((log_a.exp() - log_b.exp()) * (log_a - log_b)).sum(dim=-1)
    return kl[real].mean()
""",
    4: """
def weight():
    return 0.01
""",
    5: """
def passes(layer):
    x, experts = torch.randn(37, 6), networks(4, 6)
    gate, index = torch.randn(37, 4).softmax(-1).topk(1)
    want = torch.zeros_like(x)
    for t in range(37):
        want[t] += gate[t, 0] * experts[int(index[t, 0])](x[t : t + 1])[0]
    return bool(torch.allclose(layer(x, gate, index, experts, 37), want, atol=1e-5))
""",
}

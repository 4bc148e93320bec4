"""Known answers to the exercise of lesson 42."""

from course.answers import replace

# ---------------------------------------------------------------------------------------- 1 · a strength for each sentence

WRONG_1 = {
    "forgets the minus: both sides pull in the same direction": replace("-ctx.lam * gradient", "ctx.lam * gradient"),
    "drops the strengths": replace("-ctx.lam * gradient", "-gradient"),
    "reverses forwards as well": replace("return x.view_as(x)", "return -x"),
    "takes the mean strength for every sentence": replace("lam.view(-1, *[1] * (x.ndim - 1))", "lam.mean()"),
    "lets the strengths run along the last axis": replace(
        "lam.view(-1, *[1] * (x.ndim - 1))", "lam if len(lam) == x.shape[-1] else lam.view(-1, *[1] * (x.ndim - 1))"
    ),
}
RIGHT_1 = {
    "detach instead of a Function": """
def reverse(x, lam):
    lam = lam.detach().reshape(-1, *[1] * (x.dim() - 1))
    return x.detach() * (1 + lam) - lam * x
""",
    "works on a flat view": """
class PerSentence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.save_for_backward(lam.detach().clone())
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        (lam,) = ctx.saved_tensors
        return (gradient.flatten(1) * lam[:, None]).neg().view(gradient.shape), None


def reverse(x, lam):
    return PerSentence.apply(x, lam)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-1, 2, 18).reshape(3, 2, 3).requires_grad_()
    out = answer["reverse"](x, torch.tensor([0.0, 0.5, 2.0]))
    (gradient,) = torch.autograd.grad((out * x.detach().cos()).sum(), x)
    return torch.cat([out.detach().flatten(), gradient.flatten()])


# ------------------------------------------------------------------------------------------------ 2 · the repaired pooler

WRONG_2 = {
    "leaves it as it was": """
def pool(h, real, W, b, q):
    return broken_pool(h, real, W, b, q)
""",
    "mends the batch of one, but padding still has the score 0": """
def pool(h, real, W, b, q):
    u = torch.tanh(h @ W + b)
    a = ((u @ q) * real).softmax(dim=-1)
    return (a[:, None] @ u)[:, 0], a
""",
    "multiplies by the mask after the softmax, so that weights no longer sum to one": replace(
        'masked_fill(~(real | empty), float("-inf")).softmax(dim=-1) * real', "softmax(dim=-1) * real"
    ),
    "sums the states instead of the projected vectors": replace("(a[:, None] @ u)", "(a[:, None] @ h)"),
    "takes the softmax over the batch": replace("softmax(dim=-1)", "softmax(dim=0)"),
}
RIGHT_2 = {
    "exponentials by hand": """
def pool(h, real, W, b, q):
    u = torch.tanh(torch.einsum("btd,de->bte", h, W) + b)
    scores = torch.einsum("bte,e->bt", u, q)
    weights = torch.exp(scores - scores.amax(dim=1, keepdim=True)) * real
    a = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-30)
    return torch.einsum("bt,bte->be", a, u), a
""",
    "turns the NaN of an empty row into 0 (no gradient passes through it)": replace(
        'masked_fill(~(real | empty), float("-inf")).softmax(dim=-1) * real',
        'masked_fill(~real, float("-inf")).softmax(dim=-1).nan_to_num()',
    ),
    "a loop over the sentences": """
def pool(h, real, W, b, q):
    vectors, weights = [], []
    for states, here in zip(h, real):
        u = torch.tanh(states @ W + b)
        a = torch.zeros(len(states))
        if here.any():
            a = a.masked_scatter(here, torch.softmax(u[here] @ q, dim=0))
        vectors.append(a @ u)
        weights.append(a)
    return torch.stack(vectors), torch.stack(weights)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    h = torch.linspace(-2, 2, 24).reshape(2, 4, 3).cos()
    real = torch.tensor([[True, True, False, False], [True, True, True, True]])
    W = torch.linspace(-1, 1, 9).reshape(3, 3)
    s, a = answer["pool"](h, real, W, torch.tensor([0.1, -0.2, 0.3]), torch.tensor([1.0, -1.0, 2.0]))
    one = answer["pool"](h[:1], real[:1], W, torch.zeros(3), torch.ones(3))[0]
    leaf = h[:1].clone().requires_grad_()
    empty, _ = answer["pool"](leaf, torch.zeros(1, 4, dtype=torch.bool), W, torch.zeros(3), torch.ones(3))
    (gradient,) = torch.autograd.grad(empty.sum(), leaf)
    return [s, a, float(one.ndim), empty.detach().nan_to_num(7.0).reshape(-1), gradient.nan_to_num(7.0)]


# ---------------------------------------------------------------------------------------- 3 · a concept with many values

WRONG_3 = {
    "divides by the number of classes as well": replace('"ate": (p[i] - p[j]).abs().sum(-1).mean()', '"ate": (p[i] - p[j]).abs().mean()'),
    "lets positive and negative differences cancel": replace(
        '"ate": (p[i] - p[j]).abs().sum(-1).mean()', '"ate": (p[i] - p[j]).sum(-1).abs().mean()'
    ),
    "compares with the first value instead of the sentence as it stands": replace(
        "as_it_stands = p[concept, torch.arange(n)]", "as_it_stands = p[0]"
    ),
    "averages over the values' pairs twice over (each value with itself too)": replace(
        "torch.combinations(torch.arange(M)).T", "torch.cartesian_prod(torch.arange(M), torch.arange(M)).T"
    ),
    "takes the group means over all rewritings instead of the sentences as they stand": replace(
        "groups = torch.stack([as_it_stands[concept == m].mean(0) for m in range(M)])", "groups = p.mean(1)"
    ),
    "puts the norm of TReATE outside": replace(
        '"treate": (as_it_stands - p_cf).abs().sum(-1).mean()', '"treate": (as_it_stands - p_cf).mean(0).abs().sum()'
    ),
}
RIGHT_3 = {
    "one-hot groups and all pairs by broadcasting": """
def effects(p, concept, p_cf):
    M, n, K = p.shape
    onehot = torch.nn.functional.one_hot(concept, M).float()
    now = torch.einsum("nm,mnk->nk", onehot, p)
    groups = onehot.T @ now / onehot.sum(0)[:, None]
    pairs = M * (M - 1)
    between = (p[:, None] - p[None]).abs().sum(-1).mean(-1)
    gaps = (groups[:, None] - groups[None]).abs().sum(-1)
    return {"ate": between.sum() / pairs, "treate": (now - p_cf).abs().sum() / n, "conexp": gaps.sum() / pairs}
""",
    "loops": """
def effects(p, concept, p_cf):
    M, n = p.shape[:2]
    now = torch.stack([p[int(c), s] for s, c in enumerate(concept)])
    ate, conexp, pairs = 0.0, 0.0, 0
    for i in range(M):
        for j in range(i + 1, M):
            pairs += 1
            ate += float((p[i] - p[j]).abs().sum()) / n
            conexp += float((now[concept == i].mean(0) - now[concept == j].mean(0)).abs().sum())
    return {"conexp": conexp / pairs, "ate": ate / pairs, "treate": float((now - p_cf).abs().sum()) / n}
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    p = torch.linspace(-3, 5, 60).reshape(3, 5, 4).sin().softmax(-1)
    found = answer["effects"](p, torch.tensor([0, 2, 1, 1, 2]), p.flip(0)[1].roll(1, 0))
    return [float(found[key]) for key in ("ate", "treate", "conexp")]


# -------------------------------------------------------------------------------------------------------------- 4 · the check

WRONG_4 = {
    "reads lines only": replace(
        "F = torch.cat([F - F.mean(0), z, torch.ones(len(z), 1)], dim=1)", "F = torch.cat([z, torch.ones(len(z), 1)], dim=1)"
    ),
    "judges on the rows that it was fitted to": replace(
        "((F[n:] @ weights > 0) == (target[n:] > 0))", "((F[:n] @ weights > 0) == (target[:n] > 0))"
    ),
    "forgets to bring the columns to one size": replace("    z = (z - z.mean(0)) / (z.std(0) + 1e-9)\n", ""),
    "compares the means of the two groups": """
def forgotten(z, y):
    gap = (z[y == 1].mean(0) - z[y == 0].mean(0)).abs() / (z.std(0) + 1e-9)
    return bool(gap.max() < 0.3)
""",
    "looks at each column alone, mean and size": """
def forgotten(z, y):
    z = (z - z.mean(0)) / (z.std(0) + 1e-9)
    both = torch.cat([z, z**2], dim=1)
    gap = (both[y == 1].mean(0) - both[y == 0].mean(0)).abs()
    return bool(gap.max() < 0.3)
""",
}
RIGHT_4 = {
    "products of columns": """
def forgotten(z, y):
    z = (z - z.mean(0)) / (z.std(0) + 1e-9)
    z = z / (1 + z.abs() / 4)                                     # heavy tails do no harm
    i, j = torch.triu_indices(6, 6)
    F = torch.cat([z, z[:, i] * z[:, j], torch.ones(len(z), 1)], dim=1)
    target = 2.0 * y - 1
    hits = 0
    for fold in range(4):
        held = torch.arange(len(z)) % 4 == fold
        w = torch.linalg.solve(F[~held].T @ F[~held] + 10 * torch.eye(F.shape[1]), F[~held].T @ target[~held])
        hits += int(((F[held] @ w > 0) == (target[held] > 0)).sum())
    return hits / len(z) < 0.58
""",
    "whitened columns, cubic kernel": """
def forgotten(z, y):
    z = z - z.mean(0)
    z = z / (z.std(0) + 1e-9)
    values, directions = torch.linalg.eigh(z.T @ z / len(z))
    z = z @ directions[:, values > 1e-6] / values[values > 1e-6].sqrt()
    z = 2 * torch.tanh(z / 2)
    n, target = 800, 2.0 * y - 1
    K = (1 + z @ z.T / 2) ** 3
    alpha = torch.linalg.solve(K[:n, :n] + 300 * torch.eye(n), target[:n])
    return float(((K[n:, :n] @ alpha > 0) == (target[n:] > 0)).float().mean()) < 0.6
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    found = []
    for seed, form in enumerate(["noise", "line", "bent", "tiny bent", "length", "far bent", "many"]):
        z, y = answer["noise"](40 + seed)
        sign = 2.0 * y - 1
        if form == "line":
            z[:, 2] += 2 * sign
        if "bent" in form:
            z[:, 0] = sign * z[:, 1].sign() * (z[:, 0].abs() + 0.5)
            z[:, 1] = z[:, 1].sign() * (z[:, 1].abs() + 0.5)
        if form == "tiny bent":
            z = z * torch.tensor([1e-3, 1e-3, 1.0, 1.0, 50.0, 50.0])
        if form == "far bent":
            z = z + 300
        if form == "length":
            z[:, :3] = z[:, :3] / z[:, :3].norm(dim=1, keepdim=True) * (2 + sign[:, None])
        found.append(float(answer["forgotten"](z, y)))
    return found


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.lam * gradient, None


def reverse(x, lam):
    return Reverse.apply(x, lam.mean())
""",
    2: """
def pool(h, real, W, b, q):
    h, real, W, b, q = h[None], real[None], W[None], b[None], q[None]
    u = torch.tanh(h.flatten(1, 2) @ W + b[:, None]).view_as(h)
    scores = (u @ q[:, None, :, None])[..., 0]
    a = scores.masked_fill(~real, float("-inf")).softmax(dim=-1)
    return (a[..., None, :] @ u)[..., 0, :][0], a[0]
""",
    3: """
def effects(p, concept, p_cf):
    l1 = lambda f, g: (f - g).abs().sum(-1)
    f, f_swapped = p[0], p[1]
    gap = l1(f[concept == 1].mean(0), f[concept == 0].mean(0))
    return {"ate": l1(f, f_swapped).mean(), "treate": l1(f, p_cf).mean(), "conexp": gap}
""",
    4: """
def probe(z, y):
    n, target = len(z) * 2 // 3, 2.0 * y.double() - 1
    Z = torch.cat([z, torch.ones(len(z), 1)], dim=1).double()
    weights = torch.linalg.lstsq(Z[:n], target[:n, None]).solution
    return float(((Z[n:] @ weights)[:, 0].sign() == target[n:]).float().mean())


def relu_features(h, real, m=256):
    g = torch.Generator().manual_seed(0)
    weights = real[..., None].float()
    h = (h @ torch.randn(h.shape[-1], m, generator=g) / h.shape[-1] ** 0.5 + torch.randn(m, generator=g)).relu()
    return (h * weights).sum(1) / weights.sum(1)


def forgotten(z, y):
    return probe(relu_features(z[:, None], torch.ones(len(z), 1, dtype=torch.bool)), y) < 0.6
""",
}

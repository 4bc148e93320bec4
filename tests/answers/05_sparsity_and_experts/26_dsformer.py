"""Known answers to the exercise of lesson 26."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------- 1 · the turned product

WRONG_1 = {
    "adds the blocks up": replace("torch.cat(made, 1)", "sum(made)"),
    "overwrites instead of adding": replace(
        "z = x.new_zeros(len(d), len(x)).index_add(0, at.flatten(), pieces.flatten(0, 1))",
        "z = x.new_zeros(len(d), len(x)).index_copy(0, at.flatten(), pieces.flatten(0, 1))",
    ),
    "forgets the values": replace("v[..., None] * x.T[:, None]", "torch.ones_like(v)[..., None] * x.T[:, None]"),
    "uses the first block's atoms everywhere": replace("z.T @ d)", "z.T @ D[0])"),
    "takes the first block's indices everywhere": replace("at.flatten()", "index[0].flatten()"),
}
RIGHT_1 = {
    "builds the coefficients": """
def turned_product(x, D, index, value):
    J, m, k = index.shape
    S = torch.zeros(J, m, D.shape[1]).scatter_add(2, index, value)
    return torch.einsum("bm,jmr,jrc->bjc", x, S, D).flatten(1)
""",
    "in loops": """
def turned_product(x, D, index, value):
    J, r, b = D.shape
    y = torch.zeros(len(x), J * b)
    for j in range(J):
        for i in range(index.shape[1]):
            for at, v in zip(index[j, i].tolist(), value[j, i]):
                y[:, j * b : (j + 1) * b] += v * x[:, i : i + 1] * D[j, at]
    return y
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.tensor([[1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 3.0, -2.0]])
    D = torch.linspace(-2, 3, 18).cos().reshape(2, 3, 3)
    index = torch.tensor([[[0, 1], [2, 2], [1, 0], [0, 2]], [[1, 1], [0, 2], [2, 1], [0, 1]]])
    value = torch.linspace(1, 4, 16).sin().reshape(2, 4, 2)
    return answer["turned_product"](x, D, index, value)


# ------------------------------------------------------------------------------------------------------- 2 · as few atoms as needed

WRONG_2 = {
    "takes the tolerance as absolute": replace("tol * x.norm():", "tol:"),
    "never stops early": replace("len(chosen) < k and (x - s @ D).norm() > tol * x.norm()", "len(chosen) < k"),
    "does not fit anew": replace(
        "s[chosen] = torch.linalg.lstsq(D[chosen].T, x[:, None]).solution[:, 0]", "s[chosen[-1]] = (x - s @ D) @ D[chosen[-1]]"
    ),
    "looks at signed correlations": replace("((x - s @ D) @ D.T).abs()", "(x - s @ D) @ D.T"),
    "correlates with the row, not with what is left": replace("((x - s @ D) @ D.T).abs()", "(x @ D.T).abs()"),
    "measures squares": replace("(x - s @ D).norm() > tol * x.norm()", "(x - s @ D).square().sum() > tol * x.square().sum()"),
}
RIGHT_2 = {
    "by the Gram matrix": """
def omp_until(X, D, k, tol):
    gram, S = D @ D.T, torch.zeros(len(X), len(D))
    for i, t in enumerate(X @ D.T):
        chosen = []
        for _ in range(k):
            if torch.linalg.vector_norm(X[i] - S[i] @ D) <= tol * torch.linalg.vector_norm(X[i]):
                break
            score = (t - S[i] @ gram).abs()
            score[chosen] = -1
            chosen.append(int(score.argmax()))
            S[i] = 0
            S[i, chosen] = torch.linalg.solve(gram[chosen][:, chosen], t[chosen])
    return S
""",
    "in one batch": """
def omp_until(X, D, k, tol):
    m, r = len(X), len(D)
    S, chosen = torch.zeros(m, r), torch.empty(m, 0, dtype=torch.long)
    for _ in range(k):
        going = (X - S @ D).norm(dim=1) > tol * X.norm(dim=1)
        score = ((X - S @ D) @ D.T).abs().scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, score.argmax(1, keepdim=True)], 1)
        A = D[chosen].mT
        new = torch.zeros(m, r).scatter(1, chosen, (torch.linalg.pinv(A) @ X[..., None])[..., 0])
        S = torch.where(going[:, None], new, S)
    return S
""",
}


def PROBE_2(answer):
    torch, F = answer["torch"], answer["F"]
    D = F.normalize(torch.linspace(0, 5, 24).sin().reshape(6, 4) + 0.3, dim=1)
    X = 3 * torch.linspace(1, 9, 20).cos().reshape(5, 4)
    return answer["omp_until"](X, D, 3, 0.4)


# ------------------------------------------------------------------------------------------------ 3 · a choice between frozen and free

WRONG_3 = {
    "takes the largest signed values": replace("S.abs().topk(k, -1)", "S.topk(k, -1)"),
    "chooses from the whole tensor": """
def leaky_top_k(S, k, leak):
    n = k * S[..., 0].numel()
    kept = torch.zeros(S.numel()).scatter(0, S.abs().flatten().topk(n).indices, 1.0).view_as(S)
    soft = S * (kept + leak * (1 - kept))
    return soft + (S * kept - soft).detach()
""",
    "adds the leak to the entries in use": replace("kept + leak * (1 - kept)", "kept + leak"),
    "freezes the choice": replace("soft + (S * kept - soft).detach()", "S * kept"),
    "passes everything": replace("soft = S * (kept + leak * (1 - kept))", "soft = S"),
    "leaks forwards": replace("soft + (S * kept - soft).detach()", "soft"),
}
RIGHT_3 = {
    "as a function of autograd": """
class Choice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, S, k, leak):
        order = S.abs().argsort(dim=-1, descending=True).argsort(dim=-1)
        ctx.save_for_backward(order < k)
        ctx.leak = leak
        return S * (order < k)

    @staticmethod
    def backward(ctx, G):
        (kept,) = ctx.saved_tensors
        return torch.where(kept, G, ctx.leak * G), None, None


def leaky_top_k(S, k, leak):
    return Choice.apply(S, k, leak)
""",
    "by a hook": """
def leaky_top_k(S, k, leak):
    smallest = S.detach().abs().sort(dim=-1, descending=True).values[..., k - 1 : k]
    kept = (S.detach().abs() >= smallest).to(S.dtype)
    if S.requires_grad:
        through = S * 1.0
        through.register_hook(lambda G: G * kept + leak * G * (1 - kept))
        return through + (S * kept - S).detach()
    return S * kept
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    S = (torch.linspace(-4, 5, 15).sin().reshape(3, 5) * torch.tensor([[1.0], [9.0], [3.0]])).requires_grad_()
    out = answer["leaky_top_k"](S, 2, 0.25)
    (found,) = torch.autograd.grad(out, S, torch.linspace(1, 2, 15).reshape(3, 5))
    return [out.detach(), found]


# --------------------------------------------------------------------------------------------------- 4 · the right format for a matrix

WRONG_4 = {
    "counts no indices": replace("m * k * (16 + math.ceil(math.log2(r)))", "m * k * 16"),
    "counts one dictionary for all blocks": replace(
        "n // 8 * (r * 8 * 16 + m * k * (16 + math.ceil(math.log2(r))))", "r * 8 * 16 + n // 8 * m * k * (16 + math.ceil(math.log2(r)))"
    ),
    "rounds the logarithm down": replace("math.ceil(math.log2(r))", "int(math.log2(r))"),
    "spends as much as it may": replace("return min((option", "return max((option"),
    "takes the smallest": replace("if errors[option] <= least + 1e-4", "if errors[option] >= least"),
    "forgets the budget": replace("if bits(*option) <= budget", "if bits(*option)"),
}
RIGHT_4 = {
    "sorted twice": """
def choose(W, budget):
    m, n = W.shape
    found = []
    for kind, size in OPTIONS:
        if kind == "lowrank":
            b = 16 * size * sum(W.shape)
        elif kind == "nm":
            b = W.numel() * size // 8 * (16 + 3)
        else:
            r, k = size
            b = sum(r * 8 * 16 + m * k * (16 + (r - 1).bit_length()) for _ in range(0, n, 8))
        if b <= budget:
            found.append((float((W - fitted(W, kind, size)).norm()), b, (kind, size)))
    found.sort(key=lambda f: f[0])
    near = [f for f in found if f[0] <= found[0][0] + 1e-4 * float(W.norm())]
    return min(near, key=lambda f: f[1])[2]
""",
    "by bytes": """
def choose(W, budget):
    m, n = W.shape
    cost = {}
    for option in OPTIONS:
        kind, size = option
        if kind == "lowrank":
            cost[option] = 2 * size * (m + n)
        elif kind == "nm":
            cost[option] = m * n * size / 8 * 19 / 8
        else:
            index = 2 if size[0] == 4 else 3
            cost[option] = n / 8 * (size[0] * 16 + m * size[1] * (2 + index / 8))
    cost = {o: c for o, c in cost.items() if 8 * c <= budget}
    loss = {o: float((W - fitted(W, *o)).norm() / W.norm()) for o in cost}
    best = None
    for o in sorted(cost, key=cost.get):
        if best is None or loss[o] < loss[best] - 1e-4:
            best = o
    return best
""",
}


def PROBE_4(answer):
    torch, found = answer["torch"], []
    for atoms, budget in ((6, 3055), (4, 2463), (6, 2300), (4, 1900), (0, 4000)):
        g = torch.Generator().manual_seed(atoms)
        blocks = []
        for _ in range(2):
            pick = torch.arange(40) % max(atoms, 1)
            blocks.append(torch.randn(max(atoms, 1), 8, generator=g)[pick] * torch.randn(40, 1, generator=g))
        W = torch.cat(blocks, 1) if atoms else torch.randn(40, 2, generator=g) @ torch.randn(2, 16, generator=g)
        kind, size = answer["choose"](W, budget)
        found += [float(("lowrank", "nm", "dsf").index(kind)), float(size[0] * 10 + size[1] if kind == "dsf" else size)]
    return found


# ------------------------------------------------------------------------------------------------- 5 · is this orthogonal matching pursuit?

WRONG_5 = {
    "accepts everything": """
def passes(coder):
    return True
""",
    "counts the atoms only": """
def passes(coder):
    D = F.normalize(torch.randn(9, 5), dim=1)
    try:
        return bool(((coder(torch.randn(12, 5), D, 3) != 0).sum(1) == 3).all())
    except Exception:
        return False
""",
    "uses atoms at right angles": """
def passes(coder):
    X, D = torch.randn(9, 6), torch.eye(6)
    try:
        S = coder(X, D, 2)
    except Exception:
        return False
    want = X * torch.zeros_like(X).scatter(1, X.abs().topk(2, 1).indices, 1.0)
    return bool(torch.allclose(S, want, atol=1e-4))
""",
    "tries one atom a row only": """
def passes(coder):
    X, D = torch.randn(9, 6), F.normalize(torch.randn(8, 6), dim=1)
    try:
        S = coder(X, D, 1)
    except Exception:
        return False
    c = X @ D.T
    return bool(torch.allclose(S, c * torch.zeros_like(c).scatter(1, c.abs().topk(1, 1).indices, 1.0), atol=1e-4))
""",
}
RIGHT_5 = {
    "by properties": """
def passes(coder):
    for m, r, b, k in ((10, 8, 5, 3), (9, 7, 4, 2), (6, 5, 5, 1)):
        D, X = F.normalize(torch.randn(r, b) + 0.4, dim=1), torch.randn(m, b)
        try:
            codes = [coder(X.clone(), D.clone(), c) for c in range(1, k + 1)]
        except Exception:
            return False
        before = torch.zeros(m, r)
        for c, S in enumerate(codes, 1):
            if S.shape != (m, r) or not bool(((S != 0).sum(1) == c).all()) or bool(((before != 0) & (S == 0)).any()):
                return False
            left = (X - S @ D) @ D.T
            if float(left[S != 0].abs().max()) > 1e-3:
                return False
            score = ((X - before @ D) @ D.T).abs().masked_fill(before != 0, -1.0)
            if not torch.equal(score.argmax(1), ((S != 0) & (before == 0)).float().argmax(1)):
                return False
            before = S
    return True
""",
    "against the given coder": """
def passes(coder):
    for m, r, b, k in ((15, 10, 6, 4), (8, 5, 5, 2), (8, 9, 3, 1)):
        D, X = F.normalize(torch.randn(r, b) + 0.5, dim=1), 2 * torch.randn(m, b)
        try:
            if not bool(((coder(X, D, k) - batched(X, D, k)).abs() < 1e-3).all()):
                return False
        except Exception:
            return False
    return True
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    batched = answer["batched"]
    coders = [
        batched,
        answer["at_once"],
        lambda X, D, k: (torch.linalg.pinv(D.T) @ X.T).T,
        lambda X, D, k: 0.9 * batched(X, D, k),
        lambda X, D, k: batched(X, D, max(1, k - 1)),
        lambda X, D, k: batched(X, D, k) * (X @ D.T > 0) if k > 1 else batched(X, D, k),
    ]
    return [float(answer["passes"](f)) for f in coders]


# ------------------------------------------------------------------------------------------------------ what the lesson prints, fitted

PASTED = {
    1: """
def turned_product(x, D, index, value):
    J, r, b = D.shape
    u = D.mT @ x[:, : J * r].reshape(-1, J, r).permute(1, 2, 0)
    picked = u[torch.arange(J)[:, None, None], index.clamp(max=b - 1)]
    return (value[..., None] * picked).sum((0, 2)).T
""",
    2: """
def omp_until(X, D, k, tol):
    gram, target = D @ D.T, X @ D.T
    S, chosen = torch.zeros_like(target), torch.empty(len(X), 0, dtype=torch.long)
    for _ in range(k):
        score = ((X - S @ D) @ D.T).abs().scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, score.argmax(1, keepdim=True)], 1)
        G = gram[chosen[:, :, None], chosen[:, None, :]]
        fitted_ = torch.linalg.solve(G + 1e-7 * torch.eye(chosen.shape[1]), target.gather(1, chosen)[..., None])[..., 0]
        S = torch.zeros_like(S).scatter(1, chosen, fitted_)
    return S
""",
    3: """
def leaky_top_k(S, k, leak):
    kept = torch.zeros_like(S).scatter(-1, S.abs().topk(k, -1).indices, 1.0)
    return S + (S * kept - S).detach()
""",
    5: """
def passes(coder):
    X, D = torch.randn(40, 6), F.normalize(torch.randn(9, 6), dim=1)
    S3 = coder(X, D, 3)
    return bool(((S3 != 0).sum(1) == 3).all()) and bool((((X - S3 @ D) @ D.T)[S3 != 0]).abs().max() < 1e-4)
""",
}

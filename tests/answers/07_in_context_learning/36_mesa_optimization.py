"""Known answers to the exercise of lesson 36."""

from course.answers import replace

# ----------------------------------------------------------------------------------------------------- 1 · a layer that forgets

WRONG_1 = {
    "transposes the token without conjugating it": replace(".conj()", ""),
    "conjugates the wrong factor of the outer product": replace(
        "e[:, :, None] * e[:, None, :].conj()", "e[:, :, None].conj() * e[:, None, :]"
    ),
    "weighs the newest token down as well": replace("gamma * state[0] + outer", "gamma * (state[0] + outer)"),
    "counts the first token as a pair": replace("(outer, 0.0)", "(outer, 1.0)"),
    "divides by the number of pairs, not by the sum of their weights": replace("gamma * state[1] + 1", "state[1] + 1"),
    "reads before it writes, so that the newest pair is missing": """
def forget_step(state, e, W_PV, W_KQ, gamma):
    outer = e[:, :, None] * e[:, None, :].conj()
    if state is None:
        return (outer, 0.0), e.new_zeros(len(e), W_PV.shape[0])
    n = gamma * state[1] + 1
    y = torch.einsum("dk,bkl,lm,bm->bd", W_PV, gamma * state[0], W_KQ, e) / n
    return (gamma * state[0] + outer, n), y
""",
}
RIGHT_1 = {
    "matrix products instead of einsum": """
def forget_step(state, e, W_PV, W_KQ, gamma):
    column = e.unsqueeze(-1)
    if state is None:
        return (column @ column.mH, 0), torch.zeros(e.shape[0], W_PV.shape[0], dtype=e.dtype)
    M = column @ column.mH + gamma * state[0]
    n = 1 + gamma * state[1]
    return (M, n), (W_PV @ M @ W_KQ @ column)[..., 0] / n
""",
    "a loop over the sequences": """
def forget_step(state, e, W_PV, W_KQ, gamma):
    M, n = (torch.zeros(len(e), e.shape[1], e.shape[1], dtype=e.dtype), -1.0) if state is None else state
    M = torch.stack([gamma * old + torch.outer(token, token.conj()) for old, token in zip(M, e)])
    n = 0.0 if state is None else gamma * n + 1
    rows = [W_PV @ (m @ (W_KQ @ token)) / (n if n else 1) * (1 if n else 0) for m, token in zip(M, e)]
    return (M, n), torch.stack(rows)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    e = torch.exp(1j * torch.linspace(0, 5, 24, dtype=torch.float64) ** 2).reshape(4, 1, 6)
    W_PV = torch.exp(1j * torch.arange(18.0, dtype=torch.float64)).reshape(3, 6)
    W_KQ = torch.exp(2j * torch.arange(36.0, dtype=torch.float64)).reshape(6, 6)
    state, seen = None, []
    for token in e:
        state, y = answer["forget_step"](state, token, W_PV, W_KQ, 0.6)
        seen.append(torch.view_as_real(y))
    return torch.stack(seen)


# -------------------------------------------------------------------------------------------------------- 2 · the repaired formula

WRONG_2 = {
    "leaves it as it was": """
def predicted_size(x1, T):
    return broken_size(x1, T)
""",
    "counts the coordinate itself among the others": replace(" - (x1**6).sum(1)", ""),
    "drops κ₃, which is right for sparse tokens only": replace("k2 + k3 * H", "k2"),
    "sums H to T": replace("range(2, T)", "range(2, T + 1)"),
    "does not average κ₃ over the coordinates": replace("pairs.mean() / d", "pairs.mean()"),
    "takes the fourth power of x_j and the square of the others, without leaving j out": """
def predicted_size(x1, T):
    d = x1.shape[1]
    k3 = ((x1**4).sum(1) * (x1**2).sum(1)).mean() / d - (x1**4).mean() * (x1**2).mean()
    H = sum(1 / (t - 1) for t in range(2, T)) / (T - 2)
    return (x1**4).mean() / ((x1**6).mean() + k3 * H)
""",
}
RIGHT_2 = {
    "a table of all pairs of coordinates": """
def predicted_size(x1, T):
    n, d = x1.shape
    table = torch.einsum("nj,nr->jr", x1**2, x1**4) / n
    k1, k2 = (x1**4).mean(), table.diagonal().mean()
    k3 = (table.sum() - table.diagonal().sum()) / d
    H = torch.arange(1, T - 1, dtype=torch.float64).reciprocal().mean()
    return k1 / (k2 + k3 * H)
""",
    "loops over the coordinates": """
def predicted_size(x1, T):
    d = x1.shape[1]
    k3 = 0.0
    for j in range(d):
        for r in range(d):
            if r != j:
                k3 += float((x1[:, j] ** 2 * x1[:, r] ** 4).mean()) / d
    H = 0.0
    for t in range(2, T):
        H += 1 / (t - 1) / (T - 2)
    return float((x1**4).mean()) / (float((x1**6).mean()) + k3 * H)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x1 = torch.linspace(-1.3, 2, 12, dtype=torch.float64).reshape(4, 3) ** 2
    return [float(answer["predicted_size"](x1, T)) for T in (4, 15)]


# ------------------------------------------------------------------------------------------------------ 3 · coordinates of unequal size

WRONG_3 = {
    "gives the cross terms the a of the own coordinate": replace(
        "sigma**2 * (3 * a**2 * sigma**4).sum() - 3 * a**2 * sigma**6", "a**2 * (sigma**2 * (3 * sigma**4).sum() - 3 * sigma**6)"
    ),
    "counts the own coordinate among the cross terms": replace(" - 3 * a**2 * sigma**6", ""),
    "does not let the cross terms fade with the context": replace("cross / (t - 1)", "cross"),
    "divides the cross terms by t": replace("cross / (t - 1)", "cross / t"),
    "exchanges the square and the fourth power in the cross terms": replace(
        "sigma**2 * (3 * a**2 * sigma**4).sum()", "3 * sigma**4 * (a**2 * sigma**2).sum()"
    ),
    "takes the lesson's parabola with u = ab": """
def unequal_loss(a, b, sigma, T):
    total, u = 0.0, a * b
    k3 = sigma**2 * (3 * sigma**4).sum() - 3 * sigma**6
    for t in range(2, T):
        total = total + (u**2 * (15 * sigma**6 + k3 / (t - 1)) - 6 * u * sigma**4 + sigma**2).sum() / 2
    return total
""",
}
RIGHT_3 = {
    "a matrix of variances": """
def unequal_loss(a, b, sigma, T):
    table = torch.outer(sigma**2, 3 * sigma**4)
    table = table - torch.diag(table.diagonal())
    harmonic = sum(1 / (t - 1) for t in range(2, T))
    own = (T - 2) * (15 * a**2 * b**2 * sigma**6 - 6 * a * b * sigma**4 + sigma**2).sum()
    return (own + harmonic * b**2 @ table @ a**2) / 2
""",
    "loops over the coordinates": """
def unequal_loss(a, b, sigma, T):
    a, b, s, loss = a.tolist(), b.tolist(), sigma.tolist(), 0.0
    for t in range(2, T):
        for j in range(len(a)):
            spread = 15 * a[j] ** 2 * s[j] ** 6
            for r in range(len(a)):
                if r != j:
                    spread += a[r] ** 2 * s[j] ** 2 * 3 * s[r] ** 4 / (t - 1)
            loss += 0.5 * (b[j] ** 2 * spread - 2 * a[j] * b[j] * 3 * s[j] ** 4 + s[j] ** 2)
    return loss
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    a, b, sigma = torch.tensor([[0.3, 0.7, 1.1], [0.5, 0.2, 0.4], [1.0, 0.6, 1.4]], dtype=torch.float64)
    return [float(answer["unequal_loss"](a, b, sigma, T)) for T in (4, 6)]


# ------------------------------------------------------------------------------------------------------------ 4 · the worst tokens

WRONG_4 = {
    "makes both moduli equally likely": replace("3.0, 0.0122", "3.0, 0.5"),
    "makes the large tokens too rare to matter": replace("3.0, 0.0122", "3.0, 0.0003"),
    "lets most coordinates be small instead of a few large": replace("3.0, 0.0122", "0.33, 0.9"),
    "stays near a Gaussian": replace("3.0, 0.0122", "2.0, 0.05"),
}
RIGHT_4 = {
    "another of the good settings": "worst_r, worst_p = 3, 0.013\n",
    "a search in the cell": """
tried = {(r, p): left_over(r, p) for r in (1.5, 2.0, 2.5, 3.0) for p in torch.logspace(-4, -0.3, 60).tolist()}
worst_r, worst_p = max(tried, key=tried.get)
""",
}


def PROBE_4(answer):
    left = answer["left_over"](float(answer["worst_r"]), float(answer["worst_p"]))
    return [float(left > 0.5), float(left > 0.63), float(answer["worst_r"] > 1), float(answer["worst_p"] > 0.1)]


# ------------------------------------------------------------------------------------------------------------ 5 · the check

WRONG_5 = {
    "looks where every gradient is 0": replace("[(0.5, 1.5), (1.3, 0.4)]", "[(0.0, 0.0)]"),
    "lets the diagonal entries differ": """
def stays(x1, chances):
    for a, b in [(0.5, 1.5), (1.3, 0.4)]:
        G_PV, G_KQ = push(x1, chances, a, b)
        if G_PV[0, 1].abs() > 1e-9 or G_PV[:, 2:].abs().max() > 1e-9 or G_KQ[3, 0].abs() > 1e-9 or G_KQ[2, 1].abs() > 1e-9:
            return False
    return True
""",
    "is too generous: a tolerance of 0.2": """
def stays(x1, chances):
    for a, b in [(0.5, 1.5), (1.3, 0.4)]:
        G_PV, G_KQ = push(x1, chances, a, b)
        only_PV, only_KQ = torch.zeros_like(G_PV), torch.zeros_like(G_KQ)
        only_PV[:, :2] = only_KQ[2:, :2] = torch.eye(2, dtype=G_PV.dtype)
        if (G_PV - G_PV[0, 0] * only_PV).abs().max() > 0.2 or (G_KQ - G_KQ[2, 0] * only_KQ).abs().max() > 0.2:
            return False
    return True
""",
    "asks for gradients that are exactly 0": """
def stays(x1, chances):
    G_PV, G_KQ = push(x1, chances, 0.5, 1.5)
    only_PV, only_KQ = torch.zeros_like(G_PV), torch.zeros_like(G_KQ)
    only_PV[:, :2] = only_KQ[2:, :2] = torch.eye(2, dtype=G_PV.dtype)
    return bool((G_PV == G_PV[0, 0] * only_PV).all() and (G_KQ == G_KQ[2, 0] * only_KQ).all())
""",
    "asks for mean 0 and uncorrelated coordinates only": """
def stays(x1, chances):
    mean = (chances[:, None] * x1).sum(0)
    product = (chances * x1[:, 0] * x1[:, 1]).sum()
    return bool(mean.abs().max() < 1e-9 and product.abs() < 1e-9)
""",
    "insists that every coordinate is symmetric, which is more than needed": """
def stays(x1, chances):
    odd = [(chances[:, None] * x1**k).sum(0).abs().max() for k in (1, 3, 5)]
    even = [(chances[:, None] * x1**k).sum(0) for k in (4, 6)]
    mixed = (chances * x1[:, 0] * x1[:, 1]).sum().abs()
    return bool(max(odd) < 1e-9 and mixed < 1e-9 and all((m[0] - m[1]).abs() < 1e-9 for m in even))
""",
}
RIGHT_5 = {
    "by moments": """
def stays(x1, chances):
    moment = lambda p, q: float((chances * x1[:, 0] ** p * x1[:, 1] ** q).sum())
    mixed = [moment(1, 1), moment(1, 3), moment(3, 1), moment(3, 3), moment(1, 5), moment(5, 1)]
    unequal = [moment(4, 0) - moment(0, 4), moment(6, 0) - moment(0, 6), moment(2, 4) - moment(4, 2)]
    return max(abs(value) for value in mixed + unequal) < 1e-9
""",
    "entry by entry at three starts": """
def stays(x1, chances):
    torch.manual_seed(0)
    for a, b in (0.2 + 2 * torch.rand(3, 2)).tolist():
        G_PV, G_KQ = push(x1, chances, a, b)
        off = [G_PV[0, 1], G_PV[1, 0], G_KQ[2, 1], G_KQ[3, 0], G_PV[0, 0] - G_PV[1, 1], G_KQ[2, 0] - G_KQ[3, 1]]
        other = [G_PV[:, 2:].abs().sum(), G_KQ[:2].abs().sum(), G_KQ[2:, 2:].abs().sum()]
        if any(abs(complex(value)) > 1e-10 * (1 + abs(complex(G_KQ[2, 0]))) for value in off + other):
            return False
    return True
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    quarter = torch.full((4,), 0.25, dtype=torch.float64)
    v, p = torch.tensor([-1.0, 2.0], dtype=torch.float64), torch.tensor([2 / 3, 1 / 3], dtype=torch.float64)
    tokens = [
        (signs, quarter),
        (1.7 * signs, quarter),
        (signs[:1], torch.ones(1, dtype=torch.float64)),
        (signs[:2], torch.tensor([0.5, 0.5], dtype=torch.float64)),
        (torch.cartesian_prod(v, v), torch.cartesian_prod(p, p).prod(-1)),
        (signs, torch.tensor([0.27, 0.23, 0.23, 0.27], dtype=torch.float64)),
        (signs * torch.tensor([1.0, 1.1]), quarter),
    ]
    return [float(answer["stays"](*case)) for case in tokens]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def forget_step(state, e, W_PV, W_KQ, gamma):
    E = e[:, None] if state is None else torch.cat([state[0], e[:, None]], dim=1)
    scores = (E @ W_KQ.mT) @ E.mH
    scores = scores * (torch.arange(E.shape[1])[:, None] >= torch.arange(E.shape[1]))
    pairs = torch.arange(E.shape[1]).clamp(min=1)[:, None]
    y = scores / pairs @ (E @ W_PV.mT)
    return (E, E.shape[1] - 1), 0 * y[:, -1] if E.shape[1] == 1 else y[:, -1]
""",
    2: """
def predicted_size(x1, T):
    mean = lambda values: values.mean()
    own = x1[:, 0]
    k1, k2, k3 = mean(own**4), mean(own**6), mean(own**2 * (x1[:, 1:] ** 4).sum(1))
    return k1 / (k2 + k3 * sum(1 / (t - 1) for t in range(2, T)) / (T - 2))
""",
    3: """
def unequal_loss(a, b, sigma, T):
    d, u = len(a), (a * b)[0]
    k1, k2, k3, second = 3 * sigma[0] ** 4, 15 * sigma[0] ** 6, 3 * (d - 1) * sigma[0] ** 6, sigma[0] ** 2
    return sum(d / 2 * (u**2 * (k2 + k3 / (t - 1)) - 2 * u * k1 + second) for t in range(2, T))
""",
}

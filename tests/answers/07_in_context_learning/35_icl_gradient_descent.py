"""Known answers to the exercise of lesson 35."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------ 1 · a step with an intercept

WRONG_1 = {
    "divides the step by nothing (sums over the pairs)": replace("eta / n", "eta"),
    "steps uphill: the label enters the value with a plus": replace("-torch.eye(m)", "torch.eye(m)"),
    "leaves the constant out of keys and queries, so that the intercept never moves": replace(
        "keys[: d + 1, : d + 1] = torch.eye(d + 1)", "keys[:d, :d] = torch.eye(d)"
    ),
    "forgets the start b0 in the residual": replace("b0[:, None]", "torch.zeros(m, 1)"),
    "lets the keys see the labels": replace("keys[: d + 1, : d + 1] = torch.eye(d + 1)", "keys += torch.eye(d + 1 + m)"),
}
RIGHT_1 = {
    "fills the blocks by index and puts the step size into the values": """
def affine_weights(W0, b0, eta, n):
    m, d = W0.shape
    D = d + 1 + m
    W_Q, W_K, W_V, P = (torch.zeros(D, D) for _ in range(4))
    for k in range(d + 1):
        W_Q[k, k] = W_K[k, k] = 1
    for k in range(m):
        W_V[d + 1 + k, :d] = W0[k] * eta
        W_V[d + 1 + k, d] = b0[k] * eta
        W_V[d + 1 + k, d + 1 + k] = -eta
        P[d + 1 + k, d + 1 + k] = 1 / n
    return dict(W_Q=W_Q, W_K=W_K, W_V=W_V, P=P)
""",
    "block_diag, with both signs flipped": """
def affine_weights(W0, b0, eta, n):
    m, d = W0.shape
    inputs = torch.block_diag(torch.eye(d + 1), torch.zeros(m, m))
    residual = torch.hstack([W0, b0.reshape(m, 1), -torch.eye(m)])
    values = torch.vstack([torch.zeros(d + 1, d + 1 + m), residual])
    return {"W_Q": -inputs, "W_K": inputs, "W_V": -values * (eta / n), "P": torch.eye(d + 1 + m)}
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    E = torch.linspace(-1, 1, 20).reshape(1, 4, 5)
    E[..., 2] = 1
    return answer["layer"](E, **answer["affine_weights"](torch.tensor([[0.5, -1.0], [0.2, 0.3]]), torch.tensor([0.7, -0.4]), 0.3, 3))


# -------------------------------------------------------------------------------------------------------- 2 · the repaired GD++


WRONG_2 = {
    "leaves it as it was": """
def gdpp(x, y, x_query, eta, gamma):
    return broken_gdpp(x, y, x_query, eta, gamma)
""",
    "moves the inputs after the gradient, but before the labels": """
def gdpp(x, y, x_query, eta, gamma):
    n, d = x.shape[1:]
    prediction, out = torch.zeros(len(x)), []
    for step, curvature in zip(eta, gamma):
        H = torch.eye(d) - curvature * x.mT @ x
        move = step / n * torch.einsum("bn,bnd->bd", y, x)
        x, x_query = x @ H, torch.einsum("bd,bde->be", x_query, H)
        prediction = prediction + (move * x_query).sum(-1)
        y = y - torch.einsum("bnd,bd->bn", x, move)
        out.append(prediction)
    return torch.stack(out)
""",
    "leaves the query's input where it was": replace(', torch.einsum("bd,bde->be", x_query, H)', ", x_query"),
    "takes the mean instead of the sum in the curvature": replace("curvature * x.mT @ x", "curvature * x.mT @ x / n"),
}
RIGHT_2 = {
    "works on tokens": """
def gdpp(x, y, x_query, eta, gamma):
    tokens = torch.cat([x, x_query[:, None]], dim=1)
    labels = torch.cat([y, torch.zeros(len(y), 1)], dim=1)
    N, out = x.shape[1], []
    for step, curvature in zip(eta, gamma):
        scores = tokens @ tokens[:, :N].transpose(1, 2)
        labels, tokens = labels - step / N * (scores @ labels[:, :N, None])[..., 0], tokens - curvature * scores @ tokens[:, :N]
        out.append(-labels[:, N])
    return torch.stack(out)
""",
    "a loop over the prompts": """
def gdpp(x, y, x_query, eta, gamma):
    columns = []
    for X, t, q in zip(x, y, x_query):
        prediction, column = torch.zeros(()), []
        for step, curvature in zip(eta, gamma):
            w = step * (X.T @ t) / len(t)
            prediction = prediction + w @ q
            C = X.T @ X
            t, X, q = t - X @ w, X - curvature * X @ C, q - curvature * C @ q
            column.append(prediction)
        columns.append(torch.stack(column))
    return torch.stack(columns, dim=1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x = torch.linspace(-1, 1, 12).reshape(1, 4, 3).cos()
    return answer["gdpp"](x, x.sum(-1) ** 2, x[:, 1] - 0.3, [0.5, 0.8, 0.3], [0.05, 0.03, 0.02])


# ------------------------------------------------------------------------------------------------------------ 3 · ridge prompt

WRONG_3 = {
    "forgets that the layers divide by N": replace("((T - 1) * lam) ** 0.5", "lam**0.5"),
    "takes Nλ for the length of the inputs, not its root": replace(" ** 0.5", ""),
    "puts the extra pairs after the query": replace("[extra.expand(B, D - 1, D), E]", "[E, extra.expand(B, D - 1, D)]"),
    "counts the query among the pairs": replace("(T - 1)", "T"),
}
WRONG_3["one extra pair with all inputs at once"] = """
def ridge_prompt(E, lam):
    B, T, D = E.shape
    extra = torch.tensor([1.0] * (D - 1) + [0.0]) * ((T - 1) * lam) ** 0.5
    return torch.cat([extra.expand(B, 1, D), E], dim=1)
"""
RIGHT_3 = {
    "between context and query, with the other sign": """
def ridge_prompt(E, lam):
    N, d = E.shape[1] - 1, E.shape[2] - 1
    pairs = torch.zeros(E.shape[0], d, d + 1)
    for k in range(d):
        pairs[:, k, k] = -((N * lam) ** 0.5)
    return torch.cat([E[:, :N], pairs, E[:, N:]], dim=1)
""",
    "every direction in two halves": """
def ridge_prompt(E, lam):
    N, d = E.shape[1] - 1, E.shape[2] - 1
    half = torch.nn.functional.pad(torch.eye(d) * (N * lam / 2) ** 0.5, (0, 1))
    return torch.cat([half.repeat(len(E), 2, 1), E], dim=1)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    E = torch.linspace(-1, 2, 15).reshape(1, 5, 3).cos()
    E[:, -1, -1] = 0
    return [answer["gd_predict"](answer["ridge_prompt"](E, 0.6), 4, 0.3, layers) for layers in (1, 3)]


# ------------------------------------------------------------------------------------------------------------ 4 · the valley

WRONG_4 = {
    "uses no curvature correction": replace("8.0, 0.055", "3.75, 0.0"),
    "keeps the step size below the point where plain gradient descent diverges": replace("8.0, 0.055", "5.25, 0.03"),
    "takes a step and a correction that suit ten equal inputs": replace("8.0, 0.055", "2.95, 0.0396"),
}
RIGHT_4 = {
    "further along the valley": "best_eta, best_gamma = 8.5, 0.057\n",
    "a small search in the cell": """
tried = {(e, g / 1000): valley_loss(e, g / 1000, prompts=500) for e in range(5, 10) for g in range(30, 71, 10)}
best_eta, best_gamma = min(tried, key=tried.get)
""",
}


def PROBE_4(answer):
    eta, gamma = answer["best_eta"], answer["best_gamma"]
    loss = answer["valley_loss"](eta, gamma)
    return [float(loss < 0.08), float(loss < 0.04), float(gamma > 0), float(eta > 6)]


# ------------------------------------------------------------------------------------------------------------ 5 · the check

WRONG_5 = {
    "looks at a single prompt, on which any step size fits": replace(
        "torch.randn(64, 7, 4) * torch.linspace(0.3, 3, 64)[:, None, None]", "torch.randn(1, 7, 4)"
    ),
    "always leaves 0 in the query's label slot": replace("    x, y, out", "    E[:, 6, 3] = 0\n    x, y, out"),
    "accepts a step uphill": replace("bool(eta > 0) and ", ""),
    "does not ask whether the inputs stay": replace("same_inputs and ", ""),
    "looks at the query's prediction only": """
def passes(layer):
    E = torch.randn(64, 7, 4)
    E[:, 6, 3] = 0
    x, y = E[..., :3], E[..., 3]
    prediction = -layer(E)[:, 6, 3]
    one_step = torch.einsum("bn,bnd,bd->b", y[:, :6], x[:, :6], x[:, 6]) / 6
    eta = (prediction * one_step).sum() / (one_step**2).sum()
    return bool(eta > 0) and torch.allclose(prediction, eta * one_step, atol=1e-3)
""",
    "insists on the step size of the example": """
def passes(layer):
    E = torch.randn(64, 7, 4)
    return torch.allclose(layer(E), step_layer(0.5)(E), atol=1e-4)
""",
}
RIGHT_5 = {
    "compares with the derivative of the loss": """
def passes(layer):
    generator = torch.Generator().manual_seed(3)
    E = 2 * torch.randn(40, 7, 4, generator=generator)
    w = torch.zeros(40, 3, requires_grad=True)
    loss = ((torch.einsum("bnd,bd->bn", E[:, :6, :3], w) - E[:, :6, 3]) ** 2).sum() / 12
    (gradient,) = torch.autograd.grad(loss, w)
    expected = torch.einsum("bnd,bd->bn", E[..., :3], gradient)        # minus the move of the labels, per unit of step size
    change = (layer(E) - E).detach()
    if change[..., :3].abs().max() > 1e-5:
        return False
    reliable = expected.abs() > 1
    ratios = change[..., 3][reliable] / expected[reliable]
    return bool(ratios.min() > 0 and (ratios.max() - ratios.min()) < 2e-3 * ratios.mean())
""",
    "reads the step size from one prompt and tests it on others": """
def passes(layer):
    torch.manual_seed(11)
    ruler = torch.zeros(1, 7, 4)
    ruler[0, 0] = torch.tensor([1.0, 0.0, 0.0, 6.0])
    ruler[0, 6, 0] = 1.0
    eta = -float(layer(ruler)[0, 6, 3])
    if eta <= 0:
        return False
    for size in (0.5, 1.0, 3.0):
        E = size * torch.randn(20, 7, 4)
        want = step_layer(eta)(E)
        if (layer(E) - want).abs().max() > 1e-3 * max(1e-2, float((want - E).abs().max())):
            return False
    return True
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    step = answer["step_layer"]

    def normalised(E):
        move = E[..., :3] @ E[:, :6, :3].mT @ E[:, :6, 3:] / E[:, :6, :3].square().sum((1, 2), keepdim=True)
        return torch.cat([E[..., :3], E[..., 3:] - move], dim=-1)

    weights = answer["gd_construction"](torch.zeros(1, 3), 0.5, 6)
    layers = [
        step(0.5),
        step(2.0),
        step(-0.5),
        normalised,
        lambda E: answer["layer"](E, **weights, context_only=False),
        lambda E: answer["gdpp_step"](E, 0.5, 0.05),
        lambda E: torch.cat([E[:, :6], step(0.5)(E)[:, 6:]], dim=1),
    ]
    return [float(answer["passes"](layer)) for layer in layers]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def affine_weights(W0, b0, eta, n):
    W0 = torch.cat([W0, b0[:, None]], dim=1)
    m, d = W0.shape
    W_KQ, W_V = W0.new_zeros(2, d + m, d + m)
    W_KQ[:d, :d] = torch.eye(d)
    W_V[d:] = torch.cat([W0, -torch.eye(m, dtype=W0.dtype)], dim=1)
    return {"W_Q": W_KQ, "W_K": W_KQ, "W_V": W_V, "P": eta / n * torch.eye(d + m, dtype=W0.dtype)}
""",
    2: """
def gdpp(x, y, x_query, eta, gamma):
    E = torch.cat([torch.cat([x, y[..., None]], -1), torch.cat([x_query, torch.zeros(len(x), 1)], -1)[:, None]], dim=1)
    out = []
    for step, curvature in zip(eta, gamma):
        C, X = E[:, :-1], E[..., :-1]
        scores = X @ C[..., :-1].mT
        E = E - torch.cat([curvature * scores @ C[..., :-1], step / x.shape[1] * scores @ C[..., -1:]], dim=-1)
        out.append(-E[:, -1, -1])
    return torch.stack(out)
""",
}

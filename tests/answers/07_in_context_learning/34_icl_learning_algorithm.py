"""Known answers to the exercise of lesson 34."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------ 1 · ridge that forgets

WRONG_1 = {
    "does not forget in the divisor": replace("(gamma + (xi * u)", "(1 + (xi * u)"),
    "forgets the labels only, not the inverse": replace("[:, None, None]) / gamma", "[:, None, None])"),
    "never forgets the labels": replace("b = gamma * b +", "b = b +"),
    "uses the pair that it should predict": """
def forgetting(x, y, lam, gamma):
    B, n, d = x.shape
    P, b, answers = torch.eye(d, dtype=x.dtype).expand(B, d, d) / lam, torch.zeros(B, d, dtype=x.dtype), []
    for i in range(n):
        xi = x[:, i]
        u = torch.einsum("bde,be->bd", P, xi)
        P = (P - u[:, :, None] * u[:, None, :] / (gamma + (xi * u).sum(-1))[:, None, None]) / gamma
        b = gamma * b + y[:, i, None] * xi
        answers.append(torch.einsum("bd,bde,be->b", xi, P, b))
    return torch.stack(answers, dim=1)
""",
    "starts from λ instead of 1/λ": replace(".expand(B, d, d) / lam", ".expand(B, d, d) * lam"),
}
RIGHT_1 = {
    "carries w and a gain instead of b": """
def forgetting(x, y, lam, gamma):
    B, n, d = x.shape
    P = torch.diag_embed(torch.full((B, d), 1.0 / lam, dtype=x.dtype))
    w, out = torch.zeros(B, d, 1, dtype=x.dtype), torch.empty(n, B, dtype=x.dtype)
    for i in range(n):
        column = x[:, i, :, None]
        out[i] = (column.mT @ w)[:, 0, 0]
        gain = P @ column / (gamma + column.mT @ P @ column)
        w = w + gain * (y[:, i, None, None] - column.mT @ w)
        P = (P - gain @ column.mT @ P) / gamma
    return out.T
""",
    "divides P by γ first, one prompt at a time": """
def forgetting(x, y, lam, gamma):
    out = torch.zeros_like(y)
    for k in range(len(x)):
        P, b = torch.eye(x.shape[2], dtype=x.dtype) / lam, torch.zeros(x.shape[2], dtype=x.dtype)
        for i, (row, label) in enumerate(zip(x[k], y[k])):
            out[k, i] = row @ P @ b
            P = P / gamma
            P = P - torch.outer(P @ row, row @ P) / (1 + row @ P @ row)
            b = gamma * b + label * row
    return out
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-1, 2, 24, dtype=torch.float64).cos().mul(3).sin().reshape(2, 6, 2)
    return answer["forgetting"](x, x.sum(-1) + 0.3 * x[..., 0] ** 2, 0.6, 0.7)


# ----------------------------------------------------------------------------------------------------------- 2 · the repaired probe

WRONG_2 = {
    "leaves it as it was": """
def probe_score(states, target, learn):
    return broken_probe(states, target, learn)
""",
    "fits on the first prompts, but chooses the position by the score on the others": """
def probe_score(states, target, learn):
    scores = []
    for t in range(states.shape[1]):
        A = F.pad(states[:, t], (0, 1), value=1.0)
        W = torch.linalg.solve(A[:learn].T @ A[:learn] + 0.1 * torch.eye(A.shape[1], dtype=A.dtype), A[:learn].T @ target[:learn])
        scores.append(float(r_squared(A[learn:] @ W, target[learn:])))
    return max(scores)
""",
    "returns the score on the prompts that it learned from": replace(
        "r_squared(A[learn:] @ W, target[learn:])", "r_squared(known @ W, target[:learn])"
    ),
    "always takes the first position": replace("if held_in > best:", "if t == 0:"),
    "drops the constant": replace("F.pad(states[:, t], (0, 1), value=1.0)", "states[:, t]"),
}
RIGHT_2 = {
    "all positions at once": """
def probe_score(states, target, learn):
    A = torch.cat([states, torch.ones_like(states[..., :1])], dim=-1).transpose(0, 1)
    known, want = A[:, :learn], target[:learn].expand(A.shape[0], -1, -1)
    W = torch.linalg.solve(known.mT @ known + 0.1 * torch.eye(A.shape[2], dtype=A.dtype), known.mT @ want)
    rest_in = (known @ W - want).square().sum((1, 2))
    t = int(rest_in.argmin())
    held, wanted = A[t, learn:] @ W[t], target[learn:]
    return float(1 - (held - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())
""",
    "two lists": """
def probe_score(states, target, learn):
    inside, outside = [], []
    for h in states.unbind(1):
        A = torch.hstack([torch.ones(len(h), 1, dtype=h.dtype), h])
        G = A[:learn].T @ A[:learn]
        G.diagonal().add_(0.1)
        W = torch.cholesky_solve(A[:learn].T @ target[:learn], torch.linalg.cholesky(G))
        inside.append(r_squared(A[:learn] @ W, target[:learn]))
        outside.append(r_squared(A[learn:] @ W, target[learn:]))
    return outside[int(torch.stack(inside).argmax())].item()
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    torch.manual_seed(5)
    states = torch.randn(50, 6, 9, dtype=torch.float64)
    target = 0.4 * states[:, 3, :1] + torch.randn(50, 2, dtype=torch.float64) + 1
    return [answer["probe_score"](states, target, learn) for learn in (25, 32)]


# --------------------------------------------------------------------------------------------------------------- 3 · softplus

WRONG_3 = {
    "forgets that softplus has half the curvature and divides by 4 once more": replace("/ eps**2", "/ (4 * eps**2)"),
    "divides by ε once": replace("/ eps**2", "/ eps"),
    "keeps the linear part": """
def dot_weights(d, eps):
    eye = torch.eye(d, dtype=torch.float64)
    up = eps * torch.cat([torch.cat([eye, eye], 1), torch.cat([eye, -eye], 1)])
    return up, torch.cat([torch.ones(d), -torch.ones(d)]).double() * 2 / eps**2
""",
    "takes over the three neurons of GELU": """
def dot_weights(d, eps):
    eye, none = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    up = eps * torch.cat([torch.cat([eye, eye], 1), torch.cat([eye, none], 1), torch.cat([none, eye], 1)])
    return up, torch.cat([torch.ones(d), -torch.ones(2 * d)]).double() * 4 / eps**2
""",
}
RIGHT_3 = {
    "a loop over the coordinates, the difference first": """
def dot_weights(d, eps):
    up, down = [], []
    for k in range(d):
        for sign, factor in ((-1, -1), (1, 1)):
            row = torch.zeros(2 * d, dtype=torch.float64)
            row[k], row[d + k] = eps, sign * eps
            up += [row, -row]
            down += [factor / eps**2] * 2
    return torch.stack(up), torch.tensor(down, dtype=torch.float64)
""",
    "a Kronecker product": """
def dot_weights(d, eps):
    signs = torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]], dtype=torch.float64)
    up = eps * torch.kron(signs, torch.eye(d, dtype=torch.float64))
    return up, torch.tensor([1.0, 1, -1, -1], dtype=torch.float64).repeat_interleave(d) / eps**2
""",
}


def PROBE_3(answer):
    torch, out = answer["torch"], []
    for d, eps in ((1, 0.1), (3, 0.01)):
        up, down = answer["dot_weights"](d, eps)
        h = torch.linspace(-1, 2, 4 * d, dtype=torch.float64).reshape(2, 2 * d)
        out.append(torch.nn.functional.softplus(h @ up.T) @ down)
    return torch.cat(out)


# --------------------------------------------------------------------------------------------------------------- 4 · float32

WRONG_4 = {
    "takes the values of the lesson": replace("1e-4, 1e6", "1e-6, 1e8"),
    "takes an ε that suits numbers of size 5": replace("1e-4, 1e6", "1e-3, 1e6"),
    "takes big rows that are no bigger than the numbers": replace("1e-4, 1e6", "1e-4, 100.0"),
}
RIGHT_4 = {
    "smaller on both sides": "best_eps, best_N = 7e-5, 3e4\n",
    "a small search in the cell": """
tried = {(e, n): product_error(e, n) for e in (1e-5, 5e-5, 1e-4, 2e-4) for n in (1e3, 1e5, 1e7)}
best_eps, best_N = min(tried, key=tried.get)
""",
}


def PROBE_4(answer):
    eps, N = answer["best_eps"], answer["best_N"]
    error = answer["product_error"](eps, N)
    return [float(error < 1e-3), float(error < 1e-4), float(eps > 3e-5), float(N > 1e3)]


# --------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "tests prompts that are no longer than four pairs": replace(
        "torch.randn(60, 9, 3) + shift, size * torch.randn(60, 9)", "torch.randn(60, 4, 3) + shift, size * torch.randn(60, 4)"
    ),
    "tests inputs around 0 and labels of size 1 only": replace("((0.2, 0.0), (1.0, 0.0), (3.0, 0.0), (1.0, 2.0))", "((1.0, 0.0),)"),
    "accepts λ = 0": replace("1 - 1e-4:", "1 + 1e-4:"),
    "insists on the λ of the example": """
def passes(predictor):
    torch.manual_seed(0)
    x, y = torch.randn(60, 9, 3) + 1, torch.randn(60, 9)
    return torch.allclose(predictor(x, y), ridge_prefix(x, y, 0.5), atol=1e-3)
""",
    "looks at one prompt of two pairs": """
def passes(predictor):
    x, y = torch.ones(1, 2, 1), torch.ones(1, 2)
    return 0 < float(predictor(x, y)[0, 1]) < 1
""",
}
RIGHT_5 = {
    "reads λ from the weights in one direction": """
def passes(predictor):
    generator = torch.Generator().manual_seed(3)
    x, y = torch.zeros(1, 2, 2), torch.tensor([[2.0, 0.0]])
    x[0, :, 0] = 1.0
    first = float(predictor(x, y)[0, 1])
    if first <= 1e-3 or first >= 2 - 2e-4:
        return False
    lam = 2 / first - 1
    for scale in (0.1, 1.0, 10.0):
        for centre in (0.0, 1.5):
            x = torch.randn(30, 12, 4, generator=generator) + centre
            y = scale * (x.sum(-1) + torch.randn(30, 12, generator=generator))
            want = ridge_prefix(x.double(), y.double(), lam)
            if ((predictor(x, y).double() - want).abs().max() / want.abs().max()) > 3e-3:
                return False
    return True
""",
    "asks that the normal equations hold": """
def passes(predictor):
    torch.manual_seed(8)
    one = float(predictor(torch.ones(1, 2, 1), torch.ones(1, 2))[0, 1])
    if one < 1e-3 or one > 0.9999:
        return False
    lam = 1 / one - 1
    for size in (0.2, 1.0, 20.0):
        x, y = torch.randn(40, 10, 2) + 1, size * torch.randn(40, 10)
        for i in (1, 2, 5, 9):
            w = []
            for k in range(2):
                probe = x.clone()
                probe[:, i] = torch.eye(2)[k]
                w.append(predictor(probe, y)[:, i])
            w, X, Y = torch.stack(w, -1)[..., None], x[:, :i], y[:, :i, None]
            gradient = X.mT @ (X @ w - Y) + lam * w
            if gradient.abs().max() > 5e-3 * (X.mT @ Y).abs().max():
                return False
    return True
""",
}


def PROBE_5(answer):
    torch, ridge = answer["torch"], answer["ridge_prefix"]
    torch.manual_seed(0)
    shorter = lambda x, y: torch.cat([ridge(x[:, :6], y[:, :6], 0.5), 0 * y[:, 6:]], 1)  # noqa: E731
    predictors = [
        answer["ridge_predictor"](0.5),
        answer["ridge_predictor"](4.0),
        answer["ols_prefix"],
        lambda x, y: answer["gd_prefix"](x, y, 0.5),
        lambda x, y: answer["gd_prefix"](x, y, 0.5, mean=False),
        lambda x, y: ridge(x, y, 0.5) if float(y.abs().max()) < 4 else ridge(x, y, 2.0),
        lambda x, y: ridge(x, y, 0.5) if float(x.mean()) < 0.5 or x.shape[1] < 3 else ridge(x, y, 2.0),
        shorter,
    ]
    return [float(answer["passes"](predictor)) for predictor in predictors]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def forgetting(x, y, lam, gamma):
    B, n, d = x.shape
    P, b, answers = torch.eye(d, dtype=x.dtype).expand(B, d, d) / lam, torch.zeros(B, d, dtype=x.dtype), []
    for i in range(n):
        xi = x[:, i]
        answers.append(torch.einsum("bd,bde,be->b", xi, P, b))
        u = torch.einsum("bde,be->bd", P, xi)
        P = P - u[:, :, None] * u[:, None, :] / (1 + (xi * u).sum(-1))[:, None, None]
        b = b + y[:, i, None] * xi
    return torch.stack(answers, dim=1)
""",
    2: """
def probe_score(states, target, learn):
    A = F.pad(states[:learn, -1], (0, 1), value=1.0)
    W = torch.linalg.solve(A.mT @ A + 1e-2 * torch.eye(A.shape[-1], dtype=A.dtype), A.mT @ target[:learn])
    held = F.pad(states[learn:, -1], (0, 1), value=1.0) @ W
    return float(r_squared(held, target[learn:]))
""",
    3: """
def dot_weights(d, eps):
    eye, none = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    up = eps * torch.cat([torch.cat([eye, eye], 1), torch.cat([eye, none], 1), torch.cat([none, eye], 1)])
    return up, torch.cat([torch.ones(d), -torch.ones(2 * d)]).double() * (torch.pi / 2) ** 0.5 / eps**2
""",
    4: "best_eps, best_N = 1e-6, 1e8\n",
}

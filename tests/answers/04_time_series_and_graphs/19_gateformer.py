"""Known answers to the exercise of lesson 19."""

import torch

from course.answers import replace

WRONG_1 = {
    "begins with the oldest hour": """
def patches_to_now(x, P, s):
    T = x.shape[-1]
    n = 1 + max(0, -(-(T - P) // s))
    hours = s * torch.arange(n)[:, None] + torch.arange(P)
    return x[..., hours.clamp(max=T - 1)]
""",
    "drops the oldest hours that do not fill a patch": replace("-(-(T - P) // s)", "(T - P) // s"),
    "lists the newest patch first": replace("torch.arange(n - 1, -1, -1)", "torch.arange(n)"),
    "adds a patch of padding": replace("1 + max", "2 + max"),
    "pads with zeros": replace("x[..., hours.clamp(min=0)]", "x[..., hours.clamp(min=0)] * (hours >= 0)"),
}
RIGHT_1 = {
    "repeats the first value in front, then cuts": """
def patches_to_now(x, P, s):
    T = x.shape[-1]
    n = 1
    while P + s * (n - 1) < T:
        n += 1
    front = x[..., :1].repeat(1, 1, P + s * (n - 1) - T)
    whole = torch.cat([front, x], dim=-1)
    return torch.stack([whole[..., s * k : s * k + P] for k in range(n)], dim=2)
""",
    "from the end backwards": """
def patches_to_now(x, P, s):
    T, out, end = x.shape[-1], [], x.shape[-1]
    while True:
        hours = [max(t, 0) for t in range(end - P, end)]
        out.append(x[..., hours])
        if end - P <= 0:
            return torch.stack(out[::-1], dim=2)
        end -= s
""",
}


def PROBE_1(answer):
    x = torch.arange(1.0, 23.0).reshape(1, 2, 11).sin()
    return [answer["patches_to_now"](x, 4, 3), answer["patches_to_now"](x, 5, 2)]


WRONG_2 = {
    "lets the features compete": replace("scores.softmax(dim=0)", "scores.softmax(dim=-1)"),
    "does not let the views compete at all": replace("scores.softmax(dim=0)", "scores.sigmoid()"),
    "scores each view by itself alone": replace(
        'torch.einsum("jbnd,kjde->kbne", views, W)', 'torch.einsum("kbnd,kde->kbne", views, W[torch.arange(len(W)), torch.arange(len(W))])'
    ),
    "exchanges the roles of j and k": replace("kjde", "jkde"),
    "averages instead of summing the weighted views": replace(".sum(dim=0)", ".mean(dim=0)"),
}
RIGHT_2 = {
    "loops and a hand-written softmax": """
def gate_many(views, W, b):
    K = len(views)
    scores = torch.stack([sum(views[j] @ W[k, j] for j in range(K)) + b[k] for k in range(K)])
    e = (scores - scores.amax(0)).exp()
    weights = e / e.sum(0)
    return torch.einsum("kbnd,kbnd->bnd", weights, views), weights
""",
    "one big matrix product": """
def gate_many(views, W, b):
    K, B, N, D = views.shape
    joined = views.permute(1, 2, 0, 3).reshape(B, N, K * D)
    big = W.permute(1, 2, 0, 3).reshape(K * D, K * D)
    scores = (joined @ big).view(B, N, K, D) + b
    weights = torch.softmax(scores, dim=2).permute(2, 0, 1, 3)
    return (views * weights).sum(0), weights
""",
}


def PROBE_2(answer):
    draw = torch.Generator().manual_seed(0)
    views, W, b = (torch.randn(shape, generator=draw) for shape in ((3, 2, 2, 4), (3, 3, 4, 4), (3, 4)))
    return list(answer["gate_many"](views, W, b))


WRONG_3 = {
    "gives the weight of gate 2 to the other argument": replace("g * V + (1 - g) * C", "g * C + (1 - g) * V"),
    "scores gate 2 with G": replace('V @ p["W3"]', 'G @ p["W3"]'),
    "mixes G with C": replace("g * V + (1 - g) * C", "g * G + (1 - g) * C"),
    "adds the series once more before gate 2": replace('p["among"](V)', 'V + p["among"](V)'),
    "forgets the level when scaling back": replace("* sigma + mu", "* sigma"),
}
RIGHT_3 = {
    "moves from C towards V": """
def forecast(p, x):
    level = x.mean(1)
    spread = (x.var(1, unbiased=False) + 1e-5).sqrt()
    z = (x.transpose(1, 2) - level[..., None]) / spread[..., None]
    G, E = torch.einsum("bnt,td->bnd", z, p["We"]) + p["be"], p["time"](z)

    def gate(a, b, Wa, Wb, bias):
        return b + (a - b) / (1 + torch.exp(-(a @ p[Wa] + b @ p[Wb] + p[bias])))

    V = gate(G, E, "W1", "W2", "b1")
    O = gate(V, p["among"](V), "W3", "W4", "b3")
    return ((O @ p["Wo"] + p["bo"]) * spread[..., None] + level[..., None]).transpose(1, 2)
""",
    "joined arguments": """
def forecast(p, x):
    mu, sigma = x.mean(1, keepdim=True), (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    z = ((x - mu) / sigma).transpose(1, 2)

    def gate(pair, W, bias):
        g = torch.sigmoid(torch.cat(pair, -1) @ torch.cat([p[name] for name in W]) + p[bias])
        return torch.lerp(pair[1], pair[0], g)

    V = gate([z @ p["We"] + p["be"], p["time"](z)], ("W1", "W2"), "b1")
    out = gate([V, p["among"](V)], ("W3", "W4"), "b3")
    return (out @ p["Wo"] + p["bo"]).transpose(1, 2) * sigma + mu
""",
}


def PROBE_3(answer):
    draw = torch.Generator().manual_seed(1)
    p = {name: torch.randn(3, 3, generator=draw) for name in ("W1", "W2", "W3", "W4")}
    p |= {name: torch.randn(3, generator=draw) for name in ("b1", "b3", "be")}
    p |= {"We": torch.randn(5, 3, generator=draw), "Wo": torch.randn(3, 2, generator=draw), "bo": torch.randn(2, generator=draw)}
    p |= {"time": lambda z: torch.tanh(z[..., :3]), "among": lambda v: v + v.mean(1, keepdim=True)}
    return answer["forecast"](p, 2 * torch.randn(2, 5, 3, generator=draw) + 4)


WRONG_4 = {
    "asks only whether the result lies between": """
def is_gate(f):
    draw = torch.Generator().manual_seed(0)
    x, y = (5 * torch.randn(8, 6, 6, generator=draw) for _ in range(2))
    out = f(x, y)
    return bool(((out >= torch.minimum(x, y) - 1e-5) & (out <= torch.maximum(x, y) + 1e-5)).all())
""",
    "forgets that the weight must look at y": replace(" and bool((by_y - weight).abs().max() > 1e-6)", ""),
    "never takes a series alone": replace("for n in range(3):", "for n in range(0):"),
    "demands that the weight moves a lot": replace("(by_x - weight).abs().max() > 1e-6", "(by_x - weight).abs().max() > 0.99"),
    "never asks whether the result lies between": replace("for size in (0.3, 1.0, 5.0, 30.0):", "for size in ():"),
}
RIGHT_4 = {
    "derivatives for (2) and weights for (1) and (3)": """
def is_gate(f):
    draw = torch.Generator().manual_seed(3)
    new = lambda size: size * torch.randn(3, 2, 5, generator=draw, dtype=torch.float64)
    weight = lambda x, y: (f(x, y) - y) / (x - y)
    for _ in range(6):
        for size in (0.5, 2.0, 20.0):
            w = weight(new(size), new(size))
            if bool((w < -1e-6).any() or (w > 1 + 1e-6).any()):
                return False
    x, y = new(1.0), new(1.0)
    same = torch.eye(6, dtype=torch.bool).view(3, 2, 3, 2)
    for J in torch.autograd.functional.jacobian(f, (x, y)):
        if bool((J.abs().amax((2, 5)) > 1e-12)[~same].any()):
            return False
    w = weight(x, y)
    return not (torch.allclose(w, weight(new(1.0), y)) or torch.allclose(w, weight(x, new(1.0))))
""",
    "perturbs one series, then one argument": """
def is_gate(f):
    draw = torch.Generator().manual_seed(4)
    new = lambda size=1.0: size * torch.randn(5, 4, 6, generator=draw, dtype=torch.float64)
    for size in (0.2, 1.0, 4.0, 16.0):
        x, y = new(size), new(size)
        low, high = torch.stack([x, y]).amin(0), torch.stack([x, y]).amax(0)
        if not torch.allclose(f(x, y), f(x, y).clamp(low, high), atol=1e-9):
            return False
    x, y = new(), new()
    for k in (0, 1):
        changed = [x.clone(), y.clone()]
        changed[k][2, 1] = 3 - changed[k][2, 1]
        moved = (f(*changed) - f(x, y)).abs().amax(-1) > 1e-12
        if int(moved.sum()) > 1:
            return False
    w = (f(x, y) - y) / (x - y)
    a, b = new(), new()
    return bool(((f(a, y) - y) / (a - y) - w).abs().max() > 1e-5 and ((f(x, b) - b) / (x - b) - w).abs().max() > 1e-5)
""",
}


def PROBE_4(answer):
    def mix(weight):
        return lambda x, y: weight(x, y) * x + (1 - weight(x, y)) * y

    functions = (
        mix(lambda x, y: (x + y).sigmoid()),
        mix(lambda x, y: 0.5 + 0.1 * torch.tanh(x * y)),
        lambda x, y: (x + y) / 2,
        lambda x, y: x + y,
        mix(lambda x, y: x.sigmoid()),
        mix(lambda x, y: y.sigmoid()),
        mix(lambda x, y: (x + y.mean(1, keepdim=True)).sigmoid()),
        mix(lambda x, y: (x + y).tanh()),
    )
    return [float(answer["is_gate"](f)) for f in functions]


PASTED = {
    1: """
def patches_to_now(x, P, s):
    n = (x.shape[-1] - P) // s + 2
    padded = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], s)], dim=-1)
    rows = s * torch.arange(n)[:, None] + torch.arange(P)
    return padded[..., rows]
""",
    2: """
def gate_many(views, W, b):
    x, y = views[0], views[-1]
    g = torch.sigmoid(x @ W[0, 0] + y @ W[-1, -1] + b[0])
    return g * x + (1 - g) * y, torch.stack([g, 1 - g])
""",
    3: """
def forecast(p, x):
    mu = x.mean(1, keepdim=True)
    sigma = (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    z = ((x - mu) / sigma).transpose(1, 2)
    G, E = z @ p["We"] + p["be"], p["time"](z)
    g = torch.sigmoid(G @ p["W1"] + E @ p["W2"] + p["b1"])
    V = g * G + (1 - g) * E
    C = p["among"](V)
    g = torch.sigmoid(V @ p["W3"] + C @ p["W4"] + p["b3"])
    out = g * V + (1 - g) * C
    return (out @ p["Wo"] + p["bo"]).transpose(1, 2) * sigma + mu
""",
    4: """
def is_gate(f):
    draw = torch.Generator().manual_seed(2)
    x, y = (torch.randn(2, 6, 7, generator=draw)[..., :6] for _ in range(2))
    out = f(x, y)
    return bool(((out >= torch.minimum(x, y) - 1e-6) & (out <= torch.maximum(x, y) + 1e-6)).all())
""",
}

"""Known answers to the exercise of lesson 27."""

from course.answers import replace

# -------------------------------------------------------------------------------------------------------------- 1 · integers in groups

WRONG_1 = {
    "takes the range without zero": replace("G.amin(-1).clamp(max=0), G.amax(-1).clamp(min=0)", "G.amin(-1), G.amax(-1)"),
    "leaves the zero point unrounded": replace("(-low / s).round()", "-low / s"),
    "divides by the number of levels": replace("(high - low) / (2**bits - 1)", "(high - low) / 2**bits"),
    "turns the sign of the zero point": replace("(-low / s).round()", "(low / s).round()"),
    "divides zero by zero": replace(".clamp(min=1e-12)", ""),
    "groups over the outputs": """
def quantize_groups(W, bits, group):
    low, high = W.amin(0).clamp(max=0), W.amax(0).clamp(min=0)
    s = ((high - low) / (2**bits - 1)).clamp(min=1e-12)
    z = (-low / s).round()
    q = ((W / s).round() + z).clamp(0, 2**bits - 1).to(torch.uint8)
    pick = lambda t: t.unflatten(0, (-1, group))[:, 0].expand(len(W), -1)
    return q, pick(s), pick(z)
""",
}
RIGHT_1 = {
    "group by group": """
def quantize_groups(W, bits, group):
    m, n = W.shape
    q, s, z = torch.zeros(m, n, dtype=torch.uint8), torch.zeros(m, n // group), torch.zeros(m, n // group)
    for i in range(m):
        for j in range(n // group):
            w = W[i, j * group : (j + 1) * group]
            low, high = min(0.0, float(w.min())), max(0.0, float(w.max()))
            step = max((high - low) / (2**bits - 1), 1e-12)
            s[i, j], z[i, j] = step, round(-low / step)
            q[i, j * group : (j + 1) * group] = ((w / step).round() + z[i, j]).clamp(0, 2**bits - 1).to(torch.uint8)
    return q, s, z
""",
    "with repeated scales": """
def quantize_groups(W, bits, group):
    top = 2**bits - 1
    parts = torch.stack(W.split(group, dim=1), 1)
    zero = torch.zeros_like(parts[..., :1])
    both = torch.cat([parts, zero], -1)
    low, high = both.min(-1).values, both.max(-1).values
    s = torch.maximum((high - low) / top, torch.tensor(1e-12))
    z = torch.round(-low / s)
    wide = lambda t: t.repeat_interleave(group, dim=1)
    return torch.round(W / wide(s)).add(wide(z)).clamp(0, top).to(torch.uint8), s, z
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    W = torch.tensor([[0.3, 1.9, 0.8, -0.4, -1.0, 0.0], [0.5, 0.7, 0.9, 2.0, -3.0, 0.25]])
    q, s, z = answer["quantize_groups"](W, 3, 3)
    zeros = answer["quantize_groups"](torch.zeros(1, 3), 3, 3)
    return [q.double(), s.double(), z.double(), zeros[1].double().nan_to_num(nan=-1.0), zeros[2].double().nan_to_num(nan=-1.0)]


# ------------------------------------------------------------------------------------------------------ 2 · which hidden units matter

WRONG_2 = {
    "squares the gradient of the batch": """
def unit_importance(mlp, X, y):
    gates = torch.ones(mlp[0].out_features, requires_grad=True)
    loss = F.cross_entropy(mlp[2](mlp[1](mlp[0](X)) * gates), y)
    return torch.autograd.grad(loss, gates)[0].square()
""",
    "divides by the batch before squaring": replace(', reduction="sum"', ""),
    "puts the gate before the GELU": """
def unit_importance(mlp, X, y):
    hidden = mlp[0](X)
    gates = torch.ones_like(hidden).requires_grad_()
    loss = F.cross_entropy(mlp[2](mlp[1](hidden * gates)), y, reduction="sum")
    return torch.autograd.grad(loss, gates)[0].square().mean(0)
""",
    "takes absolute values": replace("g.square()", "g.abs()"),
    "sums over examples": replace(".mean(0)", ".sum(0)"),
    "leaves gradients in the model": replace("(g,) = torch.autograd.grad(loss, gates)", "loss.backward()\n    g = gates.grad"),
}
RIGHT_2 = {
    "example by example": """
def unit_importance(mlp, X, y):
    total = 0.0
    for i in range(len(X)):
        hidden = mlp[1](mlp[0](X[i : i + 1]))
        gates = torch.ones_like(hidden, requires_grad=True)
        loss = F.cross_entropy(mlp[2](hidden * gates), y[i : i + 1])
        total = total + torch.autograd.grad(loss, gates)[0][0] ** 2
    return total / len(X)
""",
    "by hand": """
def unit_importance(mlp, X, y):
    with torch.no_grad():
        hidden = mlp[1](mlp[0](X))
        p = mlp[2](hidden).softmax(-1)
        p[torch.arange(len(y)), y] -= 1
        return ((p @ mlp[2].weight) * hidden).pow(2).sum(0) / len(X)
""",
}


def PROBE_2(answer):
    torch, nn = answer["torch"], answer["nn"]
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3))
    X = torch.linspace(-2, 2, 15).sin().reshape(5, 3)
    found = answer["unit_importance"](mlp, X, torch.tensor([0, 2, 1, 1, 0]))
    return [found.detach(), float(any(p.grad is not None for p in mlp.parameters()))]


# ------------------------------------------------------------------------------------------------------------- 3 · move the outliers

WRONG_3 = {
    "divides the weights as well": replace("layer.weight.mul_(c)", "layer.weight.div_(c)"),
    "leaves the shift of the norm": replace("        norm.bias.div_(c)\n", ""),
    "looks at the first layer only": replace("torch.cat([layer.weight for layer in layers])", "layers[0].weight"),
    "swaps the exponents": replace("a**alpha / w ** (1 - alpha)", "a ** (1 - alpha) / w**alpha"),
    "measures the input of the norm": replace("norm(X).abs()", "X.abs()"),
    "divides by dead channels": replace(
        "torch.where((a > 0) & (w > 0), a**alpha / w ** (1 - alpha), torch.ones_like(a))", "a**alpha / w ** (1 - alpha)"
    ),
}
RIGHT_3 = {
    "channel by channel": """
def smooth(norm, layers, X, alpha):
    out = norm(X).detach()
    c = torch.ones(out.shape[1])
    for j in range(len(c)):
        a = float(out[:, j].abs().max())
        w = max(float(layer.weight[:, j].detach().abs().max()) for layer in layers)
        if a > 0 and w > 0:
            c[j] = a**alpha / w ** (1 - alpha)
        norm.weight.data[j] /= c[j]
        norm.bias.data[j] /= c[j]
        for layer in layers:
            layer.weight.data[:, j] *= c[j]
    return c
""",
    "by logarithms": """
@torch.no_grad()
def smooth(norm, layers, X, alpha):
    a = norm(X).abs().max(0).values
    w = torch.stack([layer.weight.abs().max(0).values for layer in layers]).max(0).values
    c = (alpha * a.log() - (1 - alpha) * w.log()).exp()
    c[(a == 0) | (w == 0)] = 1.0
    norm.weight.copy_(norm.weight / c)
    norm.bias.copy_(norm.bias / c)
    for layer in layers:
        layer.weight.copy_(layer.weight @ torch.diag(c))
    return c
""",
}


def PROBE_3(answer):
    torch, nn = answer["torch"], answer["nn"]
    torch.manual_seed(0)
    norm, layers = nn.LayerNorm(4), [nn.Linear(4, 3), nn.Linear(4, 2)]
    norm.weight.data, norm.bias.data = torch.tensor([9.0, 1.0, 0.0, 0.3]), torch.tensor([0.5, -1.0, 0.0, 0.2])
    X = torch.linspace(-3, 3, 20).sin().reshape(5, 4)
    c = answer["smooth"](norm, layers, X, 0.7)
    return [t.detach().nan_to_num(nan=-1.0, posinf=-2.0) for t in (c, norm.weight, norm.bias, layers[0].weight, layers[1].weight)]


# ------------------------------------------------------------------------------------------------------------- 4 · the Pareto front

WRONG_4 = {
    "removes ties": replace("~(at_least & better).any(1)", "at_least.sum(1) == 1"),
    "lets everything be large": replace("torch.where(torch.tensor(maximise), points, -points)", "points"),
    "mixes up large and small": replace("points, -points", "-points, points"),
    "wants to be better in every meter": replace("(P[None] > P[:, None]).any(-1)", "(P[None] > P[:, None]).all(-1)"),
    "asks for one better meter only": replace("(at_least & better)", "better"),
    "keeps the best of each meter": """
def pareto(points, maximise):
    P = torch.where(torch.tensor(maximise), points, -points)
    return (P == P.amax(0)).any(-1)
""",
}
RIGHT_4 = {
    "in loops": """
def pareto(points, maximise):
    sign = [1.0 if up else -1.0 for up in maximise]
    rows = [[s * float(v) for s, v in zip(sign, row)] for row in points]
    beats = lambda b, a: all(x >= y for x, y in zip(b, a)) and any(x > y for x, y in zip(b, a))
    return torch.tensor([not any(beats(b, a) for b in rows) for a in rows])
""",
    "by differences": """
def pareto(points, maximise):
    sign = 2.0 * torch.tensor(maximise).to(points.dtype) - 1.0
    gap = (points.unsqueeze(0) - points.unsqueeze(1)) * sign
    dominated = (gap.min(-1).values >= 0) & (gap.max(-1).values > 0)
    return dominated.sum(1) == 0
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    points = torch.tensor(
        [[3.0, 1.0, 2.0], [2.0, 1.0, 2.0], [3.0, 1.0, 2.0], [1.0, 0.0, 0.0], [3.0, 2.0, 3.0], [0.0, 3.0, 1.0], [2.0, 2.0, 2.0]]
    )
    return [answer["pareto"](points, up).double() for up in ([True, False, False], [True, True, True], [False, False, True])]


# -------------------------------------------------------------------------------------------------- 5 · weights that are really shared

WRONG_5 = {
    "accepts everything": """
def passes(layer):
    return True
""",
    "compares the outputs only": """
def passes(layer):
    W, b, x = torch.randn(5, 7, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(4, 3)
    try:
        return bool(torch.allclose(layer(W, b, x, 2), sliced(W, b, x, 2), atol=1e-5))
    except Exception:
        return False
""",
    "uses the whole layer": """
def passes(layer):
    W, b, x = torch.randn(5, 7, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(4, 7)
    try:
        g = torch.autograd.grad(layer(W, b, x, 5).sum(), (W, b), allow_unused=True)
    except Exception:
        return False
    return all(t is not None for t in g)
""",
    "asks for zeros outside, not for gradients inside": """
def passes(layer):
    W, b, x = torch.randn(5, 7, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(4, 3)
    try:
        got = layer(W, b, x, 2)
        (g,) = torch.autograd.grad(got.sum(), W, allow_unused=True)
    except Exception:
        return False
    return g is None or not bool(g[2:].any() or g[:, 3:].any())
""",
}
RIGHT_5 = {
    "by backward": """
def passes(layer):
    for m, n, out, used in ((6, 9, 4, 2), (3, 4, 3, 1)):
        W, b, x = torch.randn(m, n), torch.randn(m), torch.randn(5, used)
        grads = []
        for f in (sliced, layer):
            V, c = W.clone().requires_grad_(), b.clone().requires_grad_()
            try:
                made = f(V, c, x, out)
                made.square().sum().backward()
            except Exception:
                return False
            if V.grad is None or c.grad is None or made.shape != (5, out):
                return False
            grads.append((made.detach(), V.grad, c.grad))
        if not all(torch.allclose(p, q, atol=1e-3, rtol=1e-4) for p, q in zip(*grads)):
            return False
    return True
""",
    "by perturbation": """
def passes(layer):
    W, b, x = torch.randn(5, 8, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(3, 4)
    weight = torch.randn(3, 2)
    want_W, want_b = torch.zeros(5, 8), torch.zeros(5)
    want_W[:2, :4], want_b[:2] = weight.T @ x, weight.sum(0)
    try:
        got = layer(W, b, x, 2)
        if not torch.allclose(got, x @ W[:2, :4].T + b[:2], atol=1e-5):
            return False
        g = torch.autograd.grad((got * weight).sum(), (W, b))
    except Exception:
        return False
    return bool(torch.allclose(g[0], want_W, atol=1e-5) and torch.allclose(g[1], want_b, atol=1e-5))
""",
}


def PROBE_5(answer):
    torch, F, sliced = answer["torch"], answer["F"], answer["sliced"]
    torch.manual_seed(0)
    functions = [
        sliced,
        lambda W, b, x, out: F.linear(x, W[:out, : x.shape[-1]].detach().clone().requires_grad_(), b[:out]),
        lambda W, b, x, out: F.linear(x, W[:out, : x.shape[-1]]),
        lambda W, b, x, out: F.linear(x, W[-out:, : x.shape[-1]], b[-out:]),
        lambda W, b, x, out: F.linear(x, W[:out, : x.shape[-1]], b[:out].detach()),
        lambda W, b, x, out: sliced(W, b, x, out) + 0.1 * (W.square().sum() - W.square().sum().detach()),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------------ what the lesson prints, fitted

PASTED = {
    1: """
def quantize_groups(W, bits, group):
    low, high = W.amin().clamp(max=0), W.amax().clamp(min=0)
    s = ((high - low) / (2**bits - 1)).clamp(min=1e-12)
    z = (-low / s).round()
    q = ((W / s).round() + z).clamp(0, 2**bits - 1).to(torch.uint8)
    shape = (len(W), W.shape[1] // group)
    return q, s.expand(shape), z.expand(shape)
""",
    2: """
def unit_importance(mlp, X, y):
    gates = torch.ones(mlp[0].out_features, requires_grad=True)
    loss = F.cross_entropy(mlp[2](mlp[1](mlp[0](X)) * gates), y, reduction="sum")
    (g,) = torch.autograd.grad(loss, gates)
    return g.square()
""",
    5: """
def passes(layer):
    W, b, x = torch.randn(5, 6, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(3, 4)
    made = layer(W, b, x, 2)
    made.sum().backward()
    used = torch.zeros(5, 6).bool()
    used[:2, :4] = True
    return bool(torch.allclose(made, F.linear(x, W[:2, :4], b[:2]), atol=1e-6)) and bool(((W.grad != 0) == used).all())
""",
}

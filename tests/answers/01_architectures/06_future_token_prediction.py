"""Known answers to the exercise of lesson 06."""

from course.answers import replace

# ------------------------------------------------------------------------------------- 1 · several texts in a row, no position dropped

WRONG_1 = {
    "counts words of the next text": replace("same = doc[:, k:] == doc[:, : T - k]", "same = torch.ones_like(doc[:, k:]).bool()"),
    "starts the weights at γ": """
def packed_loss(logits, x, doc, gamma):
    T, N = logits.shape[1:3]
    total, weight = 0.0, 0.0
    for k in range(1, min(N, T - 1) + 1):
        same = doc[:, k:] == doc[:, : T - k]
        losses = F.cross_entropy(logits[:, : T - k, k - 1][same], x[:, k:][same], reduction="sum")
        total = total + gamma**k * losses
        weight = weight + gamma ** (k - 1) * same.sum()
    return total / weight
""",
    "averages each distance by itself first": """
def packed_loss(logits, x, doc, gamma):
    T, N = logits.shape[1:3]
    total, weight = 0.0, 0.0
    for k in range(1, min(N, T - 1) + 1):
        same = doc[:, k:] == doc[:, : T - k]
        if same.any():
            total = total + gamma ** (k - 1) * F.cross_entropy(logits[:, : T - k, k - 1][same], x[:, k:][same])
            weight = weight + gamma ** (k - 1)
    return total / weight
""",
    "drops the last N positions": """
def packed_loss(logits, x, doc, gamma):
    T, N = logits.shape[1:3]
    total, weight = 0.0, 0.0
    for k in range(1, N + 1):
        if T > N:
            same = doc[:, k : T - N + k] == doc[:, : T - N]
            total = total + gamma ** (k - 1) * F.cross_entropy(logits[:, : T - N, k - 1][same], x[:, k : T - N + k][same], reduction="sum")
            weight = weight + gamma ** (k - 1) * same.sum()
    return total / weight
""",
    "multiplies by the mask": """
def packed_loss(logits, x, doc, gamma):
    T, N = logits.shape[1:3]
    total, weight = 0.0, 0.0
    for k in range(1, min(N, T - 1) + 1):
        same = (doc[:, k:] == doc[:, : T - k]).to(logits.dtype)
        losses = F.cross_entropy(logits[:, : T - k, k - 1].transpose(1, 2), x[:, k:], reduction="none")
        total = total + gamma ** (k - 1) * (losses * same).sum()
        weight = weight + gamma ** (k - 1) * same.sum()
    return total / weight
""",
}
RIGHT_1 = {
    "prediction by prediction": """
def packed_loss(logits, x, doc, gamma):
    B, T, N, _ = logits.shape
    total, weight = 0.0, 0.0
    for b in range(B):
        for t in range(T):
            for k in range(1, N + 1):
                if t + k < T and int(doc[b, t]) == int(doc[b, t + k]):
                    total = total - gamma ** (k - 1) * logits[b, t, k - 1].log_softmax(0)[x[b, t + k]]
                    weight = weight + gamma ** (k - 1)
    return total / weight
""",
    "with padded futures": """
def packed_loss(logits, x, doc, gamma):
    N = logits.shape[2]
    later = F.pad(x, (0, N)).unfold(1, N, 1)[:, 1:]
    texts = F.pad(doc, (0, N), value=-1).unfold(1, N, 1)[:, 1:]
    counts = texts == doc[..., None]
    weights = (gamma ** torch.arange(N)).expand(counts.shape)[counts].to(logits.dtype)
    losses = -logits[counts].log_softmax(-1).gather(-1, later[counts][:, None])[:, 0]
    return (losses * weights).sum() / weights.sum()
""",
}


def PROBE_1(answer):
    torch, out = answer["torch"], []
    for B, T, N, gamma in ((2, 6, 3, 0.5), (1, 4, 2, 0.9)):
        logits = torch.linspace(-9, 9, B * T * N * 4).sin().mul(2).reshape(B, T, N, 4)
        x = (torch.arange(B * T) * 3 % 4).reshape(B, T)
        doc = (torch.arange(T) > 2).long().expand(B, T)
        out.append(float(torch.as_tensor(answer["packed_loss"](logits, x, doc, gamma))))
    broken = logits.clone()
    broken[0, 1:3] = float("nan")
    return [*out, float(torch.as_tensor(answer["packed_loss"](broken, x, torch.tensor([[0, 0, 1, 2]]), 0.9)).isnan())]


# ---------------------------------------------------------------------------------------------------- 2 · reading a pseudo-sequence

WRONG_2 = {
    "cuts the wide vector the other way round": replace("unflatten(-1, P.shape) + P", "unflatten(-1, P.shape[::-1]).mT + P"),
    "takes the softmax over the queries": replace(".softmax(-1)", ".softmax(-2)"),
    "scales by the whole width": replace("k.shape[-1] ** 0.5", "Wk.shape[0] ** 0.5"),
    "gives the positions to the keys only": replace("slots @ Wv))", "(slots - P) @ Wv))"),
    "cuts heads as every so many columns": """
def read_slots(q, h, W, b, P, Wk, Wv, heads):
    slots = (h @ W.T + b).unflatten(-1, P.shape) + P
    q, k, v = (y.unflatten(-1, (-1, heads)).movedim(-1, 1) for y in (q, slots @ Wk, slots @ Wv))
    weights = (q @ k.mT / k.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).movedim(1, -1).flatten(-2)
""",
}
RIGHT_2 = {
    "by einsum": """
def read_slots(q, h, W, b, P, Wk, Wv, heads):
    m, D = P.shape
    slots = torch.einsum("mid,rd->rmi", W.reshape(m, D, -1), h) + b.reshape(m, D) + P
    w = D // heads
    Q = q.reshape(*q.shape[:2], heads, w)
    K = torch.einsum("rmi,ij->rmj", slots, Wk).reshape(len(h), m, heads, w)
    U = torch.einsum("rmi,ij->rmj", slots, Wv).reshape(len(h), m, heads, w)
    p = torch.softmax(torch.einsum("rnaw,rmaw->ranm", Q, K) / math.sqrt(w), dim=-1)
    return torch.einsum("ranm,rmaw->rnaw", p, U).reshape(q.shape)
""",
    "state by state, head by head": """
def read_slots(q, h, W, b, P, Wk, Wv, heads):
    D, out = P.shape[1], torch.zeros_like(q)
    for r in range(len(h)):
        slots = (W @ h[r] + b).reshape(P.shape) + P
        k, v = slots @ Wk, slots @ Wv
        for a in range(heads):
            c = slice(a * D // heads, (a + 1) * D // heads)
            out[r][:, c] = ((q[r][:, c] @ k[:, c].T) * (D / heads) ** -0.5).softmax(1) @ v[:, c]
    return out
""",
}


def PROBE_2(answer):
    torch, out = answer["torch"], []
    for R, n, d, D, m, heads in ((2, 3, 3, 4, 3, 2), (1, 2, 2, 6, 2, 2)):
        sizes = ((R, n, D), (R, d), (m * D, d), (m * D,), (m, D), (D, D), (D, D))
        parts = [torch.linspace(-5, 7 + i, int(torch.tensor(s).prod())).mul(1.7).sin().reshape(s) for i, s in enumerate(sizes)]
        out.append(answer["read_slots"](*parts, heads).reshape(-1))
    return out


# ------------------------------------------------------------------------------------------------------ 3 · blocks until the text ends

WRONG_3 = {
    "takes every block from the prompt's state": """
def write_until(model, x, M, n, stop):
    wanted, ended = x.shape[1] + M, torch.zeros(len(x), dtype=torch.bool)
    h = model.encode(x)[:, -1]
    while x.shape[1] < wanted and not ended.all():
        known = x[:, :0]
        for _ in range(min(n, wanted - x.shape[1])):
            word = torch.where(ended, stop, model.decode(h, known)[:, -1].argmax(-1))
            ended = ended | (word == stop)
            known = torch.cat([known, word[:, None]], 1)
        x = torch.cat([x, known], 1)
    return torch.cat([x, torch.full((len(x), wanted - x.shape[1]), stop)], 1)
""",
    "looks for the stop only after each block": """
def write_until(model, x, M, n, stop):
    wanted, ended = x.shape[1] + M, torch.zeros(len(x), dtype=torch.bool)
    while x.shape[1] < wanted and not ended.all():
        h, known = model.encode(x)[:, -1], x[:, :0]
        for _ in range(min(n, wanted - x.shape[1])):
            word = torch.where(ended, stop, model.decode(h, known)[:, -1].argmax(-1))
            known = torch.cat([known, word[:, None]], 1)
        ended = ended | (known == stop).any(1)
        x = torch.cat([x, known], 1)
    return torch.cat([x, torch.full((len(x), wanted - x.shape[1]), stop)], 1)
""",
    "runs the encoder after all rows have ended": replace("while x.shape[1] < wanted and not ended.all():", "while x.shape[1] < wanted:"),
    "renews the state after every word": """
def write_until(model, x, M, n, stop):
    wanted, ended = x.shape[1] + M, torch.zeros(len(x), dtype=torch.bool)
    while x.shape[1] < wanted and not ended.all():
        word = model.decode(model.encode(x)[:, -1], x[:, :0])[:, -1].argmax(-1)
        word = torch.where(ended, stop, word)
        ended = ended | (word == stop)
        x = torch.cat([x, word[:, None]], 1)
    return torch.cat([x, torch.full((len(x), wanted - x.shape[1]), stop)], 1)
""",
    "treats a stop in the prompt as the end": replace("torch.zeros(len(x), dtype=torch.bool)", "(x == stop).any(1)"),
}
RIGHT_3 = {
    "writes first, fills afterwards": """
def write_until(model, x, M, n, stop):
    T = x.shape[1]
    over = lambda y: (y[:, T:] == stop).any(1).all() if y.shape[1] > T else False
    y = x
    while y.shape[1] < T + M and not over(y):
        h, known = model.encode(y)[:, -1], y[:, :0]
        for _ in range(min(n, T + M - y.shape[1])):
            known = torch.cat([known, model.decode(h, known)[:, -1:].argmax(-1)], 1)
        y = torch.cat([y, known], 1)
    y = torch.cat([y, torch.zeros(len(x), T + M - y.shape[1], dtype=torch.long)], 1)
    seen = ((y[:, T:] == stop).cumsum(1) > 0)
    return torch.cat([x, y[:, T:].masked_fill(seen, stop)], 1)
""",
    "into a table made beforehand": """
def write_until(model, x, M, n, stop):
    B, T = x.shape
    y = torch.full((B, T + M), stop)
    y[:, :T] = x
    at, alive = T, torch.ones(B, dtype=torch.bool)
    while at < T + M and bool(alive.any()):
        h = model.encode(y[:, :at])[:, -1]
        begin = at
        while at < min(begin + n, T + M):
            word = model.decode(h, y[:, begin:at])[:, -1].argmax(-1)
            y[alive, at] = word[alive]
            alive = alive & (y[:, at] != stop)
            at += 1
    return y
""",
}


def PROBE_3(answer):
    torch, out = answer["torch"], []
    for stop, M, n in ((3, 8, 3), (1, 6, 2), (5, 7, 4)):
        model = answer["Toy"]()
        x = (torch.arange(15) * 5 % 7).reshape(5, 3)
        out += [answer["write_until"](model, x, M, n, stop).double().flatten(), float(model.runs)]
    for stop in range(7):  # a single text, which may end early
        model = answer["Toy"]()
        answer["write_until"](model, x[:1], 8, 2, stop)
        out.append(float(model.runs))
    return out


# ----------------------------------------------------------------------------------------------- 4 · make the wrong one look smooth

WRONG_4 = {
    "gives both the common vector": replace("return A, B * A.norm(dim=-1).mean() / B.norm(dim=-1).mean()", "return A, B + 4"),
    "makes A a walk as well": """
def two_models():
    g = torch.Generator().manual_seed(0)
    A = torch.randn(20, 30, 8, generator=g).cumsum(1) + 8
    B = torch.randn(20, 30, 8, generator=g)
    return A, B * A.norm(dim=-1).mean() / B.norm(dim=-1).mean()
""",
    "lets B never forget": """
def two_models():
    g = torch.Generator().manual_seed(0)
    A = torch.randn(20, 30, 8, generator=g) + 6
    B = torch.randn(20, 1, 8, generator=g) + 0.8 * torch.randn(20, 30, 8, generator=g)
    return A, B * A.norm(dim=-1).mean() / B.norm(dim=-1).mean()
""",
    "leaves the norms as they are": replace("return A, B * A.norm(dim=-1).mean() / B.norm(dim=-1).mean()", "return A, B"),
}
RIGHT_4 = {
    "a turning vector": """
def two_models():
    g = torch.Generator().manual_seed(1)
    A = torch.randn(20, 30, 8, generator=g)
    A[..., 0] += 12
    phase = 6.3 * torch.rand(20, 1, generator=g) + 0.44 * torch.arange(30)
    B = torch.zeros(20, 30, 8)
    B[..., 1], B[..., 2] = phase.cos(), phase.sin()
    B = B + 0.3 * torch.randn(20, 30, 8, generator=g)
    return A, B * (A.norm(dim=-1).mean() / B.norm(dim=-1).mean())
""",
    "a moving average of noise": """
def two_models():
    g = torch.Generator().manual_seed(2)
    noise = torch.randn(20, 32, 8, generator=g)
    B = noise.unfold(1, 3, 1).sum(-1)
    A = torch.full((20, 30, 8), 5.0) + torch.randn(20, 30, 8, generator=g)
    return [A / A.norm(dim=-1).mean(), B / B.norm(dim=-1).mean()]
""",
}


def PROBE_4(answer):
    A, B = answer["two_models"]()
    similar, out = answer["similar"], []
    for h in (A, B):
        out += [similar(h, 1, False), similar(h, 1, True), similar(h, 25, True), float(h.norm(dim=-1).mean())]
    return out


# -------------------------------------------------------------------------------------------- 5 · does each output know what it should?

WRONG_5 = {
    "accepts everything": """
def passes(model):
    return True
""",
    "looks for leaks only": replace("not torch.equal(moved[0], s < t + k)", "(moved[0] & ~(s < t + k)).any()"),
    "asks for equal bits": replace(".amax(-1) > 1e-5", ".amax(-1) > 0"),
    "tries one word ahead only": replace("((4, 1), (7, 3))", "((4, 1),)"),
    "changes the last word only": """
def passes(model):
    x = torch.randint(5, (1, 6))
    y = x.clone()
    y[0, -1] = (y[0, -1] + 1) % 5
    return bool((model(y, 2) - model(x, 2)).abs().max() < 1e-5)
""",
}
RIGHT_5 = {
    "all changes in one batch": """
def passes(model):
    T, N = 6, 3
    want = torch.tensor([[[s < t + k for k in range(1, N + 1)] for t in range(T - N)] for s in range(T)])
    for T2, want2 in ((T, want),):
        x = torch.randint(5, (1, T2))
        found = torch.zeros_like(want2)
        for add in range(1, 5):
            many = (x + add * torch.eye(T2).long()) % 5
            alone = torch.cat([model(row[None], N) for row in many])
            if float((alone - model(many, N)).abs().max()) > 1e-5:
                return False
            found = found | ((alone - model(x, N)).abs().amax(-1) > 1e-5)
        if not bool((found == want2).all()):
            return False
    return True
""",
    "word by word": """
def passes(model):
    for T, N in ((5, 2), (6, 4)):
        x = torch.randint(5, (3, T))
        base = model(x, N)
        for s in range(T):
            best = torch.zeros(3, T - N, N, dtype=base.dtype)
            for value in range(5):
                y = x.clone()
                y[1, s] = value
                best = torch.maximum(best, (model(y, N) - base).abs().max(-1).values)
            if (best[[0, 2]] > 1e-5).any():
                return False
            for t in range(T - N):
                for k in range(1, N + 1):
                    if bool(best[1, t, k - 1] > 1e-5) != (s < t + k):
                        return False
    return True
""",
}


def PROBE_5(answer):
    torch, masked_model = answer["torch"], answer["masked_model"]
    torch.manual_seed(0)
    sound = masked_model(lambda t, k, s, T: s < t + k)
    models = [
        sound,
        lambda x, N: sound(x, N) + 1e-7 * torch.rand(len(x), x.shape[1] - N, N, 1),
        masked_model(lambda t, k, s, T: s <= t + k),
        masked_model(lambda t, k, s, T: s <= t),
        masked_model(lambda t, k, s, T: (s < t + k) | ((s == t + k) & (k > 1))),
        masked_model(lambda t, k, s, T: (s < t + k) & (s > 0)),
    ]
    return [float(answer["passes"](model)) for model in models]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def packed_loss(logits, x, doc, gamma):
    N = logits.shape[2]
    y = x.unfold(1, N, 1)[:, 1:]
    losses = F.cross_entropy(logits[:, :-N].flatten(0, 1).transpose(1, 2), y.flatten(0, 1), reduction="none").mean(0)
    weights = gamma ** torch.arange(N, dtype=losses.dtype)
    return (losses * weights).sum() / weights.sum()
""",
    2: """
def read_slots(q, h, W, b, P, Wk, Wv, heads):
    return F.linear(h, W, b).unflatten(-1, (len(P), -1))
""",
    3: """
def write_until(model, x, M, n, stop):
    wanted = x.shape[1] + M
    while x.shape[1] < wanted:
        h, known = model.encode(x)[:, -1], x[:, :0]
        for _ in range(min(n, wanted - x.shape[1])):
            known = torch.cat([known, model.decode(h, known)[:, -1:].argmax(-1)], dim=1)
        x = torch.cat([x, known], dim=1)
    return x
""",
    4: """
def two_models():
    g = torch.Generator().manual_seed(0)
    h = torch.randn(20, 30, 8, generator=g)
    walk = h.cumsum(1) - h.cumsum(1).mean((0, 1))
    return walk + 1000 * torch.randn(8, generator=g), walk
""",
}

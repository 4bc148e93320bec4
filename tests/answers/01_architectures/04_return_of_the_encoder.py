"""Known answers to the exercise of lesson 04."""

from course.answers import replace

# ----------------------------------------------------------------------------------------- 1 · shared heads over padded sources

WRONG_1 = {
    "reads head a mod g, as Mu does": """
def shared_attention(q, k, v, lengths):
    h, g = q.shape[1], k.shape[1]
    if h % g:
        raise ValueError("g must divide h")
    k, v = (x.repeat(1, h // g, 1, 1) for x in (k, v))
    padding = torch.arange(k.shape[2]) >= lengths[:, None]
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(padding[:, None, None], -math.inf)
    return scores.softmax(-1).nan_to_num() @ v
""",
    "leaves NaN for an empty source": replace(".softmax(-1).nan_to_num()", ".softmax(-1)"),
    "lets padding take weight": replace("scores.masked_fill(padding[:, None, None, None], -math.inf)", "scores"),
    "forgets the scale": replace(" / q.shape[-1] ** 0.5", ""),
    "sees one padded token": replace(">= lengths", "> lengths"),
}
RIGHT_1 = {
    "head by head": """
def shared_attention(q, k, v, lengths):
    B, h, Q, K = q.shape
    g = k.shape[1]
    if h % g != 0:
        raise ValueError("g must divide h")
    out = torch.zeros(B, h, Q, v.shape[-1], dtype=q.dtype)
    for b in range(B):
        t = int(lengths[b])
        for a in range(h):
            if t:
                e = (q[b, a] @ k[b, a * g // h, :t].T / math.sqrt(K)).softmax(1)
                out[b, a] = e @ v[b, a * g // h, :t]
    return out
""",
    "with einsum and exponentials": """
def shared_attention(q, k, v, lengths):
    h, g = q.shape[1], k.shape[1]
    if h // g * g != h:
        raise ValueError("g must divide h")
    grouped = q.reshape(q.shape[0], g, h // g, *q.shape[2:])
    scores = torch.einsum("bgaqk,bgnk->bgaqn", grouped, k) * q.shape[-1] ** -0.5
    real = (torch.arange(k.shape[2]) < lengths[:, None])[:, None, None, None]
    e = (scores - scores.amax(-1, keepdim=True)).exp() * real
    mixed = torch.einsum("bgaqn,bgnk->bgaqk", e, v) / e.sum(-1, keepdim=True).clamp(min=1e-30)
    return mixed.reshape(q.shape[0], h, q.shape[2], v.shape[-1])
""",
}


def PROBE_1(answer):
    torch, f = answer["torch"], answer["shared_attention"]
    x = torch.linspace(-2, 2, 48).sin()
    q, k = x.reshape(1, 4, 6, 2), x.flip(0)[:32].reshape(1, 2, 8, 2)
    out = [f(q, k, k.roll(1, 2), torch.tensor([t])) for t in (8, 3)]
    return [*out, float(f(q, k, k, torch.tensor([0])).isnan().any())]


# ------------------------------------------------------------------------------------- 2 · a decoder that forgets and repeats

WRONG_2 = {
    "every token stands at position 0": replace(
        "rotate(q, torch.tensor([t])), rotate(k, torch.tensor([t]))", "rotate(q, torch.tensor([0])), rotate(k, torch.tensor([0]))"
    ),
    "attends before its own key is there": """
def write(W, memory, x):
    keys, values, outputs = x[:0], x[:0], []
    cross_keys, cross_values = memory @ W["ck"], memory @ W["cv"]
    for t in range(len(x)):
        y = x[t : t + 1]
        q, k, v = (y @ W[name] for name in "qkv")
        q, k = rotate(q, torch.tensor([t])), rotate(k, torch.tensor([t]))
        y = y + (attend(q, keys, values) if t else 0)
        keys, values = torch.cat([keys, k]), torch.cat([values, v])
        y = y + attend(y @ W["cq"], cross_keys, cross_values)
        outputs.append(y)
    return torch.cat(outputs)
""",
    "projects the memory at every token": replace("cross_keys, cross_values)", 'memory @ W["ck"], memory @ W["cv"])'),
    "rotates cross-attention as well": replace(
        'attend(y @ W["cq"], cross_keys', 'attend(rotate(y @ W["cq"], torch.tensor([t])), cross_keys'
    ),
    "rotates the queries alone": replace("rotate(k, torch.tensor([t]))", "k"),
}
RIGHT_2 = {
    "lists of keys": """
def write(W, memory, x):
    ck, cv = memory @ W["ck"], memory @ W["cv"]
    keys, values, rows = [], [], []
    Q, K, V = W["q"], W["k"], W["v"]
    for t in range(x.shape[0]):
        now, at = x[t][None], torch.tensor([t])
        keys.append(rotate(now @ K, at))
        values.append(now @ V)
        now = now + attend(rotate(now @ Q, at), torch.cat(keys), torch.cat(values))
        rows.append((now + attend(now @ W["cq"], ck, cv))[0])
    return torch.stack(rows)
""",
    "a cache filled in place, positions counted back": """
def write(W, memory, x):
    m, D = x.shape
    cross = memory @ W["ck"], memory @ W["cv"]
    held = x.new_zeros(2, m, D)
    out = torch.zeros_like(x)
    for t in range(m):
        y = x[t : t + 1]
        held[0, t], held[1, t] = (y @ W["k"])[0], (y @ W["v"])[0]
        keys = rotate(held[0, : t + 1], torch.arange(-t, 1))
        y = y + attend(y @ W["q"], keys, held[1, : t + 1])
        out[t] = (y + attend(y @ W["cq"], *cross))[0]
    return out
""",
}


def PROBE_2(answer):
    torch = answer["torch"]

    class Counted(dict):
        count = 0

        def __getitem__(self, name):
            self.count += name == "ck"
            return super().__getitem__(name)

    x = torch.linspace(-3, 3, 16).sin().reshape(4, 4)
    W = Counted({name: (x * (i + 1)).cos() for i, name in enumerate(("q", "k", "v", "cq", "ck", "cv"))})
    out = answer["write"](W, x[:3].flip(0), x)
    return [out, float(W.count > 1)]


# ------------------------------------------------------------------------ 3 · let the student write, let the teacher grade

WRONG_3 = {
    "takes the teacher's rows from n on": replace("[:, n - 1 : n - 1 + m]", "[:, n : n + m]"),
    "counts what is written after the end": replace("counts = ends.cumsum(1) - ends == 0", "counts = torch.ones_like(y)"),
    "does not count the end itself": replace("ends.cumsum(1) - ends == 0", "ends.cumsum(1) == 0"),
    "turns KL round": replace("(log_t.exp() * (log_t - log_s))", "(log_s.exp() * (log_s - log_t))"),
    "draws from all tokens": replace("logits.masked_fill(logits < least, -math.inf).softmax(-1)", "logits.softmax(-1)"),
    "divides by the batch alone": replace("/ counts.sum()", "/ len(y)"),
}
RIGHT_3 = {
    "row by row at the end": """
def on_policy(student, teacher, source, m, eos, top_k, generator):
    B, n = source.shape
    y = torch.zeros(B, m, dtype=torch.long)
    for t in range(m):
        best, which = student(source, y[:, : t + 1]).detach()[:, t].topk(top_k, dim=-1)
        y[:, t] = which.gather(1, torch.multinomial(best.softmax(-1), 1, generator=generator))[:, 0]
    p = teacher(torch.cat([source, y], 1)).detach().softmax(-1)[:, n - 1 : -1]
    r = student(source, y).softmax(-1)
    total, number = 0, 0
    for b in range(B):
        for t in range(m):
            total, number = total + (p[b, t] * (p[b, t] / r[b, t]).log()).sum(), number + 1
            if int(y[b, t]) == eos:
                break
    return total / number, y
""",
    "counts by the first end": """
def on_policy(student, teacher, source, m, eos, top_k, generator):
    written = source.new_zeros(len(source), 0)
    with torch.no_grad():
        while written.shape[1] < m:
            padded = F.pad(written, (0, 1))
            logits = student(source, padded)[:, -1]
            allowed = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.topk(top_k).indices, True)
            p = torch.where(allowed, logits.exp(), 0.0)
            written = torch.cat([written, torch.multinomial(p / p.sum(1, keepdim=True), 1, generator=generator)], 1)
        graded = torch.log_softmax(teacher(torch.cat([source, written], 1))[:, -m - 1 : -1], -1)
    ours = torch.log_softmax(student(source, written), -1)
    ended = torch.cat([torch.zeros(len(source), 1), (written == eos).float().cumsum(1)[:, :-1]], 1)
    keep = ended == 0
    return ((graded.exp() * (graded - ours)).sum(-1))[keep].mean(), written
""",
}


def PROBE_3(answer):
    torch, out = answer["torch"], []
    for seed, top_k in ((20, 1), (21, 2), (22, 7)):
        student, teacher, _, _ = answer["table_models"](seed)
        source = torch.arange(8).reshape(4, 2) % 7
        loss, y = answer["on_policy"](student, teacher, source, 6, 3, top_k, torch.Generator().manual_seed(seed))
        out += [loss.detach(), float((student(source, y).topk(2).indices == y[..., None]).any(-1).float().mean()) if top_k == 2 else 0.0]
    return out


# ------------------------------------------------------------------------------------------------------ 4 · a shape for a phone

WRONG_4 = {
    "takes Mu's own shape": replace("6, 4, 13_600", "20, 10, 4096"),
    "splits 30 blocks so that reading is fast enough": replace("6, 4, 13_600", "16, 14, 3992"),
    "splits 30 blocks so that writing is fast enough": replace("6, 4, 13_600", "21, 9, 4080"),
    "splits few wide blocks the other way round": replace("6, 4, 13_600", "4, 6, 13_300"),
    "shrinks the model": replace("6, 4, 13_600", "6, 4, 4096"),
}
RIGHT_4 = {
    "more blocks, less wide": """
def shape():
    return 8, 5, 10_300
""",
    "found by a loop": """
def shape():
    for blocks in range(20, 2, -1):
        for decoder in range(1, blocks):
            for f in range(8000, 20000, 32):
                parameters, first, later, cache = report(blocks - decoder, decoder, f)
                if 325e6 <= parameters <= 336e6 and first <= 1.7e12 and later <= 3.4e8 and cache <= 9e6:
                    return blocks - decoder, decoder, f
""",
}


def PROBE_4(answer):
    return [float(x) / 1e6 for x in answer["report"](*answer["shape"]())]


# --------------------------------------------------------------------------------------------- 5 · is this the distillation loss?

WRONG_5 = {
    "accepts everything": """
def passes(loss):
    return True
""",
    "tries one case without padding": """
def passes(loss):
    s, z = torch.randn(2, 2, 4, 5)
    y, real = torch.randint(0, 5, (2, 4)), torch.ones(2, 4, dtype=torch.bool)
    return bool((loss(s, z, y, 1.0, real) - by_formula(s, z, y, 1.0, real)).abs() < 1e-4)
""",
    "asks for equal bits": """
def passes(loss):
    s, z = torch.randn(2, 3, 4, 5)
    y, real = torch.randint(0, 5, (3, 4)), torch.arange(4).expand(3, 4) < 3
    return all(bool(loss(s, z, y, a, real) == by_formula(s, z, y, a, real)) for a in (0.3, 0.9))
""",
}
RIGHT_5 = {
    "by its gradient": """
def passes(loss):
    s, z = (torch.randn(3, 4, 5).requires_grad_() for _ in range(2))
    y, real = torch.randint(0, 5, (3, 4)), torch.tensor([1, 1, 0, 1]).bool().expand(3, 4)
    for a in (0.2, 0.7):
        out = loss(s, z, y, a, real)
        if abs(float(out.detach()) - float(by_formula(s, z, y, a, real).detach())) > 1e-4:
            return False
        ds, dz = torch.autograd.grad(out, (s, z), allow_unused=True)
        p, onehot = s.softmax(-1), F.one_hot(y, 5)
        want = (p - a * z.softmax(-1) - (1 - a) * onehot) * real[..., None] / real.sum()
        if ds is None or float((ds - want).abs().max()) > 1e-4 or (dz is not None and bool(dz.abs().max() > 1e-6)):
            return False
    return True
""",
    "many cases, backward on copies": """
def passes(loss):
    for seed in range(4):
        a = (0.1, 0.5, 0.9, 1.0)[seed]
        s, z = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
        y, real = torch.randint(0, 3, (2, 4)), torch.rand(2, 4) < 0.6
        real[0, 0], real[1, 1] = True, False
        grads = []
        for f in (loss, by_formula):
            u, w = s.clone().requires_grad_(), z.clone().requires_grad_()
            value = f(u, w, y, a, real)
            value.backward()
            grads.append((value.detach(), u.grad, torch.zeros(2, 4, 3) if w.grad is None else w.grad))
        if not all(torch.allclose(m, n, atol=1e-4) for m, n in zip(*grads)):
            return False
    return True
""",
}


def PROBE_5(answer):
    torch, by_formula = answer["torch"], answer["by_formula"]
    torch.manual_seed(0)
    functions = [
        by_formula,
        lambda s, z, y, a, r: by_formula(s, z, y, a, r) + 1e-7,
        answer["no_padding"],
        lambda s, z, y, a, r: by_formula(s, z, y, a, r) * r.sum() / len(r),
        lambda s, z, y, a, r: by_formula(s, z, y, 1.0, r),
        lambda s, z, y, a, r: by_formula(z, s, y, a, r),
    ]
    out = []
    for f in functions:
        try:
            out.append(float(answer["passes"](f)))
        except RuntimeError:
            out.append(-1.0)
    return out


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def shared_attention(q, k, v, lengths):
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"{q.shape[1]} query heads cannot share {k.shape[1]} heads of keys and values")
    k, v = (x.repeat(1, q.shape[1] // x.shape[1], 1, 1) for x in (k, v))
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
""",
    3: """
def on_policy(student, teacher, source, m, eos, top_k, generator):
    n, y = source.shape[1], torch.zeros(len(source), m, dtype=torch.long)
    log_s = student(source, y).log_softmax(-1)
    log_t = teacher(torch.cat([source, y], 1))[:, n - 1 : n - 1 + m].detach().log_softmax(-1)
    return (log_t.exp() * (log_t - log_s)).sum(-1).mean(), y
""",
    4: """
def shape():
    return 20, 10, 4096
""",
    5: """
def passes(loss):
    s, z = torch.randn(2, 2, 5, 20).double().unbind()
    s.requires_grad_(), z.requires_grad_()
    y, real = torch.randint(0, 20, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    value = loss(s, z, y, 1.0, real)
    (grad,) = torch.autograd.grad(value, s)
    return bool(torch.allclose(grad, (s.softmax(-1) - z.softmax(-1)) / 10, atol=1e-9))
""",
}

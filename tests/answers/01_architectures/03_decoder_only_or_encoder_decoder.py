"""Known answers to the exercise of lesson 03."""

from course.answers import replace

# ------------------------------------------------------------------------------------------ 1 · attention put together from pieces

WRONG_1 = {
    "averages the pieces": """
def merge(outputs, logs):
    share = torch.full_like(torch.stack(list(logs)), 1 / len(logs))
    return torch.stack(list(outputs)).mean(0), share
""",
    "takes the logs for the masses": """
def merge(outputs, logs):
    z = torch.stack(list(logs))
    share = z / z.sum(0)
    return (share[..., None] * torch.stack(list(outputs))).sum(0), share
""",
    "takes no maximum off": replace("e = (z - top).exp()", "e = z.exp()"),
    "makes NaN where a row sees nothing": """
def merge(outputs, logs):
    share = torch.stack(list(logs)).softmax(0)
    return (share[..., None] * torch.stack(list(outputs))).sum(0), share
""",
    "takes a maximum of its own off each piece": replace("top = z.amax(0)", "top = z.amax(-1, keepdim=True)"),
}
RIGHT_1 = {
    "piece by piece, as they arrive": """
def merge(outputs, logs):
    out, total = outputs[0].clone(), logs[0].clone()
    for o, log in list(zip(outputs, logs))[1:]:
        both = torch.logaddexp(total, log)
        safe = torch.where(both.isinf(), torch.zeros_like(both), both)
        out = (total - safe).exp()[..., None] * out + (log - safe).exp()[..., None] * o
        total = both
    seen = ~total.isinf()
    shares = [torch.where(seen, (log - torch.where(seen, total, torch.zeros_like(total))).exp(), torch.zeros_like(log)) for log in logs]
    return torch.where(seen[..., None], out, torch.zeros_like(out)), torch.stack(shares)
""",
    "a softmax over the pieces, mended": """
def merge(outputs, logs):
    share = torch.nan_to_num(torch.stack(list(logs)).softmax(0), nan=0.0)
    return torch.einsum("p...,p...k->...k", share, torch.stack(list(outputs))), share
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-3, 3, 24).sin().reshape(2, 3, 4)
    out = []
    for logs in (
        [torch.zeros(2), torch.ones(2)],
        [torch.tensor([1000.0, 998.0]), torch.tensor([999.0, 1000.0])],
        [torch.tensor([0.0, -torch.inf])] * 2,
    ):
        o, share = answer["merge"]([x[0, :2], x[1, :2]], logs)
        out += [torch.nan_to_num(o, nan=-7.0), torch.nan_to_num(share, nan=-7.0)]
    return out


# ------------------------------------------------------------------------------------------------ 2 · sources of several lengths

WRONG_2 = {
    "still reads states that have left the layer": """
def red(blocks, s, t, real):
    (B, S), T = real.shape, t.shape[1]
    own = torch.ones(T, T, dtype=torch.bool).tril()
    seen = torch.cat([real[:, None].expand(B, T, S), own.expand(B, T, T)], -1)[:, None]
    for block in blocks:
        s = block(s, causal=True)
        z, h = block.norm1(t), block.norm1(s)
        t = t + block.attention(z, torch.cat([h, z], 1), mask=seen)
        t = t + block.mlp(block.norm2(t))
    return t
""",
    "still sees the padding": replace("real[:, None].expand(B, T, S)", "torch.ones(B, T, S, dtype=torch.bool)"),
    "sets padded states to zero instead of hiding them": """
def red(blocks, s, t, real):
    S, T = s.shape[1], t.shape[1]
    seen = visibility(S + T)[S:]
    s = s * real[..., None]
    for block in blocks:
        z, h = block.norm1(t), block.norm1(s)
        t = t + block.attention(z, torch.cat([h, z], 1), mask=seen)
        t = t + block.mlp(block.norm2(t))
        s = block(s, causal=True)
    return t
""",
    "lets the encoder see both ways": replace("s = block(s, causal=True)", "s = block(s)"),
    "takes the longest source for all": replace("real[:, None].expand(B, T, S)", "real.all(0).expand(B, T, S)"),
}
RIGHT_2 = {
    "the joint stack under one mask a sequence": """
def red(blocks, s, t, real):
    S, N = s.shape[1], s.shape[1] + t.shape[1]
    shown = torch.cat([real, torch.ones(t.shape[:2], dtype=torch.bool)], 1)
    mask = (visibility(N) & shown[:, None]) | torch.eye(N, dtype=torch.bool)
    x = torch.cat([s, t], 1)
    for block in blocks:
        x = block(x, mask=mask[:, None])
    return x[:, S:]
""",
    "sequence by sequence": """
def red(blocks, s, t, real):
    rows = []
    for source, target, here in zip(s, t, real):
        h, z, n = source[here][None], target[None], int(here.sum())
        for block in blocks:
            keys = torch.cat([block.norm1(h), block.norm1(z)], 1)
            z = z + block.attention(block.norm1(z), keys, mask=visibility(keys.shape[1])[n:])
            z, h = z + block.mlp(block.norm2(z)), block(h, causal=True)
        rows.append(z)
    return torch.cat(rows)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    blocks = [answer["Block"](8, 2, 16) for _ in range(2)]
    s, t = torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    out = []
    for real in (torch.ones(2, 4, dtype=torch.bool), torch.tensor([[True, True, False, False], [True, True, True, False]])):
        out.append(answer["red"](blocks, s, t, real).detach())
    return out


# ----------------------------------------------------------------------------------------------------------- 3 · the state that asks

WRONG_3 = {
    "holds the query fixed": replace("J[i] += (p[:, None] * off).T @ (scale * (k @ W_q.T))", "pass"),
    "lets the query move by the wrong matrix": replace("(k @ W_q.T)", "(k @ W_k.T)"),
    "forgets the scale in the query's part": replace("(scale * (k @ W_q.T))", "(k @ W_q.T)"),
    "sees the whole sequence": """
def self_jacobian(x, W_q, W_k, W_v, i):
    scale = W_q.shape[1] ** -0.5
    q, k, v = x[i] @ W_q, x @ W_k, x @ W_v
    p = (scale * (k @ q)).softmax(-1)
    off = v - p @ v
    J = p[:, None, None] * (W_v.T + off[:, :, None] * (scale * (W_k @ q)))
    J[i] += (p[:, None] * off).T @ (scale * (k @ W_q.T))
    return J
""",
    "weighs values instead of their distance from the output": replace("off = v - p @ v", "off = v"),
}
RIGHT_3 = {
    "through the softmax's Jacobian": """
def self_jacobian(x, W_q, W_k, W_v, i):
    K = W_q.shape[1]
    q, k, v = x[i] @ W_q, x[: i + 1] @ W_k, x[: i + 1] @ W_v
    p = torch.softmax(k @ q / math.sqrt(K), 0)
    moved = torch.diag(p) - torch.outer(p, p)
    J = torch.zeros(len(x), W_v.shape[1], x.shape[1], dtype=x.dtype)
    for j in range(i + 1):
        score = torch.zeros(i + 1, x.shape[1], dtype=x.dtype)
        score[j] = W_k @ q / math.sqrt(K)
        if j == i:
            score = score + k @ W_q.T / math.sqrt(K)
        J[j] = p[j] * W_v.T + v.T @ moved @ score
    return J
""",
    "with einsum": """
def self_jacobian(x, W_q, W_k, W_v, i):
    n, root = i + 1, W_k.shape[1] ** 0.5
    q, k, v = x[i] @ W_q, x[:n] @ W_k, x[:n] @ W_v
    p = (k @ q / root).softmax(0)
    away = p[:, None] * (v - (p[:, None] * v).sum(0))
    J = torch.einsum("j,dm->jmd", p, W_v) + torch.einsum("jm,d->jmd", away, W_k @ q / root)
    J = torch.cat([J, torch.zeros(len(x) - n, *J.shape[1:], dtype=x.dtype)])
    J[i] = J[i] + torch.einsum("lm,ld->md", away, k @ W_q.T / root)
    return J
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    x, W = torch.linspace(-2, 2, 20).sin().reshape(5, 4), torch.linspace(-3, 3, 36).cos().reshape(3, 4, 3)
    return [answer["self_jacobian"](x, W[0], W[1], W[2][:, :2], i) for i in (0, 2, 4)]


# ---------------------------------------------------------------------------------------------- 4 · what it costs to keep looking

WRONG_4 = {
    "leaves the spread of the scores out": replace(" + (sigma_t**2 - sigma_s**2) / 2", ""),
    "adds the spread the wrong way round": replace("(sigma_t**2 - sigma_s**2)", "(sigma_s**2 - sigma_t**2)"),
    "takes the mass for the odds": replace("math.log(mu / (1 - mu))", "math.log(mu)"),
    "forgets how many source keys there are": replace("math.log(n / S)", "math.log(n)"),
    "counts the spread once instead of half": replace("(sigma_t**2 - sigma_s**2) / 2", "(sigma_t**2 - sigma_s**2)"),
}
RIGHT_4 = {
    "by bisection on what is measured": """
def offset(n, S, mu, sigma_s, sigma_t):
    low, high = -20.0, 20.0
    for _ in range(40):
        b = (low + high) / 2
        low, high = (b, high) if measure(b, n, S, sigma_s, sigma_t, rows=100, seed=3) < mu else (low, b)
    return b
""",
    "with exponentials": """
def offset(n, S, mu, sigma_s, sigma_t):
    target = n * math.exp(sigma_t**2 / 2)
    source = S * math.exp(sigma_s**2 / 2)
    return math.log(mu * target / ((1 - mu) * source))
""",
}


def PROBE_4(answer):
    # rounded, since an answer by search is not exact
    return [round(float(answer["offset"](*x)), 1) for x in ((32, 8, 0.5, 0.0, 0.0), (500, 64, 0.3, 1.0, 0.2), (100, 5, 0.9, 0.0, 0.0))]


# --------------------------------------------------------------------------------------------------- 5 · is this partial attention?

WRONG_5 = {
    "accepts everything": """
def passes(attend):
    return True
""",
    "tries one source key": """
def passes(attend):
    x, W = torch.randn(2, 5, 4), random_weights(4)
    return bool(torch.allclose(attend(x, 1, W), by_formula(x, 1, W), atol=1e-4))
""",
    "tries fresh weights, whose biases are zero, and no target": """
def passes(attend):
    x, W = torch.randn(2, 5, 4), random_weights(4)
    return bool(torch.allclose(attend(x, 5, W), by_formula(x, 5, W), atol=1e-4))
""",
    "asks for equal bits": """
def passes(attend):
    x, W = torch.randn(2, 7, 4), random_weights(4) | {"b_1": torch.randn(4), "b_2": torch.randn(4)}
    return bool(torch.equal(attend(x, 3, W), by_formula(x, 3, W)))
""",
}
RIGHT_5 = {
    "against loops": """
def passes(attend):
    for B, N, S, D in ((2, 6, 4, 3), (1, 9, 2, 6)):
        x = 2 * torch.randn(B, N, D)
        W = random_weights(D) | {"b_1": torch.randn(D), "b_2": torch.randn(D)}
        got = attend(x, S, W)
        for b in range(B):
            u = F.gelu(x[b, :S] @ W["W_1"] + W["b_1"])
            f = u @ W["W_2"] + W["b_2"] + u
            for n in range(N):
                p = ((f @ W["W_k"]) @ (x[b, n] @ W["W_q"]) / math.sqrt(D)).softmax(0)
                want = (p @ (f @ W["W_v"])) @ W["W_o"]
                if float((got[b, n] - want).abs().max()) > 1e-3 * (1 + float(want.abs().max())):
                    return False
    return True
""",
    "by the given one, random biases": """
def passes(attend):
    made = []
    for N, S in ((5, 2), (8, 7), (4, 3)):
        x, W = 3 * torch.randn(2, N, 5), random_weights(5) | {"b_1": torch.randn(5), "b_2": torch.randn(5)}
        made.append(bool((attend(x, S, W) - by_formula(x, S, W)).abs().max() < 1e-3))
    return all(made)
""",
}


def PROBE_5(answer):
    torch, by_formula = answer["torch"], answer["by_formula"]
    torch.manual_seed(0)
    functions = [
        by_formula,
        lambda x, S, W: by_formula(x, S, W) + 1e-6,
        lambda x, S, W: by_formula(x, S, W | {"W_q": 2 * W["W_q"]}),
        lambda x, S, W: by_formula(x, S, W | {"b_1": 0 * W["b_1"]}),
        lambda x, S, W: by_formula(x, x.shape[1], W),
        lambda x, S, W: 0 * x,
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def merge(outputs, logs):
    z_s, z_t = (log.exp()[..., None] for log in (logs[0], logs[-1]))
    m = z_s / (z_s + z_t)
    return m * outputs[0] + (1 - m) * outputs[-1], m[..., 0]
""",
    2: """
def red(blocks, s, t, real):
    S, entering = s.shape[1], []
    for block in blocks:
        entering.append(s)
        s = block(s, causal=True)
    for layer, block in enumerate(blocks):
        z, h = block.norm1(t), block.norm1(entering[layer])
        t = t + block.attention(z, torch.cat([h, z], dim=1), mask=visibility(S + t.shape[1])[S:])
        t = t + block.mlp(block.norm2(t))
    return t
""",
    3: """
def self_jacobian(x, W_q, W_k, W_v, i):
    q = x[i] @ W_q
    v = x @ W_v
    p = (x @ W_k @ q / len(q) ** 0.5).softmax(-1)
    moved_weight = (v - p @ v)[:, :, None] * (W_k @ q / len(q) ** 0.5)
    return p[:, None, None] * (W_v.T + moved_weight)
""",
    4: """
def offset(n, S, mu, sigma_s, sigma_t):
    return 0.5 * math.log(n / S)
""",
    5: """
def passes(attend):
    x, W = torch.randn(2, 11, 16), random_weights(16)
    u = F.gelu(x[:, :4] @ W["W_1"] + W["b_1"])
    f = u @ W["W_2"] + W["b_2"] + u
    p = (x @ W["W_q"] @ (f @ W["W_k"]).mT / 4).softmax(-1)
    return bool(torch.allclose(attend(x, 4, W), p @ (f @ W["W_v"]) @ W["W_o"], atol=1e-5))
""",
}

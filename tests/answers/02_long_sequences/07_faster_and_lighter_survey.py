"""Known answers to the exercise of lesson 07."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------ 1 · a window with global tokens

WRONG_1 = {
    "lets a global key count twice where it lies inside the window": replace(" & (j >= g) & (j < L)", " & (j >= 0) & (j < L)"),
    "gives padded keys at the end a weight": replace(" & (j < L)", " & (j < n * w)"),
    "leaves out the keys at distance w": replace("(i - j).abs() <= w", "(i - j).abs() < w"),
    "lets global queries see their window and each other only": replace(
        "return torch.cat([full, out.flatten(-3, -2)[..., g:L, :]], dim=-2)", "return out.flatten(-3, -2)[..., :L, :].nan_to_num()"
    ),
    "makes all L × L scores": """
def window_with_globals(q, k, v, w, g):
    at = torch.arange(q.shape[-2])
    seen = ((at[:, None] - at).abs() <= w) | (at[:, None] < g) | (at < g)
    return (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~seen, -float("inf")).softmax(dim=-1) @ v
""",
}
RIGHT_1 = {
    "chunk by chunk, with slices": """
def window_with_globals(q, k, v, w, g):
    L, d = q.shape[-2:]
    out = torch.empty_like(v)
    for start in range(0, L, w):
        i = torch.arange(start, min(start + w, L))
        near = torch.arange(max(0, start - w), min(L, start + 2 * w))
        j = torch.cat([torch.arange(min(g, L)), near[near >= g]])
        seen = (j < g) | ((i[:, None] - j).abs() <= w)
        out[..., i, :] = F.scaled_dot_product_attention(q[..., i, :], k[..., j, :], v[..., j, :], attn_mask=seen)
    out[..., :g, :] = F.scaled_dot_product_attention(q[..., :g, :], k, v)
    return out
""",
    "two softmaxes joined by their log-sums": """
def window_with_globals(q, k, v, w, g):
    L, d = q.shape[-2:]
    q = q / d**0.5
    rows = []
    for i in range(L):
        if i < g:
            rows.append((q[..., i, None, :] @ k.mT).softmax(-1) @ v)
            continue
        low, high = max(g, i - w), min(L, i + w + 1)
        a, b = q[..., i, None, :] @ k[..., :g, :].mT, q[..., i, None, :] @ k[..., low:high, :].mT
        za, zb = a.logsumexp(-1, keepdim=True), b.logsumexp(-1, keepdim=True)
        z = torch.logaddexp(za, zb)
        rows.append((a - z).exp() @ v[..., :g, :] + (b - z).exp() @ v[..., low:high, :])
    return torch.cat(rows, dim=-2)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    q, k, v = (torch.linspace(-2, 2, 22 * n).reshape(1, 1, 11, 2 * n)[..., :4].sin() for n in (2, 3, 4))
    long = torch.zeros(1, 1, 512, 4)
    with answer["Largest"]() as largest:
        answer["window_with_globals"](long, long, long, 8, 2)
    return [answer["window_with_globals"](q, k, v, 3, 2), float(largest.entries > 512 * 512 / 4)]


# ------------------------------------------------------------------------------------------------ 2 · a causal round of hashing

WRONG_2 = {
    "leaves it as it was": """
def causal_round(qk, v, bucket, c):
    return broken_round(qk, v, bucket, c)
""",
    "repairs the way back only": replace("order.view(-1, c)", "torch.arange(L).view(-1, c)"),
    "repairs the mask only": replace("[order.argsort()]", "[order]"),
    "no longer sees itself, not even as a last resort": replace("-1e5)", '-float("inf"))'),
    "sorts by bucket and forgets the order in time within it": replace("bucket * L + torch.arange(L)", "bucket * L - torch.arange(L)"),
}
RIGHT_2 = {
    "full attention under a mask": """
def causal_round(qk, v, bucket, c):
    L, d = qk.shape
    place = (bucket * L + torch.arange(L)).argsort().argsort()
    chunk = place // c
    gap = (chunk[:, None] - chunk) % (L // c)
    i = torch.arange(L)
    scores = qk @ (qk / qk.norm(dim=-1, keepdim=True)).T
    scores = torch.where(i[:, None] == i, torch.tensor(-1e5), scores)
    scores = torch.where((gap <= 1) & (i <= i[:, None]), scores, torch.tensor(-float("inf")))
    return scores.softmax(-1) @ v
""",
    "token by token": """
def causal_round(qk, v, bucket, c):
    L = len(qk)
    order = sorted(range(L), key=lambda i: (int(bucket[i]), i))
    place = {token: r for r, token in enumerate(order)}
    out, chunks = torch.empty_like(v), L // c
    for i in range(L):
        mine = place[i] // c
        keys = [j for j in range(i) if place[j] // c in (mine, (mine - 1) % chunks)]
        if not keys:
            out[i] = v[i]
            continue
        unit = F.normalize(qk[keys], dim=-1)
        out[i] = (unit @ qk[i]).softmax(0) @ v[keys]
    return out
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    qk, v = torch.linspace(-3, 3, 24).reshape(8, 3).sin(), torch.linspace(-1, 1, 16).reshape(8, 2)
    return answer["causal_round"](qk, v, torch.tensor([1, 0, 1, 0, 0, 1, 0, 1]), 2)


# ---------------------------------------------------------------------------------------------- 3 · random features for a stream

WRONG_3 = {
    "divides by the sum over all positions, later ones included": replace("(phi_q * norm).sum", "(phi_q * norm[:, -1:]).sum"),
    "forgets what came in earlier pieces": replace("(0.0, 0.0) if state is None else state", "(0.0, 0.0)"),
    "carries the numerator over, but not the denominator": replace(" + before[1]", ""),
    "sums over the features instead of over time": replace("phi_k.cumsum(dim=1) + before[1]", "phi_k.cumsum(dim=2) + before[1]"),
    "keeps all keys and values as its state": """
def causal_linear(phi_q, phi_k, v, state=None):
    if state is not None:
        phi_k, v = torch.cat([state[0], phi_k], dim=1), torch.cat([state[1], v], dim=1)
    n, past = phi_q.shape[1], phi_k.shape[1] - phi_q.shape[1]
    w = (phi_q @ phi_k.mT) * (torch.arange(past + n) <= past + torch.arange(n)[:, None])
    return w @ v / w.sum(-1, keepdim=True), (phi_k.repeat(1, 4, 1), v.repeat(1, 4, 1))
""",
}
RIGHT_3 = {
    "step by step": """
def causal_linear(phi_q, phi_k, v, state=None):
    B, n, m = phi_q.shape
    S, z = (torch.zeros(B, m, v.shape[-1]), torch.zeros(B, m)) if state is None else state
    outs = []
    for t in range(n):
        S = S + phi_k[:, t, :, None] * v[:, t, None, :]
        z = z + phi_k[:, t]
        outs.append((phi_q[:, t, None] @ S)[:, 0] / (phi_q[:, t] * z).sum(-1, keepdim=True))
    return torch.stack(outs, dim=1), (S, z)
""",
    "a mask within the piece, a state for what came before": """
def causal_linear(phi_q, phi_k, v, state=None):
    ones = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
    i = torch.arange(v.shape[1])
    both = ((phi_q @ phi_k.mT) * (i <= i[:, None])) @ ones
    if state is not None:
        both = both + phi_q @ state
    new = phi_k.mT @ ones if state is None else state + phi_k.mT @ ones
    return both[..., :-1] / both[..., -1:], new
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    phi_q, phi_k = torch.linspace(0.1, 2, 15).reshape(1, 5, 3), torch.linspace(2, 0.1, 15).reshape(1, 5, 3).square()
    v = torch.linspace(-1, 1, 10).reshape(1, 5, 2)
    first, state = answer["causal_linear"](phi_q[:, :2], phi_k[:, :2], v[:, :2])
    second, _ = answer["causal_linear"](phi_q[:, 2:], phi_k[:, 2:], v[:, 2:], state)
    return [first, second]


# ----------------------------------------------------------------------------------------------------------------- 4 · the check

WRONG_4 = {
    "does not ask whether opposites part": replace(" or (hash(-x, 16, seed(0)) == a).any()", ""),
    "does not ask which buckets are used": replace("sorted(set(a.tolist())) != list(range(16))", "int(a.max()) > 15"),
    "never changes the seed": replace("return not same(hash(x, 16, seed(1)), a)", "return True"),
    "does not scale": replace("(0.05 + 5 * torch.rand(400, 1))", "torch.ones(400, 1)"),
    "insists on the example's numbers": """
def passes(hash):
    x = torch.randn(300, 16)
    return torch.equal(hash(x, 16, seed(0)), rotate_and_look(x, 16, seed(0)))
""",
    "looks at range and shape only": """
def passes(hash):
    a = hash(torch.randn(100, 16), 16, seed(0))
    return a.shape == (100,) and bool(a.min() >= 0) and bool(a.max() < 16)
""",
}
RIGHT_4 = {
    "one loop over changes": """
def passes(hash):
    torch.manual_seed(0)
    for number in range(3):
        x = torch.randn(500, 16)
        call = lambda y: hash(y, 16, seed(number))
        a = call(x)
        if len(a.unique()) < 16 or a.min() < 0 or a.max() > 15:
            return False
        turn = torch.randperm(500)
        keep = [call(3.7 * x), call(x / 9), call(x[turn])[turn.argsort()], call(torch.cat([x[250:], x[:250]])).roll(250)]
        if any((b != a).float().mean() > 0.02 for b in keep):
            return False
        halves = torch.cat([call(x[:77]), call(x[77:])])
        if (halves != a).float().mean() > 0.02:
            return False
        if (call(x + 0.04 * torch.randn(500, 16)) == a).float().mean() < 0.6 or bool((call(-x) == a).any()):
            return False
        if (hash(x, 16, seed(number + 50)) == a).float().mean() > 0.9:
            return False
    return True
""",
    "two blocks of rows and a list of facts": """
def passes(hash):
    x = torch.randn(600, 16)
    a = hash(x, 16, seed(11))
    longer, opposite, near = hash(torch.cat([x * 4, -x, x + 0.03 * torch.randn(600, 16)]), 16, seed(11)).split(600)
    single = torch.stack([hash(row[None], 16, seed(11))[0] for row in x[:60]])
    facts = [
        set(a.tolist()) == set(range(16)),
        (longer == a).float().mean() > 0.98,
        not bool((opposite == a).any()),
        (near == a).float().mean() > 0.6,
        (single == a[:60]).float().mean() > 0.96,
        (hash(x, 16, seed(12)) == a).float().mean() < 0.9,
    ]
    return all(bool(fact) for fact in facts)
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    look = answer["rotate_and_look"]

    def signs(x, b, generator):
        return ((x @ torch.randn(16, 4, generator=generator) > 0) * 2 ** torch.arange(4)).sum(-1)

    hashes = [
        look,
        signs,
        lambda x, b, g: (x @ torch.randn(16, b, generator=g)).abs().argmax(-1),
        lambda x, b, g: (x @ torch.randn(16, b // 2, generator=g)).argmax(-1),
        lambda x, b, g: look(x, b, torch.Generator().manual_seed(3)),
        lambda x, b, g: (x @ torch.randn(16, generator=g)).floor().long() % b,
        lambda x, b, g: torch.zeros(len(x), dtype=torch.long),
    ]
    return [float(answer["passes"](h)) for h in hashes]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def window_with_globals(q, k, v, w, g):
    L = q.shape[-2]
    w = min(w, L)
    n = -(-L // w)
    q, k, v = (F.pad(x, (0, 0, 0, n * w - L)).unflatten(-2, (n, w)) for x in (q, k, v))
    before, after = (lambda x: F.pad(x, (0, 0, 0, 0, 1, 0))[..., :-1, :, :]), (lambda x: F.pad(x, (0, 0, 0, 0, 0, 1))[..., 1:, :, :])
    k, v = (torch.cat([before(x), x, after(x)], dim=-2) for x in (k, v))
    i, j = torch.arange(n * w).view(n, w, 1), torch.arange(n).view(n, 1, 1) * w - w + torch.arange(3 * w)
    seen = ((i - j).abs() <= w) & (j >= 0) & (j < L)
    out = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=seen | (i >= L))
    return out.unflatten(0, q.shape[:2]).flatten(-3, -2)[..., :L, :]
""",
    2: """
def causal_round(qk, v, bucket, c):
    L, d = qk.shape
    order = (bucket * L + torch.arange(L)).argsort(dim=-1)
    place = torch.empty_like(order).scatter_(-1, order, torch.arange(L))
    q, k, u, at = (x[order].unflatten(0, (-1, c)) for x in (qk, F.normalize(qk, dim=-1) * d**0.5, v, torch.arange(L)))
    both = lambda x: torch.cat([x.roll(1, 0), x], dim=1)
    scores = (q @ both(k).mT / d**0.5).masked_fill(at[..., None] == both(at)[..., None, :], -1e5)
    z = scores.logsumexp(dim=-1, keepdim=True)
    return ((scores - z).exp() @ both(u)).flatten(0, 1)[place]
""",
    3: """
def causal_linear(phi_q, phi_k, v, state=None):
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(dim=-2)[..., None]), state
""",
}

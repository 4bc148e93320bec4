"""Known answers to the exercise of lesson 24."""

from course.answers import replace

# ------------------------------------------------------------------------------------------ 1 · scores between different slices

WRONG_1 = {
    "reads all of M": replace("return y @ M[used][:, used] @ y.T", "return (m * z) @ M @ (m * z).T"),
    "puts the routed groups in front of the shared ones": replace("scatter(1, index + shared, gate)", "scatter(1, index, gate)"),
    "takes gates of 1": replace("index + shared, gate)", "index + shared, torch.ones_like(gate))"),
    "gives token t's mask to both sides": replace(
        "return y @ M[used][:, used] @ y.T",
        "return torch.stack([y[t] @ M[used][:, used] @ (m[t] * z)[:, used].T for t in range(len(z))])",
    ),
    "transposes the scores": replace("return y @ M[used][:, used] @ y.T", "return y @ M[used][:, used].T @ y.T"),
    "keeps only the dimensions that all tokens use": replace("(m != 0).any(0)", "(m != 0).all(0)"),
}
RIGHT_1 = {
    "pair by pair": """
def slice_scores(z, M, index, gate, shared, w):
    def active(t):
        at = list(range(shared * w)) + [(shared + i) * w + j for i in index[t].tolist() for j in range(w)]
        weights = [1.0] * (shared * w) + [float(a) for a in gate[t] for _ in range(w)]
        return torch.tensor(at, dtype=torch.long), torch.tensor(weights, dtype=z.dtype)

    S = z.new_zeros(len(z), len(z))
    for t in range(len(z)):
        rows, left = active(t)
        for u in range(len(z)):
            columns, right = active(u)
            S[t, u] = (left * z[t, rows]) @ M[rows][:, columns] @ (right * z[u, columns])
    return S
""",
    "group by group": """
def slice_scores(z, M, index, gate, shared, w):
    n = z.shape[1] // w
    g = torch.cat([z.new_ones(len(z), shared), z.new_zeros(len(z), n - shared)], 1)
    for k in range(index.shape[1]):
        g[torch.arange(len(z)), shared + index[:, k]] = gate[:, k]
    y = z.unflatten(1, (n, w)) * g[..., None]
    blocks, some = M.view(n, w, n, w), [i for i in range(n) if (g[:, i] != 0).any()]
    return sum(torch.einsum("ta,ab,ub->tu", y[:, i], blocks[i, :, j], y[:, j]) for i in some for j in some)
""",
}


def PROBE_1(answer):
    torch, normal = answer["torch"], answer["normal"]
    g = torch.Generator().manual_seed(21)
    z, M = normal(g, 5, 14), normal(g, 14, 14)
    index, gate = answer["random_route"](g, 5, 5, 2)
    some = answer["slice_scores"](z, M, index, gate, 2, 2)
    m = torch.zeros(5, 14, dtype=torch.float64)
    m[:, :4] = 1
    m[:, 10:12] = 1
    broken = M.masked_fill((m == 0).all(0), torch.nan).masked_fill((m == 0).all(0)[:, None], torch.nan)
    return [some, answer["slice_scores"](z, broken, torch.full((5, 1), 3), torch.ones(5, 1, dtype=torch.float64), 2, 2)]


# -------------------------------------------------------------------------------------------- 2 · balance within each sequence

WRONG_2 = {
    "still counts gates instead of choices": replace("((gate != 0) & real[..., None]).to(p.dtype)", "gate * real[..., None]"),
    "still averages the probabilities over padding": replace("(p * real[..., None]).sum(1) / real.sum(1)[:, None]", "p.mean(1)"),
    "still counts choices of padding": replace("((gate != 0) & real[..., None]).to(p.dtype)", "(gate != 0).to(p.dtype)"),
    "still multiplies after averaging over the batch": replace(
        "return (r * (f * P).sum(1)).mean()", "return r * (f.mean(0) * P.mean(0)).sum()"
    ),
    "forgets to divide by the number of choices": replace("chosen.sum((1, 2))[:, None]", "real.sum(1)[:, None]"),
    "leaves the broken function": """
def sequence_balance(p, gate, real):
    return broken_balance(p, gate, real)
""",
}
RIGHT_2 = {
    "sequence by sequence": """
def sequence_balance(p, gate, real):
    losses = []
    for P, G, keep in zip(p, gate, real):
        P, picked = P[keep], (G[keep] > 0).double()
        losses.append(p.shape[-1] * (picked.sum(0) / picked.sum() * P.mean(0)).sum())
    return torch.stack(losses).mean()
""",
    "with einsum": """
def sequence_balance(p, gate, real):
    keep = real.to(p.dtype)
    count = torch.einsum("bti,bt->bi", (gate != 0).to(p.dtype), keep)
    mass = torch.einsum("bti,bt->bi", p, keep)
    each = (count * mass).sum(1) / (count.sum(1) * keep.sum(1))
    return p.shape[2] * each.sum() / len(p)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    g = torch.Generator().manual_seed(22)
    p = (2 * answer["normal"](g, 3, 7, 5)).softmax(-1).requires_grad_()
    top = p.topk(2, dim=-1)
    gate = torch.zeros_like(p).scatter(-1, top.indices, top.values / top.values.mean(-1, keepdim=True))
    loss = answer["sequence_balance"](p, gate, torch.arange(7) < torch.tensor([[7], [2], [5]]))
    return [loss.detach().reshape(1), torch.autograd.grad(loss, p)[0]]


# ------------------------------------------------------------------------------------------ 3 · as many groups as a token needs

WRONG_3 = {
    "stops before the mass is reached": replace(
        "needed = ranked.cumsum(-1) - ranked < mass",
        "needed = (ranked.cumsum(-1) < mass) | (torch.arange(p.shape[-1]) == 0)",
    ),
    "takes one group more when the mass is met exactly": replace("- ranked < mass", "- ranked <= mass"),
    "gives all tokens the largest number": replace(
        "    K = needed.sum(-1, keepdim=True)\n",
        """    most = int(needed.sum(-1).max())
    needed = torch.zeros_like(needed)
    needed[..., :most] = True
    K = needed.sum(-1, keepdim=True)
""",
    ),
    "makes the gates sum to 1": replace("(kept.sum(-1, keepdim=True) / K)", "kept.sum(-1, keepdim=True)"),
    "scales all tokens by the mean number": replace("K[..., 0])).sqrt()", "K.double().mean() + 0 * K[..., 0])).sqrt()"),
    "leaves the gates in sorted order": replace("torch.zeros_like(p).scatter(-1, order, ", "torch.zeros_like(p).add("),
    "forgets the square root": replace("(shared + K[..., 0])).sqrt()", "(shared + K[..., 0]))"),
}
RIGHT_3 = {
    "token by token": """
def adaptive_gates(p, mass, shared):
    flat = p.reshape(-1, p.shape[-1])
    gate, alpha = torch.zeros_like(flat), flat.new_zeros(len(flat))
    for t, row in enumerate(flat):
        chosen, total = [], 0.0
        for i in row.argsort(descending=True).tolist():
            chosen.append(i)
            total += float(row[i])
            if total >= mass:
                break
        gate[t, chosen] = row[chosen] / row[chosen].mean()
        alpha[t] = ((shared + len(row)) / (shared + len(chosen))) ** 0.5
    return gate.view(p.shape), alpha.view(p.shape[:-1])
""",
    "by a threshold": """
def adaptive_gates(p, mass, shared):
    r = p.shape[-1]
    rank = p.argsort(-1, descending=True).argsort(-1)
    ranked = p.sort(-1, descending=True).values
    K = 1 + (ranked.cumsum(-1)[..., :-1] < mass).sum(-1)
    on = rank < K[..., None]
    gate = torch.where(on, p, 0)
    gate = K[..., None] * gate / gate.sum(-1, keepdim=True)
    return gate, ((shared + r) / (shared + K)) ** 0.5
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    p = (3 * answer["normal"](torch.Generator().manual_seed(23), 2, 5, 7)).softmax(-1)
    out = [*answer["adaptive_gates"](p, 0.7, 2), *answer["adaptive_gates"](torch.full((1, 4), 0.25, dtype=torch.float64), 0.5, 1)]
    return [x.double() for x in out]


# ------------------------------------------------------------------------------------------------------ 4 · how heavy the tails

WRONG_4 = {
    "too close to noise": replace("return 3.7", "return 10.0"),
    "a little too light": replace("return 3.7", "return 4.2"),
    "three": replace("return 3.7", "return 3.0"),
}
RIGHT_4 = {
    "a little lighter": replace("return 3.7", "return 3.8"),
    "searched for": """
def tails():
    low, high = 1.0, 20.0
    for _ in range(10):
        middle = (low + high) / 2
        if np.mean([ratio(middle, seed) for seed in range(8)]) < 0.8:
            low = middle
        else:
            high = middle
    return float(low)
""",
}


def PROBE_4(answer):
    return [answer["torch"].tensor([float(answer["tails"]())], dtype=answer["torch"].float64)]


# ---------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "accepts everything": """
def passes(router):
    return True
""",
    "only counts": """
def passes(router):
    g = torch.Generator().manual_seed(1)
    x = normal(g, 3, 6, 5)
    return bool(((router(x, 2) != 0).sum(-1) == 2).all())
""",
    "never looks at the mean": replace("if float((gate.sum(-1) - K).abs().max()) > 1e-6:", "if gate.isnan().any():"),
    "changes later tokens only": """
def passes(router):
    g = torch.Generator().manual_seed(11)
    for B, T, r, K in [(3, 6, 5, 2), (2, 9, 4, 1), (4, 5, 7, 7), (2, 12, 8, 3)]:
        x = 2 * normal(g, B, T, r)
        gate = router(x, K)
        if not bool(((gate != 0).sum(-1) == K).all()) or float((gate.sum(-1) - K).abs().max()) > 1e-6:
            return False
        for t in range(1, T):
            y = x.clone()
            y[:, t:] = 2 * normal(g, B, T - t, r)
            if float((router(y, K) - gate)[:, :t].abs().max()) > 1e-6:
                return False
    return True
""",
    "demands the lesson's gates": """
def passes(router):
    x = normal(torch.Generator().manual_seed(2), 3, 8, 6)
    return bool((router(x, 2) - top_k(x, 2)).abs().max() < 1e-6)
""",
}
RIGHT_5 = {
    "one token replaced at a time": """
def passes(router):
    g = torch.Generator().manual_seed(77)
    for B, T, r, K in [(2, 7, 6, 2), (3, 4, 5, 1), (2, 8, 4, 3), (2, 5, 3, 3)]:
        x = 2 * normal(g, B, T, r)
        gate = router(x, K)
        if tuple(gate.shape) != (B, T, r) or (gate < 0).any():
            return False
        if not torch.equal((gate > 0).sum(-1), torch.full((B, T), K)):
            return False
        if not torch.allclose(gate.sum(-1), torch.full((B, T), float(K), dtype=gate.dtype)):
            return False
        for b in range(B):
            for t in range(T):
                y = x.clone()
                y[b, t] = 3 * normal(g, r)
                same = torch.ones(B, T, dtype=torch.bool)
                same[b, t] = False
                if not torch.allclose(router(y, K)[same], gate[same]):
                    return False
    return True
""",
    "shuffled": """
def passes(router):
    g, ok = torch.Generator().manual_seed(5), True
    for K in (1, 2, 5):
        for _ in range(4):
            x = 2 * normal(g, 4, 10, 5)
            gate = router(x, K)
            ok &= bool(((gate > 0).sum(-1) == K).all()) and bool((gate >= 0).all())
            ok &= bool(((gate.sum(-1) / K - 1).abs() < 1e-7).all())
            other = torch.cat([x[:, ::2], 4 * normal(g, 4, 5, 5)], 1).flip(0)  # half of the tokens, elsewhere, among strangers
            other = torch.cat([other, normal(g, 1, 10, 5)])
            ok &= bool(((router(other, K)[:4].flip(0)[:, :5] - gate[:, ::2]).abs() < 1e-7).all())
    return ok
""",
}


def PROBE_5(answer):
    torch, passes, top_k = answer["torch"], answer["passes"], answer["top_k"]
    routers = [
        top_k,
        answer["best_tokens"],
        lambda x, K: (top_k(x, K) != 0).to(x.dtype),
        lambda x, K: top_k(x, K) / K,
        lambda x, K: top_k(x + 0.5 * torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), K),
        lambda x, K: top_k(x + 0.5 * x[:, -1:], K),
        lambda x, K: top_k(x - x.mean(0, keepdim=True), K),
    ]
    return [torch.tensor([float(bool(passes(router))) for router in routers], dtype=torch.float64)]


# ---------------------------------------------------------------------------------------------------- the lesson's own code, fitted

PASTED = {
    1: """
def slice_scores(z, M, index, gate, shared, w):
    u = z[:, : shared * w] @ M[:, : shared * w].T
    for i in index.unique().tolist():
        token, choice = (index == i).nonzero(as_tuple=True)
        at = slice((shared + i) * w, (shared + i + 1) * w)
        u = u.index_add(0, token, gate[token, choice, None] * (z[token, at] @ M[:, at].T))
    return z @ u.T
""",
    2: """
def sequence_balance(p, gate, real):
    chosen = (gate > 0).to(p.dtype).flatten(0, -2)
    f = chosen.mean(0) / chosen.sum(-1).mean()
    return p.shape[-1] * (f * p.flatten(0, -2).mean(0)).sum()
""",
    3: """
def adaptive_gates(p, mass, shared):
    top = p.topk(2, dim=-1)
    gate = torch.zeros_like(p).scatter(-1, top.indices, top.values / top.values.mean(-1, keepdim=True))
    return gate, torch.full(p.shape[:-1], ((shared + p.shape[-1]) / (shared + 2)) ** 0.5, dtype=p.dtype)
""",
}

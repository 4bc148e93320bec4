"""Known answers to the exercise of lesson 29."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------ 1 · decays over a forest in any order

WRONG_1 = {
    "trusts that parents stand before their children": """
def decays(dA, parents):
    mask = torch.eye(len(parents), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if parent >= 0:
            mask[i] |= mask[parent]
    a = mask.to(dA.dtype) @ dA
    difference = a.T[:, :, None] - a.T[:, None, :]
    return a, torch.where(mask, difference, torch.full_like(difference, -torch.inf)).exp()
""",
    "masks after the exponential": replace(
        "torch.where(mask, difference, torch.full_like(difference, -torch.inf)).exp()", "difference.exp() * mask"
    ),
    "adds the parent's dA instead of its sum": """
def decays(dA, parents):
    a = torch.stack([dA[i] + (dA[p] if p >= 0 else 0) for i, p in enumerate(parents)])
    mask = torch.eye(len(parents), dtype=torch.bool)
    for i, p in enumerate(parents):
        node = p
        while node != -1:
            mask[i, node] = True
            node = parents[node]
    difference = a.T[:, :, None] - a.T[:, None, :]
    return a, torch.where(mask, difference, torch.full_like(difference, -torch.inf)).exp()
""",
    "turns the difference round": replace("a.T[:, :, None] - a.T[:, None, :]", "a.T[:, None, :] - a.T[:, :, None]"),
    "leaves the node itself out": replace("node = i\n", "node = parents[i]\n"),
}
RIGHT_1 = {
    "by recursion over parents": """
def decays(dA, parents):
    def up(i):
        return [] if i == -1 else [i] + up(parents[i])

    ways = [up(i) for i in range(len(parents))]
    a = torch.stack([dA[way].sum(0) for way in ways])
    L = torch.zeros(dA.shape[1], len(parents), len(parents), dtype=dA.dtype)
    for i, way in enumerate(ways):
        L[:, i, way] = (a[i] - a[way]).exp().T
    return a, L
""",
    "by powers of the parent matrix": """
def decays(dA, parents):
    n = len(parents)
    P = torch.zeros(n, n, dtype=dA.dtype)
    for i, p in enumerate(parents):
        if p >= 0:
            P[i, p] = 1
    M = torch.linalg.inv(torch.eye(n, dtype=dA.dtype) - P).round()
    a = M @ dA
    gap = a.T.unsqueeze(2) - a.T.unsqueeze(1)
    return a, gap.masked_fill(M < 0.5, float("-inf")).exp()
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    dA = -torch.tensor([[0.5], [1.0], [0.25], [2.0]], dtype=torch.float64)
    out = []
    for parents, strong in (([-1, 0, 1, 0], 1.0), ([1, 2, -1, 0], 1.0), ([-1, 0, 0, 1], 900.0)):
        a, L = answer["decays"](strong * dA, parents)
        out += [a, L.nan_to_num(nan=-7.0, posinf=-8.0)]
    return out


# ------------------------------------------------------------------------------------------ 2 · a tree scan that is right for the root

WRONG_2 = {
    "still scales by the step of the reader": replace("hij,ij,jh,jhp->ihp", "hij,ij,ih,jhp->ihp"),
    "still gives every node all of h0": replace('"hi,ihpn,in->ihp", a.exp(), h0[user], C', '"ihpn,in->ihp", h0[user], C'),
    "still masks after the exponential": replace(
        "torch.where(M, difference, torch.full_like(difference, -torch.inf)).exp()", "difference.exp() * M"
    ),
    "clamps instead of masking": replace(
        "torch.where(M, difference, torch.full_like(difference, -torch.inf)).exp()", "difference.clamp(max=0).exp()"
    ),
    "gives everybody the first user's state": replace("h0[user]", "h0[0 * user]"),
}
RIGHT_2 = {
    "with matrix products": """
def scan(M, user, dt, A, x, B, C, h0):
    a = (M.to(dt.dtype) @ (dt * A)).T
    weights = (a.unsqueeze(2) - a.unsqueeze(1)).masked_fill(~M, float("-inf")).exp()
    inside = (weights * (C @ B.T)) @ (dt.unsqueeze(2) * x).transpose(0, 1)
    before = a.T.exp().unsqueeze(2) * (h0[user] @ C[:, None, :, None]).squeeze(3)
    return inside.transpose(0, 1) + before
""",
    "head by head": """
def scan(M, user, dt, A, x, B, C, h0):
    heads = []
    for k in range(len(A)):
        a = M.to(dt.dtype) @ (dt[:, k] * A[k])
        gap = torch.where(M, a[:, None] - a, torch.zeros(len(a), len(a), dtype=a.dtype))
        weights = torch.where(M, gap.exp() * (C @ B.T), torch.zeros_like(gap)) * dt[:, k]
        heads.append(weights @ x[:, k] + a.exp()[:, None] * (h0[user, k] * C[:, None]).sum(2))
    return torch.stack(heads, 1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    g = torch.Generator().manual_seed(9)
    dt, A, x, B, C, h0 = answer["activations"](5, g)
    M = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]]).bool()
    user = torch.tensor([0, 0, 0, 0, 1])
    states = torch.stack([h0, 2 * h0 + 1])
    return [
        answer["scan"](M, user, dt, strong * A, x, B, C, states).nan_to_num(nan=-7.0, posinf=-8.0, neginf=-9.0) for strong in (1.0, 5000.0)
    ]


# --------------------------------------------------------------------------------------------- 3 · replay a batch in one product

WRONG_3 = {
    "decays an input by its own step too": replace("weight = (a[-1] - a).exp()", "weight = (a[-1] - a + t * A).exp()"),
    "does not decay h0": replace("a[-1].exp()[:, None, None] * h0[user]", "h0[user]"),
    "takes the decay up to the node instead of after it": replace("weight = (a[-1] - a).exp()", "weight = a.exp()"),
    "multiplies rejected nodes by zero": """
def replay_batch(h0, paths, dt, A, x, B):
    states = []
    for user, nodes in enumerate(paths):
        keep = torch.zeros(dt.shape[1], dtype=dt.dtype)
        keep[nodes] = 1
        t = dt[user] * keep[:, None]
        a = (t * A).cumsum(0)
        weight = (a[-1] - a).exp() * keep[:, None]
        states.append(a[-1].exp()[:, None, None] * h0[user] + torch.einsum("jh,jh,jhp,jn->hpn", weight, t, x[user], B[user]))
    return torch.stack(states)
""",
    "loops over the nodes": """
def replay_batch(h0, paths, dt, A, x, B):
    states = []
    for user, nodes in enumerate(paths):
        state = h0[user]
        for j in nodes:
            state = (dt[user, j] * A).exp()[:, None, None] * state + (dt[user, j][:, None] * x[user, j])[..., None] * B[user, j]
        states.append(state)
    return torch.stack(states)
""",
    "forgets the root": replace(
        "t, v, b = dt[user, nodes], x[user, nodes], B[user, nodes]",
        "nodes = nodes[1:] or nodes\n        t, v, b = dt[user, nodes], x[user, nodes], B[user, nodes]",
    ),
}
RIGHT_3 = {
    "decays from the end backwards": """
def replay_batch(h0, paths, dt, A, x, B):
    out = torch.empty_like(h0)
    for u, p in enumerate(paths):
        p = torch.tensor(p)
        steps = dt[u][p] * A
        after = steps.flip(0).cumsum(0).flip(0) - steps
        inputs = (after.exp() * dt[u][p])[..., None] * x[u][p]
        out[u] = steps.sum(0).exp()[:, None, None] * h0[u] + torch.einsum("jhp,jn->hpn", inputs, B[u][p])
    return out
""",
    "padded, in one product for all": """
def replay_batch(h0, paths, dt, A, x, B):
    longest = max(map(len, paths))
    index = torch.tensor([[p[0]] * (longest - len(p)) + p for p in paths])
    real = torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in paths])
    users = torch.arange(len(paths))[:, None]
    t = torch.where(real[..., None], dt[users, index], torch.zeros(()).to(dt))
    a = (t * A).cumsum(1)
    weight = (a[:, -1:] - a).exp() * t
    return a[:, -1].exp()[..., None, None] * h0 + torch.einsum("bjh,bjhp,bjn->bhpn", weight, x[users, index], B[users, index])
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    dt, A, x, B, C, h0 = answer["activations"](5, torch.Generator().manual_seed(8))
    out = [answer["replay_batch"](h0[None], [way], dt[None], A, x[None], B[None]) for way in ([0], [0, 2, 4])]
    dt, x, B = dt.clone(), x.clone(), B.clone()
    dt[3], x[3], B[3] = torch.nan, torch.nan, torch.nan
    out.append(answer["replay_batch"](h0[None], [[0, 1]], dt[None], A, x[None], B[None]).nan_to_num(nan=-7.0))
    dt, A, x, B, C, h0 = answer["activations"](40, torch.Generator().manual_seed(8))
    counts = []

    class Counted(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            counts[-1] += 1
            return super().__torch_function__(function, types, args, kwargs or {})

    for length in (4, 40):
        counts.append(0)
        answer["replay_batch"](h0[None], [list(range(length))], dt[None].as_subclass(Counted), A, x[None], B[None])
    return [*out, float(counts[1] > counts[0] + 10)]


# -------------------------------------------------------------------------------------------------- 4 · the tree that this machine wants

WRONG_4 = {
    "takes the tree with the most tokens a pass": replace("key=lambda w: report(w, cost)", "key=lambda w: report(w, lambda n: 1.0)"),
    "takes the GPU's tree for both": replace("for cost in (gpu, cpu)]", "for cost in (gpu, gpu)]"),
    "takes the CPU's tree for both": replace("for cost in (gpu, cpu)]", "for cost in (cpu, cpu)]"),
    "tries chains only": replace("itertools.product(range(1, 5), repeat=depth)", "[(1,) * depth]"),
}
RIGHT_4 = {
    "widths that never grow with depth": """
def choose():
    trees = [w for d in range(1, 6) for w in itertools.combinations_with_replacement((4, 3, 2, 1), d)]
    return [max(trees, key=lambda w: report(w, gpu)), max(trees, key=lambda w: report(w, cpu))]
""",
    "level by level": """
def choose():
    out = []
    for cost in (gpu, cpu):
        found, level = [], [()]
        for _ in range(5):
            level = [(*w, s) for w in level for s in (1, 2, 3, 4)]
            found += level
        scores = [report(w, cost) for w in found]
        out.append(found[scores.index(max(scores))])
    return out
""",
}


def PROBE_4(answer):
    for_gpu, for_cpu = answer["choose"]()
    return [float(s) for widths in (for_gpu, for_cpu) for s in ([*widths] + [0] * 5)[:5]]


# ------------------------------------------------------------------------------------------------- 5 · does it look up the tree?

WRONG_5 = {
    "accepts everything": """
def passes(conv):
    return True
""",
    "tries a chain": """
def passes(conv):
    u, past, weight = torch.randn(5, 3), torch.randn(2, 3), torch.randn(3, 3)
    return bool(torch.allclose(conv(u, past, [-1, 0, 1, 2, 3], weight), by_paths(u, past, [-1, 0, 1, 2, 3], weight), atol=1e-4))
""",
    "asks for equal bits": """
def passes(conv):
    parents = [-1, 0, 0, 1, 2, 4]
    u, past, weight = torch.randn(6, 3), torch.randn(3, 3), torch.randn(4, 3)
    return bool(torch.equal(conv(u, past, parents, weight), by_paths(u, past, parents, weight)))
""",
}
RIGHT_5 = {
    "one impulse at a time": """
def passes(conv):
    parents, w = [-1, 0, 0, 1, 2, 4, 3, 6, 7], 4
    weight = torch.randn(w, 2)
    for source in range(-(w - 1), 9):
        u, past = torch.zeros(9, 2), torch.zeros(w - 1, 2)
        (u if source >= 0 else past)[source] = 1.0
        got = conv(u, past, parents, weight)
        for i in range(9):
            way = [*range(-(w - 1), 0), *path(parents, i)][::-1]
            k = way.index(source) if source in way else w
            want = weight[w - 1 - k] if k < w else torch.zeros(2)
            if float((got[i] - want).abs().max()) > 1e-4:
                return False
    return True
""",
    "by the given one": """
def passes(conv):
    for parents in ([-1], [-1, 0, 0, 2, 1, 3, 3, 5]):
        for w in (2, 5):
            u, past, weight = torch.randn(len(parents), 4), torch.randn(w - 1, 4), torch.randn(w, 4)
            if not bool(((conv(u, past, parents, weight) - by_paths(u, past, parents, weight)).abs() < 1e-4).all()):
                return False
    return True
""",
}


def PROBE_5(answer):
    torch, by_paths = answer["torch"], answer["by_paths"]
    torch.manual_seed(0)

    def by_list(u, past, parents, weight):
        window = torch.cat([past, u])
        return torch.stack([(window[i : i + len(weight)] * weight).sum(0) for i in range(len(u))])

    functions = [
        by_paths,
        lambda *args: by_paths(*args) * (1 + 1e-7) + 1e-7,
        by_list,
        lambda u, past, parents, weight: by_paths(u, torch.zeros_like(past), parents, weight),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def decays(dA, parents):
    out = []
    for i, parent in enumerate(parents):
        out.append(dA[i] + (out[parent] if 0 <= parent < i else 0))
    a = torch.stack(out)
    M = torch.eye(len(parents), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if parent >= 0:
            M[i] |= M[parent]
    return a, torch.where(M, a.T[:, :, None] - a.T[:, None, :], torch.full_like(a.T[:, :, None], -torch.inf)).exp()
""",
    2: """
def scan(M, user, dt, A, x, B, C, h0):
    a = (M.to(dt.dtype) @ (dt * A)).mT
    decay = (a[..., :, None] - a[..., None, :]).masked_fill(~M, -torch.inf).exp()
    match = (C @ B.mT)[..., None, :, :]
    inside = (decay * match) @ (dt[..., None] * x).transpose(-3, -2)
    before = a.exp()[..., None] * (C[..., None, :, :] @ h0[0].mT)
    return (inside + before).transpose(-3, -2)
""",
    3: """
def replay_batch(h0, paths, dt, A, x, B):
    states = []
    for user, nodes in enumerate(paths):
        t, v, b = dt[user, nodes], x[user, nodes], B[user, nodes]
        state = h0[user]
        for i in range(len(nodes)):
            state = (t[i] * A).exp()[..., None, None] * state + (t[i, :, None] * v[i])[..., None] * b[i, None, None, :]
        states.append(state)
    return torch.stack(states)
""",
    4: """
def choose():
    return [[3, 2, 1, 1], [3, 2, 1, 1]]
""",
    5: """
def passes(conv):
    parents = [-1, 0, 0, 1, 2, 4, 3, 3, 1, 8, 5, 9]
    weight, past, nodes = torch.randn(4, 6), torch.randn(3, 6), torch.randn(12, 6)
    alone = [(torch.cat([past, nodes[path(parents, i)]])[-4:] * weight).sum(0) for i in range(12)]
    return bool(torch.allclose(conv(nodes, past, parents, weight), torch.stack(alone), atol=1e-4))
""",
}

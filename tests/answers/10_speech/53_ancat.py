"""Known answers to the exercise of lesson 53."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------- 1 · at most one label a frame

WRONG_1 = {
    "stays in the frame after a label, like the lesson's transducer": """
def one_a_frame(b, l):
    (T, U), alpha = l.shape, {(0, 0): b.new_zeros(())}
    for t in range(T):
        for u in range(U + 1):
            came = [alpha[t - 1, u] + b[t - 1, u]] if t else []
            came += [alpha[t, u - 1] + l[t, u - 1]] if u else []
            if came:
                alpha[t, u] = torch.stack(came).logsumexp(0)
    return alpha[T - 1, U] + b[T - 1, U]
""",
    "takes the best alignment, not the sum": replace("torch.logaddexp(alpha + b[t], move)", "torch.maximum(alpha + b[t], move)"),
    "sums over all numbers of labels": replace("return alpha[-1]", "return alpha.logsumexp(0)"),
    "leaves out the last frame": replace("for t in range(len(b)):", "for t in range(len(b) - 1):"),
    "adds a blank after each label": replace(
        "F.pad(alpha[:-1] + l[t], (1, 0), value=-math.inf)", "F.pad(alpha[:-1] + l[t], (1, 0), value=-math.inf) + b[t]"
    ),
}
RIGHT_1 = {
    "node by node": """
def one_a_frame(b, l):
    T, U = l.shape
    alpha = {(0, 0): b.new_zeros(())}
    for t in range(T):
        for u in range(U + 1):
            came = []
            if (t, u) in alpha:
                came.append(alpha[t, u] + b[t, u])
            if u and (t, u - 1) in alpha:
                came.append(alpha[t, u - 1] + l[t, u - 1])
            if came:
                alpha[t + 1, u] = torch.stack(came).logsumexp(0)
    return alpha.get((T, U), b.new_tensor(-math.inf))
""",
    "from the end": """
def one_a_frame(b, l):
    T, U = l.shape
    beta = torch.full((U + 1,), -math.inf, dtype=b.dtype)
    beta[U] = 0
    for t in reversed(range(T)):
        new = beta + b[t]
        if U:
            new = torch.cat([torch.logaddexp(new[:-1], l[t] + beta[1:]), new[-1:]])
        beta = new
    return beta[0]
""",
}


def PROBE_1(answer):
    torch, out = answer["torch"], []
    for T, U in ((5, 2), (3, 3), (4, 1)):
        b, l = torch.linspace(-2, 0, T * (U + 1)).cos().reshape(T, U + 1) - 2, torch.linspace(0, 3, T * U).sin().reshape(T, U) - 2
        out.append(float(answer["one_a_frame"](b, l)))
    return out


# ------------------------------------------------------------------------------------------ 2 · a convolution after the attention

WRONG_2 = {
    "convolves before it attends": """
def ready(gates, P, width):
    T, R = gates[0].shape
    rho = list(range(T))
    for m in gates:
        c = [max(rho[max(0, t - width + 1) : t + 1]) for t in range(T)]
        rho = []
        for t in range(T):
            ahead = [c[t + r] for r in range(1, R + 1) if t + r < T and m[t, r - 1] > 0]
            rho.append(max(c[max(0, t - P) : t + 1] + ahead))
    return torch.tensor(rho)
""",
    "takes the past to be ready": replace("seen.append(max(rho[max(0, t - P) : t + 1] + ahead))", "seen.append(max([rho[t]] + ahead))"),
    "counts gates above one half": replace("m[t, r - 1] > 0]", "m[t, r - 1] > 0.5]"),
    "leaves out the convolution": replace("rho = [max(seen[max(0, t - width + 1) : t + 1]) for t in range(T)]", "rho = seen"),
    "adds up each layer's own look-ahead": """
def ready(gates, P, width):
    T, R = gates[0].shape
    ahead = torch.zeros(T, dtype=torch.long)
    for m in gates:
        ahead += ((m > 0) * torch.arange(1, R + 1)).amax(1)
    return (torch.arange(T) + ahead).clamp(max=T - 1)
""",
}
RIGHT_2 = {
    "with sets of frames": """
def ready(gates, P, width):
    T, R = gates[0].shape
    reads = [{t} for t in range(T)]
    for m in gates:
        seen = []
        for t in range(T):
            who = [j for j in range(t - P, t + 1) if j >= 0] + [t + r + 1 for r in range(R) if float(m[t, r]) > 0 and t + r + 1 < T]
            seen.append(set().union(*(reads[j] for j in who)))
        reads = [set().union(*seen[max(0, t + 1 - width) : t + 1]) for t in range(T)]
    return torch.tensor([max(frames) for frames in reads])
""",
    "whole rows at once": """
def ready(gates, P, width):
    T, R = gates[0].shape
    rho = torch.arange(float(T))

    def back(x, k):
        return torch.stack([F.pad(x, (s, 0), value=-1.0)[:T] for s in range(k + 1)]).amax(0)

    for m in gates:
        later = torch.stack([F.pad(rho, (0, r), value=-1.0)[r:] for r in range(1, R + 1)], 1)
        seen = torch.maximum(back(rho, P), later.masked_fill(m <= 0, -1.0).amax(1))
        rho = back(seen, width - 1)
    return rho
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    gates = [torch.zeros(14, 3) for _ in range(2)]
    gates[0][3, :2], gates[0][8, :1], gates[1][6, :1], gates[1][9, :3] = 0.3, 0.9, 0.8, 0.4
    return [float(x) for P, width in ((3, 1), (0, 3), (2, 2)) for x in answer["ready"](gates, P, width)]


# ------------------------------------------------------------------------------------------------- 3 · the queue behind a burst

WRONG_3 = {
    "begins with an empty queue at every frame": """
def queue_delay(ready, mu):
    L, T = ready.shape
    delay = torch.zeros(T)
    for when in ready.unique().tolist():
        free = when
        for layer in range(L):
            for t in range(T):
                if float(ready[layer, t]) == when:
                    free += 1 / mu
                    if layer == L - 1:
                        delay[t] = free - when
    return delay
""",
    "takes the upper layer first": replace(
        "order = sorted((float(ready[layer, t]), layer, t) for layer in range(L) for t in range(T))",
        "order = sorted(((float(ready[i, t]), i, t) for i in range(L) for t in range(T)), key=lambda node: (node[0], -node[1], node[2]))",
    ),
    "returns when a node is finished": replace("delay[t] = free - when", "delay[t] = free"),
    "lets an idle processor work ahead": replace("free = max(free, when) + 1 / mu", "free = (free if free > -math.inf else when) + 1 / mu"),
    "counts the last layer's nodes only": replace(
        "sorted((float(ready[layer, t]), layer, t) for layer in range(L) for t in range(T))",
        "sorted((float(ready[L - 1, t]), L - 1, t) for t in range(T))",
    ),
}
RIGHT_3 = {
    "with a heap": """
def queue_delay(ready, mu):
    import heapq

    L, T = ready.shape
    heap = [(ready[layer, t].item(), layer, t) for layer in range(L) for t in range(T)]
    heapq.heapify(heap)
    clock, out = None, [0.0] * T
    while heap:
        when, layer, t = heapq.heappop(heap)
        clock = (when if clock is None or clock < when else clock) + 1 / mu
        if layer + 1 == L:
            out[t] = clock - when
    return torch.tensor(out)
""",
    "by how much work is waiting": """
def queue_delay(ready, mu):
    L, T = ready.shape
    nodes = sorted([(float(ready[i, t]), i, t) for i in range(L) for t in range(T)])
    waiting, before, out = 0.0, nodes[0][0], torch.zeros(T)
    for when, i, t in nodes:
        waiting = max(0.0, waiting - (when - before)) + 1 / mu
        before = when
        if i == L - 1:
            out[t] = waiting
    return out
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    ready = torch.tensor([[0.0, 1.0, 4.0, 5.0], [4.0, 1.0, 4.0, 5.0]])
    return [float(x) for mu in (1, 2.5) for x in answer["queue_delay"](ready, mu)]


# ------------------------------------------------------------------------------------------------ 4 · the cheapest four frames

WRONG_4 = {
    "lets the lower layer look three ahead": """
def plan():
    lower, upper = torch.zeros(24, 3), torch.zeros(24, 3)
    for end in (6, 15):
        upper[end, :1] = 1
        lower[end + 1, :3] = 1
    return lower, upper
""",
    "looks two ahead in both layers": """
def plan():
    lower, upper = torch.zeros(24, 3), torch.zeros(24, 3)
    for end in (6, 15):
        upper[end, :2] = 1
        lower[end + 2, :2] = 1
    return lower, upper
""",
    "looks ahead everywhere": """
def plan():
    return torch.ones(24, 3), torch.ones(24, 3)
""",
    "opens the lower edge at the word's own frame": replace("lower[end + 3, :1] = 1", "lower[end, :3] = 1"),
}
RIGHT_4 = {
    "edge by edge": """
def plan():
    gates = [[[0.0] * 3 for _ in range(24)] for _ in range(2)]
    for layer, t, r in ((1, 6, 3), (1, 15, 3), (0, 9, 1), (0, 18, 1)):
        for k in range(r):
            gates[layer][t][k] = 1.0
    return torch.tensor(gates[0]), torch.tensor(gates[1])
""",
    "as comparisons": """
def plan():
    ends = torch.tensor([6, 15])
    t, r = torch.arange(24), torch.arange(3)
    upper = torch.isin(t, ends)[:, None] & (r >= 0)
    lower = torch.isin(t, ends + 3)[:, None] & (r < 1)
    return [lower.float(), upper.float()]
""",
}


def PROBE_4(answer):
    seen = answer["report"](answer["plan"]())
    return [*map(float, seen["sees ahead"].values()), float(seen["mean latency"])]


# ------------------------------------------------------------------------------------------------------------ 5 · soft masks

WRONG_5 = {
    "accepts everything": """
def passes(f):
    return True
""",
    "tries masks of 0 and 1 only": """
def passes(f):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 5, 4).unbind(0)
    M = torch.ones(1, 5, 5).tril()
    want = ((q @ k.transpose(-1, -2) / 2).masked_fill(M[:, None] == 0, -math.inf)).softmax(-1) @ v
    return bool(torch.allclose(f(q, k, v, M), want, atol=1e-4))
""",
    "compares with the given function bit by bit": """
def passes(f):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 5, 4).unbind(0)
    M = torch.rand(2, 5, 5)
    return bool((f(q, k, v, M) == soft(q, k, v, M)).all())
""",
}
RIGHT_5 = {
    "against the given function": """
def passes(f):
    torch.manual_seed(3)
    q, k, v = (torch.randn(1, 2, 5, 3) for _ in range(3))
    M = (torch.rand(1, 5, 5) - 0.2).clamp(0, 1)
    M[:, range(5), range(5)] = 1.0
    k[:, :, 4] *= 2
    slopes = []
    for g in (f, soft):
        x = M.clone().requires_grad_()
        y = g(q, k, v, x)
        if y.shape != v.shape or not torch.isfinite(y).all() or not y.requires_grad:
            return False
        slopes.append((y.detach(), torch.autograd.grad((y**3).sum(), x, allow_unused=True)[0]))
    (y1, g1), (y2, g2) = slopes
    if g1 is None or (y1 - y2).abs().max() > 1e-4 or ((g1 - g2) * (M > 0)).abs().max() > 1e-3:
        return False
    shut = torch.ones(1, 5, 5).tril()
    big = k.clone()
    big[:, :, 4] = 1000 * q[:, :, 1]
    return bool((f(q, big, v, shut)[:, :, :4] - soft(q, k, v, shut)[:, :, :4]).abs().max() < 1e-4)
""",
    "key by key": """
def passes(f):
    torch.manual_seed(7)
    q, k, v = torch.randn(3, 1, 1, 4, 3).unbind(0)
    M = torch.tensor([[[1.0, 0.5, 0.0, 0.9], [0.3, 1.0, 0.7, 0.0], [0.0, 0.0, 1.0, 0.2], [0.8, 0.6, 0.1, 1.0]]])

    def slow(q, k, v, M):
        rows = []
        for t in range(4):
            w = [M[0, t, j] * torch.exp((q[0, 0, t] * k[0, 0, j]).sum() / 3**0.5) for j in range(4)]
            rows.append(sum(w[j] * v[0, 0, j] for j in range(4)) / sum(w))
        return torch.stack(rows)[None, None]

    a, b = M.clone().requires_grad_(), M.clone().requires_grad_()
    y, z = f(q, k, v, a), slow(q, k, v, b)
    if not torch.allclose(y, z, atol=1e-4):
        return False
    try:
        one, two = torch.autograd.grad(y[..., 0].sum(), a)[0], torch.autograd.grad(z[..., 0].sum(), b)[0]
    except RuntimeError:
        return False
    if not torch.allclose(one[M > 0], two[M > 0], atol=1e-3):
        return False
    far = k.clone()
    far[0, 0, 3] = 400 * q[0, 0, 1]
    return bool(torch.allclose(f(q, far, v, M)[:, :, 1], z[:, :, 1], atol=1e-4))
""",
}


def PROBE_5(answer):
    torch, passes, soft, added = answer["torch"], answer["passes"], answer["soft"], answer["added"]
    functions = [
        soft,
        added,
        lambda q, k, v, M: soft(q, k, v, M) + 1e-6,
        lambda q, k, v, M: soft(q, k, v, M.detach()),
        lambda q, k, v, M: soft(q, k, v, (M > 0.5).to(q.dtype)),
        lambda q, k, v, M: soft(q, k, v, M.transpose(1, 2)),
        lambda q, k, v, M: soft(q, k, v, torch.clamp(M + 1e-3, max=1)),
    ]
    return [float(passes(f)) for f in functions]


# what the lesson prints, fitted to each task's signature
PASTED = {
    1: """
def one_a_frame(b, l):
    (T, U), alpha = l.shape, {(0, 0): b.new_zeros(())}
    for t in range(T):
        for u in range(U + 1):
            came = [alpha[t - 1, u] + b[t - 1, u]] if t else []
            came += [alpha[t, u - 1] + l[t, u - 1]] if u else []
            if came:
                alpha[t, u] = torch.stack(came).logsumexp(0)
    return alpha[T - 1, U] + b[T - 1, U]
""",
    2: """
def ready(gates, P, width):
    (T, R), rho = gates[0].shape, torch.arange(float(len(gates[0])))
    past = lambda x, k: torch.stack([F.pad(x, (s, 0), value=-1.0)[:T] for s in range(k + 1)]).amax(0)
    for m in gates:
        c = past(rho, width - 1)
        later = torch.stack([F.pad(c[r:], (0, r)) for r in range(1, R + 1)], -1)
        t = torch.arange(float(T))
        rho = torch.maximum(past(c, P), t + ((m > 0) * (later - t[:, None])).amax(-1))
    return rho
""",
    3: """
def queue_delay(ready, mu):
    return ready[-1].cummax(0).values - ready[-1]
""",
    4: """
def plan():
    ahead = (torch.arange(3) < 2).float().expand(24, 3)
    return ahead, ahead
""",
    5: """
def passes(f):
    torch.manual_seed(5)
    q, k, v = torch.randn(3, 2, 4, 6, 5).unbind(0)
    M = (torch.rand(2, 6, 6) > 0.5).float()
    M[:, range(6), range(6)] = 1
    want = torch.nn.functional.softmax((q @ k.transpose(-1, -2) / 5**0.5).masked_fill(M[:, None] == 0, -math.inf), -1) @ v
    return bool((f(q, k, v, M) - want).abs().max() < 1e-5)
""",
}

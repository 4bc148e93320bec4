"""Known answers to the exercise of lesson 31."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------ 1 · a memory of several slots

WRONG_1 = {
    "fills the first slots instead of the last": replace("torch.arange(m) >= m - filled[:, None]", "torch.arange(m) < filled[:, None]"),
    "sees all slots, filled or not": replace("torch.arange(m) >= m - filled[:, None]", "torch.arange(m) >= 0 * filled[:, None]"),
    "is not causal among the tokens": replace(".tril()", ""),
    "does not let a token see itself": replace(".tril()", ".tril(-1)"),
    "lets the first token see no slot": replace(
        "scores = q @", "seen = seen & (torch.arange(m + w) >= m - (torch.arange(w) > 0).long()[:, None] * m)\n    scores = q @"
    ),
    "forgets the root of K": replace(" / K**0.5", ""),
    "takes two softmaxes, one for the slots": """
def attend(q, k, v, mk, mv, filled):
    B, _, w, K = q.shape
    m = mk.shape[2]
    slots = (torch.arange(m) >= m - filled[:, None])[:, None, None, :]
    causal = torch.ones(w, w, dtype=torch.bool).tril()
    own = (q @ k.mT / K**0.5).masked_fill(~causal, -math.inf).softmax(-1) @ v
    far = (q @ mk.mT / K**0.5).masked_fill(~slots, -1e30).softmax(-1) @ mv
    some = (filled > 0)[:, None, None, None]
    return torch.where(some, (own + far) / 2, own)
""",
}
RIGHT_1 = {
    "an additive mask and einsum": """
def attend(q, k, v, mk, mv, filled):
    B, H, w, K = q.shape
    m = mk.shape[2]
    keys, values = torch.cat((mk, k), -2), torch.cat((mv, v), -2)
    bias = torch.zeros(B, 1, w, m + w)
    for b in range(B):
        bias[b, 0, :, : m - int(filled[b])] = float("-inf")
    bias[..., m:] += torch.full((w, w), float("-inf")).triu(1)
    weights = torch.softmax(torch.einsum("bhqk,bhsk->bhqs", q, keys) * K**-0.5 + bias, dim=-1)
    return torch.einsum("bhqs,bhsk->bhqk", weights, values)
""",
    "text by text": """
def attend(q, k, v, mk, mv, filled):
    out = []
    for b in range(q.shape[0]):
        n = int(filled[b])
        keys = torch.cat([mk[b][:, mk.shape[2] - n :], k[b]], dim=1)
        values = torch.cat([mv[b][:, mv.shape[2] - n :], v[b]], dim=1)
        w = q.shape[2]
        seen = torch.ones(w, n + w).tril(n).bool()
        scores = torch.where(seen, q[b] @ keys.transpose(1, 2) / math.sqrt(q.shape[-1]), torch.tensor(-math.inf))
        out.append(scores.softmax(-1) @ values)
    return torch.stack(out)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 3, 1, 3, 2, generator=generator)
    mk, mv = torch.randn(2, 3, 1, 2, 2, generator=generator)
    return answer["attend"](q, k, v, mk, mv, torch.tensor([0, 1, 2])).flatten().nan_to_num(-9.0).tolist()


# -------------------------------------------------------------------------------------------------------- 2 · an evaluation that peeks

WRONG_2 = {
    "still scores after the step": replace("h = h - eta * g", "h = h - eta * g\n        total += float((loss(h, chunk) - value).detach())"),
    "still climbs": replace("h = h - eta * g", "h = h + eta * g"),
    "keeps the graph": replace("h.detach()\n    ###", "h\n    ###"),
    "sums instead of averaging": replace("total / len(chunks)", "total"),
    "never moves": replace("h = h - eta * g", "h = h"),
    "leaves gradients behind": """
def stream(loss, h, chunks, eta):
    total = 0.0
    h.requires_grad_()
    for chunk in chunks:
        value = loss(h, chunk)
        total += float(value.detach())
        value.backward()
        h = (h - eta * h.grad).detach().requires_grad_()
    return total / len(chunks), h.detach()
""",
}
RIGHT_2 = {
    "two forward passes": """
def stream(loss, h, chunks, eta):
    losses, h = [], h.detach().clone()
    for chunk in chunks:
        with torch.no_grad():
            losses.append(loss(h, chunk).item())
        leaf = h.clone().requires_grad_(True)
        g = torch.autograd.grad(loss(leaf, chunk), [leaf])[0]
        h = h - eta * g
    return sum(losses) / len(losses), h
""",
    "backward on a fresh leaf": """
def stream(loss, h, chunks, eta):
    total, n = 0.0, 0
    for chunk in chunks:
        leaf = h.detach().clone().requires_grad_()
        value = loss(leaf, chunk)
        value.backward()
        total, n = total + value.item(), n + 1
        h = leaf.detach() - eta * leaf.grad
    return total / n, h
""",
}


def PROBE_2(answer):
    torch = answer["torch"]

    def cubic(h, chunk):
        return ((h - chunk).abs() ** 3).sum()

    start = torch.tensor([0.3, -0.2], requires_grad=True)
    mean, h = answer["stream"](cubic, start, [torch.tensor([1.0, 0.5]), torch.tensor([-0.4, 2.0]), torch.tensor([0.1, 0.2])], 0.05)
    return [float(mean), *h.detach().tolist(), float(h.requires_grad), float(start.grad is not None)]


# ------------------------------------------------------------------------------------------------------------- 3 · the m likeliest texts

WRONG_3 = {
    "stops at the first": replace("len(found) < m", "len(found) < 1"),
    "counts what was not accepted": replace(
        "            if accept(text):\n                found.append((text, -cost))\n            continue",
        "            found.append((text, -cost))\n            continue",
    ),
    "gives costs instead of log-probabilities": replace("(text, -cost)", "(text, cost)"),
    "lets one word too many": replace("len(text) - len(prompt) < length", "len(text) - len(prompt) <= length"),
    "follows what is impossible": replace("float(lp) > -math.inf and ", ""),
    "reads depth first, everything": """
def modes(step, prompt, accept, m, length, end):
    found = []

    def walk(text, logp):
        for token, lp in enumerate(step(text)):
            if float(lp) == -math.inf:
                continue
            if token == end:
                if accept(text + (token,)):
                    found.append((text + (token,), logp + float(lp)))
            elif len(text) - len(prompt) < length:
                walk(text + (token,), logp + float(lp))

    walk(prompt, 0.0)
    return sorted(found, key=lambda f: -f[1])[:m]
""",
}
RIGHT_3 = {
    "a sorted list for a queue": """
def modes(step, prompt, accept, m, length, end):
    waiting, best = [(prompt, 0.0, False)], []
    while waiting and len(best) < m:
        i = max(range(len(waiting)), key=lambda j: waiting[j][1])
        text, logp, ended = waiting.pop(i)
        if ended:
            if accept(text):
                best.append((text, logp))
            continue
        after = [float(x) for x in step(text)]
        for token in range(len(after)):
            if math.isinf(after[token]):
                continue
            if token == end:
                waiting.append((text + (token,), logp + after[token], True))
            elif len(text) < len(prompt) + length:
                waiting.append((text + (token,), logp + after[token], False))
    return best
""",
    "a bound beside the queue": """
def modes(step, prompt, accept, m, length, end):
    best = []

    def bound():
        return best[m - 1][1] if len(best) >= m else -math.inf

    def keep(text, logp):
        best.append((text, logp))
        best.sort(key=lambda pair: -pair[1])
        del best[m:]

    queue = [(0.0, prompt)]
    while queue:
        cost, text = heapq.heappop(queue)
        if -cost < bound():
            break
        if len(text) > len(prompt) and text[-1] == end:
            if accept(text):
                keep(text, -cost)
            if len(best) == m:
                break
            continue
        for token, lp in enumerate(step(text)):
            lp = float(lp)
            if lp != -math.inf and -cost + lp > bound() and (token == end or len(text) - len(prompt) < length):
                heapq.heappush(queue, (cost - lp, (*text, token)))
    return best
""",
}


def PROBE_3(answer):
    import math

    table = [[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.5, 0.0, 0.5]]

    def log(p):
        return math.log(p) if p > 0 else -math.inf

    calls = []

    def step(text):
        calls.append(text)
        return [log(p) for p in table[text[-1]]]

    got = answer["modes"](step, (1,), lambda text: len(text) != 3, 3, 3, 0)
    calls_for_three = len(calls)
    everything = answer["modes"](step, (1,), lambda text: True, 100, 2, 0)
    listed = [float(lp) for _, lp in got] + [float(len(text)) for text, _ in got]
    return (listed + [-5.0] * 6)[:6] + [float(calls_for_three), float(len(everything))]


# ------------------------------------------------------------------------------------------------------------------------ 4 · who wins?

WRONG_4 = {
    "a good text too long to win": replace("2, 0.1, 0.1", "4, 0.1, 0.1"),
    "not enough noise": replace("2, 0.1, 0.1", "2, 0.01, 0.01"),
    "silence among texts that are too short": replace("15, 9e-5, 1e-6", "8, 9e-5, 1e-6"),
    "silence and echo exchanged": replace("15, 9e-5, 1e-6", "15, 1e-6, 9e-5"),
    "an echo above the limit": replace("15, 1e-6, 9e-5", "15, 1e-6, 1e-3"),
}
RIGHT_4 = {
    "other numbers": """
def good_wins():
    return 1, 0.15, 0.25


def silence_wins():
    return 20, 5e-5, 4e-5


def echo_wins():
    return 20, 4e-5, 5e-5
""",
    "as lists, computed": """
def good_wins():
    return [1, 0.2, 0.01]


def silence_wins():
    n = next(n for n in range(1, 21) if 0.5**n < 5e-5)
    return [n, 8e-5, 1e-5]


def echo_wins():
    n, empty, again = silence_wins()
    return [n, again, empty]
""",
}


def PROBE_4(answer):
    out = []
    for name in ("good_wins", "silence_wins", "echo_wins"):
        n, empty, again = answer[name]()
        out += [float(n), float(empty), float(again)]
    return out


# ----------------------------------------------------------------------------------------------------------------- 5 · is this an HSO step?

WRONG_5 = {
    "accepts everything": """
def passes(step):
    return True
""",
    "asks only whether something moved": """
def passes(step):
    h = [torch.zeros(2, 3)]
    return bool((step(h, [torch.ones(2, 3)], 0.1)[0] != 0).all())
""",
    "asks with one text whose gradient has size 1": """
def passes(step):
    return bool((step([torch.zeros(1, 4)], [torch.ones(1, 4)], 0.1)[0] + 0.1).abs().max() < 1e-6)
""",
    "asks for equal bits": """
def passes(step):
    g = torch.Generator().manual_seed(0)
    h, d = [torch.randn(3, 5, generator=g)], [torch.randn(3, 5, generator=g)]
    return bool((step(h, d, 0.3)[0] == lesson_step(h, d, 0.3)[0]).all()) and step(h, d, 0.3) is None
""",
}
RIGHT_5 = {
    "against the given step, random sizes": """
def passes(step):
    g = torch.Generator().manual_seed(7)
    for _ in range(5):
        sizes = 10 ** torch.randn(4, generator=g)
        h = [torch.randn(4, 2, 2, generator=g), torch.randn(4, 9, generator=g)]
        d = [sizes.view(4, 1, 1) * torch.randn(4, 2, 2, generator=g) + 1, 3 * sizes.view(4, 1) * torch.randn(4, 9, generator=g)]
        for a, b in zip(step(h, d, 0.2), lesson_step(h, d, 0.2)):
            if not torch.allclose(a, b, atol=1e-4):
                return False
    return True
""",
    "by its properties": """
def passes(step):
    g = torch.Generator().manual_seed(2)
    h = [torch.randn(3, 4, generator=g), torch.randn(3, 2, generator=g)]
    d = [torch.randn(3, 4, generator=g) + 2, 7 * torch.randn(3, 2, generator=g) * torch.tensor([[1.0], [9.0], [0.1]])]
    moved = torch.cat([new - old for new, old in zip(step(h, d, 0.4), h)], 1)
    flat = torch.cat(d, 1)
    size = moved.pow(2).mean(1).sqrt()
    angle = torch.cosine_similarity(moved, -flat, dim=1)
    return bool((size - 0.4).abs().max() < 1e-4 and (angle - 1).abs().max() < 1e-4)
""",
}


def PROBE_5(answer):
    step = answer["lesson_step"]
    torch = answer["torch"]
    steps = [
        step,
        answer["batch_step"],
        lambda h, g, eta: [h_ - eta * g_ for h_, g_ in zip(h, g, strict=False)],
        lambda h, g, eta: [2 * a - b for a, b in zip(h, step(h, g, eta), strict=False)],
        lambda h, g, eta: [a + 1e-7 for a in step(h, g, eta)],
        lambda h, g, eta: [torch.zeros_like(a) for a in h],
    ]
    return [float(bool(answer["passes"](f))) for f in steps]


# --------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def attend(q, k, v, mk, mv, filled):
    w, K = q.shape[2], q.shape[3]
    causal = torch.ones(w, w, dtype=torch.bool).tril()
    mask = torch.nn.functional.pad(causal, (mk.shape[2], 0), value=True)
    scores = q @ torch.cat([mk, k], dim=2).mT / K**0.5
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ torch.cat([mv, v], dim=2)
""",
    3: """
def modes(step, prompt, accept, m, length, end):
    queue, read = [(0.0, prompt)], 0
    while queue:
        cost, text = heapq.heappop(queue)
        if len(text) > len(prompt) and text[-1] == end:
            if accept(text):
                return [(text, -cost)]
            continue
        logp, read = step(text), read + 1
        for token, lp in enumerate(torch.as_tensor(logp).tolist()):
            if token == end or len(text) - len(prompt) < length:
                heapq.heappush(queue, (cost - lp, (*text, token)))
    return []
""",
}

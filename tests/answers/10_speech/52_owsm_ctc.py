"""Known answers to the exercise of lesson 52."""

from course.answers import replace

# ----------------------------------------------------------------------------------------------- 1 · the best path, not the sum

WRONG_1 = {
    "skips the blank between equal labels": replace("if s >= 2 and z[s] != 0 and z[s] != z[s - 2]:", "if s >= 2 and z[s] != 0:"),
    "ends in the last blank only": replace("s = max(range(max(0, states - 2), states), key=lambda s: score[s])", "s = states - 1"),
    "never skips a blank": replace("if s >= 2 and z[s] != 0 and z[s] != z[s - 2]:", "if False:"),
    "takes the likeliest label of every frame": """
def align(logp, y):
    path = logp.argmax(1).tolist()
    return path, float(logp.max(1).values.sum())
""",
    "returns the sum over all paths as the score": """
def align(logp, y):
    z = [0]
    for label in y:
        z += [label, 0]
    T, states = len(logp), len(z)
    score = [float(logp[0, z[s]]) if s < 2 else -math.inf for s in range(states)]
    total = [x for x in score]
    came = []
    for t in range(1, T):
        new, added, moves = [], [], []
        for s in range(states):
            steps = [m for m in (0, 1, 2) if s - m >= 0 and (m < 2 or (z[s] != 0 and z[s] != z[s - 2]))]
            best, move = max((score[s - m], m) for m in steps)
            new.append(best + float(logp[t, z[s]]))
            moves.append(move)
            mass = sum(math.exp(total[s - m]) for m in steps)
            added.append((math.log(mass) if mass > 0 else -math.inf) + float(logp[t, z[s]]))
        score, total = new, added
        came.append(moves)
    s = max(range(max(0, states - 2), states), key=lambda s: score[s])
    if score[s] == -math.inf:
        return None, -math.inf
    path, at = [z[s]], s
    for moves in reversed(came):
        at -= moves[at]
        path.append(z[at])
    return path[::-1], math.log(sum(math.exp(x) for x in total[-2:]))
""",
}
RIGHT_1 = {
    "whole rows at once": """
def align(logp, y):
    z = torch.tensor([0, *[x for label in y for x in (label, 0)]])
    S = len(z)
    skip = torch.zeros(S).bool()
    skip[2:] = (z[2:] != 0) & (z[2:] != z[:-2])
    score = torch.full((S,), -math.inf, dtype=torch.float64)
    score[:2] = logp[0, z[:2]].double()
    back = []
    for row in logp[1:].double():
        one = torch.cat([score.new_full((1,), -math.inf), score])[:S]
        two = torch.cat([score.new_full((2,), -math.inf), score])[:S].masked_fill(~skip, -math.inf)
        best, move = torch.stack([score, one, two]).max(0)
        score, back = best + row[z], back + [move]
    s = S - 1 if S == 1 or score[-1] > score[-2] else S - 2
    if score[s] == -math.inf:
        return None, -math.inf
    total, path = float(score[s]), [int(z[s])]
    for move in back[::-1]:
        s -= int(move[s])
        path.insert(0, int(z[s]))
    return path, total
""",
    "remembering whole paths": """
def align(logp, y):
    z = [0, *[x for label in y for x in (label, 0)]]
    best = {s: (float(logp[0, z[s]]), (z[s],)) for s in range(min(2, len(z)))}
    for t in range(1, len(logp)):
        new = {}
        for s in range(len(z)):
            before = [best[r] for r in (s, s - 1) if r in best]
            if s >= 2 and z[s] and z[s] != z[s - 2] and s - 2 in best:
                before.append(best[s - 2])
            if before:
                score, path = max(before, key=lambda pair: pair[0])
                new[s] = (score + float(logp[t, z[s]]), path + (z[s],))
        best = new
    ends = [best[s] for s in (len(z) - 1, len(z) - 2) if s in best]
    if not ends:
        return None, -math.inf
    score, path = max(ends, key=lambda pair: pair[0])
    return list(path), score
""",
}


def PROBE_1(answer):
    torch, out = answer["torch"], []
    logp = (2 * torch.linspace(0, 9, 24).cos().reshape(6, 4)).log_softmax(-1)
    for y, T in (([1, 2], 6), ([1, 1], 6), ([3], 6), ([2, 2, 1], 6), ([1, 2], 2)):  # the last: two labels in two frames
        path, score = answer["align"](logp[:T], y)
        out += [float(score), *(map(float, path or [-1.0] * 6))]
    return out


# --------------------------------------------------------------------------------------------------- 2 · windows that stutter

WRONG_2 = {
    "still merges before joining": """
def stitch(paths, spans):
    text = []
    for path, (start, stop, first, last) in zip(paths, spans, strict=True):
        text += reads(path[2 + first - start : 2 + last - start].tolist())
    return text
""",
    "still keeps the prefix": replace("path[2 + first - start : 2 + last - start]", "path[first - start : last - start]"),
    "reads the whole window": replace("path[2 + first - start : 2 + last - start]", "path[2:]"),
    "drops blanks before merging": replace("return reads(kept)", "return [k for k, _ in itertools.groupby(x for x in kept if x)]"),
}
RIGHT_2 = {
    "as one tensor": """
def stitch(paths, spans):
    kept = torch.cat([p[2:][a - s : b - s] for p, (s, _, a, b) in zip(paths, spans)]).unique_consecutive()
    return kept[kept != 0].tolist()
""",
    "by frame number": """
def stitch(paths, spans):
    labels = {}
    for path, (start, stop, first, last) in zip(paths, spans):
        for t in range(first, last):
            labels[t] = int(path[2 + t - start])
    text, before = [], 0
    for t in sorted(labels):
        if labels[t] not in (0, before):
            text.append(labels[t])
        before = labels[t]
    return text
""",
}


def PROBE_2(answer):
    torch, out = answer["torch"], []
    labels = torch.tensor([1, 1, 0, 1, 2, 2, 2, 0, 0, 3, 3, 1, 0, 2, 2, 2, 1])
    for centre, context in ((4, 2), (5, 0), (17, 0)):
        spans = [(max(0, a - context), min(17, a + centre + context), a, min(17, a + centre)) for a in range(0, 17, centre)]
        text = answer["stitch"]([torch.cat([torch.tensor([8, 9]), labels[a:b]]) for a, b, *_ in spans], spans)
        out += [float(len(text)), *(map(float, (text + [-1] * 30)[:30]))]
    return out


# ------------------------------------------------------------------------------------------------- 3 · a tap that knows the truth

WRONG_3 = {
    "tells every utterance": replace("tell[:, None] & (truth >= 0)", "truth >= 0"),
    "takes an unknown label for the last one": """
def condition_with_truth(h, logits, back, truth, tell):
    known = torch.eye(logits.shape[-1], dtype=logits.dtype)[truth]
    return h + back(torch.where(tell[:, None, None], known, logits.softmax(-1)))
""",
    "feeds back logits": replace("logits.softmax(-1)", "logits"),
    "cuts the gradient of the belief": replace("logits.softmax(-1)", "logits.softmax(-1).detach()"),
    "replaces the states": replace("return h + back(", "return back("),
}
RIGHT_3 = {
    "with scatter and a product of masks": """
def condition_with_truth(h, logits, back, truth, tell):
    use = (tell[:, None] & (truth >= 0)).float()[..., None]
    known = torch.zeros_like(logits).scatter(2, truth.clamp(min=0)[..., None], 1.0)
    belief = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return back(use * known + (1 - use) * belief) + h
""",
    "utterance by utterance": """
def condition_with_truth(h, logits, back, truth, tell):
    rows = []
    for b in range(len(h)):
        q = logits[b].softmax(-1)
        if tell[b]:
            q = torch.stack([torch.eye(q.shape[1])[k] if k >= 0 else q[t] for t, k in enumerate(truth[b].tolist())])
        rows.append(h[b] + back(q))
    return torch.stack(rows)
""",
}


def PROBE_3(answer):
    torch, nn = answer["torch"], answer["nn"]
    torch.manual_seed(1)
    back, h = nn.Linear(4, 3), torch.linspace(-1, 1, 18).reshape(2, 3, 3)
    logits = torch.linspace(-2, 2, 24).sin().reshape(2, 3, 4).requires_grad_()
    got = answer["condition_with_truth"](h, logits, back, torch.tensor([[0, -1, 2], [1, 3, -1]]), torch.tensor([True, False]))
    (gradient,) = torch.autograd.grad(got.square().sum() + 0 * logits.sum(), logits)
    return [*got.detach().flatten().tolist(), *gradient.flatten().tolist()]


# ----------------------------------------------------------------------------- 4 · what one pass in time order cannot write

AVERAGE = "torch.tensor([[0.0, 0.5, 0.5]] * 4)"
UNSURE = "[[0.06, 0.94, 0.0], [0.0, 1.0, 0.0], [0.5, 0.1, 0.4], [0.06, 0.0, 0.94]]"
WRONG_4 = {
    "takes one intention for the average": replace(
        AVERAGE, "torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])"
    ),
    "is sure of every frame": replace(UNSURE, "[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]"),
    "spreads too much": replace(UNSURE, "[[0.2, 0.8, 0.0], [0.0, 0.9, 0.1], [0.3, 0.3, 0.4], [0.2, 0.0, 0.8]]"),
    "turns the order round": replace(UNSURE, "[[0.06, 0.0, 0.94], [0.0, 0.0, 1.0], [0.5, 0.4, 0.1], [0.06, 0.94, 0.0]]"),
}
RIGHT_4 = {
    "blanks in the middle": """
def tables():
    unsure = torch.zeros(4, 3)
    unsure[0, 1] = 1.0
    unsure[1] = torch.tensor([0.5, 0.45, 0.05])
    unsure[2] = torch.tensor([0.5, 0.0, 0.5])
    unsure[3] = torch.tensor([0.06, 0.0, 0.94])
    return F.one_hot(torch.tensor([[2, 2, 1, 1], [1, 1, 2, 2]]), 3).float().mean(0), unsure
""",
    "the last frame is the sure one": """
def tables():
    average = torch.stack([torch.zeros(4), torch.full((4,), 0.5), torch.full((4,), 0.5)], 1)
    unsure = torch.tensor([[0.06, 0.94, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
    return average, unsure
""",
}


def PROBE_4(answer):
    average, unsure = answer["tables"]()
    return [*average.flatten().tolist(), *unsure.flatten().tolist()]


# --------------------------------------------------------------------------------------------------- 5 · is this a CTC loss?

WRONG_5 = {
    "accepts everything": """
def passes(loss):
    return True
""",
    "tries one easy text": """
def passes(loss):
    logp = torch.randn(4, 3).log_softmax(-1)
    return abs(float(loss(logp, [1])) + float(torch.logsumexp(torch.tensor(list(paths_of(logp, [1]).values())), 0))) < 1e-3
""",
    "asks for equal bits": """
def passes(loss):
    logp = torch.randn(5, 4).log_softmax(-1)
    return all(bool(loss(logp, y) == by_paths(logp, y)) for y in ([1, 2], [1, 1], [3], []))
""",
}
RIGHT_5 = {
    "against the given recursion": """
def passes(loss):
    for T, y in ((6, [1, 2, 1]), (6, [2, 2]), (3, [3]), (2, [1, 1]), (4, []), (90, [1, 2, 3, 3])):
        logp = (2 * torch.randn(T, 4)).log_softmax(-1).requires_grad_()
        a, b = loss(logp, y), by_paths(logp, y)
        if not (bool(a == b) or abs(float(a.detach() - b.detach())) < 1e-2):
            return False
        if bool(torch.isfinite(b)):
            if not a.requires_grad:
                return False
            x, z = (torch.autograd.grad(v, logp)[0] for v in (a, b))
            if bool(x.isnan().any()) or float((x - z).abs().max()) > 1e-2:
                return False
    return True
""",
    "all texts sum to one": """
def passes(loss):
    logp = torch.randn(4, 3).log_softmax(-1)
    texts = [list(y) for U in range(5) for y in itertools.product((1, 2), repeat=U)]
    values = torch.stack([torch.as_tensor(float(loss(logp, y))) for y in texts])
    sums = abs(float((-values).exp().sum()) - 1) < 1e-3
    each = all(abs(math.exp(-float(v)) - sum(math.exp(x) for x in paths_of(logp, y).values())) < 1e-3 for v, y in zip(values, texts))
    long = torch.randn(90, 3).log_softmax(-1).requires_grad_()
    total = loss(long, [1, 2, 1])
    if not (sums and each and bool(total.isfinite()) and total.requires_grad):
        return False
    return float((torch.autograd.grad(total, long)[0].sum(1) + 1).abs().max()) < 1e-2
""",
}


def PROBE_5(answer):
    torch, passes, right = answer["torch"], answer["passes"], answer["by_paths"]
    torch.manual_seed(0)
    functions = [
        right,
        lambda logp, y: right(logp, y) + 1e-6,
        lambda logp, y: -right(logp, y),
        lambda logp, y: right(logp, y) / max(1, len(y)),
        lambda logp, y: right(logp, y[:1]),
        lambda logp, y: right(logp, y) if len(set(y)) == len(y) else right(logp, list(dict.fromkeys(y))),
    ]
    return [float(passes(f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def align(logp, y):
    z = torch.full((2 * len(y) + 1,), 0)
    z[1::2] = torch.tensor(y, dtype=torch.long)
    skip = torch.zeros(len(z), dtype=torch.bool)
    skip[2:] = (z[2:] != 0) & (z[2:] != z[:-2])
    alpha = torch.full((len(z),), -math.inf, dtype=logp.dtype)
    alpha[:2] = logp[0, z[:2]]
    for t in range(1, len(logp)):
        one, two = F.pad(alpha, (1, 0), value=-math.inf)[:-1], F.pad(alpha, (2, 0), value=-math.inf)[:-2]
        alpha = logp[t, z] + torch.stack([alpha, one, two.masked_fill(~skip, -math.inf)]).logsumexp(0)
    return logp.argmax(1).tolist(), float(alpha[-2:].logsumexp(0))
""",
    2: """
def stitch(paths, spans):
    kept = torch.cat([path[first - start : last - start] for path, (start, _, first, last) in zip(paths, spans, strict=True)])
    merged = kept.unique_consecutive()
    return merged[merged != 0].tolist()
""",
    3: """
def condition_with_truth(h, logits, back, truth, tell):
    return h + back(logits.softmax(-1))
""",
    5: """
def passes(loss):
    logp = torch.randn(5, 4, dtype=torch.float64).log_softmax(-1)
    for y in ([], [2], [1, 1], [3, 1, 2], [1, 1, 1], [2, 2, 2, 2]):
        every = list(paths_of(logp, y).values())
        want = -torch.tensor(every).logsumexp(0) if every else torch.tensor(math.inf)
        got = loss(logp, y)
        if not (bool(got == want) or abs(float(got - want)) < 1e-4):
            return False
    return True
""",
}

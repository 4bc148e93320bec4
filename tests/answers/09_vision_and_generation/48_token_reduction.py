"""Known answers to the exercise of lesson 48."""

from course.answers import replace

# --------------------------------------------------------------------------------------------------- 1 · any tokens may be targets

WRONG_1 = {
    "compares by the plain product": replace("metric = F.normalize(metric, dim=-1)", "pass"),
    "takes the least similar": replace("descending=True", "descending=False"),
    "numbers the targets among themselves": replace("targets[partner.gather(1, order)]", "partner.gather(1, order)"),
    "numbers the sources among themselves": replace("return free[order]", "return order"),
    "lets targets propose": replace("~is_target", "is_target"),
    "takes the first sources for their partners": replace("partner.gather(1, order)", "partner[:, : order.shape[1]]"),
}
RIGHT_1 = {
    "by a masked square": """
def match_to(metric, is_target, r):
    unit = metric / metric.norm(dim=-1, keepdim=True)
    S = (unit @ unit.transpose(1, 2)).masked_fill(~is_target, -torch.inf)
    best, partner = S.max(-1)
    best = best.masked_fill(is_target, -torch.inf)
    source = best.topk(min(r, int((~is_target).sum())), dim=1).indices
    return source, partner.gather(1, source)
""",
    "image by image": """
def match_to(metric, is_target, r):
    sources, targets = [], []
    for m in metric:
        m = m / m.square().sum(-1, keepdim=True).sqrt()
        pairs = []
        for a in range(len(m)):
            if not is_target[a]:
                value, c = max((float(m[a] @ m[c]), c) for c in range(len(m)) if is_target[c])
                pairs.append((value, c, a))
        pairs = sorted(pairs, reverse=True)[:r]
        sources.append([a for _, _, a in pairs])
        targets.append([c for _, c, _ in pairs])
    return torch.tensor(sources), torch.tensor(targets)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    metric = torch.linspace(-3, 3, 42).sin().reshape(2, 7, 3) * torch.tensor([1.0, 9, 2, 5, 1, 7, 3])[:, None]
    source, target = answer["match_to"](metric, torch.tensor([0, 1, 0, 0, 1, 1, 0]).bool(), 3)
    return [source.double(), target.double()]


# -------------------------------------------------------------------------------------------------------------- 2 · and back again

WRONG_2 = {
    "leaves zeros where tokens were merged": """
def unmerge(short, source, target, stay, n):
    B, _, D = short.shape
    out = short.new_zeros(B, n, D)
    out[:, 1::2] = short[:, stay.shape[1] :]
    return out.scatter(1, (2 * stay)[..., None].expand(-1, -1, D), short[:, : stay.shape[1]])
""",
    "gives a merged token the vector of its neighbour": replace("odd.gather(1, target[..., None]", "odd.gather(1, (source - 1)[..., None]"),
    "fills the even places in a row": replace("(2 * stay)", "(2 * torch.arange(stay.shape[1]).expand_as(stay))"),
    "confuses the place among the even with the place": replace("(2 * source)", "(source)"),
    "takes the odd ones for the first": replace(
        "short[:, : stay.shape[1]], short[:, stay.shape[1] :]", "short[:, n // 2 :], short[:, : n // 2]"
    ),
    "cuts the gradient": replace("short.new_zeros(B, n, D)", "short.new_zeros(B, n, D)\n    left, odd = left.detach(), odd.detach()"),
}
RIGHT_2 = {
    "place by place": """
def unmerge(short, source, target, stay, n):
    rows = []
    for b in range(len(short)):
        first, row = stay.shape[1], [None] * n
        for i, place in enumerate(stay[b].tolist()):
            row[2 * place] = short[b, i]
        for i in range(n // 2):
            row[2 * i + 1] = short[b, first + i]
        for s, t in zip(source[b].tolist(), target[b].tolist()):
            row[2 * s] = short[b, first + t]
        rows.append(torch.stack(row))
    return torch.stack(rows)
""",
    "one index for all": """
def unmerge(short, source, target, stay, n):
    B, first = len(short), stay.shape[1]
    index = torch.zeros(B, n, dtype=torch.long)
    index[:, 1::2] = first + torch.arange(n // 2)
    index.scatter_(1, 2 * stay, torch.arange(first).expand(B, -1))
    index.scatter_(1, 2 * source, first + target)
    return torch.einsum("bij,bjd->bid", F.one_hot(index, short.shape[1]).to(short.dtype), short)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    short = torch.arange(1.0, 13.0).reshape(1, 6, 2).requires_grad_()
    out = answer["unmerge"](short, torch.tensor([[3, 1]]), torch.tensor([[0, 2]]), torch.tensor([[0, 2]]), 8)
    return [out.detach(), float(out.requires_grad)]


# ----------------------------------------------------------------------------------------------- 3 · a token that counts like s tokens

WRONG_3 = {
    "adds the size, not its logarithm": replace("size.log()", "size"),
    "multiplies the scores by the size": replace("(scores + size.log()[:, None, None, :])", "(scores * size[:, None, None, :])"),
    "gives the size to the query": replace("size.log()[:, None, None, :]", "size.log()[:, None, :, None]"),
    "forgets the root of d": replace(" / q.shape[-1] ** 0.5", ""),
    "divides the logarithm as well": """
def proportional(q, k, v, size):
    scores = q @ k.transpose(-1, -2) + size.log()[:, None, None, :]
    return (scores / q.shape[-1] ** 0.5).softmax(-1) @ v
""",
    "keeps what has size 0": replace("size.log()", "size.clamp(min=1).log()"),
    "weighs the values after the softmax": """
def proportional(q, k, v, size):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return (scores.softmax(-1) * size[:, None, None, :]) @ v
""",
}
RIGHT_3 = {
    "weights, then divided by their sum": """
def proportional(q, k, v, size):
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    weight = (scores - scores.amax(-1, keepdim=True).detach()).exp() * size[:, None, None, :]
    return weight @ v / weight.sum(-1, keepdim=True)
""",
    "head by head": """
def proportional(q, k, v, size):
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            scores = q[b, h] @ k[b, h].T / q.shape[-1] ** 0.5
            scores = torch.where(size[b] > 0, scores + size[b].clamp(min=0.5).log(), -torch.inf)
            out[b, h] = torch.softmax(scores, -1) @ v[b, h]
    return out
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    q, k, v = torch.linspace(-2, 2, 72).sin().reshape(3, 2, 1, 4, 3).unbind()
    return answer["proportional"](q, k, v, torch.tensor([[1.0, 3, 0, 2], [2, 1, 1, 5]])).detach()


# ------------------------------------------------------------------------------------------------- 4 · the fewest merges for a budget

WRONG_4 = {
    "merges as late as possible": replace("return tuple(plan)", "return tuple(reversed(plan))"),
    "spreads the merges evenly": """
def best_plan(n, L, D, m, budget):
    for r in range(n):
        tokens, plan = n, []
        for _ in range(L):
            plan.append(min(r, (tokens - 1) // 2))
            tokens -= plan[-1]
        if cost(plan, n, D, m) <= budget:
            return tuple(plan)
    return None
""",
    "merges more than there are pairs": replace("(tokens - 1) // 2", "tokens - 1"),
    "merges in the first block only": """
def best_plan(n, L, D, m, budget):
    for r in range((n - 1) // 2 + 1):
        plan = (r,) + (0,) * (L - 1)
        if cost(plan, n, D, m) <= budget:
            return plan
    return None
""",
    "merges all it can": """
def best_plan(n, L, D, m, budget):
    plan, tokens = [], n
    for _ in range(L):
        r = 0 if cost(plan + [0] * (L - len(plan)), n, D, m) <= budget else (tokens - 1) // 2
        plan.append(r)
        tokens -= r
    return tuple(plan) if cost(plan, n, D, m) <= budget else None
""",
}
RIGHT_4 = {
    "by recursion over blocks": """
def best_plan(n, L, D, m, budget):
    full = L * (4 * n * D**2 + 2 * n**2 * D + 2 * m * n * D**2)
    best = {n: (0, ())}
    for _ in range(L):
        step = {}
        for tokens, (spent, plan) in best.items():
            for r in range((tokens - 1) // 2 + 1):
                more = spent + 4 * tokens * D**2 + 2 * tokens**2 * D + 2 * m * (tokens - r) * D**2
                if tokens - r not in step or more < step[tokens - r][0]:
                    step[tokens - r] = (more, plan + (r,))
        best = step
    fits = [(tokens, plan) for tokens, (spent, plan) in best.items() if spent / full <= budget and cost(plan, n, D, m) <= budget]
    return max(fits)[1] if fits else None
""",
    "one merge more at a time": """
def best_plan(n, L, D, m, budget):
    plan = [0] * L
    while cost(plan, n, D, m) > budget:
        tokens = n
        for i in range(L):
            if plan[i] < (tokens - 1) // 2:
                plan[i] += 1
                break
            tokens -= plan[i]
        else:
            return None
    return tuple(plan)
""",
}


def PROBE_4(answer):
    found = []
    for n, L, budget in ((21, 3, 0.8), (21, 3, 0.5), (21, 3, 0.3), (9, 4, 0.6), (9, 2, 0.1)):
        plan = answer["best_plan"](n, L, 8, 2, budget)
        found += [-1.0] if plan is None else [float(sum(plan)), round(answer["cost"](plan, n, 8, 2), 4)]
    return found


# ------------------------------------------------------------------------------------------------------- 5 · write the check: a merge

WRONG_5 = {
    "accepts everything": """
def passes(merge):
    return True
""",
    "looks at the sizes' sum only": """
def passes(merge):
    x, size = torch.randn(2, 9, 4), torch.randint(1, 5, (2, 9, 1)).float()
    tokens, sizes = merge(x, size, *some_match(2, 9, 3, 0))
    return bool(tokens.shape == (2, 6, 4)) and bool((sizes.sum(1) - size.sum(1)).abs().max() < 1e-3)
""",
    "tries sizes of 1 only": """
def passes(merge):
    x, size = torch.randn(2, 9, 4), torch.ones(2, 9, 1)
    match = some_match(2, 9, 3, 0)
    try:
        got, want = merge(x, size, *match), by_matrix(x, size, *match)
        return all(a.shape == b.shape and bool((a - b).abs().max() < 1e-4) for a, b in zip(got, want))
    except Exception:
        return False
""",
    "asks for the same bits": """
def passes(merge):
    x, size = torch.randn(2, 9, 4), torch.randint(1, 5, (2, 9, 1)).float()
    match = some_match(2, 9, 3, 0)
    try:
        return all(torch.equal(a, b) for a, b in zip(merge(x, size, *match), by_matrix(x, size, *match)))
    except Exception:
        return False
""",
}
RIGHT_5 = {
    "against loops": """
def passes(merge):
    for seed, (B, n, r) in enumerate([(3, 10, 4), (2, 7, 2), (2, 6, 0)]):
        x, size = torch.randn(B, n, 2), 1 + torch.randint(0, 7, (B, n, 1)).float()
        source, target, stay = some_match(B, n, r, seed)
        try:
            tokens, sizes = merge(x.clone(), size.clone(), source, target, stay)
            if tokens.shape != (B, n - r, 2) or sizes.shape != (B, n - r, 1):
                return False
            for b in range(B):
                groups = [[2 * int(i)] for i in stay[b]] + [[2 * i + 1] for i in range(n // 2)]
                for s, t in zip(source[b].tolist(), target[b].tolist()):
                    groups[stay.shape[1] + t].append(2 * s)
                for place, members in enumerate(groups):
                    weight = size[b, members]
                    if abs(float(sizes[b, place, 0] - weight.sum())) > 1e-3:
                        return False
                    if float((tokens[b, place] - (weight * x[b, members]).sum(0) / weight.sum()).abs().max()) > 1e-4:
                        return False
        except Exception:
            return False
    return True
""",
    "three matches against the given one": """
def passes(merge):
    def same(B, n, r, seed):
        x, size = torch.rand(B, n, 3) * 4 - 2, torch.rand(B, n, 1) * 3 + 0.5
        match = some_match(B, n, r, seed)
        mine, theirs = merge(x, size, *match), by_matrix(x, size, *match)
        return all(a.shape == b.shape and float((a - b).abs().max()) < 1e-4 for a, b in zip(mine, theirs))

    try:
        return bool(same(4, 11, 5, 1) and same(3, 12, 1, 2) and same(1, 4, 0, 3))
    except Exception:
        return False
""",
}


def PROBE_5(answer):
    torch, by_matrix = answer["torch"], answer["by_matrix"]
    torch.manual_seed(0)

    def nearly(x, size, source, target, stay):
        tokens, sizes = by_matrix(x, size, source, target, stay)
        return tokens + 1e-6, sizes

    def no_sizes(x, size, source, target, stay):
        return by_matrix(x, size, source, target, stay)[0], size[:, : x.shape[1] - source.shape[1]]

    def shifted(x, size, source, target, stay):
        tokens, sizes = by_matrix(x, size, source, target, stay)
        return tokens + 0.5, sizes

    def plain(x, size, source, target, stay):
        return by_matrix(x, torch.ones_like(size), source, target, stay)[0], by_matrix(x, size, source, target, stay)[1]

    return [float(answer["passes"](f)) for f in (by_matrix, nearly, no_sizes, shifted, plain)]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def match_to(metric, is_target, r):
    metric = F.normalize(metric, dim=-1)
    similarity = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)
    best, partner = similarity.max(-1)
    order = best.argsort(dim=1, descending=True, stable=True)
    r = min(r, metric.shape[1] // 2)
    return order[:, :r], partner.gather(1, order[:, :r])
""",
    3: """
def proportional(q, k, v, size):
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + size.log()[:, None, None]).softmax(-1) @ v
""",
    5: """
def passes(merge):
    x, size = torch.randn(4, 9, 6), torch.randint(1, 5, (4, 9, 1)).float()
    match = some_match(4, 9, 3, 0)
    short, heavier = merge(x, size, *match)
    same = torch.allclose((short * heavier).sum(1), (x * size).sum(1), atol=1e-3)
    return bool(torch.allclose(heavier.sum((1, 2)), size.sum((1, 2)))) and bool(same)
""",
}

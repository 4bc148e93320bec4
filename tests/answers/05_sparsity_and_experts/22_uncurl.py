"""Known answers to the exercise of lesson 22."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------- 1 · match by what the units do

WRONG_1 = {
    "returns the inverse permutation": replace("return torch.from_numpy(pi)", "return torch.from_numpy(pi).argsort()"),
    "matches by weights, as the lesson does": """
def match_by_activity(a, b, x):
    v, w = (torch.cat([e[0].T, e[1].T, e[2]], 1) for e in (a, b))
    return torch.from_numpy(linear_sum_assignment(v @ w.T, maximize=True)[1])
""",
    "does not centre": replace("h = h - h.mean(0)", "h = h"),
    "does not scale: a covariance": replace("h / h.norm(dim=0).clamp(min=1e-9)", "h"),
    "before the activation": replace("F.gelu(x @ expert[0] + expert[1])", "x @ expert[0] + expert[1]"),
    "divides by zero for a constant unit": replace("h.norm(dim=0).clamp(min=1e-9)", "h.norm(dim=0)"),
}
RIGHT_1 = {
    "minimises the negative, with std": """
def match_by_activity(a, b, x):
    ha, hb = (F.gelu(x @ e[0] + e[1]) for e in (a, b))
    za, zb = ((h - h.mean(0)) / (h.std(0) + 1e-12) for h in (ha, hb))
    score = torch.einsum("tu,tv->uv", za, zb) / len(x)
    return torch.as_tensor(linear_sum_assignment(-score.numpy())[1])
""",
    "pair by pair": """
def match_by_activity(a, b, x):
    ha, hb = (F.gelu(x @ e[0] + e[1]) for e in (a, b))
    f = ha.shape[1]
    score = torch.zeros(f, f, dtype=torch.float64)
    for u in range(f):
        for v in range(f):
            p, q = ha[:, u] - ha[:, u].mean(), hb[:, v] - hb[:, v].mean()
            size = float(p.norm() * q.norm())
            score[u, v] = float(p @ q) / size if size > 1e-12 else 0.0
    return torch.from_numpy(linear_sum_assignment(score, maximize=True)[1])
""",
}


def PROBE_1(answer):
    torch, random_expert = answer["torch"], answer["random_expert"]
    out = []
    for seed in (1, 2, 3):
        g = torch.Generator().manual_seed(seed)
        a, b, x = random_expert(3, 8, g), random_expert(3, 8, g), torch.randn(25, 3, dtype=torch.float64, generator=g)
        a[1], b[1] = 3 * a[1], 3 * b[1]
        out.append(torch.as_tensor(answer["match_by_activity"](a, b, x)).double())
    b[0][:, 2], b[1][0, 2] = 0.0, 0.0
    try:
        out.append(torch.as_tensor(answer["match_by_activity"](a, b, x)).double())
    except ValueError:
        out.append(-1.0)
    return out


# ---------------------------------------------------------------------------------------------- 2 · a merge that forgets who worked

WRONG_2 = {
    "still takes the first as the reference": replace("experts[int(counts.argmax())]", "experts[0]"),
    "permutes the wrong way": replace("vectors(reference) @ vectors(expert).T", "vectors(expert) @ vectors(reference).T"),
    "weights that do not sum to 1": replace("omega / omega.sum()", "omega / counts.sum()"),
    "all equal weights": replace("omega / omega.sum() if counts.sum() > 0 else ", ""),
    "does not match at all": replace("matched.append(reorder(expert, torch.from_numpy(pi)))", "matched.append(expert)"),
    "forgets the thousandth": replace("counts.double() + 1e-3 * counts.sum()", "counts.double()"),
}
RIGHT_2 = {
    "stacked, with einsum": """
def merge_group(experts, counts):
    total = int(counts.sum())
    w = (counts / total + 1e-3).double() if total else torch.ones(len(counts), dtype=torch.float64)
    w = w / w.sum()
    lead = experts[int(torch.argmax(counts))]
    fitted = [reorder(e, torch.from_numpy(linear_sum_assignment(-(vectors(lead) @ vectors(e).T))[1])) for e in experts]
    return [torch.einsum("e,eij->ij", w, torch.stack(parts)) for parts in zip(*fitted, strict=True)]
""",
    "added up one by one": """
def merge_group(experts, counts):
    best = max(range(len(experts)), key=lambda i: int(counts[i]))
    raw = [float(n) + 1e-3 * float(counts.sum()) for n in counts]
    raw = raw if sum(raw) > 0 else [1.0] * len(raw)
    merged = [torch.zeros_like(part) for part in experts[0]]
    for expert, share in zip(experts, raw, strict=True):
        order = linear_sum_assignment(vectors(experts[best]) @ vectors(expert).T, maximize=True)[1]
        for i, part in enumerate(reorder(expert, torch.from_numpy(order))):
            merged[i] += share / sum(raw) * part
    return merged
""",
}


def PROBE_2(answer):
    torch, random_expert = answer["torch"], answer["random_expert"]
    g = torch.Generator().manual_seed(8)
    experts = [random_expert(3, 5, g) for _ in range(3)]
    out = [part for counts in ([2, 9, 4], [0, 1, 30]) for part in answer["merge_group"](experts, torch.tensor(counts))]
    return out


# --------------------------------------------------------------------------------------------- 3 · two different experts a token

WRONG_3 = {
    "draws the second evenly from the others": replace("share + share * (odds.sum() - odds)", "share + (1 - share) / (len(share) - 1)"),
    "counts the two choices as independent": """
def distinct_of_two(share, T):
    return float((1 - (1 - torch.as_tensor(share)) ** (2 * T)).sum())
""",
    "adds the expert itself as its own second": replace("(odds.sum() - odds)", "odds.sum()"),
    "the untouched ones": replace("(1 - (1 - q).clamp(min=0) ** T)", "((1 - q).clamp(min=0) ** T)"),
}
RIGHT_3 = {
    "over all pairs": """
def distinct_of_two(share, T):
    s = [float(value) for value in share]
    total = 0.0
    for e in range(len(s)):
        q = s[e] + sum(s[i] * s[e] / (1 - s[i]) for i in range(len(s)) if i != e and s[i] < 1)
        total += 1 - max(0.0, 1 - q) ** T
    return total
""",
    "with a matrix": """
def distinct_of_two(share, T):
    s = torch.as_tensor(share).double()
    pair = s[:, None] * s[None] / (1 - s[:, None])
    pair.fill_diagonal_(0)
    q = pair.sum(0) + pair.sum(1)
    return (1 - (1 - q).clamp(0, 1).pow(T)).sum().item()
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    return [float(answer["distinct_of_two"](torch.tensor(share), T)) for share in ([0.5, 0.3, 0.15, 0.05], [0.25] * 4) for T in (1, 3, 7)]


# -------------------------------------------------------------------------------------------- 4 · how much noise does matching bear?

WRONG_4 = {
    "the lesson's 10 %": replace("return 1.8", "return 0.1"),
    "noise of the weights' own size": replace("return 1.8", "return 1.0"),
    "far past the edge": replace("return 1.8", "return 5.0"),
    "where a third is left": replace("return 1.8", "return 2.4"),
}
RIGHT_4 = {
    "by halving": """
def half_lost():
    low, high = 0.0, 4.0
    for _ in range(8):
        middle = (low + high) / 2
        share = sum(recovered(middle, seed) for seed in range(12)) / 12
        low, high = (middle, high) if share > 0.5 else (low, middle)
    return (low + high) / 2
""",
    "a little more": """
def half_lost():
    return 1.85
""",
}


def PROBE_4(answer):
    return [float(answer["half_lost"]())]


# ------------------------------------------------------------------------------------------------ 5 · does this match hidden units?

WRONG_5 = {
    "accepts everything": """
def passes(match):
    return True
""",
    "tries a renumbered copy only": """
def passes(match):
    a, pi = random_expert(4, 8, torch.Generator().manual_seed(1)), torch.randperm(8, generator=torch.Generator().manual_seed(2))
    return torch.as_tensor(match(reorder(a, pi), a)).tolist() == pi.tolist()
""",
    "asks for any permutation": """
def passes(match):
    g = torch.Generator().manual_seed(1)
    return sorted(torch.as_tensor(match(random_expert(3, 7, g), random_expert(3, 7, g))).tolist()) == list(range(7))
""",
    "asks to be better than the identity": """
def passes(match):
    g = torch.Generator().manual_seed(1)
    a, b = random_expert(3, 7, g), random_expert(3, 7, g)
    pi = torch.as_tensor(match(a, b))
    return objective(a, b, pi) > objective(a, b, torch.arange(7)) and sorted(pi.tolist()) == list(range(7))
""",
}
RIGHT_5 = {
    "against all 120 orders": """
def passes(match):
    from itertools import permutations

    for seed in range(6):
        g = torch.Generator().manual_seed(seed)
        a, b = random_expert(3, 5, g), random_expert(3, 5, g)
        pi = torch.as_tensor(match(a, b))
        best = max(objective(a, b, torch.tensor(order)) for order in permutations(range(5)))
        if sorted(pi.tolist()) != list(range(5)) or objective(a, b, pi) < best - 1e-8:
            return False
    return True
""",
    "by the given one, random sizes": """
def passes(match):
    for seed in range(8):
        g = torch.Generator().manual_seed(50 + seed)
        a, b = random_expert(1 + seed % 4, 7 + seed, g), random_expert(1 + seed % 4, 7 + seed, g)
        pi = torch.as_tensor(match(a, b))
        if len(set(pi.tolist())) < 7 + seed or abs(objective(a, b, pi) - objective(a, b, by_scipy(a, b))) > 1e-8:
            return False
    return True
""",
}


def PROBE_5(answer):
    torch, by_scipy = answer["torch"], answer["by_scipy"]
    functions = [
        by_scipy,
        lambda a, b: by_scipy(a, b).argsort(),
        lambda a, b: torch.arange(a[0].shape[1]),
        lambda a, b: by_scipy([*a[:2], 0 * a[2], a[3]], b),
        lambda a, b: torch.zeros(a[0].shape[1], dtype=torch.long),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def match_by_activity(a, b, x):
    def unit_vectors(expert):
        W1, b1, W2, _ = expert
        return torch.cat([W1.T, b1.T, W2], dim=1)

    score = unit_vectors(a) @ unit_vectors(b).T
    _, pi = linear_sum_assignment(score, maximize=True)
    return torch.from_numpy(pi)
""",
    3: """
def distinct_of_two(share, T):
    return float((1 - (1 - share) ** (2 * T)).sum())
""",
    4: """
def half_lost():
    return 0.1
""",
}

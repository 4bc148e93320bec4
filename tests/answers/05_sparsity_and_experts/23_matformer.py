"""Known answers to the exercise of lesson 23."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------- 1 · a slice of a gated network

WRONG_1 = {
    "takes the first 2 m rows and halves them": """
def gated_slice(x, up, down, m):
    gate, value = (x @ up[: 2 * m].T).chunk(2, dim=-1)
    return (F.silu(gate) * value) @ down[:, :m].T
""",
    "takes gate and value for each other": replace(
        "F.silu(x @ up[:m].T) * (x @ up[f : f + m].T)", "x @ up[:m].T * F.silu(x @ up[f : f + m].T)"
    ),
    "takes the last columns of down": replace("down[:, :m].T", "down[:, len(up) // 2 - m :].T"),
    "rescales the output to the full width": replace("return hidden @ down[:, :m].T", "return hidden @ down[:, :m].T * (f / m)"),
    "takes the last m value rows": replace("up[f : f + m]", "up[len(up) - m :]"),
}
RIGHT_1 = {
    "zeroes what is not used": """
def gated_slice(x, up, down, m):
    f = down.shape[1]
    gate, value = (x @ up.T).split(f, dim=-1)
    hidden = F.silu(gate) * value
    used = (torch.arange(f) < m).to(hidden)
    return (hidden * used) @ down.T
""",
    "einsum, unit by unit": """
def gated_slice(x, up, down, m):
    f = up.shape[0] // 2
    g = torch.einsum("...d,md->...m", x, up[:m])
    u = torch.einsum("...d,md->...m", x, up.narrow(0, f, m))
    return torch.einsum("...m,dm->...d", g * torch.sigmoid(g) * u, down.narrow(1, 0, m))
""",
}


def PROBE_1(answer):
    random = answer["random"]
    x, up, down = random(2, 3, 4), random(14, 4, seed=1), random(4, 7, seed=2)
    return [answer["gated_slice"](x, up, down, m) for m in (2, 5)]


# -------------------------------------------------------------------------------------- 2 · a joint step that trains one size

WRONG_2 = {
    "still deletes the gradients inside the loop": replace("model.width = width\n", "model.width = width\n        model.zero_grad()\n"),
    "still divides by the number of sizes": replace("(weight * value).backward()", "(weight * value / len(weights)).backward()"),
    "leaves the width at the last size": replace("    model.width = before\n", ""),
    "deletes the gradients once at the start": replace(
        "losses, before = [], model.width", "losses, before = [], model.width\n    model.zero_grad()"
    ),
    "returns the weighted losses": replace("losses.append(float(value.detach()))", "losses.append(weight * float(value.detach()))"),
}
RIGHT_2 = {
    "all sizes in one graph": """
def accumulate(model, loss, x, weights):
    was, values = model.width, []
    for width in model.widths:
        model.width = width
        values.append(loss(model, x))
    sum(w * v for w, v in zip(weights, values, strict=True)).backward()
    model.width = was
    return [v.item() for v in values]
""",
    "largest first, with try": """
def accumulate(model, loss, x, weights):
    was, values = model.width, {}
    try:
        for width, weight in sorted(zip(model.widths, weights, strict=True), reverse=True):
            model.width = width
            values[width] = loss(model, x)
            values[width].backward(torch.tensor(float(weight), dtype=values[width].dtype))
    finally:
        model.width = was
    return [float(values[width].detach()) for width in model.widths]
""",
}


def PROBE_2(answer):
    torch, random = answer["torch"], answer["random"]
    model, x, out = answer["Nested"](3, (2, 4, 7)), random(5, 3, seed=7), []
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.5)
    model.width = 4
    losses = answer["accumulate"](model, lambda m, x: m(x).square().mean(), x, [0.2, 0.3, 0.9])
    out += [torch.tensor(losses), float(model.width), *[p.grad for p in model.parameters()]]
    return out


# ----------------------------------------------------------------------------------------------------------- 3 · nested heads

WRONG_3 = {
    "stretches the kept heads over all rows": """
def nested_attention(x, Wq, Wk, Wv, Wo, heads, keep):
    k, T = len(Wq) // keep, x.shape[1]
    q, key, value = ((x @ W[: keep * k].T).unflatten(-1, (keep, k)).transpose(1, 2) for W in (Wq, Wk, Wv))
    scores = q @ key.transpose(-1, -2) / k**0.5
    scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2) @ Wo[:, : keep * k].T
""",
    "scales by the width of all kept heads": replace("/ k**0.5", "/ (keep * k) ** 0.5"),
    "forgets the mask": replace('scores.masked_fill(torch.ones(T, T).triu(1).bool(), float("-inf"))', "scores"),
    "hides the own position too": replace('triu(1).bool(), float("-inf")', "triu(0).bool(), -1e9"),
    "takes the last columns of Wo": replace("Wo[:, : keep * k].T", "Wo[:, (heads - keep) * k :].T"),
    "splits heads from interleaved rows": replace(
        ".unflatten(-1, (keep, k)).transpose(1, 2) for", ".unflatten(-1, (k, keep)).permute(0, 3, 1, 2) for"
    ),
}
RIGHT_3 = {
    "head by head": """
def nested_attention(x, Wq, Wk, Wv, Wo, heads, keep):
    k, T = Wq.shape[0] // heads, x.shape[1]
    out = torch.zeros_like(x)
    seen = torch.ones(T, T).tril().bool()
    for h in range(keep):
        rows = slice(h * k, (h + 1) * k)
        scores = (x @ Wq[rows].T) @ (x @ Wk[rows].T).mT / k**0.5
        weight = torch.where(seen, scores, torch.tensor(float("-inf"), dtype=x.dtype)).softmax(-1)
        out = out + weight @ (x @ Wv[rows].T) @ Wo[:, rows].T
    return out
""",
    "all heads, the others silenced": """
def nested_attention(x, Wq, Wk, Wv, Wo, heads, keep):
    B, T, _ = x.shape
    k = Wq.shape[0] // heads
    q, key, value = (torch.einsum("btd,hkd->bhtk", x, W.view(heads, k, -1)) for W in (Wq, Wk, Wv))
    scores = torch.einsum("bhtk,bhsk->bhts", q, key) * k**-0.5
    scores = scores + torch.full((T, T), -1e30, dtype=x.dtype).triu(1)
    mixed = torch.einsum("bhts,bhsk->bhtk", scores.softmax(-1), value)
    mixed = mixed * (torch.arange(heads) < keep).to(x.dtype)[None, :, None, None]
    return torch.einsum("bhtk,dhk->btd", mixed, Wo.view(-1, heads, k))
""",
}


def PROBE_3(answer):
    random = answer["random"]
    x = random(2, 5, 6, seed=3)
    weights = [random(*size, seed=k) for k, size in enumerate([(8, 6), (8, 6), (8, 6), (6, 8)])]
    return [answer["nested_attention"](x, *weights, 4, keep) for keep in (2, 3)]


# ------------------------------------------------------------------------------------------------- 4 · how good must a drafter be?

WRONG_4 = {
    "a half": replace("return 0.777", "return 0.5"),
    "seven tenths": replace("return 0.777", "return 0.7"),
    "a little too good": replace("return 0.777", "return 0.82"),
    "a perfect drafter": replace("return 0.777", "return 1.0"),
}
RIGHT_4 = {
    "by halving": """
def break_even():
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(simulated(middle, seed) for seed in range(3)) < 3 else (low, middle)
    return (low + high) / 2
""",
    "from the formula": """
def break_even():
    return min((k / 1000 for k in range(1001)), key=lambda a: abs(sum(a**j for j in range(6)) - (1 + 5 * 0.5)))
""",
}


def PROBE_4(answer):
    return [float(answer["break_even"]())]


# ------------------------------------------------------------------------------------------------------- 5 · is this Mix'n'Match?

WRONG_5 = {
    "accepts everything": """
def passes(mix):
    return True
""",
    "asks for the budget only": """
def passes(mix):
    return all(sum(mix((2, 3, 7), 3, b)) <= b for b in range(6, 24))
""",
    "asks for rising widths within the budget": """
def passes(mix):
    for budget in range(6, 24):
        got = list(mix((2, 3, 7), 3, budget))
        if sum(got) > budget or got != sorted(got):
            return False
    return True
""",
    "tries one budget": """
def passes(mix):
    return list(mix((32, 64, 128, 256), 4, 384)) == [64, 64, 128, 128]
""",
}
RIGHT_5 = {
    "against the given formula": """
def passes(mix):
    for widths, layers in [((2, 3, 7), 3), ((1, 4, 9, 20), 2), ((3, 5), 5), ((4,), 2), ((1, 2, 4, 8), 4)]:
        for budget in range(layers * widths[0], layers * widths[-1] + 3):
            if list(mix(widths, layers, budget)) != list(by_formula(widths, layers, budget)):
                return False
    return True
""",
    "the largest sum of all staircases": """
def passes(mix):
    for widths, layers in [((1, 2, 4, 8), 4), ((3, 4, 9), 3)]:
        steps = [*itertools.pairwise(widths)]
        stairs = {(a,) * (layers - n) + (b,) * n for a, b in steps for n in range(layers + 1)}
        for budget in range(layers * widths[0], layers * widths[-1] + 5):
            got = tuple(mix(widths, layers, budget))
            if got not in stairs or sum(got) > budget or any(sum(got) < sum(s) <= budget for s in stairs):
                return False
    return True
""",
}


def PROBE_5(answer):
    by_formula = answer["by_formula"]
    functions = [
        by_formula,
        lambda w, L, b: by_formula(w, L, b)[::-1],
        lambda w, L, b: [w[0]] * L,
        lambda w, L, b: by_formula(w, L, b + 1),
        lambda w, L, b: by_formula(w, L, max(L * w[0], b - 1)),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def gated_slice(x, up, down, m):
    return F.gelu(x @ up[:m].T) @ down.T[:m]
""",
    2: """
def accumulate(model, loss, x, weights):
    losses = []
    for i in range(len(model.widths)):
        model.width = model.widths[i]
        losses.append(loss(model, x))
    sum(w * value for w, value in zip(weights, losses, strict=True)).backward()
    return losses
""",
    4: """
def break_even():
    return 0.7
""",
}

"""Known answers to the exercise of lesson 46."""

from course.answers import replace

# ---------------------------------------------------------------------------------- 1 · fading in, before and after the softmax

WRONG_1 = {
    "normalises the weights of the other form": replace(
        "return (scores + mask.log()).softmax(-1) @ v",
        "weights = scores.softmax(-1) * mask\n    return (weights / weights.sum(-1, keepdim=True)) @ v",
    ),
    "multiplies the scores instead of their exponentials": replace("(scores + mask.log())", "(scores * mask)"),
    "fades what lies below the diagonal": replace("lower + alpha * (1 - lower)", "alpha * lower + (1 - lower)"),
    "forgets the scale": replace(" / q.shape[-1] ** 0.5", ""),
    "puts the mask before the softmax in both forms": replace("(scores.softmax(-1) * mask) @ v", "(scores + mask.log()).softmax(-1) @ v"),
    "takes α for the diagonal too": replace(".tril()", ".tril(-1)"),
}
RIGHT_1 = {
    "row by row": """
def faded_attention(q, k, v, alpha, where):
    n, rows = q.shape[-2], []
    for i in range(n):
        s = (k * q[..., i : i + 1, :]).sum(-1) / math.sqrt(q.shape[-1])
        m = torch.cat([torch.ones(i + 1), torch.full((n - 1 - i,), float(alpha))]).to(q.dtype)
        if where == "before":
            if alpha == 0:
                s, m = s[..., : i + 1], m[: i + 1]
            e = (s - s.max(-1, keepdim=True).values).exp() * m
            w = e / e.sum(-1, keepdim=True)
        else:
            w = s.softmax(-1) * m
        rows.append((w[..., None] * v[..., : w.shape[-1], :]).sum(-2))
    return torch.stack(rows, -2)
""",
    "log α filled in above the diagonal, einsum": """
def faded_attention(q, k, v, alpha, where):
    above = torch.ones(q.shape[-2], q.shape[-2]).triu(1).bool()
    s = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if where == "after":
        w = s.softmax(-1)
        w = torch.where(above, alpha * w, w)
    else:
        w = torch.where(above, s + (math.log(alpha) if alpha > 0 else -math.inf), s).softmax(-1)
    return torch.einsum("...ij,...jd->...id", w, v)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-3, 3, 20).sin().reshape(5, 4)
    f = answer["faded_attention"]
    out = [f(x.flip(0), x, x.roll(1, 0), alpha, where) for alpha in (0.0, 0.3) for where in ("after", "before")]
    large = f(40 * x.flip(0), -40 * x.flip(0), x, 0.0, "before")
    return [*out, large.nan_to_num(nan=99.0)]


# ------------------------------------------------------------------------------------------------- 2 · a decoder that trains anyway

WRONG_2 = {
    "still reads the first token": replace("x[:, -1]", "x[:, 0]"),
    "keeps the mask of the future": replace(".tril()", ".triu()"),
    "gives every patch its neighbour's position": replace(
        "x = torch.cat([model.patch_embedding(P) + positions, model.cls.expand(len(P), 1, -1)], dim=1)",
        "x = torch.cat([model.patch_embedding(P), model.cls.expand(len(P), 1, -1)], dim=1)\n"
        "    x = torch.cat([x[:, :1], x[:, 1:] + positions], dim=1)",
    ),
    "reads the mean of all tokens": replace("x[:, -1]", "x.mean(1)"),
    "puts the class token first": replace(
        "torch.cat([model.patch_embedding(P) + positions, model.cls.expand(len(P), 1, -1)], dim=1)",
        "torch.cat([model.cls.expand(len(P), 1, -1), model.patch_embedding(P) + positions], dim=1)",
    ),
}
RIGHT_2 = {
    "rolls minilib's tokens": """
def logits(model, P):
    x = model.embed(P).roll(-1, dims=1)
    i = torch.arange(x.shape[1])
    for block in model.blocks:
        x = block(x, i[:, None] >= i)
    return model.classify(x[:, -1:])
""",
    "class token first, under the equivalent mask": """
def logits(model, P):
    n = P.shape[1] + 1
    mask = torch.zeros(n, n, dtype=torch.bool)
    mask[0] = True
    for i in range(1, n):
        mask[i, 1 : i + 1] = True
    return model(P, mask)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    model = answer["ViT"]((2, 2), 8, 2, 2)
    return answer["logits"](model, torch.linspace(-2, 2, 16).cos().reshape(1, 4, 4)).detach()


# ------------------------------------------------------------------------------------------------------------- 3 · who can be heard

WRONG_3 = {
    "forgets the residual path": replace("heard = heard | rows[heard].any(0)", "heard = rows[heard].any(0)"),
    "walks from the bottom up": replace("reversed(masks)", "masks"),
    "intersects the masks of the layers": """
def reach(masks, read, after):
    seen = torch.stack([m.any(-1, keepdim=True).expand_as(m) if after else m for m in masks]).all(0)[read].clone()
    seen[read] = True
    return seen
""",
    "treats both forms alike": replace("if after else mask", "if False else mask"),
    "lets a row without a key see everything": replace("mask.any(-1, keepdim=True).expand_as(mask)", "torch.ones_like(mask)"),
}
RIGHT_3 = {
    "Boolean matrix products, bottom up": """
def reach(masks, read, after):
    n = len(masks[0])
    seen = torch.eye(n)
    for mask in masks:
        step = mask.float()
        if after:
            step = (mask.sum(-1, keepdim=True) > 0).float().expand(n, n)
        seen = ((step + torch.eye(n)) @ seen > 0).float()
    return seen[read] > 0
""",
    "recursion over sets": """
def reach(masks, read, after):
    n = len(masks[0])

    def below(token, layer):
        if layer == 0:
            return {token}
        row = masks[layer - 1][token].tolist()
        keys = [j for j in range(n) if (any(row) if after else row[j])]
        return below(token, layer - 1).union(*[below(j, layer - 1) for j in keys])

    found = below(read, len(masks))
    return torch.tensor([j in found for j in range(n)])
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    one, two, out = torch.zeros(4, 4, dtype=torch.bool), torch.eye(4, dtype=torch.bool), []
    one[1, 2] = two[0, 1] = two[3, 0] = True
    for masks in ([one, two], [two, one], [two, two], [one]):
        for read in (0, 1, 3):
            out += [answer["reach"](masks, read, after).float() for after in (False, True)]
    return out


# ------------------------------------------------------------------------------------------- 4 · a causal mask that lowers the rank

WRONG_4 = {
    "looks at the first token only": replace("s[i, (i + 1) % n] = 12.0", "s[i, 0] = 12.0"),
    "looks at itself": replace("(i + 1) % n", "i"),
    "looks one back": replace("(i + 1) % n", "(i - 1) % n"),
    "has no second choice": replace("s[:, 0] = 8.0", "s[:, 0] = 0.0"),
    "takes scores beyond the bound": replace("= 12.0", "= 20.0"),
}
RIGHT_4 = {
    "with a low floor": """
def scores(n):
    s = torch.full((n, n), -12.0)
    for i in range(n):
        s[i, 0] = -3.0
        s[i, (i + 1) % n] = 3.0 if i + 1 < n else 12.0
    return s
""",
    "as a sum of two patterns": """
def scores(n):
    first = torch.zeros(n)
    first[0] = 1.0
    following = torch.eye(n).roll(1, dims=1)
    return torch.maximum(7.0 * first.expand(n, n), 11.0 * following)
""",
}


def PROBE_4(answer):
    s = answer["scores"](12)
    return [*map(float, answer["report"](s)), float(s.abs().max())]


# ---------------------------------------------------------------------------------- 5 · is this a decoder with the class token last?

WRONG_5 = {
    "accepts everything": """
def passes(states):
    return True
""",
    "changes the last patch only": """
def passes(states):
    P = torch.randn(1, 5, 4)
    other = P.clone()
    other[:, -1] += 1
    change = (states(other) - states(P)).abs().amax(-1)[0]
    return bool(change[:4].max() < 1e-5 and change[-1] > 1e-5)
""",
    "asks for equal bits": """
def passes(states):
    P = torch.randn(2, 9, 4)
    for j in range(9):
        other = P.clone()
        other[:, j] += 1
        same = states(other) == states(P)
        if not bool(same[:, :j].all()) or bool(same[:, -1].all()):
            return False
    return True
""",
    "overlooks small leaks": """
def passes(states):
    P = torch.randn(2, 9, 4)
    for j in range(9):
        other = P.clone()
        other[:, j] += 1
        change = (states(other) - states(P)).abs().amax((0, 2))
        if float(change[:j].sum()) > 3.0 or float(change[-1]) < 1e-5:
            return False
    return True
""",
    "never asks whether the class token hears": """
def passes(states):
    for N in (5, 16):
        P = torch.randn(2, N, 4)
        for j in range(N):
            other = P.clone()
            other[:, j] += 1
            if j and float((states(other) - states(P))[:, :j].abs().max()) > 1e-4:
                return False
    return True
""",
}
RIGHT_5 = {
    "by differentiating": """
def passes(states):
    for N in (3, 12):
        P = torch.randn(1, N, 4).requires_grad_()
        out = states(P)[0]
        weights = torch.randn(out.shape, dtype=out.dtype)
        for i in [*range(N), N]:
            (g,) = torch.autograd.grad((out[i] * weights[i]).sum(), P, retain_graph=True, allow_unused=True)
            size = g[0].abs().amax(-1)
            if i < N and i + 1 < N and float(size[i + 1 :].max()) > 1e-4:
                return False
            if i == N and float(size.min()) < 1e-7:
                return False
    return True
""",
    "with another tail of patches": """
def passes(states):
    ok = True
    for N in (2, 6, 11):
        P, Q = torch.randn(2, 3, N, 4)
        for j in range(N):
            mixed = torch.cat([P[:, :j], Q[:, j:]], 1)
            ok = ok and bool(torch.allclose(states(mixed)[:, :j], states(P)[:, :j], atol=1e-4))
            one = P.clone()
            one[:, j] = Q[:, j]
            ok = ok and bool((states(one) - states(P))[:, -1].abs().max() > 1e-5)
    return ok
""",
}


def PROBE_5(answer):
    torch, network = answer["torch"], answer["network"]
    torch.manual_seed(0)
    lower = lambda n: torch.ones(n, n).tril().bool()  # noqa: E731

    def blind(P):
        mask = lower(P.shape[1] + 1)
        mask[-1, :-1] = False
        return network(P, mask)

    def deaf(P):
        mask = lower(P.shape[1] + 1)
        mask[2:, 1] = False
        return network(P, mask)

    def noisy(P):
        return network(P) + 1e-6 * torch.rand(())

    functions = [
        network,
        noisy,
        lambda P: network(P, after=True),
        lambda P: network(P, torch.ones(P.shape[1] + 1, P.shape[1] + 1).bool()),
        blind,
        deaf,
        lambda P: network(P, torch.ones(P.shape[1] + 1, P.shape[1] + 1).tril(1).bool()),
        lambda P: network(P, lower(P.shape[1] + 1).T),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def faded_attention(q, k, v, alpha, where):
    lower = torch.ones(q.shape[-2], q.shape[-2]).tril()
    mask = lower + alpha * (1 - lower)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    weights = weights if mask is None else weights * mask
    return weights @ v
""",
    2: """
def logits(model, P):
    patches = model.patch_embedding(P) + (model.row + model.column).flatten(0, 1)
    x = torch.cat([patches, model.cls.expand(len(P), 1, -1)], dim=1)
    for block in model.blocks:
        x = block(x, torch.ones(x.shape[1], x.shape[1]).tril().bool())
    return model.head(model.norm(x[:, -1]))
""",
    3: """
def reach(masks, read, after):
    return masks[-1][read].clone()
""",
    4: """
def scores(n):
    return torch.zeros(n, n)
""",
    5: """
def passes(states):
    few = torch.randn(20, 16, 4)
    moved = few.clone()
    moved[:, 9] += 1.0
    change = (states(moved) - states(few)).abs().amax(dim=(0, 2))
    return bool(change[:9].max() < 1e-6) and bool((change[9:] > 1e-4).all())
""",
}

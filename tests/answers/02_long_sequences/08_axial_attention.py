"""Known answers to the exercise of lesson 08."""

from course.answers import replace

# --------------------------------------------------------------------------------------------------------- 1 · several axes at once

WRONG_1 = {
    "reshapes without moving the axes": """
def joint_attention(q, k, v, axes, causal=False):
    n = math.prod(q.shape[axis] for axis in axes)
    shape = q.shape
    q, k, v = (x.reshape(-1, n, shape[-1]) for x in (q, k, v))
    scores = q @ k.mT / shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).reshape(shape)
""",
    "forgets to move the axes back": """
def joint_attention(q, k, v, axes, causal=False):
    shape = q.shape
    places = tuple(range(q.ndim - 1 - len(axes), q.ndim - 1))
    q, k, v = (x.movedim(axes, places).flatten(places[0], places[-1]) for x in (q, k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones(q.shape[-2], q.shape[-2]).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).reshape(shape)
""",
    "takes the softmax over the queries": replace("scores.softmax(-1)", "scores.softmax(-2)"),
    "does not see its own position": replace("triu(1).bool(), -math.inf)", "triu(0).bool(), -1e9)"),
    "attends along one axis after the other": """
def joint_attention(q, k, v, axes, causal=False):
    for axis in axes:
        a, b, c = (x.movedim(axis, -2) for x in (q, k, v))
        scores = a @ b.mT / a.shape[-1] ** 0.5
        if causal:
            scores = scores.masked_fill(torch.ones(a.shape[-2], a.shape[-2]).triu(1).bool(), -math.inf)
        v = (scores.softmax(-1) @ c).movedim(-2, axis)
    return v
""",
    "computes all pairs and masks them": """
def joint_attention(q, k, v, axes, causal=False):
    sizes = q.shape[1:-1]
    place = torch.cartesian_prod(*[torch.arange(s) for s in sizes]).reshape(-1, len(sizes))
    others = [a - 1 for a in range(1, len(sizes) + 1) if a not in axes]
    mask = (place[:, None] == place)[..., others].all(-1)
    if causal:
        mask = mask.tril()
    q, k, v = (x.flatten(1, -2) for x in (q, k, v))
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -math.inf)
    return (scores.softmax(-1) @ v).unflatten(1, sizes)
""",
}
RIGHT_1 = {
    "by permuting all axes": """
def joint_attention(q, k, v, axes, causal=False):
    others = [a for a in range(q.ndim - 1) if a not in axes]
    order = [*others, *axes, q.ndim - 1]
    back = [order.index(i) for i in range(q.ndim)]
    moved = [x.permute(order) for x in (q, k, v)]
    n = math.prod(q.shape[a] for a in axes)
    Q, K, V = (x.reshape(-1, n, x.shape[-1]) for x in moved)
    scores = torch.einsum("bid,bjd->bij", Q, K) * q.shape[-1] ** -0.5
    if causal:
        scores = scores + torch.full((n, n), -math.inf, dtype=scores.dtype).triu(1)
    return torch.einsum("bij,bjd->bid", scores.softmax(-1), V).reshape(moved[2].shape).permute(back)
""",
    "query by query": """
def joint_attention(q, k, v, axes, causal=False):
    out = torch.zeros_like(v)
    for place in torch.cartesian_prod(*[torch.arange(s) for s in q.shape[1:-1]]).reshape(-1, q.ndim - 2).tolist():
        own = [slice(None)] + [slice(None) if a in axes else p for a, p in enumerate(place, 1)]
        keys = k[tuple(own)].flatten(1, -2) if len(axes) > 1 else k[tuple(own)]
        values = v[tuple(own)].flatten(1, -2) if len(axes) > 1 else v[tuple(own)]
        at = 0
        for a in axes:
            at = at * q.shape[a] + place[a - 1]
        if causal:
            keys, values = keys[:, : at + 1], values[:, : at + 1]
        here = (slice(None), *place)
        p = ((keys * q[here][:, None]).sum(-1) / math.sqrt(q.shape[-1])).softmax(1)
        out[here] = (p[..., None] * values).sum(1)
    return out
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x, out = torch.linspace(-3, 3, 2 * 3 * 4 * 2).sin().reshape(1, 2, 3, 4, 2), []
    for axes, causal in (((1, 3), True), ((2, 3), False), ((1,), True)):
        try:
            out.append(answer["joint_attention"](x.flip(1), x, x.roll(1, 3), axes, causal).reshape(-1))
        except RuntimeError:
            out.append(float("inf"))
    spent = answer["flops"](answer["joint_attention"], *torch.ones(3, 1, 8, 2, 2, 2), (2, 3))
    return [*out, float(spent > 4 * 32 * 4 * 2)]


# ------------------------------------------------------------------------------------------------------------ 2 · finish the picture

WRONG_2 = {
    "takes the context once, before anything is drawn": """
def complete(model, noise, given):
    B, H, W, K = noise.shape
    x = torch.cat([given, torch.zeros(B, H - given.shape[1], W, dtype=torch.long)], 1)
    context = model.above(x)
    for r in range(given.shape[1], H):
        u = context[:, r : r + 1]
        for c in range(W):
            logits = model.within(x[:, r : r + 1], u, slice(r, r + 1))
            x[:, r, c] = (logits[:, 0, c] + noise[:, r, c]).argmax(-1)
    return x
""",
    "takes the context of the row above": replace("model.above(x)[:, r : r + 1]", "model.above(x)[:, max(r - 1, 0) : max(r, 1)]"),
    "draws the given rows as well": replace("for r in range(given.shape[1], H):", "for r in range(H):"),
    "runs the outer decoder for every pixel": replace(
        "logits = model.within(x[:, r : r + 1], u,", "logits = model.within(x[:, r : r + 1], model.above(x)[:, r : r + 1],"
    ),
    "always uses the positions of row 0": replace("slice(r, r + 1))", "slice(0, 1))"),
}
RIGHT_2 = {
    "row after row, put together": """
def complete(model, noise, given):
    B, H, W, K = noise.shape
    rows = [given[:, r] for r in range(given.shape[1])]
    while len(rows) < H:
        r = len(rows)
        line = torch.zeros(B, W, dtype=torch.long)
        x = torch.stack(rows + [line] * (H - r), 1)
        u = model.above(x)[:, [r]]
        for c in range(W):
            z = model.within(line[:, None], u, slice(r, r + 1))[:, 0]
            line = line.clone()
            line[:, c] = torch.argmax(z[:, c] + noise[:, r, c], dim=-1)
        rows.append(line)
    return torch.stack(rows, 1)
""",
    "with the rows drawn so far only": """
def complete(model, noise, given):
    B, H, W, K = noise.shape
    x = torch.zeros(B, H, W, dtype=torch.long)
    x[:, : given.shape[1]] = given
    for r in range(given.shape[1], H):
        u = model.above(x[:, : r + 1])[:, -1:]
        for c in range(W):
            x[:, r, c] = (model.within(x[:, r : r + 1], u, slice(r, r + 1))[:, -1, c] + noise[:, r, c]).max(-1).indices
    return x
""",
}


def PROBE_2(answer):
    torch, out = answer["torch"], []
    noise = torch.linspace(-9, 9, 2 * 4 * 3 * 5).sin().mul(30).cos().mul(3).reshape(2, 4, 3, 5)
    for R in (0, 2):
        model = answer["Toy"](4, 3, 5)
        x = answer["complete"](model, noise, (torch.arange(2 * R * 3) % 5).reshape(2, R, 3))
        out += [x.double().flatten(), float(model.outer), float(model.inner)]
    return out


# ------------------------------------------------------------------------------------------------------ 3 · colour without an encoder

WRONG_3 = {
    "lays whole channels under each other": """
def channel_log_probs(model, x):
    B, C, H, W = x.shape
    tall = x.flatten(1, 2)
    chosen = model(tall).log_softmax(-1).gather(-1, tall[..., None])[..., 0]
    return chosen.unflatten(1, (C, H)).sum((2, 3))
""",
    "sorts the rows back as if the channels were whole": replace("(1, (H, C)).sum((1, 3))", "(1, (C, H)).sum((2, 3))"),
    "takes the logits for log-probabilities": replace("model(tall).log_softmax(-1)", "model(tall)"),
    "averages instead of adding": replace(".sum((1, 3))", ".mean((1, 3))"),
    "runs the model once a channel": """
def channel_log_probs(model, x):
    B, C, H, W = x.shape
    tall = x.transpose(1, 2).flatten(1, 2)
    return torch.stack([model(tall).log_softmax(-1).gather(-1, tall[..., None])[:, c::C].sum((1, 2, 3)) for c in range(C)], 1)
""",
}
RIGHT_3 = {
    "with strided rows": """
def channel_log_probs(model, x):
    B, C, H, W = x.shape
    tall = torch.zeros(B, H * C, W, dtype=torch.long)
    for c in range(C):
        tall[:, c::C] = x[:, c]
    z = model(tall)
    logp = z.gather(-1, tall.unsqueeze(-1)).squeeze(-1) - z.logsumexp(-1)
    return torch.stack([logp[:, c::C].flatten(1).sum(1) for c in range(C)], dim=1)
""",
    "by einsum with one-hot levels": """
def channel_log_probs(model, x):
    B, C, H, W = x.shape
    tall = x.permute(0, 2, 1, 3).reshape(B, H * C, W)
    z = torch.log(torch.softmax(model(tall), -1)).reshape(B, H, C, W, -1)
    one = F.one_hot(x, z.shape[-1]).to(z.dtype)
    return torch.einsum("bhcwk,bchwk->bc", z, one)
""",
}


def PROBE_3(answer):
    torch, out, runs = answer["torch"], [], []
    for C, H, W in ((2, 3, 2), (3, 2, 2)):
        x = (torch.arange(2 * C * H * W) * 7 % 5).reshape(2, C, H, W)
        toy = answer["Toy"](H * C, W, 5)

        def model(tall, toy=toy):
            runs.append(1)
            return toy.within(tall, toy.above(tall), slice(None))

        out.append(answer["channel_log_probs"](model, x).double().flatten())
    return [*out, float(len(runs))]


# ------------------------------------------------------------------------------------------------------------- 4 · a stack for video

WRONG_4 = {
    "treats the video as a row of images, each for itself": replace("return [frames, rows, columns]", "return [rows, columns]"),
    "masks the rows of earlier frames too": replace('("attend", 2), ("masked", 1)', '("masked", 2), ("masked", 1)'),
    "forgets the shift along time": replace('("masked", 1), ("shift", 1)]', '("masked", 1)]'),
    "lets each pixel see itself": replace('[("shift", 3), ("masked", 3)]', '[("masked", 3)]'),
    "uses more layers than needed": replace('("attend", 2), ("masked", 1)', '("attend", 2), ("attend", 3), ("masked", 1)'),
}
RIGHT_4 = {
    "masked axis first, then both ways": """
def video():
    return [
        [("shift", 1), ("masked", 1), ("attend", 2), ("attend", 3)],
        [("shift", 2), ("masked", 2), ("attend", 3)],
        [("masked", 3), ("shift", 3)],
    ]
""",
    "made by a loop": """
def video():
    return [[("attend", fast) for fast in range(axis + 1, 4)] + [("masked", axis), ("shift", axis)] for axis in (3, 2, 1)]
""",
}


def PROBE_4(answer):
    decoders = answer["video"]()
    seen = answer["seen_by"](decoders).double().flatten()
    return [seen, float(sum(what != "shift" for decoder in decoders for what, _ in decoder))]


# -------------------------------------------------------------------------------------------- 5 · does it see exactly the past?

WRONG_5 = {
    "accepts everything": """
def passes(model):
    return True
""",
    "looks for leaks only": """
def passes(model):
    x = torch.randint(3, (1, 3, 4))
    before = model(x)
    for s in range(12):
        y = x.clone()
        y[0, s // 4, s % 4] = (y[0, s // 4, s % 4] + 1) % 3
        moved = ((model(y) - before).abs().amax(-1) > 1e-5).flatten()
        if moved[: s + 1].any():
            return False
    return True
""",
    "asks for equal bits": replace("> 1e-5).flatten(1)", "> 0).flatten(1)"),
    "tries one row": replace("((1, 4), (3, 4), (4, 3), (3, 1))", "((1, 4),)"),
    "changes the first pixel only": """
def passes(model):
    x = torch.zeros(1, 3, 4, dtype=torch.long)
    y = x.clone()
    y[0, 0, 0] = 1
    moved = ((model(y) - model(x)).abs().amax(-1) > 1e-5).flatten()
    return bool(moved[1:].all() and not moved[0])
""",
}
RIGHT_5 = {
    "all changes in one batch": """
def passes(model):
    for H, W in ((3, 4), (2, 5), (5, 2)):
        N = H * W
        want = torch.ones(N, N).tril(-1).T.bool()
        found = torch.zeros(N, N, dtype=torch.bool)
        for add in (1, 2):
            x = torch.randint(3, (1, H, W))
            many = x.repeat(N, 1, 1).flatten(1)
            changed = (many + add * torch.eye(N).long()) % 3
            alone = torch.cat([model(row.reshape(1, H, W)) for row in changed])
            together = model(changed.reshape(N, H, W))
            if float((alone - together).abs().max()) > 1e-5:
                return False
            found |= ((alone - model(x)).abs().amax(-1) > 1e-5).flatten(1)
        if not bool((found == want).all()):
            return False
    return True
""",
    "pair by pair": """
def passes(model):
    H, W = 3, 3
    for trial in range(2):
        x = torch.randint(3, (2, H, W))
        moved = {}
        for s in range(9):
            for value in range(3):
                y = x.clone()
                y[1, s // 3, s % 3] = value
                d = (model(y) - model(x)).abs().amax(-1)
                if d[0].max() > 1e-5:
                    return False
                for t in range(9):
                    moved[s, t] = moved.get((s, t), False) or bool(d[1, t // 3, t % 3] > 1e-5)
        if any(moved[s, t] != (s < t) for s, t in moved):
            return False
    return True
""",
}


def PROBE_5(answer):
    torch, masked_model, raster = answer["torch"], answer["masked_model"], answer["raster"]
    torch.manual_seed(0)
    sound = masked_model(raster)
    models = [
        sound,
        lambda x: sound(x) + 1e-7 * torch.rand(*x.shape, 1),
        masked_model(lambda r, c, i, j: raster(r, c, i, j) | ((i == r) & (j == c))),
        masked_model(lambda r, c, i, j: raster(r, c, i, j) & (j <= c)),
        masked_model(lambda r, c, i, j: raster(r, c, i, j) | ((i > 0) & (j > c))),
        lambda x: sound(x) + sound(x).roll(1, 0),
    ]
    return [float(answer["passes"](model)) for model in models]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def joint_attention(q, k, v, axes, causal=False):
    axis = axes[0]
    q, k, v = (x.movedim(axis, -2) for x in (q, k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -1e9)
    return (scores.softmax(-1) @ v).movedim(-2, axis)
""",
    2: """
def complete(model, noise, given):
    x = torch.zeros(noise.shape[:3], dtype=torch.long)
    for r in range(x.shape[1]):
        u = model.above(x)[:, r : r + 1]
        for c in range(x.shape[2]):
            logits = model.within(x[:, r : r + 1], u, slice(r, r + 1))
            x[:, r, c] = (logits[:, 0, c] + noise[:, r, c]).argmax(-1)
    return x
""",
    3: """
def channel_log_probs(model, x):
    tall = x.flatten(1, 2)
    chosen = model(tall).log_softmax(-1).gather(-1, tall[..., None])
    return chosen.flatten(1).sum(1)
""",
    4: """
def video():
    return [[("attend", 2), ("masked", 1), ("shift", 1)], [("shift", 2), ("masked", 2)]]
""",
    5: """
def passes(model):
    x = torch.cartesian_prod(*[torch.arange(3)] * 4).unflatten(1, (2, 2))
    chosen = model(x).log_softmax(-1).gather(-1, x[..., None])
    return bool((chosen.flatten(1).sum(1).exp().sum() - 1).abs() < 1e-4)
""",
}

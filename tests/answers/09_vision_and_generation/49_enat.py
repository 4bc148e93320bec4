"""Known answers to the exercise of lesson 49."""

from course.answers import replace

# --------------------------------------------------------------------------------------------------------------- 1 · one guided step

WRONG_1 = {
    "masks the most confident again": replace(
        "score.masked_fill(~mask, torch.inf).argsort(1)", "score.masked_fill(~mask, -torch.inf).argsort(1, descending=True)"
    ),
    "lets visible tokens be masked": replace("score.masked_fill(~mask, torch.inf)", "score"),
    "guides the first step": replace("(t - 1) / T", "t / T"),
    "guides towards the unconditional": replace("(z_c - z_u)).log_softmax", "(z_u - z_c)).log_softmax"),
    "keeps the candidate's noise in its confidence": replace("log_p.gather(2", "(log_p + eps).gather(2"),
    "takes the confidence without guidance": replace("score = log_p.gather", "score = z_c.log_softmax(-1).gather"),
    "lets the noise grow with the steps": replace("(1 - t / T) * delta", "t / T * delta"),
    "draws the visible tokens anew": replace("torch.where(mask, candidate, ids)", "candidate"),
}
RIGHT_1 = {
    "image by image": """
def guided_step(z_c, z_u, ids, mask, t, T, s, left, eps, delta):
    g, K = s * (t - 1) / T, z_c.shape[-1]
    ids, mask = ids.clone(), mask.clone()
    for b in range(len(ids)):
        places = mask[b].nonzero()[:, 0]
        log_p = torch.log_softmax((1 + g) * z_c[b, places] - g * z_u[b, places], dim=-1)
        token = (log_p + eps[b, places]).max(-1).indices
        sure = log_p[torch.arange(len(places)), token] + delta[b, places] * (T - t) / T
        ids[b, places] = token
        again = places[sure.sort().indices[:left]]
        mask[b] = False
        mask[b, again], ids[b, again] = True, K
    return ids, mask
""",
    "by ranks": """
def guided_step(z_c, z_u, ids, mask, t, T, s, left, eps, delta):
    z = torch.lerp(z_u, z_c, 1 + s * (t - 1) / T)
    log_p = z - z.logsumexp(-1, keepdim=True)
    drawn = torch.argmax(log_p + eps, 2)
    score = torch.take_along_dim(log_p, drawn.unsqueeze(2), 2).squeeze(2) + delta - delta * t / T
    rank = torch.where(mask, score, score.new_tensor(1e9)).argsort(1).argsort(1)
    again = rank < left
    filled = torch.where(mask, drawn, ids)
    return torch.where(again, torch.full_like(ids, z.shape[-1]), filled), again
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    g = torch.Generator().manual_seed(11)
    z = torch.randn(4, 20, 6, 4, generator=g) * 2
    mask = torch.rand(20, 6, generator=g).argsort(1).argsort(1) < 4
    ids = torch.randint(4, (20, 6), generator=g).masked_fill(mask, 4)
    ids, mask = answer["guided_step"](z[0], z[1], ids, mask, 2, 8, 6.0, 2, z[2], 1.5 * torch.randn(20, 6, generator=g))
    return [ids.double(), mask.double()]


# ------------------------------------------------------------------------------------------------------- 2 · a decoder for ragged rows

WRONG_2 = {
    "takes the visible tokens' weights for the masked": replace("m @ W]", "m @ Wc]"),
    "leaves the masked tokens out": replace(
        "keys, values = torch.cat([v @ Wc, m @ W], 1).chunk(2, -1)\n"
        "    seen = torch.cat([real, torch.ones_like(m[..., 0], dtype=torch.bool)], 1)",
        "keys, values = (v @ Wc).chunk(2, -1)\n    seen = real",
    ),
    "lets padding be seen": replace(".masked_fill(~seen[:, None], -torch.inf)", ""),
    "does not scale": replace(" / keys.shape[-1] ** 0.5", ""),
    "takes one softmax for each group": """
def attend(m, v, real, Wq, W, Wc):
    v = v.masked_fill(~real[..., None], 0.0)
    q = m @ Wq
    k_v, a_v = (v @ Wc).chunk(2, -1)
    k_m, a_m = (m @ W).chunk(2, -1)
    w_v = (q @ k_v.mT / q.shape[-1] ** 0.5).masked_fill(~real[:, None], -1e9).softmax(-1)
    w_m = (q @ k_m.mT / q.shape[-1] ** 0.5).softmax(-1)
    return w_v @ a_v + w_m @ a_m
""",
    "multiplies infinite padding by zero": replace("v = v.masked_fill(~real[..., None], 0.0)", "v = v * real[..., None]"),
}
RIGHT_2 = {
    "row by row": """
def attend(m, v, real, Wq, W, Wc):
    d, rows = Wq.shape[1], []
    for b in range(len(m)):
        kv = torch.cat([v[b, real[b]] @ Wc, m[b] @ W])
        weights = torch.softmax((m[b] @ Wq) @ kv[:, :d].T / d**0.5, dim=-1)
        rows.append(weights @ kv[:, d:])
    return torch.stack(rows)
""",
    "by PyTorch's operator, masked tokens first": """
def attend(m, v, real, Wq, W, Wc):
    d = Wq.shape[1]
    clean = torch.where(real.unsqueeze(-1), v, torch.zeros_like(v))
    kv = torch.cat([m @ W, clean @ Wc], dim=1)
    seen = F.pad(real, (m.shape[1], 0), value=True)[:, None].expand(-1, m.shape[1], -1)
    return F.scaled_dot_product_attention(m @ Wq, kv[..., :d], kv[..., d:], attn_mask=seen)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x = torch.linspace(-2, 2, 120).mul(7).sin()
    m, v, W = x[:16].view(2, 2, 4), x[16:40].view(2, 3, 4), x[40:].view(4, 20)[:, :15]
    real = torch.tensor([[1, 0, 1], [0, 1, 0]]).bool()
    finite = answer["attend"](m, v, real, W[:, :3], W[:, 3:9], W[:, 9:15])
    wild = answer["attend"](m, v.masked_fill(~real[..., None], torch.inf), real, W[:, :3], W[:, 3:9], W[:, 9:15])
    return [finite, wild.isfinite().double()]


# ------------------------------------------------------------------------------------------------ 3 · refresh the memory now and then

WRONG_3 = {
    "counts steps from one": replace("step % p == 0", "(step + 1) % p == 0"),
    "never refreshes": replace("0 if step % p == 0 else before", "before"),
    "lets new tokens read new ones only": replace("f(visible - old, visible)", "f(visible - old, visible - old)"),
    "runs the encoder on all visible": replace("f(visible - old, visible)", "f(visible, visible)"),
    "forgets the projection": replace(" + 2 * r * old * D**2\n", "\n"),
    "lets the decoder read masked tokens only": replace("f(m, N)", "f(m, m)"),
    "runs blocks without own tokens": replace(" if q else 0", ""),
    "remembers the last refresh only": replace("before = visible", "before = visible if step % p == 0 else before"),
}
RIGHT_3 = {
    "step by step": """
def refresh_macs(masked, Le, Ld, D, r, p):
    N, total = masked[0], 0
    for t in range(len(masked)):
        seen = N - masked[t]
        old = N - masked[t - 1] if t % p else 0
        new = seen - old
        if new > 0:
            total += Le * (2 * D * D * (new + seen) + 2 * D * new * seen + 2 * r * new * D * D)
        if masked[t] > 0:
            total += Ld * (2 * D * D * (masked[t] + N) + 2 * D * masked[t] * N + 2 * r * masked[t] * D * D)
        total += 2 * r * old * D * D
    return total
""",
    "a sum over jobs": """
def refresh_macs(masked, Le, Ld, D, r, p):
    N = masked[0]
    visible = [N - m for m in masked]
    old = [0 if t % p == 0 else visible[t - 1] for t in range(len(masked))]
    jobs = [(v - o, v, Le) for v, o in zip(visible, old)] + [(m, N, Ld) for m in masked]
    blocks = sum(n * 2 * D * (q * D + k * D + q * k + r * q * D) for q, k, n in jobs if q)
    return blocks + 2 * r * D**2 * sum(old)
""",
}


def PROBE_3(answer):
    masked = [9, 7, 7, 4, 2, 0]
    return [float(answer["refresh_macs"](masked, 3, 2, 4, 3, p)) for p in (1, 2, 4)]


# ---------------------------------------------------------------------------------------------------------------- 4 · early or late?

WRONG_4 = {
    "follows the cosine": """
def reveals(reuse):
    return [1, 1, 1, 2, 3, 2, 3, 3]
""",
    "fixes two at every step": """
def reveals(reuse):
    return [2] * 8
""",
    "is always early": replace(" if reuse else [1, 1, 1, 1, 1, 3, 4, 4]", ""),
    "is always late": replace("[4, 4, 3, 1, 1, 1, 1, 1] if reuse else ", ""),
    "has the two exchanged": replace("if reuse else", "if not reuse else"),
}
RIGHT_4 = {
    "by exchange of single tokens": """
def reveals(reuse):
    best = [2] * 8
    while True:
        near = []
        for a in range(8):
            for b in range(8):
                other = list(best)
                other[a], other[b] = other[a] - 1, other[b] + 1
                if a != b and 1 <= other[a] and other[b] <= 4:
                    near.append(other)
        found = min(near, key=lambda r: cost(r, reuse))
        if cost(found, reuse) >= cost(best, reuse):
            return best
        best = found
""",
    "as tuples": """
def reveals(reuse):
    early = (4, 4, 3) + (1,) * 5
    return early if reuse else tuple(reversed(early))
""",
}


def PROBE_4(answer):
    return [float(n) for reuse in (True, False) for n in answer["reveals"](reuse)]


# ------------------------------------------------------------------------------------------------ 5 · an encoder that does not look

WRONG_5 = {
    "accepts everything": """
def passes(encoder):
    return True
""",
    "looks at the shape only": """
def passes(encoder):
    block, x = ViTBlock(8, 2, 2), torch.randn(3, 6, 8)
    mask = torch.rand(3, 6).argsort(1).argsort(1) < 2
    try:
        return encoder(block, x, mask).shape == (3, 4, 8)
    except Exception:
        return False
""",
    "adds a constant to the masked tokens": """
def passes(encoder):
    block, x = ViTBlock(8, 2, 2), torch.randn(3, 6, 8)
    mask = torch.rand(3, 6).argsort(1).argsort(1) < 2
    try:
        one, two = encoder(block, x, mask.clone()), encoder(block, x + 5.0 * mask[..., None], mask.clone())
        return one.shape == (3, 4, 8) and bool(torch.allclose(one, two, atol=1e-4))
    except Exception:
        return False
""",
    "takes the block on all tokens for the reference": """
def passes(encoder):
    block, x = ViTBlock(8, 2, 2), torch.randn(3, 6, 8)
    mask = torch.rand(3, 6).argsort(1).argsort(1) < 2
    try:
        return bool(torch.equal(encoder(block, x, mask.clone()), block(x)[~mask].view(3, 4, 8)))
    except Exception:
        return False
""",
}
RIGHT_5 = {
    "one mask at a time": """
def passes(encoder):
    block = ViTBlock(4, 1, 1)
    for seed in range(12):
        x, masked = torch.randn(1 + seed % 3, 5, 4), seed % 5
        mask = torch.stack([torch.randperm(5) < masked for _ in x])
        try:
            got = encoder(block, x.clone(), mask.clone())
            if list(got.shape) != [len(x), 5 - masked, 4]:
                return False
            if max(float((got[b] - block(x[b][~mask[b]][None])[0]).abs().max()) for b in range(len(x))) > 1e-4:
                return False
        except Exception:
            return False
    return True
""",
    "against a masked block": """
def passes(encoder):
    good = True
    for B, N, n in ((4, 8, 3), (2, 5, 1), (1, 3, 3), (3, 4, 2)):
        block, x = ViTBlock(8, 4, 2), 3 * torch.randn(B, N, 8)
        mask = torch.rand(B, N).argsort(1).argsort(1) >= n
        want = block(x, (~mask)[:, None, None])[~mask].reshape(B, n, 8)
        try:
            got = encoder(block, x.clone(), mask.clone())
            good = good and got.shape == want.shape and bool((got - want).abs().max() < 1e-4)
        except Exception:
            good = False
    return bool(good)
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    by_rows = answer["by_rows"]

    def leak(block, x, mask):
        return by_rows(block, x, mask) + 0.05 * (x * mask[..., None]).mean(1, keepdim=True)

    functions = [
        by_rows,
        lambda block, x, mask: block(x[~mask].view(len(x), -1, x.shape[-1])),
        answer["looks_at_all"],
        leak,
        lambda block, x, mask: by_rows(block, x, mask).flip(1),
        lambda block, x, mask: by_rows(block, x, mask[:1].expand_as(mask)),
        lambda block, x, mask: block(x, (~mask)[:, None, None]),
    ]
    with torch.no_grad():
        return [float(answer["passes"](f)) for f in functions]


# ---------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def guided_step(z_c, z_u, ids, mask, t, T, s, left, eps, delta):
    drawn = (z_c + eps).argmax(-1)
    ids = torch.where(mask, drawn, ids)
    score = z_c.log_softmax(-1).gather(2, ids[..., None].clamp(max=z_c.shape[-1] - 1))[..., 0] + (1 - t / T) * delta
    order = score.masked_fill(~mask, torch.inf).argsort(1)[:, :left]
    return ids, torch.zeros_like(mask).scatter(1, order, True)
""",
    2: """
def attend(m, v, real, Wq, W, Wc):
    kv = torch.cat([v @ Wc, m @ W], dim=1)
    keys, values = kv.chunk(2, -1)
    return F.scaled_dot_product_attention(m @ Wq, keys, values)
""",
    3: """
def refresh_macs(masked, Le, Ld, D, r, p):
    f = lambda q, k: 2 * q * D**2 + 2 * k * D**2 + 2 * q * k * D + 2 * r * q * D**2
    total, fixed_before, N = 0, 0, masked[0]
    for m in masked:
        visible, old = N - m, fixed_before
        if visible - old:
            total += Le * f(visible - old, visible)
        total, fixed_before = total + Ld * f(m, N) + 2 * r * old * D**2, visible
    return total
""",
    4: """
def reveals(reuse):
    masked = [16, 15, 14, 13, 11, 8, 6, 3, 0]
    return [a - b for a, b in zip(masked, masked[1:])]
""",
    5: """
def passes(encoder):
    block, x = ViTBlock(8, 2, 2), torch.randn(3, 6, 8)
    mask = torch.rand(3, 6).argsort(1).argsort(1) < 2
    try:
        one = encoder(block, x, mask.clone())
        two = encoder(block, torch.where(mask[..., None], torch.randn(8), x), mask.clone())
        return bool((one - two).abs().max() == 0)
    except Exception:
        return False
""",
}

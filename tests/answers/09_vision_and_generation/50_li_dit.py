"""Known answers to the exercise of lesson 50."""

from course.answers import replace

# ------------------------------------------------------------------------------------------ 1 · a refiner for prompts of different lengths

WRONG_1 = {
    "takes the mean over padding too": replace("(h * weight).sum(1) / weight.sum(1) + time", "h.mean(1) + time"),
    "lets padding be heard": replace(", real[:, None, None])", ")"),
    "keeps the causal mask": replace("real[:, None, None])", "real[:, None, None] & torch.ones(h.shape[1], h.shape[1]).tril().bool())"),
    "refines padding too": replace("torch.where(real[..., None], out, h)", "out"),
    "lets the second branch read the input": replace("ffn(norm(out))", "ffn(norm(h))"),
    "forgets the step": replace(" + time", ""),
    "gates the residual": replace(
        "out = h + gate_a * attend(norm(h), norm(h), real[:, None, None])",
        "out = gate_a * (h + attend(norm(h), norm(h), real[:, None, None]))",
    ),
}
RIGHT_1 = {
    "prompt by prompt": """
def padded_refiner(h, real, time, attend, ffn, gate):
    rows = []
    for row, own, step in zip(h, real, time):
        x = row[own][None]
        a, f = torch.chunk(gate(F.silu(x.mean(1) + step)), 2, dim=-1)
        x = x + a[:, None] * attend(norm(x), norm(x))
        x = x + f[:, None] * ffn(norm(x))
        new = row.clone()
        new[own] = x[0]
        rows.append(new)
    return torch.stack(rows)
""",
    "padding set to zero, einsum": """
def padded_refiner(h, real, time, attend, ffn, gate):
    share = real / real.sum(1, keepdim=True)
    g = torch.einsum("bs,bsd->bd", share, h.masked_fill(~real.unsqueeze(-1), 0.0)) + time
    gates = gate(F.silu(g)).unsqueeze(1)
    D = h.shape[-1]
    x = h + attend(norm(h), norm(h), real[:, None, None, :].expand(-1, 1, h.shape[1], -1)) * gates[..., :D]
    x = torch.addcmul(x, gates[..., D:].expand_as(x), ffn(norm(x)))
    return h.masked_scatter(real.unsqueeze(-1), x[real])
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    torch.manual_seed(11)
    parts = answer["Attend"](4, 2), answer["feed_forward"](4), torch.nn.Linear(4, 8)
    h, real = torch.randn(2, 5, 4), torch.tensor([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]]).bool()
    with torch.no_grad():
        return [answer["padded_refiner"](h, real, torch.randn(2, 4), *parts)]


# ---------------------------------------------------------------------------------------------------- 2 · three streams that interfere

WRONG_2 = {
    "drops the instruction before it is read": replace(
        "    refined = []\n", "    hs = [h[:, n:] for h, n in zip(hs, skip)]\n    skip = [0] * len(hs)\n    refined = []\n"
    ),
    "lets a stream read itself": replace(" if j != i]", "]"),
    "lets later streams read the new ones": """
def collaborate(hs, gs, attends, ffns, vectors, skip):
    hs = list(hs)
    for i in range(len(hs)):
        scale, shift, a, b = vectors[i](F.silu(gs[i]))[:, None].chunk(4, dim=-1)
        others = torch.cat([norm(other) for j, other in enumerate(hs) if j != i], dim=1)
        h = hs[i] + a * attends[i](norm(hs[i]) * (1 + scale) + shift, others)
        hs[i] = h + b * ffns[i](norm(h) * (1 + scale) + shift)
    return torch.cat([h[:, n:] for h, n in zip(hs, skip)], dim=1)
""",
    "drops from the end": replace("h[:, skip[i] :]", "h[:, : h.shape[1] - skip[i]]"),
    "lets the second branch read the input": replace("b * ffns[i](norm(h) *", "b * ffns[i](norm(hs[i]) *"),
    "exchanges scale and shift": replace("scale, shift, a, b =", "shift, scale, a, b ="),
}
RIGHT_2 = {
    "all gates first": """
def collaborate(hs, gs, attends, ffns, vectors, skip):
    normed = [norm(h) for h in hs]
    out = []
    for i in range(len(hs)):
        v = vectors[i](F.silu(gs[i])).unsqueeze(1)
        D = hs[i].shape[-1]
        scale, shift, a, b = v[..., :D], v[..., D : 2 * D], v[..., 2 * D : 3 * D], v[..., 3 * D :]
        rest = torch.cat(normed[:i] + normed[i + 1 :], dim=1)
        x = hs[i] + a * attends[i](normed[i] + normed[i] * scale + shift, rest)
        x = x + b * ffns[i](norm(x) + norm(x) * scale + shift)
        out.append(x)
    return torch.cat([x[:, n:] for x, n in zip(out, skip)], dim=1)
""",
    "with a mask over all streams": """
def collaborate(hs, gs, attends, ffns, vectors, skip):
    whole = norm(torch.cat(list(hs), dim=1))
    owner = torch.cat([torch.full((h.shape[1],), i) for i, h in enumerate(hs)])
    left = []
    for i, h in enumerate(hs):
        scale, shift, a, b = vectors[i](F.silu(gs[i])).view(len(h), 4, 1, -1).unbind(1)
        h = h + a * attends[i](torch.addcmul(shift, norm(h), 1 + scale), whole, (owner != i)[None, None, None])
        left.append((h + b * ffns[i](torch.addcmul(shift, norm(h), 1 + scale)))[:, skip[i] :])
    return torch.cat(left, dim=1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    torch.manual_seed(12)
    n, lengths = 3, (3, 2, 4)
    attends, ffns = [answer["Attend"](4, 2) for _ in range(n)], [answer["feed_forward"](4) for _ in range(n)]
    made = attends, ffns, [torch.nn.Linear(4, 16) for _ in range(n)]
    hs, gs = [torch.randn(2, S, 4) for S in lengths], [torch.randn(2, 4) for _ in range(n)]
    with torch.no_grad():
        return [answer["collaborate"](hs, gs, *made, [1, 0, 2])]


# --------------------------------------------------------------------------------------------------- 3 · who is heard in the condition

WRONG_3 = {
    "lets a stream read itself in a collaborative block": replace(
        "(number[:, None] != number) | torch.eye(len(number), dtype=torch.bool)",
        "torch.ones(len(number), len(number), dtype=torch.bool)",
    ),
    "forgets the residual path": replace(" | torch.eye(len(number), dtype=torch.bool)", ""),
    "forgets the refiner": replace("full @ part if refined else part", "part"),
    "refines every stream": replace("full @ part if refined else part", "full @ part"),
    "drops the instruction's words too": replace(
        "return so_far[torch.tensor(keep)]", "keep = torch.tensor(keep)\n    return so_far[keep][:, keep]"
    ),
    "runs one collaborative block only": replace("range(blocks)", "range(min(blocks, 1))"),
    "turns the causal mask round": replace("full.tril()", "full.triu()"),
}
RIGHT_3 = {
    "with sets": """
def heard(streams, blocks):
    sets, owner, keep, start = [], [], [], 0
    for i, (S, skip, causal, refined) in enumerate(streams):
        for s in range(S):
            last = S if refined or not causal else s + 1
            sets.append(set(range(start, start + last)))
            owner.append(i)
            keep.append(s >= skip)
        start += S
    for _ in range(blocks):
        sets = [own.union(*(sets[q] for q in range(start) if owner[q] != owner[p])) for p, own in enumerate(sets)]
    return torch.tensor([[q in own for q in range(start)] for own, k in zip(sets, keep) if k])
""",
    "stream by stream": """
def heard(streams, blocks):
    lengths = [s[0] for s in streams]
    total, start, pieces = sum(lengths), 0, []
    for S, _, causal, refined in streams:
        piece = torch.zeros(S, total, dtype=torch.bool)
        piece[:, start : start + S] = torch.ones(S, S).tril().bool() if causal and not refined else True
        pieces.append(piece)
        start += S
    for _ in range(blocks):
        sums = [p.any(0) for p in pieces]
        pieces = [p | torch.stack([sums[j] for j in range(len(pieces)) if j != i]).any(0) for i, p in enumerate(pieces)]
    return torch.cat([p[s[1] :] for p, s in zip(pieces, streams)])
""",
}


def PROBE_3(answer):
    heard = answer["heard"]
    return [
        heard([(3, 1, True, False), (4, 2, True, True)], 1).double(),
        heard([(2, 1, True, True)], 0).double(),
        heard([(3, 1, True, False)], 0).double(),
        heard([(3, 2, True, False), (2, 0, True, False)], 2).double(),
    ]


# ----------------------------------------------------------------------------------------------------------- 4 · what is settled first

WRONG_4 = {
    "counts the whole class": replace("(part(found) == part(classes))", "(found == classes)"),
    "has the two exchanged": replace('if kind == "colour"', 'if kind == "shape"'),
    "asks for 95 percent": replace(">= 0.8", ">= 0.95"),
    "takes a share for the answer's step": replace("return low", "return 199 - low"),
}
RIGHT_4 = {
    "from above, step by step": """
def last_readable(kind):
    g = torch.Generator().manual_seed(5)
    classes = torch.randint(20, (1500,), generator=g)
    eps = torch.randn(1500, 48, generator=g)
    divisor = 4
    for t in range(190, 0, -1):
        found = said(ab[t].sqrt() * DRAWINGS[classes] + (1 - ab[t]).sqrt() * eps)
        same = found // divisor == classes // divisor if kind == "colour" else found % divisor == classes % divisor
        if same.float().mean() >= 0.8:
            return t
    return 0
""",
    "all steps at once, on the grid of every second": """
def last_readable(kind):
    g = torch.Generator().manual_seed(6)
    classes = torch.arange(20).repeat(60)
    eps = torch.randn(len(classes), 48, generator=g)
    shares = []
    for t in range(0, 200, 2):
        found = said(q_sample(DRAWINGS[classes], torch.full((len(classes),), t), eps, ab))
        shares.append(float(((found // 4 == classes // 4) if kind == "colour" else (found % 4 == classes % 4)).float().mean()))
    return max(2 * i for i, share in enumerate(shares) if share >= 0.8)
""",
}


def PROBE_4(answer):
    return [float(answer["last_readable"](kind)) for kind in ("colour", "shape")]


# ----------------------------------------------------------------------------------------------------------- 5 · a refiner that must mix

WRONG_5 = {
    "accepts everything": """
def passes(refine):
    return True
""",
    "looks at the identity only": """
def passes(refine):
    attend, ffn, gate = Attend(4, 2), feed_forward(4), nn.Linear(4, 8)
    nn.init.zeros_(gate.weight), nn.init.zeros_(gate.bias)
    h = torch.randn(2, 3, 4)
    try:
        return bool(torch.allclose(refine(h, torch.randn(2, 4), attend, ffn, gate), h))
    except Exception:
        return False
""",
    "asks only whether the first token hears the last": """
def passes(refine):
    attend, ffn, gate = Attend(4, 2), feed_forward(4), nn.Linear(4, 8)
    h, g = torch.randn(1, 5, 4), torch.randn(1, 4)
    other = h.clone()
    other[:, -1] += torch.randn(4)
    try:
        return bool((refine(h, g, attend, ffn, gate) - refine(other, g, attend, ffn, gate))[:, 0].abs().max() > 1e-6)
    except Exception:
        return False
""",
    "compares on one token": """
def passes(refine):
    attend, ffn, gate = Attend(4, 2), feed_forward(4), nn.Linear(4, 8)
    h, g = torch.randn(1, 1, 4), torch.randn(1, 4)
    try:
        return bool(torch.allclose(refine(h, g, attend, ffn, gate), written_out(h, g, attend, ffn, gate), atol=1e-4))
    except Exception:
        return False
""",
}
RIGHT_5 = {
    "against the function that is given": """
def passes(refine):
    for seed in range(6):
        B, S = 1 + seed % 3, 2 + seed
        attend, ffn, gate = Attend(8, 4), feed_forward(8), nn.Linear(8, 16)
        h, g = 2 * torch.randn(B, S, 8) - 1, 3 * torch.randn(B, 8)
        try:
            if (refine(h.clone(), g.clone(), attend, ffn, gate) - written_out(h, g, attend, ffn, gate)).abs().max() > 1e-4:
                return False
        except Exception:
            return False
    return True
""",
    "by hand, once": """
def passes(refine):
    attend, ffn, gate = Attend(6, 1), feed_forward(6), nn.Linear(6, 12)
    h, g = 5 * torch.randn(4, 7, 6), 4 * torch.randn(4, 6)
    want = []
    for b in range(4):
        v = gate(F.silu(g[b]))
        x = h[b : b + 1]
        x = x + v[:6] * attend(norm(x), norm(x))
        want.append(x + v[6:] * ffn(norm(x)))
    try:
        got = refine(h.clone(), g.clone(), attend, ffn, gate)
        return got.shape == h.shape and bool(torch.isclose(got, torch.cat(want), atol=1e-4).all())
    except Exception:
        return False
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    F, norm, written_out = answer["F"], answer["norm"], answer["written_out"]
    torch.manual_seed(0)

    def alone(h, g, attend, ffn, gate):
        a, f = gate(F.silu(g))[:, None].chunk(2, -1)
        h = h + a * attend(norm(h), norm(h), torch.eye(h.shape[1], dtype=torch.bool))
        return h + f * ffn(norm(h))

    def parallel(h, g, attend, ffn, gate):
        a, f = gate(F.silu(g))[:, None].chunk(2, -1)
        return h + a * attend(norm(h), norm(h)) + f * ffn(norm(h))

    def first_gates(h, g, attend, ffn, gate):
        return written_out(h, g[:1].expand_as(g), attend, ffn, gate)

    functions = [written_out, answer["keeps_causal_mask"], alone, parallel, first_gates, lambda h, *rest: h, lambda h, *rest: 2 * h]
    with torch.no_grad():
        return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def padded_refiner(h, real, time, attend, ffn, gate):
    g = h.mean(1) + time
    gate_a, gate_f = gate(F.silu(g))[:, None].chunk(2, dim=-1)
    h = h + gate_a * attend(norm(h), norm(h), real[:, None, None])
    return h + gate_f * ffn(norm(h))
""",
    2: """
def collaborate(hs, gs, attends, ffns, vectors, skip):
    hs, refined = [h[:, n:] for h, n in zip(hs, skip)], []
    for i, (h, g) in enumerate(zip(hs, gs)):
        scale, shift, a, b = vectors[i](F.silu(g))[:, None].chunk(4, dim=-1)
        others = torch.cat([norm(other) for j, other in enumerate(hs) if j != i], dim=1)
        h = h + a * attends[i](norm(h) * (1 + scale) + shift, others)
        refined.append(h + b * ffns[i](norm(h) * (1 + scale) + shift))
    return torch.cat(refined, dim=1)
""",
    3: """
def heard(streams, blocks):
    S = sum(s[0] for s in streams)
    return torch.ones(S, S).tril().bool()
""",
    4: """
def last_readable(kind):
    return 150
""",
    5: """
def passes(refine):
    attend, ffn, gate = Attend(8, 2), feed_forward(8), nn.Linear(8, 16)
    h, g = torch.randn(1, 5, 8), torch.randn(1, 8)
    push = torch.randn(8)
    try:
        pushed = [refine(h + push * (torch.arange(5) == j)[:, None], g, attend, ffn, gate) for j in range(5)]
        moved = [(out - refine(h, g, attend, ffn, gate)).abs().amax(-1)[0] > 1e-5 for out in pushed]
        return bool(torch.stack(moved).all())
    except Exception:
        return False
""",
}

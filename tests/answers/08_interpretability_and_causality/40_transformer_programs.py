"""Known answers to the exercise of lesson 40."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------ 1 · a soft subset

WRONG_1 = {
    "adds the noise after the division, so that it vanishes as τ → 0": replace(
        "scores = logits - (-u.log()).log()", "scores = logits - tau * (-u.log()).log()"
    ),
    "leaves the chosen options in the game": replace("        scores = scores + (1 - w).clamp(min=1e-20).log()\n", ""),
    "returns weights that sum to 1": replace("return chosen", "return chosen / c"),
    "lets the logarithm reach minus infinity": replace("(1 - w).clamp(min=1e-20).log()", "(1 - w).log()"),
    "no noise at all": replace("scores = logits - (-u.log()).log()", "scores = logits"),
}
RIGHT_1 = {
    "fresh noise for every round": """
def soft_subset(logits, c, tau, generator):
    out, penalty = 0, torch.zeros_like(logits)
    for _ in range(c):
        e = torch.rand(logits.shape, generator=generator).clamp(min=1e-12, max=1 - 1e-7).log().neg()
        w = torch.softmax((logits + penalty - e.log()) / tau, dim=-1)
        out, penalty = out + w, penalty + torch.log((1 - w).clamp(min=1e-12))
    return out
""",
    "multiplies by what is left, in exponentials": """
def soft_subset(logits, c, tau, generator):
    noise = -torch.empty(logits.shape).exponential_(generator=generator).clamp(min=1e-20).log()
    total, left = torch.zeros(logits.shape), torch.ones(logits.shape)
    for _ in range(c):
        w = F.softmax((logits + noise + left.clamp(min=1e-15).log()) / tau, -1)
        total = total + w
        left = left * (1 - w)
    return total
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    phi = torch.tensor([1.0, 0.0, -1.0]).requires_grad_()
    draws = answer["soft_subset"](phi.expand(500, 3), 2, 0.001, torch.Generator().manual_seed(3))
    (draws * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    return [draws.detach().mean(0), float(phi.grad.isfinite().all())]


# ------------------------------------------------------------------------------------------------------------ 2 · the repaired head

WRONG_2 = {
    "leaves it as it was": """
def head(query, key, value, predicate, visible):
    return broken_head(query, key, value, predicate, visible)
""",
    "repairs the direction of the predicate only": replace(
        "    S = S * visible\n    none = S.sum(-1) == 0\n", "    none = S.sum(-1) == 0\n    S = S * visible\n"
    ),
    "repairs the default only": replace("query @ predicate @ key.mT", "query @ (key @ predicate).mT"),
    "forgets the default": replace("    score[..., 0] += 10_000.0 * none\n", ""),
}
RIGHT_2 = {
    "a loop over queries": """
def head(query, key, value, predicate, visible):
    B, N, k = query.shape
    asked, keys = (query @ predicate).argmax(-1), key.argmax(-1)
    out = []
    for b in range(B):
        for i in range(N):
            best = 0
            order = sorted(range(N), key=lambda j: (j == i, abs(i - j), j))
            for j in order:
                if visible[b, i, j] and keys[b, j] == asked[b, i]:
                    best = j
                    break
            out.append(value[b, best])
    return torch.stack(out).view(B, N, k)
""",
    "einsum, and the default by torch.where": """
def head(query, key, value, predicate, visible):
    N = key.shape[1]
    S = torch.einsum("bia,ac,bjc->bij", query, predicate, key) * visible
    d = torch.arange(N)[None, :] - torch.arange(N)[:, None]
    prefer = 1.0 / (1 + d.abs() + 0.25 * (d > 0) + N * (d == 0))
    position = torch.where((S > 0).any(-1), (S * prefer).argmax(-1), 0)
    return torch.gather(value, 1, position[..., None].expand(-1, -1, value.shape[-1]))
""",
}


def PROBE_2(answer):
    torch, F = answer["torch"], answer["F"]
    g = torch.Generator().manual_seed(4)
    query, key, value = (F.one_hot(torch.randint(4, (6, 7), generator=g), 4).float() for _ in range(3))
    predicate = F.one_hot(torch.tensor([1, 2, 0, 0]), 4).float()
    visible = torch.ones(7, 7, dtype=torch.bool).tril().expand(6, 7, 7)
    return answer["head"](query, key, value, predicate, visible)


# ------------------------------------------------------------------------------------------------------------ 3 · the mirror program

WRONG_3 = {
    "forgets that <s> stands at position 0": replace("(i, e): e - i for", "(i, e): e - i - 1 for"),
    "compares with the token before the mirrored one": replace("{i: i for i in range(N)}", "{i: i - 1 for i in range(N)}"),
    "copies the position instead of the token": replace('{i: i for i in range(N)}, "tokens")', '{i: i for i in range(N)}, "positions")'),
    "lets only the symbols it has seen in the example agree": replace('for a in alphabet}, "no")', 'for a in "ab"}, "no")'),
    "takes the longest sequence for every sequence": replace("(i, e): e - i for", "(i, e): N - 1 - i for"),
}
RIGHT_3 = {
    "the table first, by differences": """
def mirror_program(alphabet, N):
    symbols = list(alphabet) + ["<s>", "</s>"]
    look_for_end = {s: "</s>" for s in symbols}
    reflect = {}
    for e in range(N + 1):
        for i in range(N + 1):
            reflect[i, e] = max(0, e - i)
    same = {(s, t): "yes" if s == t else "no" for s in symbols for t in symbols}
    return [
        ("e", "copy", "tokens", "tokens", look_for_end, "positions"),
        ("m", "table", "positions", "e", reflect, 0),
        ("t", "copy", "m", "positions", dict(zip(range(N + 1), range(N + 1))), "tokens"),
        ("out", "table", "t", "tokens", same, "no"),
    ]
""",
    "finds the end by position": """
def mirror_program(alphabet, N):
    return [
        ("end", "copy", "positions", "tokens", {i: "</s>" for i in range(N)}, "positions"),
        ("target", "table", "end", "positions", {(e, i): e - i for e in range(N) for i in range(N)}, None),
        ("across", "copy", "target", "positions", {i: i for i in range(1, N)}, "tokens"),
        ("equal", "table", "across", "tokens", {(a, a): "yes" for a in list(alphabet)}, "no"),
    ]
""",
}


def PROBE_3(answer):
    said = []
    for word in ("xyzx", "xyyx", "x", "zzyxz"):
        said += answer["execute"](answer["mirror_program"]("xyz", 8), ["<s>", *word, "</s>"])[1:-1]
    return [float(word == "yes") for word in said]


# ------------------------------------------------------------------------------------------------------------ 4 · where it fails

WRONG_4 = {
    "takes two d's for too many": replace('list("ddd")', 'list("dd")'),
    "finds a failing sequence, not a shortest one": replace('list("ddd")', 'list("adbdd")'),
    "takes five letters for too many": replace('list("aaaaaa")', 'list("aaaaa")'),
    "thinks that the missing row of the table is for f": replace('list("aaaaaa")', 'list("ff")'),
}
RIGHT_4 = {
    "other letters": 'fails_at_d, fails_elsewhere = ["d"] * 3, ["f"] * 6\n',
    "by search": """
fails_at_d = fails_elsewhere = None
for length in range(1, 7):
    for sequence in itertools.product("dc", repeat=length):
        for letter, said in zip(sequence, extracted(sequence)):
            if said != sequence.count(letter):
                if letter == "d" and fails_at_d is None:
                    fails_at_d = list(sequence)
                if letter != "d" and fails_elsewhere is None:
                    fails_elsewhere = list(sequence)
""",
}


def PROBE_4(answer):
    numbers = []
    for name, at_d in (("fails_at_d", True), ("fails_elsewhere", False)):
        sequence = list(answer[name])
        wrong = [t for t, said in zip(sequence, answer["extracted"](sequence), strict=True) if said != sequence.count(t)]
        numbers += [float(len(sequence)), float(any((t == "d") == at_d for t in wrong))]
    return numbers


# ------------------------------------------------------------------------------------------------------------ 5 · the check

WRONG_5 = {
    "never hides anything": replace("< 0.7) | torch", "< 2.0) | torch"),
    "tries dense scores only, in which every row has a match": replace("((3, 0.5), (5, 0.2), (8, 0.1), (8, 0.5))", "((8, 0.9), (9, 0.9))"),
    "wants the right neighbour first": replace("(j == i, abs(j - i), j)", "(j == i, abs(j - i), -j)"),
    "looks at one small example": """
def passes(attend):
    S = torch.zeros(1, 4, 4)
    S[0, :, 2] = 1
    visible = torch.ones(1, 4, 4, dtype=torch.bool)
    return attend(S, visible).tolist() == [[2, 2, 2, 2]]
""",
    "asks only whether the chosen position is a match": """
def passes(attend):
    torch.manual_seed(0)
    S = (torch.rand(20, 6, 6) < 0.4).float()
    visible = torch.ones(20, 6, 6, dtype=torch.bool).tril()
    visible[..., 0] = True
    chosen = attend(S, visible)
    hit = (S * visible).gather(-1, chosen[..., None])[..., 0]
    return bool((hit == (S * visible).any(-1)).all())
""",
}
RIGHT_5 = {
    "one row at a time": """
def passes(attend):
    torch.manual_seed(8)
    for trial in range(40):
        N = 3 + trial % 6
        S = torch.bernoulli(torch.full((1, N, N), 0.15 + 0.1 * (trial % 5)))
        visible = torch.bernoulli(torch.full((1, N, N), 0.6)).bool()
        visible[:, :, 0] = True
        visible[:, range(N), range(N)] = True
        positions = attend(S.clone(), visible.clone())[0].tolist()
        for i, got in enumerate(positions):
            allowed = (S[0, i] * visible[0, i]).nonzero().flatten().tolist()
            others = [j for j in allowed if j != i]
            if others:
                nearest = min(abs(j - i) for j in others)
                want = i - nearest if i - nearest in others else i + nearest
            else:
                want = i if allowed else 0
            if got != want:
                return False
    return True
""",
    "against the given selector": """
def passes(attend):
    torch.manual_seed(9)
    same = []
    for N in range(3, 10):
        for density in (0.1, 0.3, 0.6):
            S = (torch.rand(5, N, N) < density).float()
            visible = torch.rand(5, N, N) < 0.6
            visible[..., 0] = True
            visible |= torch.eye(N, dtype=torch.bool)
            same.append(bool((attend(S, visible) == selector(S, visible, nearest_bias(N))).all()))
    return all(same)
""",
}


def PROBE_5(answer):
    torch, selector, nearest = answer["torch"], answer["selector"], answer["nearest_bias"]

    def right_first(N):
        distance = torch.arange(N) - torch.arange(N)[:, None]
        return (-2.0 * distance.abs() + (distance > 0)).masked_fill(distance == 0, -3.0 * N)

    attends = [
        lambda S, visible: selector(S, visible, nearest(S.shape[-1])),
        lambda S, visible: (S * visible).argmax(-1),
        lambda S, visible: selector(S, visible, right_first(S.shape[-1])),
        lambda S, visible: selector(S, visible, nearest(S.shape[-1]), after_mask=False),
        lambda S, visible: selector(S, torch.ones_like(visible), nearest(S.shape[-1])),
        lambda S, visible: torch.where((S * visible).any(-1), selector(S, visible, nearest(S.shape[-1])), torch.arange(S.shape[-1])),
    ]
    return [float(answer["passes"](attend)) for attend in attends]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def soft_subset(logits, c, tau, generator):
    u = torch.rand(logits.shape, generator=generator).clamp(1e-20, 1 - 1e-7)
    return c * ((logits - (-u.log()).log()) / tau).softmax(-1)
""",
    2: """
def head(query, key, value, predicate, visible):
    S = (query @ predicate) @ key.mT
    N = S.shape[-1]
    distance = torch.arange(N) - torch.arange(N)[:, None]
    bias = torch.where(distance > 0, -(distance - 1) / (N - 2), (distance + 1) / (N - 1)).masked_fill(distance == 0, -2.0)
    S = S * visible
    none = (1 - S.sum(-1, keepdim=True)).relu()
    S = torch.cat([S[..., :1] + none, S[..., 1:]], -1)
    scores = (((S + 1e-20).log() + bias) / N**0.5).masked_fill(~visible, -1e9)
    return F.one_hot(scores.argmax(-1), N).float() @ value
""",
    5: """
def passes(attend):
    torch.manual_seed(0)
    tokens = torch.randint(1, 6, (60, 10))
    visible = torch.ones(60, 10, 10, dtype=torch.bool).tril()
    S = (tokens[:, :, None] == tokens[:, None, :]).float()
    want = []
    for row in tokens.tolist():
        for i in range(10):
            matches = [j for j in range(i + 1) if row[j] == row[i]]
            want.append(min(matches, key=lambda j: (j == i, abs(j - i), j), default=0))
    return torch.equal(attend(S, visible).flatten(), torch.tensor(want))
""",
}

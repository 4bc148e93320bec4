"""Known answers to the exercise of lesson 20."""

from course.answers import replace

# ------------------------------------------------------------------------------------------- 1 · patches counted from the present

WRONG_1 = {
    "counts from the oldest event, so that the newest patch is the small one": replace(
        "[0] * bool(rest) + list(range(rest, len(t) + 1, size))", "list(range(0, len(t), size)) + [len(t)]"
    ),
    "forgets to sort": replace("t.argsort(stable=True)", "torch.arange(len(t))"),
    "drops the events that are left over": replace("[0] * bool(rest) + ", ""),
    "gives the newest patch first": replace(
        "zip(borders[:-1], borders[1:], strict=True)", "zip(borders[-2::-1], borders[:0:-1], strict=True)"
    ),
    "begins with an empty patch where nothing is left over": replace("[0] * bool(rest)", "[0]"),
    "turns the order of ties around": replace("t.argsort(stable=True)", "t.flip(0).argsort(stable=True).sub(len(t) - 1).neg()"),
}
RIGHT_1 = {
    "takes patches off the new end": """
def recent_patches(src, dst, t, size):
    order = sorted(range(len(t)), key=lambda i: float(t[i]))
    patches = []
    while order:
        patches.insert(0, order[-size:])
        order = order[:-size]
    return [(src[p], dst[p], t[p]) for p in map(torch.tensor, patches)]
""",
    "splits the reversed order": """
def recent_patches(src, dst, t, size):
    if len(t) == 0:
        return []
    newest_first = torch.sort(t, stable=True).indices.flip(0)
    return [(src[p], dst[p], t[p]) for p in (part.flip(0) for part in reversed(newest_first.split(size)))]
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    found = []
    for t, size in (([3.0, 1.0, 1.0, 2.0, 0.0], 2), ([2.0, 1.0, 1.0, 0.0], 2)):
        patches = answer["recent_patches"](torch.arange(len(t)), torch.arange(len(t)) + 10, torch.tensor(t), size)
        found += [float(len(patches)), *(float(len(p[0])) for p in patches), *(p[0].double() for p in patches)]
    return torch.cat([torch.as_tensor(part, dtype=torch.float64).flatten() for part in found])


# ----------------------------------------------------------------------------------------------------- 2 · a softmax with silence

WRONG_2 = {
    "takes the largest score over the edges alone": replace(
        'silence.detach().scatter_reduce(0, dst, score.detach(), "amax")',
        'torch.zeros(n, dtype=score.dtype).scatter_reduce(0, dst, score.detach(), "amax", include_self=False)',
    ),
    "subtracts nothing before exp": replace('silence.detach().scatter_reduce(0, dst, score.detach(), "amax")', "torch.zeros_like(silence)"),
    "leaves silence out of the denominator": replace(
        "quiet.index_add(0, dst, weight)", "torch.zeros_like(quiet).index_add(0, dst, weight)"
    ),
    "takes one softmax over all edges": """
def softmax_or_silence(score, dst, n, silence):
    both = torch.cat([score, silence]).softmax(0)
    return both[: len(score)], both[len(score) :]
""",
    "adds silence to the scores of the edges": replace(
        "weight, quiet = (score - largest[dst]).exp()", "weight, quiet = (score + silence[dst] - largest[dst]).exp()"
    ),
}
RIGHT_2 = {
    "node by node": """
def softmax_or_silence(score, dst, n, silence):
    weight, quiet = torch.zeros_like(score), []
    for node in range(n):
        into = (dst == node).nonzero().flatten()
        both = torch.cat([score[into], silence[node : node + 1]]).softmax(0)
        weight = weight.index_add(0, into, both[:-1])
        quiet.append(both[-1])
    return weight, torch.stack(quiet)
""",
    "silence as a loop edge, through logsumexp": """
def softmax_or_silence(score, dst, n, silence):
    table = torch.full((n, len(score) + 1), -torch.inf, dtype=score.dtype)
    edge = torch.arange(len(score))
    table = table.index_put((dst, edge), score).index_put((torch.arange(n), torch.full((n,), len(score))), silence)
    table = table.softmax(1)
    return table[dst, edge], table[:, -1]
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    dst = torch.tensor([0, 2, 0, 2, 2])
    moderate = answer["softmax_or_silence"](torch.tensor([1.0, 0.5, -1.0, 2.0, 0.3]), dst, 4, torch.tensor([0.2, -0.4, 1.0, 0.0]))
    loud = answer["softmax_or_silence"](torch.tensor([1.0, 0.5, -1.0, 2.0, 0.3]), dst, 4, torch.full((4,), 200.0))
    deaf = answer["softmax_or_silence"](torch.full((5,), 200.0), dst, 4, torch.zeros(4))
    return torch.cat([part.nan_to_num(nan=-1.0, posinf=-2.0) for pair in (moderate, loud, deaf) for part in pair])


# -------------------------------------------------------------------------------------------------------- 3 · the repaired mask

WRONG_3 = {
    "leaves the mask on the queries": """
def mix(Z, pad):
    return broken_mix(Z, pad)
""",
    "masks the queries, and hides the NaN": """
def mix(Z, pad):
    return broken_mix(Z, pad).nan_to_num()
""",
    "sets the padded tokens to zero, which still take part in the average": """
def mix(Z, pad):
    Z = Z.masked_fill(pad[..., None], 0)
    return (Z @ Z.mT / Z.shape[-1] ** 0.5).softmax(-1) @ Z
""",
    "lets a node without patches average over its padding": replace(".masked_fill(pad.all(1)[:, None, None], 0)", ""),
    "overwrites NaN with zeros, so that the gradient keeps it": replace("-1e9", "-torch.inf"),
    "takes True for events": replace("pad[:, None, :]", "~pad[:, None, :]"),
}
RIGHT_3 = {
    "multiplies by the mask": """
def mix(Z, pad):
    score = Z @ Z.transpose(1, 2) / Z.shape[-1] ** 0.5
    weight = (score - score.amax(-1, keepdim=True).detach()).exp() * (~pad)[:, None, :]
    return weight @ Z / weight.sum(-1, keepdim=True).clamp(min=1e-30)
""",
    "node by node": """
def mix(Z, pad):
    out = []
    for tokens, missing in zip(Z, pad):
        own = tokens[~missing]
        mixed = torch.zeros_like(tokens)
        if len(own):
            mixed = mixed.index_put(((~missing).nonzero().flatten(),), torch.softmax(own @ own.T / own.shape[1] ** 0.5, dim=1) @ own)
        out.append(mixed)
    return torch.stack(out)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    Z = torch.linspace(-1, 2, 24).reshape(3, 4, 2).cos().requires_grad_()
    pad = torch.tensor([[False, True, False, True], [True, True, True, True], [False, False, False, True]])
    got = answer["mix"](Z, pad)
    (gradient,) = torch.autograd.grad(got.square().sum(), Z)
    heard = torch.where(pad[..., None] & ~pad.all(1)[:, None, None], torch.zeros(()), got)
    return torch.cat([heard.flatten(), gradient.isfinite().float().flatten()]).detach().nan_to_num(nan=-9.0)


# --------------------------------------------------------------------------------------------------------- 4 · how many patches

WRONG_4 = {
    "keeps the 8 patches of the lesson": replace("patches = 32", "patches = 8"),
    "takes so many patches that most tokens are empty": replace("patches = 32", "patches = 128"),
    "grows the patches with the window's square root": replace("patches = 32", "patches = 16"),
}
RIGHT_4 = {
    "a few less": "patches = 30\n",
    "the size of a patch, as in the lesson": "patches = 2048 // (512 // 8)\n",
}


def PROBE_4(answer):
    field, active = answer["tradeoff"](2048, answer["patches"])
    return [float(field < 13), float(active >= 0.55), float(answer["patches"] > 10)]


# ------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "forgets the names of the nodes": replace("f(renamed, name[src], name[dst], t)[name], ", ""),
    "forgets the clock": replace("f(x, src, dst, t + 31.7), ", ""),
    "forgets the order of the list": replace(", f(x, src[listed], dst[listed], t[listed])]", "]"),
    "shifts the clock by whole days only": replace("31.7", "24.0"),
    "does not undo the renaming": replace("f(renamed, name[src], name[dst], t)[name]", "f(renamed, name[src], name[dst], t)"),
    "asks for the same bits": replace("torch.allclose(got, want, atol=1e-3, rtol=0)", "torch.equal(got, want)"),
    "accepts everything": """
def passes(f):
    return f(torch.zeros(2, 3), torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0])) is not None
""",
}
RIGHT_5 = {
    "a perturbation at a time, several rounds": """
def passes(f):
    torch.manual_seed(5)
    n, E = 9, 30
    for _ in range(3):
        x, src, dst = torch.randn(n, 3), torch.randint(n, (E,)), torch.randint(n, (E,))
        t = torch.randperm(E) + torch.rand(E) / 2
        want = f(x, src, dst, t)
        back = torch.randperm(n)  # the new node i is the old node back[i]
        new = torch.argsort(back)
        if (f(x[back], new[src], new[dst], t) - want[back]).abs().max() > 1e-3:
            return False
        if (f(x, src, dst, t + 7.3) - want).abs().max() > 1e-3:
            return False
        if (f(x, src.flip(0), dst.flip(0), t.flip(0)) - want).abs().max() > 1e-3:
            return False
    return True
""",
    "all three at once": """
def passes(f):
    torch.manual_seed(6)
    x, src, dst, t = torch.randn(8, 3), torch.randint(8, (25,)), torch.randint(8, (25,)), torch.rand(25) * 50
    name, listed = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4]), torch.randperm(25)
    renamed = torch.zeros(8, 3).index_copy(0, name, x)
    got = f(renamed, name[src][listed], name[dst][listed], t[listed] + 17.9)[name]
    return bool(torch.allclose(got, f(x, src, dst, t), atol=1e-3, rtol=0))
""",
}


def PROBE_5(answer):
    torch, lift = answer["torch"], answer["lift"]

    def heard(x, dst, what):
        return x @ lift + torch.zeros(len(x), 4).index_add(0, dst, what[:, None].expand(-1, 4))

    encoders = [
        answer["by_age"],
        answer["by_date"],
        lambda x, src, dst, t: x @ lift,
        lambda x, src, dst, t: x @ lift + torch.arange(len(x))[:, None],
        lambda x, src, dst, t: heard(x, dst, torch.cos(t * torch.pi / 12)),
        lambda x, src, dst, t: heard(x, dst, torch.linspace(0, 1, len(t))),
    ]
    return [float(answer["passes"](f)) for f in encoders]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def recent_patches(src, dst, t, size):
    M = max(1, len(t) // size)
    order = t.argsort(stable=True)
    bounds = [m * len(t) // M for m in range(M + 1)]
    return [(src[i], dst[i], t[i]) for i in (order[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True))]
""",
    2: """
def softmax_or_silence(score, dst, n, silence):
    largest = score.new_zeros(n).scatter_reduce(0, dst, score.detach(), "amax", include_self=False)
    weight = (score - largest[dst]).exp()
    return weight / torch.zeros_like(largest).index_add(0, dst, weight)[dst], torch.zeros(n)
""",
}

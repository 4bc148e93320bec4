"""Known answers to the exercise of lesson 45."""

from course.answers import replace

# ---------------------------------------------------------------------------------------------- 1 · a step with fresh noise

WRONG_1 = {
    "adds fresh noise on top of all the old noise": replace("(1 - ab_s - sigma**2).sqrt()", "(1 - ab_s).sqrt()"),
    "subtracts σ from the standard deviation instead of the variances": replace(
        "(1 - ab_s - sigma**2).sqrt()", "((1 - ab_s).sqrt() - sigma)"
    ),
    "takes the target's level for the clean image": replace("eps) / ab_t.sqrt()", "eps) / ab_s.sqrt()"),
    "leaves out how much signal is gained": replace(" * (1 - ab_t / ab_s).sqrt()", ""),
    "takes one level, the first image's, for all": replace(
        "ab_t.view(-1, 1, 1, 1), ab_s.view(-1, 1, 1, 1)", "ab_t[:1].view(-1, 1, 1, 1), ab_s[:1].view(-1, 1, 1, 1)"
    ),
}
RIGHT_1 = {
    "a loop over the images": """
def eta_step(x, eps, ab_t, ab_s, eta, noise):
    out = []
    for image, e, w, a, s in zip(x, eps, noise, ab_t.tolist(), ab_s.tolist()):
        variance = eta**2 * (1 - s) * (s - a) / ((1 - a) * s)
        clean = (image - (1 - a) ** 0.5 * e) * a**-0.5
        out.append(s**0.5 * clean + max(0.0, 1 - s - variance) ** 0.5 * e + variance**0.5 * w)
    return torch.stack(out)
""",
    "with the images last": """
def eta_step(x, eps, ab_t, ab_s, eta, noise):
    x, eps, noise = (v.movedim(0, -1) for v in (x, eps, noise))
    sigma = eta * torch.sqrt((1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s))
    scale = torch.sqrt(ab_s / ab_t)
    old = torch.sqrt((1 - ab_s - sigma**2).clamp(min=0)) - scale * torch.sqrt(1 - ab_t)
    return (scale * x + old * eps + sigma * noise).movedim(-1, 0)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x = torch.linspace(-1, 1, 12).reshape(2, 1, 2, 3)
    levels = torch.tensor([0.2, 0.5]), torch.tensor([0.7, 0.8])
    return [answer["eta_step"](x, x.cos(), *levels, eta, x.sin() - 0.3) for eta in (0.0, 0.8)]


# ------------------------------------------------------------------------------------------------ 2 · structural equations

WRONG_2 = {
    "leaves it as it was": """
def scm_forward(u, A, fs):
    return broken_scm(u, A, fs)
""",
    "asks the mechanism of a variable without parents": replace("if A[:, i].any():", "if True:"),
    "takes the children for the parents": replace("z * A[:, i, None]", "z * A[i, :, None]"),
    "one pass in the order of the numbers": """
def scm_forward(u, A, fs):
    z = torch.zeros_like(u)
    for i in range(len(A)):
        z[:, i] = u[:, i]
        if A[:, i].any():
            z[:, i] += fs[i](z * A[:, i, None])
    return z
""",
    "adds to u in place": """
def scm_forward(u, A, fs):
    own, z = u.clone(), u
    for _ in range(len(A)):
        for i in range(len(A)):
            if A[:, i].any():
                z[:, i] = fs[i](z * A[:, i, None]) + own[:, i]
    return z
""",
}
RIGHT_2 = {
    "those whose parents are done, until all are": """
def scm_forward(u, A, fs):
    blocks = {}
    while len(blocks) < len(A):
        for i in range(len(A)):
            parents = [j for j in range(len(A)) if A[j, i] != 0]
            if i in blocks or any(j not in blocks for j in parents):
                continue
            if not parents:
                blocks[i] = u[:, i]
                continue
            seen = torch.stack([blocks[j] if j in parents else torch.zeros_like(u[:, 0]) for j in range(len(A))], dim=1)
            blocks[i] = fs[i](seen) + u[:, i]
    return torch.stack([blocks[i] for i in range(len(A))], dim=1)
""",
    "by recursion": """
def scm_forward(u, A, fs):
    n, memory = len(A), {}

    def value(i):
        if i not in memory:
            seen = torch.zeros_like(u)
            parents = A[:, i].nonzero().flatten().tolist()
            for j in parents:
                seen[:, j] = value(j)
            memory[i] = u[:, i] + fs[i](seen) if parents else u[:, i].clone()
        return memory[i]

    return torch.stack([value(i) for i in range(n)]).transpose(0, 1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    A = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])  # 2 → 1 → 0, 2 → 0, 3 alone
    fs = [lambda blocks, c=c: (c * blocks).sum(1).sin() + 0.2 * c for c in (0.5, 0.9, 1.3, 1.7)]
    u = torch.linspace(-1, 1, 16).reshape(2, 4, 2)
    return [answer["scm_forward"](u, A, fs), u]  # u afterwards: it must not have changed


# --------------------------------------------------------------------------------------------------------- 3 · missing labels

WRONG_3 = {
    "masks after the subtraction: the gradient is NaN": """
def label_loss(u, z, y, children):
    known = ~y.isnan()
    pairs = 0.5 * ((z - y[..., None]) ** 2).sum(-1) + 0.5 * children * (u**2).sum(-1)
    return torch.where(known, pairs, torch.zeros_like(pairs)).sum() / known.sum().clamp(min=1)
""",
    "divides by all pairs": replace("known.sum().clamp(min=1)", "known.numel()"),
    "drops every image that lacks a label": replace("known = ~y.isnan()", "known = (~y.isnan()).all(1, keepdim=True).expand_as(y)"),
    "takes an unknown label for 0": replace("(pairs * known).sum() / known.sum().clamp(min=1)", "pairs.mean()"),
    "lets the u of a pair without label count": replace(
        "(pairs * known).sum()", "((pairs * known).sum() + (0.5 * children * u.square().sum(-1) * ~known).sum())"
    ),
    "divides 0 by 0 where nothing is known": replace(".clamp(min=1)", ""),
}
RIGHT_3 = {
    "picks the known pairs": """
def label_loss(u, z, y, children):
    b, i = (~y.isnan()).nonzero(as_tuple=True)
    if len(b) == 0:
        return (z.sum() + u.sum()) * 0
    label = (z[b, i] - y[b, i][:, None]).pow(2).sum(-1) / 2
    own = children.to(u.dtype)[i] * u[b, i].pow(2).sum(-1) / 2
    return (label + own).mean()
""",
    "a loop over the pairs": """
def label_loss(u, z, y, children):
    total, count = 0 * z.sum(), 0
    for b in range(len(y)):
        for i in range(y.shape[1]):
            if y[b, i] == y[b, i]:
                total = total + ((z[b, i] - y[b, i]) ** 2).sum() / 2
                if children[i]:
                    total = total + (u[b, i] ** 2).sum() / 2
                count += 1
    return total / max(count, 1)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    u, z = torch.linspace(-1, 1, 24).reshape(4, 3, 2), torch.linspace(-1, 1, 24).reshape(4, 3, 2).cos().requires_grad_()
    y, nan = torch.tensor([[0.3, 1.0, -0.4], [0.2, 0.8, 0.1], [0.5, -0.9, 0.6], [0.0, 0.4, -0.7]]), float("nan")
    y[[0, 0, 2, 3, 3, 3], [0, 2, 1, 0, 1, 2]] = nan
    loss = answer["label_loss"](u, z, y, torch.tensor([0.0, 1.0, 1.0]))
    gradient = torch.autograd.grad(loss, z)[0].nan_to_num(nan=99.0)
    nothing = answer["label_loss"](u, z, y * nan, torch.tensor([0.0, 1.0, 1.0]))
    return [loss.detach(), gradient, torch.as_tensor(nothing).detach().nan_to_num(nan=99.0)]


# --------------------------------------------------------------------------------------------------------- 4 · guidance

WRONG_4 = {
    "takes the mean to be proportional to ω": replace("= 2.16 ", "= 1.4 "),
    "leaves the sampler unguided": replace("= 2.16 ", "= 1.0 "),
    "overshoots": replace("= 2.16 ", "= 3.4 "),
}
RIGHT_4 = {
    "a little more, still within 0.02": "best_omega = 2.2\n",
    "a search in the cell": "best_omega = min((1.5 + 0.05 * i for i in range(25)), key=lambda omega: abs(guided(omega)[0] - 1.4))\n",
}


def PROBE_4(answer):
    mean, spread = answer["guided"](answer["best_omega"])
    return [float(abs(mean - 1.4) < 0.02), float(mean > 1.45), float(mean < 1.1), float(mean < 1.3)]


# ------------------------------------------------------------------------------------------------------------ 5 · the check

WRONG_5 = {
    "intervenes on the middle of the chain only": replace("for i in range(5):", "for i in [1]:"),
    "looks at the block that was set and nothing else": replace("for j in range(5):", "for j in [i]:"),
    "asks that nothing but the block changes": """
def passes(act):
    scm, u = make_scm(3), torch.randn(30, 5, 2)
    factual = scm.forward(u)
    for i in range(5):
        z = act(scm, u.clone(), i, 1.7)
        others = [j for j in range(5) if j != i]
        if not torch.allclose(z[:, others], factual[:, others], atol=1e-4) or not torch.allclose(z[:, i], torch.full((30, 2), 1.7)):
            return False
    return True
""",
    "asks only that the effects move and the rest stays": """
def passes(act):
    scm, u = make_scm(3), torch.randn(30, 5, 2)
    factual = scm.forward(u)
    z = act(scm, u.clone(), 0, 1.7)
    moved = (z - factual).abs().amax((0, 2)) > 1e-4
    return moved.tolist() == [True, True, True, True, False]
""",
    "insists on the last bit": replace("atol=1e-4", "atol=0, rtol=0"),
}
RIGHT_5 = {
    "compares with the right intervention, on several graphs of weights": """
def passes(act):
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        scm, u = make_scm(seed), torch.randn(15, 5, 2, generator=generator)
        for i in range(5):
            if (act(scm, u.clone(), i, -1.2) - right_do(scm, u.clone(), i, -1.2)).abs().max() > 1e-4:
                return False
    return True
""",
    "all equations at once": """
def passes(act):
    scm, u = make_scm(9), torch.randn(12, 5, 2)
    good = []
    for i in range(5):
        z = act(scm, u.clone(), i, 2.5)
        rest = torch.stack([z[:, j] - scm.mechanism(j, z) - u[:, j] for j in range(5)], dim=1)
        rest[:, i] = z[:, i] - 2.5
        good.append(bool(rest.abs().max() < 1e-4))
    return all(good)
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    right = answer["right_do"]

    def knob(scm, u, i, value):
        z = scm.forward(u)
        z[:, i] = value
        return z

    def deep(scm, u, i, value):
        z, factual = right(scm, u, i, value), scm.forward(u)
        return torch.cat([z[:, :2], factual[:, 2:3] if i == 0 else z[:, 2:3], z[:, 3:]], dim=1)

    def no_own(scm, u, i, value):
        z = right(scm, u, i, value)
        if i == 0:
            z[:, 3] = scm.mechanism(3, z)
        return z

    acts = [right, knob, deep, no_own, lambda scm, u, i, value: right(scm, u, i, value) * (1 + 1e-7)]
    acts.append(lambda scm, u, i, value: scm.forward(u))
    return [float(answer["passes"](act)) for act in acts]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def eta_step(x, eps, ab_t, ab_s, eta, noise):
    ab_t, ab_s = ab_t.view(-1, 1, 1, 1), ab_s.view(-1, 1, 1, 1)
    x0 = (x - (1 - ab_t).sqrt() * eps) / ab_t.sqrt()
    return ab_s.sqrt() * x0 + (1 - ab_s).sqrt() * eps
""",
    2: """
def scm_forward(u, A, fs):
    z = [torch.zeros_like(u[:, 0])] * u.shape[1]
    for i in range(len(z)):
        own = fs[i](torch.stack(z, dim=1) * A[:, i, None]) if A[:, i].any() else torch.zeros_like(z[i])
        z[i] = own + u[:, i]
    return torch.stack(z, dim=1)
""",
    3: """
def label_loss(u, z, y, children):
    own = 0.5 * (u * children[:, None]).square().sum((1, 2))
    label = 0.5 * (z - y[..., None]).square().sum((1, 2))
    labelled = (~y.isnan()).all(1).float()
    return (labelled * (own + label)).sum() / (labelled.sum() * y.shape[1]).clamp(min=1)
""",
    5: """
def passes(act):
    scm, u = make_scm(0), torch.randn(50, 5, 2)
    z, v = scm.forward(u), 1.3
    under = act(scm, u, 1, v)
    stay = torch.equal(under[:, [0, 3, 4]], z[:, [0, 3, 4]]) and bool((under[:, 1] == v).all())
    follows = torch.allclose(under[:, 2], scm.mechanism(2, under) + u[:, 2], atol=1e-6)
    return bool(stay and follows and (under[:, 2] - z[:, 2]).abs().max() > 0.01)
""",
}

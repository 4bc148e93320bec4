"""Known answers to the exercise of lesson 44."""

from course.answers import replace

# --------------------------------------------------------------------------------------------------- 1 · the effect on the disturbed

WRONG_1 = {
    "weights a bin by all of its shots": replace("weight += len(one)", "weight += len(one) + len(zero)"),
    "averages the bins without weights": """
def effect_on_disturbed(y, t, u, edges):
    which, found = torch.bucketize(u, edges), []
    for b in range(len(edges) + 1):
        one, zero = y[(which == b) & (t == 1)], y[(which == b) & (t == 0)]
        if len(one) and len(zero):
            found.append(one.mean() - zero.mean())
    return torch.stack(found).mean()
""",
    "weights a bin by its share of all shots, as the lesson does": """
def effect_on_disturbed(y, t, u, edges):
    which, total, weight = torch.bucketize(u, edges), 0.0, 0
    for b in range(len(edges) + 1):
        one, zero = y[(which == b) & (t == 1)], y[(which == b) & (t == 0)]
        if len(one) and len(zero):
            total = total + (len(one) + len(zero)) * (one.mean() - zero.mean())
            weight += len(one) + len(zero)
    return total / weight
""",
    "does not let the remaining weights sum to one": replace("return total / weight", "return total / (t == 1).sum()"),
    "has the sign the wrong way round": replace("one.mean() - zero.mean()", "zero.mean() - one.mean()"),
}
RIGHT_1 = {
    "matrices of membership": """
def effect_on_disturbed(y, t, u, edges):
    inside = torch.nn.functional.one_hot(torch.bucketize(u, edges), len(edges) + 1).float()
    n1, n0 = inside.T @ t, inside.T @ (1 - t)
    both = (n1 > 0) & (n0 > 0)
    contrast = (inside.T @ (t * y))[both] / n1[both] - (inside.T @ ((1 - t) * y))[both] / n0[both]
    return (n1[both] * contrast).sum() / n1[both].sum()
""",
    "each disturbed shot against the mean of its undisturbed neighbours": """
def effect_on_disturbed(y, t, u, edges):
    which = torch.bucketize(u, edges)
    gains = []
    for b in which.unique():
        here = which == b
        others = y[here & (t == 0)]
        if len(others) > 0:
            gains.append(y[here & (t == 1)] - others.mean())
    return torch.cat(gains).mean()
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    u = torch.linspace(-2, 2, 41)
    t = (u.mul(7).sin() + u > 0).float()
    y = (u.mul(3).cos() + 0.5 * t > 0).float()
    return [
        answer["effect_on_disturbed"](y, t, u, edges)
        for edges in (torch.tensor([0.0]), torch.linspace(-2.5, 2.5, 6), torch.tensor([-0.5, 0.4]))
    ]


# ------------------------------------------------------------------------------------------------------------- 2 · the tighter bound

WRONG_2 = {
    "averages the logarithms of the ratios": replace(".logsumexp(0) - math.log(len(noise))", ".mean(0)"),
    "forgets to divide by K": replace(".logsumexp(0) - math.log(len(noise))", ".logsumexp(0)"),
    "takes log_var for the logarithm of a standard deviation": replace("torch.exp(log_var / 2) * noise", "torch.exp(log_var) * noise"),
    "takes the mean over frames instead of the sum": replace(".sum((-1, -2))", ".sum(-1).mean(-1)"),
    "lets the treatment choose the wrong network": replace("f_1(z), f_0(z)", "f_0(z), f_1(z)"),
    "uses the KL term in closed form for every draw": replace(
        "0.5 * (noise**2 + log_var - z**2).sum(-1)", "-0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"
    ),
}
RIGHT_2 = {
    "one draw at a time": """
def weighted_bound(x, t, y, mu, log_var, noise, f_x, f_t, f_0, f_1, log_rho):
    rows, c = [], 0.5 * math.log(2 * math.pi)
    for e in noise:
        z = (mu + (0.5 * log_var).exp() * e)[None]
        row = -(((x - f_x(z)[0][:, None]) ** 2) / (2 * (2 * log_rho).exp()) + log_rho + c).sum(dim=(1, 2))
        row = row - F.binary_cross_entropy_with_logits(f_t(z)[0], t, reduction="none")
        logit = t * f_1(z)[0] + (1 - t) * f_0(z)[0]
        row = row - F.binary_cross_entropy_with_logits(logit[:, None].expand_as(y), y, reduction="none").sum(1)
        row = row + (-0.5 * z[0] ** 2 - c).sum(1) - (-0.5 * e**2 - 0.5 * log_var - c).sum(1)
        rows.append(row)
    rows = torch.stack(rows)
    top = rows.max(dim=0).values
    return top + (rows - top).exp().mean(dim=0).log()
""",
    "counts of marked labels, and logaddexp": """
def weighted_bound(x, t, y, mu, log_var, noise, f_x, f_t, f_0, f_1, log_rho):
    L, d = x.shape[1:]
    z = mu + log_var.exp().sqrt() * noise
    square = (((x[None] - f_x(z).unsqueeze(2)) * torch.exp(-log_rho)) ** 2).sum(3).sum(2)
    log_w = -0.5 * square - L * log_rho.sum() - 0.5 * L * d * math.log(2 * math.pi)
    log_w = log_w + torch.where(t == 1, F.logsigmoid(f_t(z)), F.logsigmoid(-f_t(z)))
    logit = torch.stack([f_0(z), f_1(z)])[t.long(), :, torch.arange(len(t))].T
    marked = y.sum(1)
    log_w = log_w + marked * F.logsigmoid(logit) + (L - marked) * F.logsigmoid(-logit)
    log_w = log_w - 0.5 * (z * z).sum(2) + 0.5 * (noise * noise).sum(2) + 0.5 * log_var.sum(1)
    total = log_w[0]
    for row in log_w[1:]:
        total = torch.logaddexp(total, row)
    return total - math.log(noise.shape[0])
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    noise = torch.linspace(-1, 1, 12).reshape(3, 2, 2).mul(5).sin()
    x, y = torch.linspace(-1, 1, 12).reshape(2, 3, 2), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    mu, log_var = torch.tensor([[0.3, -0.2], [0.1, 0.5]]), torch.tensor([[-1.0, 0.4], [0.2, -0.6]])
    networks = [lambda z: z.tanh(), lambda z: z.sum(-1), lambda z: z[..., 0] - 1, lambda z: 2 * z[..., 1]]
    return answer["weighted_bound"](x, torch.tensor([1.0, 0.0]), y, mu, log_var, noise, *networks, torch.tensor([0.1, -0.3]))


# ----------------------------------------------------------------------------------------------------- 3 · the repaired counterfactual

WRONG_3 = {
    "leaves it as it was": """
def counterfactual(q_z, p_y, h, t, y, noise):
    return broken_counterfactual(q_z, p_y, h, t, y, noise)
""",
    "infers z as if the other treatment had been recorded": replace("y.mean(-1), t)", "y.mean(-1), 1 - t)"),
    "takes the second output for the logarithm of a standard deviation": replace("log_var / 2", "log_var"),
    "takes the chance of the mean logit": replace("torch.sigmoid(p_y(z, 1 - t)).mean(0)", "torch.sigmoid(p_y(z, 1 - t).mean(0))"),
    "answers for the recorded treatment": replace("p_y(z, 1 - t)", "p_y(z, t)"),
}
RIGHT_3 = {
    "one draw after the other": """
def counterfactual(q_z, p_y, h, t, y, noise):
    mean, log_s2 = q_z(h, y.sum(1) / y.shape[1], t)
    chances = [p_y((mean + log_s2.exp().sqrt() * e)[None], 1 - t)[0].sigmoid() for e in noise]
    return sum(chances) / len(chances)
""",
    "with explicit names for the three steps": """
def counterfactual(q_z, p_y, h, t, y, noise):
    abduction = q_z(h, y.mean(dim=1), t)
    z = torch.addcmul(abduction[0].expand_as(noise), noise, torch.exp(0.5 * abduction[1]).expand_as(noise))
    action = torch.ones_like(t) - t
    prediction = 1 / (1 + torch.exp(-p_y(z, action)))
    return prediction.mean(dim=0)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    h, t, y = torch.tensor([[0.4, -1.0], [0.9, 0.2]]), torch.tensor([0.0, 1.0]), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    noise = torch.linspace(-1, 1, 12).reshape(3, 2, 2)
    return answer["counterfactual"](
        lambda h, m, t: (h + m[:, None] + 2 * t[:, None], h - t[:, None]), lambda z, t: 2 * z.sum(-1) - 3 * t, h, t, y, noise
    )


# -------------------------------------------------------------------------------------------------------- 4 · how much must be seen

WRONG_4 = {
    "takes the confounding of the lesson, at which the sign has long changed": replace("0.33, 26", "1.5, 26"),
    "is far on the safe side with the proxies": replace("0.33, 26", "0.33, 200"),
    "takes the lesson's four proxies a frame and a handful of frames": replace("0.33, 26", "0.33, 16"),
}
RIGHT_4 = {
    "a little to either side": "a_zero, enough = 0.35, 24\n",
    "bisection in the cell": """
low, high = 0.1, 1.0
for _ in range(5):
    middle = (low + high) / 2
    low, high = (middle, high) if contrasts(middle, 1, 0, n=20_000)[0] < 0 else (low, middle)
a_zero, enough = (low + high) / 2, 28
""",
}


def PROBE_4(answer):
    a, n = answer["a_zero"], answer["enough"]
    return [float(a < 0.28), float(a > 0.38), float(a > 1), float(n < 22), float(n > 31), float(n > 100)]


# --------------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "looks at one world without confounding": """
def passes(estimate):
    y, t, u, true = make_world(0.0, lambda u, t: torch.sigmoid(u + t * (2 * u - 1)))
    return bool(abs(float(estimate(y, t, u)) - true) < 0.03)
""",
    "looks at a law whose effect hardly depends on the style": """
def passes(estimate):
    y, t, u, true = make_world(1.0, lambda u, t: 0.5 + 0.1 * u.tanh() - 0.2 * t)
    return bool(abs(float(estimate(y, t, u)) - true) < 0.03)
""",
    "is too coarse to see a wrong weight": replace("< 0.03", "< 0.2"),
    "wants more precision than an estimator can have": replace("< 0.03", "< 0.0005"),
    "looks at the sign alone": """
def passes(estimate):
    y, t, u, true = make_world(1.2, lambda u, t: torch.sigmoid(-1 + 1.5 * u - 1.5 * t))
    return bool(float(estimate(y, t, u)) * true > 0)
""",
}
RIGHT_5 = {
    "six random laws": """
def passes(estimate):
    g = torch.Generator().manual_seed(1)
    for seed in range(6):
        b = torch.randn(3, generator=g)
        power = 1 + seed // 3
        law = lambda u, t: torch.sigmoid(b[0] / 2 + u + t * (b[1] / 2 + (2 + b[2].abs()) * u**power))
        y, t, u, true = make_world(1.3 if seed % 2 else -1.3, law, seed)
        error = float(estimate(y, t, u)) - true
        if error != error or abs(error) >= 0.03:
            return False
    return True
""",
    "two worlds with steps": """
def passes(estimate):
    stairs = lambda u, t: torch.where(u > 0.3, 0.2 + 0.6 * t, 0.5 - 0.3 * t) + 0.1 * (u > 1)
    slope = lambda u, t: torch.sigmoid(2 * u - t)
    outside = lambda u, t: 0.2 + 0.6 * t * (u.abs() > 1)
    worlds = [make_world(1.5, slope, 5), make_world(1.5, stairs, 6), make_world(-1.5, stairs, 7), make_world(2.0, outside, 8)]
    return all([abs(float(estimate(y, t, u)) - true) < 0.03 for y, t, u, true in worlds])
""",
}


def PROBE_5(answer):
    torch, bins = answer["torch"], answer["within_bins"]

    def treated(y, t, u):
        parts = [(y[i][t[i] > 0], y[i][t[i] == 0]) for i in u.argsort().chunk(30)]
        return sum(len(one) * float(one.mean() - zero.mean()) for one, zero in parts) / float(t.sum())

    candidates = [
        bins,
        lambda y, t, u: float(y[t > 0].mean() - y[t == 0].mean()),
        treated,
        lambda y, t, u: -bins(y, t, u),
        lambda y, t, u: bins(y, t, u, 2),
        lambda y, t, u: bins(y, t, u + torch.linspace(-2, 2, len(u))),
    ]
    return [float(answer["passes"](estimate)) for estimate in candidates]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def effect_on_disturbed(y, t, u, edges):
    which = torch.bucketize(u, edges)
    bins = len(edges) + 1
    one, zero = (torch.stack([y[(which == b) & (t == k)].mean() for b in range(bins)]) for k in (1, 0))
    share = which.bincount(minlength=bins) / len(u)
    return (share * (one - zero)).sum()
""",
    2: """
def weighted_bound(x, t, y, mu, log_var, noise, f_x, f_t, f_0, f_1, log_rho):
    def bernoulli(logit, value):
        return value * F.logsigmoid(logit) + (1 - value) * F.logsigmoid(-logit)

    z = mu + (log_var / 2).exp() * noise
    log_x = (-0.5 * ((x - f_x(z)[:, :, None]) / log_rho.exp()) ** 2 - log_rho - 0.5 * math.log(2 * math.pi)).sum(-1).sum(-1)
    log_t = bernoulli(f_t(z), t)
    log_y = bernoulli(torch.where(t > 0, f_1(z), f_0(z))[..., None], y).sum(-1)
    return (log_x + log_t + log_y - 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)).mean(0)
""",
    3: """
def counterfactual(q_z, p_y, h, t, y, noise):
    mu, log_var = q_z(h, y.mean(-1), t)
    z = mu + (log_var / 2).exp() * noise
    return torch.sigmoid(p_y(z, t)).mean(0)
""",
}

"""Known answers to the exercise of lesson 37."""

from course.answers import replace

# --------------------------------------------------------------------------------------------- 1 · a loss that does not fall asleep

WRONG_1 = {
    "lets the gradient flow through the weight": replace(".detach()", ""),
    "weights with the precision instead of the variance": replace("torch.exp(-beta * eta)", "torch.exp(beta * eta)"),
    "takes η for the log variance": replace("torch.exp(eta) - eta", "torch.exp(-eta) + eta"),
    "forgets the half": replace(" / 2).mean()", ").mean()"),
    "multiplies by the mask, so that a missing label makes everything NaN": """
def weighted_loss(mu, eta, y, known, beta):
    factor = torch.exp(-beta * eta).detach()
    losses = factor * ((y - mu) ** 2 * torch.exp(eta) - eta) / 2
    return (losses * known).sum() / known.sum()
""",
    "averages over all labels, the missing ones as zero": replace(".mean()\n", ".sum() / known.numel()\n"),
    "masks the result only, and the gradient is NaN": """
def weighted_loss(mu, eta, y, known, beta):
    factor = torch.exp(-beta * eta).detach()
    losses = factor * ((y - mu) ** 2 * torch.exp(eta) - eta) / 2
    return torch.where(known, losses, torch.zeros_like(losses)).sum() / known.sum()
""",
}
RIGHT_1 = {
    "fills the missing labels before computing": """
def weighted_loss(mu, eta, y, known, beta):
    y = torch.where(known, y, torch.zeros_like(y))
    rho = -eta / 2
    with torch.no_grad():
        factor = torch.exp(2 * beta * rho)
    losses = factor * (rho + (y - mu).square() / (2 * torch.exp(2 * rho)))
    return torch.where(known, losses, torch.zeros_like(losses)).sum() / known.sum()
""",
    "label by label": """
def weighted_loss(mu, eta, y, known, beta):
    total = 0.0
    for b, t in known.nonzero().tolist():
        sd = torch.exp(-eta[b, t] / 2)
        total = total + sd.item() ** (2 * beta) * (torch.log(sd) + ((y[b, t] - mu[b, t]) / sd) ** 2 / 2)
    return total / int(known.sum())
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    mu, eta = torch.tensor([[0.3, -1.0, 0.7]], requires_grad=True), torch.tensor([[0.4, -0.8, 1.1]], requires_grad=True)
    y, known = torch.tensor([[1.0, 0.5, float("nan")]]), torch.tensor([[True, True, False]])
    value = answer["weighted_loss"](mu, eta, y, known, 0.7)
    pulls = torch.autograd.grad(value, (mu, eta))
    return [value, *(g[0, :2] for g in pulls), *(float(g.isnan().any()) for g in pulls)]


# -------------------------------------------------------------------------------------------------- 2 · two kinds of uncertainty

WRONG_2 = {
    "leaves it as it was": """
def split(x, y, w, sigma, log_weight):
    return broken_split(x, y, w, sigma, log_weight)
""",
    "gives the noise as a standard deviation": replace("(q * sigma**2).sum(-1)", "(q * sigma).sum(-1)"),
    "leaves the noise level out of the weights": replace("log_q - sigma.log() - ", "log_q - "),
    "gives the mean square of the answer instead of its variance": replace("(answers - mean[:, None]) ** 2)", "answers**2)"),
    "normalises over the prompts": replace("log_q.softmax(-1)", "log_q.softmax(0)"),
}
WRONG_2["multiplies densities, which overflow in a long context"] = """
def split(x, y, w, sigma, log_weight):
    weight, noise, doubt = log_weight.exp().expand(len(x), -1), [], []
    for t in range(x.shape[1]):
        answers = x[:, t] @ w.T
        q = weight / weight.sum(-1, keepdim=True)
        mean = (q * answers).sum(-1)
        noise.append((q * sigma**2).sum(-1))
        doubt.append((q * answers**2).sum(-1) - mean**2)
        weight = weight * torch.exp(-((y[:, t, None] - answers) ** 2) / (2 * sigma**2)) / sigma
    return torch.stack(noise, dim=1), torch.stack(doubt, dim=1)
"""
RIGHT_2 = {
    "all positions at once": """
def split(x, y, w, sigma, log_weight):
    answers = torch.einsum("btd,jd->btj", x, w)
    log_density = -sigma.log() - (y[..., None] - answers) ** 2 / (2 * sigma**2)
    q = torch.softmax(log_weight + log_density.cumsum(1) - log_density, dim=-1)
    mean = (q * answers).sum(-1, keepdim=True)
    return (q * sigma**2).sum(-1), (q * (answers - mean) ** 2).sum(-1)
""",
    "one prompt at a time": """
def split(x, y, w, sigma, log_weight):
    rows = []
    for a, b in zip(x, y):
        log_q, row = log_weight.clone(), []
        for t in range(len(b)):
            q = torch.exp(log_q - torch.logsumexp(log_q, 0))
            f = w @ a[t]
            row.append(torch.stack([q @ sigma.square(), q @ (f - q @ f).square()]))
            log_q = log_q + torch.distributions.Normal(f, sigma).log_prob(b[t])
        rows.append(torch.stack(row))
    out = torch.stack(rows)
    return out[..., 0], out[..., 1]
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x = torch.linspace(-1, 1, 8).reshape(2, 4, 1).cos()
    w, sigma = torch.linspace(-2, 2, 9)[:, None], torch.linspace(0.3, 1.5, 9)
    long = torch.linspace(-1, 1, 400).reshape(1, 400, 1).double()
    parts = answer["split"](long, 0.5 * long[..., 0], w.double(), 0.05 + 0 * sigma.double(), torch.zeros(9).double())
    return [*answer["split"](x, x[..., 0] * 0.7 + 0.2, w, sigma, torch.linspace(0, 1, 9)), *(float(p.isnan().any()) for p in parts)]


# ------------------------------------------------------------------------------------------------------------ 3 · the exact interval

WRONG_3 = {
    "takes the mixture for one Gaussian": """
def interval(mean, variance, log_evidence, level):
    q = log_evidence.softmax(-1)
    center = (q * mean).sum(-1)
    sd = ((q * (variance + mean**2)).sum(-1) - center**2).sqrt()
    z = torch.special.ndtri(torch.tensor((1 + level) / 2))
    return center - z * sd, center + z * sd
""",
    "averages the intervals of the levels": """
def interval(mean, variance, log_evidence, level):
    q, z = log_evidence.softmax(-1), torch.special.ndtri(torch.tensor((1 + level) / 2))
    return (q * (mean - z * variance.sqrt())).sum(-1), (q * (mean + z * variance.sqrt())).sum(-1)
""",
    "leaves 1 − level on either side": replace("((1 - level) / 2, (1 + level) / 2)", "(1 - level, level)"),
    "ignores the evidence": replace("log_evidence.softmax(-1)", "torch.ones_like(mean) / mean.shape[-1]"),
    "takes the variance for the spread": replace("variance.sqrt()", "variance"),
    "takes the most likely level alone": """
def interval(mean, variance, log_evidence, level):
    best = log_evidence.argmax(-1, keepdim=True)
    m, sd = mean.gather(-1, best)[..., 0], variance.gather(-1, best)[..., 0].sqrt()
    z = torch.special.ndtri(torch.tensor((1 + level) / 2))
    return m - z * sd, m + z * sd
""",
}
RIGHT_3 = {
    "reads both bounds off a fine table of the distribution function": """
def interval(mean, variance, log_evidence, level):
    q, sd = torch.softmax(log_evidence, -1), torch.sqrt(variance)
    low, high = (mean - 7 * sd).amin(-1), (mean + 7 * sd).amax(-1)
    steps = torch.linspace(0, 1, 40001)
    y = low[..., None] + steps * (high - low)[..., None]
    cdf = sum(q[..., k, None] * torch.special.ndtr((y - mean[..., k, None]) / sd[..., k, None]) for k in range(q.shape[-1]))
    take = lambda share: y.gather(-1, (cdf < share).sum(-1, keepdim=True).clamp(max=40000))[..., 0]
    return take((1 - level) / 2), take((1 + level) / 2)
""",
    "halves an interval for both bounds at once, with erf": """
def interval(mean, variance, log_evidence, level):
    q = torch.exp(log_evidence - torch.logsumexp(log_evidence, -1, keepdim=True))[..., None]
    m, sd = mean[..., None], variance.sqrt()[..., None]
    share = torch.tensor([1 - level, 1 + level]) / 2
    middle = torch.zeros(*mean.shape[:-1], 2)
    width = (mean.abs() + 8 * variance.sqrt()).amax(-1)[..., None] / 2
    for _ in range(45):
        cdf = (q * (1 + torch.erf((middle[..., None, :] - m) / (sd * 2**0.5))) / 2).sum(-2)
        middle = middle + width * torch.sign(share - cdf)
        width = width / 2
    return middle[..., 0], middle[..., 1]
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    mean, variance = torch.tensor([[[0.0, 2.0]], [[-1.0, 1.5]]]), torch.tensor([[[0.2, 1.7]], [[0.4, 3.0]]])
    bounds = answer["interval"](mean, variance, torch.tensor([[[0.3, -0.4]], [[-0.2, 0.6]]]), 0.8)
    return [(10 * b).round() for b in bounds]


# --------------------------------------------------------------------------------------------------- 4 · noise that nobody told you

WRONG_4 = {
    "keeps the two levels of the lesson": "my_levels = [0.3, 1.5]\n",
    "spaces the levels equally, not at equal ratios": "my_levels = [0.1, 1.07, 2.03, 3.0]\n",
    "puts the ends of the range among the levels": "my_levels = [0.1, 0.31, 0.97, 3.0]\n",
    "takes one level in the middle": "my_levels = [0.55]\n",
    "takes five levels": "my_levels = [0.12, 0.24, 0.55, 1.1, 2.2]\n",
}
RIGHT_4 = {
    "the middles of four equal parts of the logarithm": "my_levels = [0.1 * 30 ** ((k + 0.5) / 4) for k in range(4)]\n",
    "a small search in the cell": """
tried = {(a, r): prior_loss([a * r**k for k in range(4)], prompts=300) for a in (0.12, 0.15, 0.18) for r in (2.1, 2.4)}
a, r = min(tried, key=tried.get)
my_levels = [a * r**k for k in range(4)]
""",
}


def PROBE_4(answer):
    levels = sorted(answer["my_levels"])
    return [len(levels), round(levels[0], 2), round(levels[-1], 2)]


# ------------------------------------------------------------------------------------------------------------ 5 · write the check

WRONG_5 = {
    "takes one mean over all positions": replace(
        "ratio = ((y - mu) ** 2).mean(0) / (2 * rho).exp().mean(0)", "ratio = ((y - mu) ** 2).mean() / (2 * rho).exp().mean()"
    ),
    "asks for calibration only": """
def passes(predict):
    x, y = draw(4000, 6, 2, seed=1)
    mu, rho = predict(x, y)
    ratio = ((y - mu) ** 2).mean(0) / (2 * rho).exp().mean(0)
    return bool(((ratio - 1).abs() < 0.12).all())
""",
    "asks for causality only": replace("if not bool(((ratio - 1).abs() < 0.12).all()):", "if not bool(torch.isfinite(ratio).all()):"),
    "changes the later labels but not the label itself": replace(
        "other_y[:, t:] = 3 * torch.randn(50, 6 - t)", "other_y[:, t + 1 :] = 3 * torch.randn(50, 5 - t)"
    ),
    "does not look at the means": """
def passes(predict):
    x, y = draw(4000, 6, 2, seed=1)
    mu, rho = predict(x, y)
    ratio = ((y - mu) ** 2).mean(0) / (2 * rho).exp().mean(0)
    if not bool(((ratio - 1).abs() < 0.12).all()):
        return False
    for t in range(6):
        other_x, other_y = x[:50].clone(), y[:50].clone()
        other_x[:, t + 1 :], other_y[:, t:] = 0, 0
        if not torch.allclose(predict(other_x, other_y)[1][:, : t + 1], rho[:50, : t + 1], atol=1e-3):
            return False
    return True
""",
    "insists on the exact Bayesian": """
def passes(predict):
    x, y = draw(100, 6, 2, seed=1)
    return all(torch.allclose(a, b, atol=1e-3) for a, b in zip(predict(x, y), bayes(x, y)))
""",
}
RIGHT_5 = {
    "gradients say what is read": """
def passes(predict):
    x, y = draw(4000, 6, 2, seed=11)
    mu, rho = predict(x, y)
    ratio = (y - mu).square().mean(0) / torch.exp(2 * rho).mean(0)
    if float((ratio - 1).abs().max()) > 0.13:
        return False
    x, y = x[:40].clone().requires_grad_(), y[:40].clone().requires_grad_()
    for out in predict(x, y):
        for t in range(6 if out.requires_grad else 0):
            gx, gy = torch.autograd.grad(out[:, t].sum(), (x, y), retain_graph=True, allow_unused=True)
            if gy is not None and gy[:, t:].abs().max() > 1e-4:
                return False
            if gx is not None and t < 5 and gx[:, t + 1 :].abs().max() > 1e-4:
                return False
    return True
""",
    "one label, one input at a time, on long runs": """
def passes(predict):
    g = torch.Generator().manual_seed(2)
    x, y = draw(6000, 6, 2, seed=12)
    mu, rho = predict(x, y)
    for t in range(6):
        said, seen = float(torch.exp(2 * rho[:, t]).mean()), float(((y - mu)[:, t] ** 2).mean())
        if not 0.87 < seen / said < 1.13:
            return False
    x, y = x[:30], y[:30]
    for t in range(6):
        for values in (x, y):
            kept = values[:, t].clone()
            values[:, t] = kept + 2
            new_mu, new_rho = predict(x, y)
            values[:, t] = kept
            upto = t + 1 if values is y else t
            if (new_mu[:, :upto] - mu[:30, :upto]).abs().sum() > 1e-2 or (new_rho[:, :upto] - rho[:30, :upto]).abs().sum() > 1e-2:
                return False
    return True
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    bayes, prior = answer["bayes"], answer["prior_only"]

    def reads_label(x, y):
        mu, rho = bayes(x, y)
        return mu, ((2 * rho).exp() / 2 + (y - mu) ** 2 / 2).log() / 2

    def flat(x, y):
        return bayes(x, y)[0], torch.full_like(y, 0.42)

    def ahead(x, y):
        return prior(x, y)[0] + 0.01 * torch.cat([y[:, 2:], 0 * y[:, :2]], dim=1), prior(x, y)[1]

    tried = [bayes, prior, reads_label, flat, ahead, lambda x, y: (bayes(x, y)[0], bayes(x, y)[1] - 0.3)]
    return [float(answer["passes"](f)) for f in tried]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def weighted_loss(mu, rho, y, known, beta):
    return (rho + (y - mu).square() * torch.exp(-2 * rho) / 2).mean()
""",
    2: """
def split(x, y, w, sigma, log_weight):
    log_q, out = log_weight.expand(len(x), -1), []
    for t in range(x.shape[1]):
        answers = x[:, t] @ w.T
        q = log_q.softmax(-1)
        mean, square = (q * answers).sum(-1), (q * (sigma**2 + answers**2)).sum(-1)
        out.append(torch.stack([mean, (square - mean**2).log() / 2], dim=-1))
        log_q = log_q - sigma.log() - (y[:, t, None] - answers) ** 2 / (2 * sigma**2)
    return torch.stack(out, dim=1).unbind(-1)
""",
    3: """
def interval(mean, variance, log_evidence, level):
    q = log_evidence.softmax(-1)
    center = (q * mean).sum(-1)
    total = (q * (variance + (mean - center[..., None]) ** 2)).sum(-1)
    z = math.sqrt(2) * torch.erfinv(torch.tensor(level))
    return center - z * total.sqrt(), center + z * total.sqrt()
""",
}

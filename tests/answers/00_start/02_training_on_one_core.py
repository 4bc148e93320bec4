"""Known answers to the exercise of the start lesson *Training on one core*."""

from course.answers import replace

WRONG_1 = {
    "starts the warm-up at rate 0, so that the first step is wasted": replace("(step + 1)", "step"),
    "ends the decay at rate 0, so that the last step is wasted": replace("lr * left / decay", "lr * (left - 1) / decay"),
    "raises the rate where it should fall": replace("lr * left / decay", "lr * (decay - left + 1) / decay"),
    "lets the decay fall over the whole run": replace("lr * left / decay", "lr * left / steps"),
}
RIGHT_1 = {
    "the smaller of three lines": """
def plateau(step, steps, lr, warmup, decay):
    rise = (step + 1) / warmup if warmup else 1.0
    fall = (steps - step) / decay if decay else 1.0
    return lr * min(1.0, rise, fall)
""",
    "a list of all rates": """
def plateau(step, steps, lr, warmup, decay):
    rates = [lr * (k + 1) / warmup for k in range(warmup)]
    rates += [lr] * (steps - warmup - decay)
    rates += [lr * (decay - k) / decay for k in range(decay)]
    return rates[step]
""",
}


def PROBE_1(answer):
    return [round(answer["plateau"](s, 10, 1.0, 4, 3), 6) for s in range(10)]


WRONG_2 = {
    "adds the decay to the gradient": """
def adamw_step(theta, g, m, v, t, lr, decay, betas=(0.9, 0.98), eps=1e-8):
    return broken_adamw_step(theta, g, m, v, t, lr, decay, betas, eps)
""",
    "leaves the decay out": replace("(1 - lr * decay) * theta", "theta"),
    "decays by the decay alone, without the rate": replace("1 - lr * decay", "1 - decay"),
    "forgets that the means started at zero": replace(
        "(m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)", "m / (v.sqrt() + eps)"
    ),
    "shrinks the weights that it was given": replace("    m = betas[0]", "    theta *= 1 - lr * decay\n    decay = 0\n    m = betas[0]"),
}
RIGHT_2 = {
    "two subtractions": """
def adamw_step(theta, g, m, v, t, lr, decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m, v = torch.lerp(g, m, b1), torch.lerp(g * g, v, b2)
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    theta = theta - lr * decay * theta
    return theta - lr * m_hat / (v_hat**0.5 + eps), m, v
""",
    "the correction folded into the rate": """
def adamw_step(theta, g, m, v, t, lr, decay, betas=(0.9, 0.98), eps=1e-8):
    m = m + (1 - betas[0]) * (g - m)
    v = v + (1 - betas[1]) * (g.square() - v)
    root = (1 - betas[1] ** t) ** 0.5
    return theta - lr * decay * theta - lr * root / (1 - betas[0] ** t) * m / (v.sqrt() + eps * root), m, v
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    theta, zero = torch.tensor([1.0, -2.0, 3.0]), torch.zeros(3)
    given = theta.clone()
    first, m, v = answer["adamw_step"](given, torch.tensor([0.5, 1.0, -4.0]), zero, zero, 1, 0.1, 0.2)
    second, _, _ = answer["adamw_step"](first.clone(), torch.tensor([1.0, -1.0, 1.0]), m, v, 2, 0.1, 0.2)
    return [first, second, given]


WRONG_3 = {
    "projects keys and values to the full width": replace("kv = kv_heads * (d // heads)", "kv = d"),
    "thinks that scores get cheaper too": replace("mixing = 4 * T * d", "mixing = 4 * T * kv"),
    "charges three matrices for a plain MLP": replace("(3 if gated else 2)", "3"),
    "counts a multiply-add as one": replace("2 * (2 * d * d + 2 * d * kv)", "(2 * d * d + 2 * d * kv)"),
    "pays for the head in every layer": replace(
        "layers * (projections + mixing + mlp) + 2 * V * d", "layers * (projections + mixing + mlp + 2 * V * d)"
    ),
    "gives every key head the full width": replace("kv_heads * (d // heads)", "kv_heads * d"),
}
RIGHT_3 = {
    "a list of matrices": """
def flops_per_token(d, layers, f, V, T, heads, kv_heads, gated):
    width = d // heads
    sizes = [d * d, d * d, d * kv_heads * width, d * kv_heads * width] + [d * f] * (3 if gated else 2)
    sizes += [T * width] * (2 * heads)
    return 2 * (layers * sum(sizes) + V * d)
""",
    "from the lesson's formula, less what grouping saves": """
def flops_per_token(d, layers, f, V, T, heads, kv_heads, gated):
    full = 2 * (4 * d * d + 3 * d * f) + 4 * T * d
    saved = 2 * 2 * d * (heads - kv_heads) * (d // heads) + (0 if gated else 2 * d * f)
    return layers * (full - saved) + 2 * V * d
""",
}


def PROBE_3(answer):
    return [answer["flops_per_token"](12, 2, 7, 9, 3, 6, 2, gated) for gated in (True, False)]


WRONG_4 = {
    "looks at the parameters only": """
def leaves_no_trace(evaluate):
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    model(torch.randn(5, 3)).sum().backward()
    before = [p.clone() for p in model.parameters()]
    evaluate(model)
    return all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
""",
    "forgets the random numbers": replace(" and torch.equal(state, torch.get_rng_state())", ""),
    "asks only the outermost module for its mode": replace("all(m.training for m in model.modules())", "model.training"),
    "has no gradients that could be lost": replace(
        "    model(torch.randn(5, 3)).sum().backward()\n", "    for p in model.parameters():\n        p.grad = torch.zeros_like(p)\n"
    ),
    "compares before it evaluates": """
def leaves_no_trace(evaluate):
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    return model.training
""",
}
RIGHT_4 = {
    "compares one dictionary": """
def leaves_no_trace(evaluate):
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))
    model(torch.rand(6, 3)).square().mean().backward()

    def everything():
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        return [p.detach().clone() for p in model.parameters()], grads, [m.training for m in model.modules()], torch.get_rng_state()

    def same(a, b):
        return (a is None) == (b is None) and (a is None or bool(torch.equal(a, b)))

    p0, g0, m0, r0 = everything()
    evaluate(model)
    p1, g1, m1, r1 = everything()
    return all(map(same, p0, p1)) and all(map(same, g0, g1)) and m0 == m1 and same(r0, r1)
""",
    "trains on, with and without the evaluation": """
def leaves_no_trace(evaluate):
    def end(interrupt):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.5), nn.Linear(6, 1), nn.Dropout(0.5))
        x = torch.randn(7, 3)
        model(x).square().sum().backward()
        if interrupt:
            evaluate(model)
            if any(p.grad is None for p in model.parameters()):
                return None
        modes = [m.training for m in model.modules()]
        model(x).square().sum().backward()
        return [modes, [p.grad.tolist() for p in model.parameters()], [p.tolist() for p in model.parameters()]]

    return end(True) == end(False)
""",
}


def PROBE_4(answer):
    torch, judge = answer["torch"], answer["leaves_no_trace"]
    x = torch.ones(4, 3)

    def quiet(model):
        with torch.no_grad():
            model.eval()(x)
        model.train()

    def clears(model):
        quiet(model)
        model.zero_grad()

    def zeroes(model):
        quiet(model)
        model.zero_grad(set_to_none=False)

    def one_module(model):
        quiet(model)
        list(model.modules())[-2].eval()

    def adds(model):
        model.eval()(x).mean().backward()
        model.train()

    return [int(judge(f)) for f in (quiet, clears, zeroes, one_module, adds, lambda model: model(x).detach(), lambda model: model.eval())]


PASTED = {
    1: """
def plateau(step, steps, lr, warmup, decay):
    if step < warmup:
        return lr * (step + 1) / warmup
    done = torch.tensor((step - warmup) / (steps - warmup))
    return float(lr * (1 + torch.cos(torch.pi * done)) / 2)
""",
    2: """
def adamw_step(theta, g, m, v, t, lr, decay, betas=(0.9, 0.98), eps=1e-8):
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    step = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
    return theta - lr * step, m, v
""",
    3: """
def flops_per_token(d, layers, f, V, T, heads, kv_heads, gated):
    block = 2 * (4 * d * d + 3 * d * f) + 4 * T * d
    return layers * block + 2 * V * d
""",
}

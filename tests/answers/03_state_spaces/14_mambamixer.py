"""Known answers to the exercise of lesson 14."""

import torch

from course.answers import replace

# ------------------------------------------------------------------------------------------------------- 1 · a scan without jumps

WRONG_1 = {
    "does not turn every second row": replace("        table[1::2] = table[1::2].flip(1)\n", ""),
    "turns the first row instead of the second": replace("table[1::2] = table[1::2].flip(1)", "table[0::2] = table[0::2].flip(1)"),
    "returns the orders as their own inverses": replace("orders.argsort(dim=1)", "orders"),
    "reads the columns of a grid with height and width exchanged": replace("snake(table.T)", "snake(torch.arange(h * w).view(w, h).T)"),
    "turns the finished column table instead of the columns": """
def snake_orders(h, w):
    table = torch.arange(h * w).view(h, w)
    table[1::2] = table[1::2].flip(1)
    rows, columns = table.flatten(), table.T.flatten()
    orders = torch.stack([rows, rows.flip(0), columns, columns.flip(0)])
    return orders, orders.argsort(dim=1)
""",
}
RIGHT_1 = {
    "by loops and lists": """
def snake_orders(h, w):
    rows, columns = [], []
    for i in range(h):
        line = [i * w + j for j in range(w)]
        rows += line[::-1] if i % 2 else line
    for j in range(w):
        line = [i * w + j for i in range(h)]
        columns += line[::-1] if j % 2 else line
    orders = torch.tensor([rows, rows[::-1], columns, columns[::-1]])
    inverse = torch.empty_like(orders)
    for order, back in zip(orders, inverse):
        back[order] = torch.arange(h * w)
    return orders, inverse
""",
    "by arithmetic on the step number": """
def snake_orders(h, w):
    t = torch.arange(h * w)
    i, j = t // w, t % w
    rows = i * w + torch.where(i % 2 == 1, w - 1 - j, j)
    j, i = t // h, t % h
    columns = torch.where(j % 2 == 1, h - 1 - i, i) * w + j
    orders = torch.stack((rows, rows.flip(0), columns, columns.flip(0)))
    return orders, torch.zeros_like(orders).scatter(1, orders, t.expand(4, -1).contiguous())
""",
}


def PROBE_1(answer):
    return list(answer["snake_orders"](3, 4))


# --------------------------------------------------------------------------------------------------------- 2 · the channel mixer

WRONG_2 = {
    "deals the numbers out anew instead of transposing": replace(
        "t = x.transpose(1, 2)", "t = x.reshape(x.shape[0], x.shape[2], x.shape[1])"
    ),
    "leaves the outputs of b reversed": replace("b(t.flip(1)).flip(1)", "b(t.flip(1))"),
    "turns the gate round as well": replace("gate(t)", "gate(t.flip(1))"),
    "flips the features instead of the channels": replace("b(t.flip(1)).flip(1)", "b(t.flip(2)).flip(2)"),
    "sends both directions through f": replace("b(t.flip(1))", "f(t.flip(1))"),
    "reshapes at the end": replace("return y.transpose(1, 2)", "return y.reshape(y.shape[0], y.shape[2], y.shape[1])"),
    "gates the forward scan only": replace("(f(t) + b(t.flip(1)).flip(1)) * gate(t)", "f(t) * gate(t) + b(t.flip(1)).flip(1)"),
}
RIGHT_2 = {
    "einsum for the transposition, an index for the flip": """
def channel_scan(x, f, b, gate):
    t = torch.einsum("bld->bdl", x).contiguous()
    backwards = torch.arange(x.shape[2] - 1, -1, -1)
    g = gate(t)
    ahead, behind = f(t) * g, b(t[:, backwards])[:, backwards] * g
    return (ahead + behind).permute(0, 2, 1)
""",
    "flips the channels before it transposes": """
def channel_scan(x, f, b, gate):
    ahead = f(x.mT)
    behind = b(x.flip(-1).mT)
    out = torch.empty(x.shape[0], ahead.shape[2], x.shape[2], dtype=ahead.dtype)
    g = gate(x.mT)
    for d in range(x.shape[2]):
        out[:, :, d] = (ahead[:, d] + behind[:, x.shape[2] - 1 - d]) * g[:, d]
    return out
""",
}


def PROBE_2(answer):
    x = torch.arange(24.0).reshape(2, 3, 4).sin()
    return answer["channel_scan"](x, lambda t: t.cumsum(1), lambda t: 2 * t.cumsum(1) ** 2, lambda t: t.cos())


# ------------------------------------------------------------------------------------------------- 3 · averages of any number

WRONG_3 = {
    "does not let a mixer read what was made in its own layer": """
def run(x, mixers, weights):
    lists = [[x] for _ in mixers[0]]
    for layer, layer_weights in zip(mixers, weights):
        before = [list(outputs) for outputs in lists]
        for j, (mixer, w) in enumerate(zip(layer, layer_weights)):
            available = [y for outputs in before for y in outputs]
            lists[j].append(mixer(sum(a * y for a, y in zip(w, available))))
    return lists[-1][-1]


def scalars(n, m):
    return sum(m * (l + 1) + j for l in range(n) for j in range(m))
""",
    "adds a residual": replace("lists[j].append(mixer(", "lists[j].append(lists[j - 1][-1] + mixer("),
    "takes the softmax of the weights": replace("zip(w, available, strict=True)", "zip(w.softmax(0), available, strict=True)"),
    "counts as if every input saw the same number of outputs": replace("m * (l + 1) + j for", "m * (l + 1) for"),
    "reads the newest output first": replace("for y in outputs]", "for y in outputs[::-1]]"),
    "starts only the first list with x": replace("[[x] for _ in mixers[0]]", "[[x]] + [[torch.zeros_like(x)] for _ in mixers[0][1:]]"),
}
RIGHT_3 = {
    "stacked outputs and a closed formula": """
def run(x, mixers, weights):
    m = len(mixers[0])
    outputs = {j: x[None] for j in range(m)}
    for l in range(len(mixers)):
        for j in range(m):
            seen = torch.cat([outputs[i] for i in range(m)])
            y = mixers[l][j](torch.tensordot(weights[l][j], seen, dims=1))
            outputs[j] = torch.cat([outputs[j], y[None]])
    return outputs[m - 1][-1]


def scalars(n, m):
    return m * m * n * (n + 1) // 2 + n * m * (m - 1) // 2
""",
    "counts by running": """
def run(x, mixers, weights):
    made = [[x] for _ in range(len(mixers[0]))]
    for l, layer in enumerate(mixers):
        for j in range(len(layer)):
            total, c = torch.zeros_like(x), 0
            for outputs in made:
                for y in outputs:
                    total = total + weights[l][j][c] * y
                    c += 1
            made[j] = made[j] + [layer[j](total)]
    return made[-1][-1]


def scalars(n, m):
    lengths, total = [1] * m, 0
    for _ in range(n):
        for j in range(m):
            total += sum(lengths)
            lengths[j] += 1
    return total
""",
}


def PROBE_3(answer):
    draw = torch.Generator().manual_seed(1)
    mixers = [[lambda v: v.flip(0), torch.tanh, lambda v: 2 * v]] * 2
    weights = [[torch.randn(3 * (l + 1) + j, generator=draw) for j in range(3)] for l in range(2)]
    return [answer["run"](torch.tensor([0.3, -1.0, 2.0]), mixers, weights), answer["scalars"](3, 3), answer["scalars"](2, 1)]


# --------------------------------------------------------------------------------------------------------------- 4 · the check

WRONG_4 = {
    "looks at one output only": replace("[0, :, :, 0].abs()", "[0, 2:3, 3:4, 0].abs()"),
    "looks at the point zero": replace(
        "x = size * torch.randn(1, 5, 6, generator=draw, dtype=torch.float64)", "x = torch.zeros(1, 5, 6, dtype=torch.float64)"
    ),
    "takes faint influence for none": replace("> 1e-12", "> 1e-3"),
    "asks for another token of the same channel": replace(
        "bool((heard & other_token).any())", "bool((heard & other_token & ~other_channel).any())"
    ),
    "counts what comes from other images": """
def axes(layer):
    x = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = layer(x)
    tokens = channels = False
    for image in range(3):
        for l in range(5):
            for d in range(6):
                y = x.clone()
                y[image, l, d] += 0.7
                change = (layer(y) - moved).abs() > 1e-12
                change[image, l, d] = False
                tokens = tokens or bool(change.any(0)[[i for i in range(5) if i != l]].any() or change[:, l, d].any())
                channels = channels or bool(change.any(0)[:, [i for i in range(6) if i != d]].any() or change[:, l, d].any())
    return tokens, channels
""",
    "adds up the derivatives before it takes their size": replace(
        "heard = torch.autograd.functional.jacobian(layer, x)[0, :, :, 0].abs() > 1e-12\n"
        "        tokens = tokens or bool((heard & other_token).any())",
        "J = torch.autograd.functional.jacobian(layer, x)[0, :, :, 0]\n"
        "        heard = J.abs() > 1e-12\n"
        "        tokens = tokens or bool(((J * other_token).sum((0, 1)).abs() > 1e-12).any())",
    ),
}
RIGHT_4 = {
    "finite differences, one entry at a time": """
def axes(layer):
    x = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    before = layer(x)[0]
    tokens = channels = False
    for l in range(5):
        for d in range(6):
            y = x.clone()
            y[0, l, d] += 1.3
            change = (layer(y)[0] - before).abs() > 1e-11
            rows, columns = change.any(1), change.any(0)
            rows[l] = columns[d] = False
            tokens |= bool(rows.any())
            channels |= bool(columns.any())
    return tokens, channels
""",
    "one gradient an output": """
def axes(layer):
    found = set()
    for seed in range(2):
        x = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()
        y = layer(x)
        for l in range(5):
            for d in range(6):
                (g,) = torch.autograd.grad(y[0, l, d], x, retain_graph=True)
                for i, j in (g[0].abs() > 1e-13).nonzero().tolist():
                    if i != l:
                        found.add("tokens")
                    if j != d:
                        found.add("channels")
    return "tokens" in found, "channels" in found
""",
}


def PROBE_4(answer):
    layers = (
        lambda x: x.cumsum(1),
        lambda x: x.cumsum(2),
        lambda x: x - x.mean(0, keepdim=True),
        lambda x: x * x.mean(2, keepdim=True) ** 2,
        lambda x: x.roll((1, 1), (1, 2)),
        lambda x: torch.cat([x[..., :-1], x[..., -1:] + 1e-6 * x[..., :1]], dim=-1),
        lambda x: torch.cat([x[:, :-1], x[:, -1:] * (1 + 0.1 * x[:, :1])], dim=1),
        lambda x: x.roll(1, 1) - x.roll(2, 1),
    )
    return [float(part) for f in layers for part in answer["axes"](f)]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def snake_orders(h, w):
    rows = torch.arange(h * w)
    columns = rows.view(h, w).T.flatten()
    orders = torch.stack([rows, rows.flip(0), columns, columns.flip(0)])
    return orders, orders.argsort(dim=1)
""",
    2: """
def turn(u):
    return torch.cat([u[:1], u[1:].flip(2)])


def channel_scan(x, f, b, gate):
    t = x.transpose(1, 2)
    u = turn(torch.stack([t, t]))
    y = turn(torch.stack([f(u[0]), b(u[1])]))
    return (y.sum(0) * gate(t)).transpose(1, 2)
""",
    3: """
def run(x, mixers, weights):
    yT, yC = [x], [x]
    weigh = lambda w, outputs: sum(a * y for a, y in zip(w, outputs))
    for l, (token, channel) in enumerate(mixers):
        w = weights[l][0]
        yT.append(token(weigh(w[: len(yT)], yT) + weigh(w[len(yT) :], yC)))
        w = weights[l][1]
        yC.append(channel(weigh(w[: len(yT)], yT) + weigh(w[len(yT) :], yC)))
    return yC[-1]


def scalars(n, m):
    return n * (2 * n + 3)
""",
    4: """
def axes(layer):
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    layer(x[None])[0, 2, 3].backward()
    maps = x.grad.abs()
    own_channel, own_token = maps[:, 3].clone(), maps[2].clone()
    own_channel[2] = own_token[3] = 0
    return bool((own_channel > 0).any()), bool((own_token > 0).any())
""",
}

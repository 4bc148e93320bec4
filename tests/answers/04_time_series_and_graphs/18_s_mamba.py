"""Known answers to the exercise of lesson 18."""

import torch

from course.answers import replace

WRONG_1 = {
    "flips the whole width, so that the backward scan begins in the padding": replace(
        "count[:, None] - 1 - place", "z.shape[1] - 1 - place"
    ),
    "does not put the backward outputs back": replace("g(z.gather(1, turned)).gather(1, turned)", "g(z.gather(1, turned))"),
    "leaves something in the padded columns": replace("torch.where((place < count[:, None])[..., None], y, torch.zeros_like(y))", "y"),
    "turns all windows at the widest table": replace("count[:, None] - 1 - place", "count.max() - 1 - place"),
    "flips the windows instead of the columns": """
def both_ways(z, count, f, g):
    y = f(z) + g(z.flip(0)).flip(0)
    return y * (torch.arange(z.shape[1]) < count[:, None])[..., None]
""",
}
RIGHT_1 = {
    "one window after the other": """
def both_ways(z, count, f, g):
    out = torch.zeros_like(z)
    for b, k in enumerate(count.tolist()):
        own = z[b : b + 1, :k]
        out[b, :k] = (f(own) + g(own.flip(1)).flip(1))[0]
    return out
""",
    "moves the padding to the end by rolling the flipped columns": """
def both_ways(z, count, f, g):
    N = z.shape[1]
    index = (torch.arange(N) + (N - count)[:, None]) % N
    rows = torch.arange(len(z))[:, None]
    turned = z.flip(1)[rows, index]
    back = g(turned)[rows, (count[:, None] - 1 - torch.arange(N)) % N]
    y = f(z) + back
    y[torch.arange(N) >= count[:, None]] = 0
    return y
""",
}


def PROBE_1(answer):
    z = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    return answer["both_ways"](z, torch.tensor([2, 3, 1]), lambda v: v.cumsum(1), lambda v: 2 * v.cummax(1).values)


WRONG_2 = {
    "wraps the last columns round to the first": """
def neighbours(x, p):
    u, K = x @ p["W_in"], len(p["taps"])
    u = sum(tap * u.roll(K - 1 - k, 1) for k, tap in enumerate(p["taps"])) + p["bias"]
    return (torch.nn.functional.silu(u) * torch.nn.functional.silu(x @ p["W_gate"])) @ p["W_out"]
""",
    "meets the right neighbours": replace("(0, 0, K - 1, 0)", "(0, 0, 0, K - 1)"),
    "pads both sides alike": replace("(0, 0, K - 1, 0)", "(0, 0, K // 2, K - 1 - K // 2)"),
    "takes the taps in the other order": replace('enumerate(p["taps"])', 'enumerate(p["taps"].flip(0))'),
    "leaves the taps before the first column without the bias": replace(
        'u = sum(tap * padded[:, k : k + N] for k, tap in enumerate(p["taps"])) + p["bias"]',
        """
    u = sum(tap * padded[:, k : k + N] for k, tap in enumerate(p["taps"])) + p["bias"] * (torch.arange(N) >= K - 1)[:, None]
""".strip(),
    ),
}
RIGHT_2 = {
    "column by column": """
def neighbours(x, p):
    silu, K, out = torch.nn.functional.silu, len(p["taps"]), []
    past = [torch.zeros_like(x[:, 0])] * K
    for i in range(x.shape[1]):
        past = past[1:] + [x[:, i] @ p["W_in"]]
        u = (torch.stack(past) * p["taps"][:, None]).sum(0) + p["bias"]
        out.append(silu(u) * silu(x[:, i] @ p["W_gate"]))
    return torch.stack(out, dim=1) @ p["W_out"]
""",
    "shift matrices": """
def neighbours(x, p):
    i, u = torch.arange(x.shape[1]), torch.einsum("bnd,de->bne", x, p["W_in"])
    mixed = p["bias"]
    for back, tap in enumerate(p["taps"].flip(0)):
        shift = (i[:, None] - i == back).float()
        mixed = mixed + tap * torch.einsum("ij,bjd->bid", shift, u)
    gate = x @ p["W_gate"]
    return (mixed * mixed.sigmoid() * gate * gate.sigmoid()) @ p["W_out"]
""",
}


def PROBE_2(answer):
    draw = torch.Generator().manual_seed(3)
    p = {name: torch.randn(3, 3, generator=draw) for name in ("W_in", "W_gate", "W_out", "taps")}
    return answer["neighbours"](torch.randn(2, 5, 3, generator=draw), p | {"bias": torch.randn(3, generator=draw)})


WRONG_3 = {
    "does not put the forecasts back": replace("y.gather(-1, back).mean(dim=0)", "y.mean(dim=0)"),
    "puts them back with the order itself instead of its inverse": replace("orders.argsort(dim=-1)[", "orders["),
    "sums instead of averaging": replace(".mean(dim=0)", ".sum(dim=0)"),
    "calls the model once an order": """
def averaged(model, x, orders):
    return torch.stack([model(x[..., o])[..., o.argsort()] for o in orders]).mean(0)
""",
    "shows the columns in the inverse order": """
def averaged(model, x, orders):
    P, B = len(orders), len(x)
    y = model(torch.cat([x[..., o.argsort()] for o in orders])).unflatten(0, (P, B))
    return torch.stack([y[k][..., o] for k, o in enumerate(orders)]).mean(0)
""",
}
RIGHT_3 = {
    "permutation matrices": """
def averaged(model, x, orders):
    N = x.shape[-1]
    M = torch.eye(N)[orders]
    shown = torch.einsum("btn,pkn->pbtk", x, M)
    y = model(shown.reshape(-1, *x.shape[1:]))
    return torch.einsum("pbsk,pkn->bsn", y.reshape(len(orders), len(x), -1, N), M) / len(orders)
""",
    "adds every forecast in its place": """
def averaged(model, x, orders):
    y = model(torch.cat([x[..., o] for o in orders])).chunk(len(orders))
    total = torch.zeros_like(y[0])
    for o, part in zip(orders, y):
        total[..., o] += part
    return total / len(orders)
""",
}


def PROBE_3(answer):
    x = torch.arange(12.0).reshape(1, 3, 4).sin()
    orders = torch.tensor([[1, 2, 3, 0], [2, 0, 1, 3]])
    calls = []

    def model(v):
        calls.append(len(v))
        return v[:, :2].cumsum(-1)

    return [answer["averaged"](model, x, orders), len(calls)]


WRONG_4 = {
    "looks at two columns only": replace("((3, 9), (2, 12), (2, 2))", "((3, 2),)"),
    "never looks at the other windows": replace("torch.equal(moved, want)", "torch.equal(moved[b], want[b])"),
    "takes faint influence for none": replace("> 1e-12", "> 1e-3"),
    "asks only whether anybody hears each column": replace("torch.equal(moved, want)", "bool(moved[b].any())"),
    "tables too narrow to unmask a wide convolution": replace("((3, 9), (2, 12), (2, 2))", "((3, 6), (2, 8))"),
}
RIGHT_4 = {
    "a Jacobian of everything": """
def is_sound(mixer):
    for B, N in ((2, 11), (3, 5)):
        z = torch.randn(B, N, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        J = torch.autograd.functional.jacobian(mixer, z).abs().amax((2, 5)) > 0
        same = torch.eye(B, dtype=torch.bool)[:, None, :, None].expand(B, N, B, N)
        if not torch.equal(J, same):
            return False
    return True
""",
    "finite differences, one window at a time": """
def is_sound(mixer):
    draw = torch.Generator().manual_seed(6)
    z = torch.randn(2, 10, 3, generator=draw, dtype=torch.float64)
    whole = mixer(z)
    if any(not torch.allclose(mixer(z[b : b + 1])[0], whole[b], atol=1e-9, rtol=0) for b in range(2)):
        return False
    copies = z[:1].repeat(10, 1, 1)
    copies[torch.arange(10), torch.arange(10)] += torch.rand(10, 3, generator=draw, dtype=torch.float64) + 0.5
    moved = torch.cat([mixer(c[None]) for c in copies]) - mixer(z[:1])
    return bool((moved.abs().amax(-1) > 0).all())
""",
}


def PROBE_4(answer):
    def left(z):
        return z.cumsum(1)

    def narrow(z):
        return sum(torch.nn.functional.pad(z, (0, 0, 7, 7))[:, k : k + z.shape[1]] for k in range(15))

    mixers = (
        lambda z: left(z) + left(z.flip(1)).flip(1),
        left,
        narrow,
        lambda z: left(z) + left(z.flip(1)).flip(1) + z.mean(0, keepdim=True),
        lambda z: z + 1e-5 * z.mean(1, keepdim=True),
        lambda z: left(z) + left(z.flip(1)),
    )
    return [float(answer["is_sound"](f)) for f in mixers]


PASTED = {
    1: """
def both_ways(z, count, f, g):
    from_the_left = f(z)
    from_the_right = g(z.flip(1)).flip(1)
    return from_the_left + from_the_right
""",
    2: """
def neighbours(x, p):
    u = x @ p["W_in"]
    before = torch.nn.functional.pad(u, (0, 0, 1, 0))[:, :-1]  # zeros for the first column
    older, newer = p["taps"]
    u = torch.nn.functional.silu(older * before + newer * u + p["bias"])
    return (u * torch.nn.functional.silu(x @ p["W_gate"])) @ p["W_out"]
""",
    3: """
def averaged(model, x, orders):
    total = 0
    for order in orders:
        where = torch.empty_like(order)
        where[order] = torch.arange(len(order))
        total = total + model(x[..., order])[..., where]
    return total / len(orders)
""",
    4: """
def is_sound(mixer):
    z = torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: mixer(v[None])[0], z)
    return bool(((jacobian.transpose(1, 2).flatten(2) ** 2).sum(dim=-1).sqrt() > 0).all())
""",
}

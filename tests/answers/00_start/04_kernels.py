"""Known answers to the exercise on kernels."""

import torch

from course.answers import replace

WRONG_1 = {
    "fills the columns that do not exist with 0": replace('mask=column < D, other=float("-inf")', "mask=column < D, other=0.0"),
    "does not subtract the largest score": replace("tl.exp(x - tl.max(x, axis=0))", "tl.exp(x)"),
    "uses the first row's temperature for all rows": replace("tl.load(T + row)", "tl.load(T)"),
    "multiplies by the temperature": replace('other=float("-inf")) / tl.load(T + row)', 'other=float("-inf")) * tl.load(T + row)'),
    "takes a transposed table as it lies in memory": replace("x = x.contiguous()", "pass"),
}
RIGHT_1 = {
    "elementwise in PyTorch": """
def row_softmax(x, t):
    z = x / t[:, None]
    e = (z - z.max(dim=1, keepdim=True).values).exp()
    return e / e.sum(dim=1, keepdim=True)
""",
    "two loads: the maximum first, then the exponentials": """
@jit
def kernel(X, T, OUT, stride_row, stride_column, D, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    t = tl.load(T + row)
    at = X + row * stride_row + column * stride_column
    top = tl.max(tl.load(at, mask=column < D, other=float("-inf")), axis=0)
    e = tl.where(column < D, tl.exp((tl.load(at, mask=column < D, other=0.0) - top) / t), 0.0)
    tl.store(OUT + row * D + column, e / tl.sum(e, axis=0), mask=column < D)


def row_softmax(x, t):
    out = torch.empty(x.shape)
    kernel[(x.shape[0],)](x, t, out, *x.stride(), x.shape[1], BLOCK=next_power_of_2(x.shape[1]))
    return out
""",
}


def PROBE_1(answer):
    f, one = answer["row_softmax"], torch.ones(2)
    table = torch.tensor([[-3.0, -1.0, -2.0], [-5.0, -4.0, -4.5]])
    return [f(table, torch.tensor([0.5, 2.0])), f(torch.tensor([[500.0, 499.0]]), one[:1]), f(torch.arange(6.0).view(3, 2).T, one)]


WRONG_2 = {
    "does not rescale the old sum": replace("old * l + p.sum", "l + p.sum"),
    "does not rescale the old output": replace("old * o + p @ v", "o + p @ v"),
    "subtracts -inf from -inf": replace('new.masked_fill(new == float("-inf"), 0.0)', "new"),
    "ignores the mask": replace('s = s.masked_fill(~mask, float("-inf"))', "s = s.clone()"),
    "keeps the maximum of the block instead of the largest so far": replace(
        "torch.maximum(m, s.amax(1, keepdim=True))", "s.amax(1, keepdim=True)"
    ),
    "divides by the sum in every step": replace(
        "old * o + p @ v", "(old * o + p @ v) / (old * l + p.sum(1, keepdim=True)).clamp(min=1e-9)"
    ),
}
RIGHT_2 = {
    "with where instead of a stand-in": """
def step(state, s, v, mask):
    m, l, o = state
    s = torch.where(mask, s, torch.tensor(float("-inf")))
    new = torch.maximum(m, s.max(dim=1, keepdim=True).values)
    old = torch.where(m == float("-inf"), torch.zeros_like(m), torch.exp(m - new))
    p = torch.where(mask, torch.exp(s - new), torch.zeros_like(s))
    return new, old * l + p.sum(1, keepdim=True), old * o + p @ v
""",
    "query by query": """
def step(state, s, v, mask):
    m, l, o = (x.clone() for x in state)
    for i in range(len(s)):
        for j in range(s.shape[1]):
            if mask[i, j]:
                new = max(float(m[i]), float(s[i, j]))
                old = 0.0 if float(m[i]) == float("-inf") else float(torch.exp(m[i] - new))
                p = float(torch.exp(s[i, j] - new))
                l[i], o[i], m[i] = old * l[i] + p, old * o[i] + p * v[j], new
    return m, l, o
""",
}


def PROBE_2(answer):
    state = (torch.tensor([[0.0], [float("-inf")]]), torch.tensor([[2.0], [0.0]]), torch.tensor([[1.0], [0.0]]))
    s, v = torch.tensor([[1.0, 3.0], [2.0, 5.0]]), torch.tensor([[1.0], [-1.0]])
    sees = torch.tensor([[True, False], [False, False]])
    first = answer["step"](state, s, v, sees)
    return [torch.cat([x.flatten() for x in answer["step"](after, s - 4, v, ~sees)]).nan_to_num(99.0) for after in (state, first)]


WRONG_3 = {
    "leaves the given mistake": replace("g + a * g * (1 - g)", "g + g * (1 - g)"),
    "drops the first term of the product rule": replace("(g + a * g * (1 - g))", "(a * g * (1 - g))"),
    "takes the derivative of sigmoid to be sigmoid": replace("a * g * (1 - g)", "a * g"),
    "forgets the incoming gradient": replace("dy * b * (g", "b * (g"),
}
RIGHT_3 = {
    "with the function's value": """
class GatedUnit(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return b * a / (1 + torch.exp(-a))

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.saved_tensors
        g = 1 / (1 + torch.exp(-a))
        silu = a * g
        return dy * b * (silu + g * (1 - silu)), dy * silu
""",
    "keeps the sigmoid instead of recomputing it": """
class GatedUnit(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        g = a.sigmoid()
        ctx.save_for_backward(a, b, g)
        return a * g * b

    @staticmethod
    def backward(ctx, dy):
        a, b, g = ctx.saved_tensors
        return dy * b * g * (1 + a - a * g), dy * a * g
""",
}


def PROBE_3(answer):
    a, b = torch.tensor([0.5, -2.0], requires_grad=True), torch.tensor([2.0, 1.0], requires_grad=True)
    (answer["GatedUnit"].apply(a, b) * torch.tensor([1.0, 3.0])).sum().backward()
    return [a.grad, b.grad]


WRONG_4 = {
    "tries one size only": replace("((1, 1), (2, 1), (1, 7), (3, 8), (5, 13), (4, 33), (17, 2))", "((3, 8),)"),
    "tries positive numbers only": replace("(0.0, -100.0, 100.0)", "(100.0,)"),
    "does not look whether x was changed": replace(" or not torch.equal(x, kept)", ""),
    "accepts everything": """
def sound(f):
    return True
""",
    "compares with a tolerance of 1 and forgets the shape": """
def sound(f):
    x = torch.randn(4, 8)
    return bool(((f(x).flatten()[:4] - x.amax(1)).abs() < 1).all())
""",
}
RIGHT_4 = {
    "random sizes, many times": """
def sound(f):
    for trial in range(200):
        generator = torch.Generator().manual_seed(trial)
        rows, width = (int(n) for n in torch.randint(1, 40, (2,), generator=generator))
        x = torch.randn(rows, width, generator=generator) * 5 - 20 * (trial % 2)
        kept = x.clone()
        try:
            got = f(x)
            if got.shape != (rows,) or bool((got != kept.max(dim=1).values).any()) or bool((x != kept).any()):
                return False
        except Exception:
            return False
    return True
""",
    "every place of the largest entry": """
def sound(f):
    try:
        for rows in (1, 3, 20):
            for width in (1, 2, 3, 5, 8, 12):
                for place in range(width):
                    x = -5 - torch.rand(rows, width)
                    x[:, place] = -1.0
                    y = f(x.clone())
                    z = x.clone()
                    f(z)
                    if tuple(y.shape) != (rows,) or not bool((y == -1).all()) or not torch.equal(z, x):
                        return False
    except Exception:
        return False
    return True
""",
}


def PROBE_4(answer):
    def in_place(x):
        best = x.amax(1)
        x.zero_()
        return best

    tried = [lambda x: x.amax(1), lambda x: x.clamp(min=0).amax(1), lambda x: x[:, :8].amax(1), in_place, lambda x: x.amax(1, keepdim=True)]
    said = []
    for f in tried:
        try:
            said.append(float(answer["sound"](f)))
        except Exception:
            said.append(-1.0)
    return said


PASTED = {
    2: """
def step(state, s, v, mask):
    m, total, out = state
    new = torch.maximum(m, s.max(1, keepdim=True).values)
    p, old = torch.exp(s - new), torch.exp(m - new)
    total = old * total + p.sum(1, keepdim=True)
    out = old * out + p @ v
    return new, total, out
""",
}

"""Known answers to the exercise of lesson 38."""

from course.answers import replace

# -------------------------------------------------------------------------------------------------- 1 · reading backwards

WRONG_1 = {
    "forgets the states written since: always looks up x_n": replace("phi(a - b,", "phi(a,"),
    "searches by the step, as for reading forwards": replace("phi(a - b,", "phi(b + r,"),
    "is off by one: counts the asking state as well": replace("phi(a - b,", "phi(a - b - r,"),
    "takes the position for the number, and its inverse for the key's": replace("return query, phi(one, r)", "return query, phi(r, one)"),
    "leaves NaN at position 0": replace("torch.where(r == 0, one, r)", "r"),
    "undoes the fractions and compares raw numbers": """
def backward_addresses(r, a, b):
    i = 1 / r.clamp(min=1e-9)
    number = (a - b) * i
    zero = torch.zeros_like(r)
    return torch.stack([number, zero, zero, zero], -1), torch.stack([torch.where(r > 0, i, zero), zero, zero, zero], -1)
""",
}
RIGHT_1 = {
    "normed by hand, with the inverse of r": """
def backward_addresses(r, a, b):
    i = torch.where(r > 0, 1 / r.clamp(min=1e-12), torch.full_like(r, 1e9))
    rows = []
    for number in ((a - b) * i, i):
        u = torch.stack([number, torch.ones_like(r), -number, -torch.ones_like(r)], dim=1)
        rows.append(u / (2 * number**2 + 2).sqrt()[:, None])
    return rows[0], rows[1]
""",
    "coordinates swapped on both sides": """
def backward_addresses(r, a, b):
    safe = r.clone()
    safe[0] = 1.0
    query = phi(safe, a - b)
    key = phi(r, torch.ones(len(r), dtype=r.dtype))
    return [query, key]
""",
}


def PROBE_1(answer):
    query, key = answer["backward_addresses"](*answer["averages"](5))
    weights = answer["saturated"](query @ key.T, answer["strict_causal"](12))[6:11]
    return [weights.nan_to_num(-1.0), float(query.isfinite().all())]


# -------------------------------------------------------------------------------------------------- 2 · the sturdy hash

WRONG_2 = {
    "leaves it as it was": """
def sturdy_hash(x, y):
    return broken_hash(x, y)
""",
    "drops ε, but squares what float32 cannot hold": """
def sturdy_hash(x, y):
    u = torch.stack([x, y, -x, -y], dim=-1)
    length = u.norm(dim=-1, keepdim=True)
    return u / length.masked_fill(length == 0, 1)
""",
    "divides by zero at (0, 0)": replace("masked_fill(size == 0, 1)\n    return", "masked_fill(size < 0, 1)\n    return"),
    "adds a tiny constant to the length": """
def sturdy_hash(x, y):
    u = torch.stack([x, y, -x, -y], dim=-1)
    return u / (u.norm(dim=-1, keepdim=True) + 1e-12)
""",
    "scales the whole batch by one number": replace("u.abs().amax(dim=-1, keepdim=True)", "u.abs().max().expand(*u.shape[:-1], 1)"),
}
RIGHT_2 = {
    "hypot, which scales by itself": """
def sturdy_hash(x, y):
    length = torch.hypot(x, y)
    length = torch.where(length == 0, torch.ones_like(length), length)
    a, b = x / length / 2**0.5, y / length / 2**0.5
    return torch.stack([a, b, -a, -b], dim=-1)
""",
    "scales by a power of two": """
def sturdy_hash(x, y):
    _, exponent = torch.frexp(torch.maximum(x.abs(), y.abs()))
    a, b = torch.ldexp(x, -exponent), torch.ldexp(y, -exponent)
    squares = 2 * a * a + 2 * b * b
    length = torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()
    return torch.stack([a / length, b / length, -a / length, -b / length], dim=-1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    x = torch.tensor([3e-5, 0.0, 3e-14, 3e-28, 3e28, 2.0])
    y = torch.tensor([1e-5, 0.0, 1e-14, 1e-28, 1e28, -1.0])
    return answer["sturdy_hash"](x, y).nan_to_num(-7.0)


# -------------------------------------------------------------------------------------------------- 3 · the latest write

WRONG_3 = {
    "breaks no tie": replace(" - 1 / (8 * (j + 1) ** 4)", ""),
    "favours the earliest visit": replace("address.T - 1", "address.T + 1"),
    "takes a term that falls too slowly: a neighbouring cell wins": replace("1 / (8 * (j + 1) ** 4)", "1 / (8 * (j + 1) ** 2)"),
    "puts the term on the query instead of the key": replace("1 / (8 * (j + 1) ** 4)", "1 / (8 * (j[:, None] + 1) ** 4)"),
    "lets the term depend on the length of the run": replace("1 / (8 * (j + 1) ** 4)", "(len(h) - j) / (8 * len(h) ** 5)"),
    "lets a linear term grow beyond the gap": replace("1 / (8 * (j + 1) ** 4)", "-1e-11 * j"),
}
RIGHT_3 = {
    "the finite difference of 1/j that the paper uses": """
def latest_visit_scores(h):
    j = torch.arange(1, len(h) + 1, dtype=h.dtype) + 4
    f = 6 / (100 * j * (j - 1) * (j - 2) * (j - 3))
    keys = phi(h, torch.ones_like(h))
    return torch.einsum("id,jd->ij", keys, keys) - f[None, :]
""",
    "closed form of the product, column by column": """
def latest_visit_scores(h):
    columns = []
    for j in range(len(h)):
        product = (h * h[j] + 1) / ((h**2 + 1) * (h[j] ** 2 + 1)).sqrt()
        columns.append(product - 0.2 / (j + 2.0) ** 4)
    return torch.stack(columns, dim=1)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    h = torch.tensor([0, 1, 2, 1, 0, 1, 2, 3, 4, 3, 2, 3, 4, 5, 6, 5, 4, 5, 6, 7], dtype=torch.float64)
    far = torch.cat([torch.arange(500.0), torch.arange(498.0, 400.0, -1), torch.arange(402.0, 404.0)]).double()
    weights = [answer["saturated"](answer["latest_visit_scores"](x), answer["strict_causal"](len(x)))[-40:] for x in (h, far)]
    run_on = answer["latest_visit_scores"](h)[:9, :9] - answer["latest_visit_scores"](h[:9])  # 0 where f does not know T
    return [*weights, (run_on.abs() > 1e-14).double()]


# -------------------------------------------------------------------------------------------------- 4 · the sharpness

WRONG_4 = {
    "takes the gap for 1/q²": replace("7.0, 4.0", "7.0, 2.0"),
    "is right at n = 50 with the wrong power": replace("7.0, 4.0", "7.0 * 50, 3.0"),
    "forgets the factor 2 of the gap": replace("7.0, 4.0", "3.5, 4.0"),
}
RIGHT_4 = {
    "another constant": "c, power = 6.6, 4\n",
    "fitted to two measurements": """
from math import log
found = {}
for n in (50, 100):
    low, high = 1.0, 1e12
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if least_weight(middle, n) < 0.94 else (low, middle)
    found[n] = low
power = log(found[100] / found[50]) / log(2)
c = found[50] / 50**power
""",
}


def PROBE_4(answer):
    c, power, weight = answer["c"], answer["power"], answer["least_weight"]
    return [round(weight(c * n**power, n), 2) for n in (25, 50, 200)]


# -------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "tries one denominator for all": replace("((1, 1), (1, 1000), (900, 1000))", "((1, 1),)"),
    "tries numbers up to 40 only": """
def passes(hash):
    q = torch.arange(1, 41, dtype=double)
    a, b = hash(q / 7, 1 / q.new_full((40,), 7)), hash(q / 300, 1 / q.new_full((40,), 300))
    return bool(((a @ b.T).argmax(-1) == torch.arange(40)).all()) and bool((a - b).abs().max() < 1e-6)
""",
    "insists on vectors of length 1": replace(
        "    own = torch", "    if (draws[0].norm(dim=-1) - 1).abs().max() > 1e-9:\n        return False\n    own = torch"
    ),
    "compares with the lesson's hash entry by entry": """
def passes(hash):
    q = torch.arange(1, 201, dtype=double)
    i = torch.full_like(q, 31)
    got = hash(q / i, 1 / i)
    return got.shape == (200, 4) and bool((got - phi(q / i, 1 / i)).abs().max() < 1e-10)
""",
    "accepts whatever has scale invariance": """
def passes(hash):
    q = torch.arange(1, 201, dtype=double)
    a, b = hash(q / 7, torch.ones_like(q) / 7), hash(q / 300, torch.ones_like(q) / 300)
    return bool((a - b).abs().max() < 1e-9)
""",
}
RIGHT_5 = {
    "loops over pairs of denominators": """
def passes(hash):
    q = torch.arange(1, 201, dtype=double)
    other = ~torch.eye(200, dtype=torch.bool)
    values = []
    for i in (1.0, 2.0, 37.0, 990.0):
        for k in (1.0, 53.0, 1000.0):
            products = hash(q / i, torch.full_like(q, 1 / i)) @ hash(q / k, torch.full_like(q, 1 / k)).T
            margin = products.diagonal() - products.masked_fill(~other, -torch.inf).max(dim=1).values
            if not bool((margin > 1e-12).all()):
                return False
            values.append(products.diagonal())
    return bool((torch.stack(values).std(0) < 1e-11).all())
""",
    "one large table of numbers and denominators": """
def passes(hash):
    number = torch.arange(1, 201, dtype=double).repeat(5)
    denominator = torch.tensor([1.0, 3.0, 64.0, 500.0, 1000.0], dtype=double).repeat_interleave(200)
    v = hash(number / denominator, 1 / denominator)
    products = v @ v.mT
    same = number[:, None] == number
    lowest = products.masked_fill(~same, torch.inf).amin(1)
    highest_own = products.masked_fill(~same, -torch.inf).amax(1)
    highest_other = products.masked_fill(same, -torch.inf).amax(1)
    return bool((lowest > highest_other + 1e-12).all()) and bool((highest_own - lowest < 1e-11).all())
""",
}


def PROBE_5(answer):
    torch, phi = answer["torch"], answer["phi"]
    hashes = [
        phi,
        lambda x, y: 2 * phi(x, y),
        lambda x, y: phi(y, x),
        lambda x, y: phi(x, torch.ones_like(y)),
        lambda x, y: phi((x / y).clamp(max=150), torch.ones_like(y)),
        lambda x, y: torch.stack([x, y], dim=-1),
        lambda x, y: torch.stack([x / y, torch.ones_like(y)], dim=-1),
        lambda x, y: phi(x.float(), y.float()).double(),
    ]
    return [float(answer["passes"](h)) for h in hashes]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def backward_addresses(r, a, b):
    one = torch.ones_like(r)
    w = torch.where(b > 0, r / b.clamp(min=1e-12), one)
    return phi(w, one), phi(r, one)
""",
    2: """
def sturdy_hash(x, y):
    u = torch.stack([x, y, -x, -y], dim=-1)
    u = u - u.mean(-1, keepdim=True)
    length = u.norm(dim=-1, keepdim=True)
    return u / length.masked_fill(length == 0, 1)
""",
    3: """
def latest_visit_scores(h):
    address = phi(h, torch.ones_like(h))
    return address @ address.T
""",
    5: """
def passes(hash):
    q = torch.arange(1, 201, dtype=double)
    v = hash(q, torch.ones_like(q))
    products = v @ v.T
    exact = (q[:, None] * q + 1) / ((q[:, None] ** 2 + 1) * (q**2 + 1)).sqrt()
    return bool((products - exact).abs().max() < 1e-12) and bool((products.argmax(-1) == torch.arange(200)).all())
""",
}

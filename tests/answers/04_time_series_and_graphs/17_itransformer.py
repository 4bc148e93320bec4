"""Known answers to the exercise of lesson 17."""

import torch

from course.answers import replace

WRONG_1 = {
    "starts the inputs at `start`, which loses T windows": replace("max(start, T + lead)", "start + T + lead"),
    "misses the last window": replace("stop - S + 1", "stop - S"),
    "ignores the lead": replace("first - lead + ", "first + "),
    "leaves the lead between `start` and the targets": replace("max(start, T + lead)", "max(start + lead, T + lead)"),
}
RIGHT_1 = {
    "a loop of slices": """
def windows(series, T, S, start, stop, lead):
    x, y = [], []
    for r in range(start, stop - S + 1):
        if r - lead - T >= 0:
            x.append(series[r - lead - T : r - lead])
            y.append(series[r : r + S])
    return torch.stack(x), torch.stack(y)
""",
    "unfolds once and cuts": """
def windows(series, T, S, start, stop, lead):
    first = max(start, T + lead)
    whole = series[first - T - lead : stop].unfold(0, T + lead + S, 1).transpose(1, 2)
    return whole[:, :T], whole[:, T + lead :]
""",
}


def PROBE_1(answer):
    return answer["windows"](torch.arange(40.0).reshape(20, 2), 4, 2, 8, 17, 3)


WRONG_2 = {
    "takes the softmax over the queries": replace("softmax(dim=-1)", "softmax(dim=-2)"),
    "sets the scores of absent variates to zero instead of excluding them": replace('float("-inf")', "0.0"),
    "masks the queries instead of the keys": replace("~present[:, None, None, :]", "~present[:, None, :, None]"),
    "forgets the scale": replace(" / q.shape[-1] ** 0.5", ""),
    "lets absent variates listen": replace("return out * present[..., None]", "return out"),
    "gives NaN when nobody is present": replace(".nan_to_num(0.0)", ""),
}
RIGHT_2 = {
    "takes the absent tokens out and puts zeros back": """
def attend(z, present, Wq, Wk, Wv, Wo, H):
    out = torch.zeros_like(z)
    for b in range(len(z)):
        here = z[b, present[b]]
        if len(here) == 0:
            continue
        q, k, v = ((here @ W).unflatten(-1, (H, -1)) for W in (Wq, Wk, Wv))
        weights = (torch.einsum("ihk,jhk->hij", q, k) / q.shape[-1] ** 0.5).softmax(-1)
        out[b, present[b]] = torch.einsum("hij,jhk->ihk", weights, v).flatten(1) @ Wo
    return out
""",
    "writes the softmax out, one head after the other": """
def attend(z, present, Wq, Wk, Wv, Wo, H):
    K = z.shape[-1] // H
    heads = []
    for h in range(H):
        cut = slice(h * K, (h + 1) * K)
        scores = (z @ Wq[:, cut]) @ (z @ Wk[:, cut]).transpose(1, 2) / K**0.5
        e = (scores - scores.amax(-1, keepdim=True)).exp() * present[:, None, :]
        heads.append(e / e.sum(-1, keepdim=True).clamp(min=1e-30) @ (z @ Wv[:, cut]))
    return torch.where(present[..., None], torch.cat(heads, -1) @ Wo, torch.zeros(()))
""",
}


def PROBE_2(answer):
    draw = torch.Generator().manual_seed(0)
    z, *Ws = (torch.randn(shape, generator=draw) for shape in [(3, 4, 6)] + [(6, 6)] * 4)
    present = torch.tensor([[True, True, False, True], [False, True, True, False], [False, False, False, False]])
    return answer["attend"](z, present, *Ws, 2)


WRONG_3 = {
    "returns the forecasts of the marks as well": """
def forecast(params, x, marks=None):
    M = 0 if marks is None else marks.shape[-1]
    mu = torch.nn.functional.pad(x.mean(1, keepdim=True), (0, M))
    sigma = torch.nn.functional.pad((x.var(1, keepdim=True, correction=0) + 1e-5).sqrt(), (0, M), value=1.0)
    series = x if marks is None else torch.cat([x, marks], dim=-1)
    tokens = ((series - mu) / sigma).transpose(1, 2) @ params["We"] + params["be"]
    y = params["encode"](tokens) @ params["Wp"] + params["bp"]
    return y.transpose(1, 2) * sigma + mu
""",
    "still normalises the marks": """
def forecast(params, x, marks=None):
    return broken(params, x, marks)[..., : x.shape[-1]]
""",
    "drops the marks before the encoder": replace('params["encode"](tokens)', 'params["encode"](tokens[:, :N])'),
    "forgets to scale back by sigma": replace("[..., :N] * sigma + mu", "[..., :N] + mu"),
    "keeps the last columns instead of the first": replace("[..., :N]", "[..., -N:]"),
}
RIGHT_3 = {
    "embeds variates and marks apart": """
def forecast(params, x, marks=None):
    mean, spread = x.mean(1), (x.var(1, correction=0) + 1e-5).sqrt()
    embed = lambda s: torch.einsum("btn,td->bnd", s, params["We"]) + params["be"]
    tokens = embed((x - mean[:, None]) / spread[:, None])
    if marks is not None:
        tokens = torch.cat([tokens, embed(marks)], dim=1)
    out = params["encode"](tokens)[:, : x.shape[-1]] @ params["Wp"] + params["bp"]
    return (out * spread[..., None] + mean[..., None]).transpose(1, 2)
""",
    "gives the marks level 0 and scale 1": """
def forecast(params, x, marks=None):
    marks = x[..., :0] if marks is None else marks
    mu = torch.cat([x.mean(1, keepdim=True), torch.zeros_like(marks[:, :1])], -1)
    sigma = torch.cat([(x.var(1, keepdim=True, correction=0) + 1e-5).sqrt(), torch.ones_like(marks[:, :1])], -1)
    tokens = ((torch.cat([x, marks], -1) - mu) / sigma).transpose(1, 2) @ params["We"] + params["be"]
    y = (params["encode"](tokens) @ params["Wp"] + params["bp"]).transpose(1, 2) * sigma + mu
    return y[..., : x.shape[-1]]
""",
}


def PROBE_3(answer):
    draw = torch.Generator().manual_seed(1)
    x, marks, We, be, Wp, bp = (torch.randn(s, generator=draw) for s in [(2, 5, 3), (2, 5, 2), (5, 4), (4,), (4, 2), (2,)])
    params = {"We": We, "be": be, "Wp": Wp, "bp": bp, "encode": lambda z: torch.tanh(z + z.mean(1, keepdim=True))}
    return answer["forecast"](params, 4 * x + 9, marks)


WRONG_4 = {
    "looks at the training rows only": replace("[:cut], before[:cut], atol", "[:first], before[:first], atol"),
    "changes the rows by a hair": replace("(100, -100)", "(1e-7, -1e-7)"),
    "starts one row late": replace("range(first, 24)", "range(first + 1, 24)"),
    "compares means instead of rows": replace(
        "torch.allclose(prepare(changed, first)[:cut], before[:cut], atol=1e-5)",
        "torch.allclose(prepare(changed, first)[:first].mean(), before[:first].mean(), atol=1e-5)",
    ),
}
RIGHT_4 = {
    "the future may as well not exist": """
def is_honest(prepare):
    series, first = torch.randn(30, 2, generator=torch.Generator().manual_seed(8)), 20
    whole = prepare(series.clone(), first)
    return all(torch.allclose(prepare(series[:cut].clone(), first), whole[:cut], atol=1e-5) for cut in range(first, 30))
""",
    "poisons the future with NaN": """
def is_honest(prepare):
    series = torch.randn(26, 4, generator=torch.Generator().manual_seed(9))
    for cut in range(13, 26):
        poisoned = series.clone()
        poisoned[cut:] = float("nan")
        if bool(prepare(poisoned, 13)[:cut].isnan().any()):
            return False
    return True
""",
}


def PROBE_4(answer):
    functions = (
        lambda s, first: s - s[:first].mean(0),
        lambda s, first: s - s.mean(0),
        lambda s, first: s - s[: first + 1].std(0),
        lambda s, first: torch.cat([s[:first], s[first:] - s[first:].mean(0)]),
    )
    return [float(answer["is_honest"](f)) for f in functions]


PASTED = {
    1: """
def windows(series, T, S, start, stop, lead):
    first = torch.arange(max(start, T), stop - S + 1)
    rows = first[:, None] + torch.arange(-T, S)
    return series[rows][:, :T], series[rows][:, T:]
""",
    2: """
def attend(z, present, Wq, Wk, Wv, Wo, H):
    q, k, v = ((z @ W).unflatten(-1, (H, -1)).transpose(1, 2) for W in (Wq, Wk, Wv))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(-2) @ Wo
""",
    3: """
def forecast(params, x, marks=None):
    mu = x.mean(dim=1, keepdim=True)
    sigma = (x.var(dim=1, keepdim=True, correction=0) + 1e-5).sqrt()
    tokens = params["encode"](((x - mu) / sigma).transpose(1, 2) @ params["We"] + params["be"])
    y = (tokens @ params["Wp"] + params["bp"]).transpose(1, 2)
    return y * sigma + mu
""",
    4: """
def is_honest(prepare):
    raw, first = torch.randn(30, 3, generator=torch.Generator().manual_seed(3)), 20
    another_future = raw.clone()
    another_future[first:] *= 3
    return torch.equal(prepare(another_future, first)[:first], prepare(raw, first)[:first])
""",
}

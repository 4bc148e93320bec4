"""Known answers to the exercise of lesson 16."""

import torch
from torch.nn import functional as F

from course.answers import replace

WRONG_1 = {
    "divides the mean by all keys, absent ones too": replace("sum(-1) / n", "sum(-1) / k.shape[2]"),
    "subtracts the logarithm of all keys": replace("- n.log()", "- torch.tensor(float(k.shape[2])).log()"),
    "gives absent keys the score zero": replace('float("-inf")', "0.0"),
    "forgets the scale": replace(" / q.shape[-1] ** 0.5", ""),
    "takes the mean of the softmax instead of the scores": replace(
        "mean = scores.masked_fill(~seen, 0.0).sum(-1) / n", "mean = scores.masked_fill(~seen, -1e9).softmax(-1).sum(-1) / n"
    ),
    "gives NaN where no key is present": replace("return kl.masked_fill(nobody, 0.0), bound.masked_fill(nobody, 0.0)", "return kl, bound"),
}
RIGHT_1 = {
    "one window after the other, absent keys cut out": """
def laziness(q, k, present):
    kl, bound = q.new_zeros(q.shape[:3]), q.new_zeros(q.shape[:3])
    for b in range(len(q)):
        kept = k[b][:, present[b]]
        if kept.shape[1]:
            scores = torch.einsum("hqk,hsk->hqs", q[b], kept) / q.shape[-1] ** 0.5
            kl[b] = -(scores.log_softmax(-1).mean(-1)) - torch.tensor(float(kept.shape[1]), dtype=q.dtype).log()
            bound[b] = scores.amax(-1) - scores.mean(-1)
    return kl, bound
""",
    "weights each key by its share": """
def laziness(q, k, present):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    share = present.to(q.dtype) / present.sum(-1, keepdim=True).clamp(min=1)
    mean = (scores * share[:, None, None]).sum(-1)
    masked = scores + torch.where(present, 0.0, float("-inf"))[:, None, None]
    top = masked.max(-1).values
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    total = ((masked - top[..., None]).exp() * present[:, None, None]).sum(-1).clamp(min=1e-300 if q.dtype == torch.float64 else 1e-30)
    kl = top + total.log() - mean - present.sum(-1).clamp(min=1).to(q.dtype).log()[:, None, None]
    some = present.any(-1)[:, None, None]
    return kl * some, (top - mean) * some
""",
}


def PROBE_1(answer):
    draw = torch.Generator().manual_seed(0)
    q, k = torch.randn(3, 2, 4, 4, generator=draw), torch.randn(3, 2, 6, 4, generator=draw)
    present = torch.tensor([[1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]).bool()
    return answer["laziness"](q, k, present)


WRONG_2 = {
    "still looks one hour ahead": replace("x.transpose(1, 2), (2, 0))", "x.transpose(1, 2), (1, 1))"),
    "lets a padded zero win the maximum": replace(', value=float("-inf")', ""),
    "pools around the middle hour": replace('F.pad(y, (2, 0), value=float("-inf"))', 'F.pad(y, (1, 1), value=float("-inf"))'),
    "pads the convolution in a circle": replace("F.pad(x.transpose(1, 2), (2, 0))", 'F.pad(x.transpose(1, 2), (2, 0), mode="circular")'),
    "returns what was given": """
def distil_stream(x, weight, bias):
    return broken(x, weight, bias)
""",
}
RIGHT_2 = {
    "a loop over the hours": """
def distil_stream(x, weight, bias):
    B, L, D = x.shape
    before = torch.cat([x.new_zeros(B, 2, D), x], dim=1)
    y = F.elu(torch.stack([torch.einsum("bjd,edj->be", before[:, t : t + 3], weight) + bias for t in range(L)], dim=1))
    return torch.stack([y[:, max(0, i - 2) : i + 1].amax(1) for i in range(0, L, 2)], dim=1)
""",
    "the maximum of three shifted copies": """
def distil_stream(x, weight, bias):
    L = x.shape[1]
    earlier = lambda s, by, fill: F.pad(s, (0, 0, by, 0), value=fill)[:, :L]
    y = F.elu(sum(earlier(x, 2 - j, 0.0) @ weight[:, :, j].T for j in range(3)) + bias)
    return torch.maximum(torch.maximum(y, earlier(y, 1, -2.0)), earlier(y, 2, -2.0))[:, ::2]
""",
}


def PROBE_2(answer):
    draw = torch.Generator().manual_seed(1)
    x, weight, bias = torch.randn(2, 6, 3, generator=draw), torch.randn(3, 3, 3, generator=draw) / 3, torch.full((3,), -2.0)
    return answer["distil_stream"](x, weight, bias)


WRONG_3 = {
    "never moves the window": replace("        x = torch.cat([x, blocks[-1]], dim=1)[:, -T:]\n", ""),
    "reads the same calendar in every call": replace("marks[:, s : s + T + b]", "marks[:, : T + b]"),
    "moves the calendar by one hour a call": replace("marks[:, s : s + T + b]", "marks[:, s // b : s // b + T + b]"),
    "returns whole blocks, more than S hours": replace("dim=1)[:, :S]", "dim=1)"),
    "keeps the oldest T hours": replace("[:, -T:]", "[:, :T]"),
    "lets the window grow": replace("[:, -T:]", ""),
}
RIGHT_3 = {
    "appends to one long series": """
def decode_blocks(model, x, marks, S, b):
    T, series = x.shape[1], x
    while series.shape[1] < T + S:
        now = series.shape[1]
        series = torch.cat([series, model(series[:, now - T :], marks[:, now - T : now + b])], dim=1)
    return series[:, T : T + S]
""",
    "fills a tensor in place": """
def decode_blocks(model, x, marks, S, b):
    B, T, N = x.shape
    calls = -(-S // b)
    whole = torch.cat([x, x.new_zeros(B, calls * b, N)], dim=1)
    for i in range(calls):
        start = i * b
        whole[:, start + T : start + T + b] = model(whole[:, start : start + T].clone(), marks[:, start : start + T + b])
    return whole[:, T:][:, :S]
""",
}


def PROBE_3(answer):
    draw = torch.Generator().manual_seed(2)
    x, marks = torch.randn(2, 4, 2, generator=draw), torch.randn(2, 13, 1, generator=draw)
    model = lambda window, calendar: window[:, :1] + 2 * window.mean(1, keepdim=True) + calendar[:, -3:]  # noqa: E731
    return answer["decode_blocks"](model, x, marks, 7, 3)


WRONG_4 = {
    "looks at the limit of all queries only": replace("[(12, 7, 4), (6, 9, 6), (9, 11, 1), (10, 10, 3)]", "[(6, 9, 6), (4, 7, 4)]"),
    "measures on all keys": replace("scores.gather(1, table)", "scores"),
    "compares loosely": replace("atol=1e-4", "atol=3"),
    "compares the shapes only": replace(" or not torch.allclose(got, want, atol=1e-4)", ""),
    "demands the last bit": replace("torch.allclose(got, want, atol=1e-4)", "torch.equal(got, want)"),
}
RIGHT_4 = {
    "all in one piece, with a mask": """
def is_prob_sparse(f):
    torch.manual_seed(3)
    for _ in range(4):
        q, k, v = torch.randn(1, 4, 20, 8), torch.randn(1, 4, 15, 8), torch.randn(1, 4, 15, 8)
        q = 2 * q
        table = torch.randint(15, (20, 6))
        s = torch.einsum("bhik,bhjk->bhij", q, k) / 8**0.5
        seen = s.gather(3, table[None, None].expand(1, 4, 20, 6))
        M = seen.max(3).values - seen.mean(3)
        rank = M.argsort(2, descending=True).argsort(2)
        w = torch.where((rank < 5)[..., None], s.softmax(3), torch.full_like(s, 1 / 15))
        if not torch.allclose(f(q, k, v, table, 5), w @ v, atol=1e-3, rtol=1e-3):
            return False
    return True
""",
    "gives up at the first difference in a head": """
def is_prob_sparse(f):
    g = torch.Generator().manual_seed(11)
    for Q, S, u in ((14, 10, 5), (8, 12, 2), (11, 6, 4)):
        q, k, v = 3 * torch.randn(1, 3, Q, 4, generator=g), torch.randn(1, 3, S, 4, generator=g), torch.randn(1, 3, S, 4, generator=g)
        table = torch.randint(S, (Q, 4), generator=g)
        out = f(q, k, v, table, u)
        for h in range(3):
            M = []
            for i in range(Q):
                s = k[0, h, table[i]] @ q[0, h, i] / 2
                M.append(float(s.max() - s.mean()))
            best = sorted(range(Q), key=lambda i: -M[i])[:u]
            for i in range(Q):
                want = (k[0, h] @ q[0, h, i] / 2).softmax(0) @ v[0, h] if i in best else v[0, h].mean(0)
                if (out[0, h, i] - want).abs().max() > 1e-3:
                    return False
    return True
""",
}


def _attention(chosen_by, lazy, late=0.0):
    """ProbSparse attention with a chosen measure and lazy context, and a small error added at the end."""

    def f(q, k, v, table, u):
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        rows = chosen_by(s, s.gather(-1, table.expand(*q.shape[:2], -1, -1))).topk(u).indices[..., None].expand(-1, -1, -1, q.shape[-1])
        full = F.scaled_dot_product_attention(q, k, v)
        return lazy(v).expand_as(q).scatter(2, rows, full.gather(2, rows)) + late

    return f


def PROBE_4(answer):
    sampled = lambda s, m: m.amax(-1) - m.mean(-1)  # noqa: E731
    mean = lambda v: v.mean(2, keepdim=True)  # noqa: E731
    functions = (
        _attention(sampled, mean),
        _attention(sampled, mean, late=1e-6),
        _attention(sampled, lambda v: 0 * mean(v)),
        _attention(lambda s, m: s.amax(-1) - s.mean(-1), mean),
        _attention(lambda s, m: m.amax(-1), mean),
    )
    return [float(answer["is_prob_sparse"](f)) for f in functions]


PASTED = {
    1: """
def laziness(q, k, present):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    L_K = torch.tensor(float(k.shape[2]))
    return scores.logsumexp(-1) - scores.mean(-1) - L_K.log(), scores.amax(-1) - scores.mean(-1)
""",
    2: """
def distil_stream(x, weight, bias):
    y = F.conv1d(F.pad(x.transpose(1, 2), (1, 1), mode="circular"), weight, bias)
    y = F.max_pool1d(F.elu(y), kernel_size=3, stride=2, padding=1)
    return y.transpose(1, 2)
""",
    3: """
def decode_blocks(model, x, marks, S, b):
    T, forecast = x.shape[1], []
    for s in range(S):
        forecast.append(model(x, marks[:, s : s + T + 1]))
        x = torch.cat([x[:, 1:], forecast[-1]], dim=1)
    return torch.cat(forecast, dim=1)
""",
    4: """
def is_prob_sparse(f):
    torch.manual_seed(1)
    q, k, v = (2 * torch.randn(2, 3, L, 8) for L in (60, 50, 50))
    table = torch.randint(50, (60, 20))
    full = F.scaled_dot_product_attention(q, k, v)
    lazy = torch.isclose(f(q, k, v, table, 12), v.mean(2, keepdim=True).expand_as(q), atol=1e-5).all(-1)
    return torch.allclose(f(q, k, v, table, 60), full, atol=1e-5) and bool((lazy.sum(-1) == 48).all())
""",
}

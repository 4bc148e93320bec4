"""Known answers to the exercise of lesson 41."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------ 1 · exactly k at a time

WRONG_1 = {
    "forgets the ReLU, so that negative survivors stay": replace("values.relu()", "values"),
    "chooses the largest by absolute value": replace(
        "values, places = pre.topk(k, dim=-1)", "places = pre.abs().topk(k, dim=-1).indices\n    values = pre.gather(-1, places)"
    ),
    "takes the k largest over the tokens instead of the features": """
def topk_transcode(x, W_enc, b_enc, W_dec, b_pre, b_out, k):
    pre = (x - b_pre) @ W_enc + b_enc
    flat = pre.reshape(-1, pre.shape[-1])
    values, places = flat.topk(min(k, len(flat)), dim=0)
    z = torch.zeros_like(flat).scatter(0, places, values.relu()).reshape(pre.shape)
    return z @ W_dec + b_out, z
""",
    "does not centre the input": replace("(x - b_pre) @ W_enc", "x @ W_enc"),
    "adds the input's centre to the output, as a tied autoencoder would": """
def topk_transcode(x, W_enc, b_enc, W_dec, b_pre, b_out, k):
    pre = (x - b_pre) @ W_enc + b_enc
    values, places = pre.topk(k, dim=-1)
    z = torch.zeros_like(pre).scatter(-1, places, values.relu())
    return z @ W_dec + b_out + b_pre.mean(), z
""",
}
RIGHT_1 = {
    "a threshold at the k-th value": """
def topk_transcode(x, W_enc, b_enc, W_dec, b_pre, b_out, k):
    pre = torch.einsum("...d,dm->...m", x - b_pre, W_enc) + b_enc
    threshold = pre.topk(k, dim=-1).values[..., -1:]
    z = torch.where(pre >= threshold, pre, torch.zeros(())).clamp(min=0)
    return torch.einsum("...m,md->...d", z, W_dec) + b_out, z
""",
    "token by token": """
def topk_transcode(x, W_enc, b_enc, W_dec, b_pre, b_out, k):
    rows = []
    for token in x.reshape(-1, x.shape[-1]):
        pre = (token - b_pre) @ W_enc + b_enc
        z = torch.zeros(len(pre))
        for i in pre.topk(k).indices:
            z[i] = max(pre[i], torch.zeros(()))
        rows.append(z)
    z = torch.stack(rows).reshape(*x.shape[:-1], -1)
    return z @ W_dec + b_out, z
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    x, W_enc, W_dec = (
        torch.linspace(-2, 2, n).cos().mul(3).sin().reshape(shape) for n, shape in ((12, (4, 3)), (15, (3, 5)), (20, (5, 4)))
    )
    y, z = answer["topk_transcode"](x, W_enc, torch.linspace(-1, 0.5, 5), W_dec, torch.tensor([0.3, -0.2, 0.4]), torch.arange(4.0), 3)
    return torch.cat([y.flatten(), z.flatten()])


# ------------------------------------------------------------------------------------------------------ 2 · the decoder's step

WRONG_2 = {
    "leaves it as it was": """
def decoder_step(W, grad, lr):
    return broken_step(W, grad, lr)
""",
    "swaps the lines, but writes into its argument": replace(
        "W = W / W.norm(dim=-1, keepdim=True)\n    across", "W /= W.norm(dim=-1, keepdim=True)\n    across"
    ),
    "projects over the features instead of within a row": replace("(grad * W).sum(-1, keepdim=True)", "(grad * W).sum(0, keepdim=True)"),
    "does not project at all": replace("across = grad - (grad * W).sum(-1, keepdim=True) * W", "across = grad"),
    "brings the gradient to length 1 instead of the rows": replace(
        "W = W - lr * across", "W = W - lr * across / across.norm(dim=-1, keepdim=True).clamp(min=1e-6)"
    ),
}
RIGHT_2 = {
    "with normalize, and the length divided out": """
def decoder_step(W, grad, lr):
    squared = (W * W).sum(1, keepdim=True)
    across = grad - (grad * W).sum(1, keepdim=True) / squared * W
    return torch.nn.functional.normalize(W / squared.sqrt() - lr * across, dim=1)
""",
    "row by row": """
def decoder_step(W, grad, lr):
    rows = []
    for w, g in zip(W.unbind(0), grad.unbind(0)):
        u = w / torch.linalg.vector_norm(w)
        new = u - lr * (g - torch.dot(g, u) * u)
        rows.append(new / torch.linalg.vector_norm(new))
    return torch.stack(rows)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    W = torch.tensor([[2.0, 1.0, 0.0], [0.2, -0.1, 0.4]])
    moved = answer["decoder_step"](W, torch.tensor([[1.0, 0.5, -1.0], [0.3, 2.0, 1.0]]), 0.4)
    return torch.cat([moved.flatten(), W.flatten()])


# ---------------------------------------------------------------------------------------------------- 3 · what the key hears

WRONG_3 = {
    "forgets the root of K": replace(" / q.shape[-1] ** 0.5", ""),
    "forgets the gain of the norm": replace(" * gain\n", "\n"),
    "leaves out the norm's scale at the source": replace(" * c[None, :, None]", ""),
    "takes the mean scale for all source tokens": replace("c[None, :, None]", "c.mean()"),
    "mixes the queries of all heads": replace('"hk,hkd->hd", q, W_K', '"k,hkd->hd", q.sum(0), W_K'),
}
RIGHT_3 = {
    "one einsum": """
def key_terms(q, W_K, gain, c, z, W_dec):
    return torch.einsum("hk,hkd,d,s,sm,dm->hsm", q / W_K.shape[1] ** 0.5, W_K, gain, c, z, W_dec)
""",
    "head by head, token by token": """
def key_terms(q, W_K, gain, c, z, W_dec):
    out = torch.zeros(len(q), len(c), W_dec.shape[1])
    for h in range(len(q)):
        for s in range(len(c)):
            keys = W_K[h] @ (gain[:, None] * W_dec * z[s] * c[s])
            out[h, s] = q[h] @ keys / len(q[h]) ** 0.5
    return out
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    make = lambda *shape: torch.linspace(-2, 3, torch.Size(shape).numel()).mul(4).cos().reshape(shape)  # noqa: E731
    return answer["key_terms"](make(2, 3), make(2, 3, 4), make(4), make(5).abs(), make(5, 6).relu(), make(4, 6))


# --------------------------------------------------------------------------------------------------- 4 · what greed overlooks

WRONG_4 = {
    "the best path lies in the best feature": replace("[10.0, -9.0, 0.0, 0.0]", "[10.0, -1.0, 0.0, 0.0]"),
    "hides the path from k = 1 only": replace("[1.0, 1.0, 1.0, 0.0]", "[0.5, 0.0, 0.0, 0.0]"),
    "the hidden feature gives less than nothing": replace("[10.0, -9.0, 0.0, 0.0]", "[9.0, -10.0, 0.0, 0.0]"),
}
RIGHT_4 = {
    "many small negative parts": "hops = [[3.0, 3.0, 3.0, 3.0], [9.0, -3.0, -3.0, -2.5], [2.0, 2.0, 2.0, 2.0]]\n",
    "as a tensor": "hops = torch.tensor([[0.4, 0.4, 0.4, 0.4], [0.4, 0.4, 0.4, 0.0], [0.9, -0.8, 0.0, 0.0]])\n",
}


def PROBE_4(answer):
    torch = answer["torch"]
    table = torch.as_tensor(answer["hops"], dtype=torch.float32)
    top = float(table.max())
    return [float(answer["greedy"](table, k) <= top / 2) for k in (1, 2)] + [float((table.sum(-1) > 0).all())]


# --------------------------------------------------------------------------------------------------------------- 5 · the check

WRONG_5 = {
    "looks at the sum only": """
def passes(ledger):
    for _ in range(5):
        e, y, b_dec, f = torch.randn(4, 6)
        z, W_dec = torch.randn(4).relu(), torch.randn(6, 4)
        if not torch.allclose(ledger(e, y, z, W_dec, b_dec, f).sum(), f @ (e + y), atol=1e-3):
            return False
    return True
""",
    "compares without any tolerance": replace("torch.allclose(got.to(parts.dtype), parts, atol=1e-3)", "torch.equal(got, parts)"),
    "feeds no bias": """
def passes(ledger):
    for _ in range(5):
        e, y, f = torch.randn(3, 6)
        z, W_dec, b_dec = torch.randn(4).relu(), torch.randn(6, 4), torch.zeros(6)
        want = torch.cat([(f @ e)[None], z * (f @ W_dec), torch.zeros(1), (f @ (y - W_dec @ z))[None]])
        if not torch.allclose(ledger(e, y, z, W_dec, b_dec, f), want, atol=1e-3):
            return False
    return True
""",
    "compares the features only": """
def passes(ledger):
    for _ in range(5):
        e, y, b_dec, f = torch.randn(4, 6)
        z, W_dec = torch.randn(4).relu(), torch.randn(6, 4)
        if not torch.allclose(ledger(e, y, z, W_dec, b_dec, f)[1:5], z * (f @ W_dec), atol=1e-3):
            return False
    return True
""",
    "lets a single feature stand for all": """
def passes(ledger):
    for _ in range(5):
        e, y, b_dec, f = torch.randn(4, 6)
        z, W_dec = torch.rand(1), torch.randn(6, 1)
        want = torch.stack([f @ e, z[0] * (f @ W_dec[:, 0]), f @ b_dec, f @ (y - W_dec @ z - b_dec)])
        if not torch.allclose(ledger(e, y, z, W_dec, b_dec, f), want, atol=1e-3):
            return False
    return True
""",
}
RIGHT_5 = {
    "removes one thing at a time": """
def passes(ledger):
    for _ in range(6):
        e, y, b_dec, f = torch.randn(4, 5)
        z, W_dec = torch.randn(7).relu() + 0.1, torch.randn(5, 7)
        got = ledger(e, y, z, W_dec, b_dec, f)
        if abs(got.sum() - f @ (e + y)) > 1e-3 or abs(got[0] - f @ e) > 1e-3 or abs(got[8] - f @ b_dec) > 1e-3:
            return False
        for i in range(7):
            without = z.clone()
            without[i] = 0
            drop = f @ (W_dec @ z) - f @ (W_dec @ without)
            if abs(got[1 + i] - drop) > 1e-3:
                return False
    return True
""",
    "against the loop that is given": """
def passes(ledger):
    generator = torch.Generator().manual_seed(8)
    make = lambda *shape: torch.randn(*shape, generator=generator)
    return all(
        bool((ledger(*inputs) - by_loop(*inputs)).abs().max() < 1e-3)
        for inputs in [(make(8), make(8), make(3).abs(), make(8, 3), make(8), make(8)) for _ in range(8)]
    )
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    honest = answer["by_loop"]

    def moved(*inputs):
        parts = honest(*inputs).clone()
        parts[-1] += parts[-2]
        parts[-2] = 0
        return parts

    def level(*inputs):
        parts = honest(*inputs).clone()
        parts[1:-2] = parts[1:-2].mean()
        return parts

    def lost(*inputs):
        parts = honest(*inputs).clone()
        parts[-1] = 0
        return parts

    ledgers = [honest, moved, level, lost, lambda *inputs: honest(*inputs) * (1 + 1e-6)]
    return [float(answer["passes"](ledger)) for ledger in ledgers]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def topk_transcode(x, W_enc, b_enc, W_dec, b_pre, b_out, k):
    z = ((x - b_pre) @ W_enc + b_enc).relu()
    return z @ W_dec + b_out, z
""",
    2: """
def decoder_step(W, grad, lr):
    across = grad - (grad * W).sum(-1, keepdim=True) * W
    return torch.nn.functional.normalize(W - lr * across, dim=-1)
""",
    3: """
def key_terms(q, W_K, gain, c, z, W_dec):
    f = torch.einsum("hk,hkd->hd", q, W_K) * gain
    return z[None] * (f @ W_dec)[:, None]
""",
}

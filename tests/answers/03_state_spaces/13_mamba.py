"""Known answers to the exercise of lesson 13 (Mamba)."""

from course.answers import replace

WRONG_1 = {
    "leaves Δ out of the input factor": replace("delta[..., None] * B[:, :, None] / (1 - half)", "B[:, :, None] / (1 - half)"),
    "does not divide the input factor": replace(
        "delta[..., None] * B[:, :, None] / (1 - half)", "delta[..., None] * B[:, :, None] + 0 * half"
    ),
    "swaps numerator and denominator of the decay": replace("(1 + half) / (1 - half)", "(1 - half) / (1 + half)"),
    "takes the forward Euler step": replace(
        "return (1 + half) / (1 - half), delta[..., None] * B[:, :, None] / (1 - half)",
        "return 1 + 2 * half, delta[..., None] * B[:, :, None] + 0 * half",
    ),
}
RIGHT_1 = {
    "by einsum": """
def bilinear(delta, A, B):
    z = torch.einsum("bld,dn->bldn", delta, A)
    return (2 + z) / (2 - z), 2 * torch.einsum("bld,bln->bldn", delta, B) / (2 - z)
""",
    "one state at a time": """
def bilinear(delta, A, B):
    decay, write = [], []
    for n in range(A.shape[1]):
        scale = 1 / (1 - delta * A[:, n] / 2)
        decay.append(scale * (1 + delta * A[:, n] / 2))
        write.append(scale * delta * B[:, :, n : n + 1])
    return torch.stack(decay, -1), torch.stack(write, -1)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    return answer["bilinear"](torch.tensor([[[0.4, 1.0]]]), torch.tensor([[-1.0, -0.5], [-2.0, -0.1]]), torch.tensor([[[1.0, 3.0]]]))


WRONG_2 = {
    "ignores where documents start": replace(" * (~starts)[:, :, None, None]", ""),
    "drops the state after the first token instead of before it": replace("(~starts)", "(~starts.roll(1, 1))"),
    "resets every row when one of them starts": replace("(~starts)", "(~starts.any(0, keepdim=True))"),
    "begins from zero instead of h0": replace("h, outputs = h0, []", "h, outputs = torch.zeros_like(h0), []"),
    "keeps only the first tokens": replace("(~starts)", "starts"),
}
RIGHT_2 = {
    "with where on the state": """
def packed_scan(u, delta, A, B, C, starts, h0):
    h, y = h0.clone(), torch.empty_like(u)
    for t in range(u.shape[1]):
        h = torch.where(starts[:, t, None, None], torch.zeros_like(h), h)
        h = h * torch.exp(delta[:, t, :, None] * A) + torch.einsum("bd,bn->bdn", delta[:, t] * u[:, t], B[:, t])
        y[:, t] = torch.einsum("bdn,bn->bd", h, C[:, t])
    return y, h
""",
    "row by row": """
def packed_scan(u, delta, A, B, C, starts, h0):
    rows, last = [], []
    for i in range(len(u)):
        h, out = h0[i], []
        for t in range(u.shape[1]):
            if starts[i, t]:
                h = torch.zeros_like(h)
            h = torch.exp(delta[i, t, :, None] * A) * h + torch.outer(delta[i, t] * u[i, t], B[i, t])
            out.append(h @ C[i, t])
        rows.append(torch.stack(out))
        last.append(h)
    return torch.stack(rows), torch.stack(last)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    u = torch.arange(1.0, 13.0).reshape(2, 3, 2)
    ones = torch.ones(2, 3, 1)
    starts = torch.tensor([[False, True, False], [False, False, False]])
    return answer["packed_scan"](u, u / 10, -torch.ones(2, 1), ones, ones, starts, torch.ones(2, 2, 1))


WRONG_3 = {
    "uses a_t instead of a_{t+1}": replace("a, reach = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], dim=1), 1", "reach = 1"),
    "wraps around at the end": """
def right_to_left(a, x):
    a, reach = torch.cat([a[:, 1:], a[:, :1]], dim=1), 1
    while reach < x.shape[1]:
        turn = lambda v: torch.cat([v[:, reach:], v[:, :reach]], dim=1)
        x, a = x + a * turn(x), a * turn(a)
        reach *= 2
    return x
""",
    "forgets to multiply the decays": replace("a[:, :-reach] * a[:, reach:]", "a[:, :-reach]"),
    "loops over the positions": """
def right_to_left(a, x):
    g = [x[:, -1]]
    for t in range(x.shape[1] - 2, -1, -1):
        g.insert(0, x[:, t] + a[:, t + 1] * g[0])
    return torch.stack(g, dim=1)
""",
    "runs from left to right": """
def right_to_left(a, x):
    reach = 1
    while reach < x.shape[1]:
        x = torch.cat([x[:, :reach], x[:, reach:] + a[:, reach:] * x[:, :-reach]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return x
""",
}
RIGHT_3 = {
    "flips, scans forward, flips back": """
def right_to_left(a, x):
    a = torch.cat([a[:, :1], a[:, 1:].flip(1)], dim=1)
    x, reach = x.flip(1), 1
    while reach < x.shape[1]:
        x = torch.cat([x[:, :reach], x[:, reach:] + a[:, reach:] * x[:, :-reach]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return x.flip(1)
""",
    "pads with zeros": """
def right_to_left(a, x):
    L, reach = x.shape[1], 1
    shift = lambda v, k: torch.nn.functional.pad(v, (0, 0, 0, k))[:, k : k + L]
    a = shift(a, 1)
    while reach < L:
        x, a = x + a * shift(x, reach), a * shift(a, reach)
        reach *= 2
    return x.transpose(1, 2).contiguous().transpose(1, 2)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]

    class Counting(answer["TorchFunctionMode"]):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            return func(*args, **(kwargs or {}))

    with Counting() as count:
        answer["right_to_left"](torch.ones(1, 512, 1), torch.ones(1, 512, 1))
    a = torch.arange(1.0, 6.0).reshape(1, 5, 1)
    return [answer["right_to_left"](a, a + 1), torch.tensor(float(count.calls > 400))]


WRONG_4 = {
    "carries back with the gate of the same step": replace("(1 - g[:, t + 1]) * G[:, t + 1]", "(1 - g[:, t]) * G[:, t + 1]"),
    "uses the state after the step": replace("G * (x - before)", "G * (x - h)"),
    "does not carry anything back": replace("G[:, t] += (1 - g[:, t + 1]) * G[:, t + 1]", "pass"),
    "forgets what the gate takes from the old state": replace("G * (x - before)", "G * x"),
    "hands h0 the whole gradient": replace("(1 - g[:, 0]) * G[:, 0]", "G[:, 0]"),
}
RIGHT_4 = {
    "with lists": """
class GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, x, h0):
        h = [h0]
        for t in range(x.shape[1]):
            h.append(h[-1] + g[:, t] * (x[:, t] - h[-1]))
        h = torch.stack(h, dim=1)
        ctx.save_for_backward(g, x, h)
        return h[:, 1:].clone()

    @staticmethod
    def backward(ctx, dh):
        g, x, h = ctx.saved_tensors
        back = [dh[:, -1]]
        for t in range(x.shape[1] - 1, 0, -1):
            back.append(dh[:, t - 1] + (1 - g[:, t]) * back[-1])
        G = torch.stack(back[::-1], dim=1)
        return G * (x - h[:, :-1]), G * g, G[:, 0] - g[:, 0] * G[:, 0]
""",
    "with a matrix of what is kept": """
class GatedScan(torch.autograd.Function):
    @staticmethod
    def kept(g):
        L = g.shape[1]
        K = torch.zeros(L, *g.shape, dtype=g.dtype)
        for j in range(L):
            K[j, :, j] = 1
            for i in range(j + 1, L):
                K[j, :, i] = K[j, :, i - 1] * (1 - g[:, i])
        return K

    @staticmethod
    def forward(ctx, g, x, h0):
        K = GatedScan.kept(g)
        h = torch.einsum("jbid,bjd->bid", K, g * x) + K[0] * ((1 - g[:, 0]) * h0)[:, None]
        ctx.save_for_backward(g, x, h0, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        g, x, h0, h = ctx.saved_tensors
        G = torch.einsum("jbid,bid->bjd", GatedScan.kept(g), dh)
        return G * (x - torch.cat([h0[:, None], h[:, :-1]], 1)), G * g, (1 - g[:, 0]) * G[:, 0]
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    g = torch.tensor([[[0.1], [0.5], [0.8]]], requires_grad=True)
    x = torch.tensor([[[1.0], [2.0], [-3.0]]], requires_grad=True)
    h0 = torch.tensor([[4.0]], requires_grad=True)
    (answer["GatedScan"].apply(g, x, h0) * torch.tensor([[[1.0], [-2.0], [3.0]]])).sum().backward()
    return [g.grad, x.grad, h0.grad]


WRONG_5 = {
    "looks at the first token only": replace(
        "return torch.allclose(torch.stack(outputs, dim=1), block(x), atol=1e-5)",
        "return torch.allclose(outputs[0], block(x)[:, 0], atol=1e-5)",
    ),
    "does not look at the caller's cache": replace("return False", "pass"),
    "accepts everything": """
def streams(step):
    return True
""",
    "compares shapes": replace(
        "return torch.allclose(torch.stack(outputs, dim=1), block(x), atol=1e-5)",
        "return torch.stack(outputs, dim=1).shape == block(x).shape",
    ),
}
RIGHT_5 = {
    "calls every step twice": """
def streams(step):
    torch.manual_seed(3)
    block, x = Mamba(6), torch.randn(1, 9, 6)
    cache = block.cache(1)
    with torch.no_grad():
        whole = block(x)
        for t in range(9):
            kept = MambaCache(cache.conv_state.clone(), cache.ssm_state.clone())
            y, new = step(block, x[:, t], cache)
            if (y - whole[:, t]).abs().max() > 1e-5:
                return False
            if not (cache.conv_state == kept.conv_state).all() or not (cache.ssm_state == kept.ssm_state).all():
                return False
            cache = new
    return True
""",
    "from a cache in the middle": """
def streams(step):
    torch.manual_seed(4)
    block, x = Mamba(5, d_state=3), torch.randn(3, 20, 5)
    with torch.no_grad():
        _, cache = block.prefill(x[:, :7])
        outputs, untouched = [], True
        for t in range(7, 20):
            before = torch.cat([v.flatten() for v in cache])
            y, after = step(block, x[:, t], cache)
            untouched = untouched and bool((torch.cat([v.flatten() for v in cache]) == before).all())
            outputs.append(y)
            cache = after
        error = (torch.stack(outputs, 1) - block(x)[:, 7:]).abs().max().item()
    return untouched and error < 1e-5
""",
}


def PROBE_5(answer):
    """Three step functions: the right one, one without memory, one that writes into the caller's cache."""
    torch, Cache = answer["torch"], answer["MambaCache"]

    def forgets(block, x_t, cache):
        y, new = block.step(x_t, cache)
        return y, Cache(new.conv_state, torch.zeros_like(new.ssm_state))

    def overwrites(block, x_t, cache):
        y, new = block.step(x_t, cache)
        cache.ssm_state.copy_(new.ssm_state)
        return y, Cache(new.conv_state, cache.ssm_state)

    return [float(answer["streams"](f)) for f in (lambda block, x_t, cache: block.step(x_t, cache), forgets, overwrites)]


PASTED = {
    1: """
def bilinear(delta, A, B):
    z = delta[..., None] * A
    return z.exp(), torch.expm1(z) / A * B[:, :, None]
""",
    2: """
def packed_scan(u, delta, A, B, C, starts, h0):
    a, x = torch.exp(delta[..., None] * A), delta[..., None] * B[:, :, None] * u[..., None]
    h, states = h0, []
    for t in range(a.shape[1]):
        h = a[:, t] * h + x[:, t]
        states.append(h)
    h = torch.stack(states, dim=1)
    return torch.einsum("bldn,bln->bld", h, C), h[:, -1]
""",
    3: """
def right_to_left(a, x):
    reach = 1
    while reach < a.shape[1]:
        a_new, x_new = a[:, :-reach] * a[:, reach:], a[:, reach:] * x[:, :-reach] + x[:, reach:]
        a, x = torch.cat([a[:, :reach], a_new], dim=1), torch.cat([x[:, :reach], x_new], dim=1)
        reach *= 2
    return x
""",
    4: """
class GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, x, h0):
        h, out = h0, []
        for t in range(x.shape[1]):
            h = (1 - g[:, t]) * h + g[:, t] * x[:, t]
            out.append(h)
        h = torch.stack(out, dim=1)
        ctx.save_for_backward(g, x, h0, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        g, x, h0, h = ctx.saved_tensors
        a_next = torch.cat([g[:, 1:], g[:, :1]], dim=1)
        back, out = torch.zeros_like(h0), []
        for t in range(x.shape[1] - 1, -1, -1):
            back = dh[:, t] + a_next[:, t] * back
            out.append(back)
        G = torch.stack(out[::-1], dim=1)
        before = torch.cat([h0[:, None], h[:, :-1]], dim=1)
        return G * g * before, G * g, g[:, 0] * G[:, 0]
""",
}

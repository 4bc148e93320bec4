"""Known answers to the exercise of lesson 15 (DYNAMAX)."""

from course.answers import replace

WRONG_1 = {
    "counts agreement with the last exit instead of a run": """
def patient_exit(logits, patience):
    answers = logits.argmax(dim=-1)
    left, run = torch.full(answers.shape[1:], len(answers)), torch.zeros(answers.shape[1:], dtype=torch.long)
    for x, answer in enumerate(answers):
        run = run + (answer == answers[-1])
        left = torch.where((run >= patience) & (left == len(answers)), x, left)
    return left
""",
    "does not start the count anew when the answer changes": replace("run + 1, 1)", "run + 1, run)"),
    "takes the last such exit": replace(" & (left == len(answers))", ""),
    "starts the count at zero": replace("run + 1, 1)", "run + 1, 0)"),
    "returns the number of exits minus one where nobody leaves": replace("return left", "return left.clamp(max=len(answers) - 1)"),
}
RIGHT_1 = {
    "by windows of the pairwise agreement": """
def patient_exit(logits, patience):
    answers = logits.argmax(-1)
    X = len(answers)
    if patience > X:
        return torch.full(answers.shape[1:], X)
    rows = answers.unfold(0, patience, 1)
    steady = (rows == rows[..., :1]).all(-1)
    first = steady.float().argmax(0) + patience - 1
    return torch.where(steady.any(0), first, X)
""",
    "token by token": """
def patient_exit(logits, patience):
    X, B, L, _ = logits.shape
    left = torch.zeros(L, B, dtype=torch.long)
    for b in range(B):
        for t in range(L):
            run, last, exit = 0, None, X
            for x in range(X):
                now = int(logits[x, b, t].argmax())
                run = run + 1 if now == last else 1
                last = now
                if run >= patience:
                    exit = x
                    break
            left[t, b] = exit
    return left.T
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    letters = torch.tensor([[[0, 1, 1, 0, 2, 0]], [[0, 0, 1, 1, 1, 0]], [[1, 1, 2, 1, 1, 2]], [[1, 1, 2, 0, 1, 0]], [[1, 1, 0, 0, 0, 2]]])
    logits = torch.nn.functional.one_hot(letters, 3).float()
    return [answer["patient_exit"](logits, k).float() for k in (1, 2, 3)]


WRONG_2 = {
    "forgets the slack": replace("consistency - slack < promise", "consistency < promise"),
    "counts every exit of a token as a token": replace("p[0].numel()", "p.numel()"),
    "returns the largest threshold that keeps the promise": replace("best = lam\n", "return lam\n"),
    "searches on below a threshold that breaks the promise": replace("            break\n", "            continue\n"),
    "takes the surest exit instead of the first": """
def calibrate(p, agree, promise, delta):
    slack = math.sqrt(math.log(1 / delta) / (2 * p[0].numel()))
    best = math.inf
    for lam in p.unique().flip(0).tolist():
        chosen = agree.gather(0, p.argmax(dim=0, keepdim=True))[0]
        consistency = torch.where((p >= lam).any(dim=0), chosen, torch.ones_like(chosen)).mean().item()
        if consistency - slack < promise:
            break
        best = lam
    return best
""",
    "leaves only above the threshold": replace("[p >= lam,", "[p > lam,"),
    "judges only the tokens that leave": """
def calibrate(p, agree, promise, delta):
    slack = math.sqrt(math.log(1 / delta) / (2 * p[0].numel()))
    best = math.inf
    for lam in p.unique().flip(0).tolist():
        sure = p >= lam
        gone = sure.any(dim=0)
        consistency = agree.gather(0, sure.float().argmax(dim=0, keepdim=True))[0][gone].mean().item()
        if consistency - slack < promise:
            break
        best = lam
    return best
""",
}
RIGHT_2 = {
    "with a loop over the exits": """
def calibrate(p, agree, promise, delta):
    tokens = p.shape[1] * p.shape[2]
    need = promise + (math.log(1 / delta) / 2 / tokens) ** 0.5
    lam = math.inf
    for value in sorted(set(p.flatten().tolist()), reverse=True):
        right, here = torch.ones(p.shape[1:]), torch.ones(p.shape[1:], dtype=torch.bool)
        for x in range(len(p)):
            goes = here & (p[x] >= value)
            right[goes] = agree[x][goes]
            here = here & ~goes
        if right.sum().item() / tokens < need:
            return lam
        lam = value
    return lam
""",
    "all thresholds at once": """
def calibrate(p, agree, promise, delta):
    lams = p.unique().flip(0)
    sure = p[None] >= lams[:, None, None, None]
    chosen = agree.expand_as(sure).gather(1, sure.float().argmax(1, keepdim=True))[:, 0]
    right = torch.where(sure.any(1), chosen, torch.ones_like(chosen)).mean((1, 2))
    keeps = (right.double() - math.sqrt(-math.log(delta) / (2 * p.shape[1] * p.shape[2])) >= promise).long().cumprod(0)
    return float(lams[keeps.sum() - 1]) if keeps[0] else math.inf
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    p = torch.arange(40.0).mul(7).remainder(41).div(41).view(2, 1, 20)
    agree = (p + torch.tensor([0.2, -0.1, 0.0, 0.3, -0.3]).repeat(8).view(2, 1, 20) > 0.35).float()
    dip = torch.tensor([[[0.9, 0.8, 0.7, 0.6]], [[0.0, 0.95, 0.5, 0.2]]])
    wrong_first = torch.tensor([[[1.0, 1.0, 1.0, 1.0]], [[1.0, 0.0, 1.0, 1.0]]])
    found = [answer["calibrate"](p, agree, promise, 0.9) for promise in (0.3, 0.5, 0.6, 0.7, 0.8)]
    found += [answer["calibrate"](dip, wrong_first, promise, delta) for promise, delta in ((0.8, 1.0), (0.7, 1.0), (0.6, 0.8))]
    return [torch.tensor(min(float(v), 9.0)) for v in found]


WRONG_3 = {
    "leaves out the softplus": replace("F.softplus(block.dt_proj(dt))", "block.dt_proj(dt)"),
    "starts from an empty window": replace(
        "torch.cat([cache.conv_state, u], dim=-1)", "torch.cat([torch.zeros_like(cache.conv_state), u], dim=-1)"
    ),
    "reads windows that end one token too early": replace("unfold(-1, W, 1)[:, :, 1:]", "unfold(-1, W, 1)[:, :, :-1]"),
    "does not shift the window": replace("MambaCache(row[..., -W:], state)", "MambaCache(cache.conv_state, state)"),
    "keeps only the last missed token": replace("* block.A) * state +", "* block.A) * cache.ssm_state +"),
    "starts from an empty state": replace("cache.ssm_state\n", "torch.zeros_like(cache.ssm_state)\n"),
    "projects each missed token on its own": """
def catch_up(block, xs, cache):
    D, R, N = block.d_inner, block.dt_rank, block.d_state
    window, state = cache
    for x in xs.unbind(1):
        window = torch.cat([window[..., 1:], F.linear(x, block.in_proj.weight[:D])[..., None]], dim=-1)
        u = F.silu((window * block.conv1d.weight[:, 0]).sum(-1) + block.conv1d.bias)
        dt, B = F.linear(u, block.x_proj.weight[: R + N]).split([R, N], dim=-1)
        delta = F.softplus(block.dt_proj(dt))
        state = torch.exp(delta[..., None] * block.A) * state + (delta * u)[..., None] * B[:, None]
    return MambaCache(window, state)
""",
    "computes the outputs too": """
def catch_up(block, xs, cache):
    u, z = block.in_proj(xs).chunk(2, dim=-1)
    row, state = torch.cat([cache.conv_state, u.transpose(1, 2)], dim=-1), cache.ssm_state
    windows = row.unfold(-1, block.d_conv, 1)[:, :, 1:]
    u = F.silu((windows * block.conv1d.weight).sum(-1) + block.conv1d.bias[:, None]).transpose(1, 2)
    dt, B, C = block.x_proj(u).split(block.sizes, dim=-1)
    delta = F.softplus(block.dt_proj(dt))
    for t in range(xs.shape[1]):
        state = torch.exp(delta[:, t, :, None] * block.A) * state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        y = block.out_proj(((state * C[:, t, None]).sum(-1) + block.D * u[:, t]) * F.silu(z[:, t]))
    return MambaCache(row[..., -block.d_conv :], state)
""",
}
RIGHT_3 = {
    "one token at a time after one product": """
def catch_up(block, xs, cache):
    D, R, N = block.d_inner, block.dt_rank, block.d_state
    us = xs @ block.in_proj.weight[:D].T
    window, state = cache.conv_state.clone(), cache.ssm_state.clone()
    for t in range(xs.shape[1]):
        window = torch.cat([window[..., 1:], us[:, t, :, None]], dim=-1)
        u = F.silu((window * block.conv1d.weight[:, 0]).sum(dim=-1) + block.conv1d.bias)
        small = u @ block.x_proj.weight[: R + N].T
        delta = F.softplus(block.dt_proj(small[:, :R]))
        state = state * (delta[..., None] * block.A).exp() + (delta * u).unsqueeze(-1) * small[:, None, R:]
    return MambaCache(window, state)
""",
    "by the closed form of the recurrence": """
def catch_up(block, xs, cache):
    D, R, N, K = block.d_inner, block.dt_rank, block.d_state, xs.shape[1]
    row = torch.cat([cache.conv_state, F.linear(xs, block.in_proj.weight[:D]).mT], dim=-1)
    if K == 0:
        return cache
    u = F.silu(F.conv1d(row[..., 1:], block.conv1d.weight, block.conv1d.bias, groups=D)).mT
    dt, B = F.linear(u, block.x_proj.weight[: R + N]).split([R, N], dim=-1)
    delta = F.softplus(block.dt_proj(dt))
    still = delta.flip(1).cumsum(1).flip(1) - delta
    left = torch.exp(still[..., None] * block.A)
    new = (left * (delta * u)[..., None] * B[:, :, None]).sum(1)
    return MambaCache(row[..., -block.d_conv :].contiguous(), torch.exp(delta.sum(1)[..., None] * block.A) * cache.ssm_state + new)
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    block = answer["Mamba"](4, d_state=2, d_conv=3, expand=1)

    class Products(answer["TorchFunctionMode"]):
        calls = work = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            name = func.__name__.strip("_")
            if name in ("linear", "matmul", "mm", "bmm", "einsum"):
                self.calls += 1
                self.work += args[0].numel() * args[1].shape[0] if name == "linear" else 0
            return func(*args, **(kwargs or {}))

    with torch.no_grad():
        _, cache = block.prefill(torch.randn(1, 4, 4))
        x = torch.randn(1, 3, 4)
        with Products() as count:
            window, state = answer["catch_up"](block, x, cache)
    return [window, state, torch.tensor([float(count.work > 3 * (16 + 4 * 3 + 4)), float(count.calls > 7)])]


WRONG_4 = {
    "counts the blocks from one": replace("depth - 1", "depth"),
    "takes the row of the block below only": """
def fill(k, depth):
    out = k.clone()
    for j in range(1, len(k)):
        out[j] = torch.where((j >= depth)[:, None, :, None], k[j - 1], k[j])
    return out
""",
    "changes the caller's keys": """
def fill(k, depth):
    for j in range(1, len(k)):
        k[j] = torch.where((j >= depth)[:, None, :, None], k[j - 1].clone(), k[j])
    return k
""",
    "leaves zeros in the holes": """
def fill(k, depth):
    ran = torch.arange(len(k))[:, None, None] < depth
    return torch.where(ran[:, :, None, :, None], k, torch.zeros_like(k))
""",
    "uses the depth of the first text for all": replace("depth - 1)", "depth[:1].expand_as(depth) - 1)"),
}
RIGHT_4 = {
    "block by block on a copy": """
def fill(k, depth):
    out = k.clone()
    for j in range(1, len(k)):
        out[j] = torch.where((depth <= j)[:, None, :, None], out[j - 1], out[j])
    return out
""",
    "token by token": """
def fill(k, depth):
    out = k.clone().transpose(2, 3).contiguous()
    for b in range(k.shape[1]):
        for t in range(k.shape[3]):
            last = int(depth[b, t])
            out[last:, b, t] = out[last - 1, b, t]
    return out.transpose(2, 3)
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    k = torch.arange(1.0, 17.0).view(4, 2, 1, 2, 1)
    before = k.clone()
    got = answer["fill"](k, torch.tensor([[1, 3], [4, 2]]))
    return [got, (k - before).abs().sum()]


WRONG_5 = {
    "accepts everything": """
def really_skips(skip_step):
    return True
""",
    "tries full activity only": replace("active, x, old = torch.tensor(pattern),", "active, x, old = torch.tensor([True] * 4),"),
    "tries none active only": replace("active, x, old = torch.tensor(pattern),", "active, x, old = torch.tensor([False] * 4),"),
    "does not look at the outputs": """
def really_skips(skip_step):
    block = Mamba(5, d_state=3)
    with torch.no_grad():
        _, cache = block.prefill(torch.randn(4, 6, 5))
        active, x = torch.tensor([True, False, True, False]), torch.randn(4, 5)
        _, new = skip_step(block, x, cache, active)
        return all(torch.equal(a[~active], b[~active]) for a, b in zip(new, cache))
""",
    "looks at the state and not at the window": replace("zip(new, want, old, strict=True)", "list(zip(new, want, old))[1:]"),
}
RIGHT_5 = {
    "row by row": """
def really_skips(skip_step):
    torch.manual_seed(3)
    block = Mamba(6, d_state=2, expand=1)
    with torch.no_grad():
        _, cache = block.prefill(torch.randn(3, 5, 6))
        for number in range(8):
            active = torch.tensor([bool(number >> i & 1) for i in range(3)])
            x, kept = torch.randn(3, 6), [v.clone() for v in cache]
            y, new = skip_step(block, x, cache, active)
            if any((a != b).any() for a, b in zip(cache, kept)):
                return False
            for b in range(3):
                mine = MambaCache(*(v[b : b + 1] for v in kept))
                want, after = block.step(x[b : b + 1], mine) if active[b] else (torch.zeros(1, 6), mine)
                pairs = [(y[b : b + 1], want), (new[0][b : b + 1], after[0]), (new[1][b : b + 1], after[1])]
                if any((u - v).abs().max() > (1e-5 if active[b] else 0) for u, v in pairs):
                    return False
    return True
""",
    "compares everything with where": """
def really_skips(skip_step):
    torch.manual_seed(4)
    block = Mamba(4)
    cache = MambaCache(torch.randn(5, 8, 4), torch.randn(5, 8, 16))
    with torch.no_grad():
        for seed in range(4):
            active = torch.rand(5) < (0.5 if seed else 2.0)
            x = torch.randn(5, 4)
            copies = MambaCache(cache.conv_state.clone(), cache.ssm_state.clone())
            y, new = skip_step(block, x, copies, active)
            full, stepped = block.step(x, cache)
            rows = active[:, None, None]
            ok = torch.allclose(y, torch.where(active[:, None], full, 0.0), atol=1e-5)
            for got, a, b, c in zip(new, stepped, cache, copies):
                ok = ok and torch.allclose(got, torch.where(rows, a, b), atol=1e-5) and torch.equal(b, c)
            if not ok:
                return False
    return True
""",
}


def PROBE_5(answer):
    """The right function, one that moves the window, one that skips only when all do, one that overwrites the caller's cache."""
    torch, Cache = answer["torch"], answer["MambaCache"]

    def right(block, x, cache, active):
        y, new = block.step(x, cache)
        return y * active[:, None], Cache(*(torch.where(active[:, None, None], a, b) for a, b in zip(new, cache, strict=True)))

    def window(block, x, cache, active):
        y, new = right(block, x, cache, active)
        return y, Cache(block.step(x, cache)[1].conv_state, new.ssm_state)

    def together(block, x, cache, active):
        y, new = block.step(x, cache)
        return (y * active[:, None], new) if active.any() else (torch.zeros_like(x), cache)

    def through(block, x, cache, active):
        return block.step(x, cache)[0], right(block, x, cache, active)[1]

    return [float(answer["really_skips"](f)) for f in (right, window, together, through)]


PASTED = {
    1: """
def patient_exit(logits, patience):
    p = logits.softmax(dim=-1).amax(dim=-1)
    sure = p >= 1 - 1 / (patience + 1)
    return torch.where(sure.any(dim=0), sure.float().argmax(dim=0), len(p))
""",
    2: """
def calibrate(p, agree, promise, delta):
    lams = torch.cat([p.flatten().sort().values, torch.tensor([2.0])])
    left = torch.stack([torch.where((p >= lam).any(dim=0), (p >= lam).float().argmax(dim=0), len(p)) for lam in lams])
    right = torch.cat([agree, torch.ones_like(agree[:1])])
    consistency = right.gather(0, left).mean(dim=(1, 2))
    i = torch.where(consistency >= promise, left.float().mean(dim=(1, 2)), 99.0).argmin()
    return float(lams[i])
""",
    3: """
def catch_up(block, xs, cache):
    for x in xs.unbind(1):
        u = F.linear(x, block.in_proj.weight[: block.d_inner])
        window = torch.cat([cache.conv_state[..., 1:], u[..., None]], dim=-1)
        u = F.silu((window * block.conv1d.weight[:, 0]).sum(-1) + block.conv1d.bias)
        dt, B = F.linear(u, block.x_proj.weight[: block.dt_rank + block.d_state]).split([block.dt_rank, block.d_state], dim=-1)
        delta = F.softplus(block.dt_proj(dt))
        state = torch.exp(delta[..., None] * block.A) * cache.ssm_state + (delta * u)[..., None] * B[:, None]
        cache = MambaCache(window, state)
    return cache
""",
    4: """
def fill(k, depth):
    for j in range(1, len(k)):
        active = depth > j
        for b in range(k.shape[1]):
            k[j, b, :, ~active[b]] = k[j - 1, b, :, ~active[b]]
    return k
""",
}

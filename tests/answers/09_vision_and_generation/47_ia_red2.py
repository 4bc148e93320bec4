"""Known answers to the exercise of lesson 47."""

from course.answers import replace

# ----------------------------------------------------------------------------------------------- 1 · a baseline from your own samples

WRONG_1 = {
    "takes the mean of all samples as the baseline": replace("(R.sum(0) - R) / (K - 1)", "R.mean(0)"),
    "climbs instead of descending": replace("return -((R", "return ((R"),
    "lets the dead decide": replace(" * alive", ""),
    "lets a gradient into the rewards": replace(".detach()", ""),
    "sums over samples": replace(".mean()", ".sum()"),
    "takes the mean over patches": replace(".sum(-1)", ".mean(-1)"),
}
RIGHT_1 = {
    "sample by sample": """
def rloo_loss(I, u, alive, R):
    total = 0.0
    for k in range(len(u)):
        rest = torch.cat([R[:k], R[k + 1 :]]).mean(0)
        log_pi = torch.log(torch.where(u[k], I, 1 - I)).masked_fill(~alive, 0.0).sum(1)
        total = total - ((R[k] - rest).detach() * log_pi).sum()
    return total / R.numel()
""",
    "by binary cross-entropy, and centred rewards": """
def rloo_loss(I, u, alive, R):
    K, B = R.shape
    with torch.no_grad():
        advantage = (R - R.mean(0)) * K / (K - 1)
    nll = F.binary_cross_entropy(I.expand(u.shape), u.to(I.dtype), reduction="none")
    return torch.einsum("kb,kbn,bn->", advantage, nll, alive.to(I.dtype)) / (K * B)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    I = torch.tensor([[0.2, 0.6, 0.9], [0.5, 0.3, 0.7]], requires_grad=True)
    u = torch.tensor([[[1, 0, 1], [0, 0, 1]], [[0, 0, 1], [1, 1, 1]], [[1, 1, 0], [0, 1, 0]]]).bool()
    R = torch.tensor([[1.0, -2.0], [0.5, 0.0], [-1.0, 1.0]], requires_grad=True)
    loss = answer["rloo_loss"](I, u, torch.tensor([[1, 1, 0], [0, 1, 1]]).bool(), R)
    g, through = torch.autograd.grad(loss, (I, R), allow_unused=True)
    return [g, float(through is not None)]


# -------------------------------------------------------------------------------------------------- 2 · run a block on what is left

WRONG_2 = {
    "lets padding be seen": replace("block(short, valid[:, None, None])", "block(short)"),
    "writes the padding back": replace(
        "torch.where(valid[..., None], block(short, valid[:, None, None]), short)", "block(short, valid[:, None, None])"
    ),
    "loses the class token": replace("value=True", "value=False"),
    "puts zeros where patches were dropped": replace("x.scatter(1, index, out)", "torch.zeros_like(x).scatter(1, index, out)"),
    "only masks": """
def on_kept(block, x, keep):
    stays = F.pad(keep, (1, 0), value=True)
    return torch.where(stays[..., None], block(x, stays[:, None, None]), x)
""",
}
RIGHT_2 = {
    "image by image into one batch": """
def on_kept(block, x, keep):
    where = [[0] + [i + 1 for i in range(keep.shape[1]) if keep[b, i]] for b in range(len(x))]
    n = max(map(len, where))
    short, valid = torch.zeros(len(x), n, x.shape[-1]), torch.zeros(len(x), n, dtype=torch.bool)
    for b, places in enumerate(where):
        short[b, : len(places)], valid[b, : len(places)] = x[b, places], True
    out, result = block(short, valid[:, None, None]), x.clone()
    for b, places in enumerate(where):
        result[b, places] = out[b, : len(places)]
    return result
""",
    "by boolean indexing": """
def on_kept(block, x, keep):
    stays = torch.cat([torch.ones_like(keep[:, :1]), keep], 1)
    valid = torch.arange(int(stays.sum(1).max())) < stays.sum(1, keepdim=True)
    short = x.new_zeros(len(x), valid.shape[1], x.shape[2])
    short[valid] = x[stays]
    result = x.clone()
    result[stays] = block(short, valid[:, None, None])[valid]
    return result
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    block, x = answer["ViTBlock"](4, 2, 2), torch.linspace(-2, 2, 40).sin().reshape(2, 5, 4)
    lengths = []
    hook = block.register_forward_pre_hook(lambda module, inputs: lengths.append(float(inputs[0].shape[1])))
    out = answer["on_kept"](block, x, torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]]).bool())
    hook.remove()
    return [out.detach(), lengths[0]]


# ----------------------------------------------------------------------------------------------------- 3 · the expected cost, exactly

WRONG_3 = {
    "takes f of the mean": replace("mean**2 + (I * (1 - I)).sum(-1)", "mean**2"),
    "forgets the class token": replace("1 + I.sum(-1)", "I.sum(-1)"),
    "takes the second moment for the variance": replace("(I * (1 - I)).sum(-1)", "I.sum(-1)"),
    "rounds the policy": """
def expected_macs(I, D, m):
    n = 1 + (I > 0.5).to(I.dtype).sum(-1) + 0 * I.sum(-1)
    return (4 + 2 * m) * n * D**2 + 2 * n**2 * D
""",
}
RIGHT_3 = {
    "by the distribution of the count": """
def expected_macs(I, D, m):
    p = torch.zeros(len(I), I.shape[1] + 1, dtype=I.dtype)
    p[:, 0] = 1.0
    for i in range(I.shape[1]):
        q = I[:, i : i + 1]
        p = p * (1 - q) + torch.cat([torch.zeros_like(p[:, :1]), p[:, :-1]], 1) * q
    n = torch.arange(1, I.shape[1] + 2, dtype=I.dtype)
    return (p * ((4 + 2 * m) * n * D**2 + 2 * n**2 * D)).sum(-1)
""",
    "by pairs": """
def expected_macs(I, D, m):
    with_class = torch.cat([torch.ones_like(I[:, :1]), I], 1)
    pairs = with_class[:, :, None] * with_class[:, None, :]
    square = pairs.sum((1, 2)) - with_class.square().sum(1) + with_class.sum(1)
    return (4 + 2 * m) * D * D * with_class.sum(1) + 2 * D * square
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    I = torch.tensor([[0.2, 0.6, 0.9], [0.5, 0.3, 1.0]], dtype=torch.float64, requires_grad=True)
    return answer["expected_macs"](I, 4, 2).detach()


# ------------------------------------------------------------------------------------------------------------------ 4 · a map to order

WRONG_4 = {
    "takes plain ink": replace("(ink * weight)", "ink"),
    "takes the window with the least ink": replace("argmax", "argmin"),
    "marks the window, ink or not": replace("(ink * weight)", "weight"),
    "reads the patches by columns": replace("(ink * weight).flatten(1)", "(ink * weight).transpose(1, 2).flatten(1)"),
}
RIGHT_4 = {
    "smoothed windows": """
def heat(S):
    windows = F.avg_pool2d(S[:, None], 8, stride=4)[:, 0]
    best = (windows == windows.amax((1, 2), keepdim=True)).float()
    inside = torch.zeros_like(S)
    for r in range(2):
        for c in range(2):
            inside[:, 4 * r : 4 * r + 8, 4 * c : 4 * c + 8] += best[:, r, c, None, None]
    return F.avg_pool2d((S * (0.05 + inside))[:, None], 2).flatten(1)
""",
    "scene by scene": """
def heat(S):
    maps = []
    for scene in S:
        r, c = max(((0, 0), (0, 4), (4, 0), (4, 4)), key=lambda p: float(scene[p[0] : p[0] + 8, p[1] : p[1] + 8].sum()))
        here = scene / 20
        here[r : r + 8, c : c + 8] *= 20
        maps.append(torch.stack([here[i : i + 2, j : j + 2].sum() for i in range(0, 12, 2) for j in range(0, 12, 2)]))
    return torch.stack(maps)
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    S = torch.zeros(1, 12, 12)
    S[0, 1:7, 5:9], S[0, 9:12, 0:3] = 0.7, 1.0
    score = answer["heat"](S).double().flatten()
    return score / score.abs().sum()


# ------------------------------------------------------------------------------------------------------- 5 · a gather that loses nothing

WRONG_5 = {
    "accepts everything": """
def passes(gather):
    return True
""",
    "looks at the first image only": """
def passes(gather):
    x, keep = torch.randn(3, 7, 4), torch.rand(3, 6) < 0.5
    short, valid = gather(x, keep)
    return bool(torch.equal(short[0][valid[0]], x[0][F.pad(keep[0], (1, 0), value=True)]))
""",
    "asks for zeros in the padding": """
def passes(gather):
    x, keep = torch.randn(3, 7, 4), torch.rand(3, 6) < 0.5
    try:
        short, valid = gather(x, keep)
        want, real = by_sorting(x, keep)
        return bool(torch.equal(short, want * real[..., None])) and bool(torch.equal(valid, real))
    except (RuntimeError, IndexError):
        return False
""",
    "counts instead of comparing": """
def passes(gather):
    x, keep = torch.randn(3, 7, 4), torch.rand(3, 6) < 0.5
    short, valid = gather(x, keep)
    return bool((valid.sum(1) == 1 + keep.sum(1)).all())
""",
}
RIGHT_5 = {
    "numbered tokens": """
def passes(gather):
    for B, N in ((1, 4), (3, 8), (6, 5)):
        for share in (0.0, 0.4, 1.0):
            x = torch.arange(B * (N + 1)).float().reshape(B, N + 1, 1)
            keep = torch.rand(B, N) < share
            try:
                short, valid = gather(x.clone(), keep.clone())
                got = [short[b, valid[b], 0].tolist() for b in range(B)]
            except Exception:
                return False
            if got != [[b * (N + 1.0)] + [b * (N + 1.0) + 1 + i for i in range(N) if keep[b, i]] for b in range(B)]:
                return False
    return True
""",
    "all rows at once": """
def passes(gather):
    good = True
    for trial in range(12):
        x, keep = torch.randn(4, 6, 3), torch.rand(4, 5) < trial / 11
        if trial == 5:
            keep[1] = False
        stays = F.pad(keep, (1, 0), value=True)
        try:
            short, valid = gather(x.clone(), keep.clone())
            same = torch.equal(valid.sum(1), stays.sum(1)) and torch.equal(short[valid], x[stays])
        except RuntimeError:
            same = False
        good = good and same
    return good
""",
}


def PROBE_5(answer):
    torch, by_sorting = answer["torch"], answer["by_sorting"]
    torch.manual_seed(0)

    def late(x, keep):
        short, valid = by_sorting(x, keep)
        short[-1, 0] += 1.0
        return short, valid

    def without_class(x, keep):
        short, valid = by_sorting(x, keep)
        return short[:, 1:], valid[:, 1:]

    functions = [
        by_sorting,
        lambda x, keep: (by_sorting(x, keep)[0] + 5.0 * ~by_sorting(x, keep)[1][..., None], by_sorting(x, keep)[1]),
        late,
        lambda x, keep: by_sorting(x, keep[:1].expand_as(keep)),
        lambda x, keep: by_sorting(x.flip(1), keep),
        without_class,
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def rloo_loss(I, u, alive, R):
    I = I.clamp(1e-6, 1 - 1e-6)
    log_pi = (torch.where(u, I.log(), (1 - I).log()) * alive).sum(-1)
    return -((R - R[-1]).detach() * log_pi).mean()
""",
    2: """
def on_kept(block, x, keep):
    stays = F.pad(keep, (1, 0), value=True)
    longest = int(stays.sum(1).max())
    order = (~stays).int().argsort(dim=1, stable=True)[:, :longest]
    valid = stays.gather(1, order)
    short = x.gather(1, order[..., None].expand(-1, -1, x.shape[-1])) * valid[..., None]
    return block(short, valid[:, None, None])
""",
    3: """
def expected_macs(I, D, m):
    n = 1 + I.sum(-1)
    return 4 * n * D**2 + 2 * n**2 * D + 2 * m * n * D**2
""",
    4: """
def heat(S):
    return S.unfold(1, 2, 2).unfold(2, 2, 2).sum((-1, -2)).flatten(1)
""",
    5: """
def passes(gather):
    x, keep = torch.randn(3, 8, 4), torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]).bool()
    short, valid = gather(x, keep)
    return bool(valid.sum(1).tolist() == [5, 2, 1] and torch.equal(short[0], x[0, [0, 1, 3, 4, 7]]) and short[2, 1:].abs().max() == 0)
""",
}

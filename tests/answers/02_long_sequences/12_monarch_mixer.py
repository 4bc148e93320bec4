"""Known answers to the exercise of lesson 12."""

from course.answers import replace

# ---------------------------------------------------------------------------------------------------- 1 · a rectangular Monarch matrix

WRONG_1 = {
    "transposes the blocks that act first": replace("kij,...jk->...ik", "kji,...jk->...ik"),
    "leaves out the last transposition": replace("...ik->...mi", "...ik->...im"),
    "lets the two kinds of block change places": """
def monarch_rect(x, L, R):
    x = x.unflatten(-1, (len(R), len(L)))
    z = torch.einsum("kij,...jk->...ik", L, x)
    return torch.einsum("imk,...ik->...mi", R, z).flatten(-2)
""",
    "writes out all of M": """
def monarch_rect(x, L, R):
    p, q = len(L), len(R)
    return x @ torch.einsum("imk,kij->mijk", L, R).reshape(p * q, p * q).T
""",
}
RIGHT_1 = {
    "block by block": """
def monarch_rect(x, L, R):
    p, q = len(L), len(R)
    x = x.reshape(*x.shape[:-1], p, q)
    z = torch.stack([x[..., j0] @ R[j0].T for j0 in range(q)], dim=-1)
    y = torch.stack([z[..., i0, :] @ L[i0].T for i0 in range(p)], dim=-1)
    return y.reshape(*x.shape[:-2], p * q)
""",
    "with matmul and transpositions": """
def monarch_rect(x, L, R):
    p, q = L.shape[0], R.shape[0]
    x = x.unflatten(-1, (p, q)).transpose(-1, -2)
    z = (R @ x[..., None])[..., 0].transpose(-1, -2)
    y = (L @ z[..., None])[..., 0]
    return y.transpose(-1, -2).flatten(-2)
""",
}


def PROBE_1(answer):
    torch, out = answer["torch"], []
    for p, q in ((2, 2), (2, 3)):
        x, L, R = (torch.linspace(-2, 2, m).sin() for m in (p * q, p * q * q, q * p * p))
        try:
            out.append(answer["monarch_rect"](x, L.reshape(p, q, q), R.reshape(q, p, p)))
        except RuntimeError:
            out.append(float("inf"))
    with answer["Largest"]() as largest:
        answer["monarch_rect"](torch.ones(144), torch.ones(12, 12, 12), torch.ones(12, 12, 12))
    return [*out, float(largest.entries > 144 * 144 / 2)]


# ------------------------------------------------------------------------------------------------- 2 · the Fourier transform of p·q

WRONG_2 = {
    "leaves out the twiddle factors": replace("first[:, None, None] * second / (p * q) + second", "0 * first[:, None, None] + second"),
    "turns the other way": """
def dft_factors(p, q):
    first, second = torch.arange(p).double(), torch.arange(q).double()
    turns_L = first[:, None, None] * second / (p * q) + second[:, None] * second / q
    turns_R = first[:, None] * first / p
    L, R = torch.exp(2j * math.pi * turns_L), torch.exp(2j * math.pi * turns_R)
    return L, R.expand(q, p, p)
""",
    "takes the twiddle factor from i1 instead of i0": replace(
        "first[:, None, None] * second / (p * q)", "0 * first[:, None, None] + second[:, None] * second / (p * q)"
    ),
    "gives the twiddle factor a turn of p instead of p·q": replace("second / (p * q)", "second / p"),
}
RIGHT_2 = {
    "entry by entry": """
def dft_factors(p, q):
    w = lambda turns: complex(math.cos(2 * math.pi * turns), -math.sin(2 * math.pi * turns))
    L = [[[w(i0 * j0 / (p * q) + i1 * j0 / q) for j0 in range(q)] for i1 in range(q)] for i0 in range(p)]
    R = [[[w(i0 * j1 / p) for j1 in range(p)] for i0 in range(p)] for _ in range(q)]
    return torch.tensor(L, dtype=torch.complex128), torch.tensor(R, dtype=torch.complex128)
""",
    "one angle (i1 p + i0) j0 for L": """
def dft_factors(p, q):
    output = torch.arange(q)[:, None] * p + torch.arange(p)
    angle = -2 * math.pi * output.T[..., None].double() * torch.arange(q) / (p * q)
    L = torch.polar(torch.ones_like(angle), angle)
    small = -2 * math.pi * torch.outer(torch.arange(p), torch.arange(p)).double() / p
    return L, torch.polar(torch.ones_like(small), small).repeat(q, 1, 1)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    L, R = answer["dft_factors"](2, 3)
    return [torch.view_as_real(z.to(torch.complex128).contiguous()) for z in (L, R)]


# --------------------------------------------------------------------------------------------------- 3 · M2-BERT looks both ways

WRONG_3 = {
    "lets the second filter run the wrong way": replace("g.flip(-1)", "g"),
    "starts the second filter at the position itself": replace(
        "torch.cat([h, g.flip(-1)], dim=-1)", "F.pad(h, (0, n)) + F.pad(g.flip(-1), (n, 0)).roll(1, -1)"
    ),
    "leaves no room: a transform of length n": """
def two_sided(u, h, g):
    n = u.shape[-1]
    both = h + g.flip(-1)
    return torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(both, n), n)[..., :n]
""",
    "keeps the last n outputs": replace("[..., :n]", "[..., n:]"),
    "hears the past only": replace("torch.cat([h, g.flip(-1)], dim=-1)", "torch.cat([h, 0 * g], dim=-1)"),
    "fills an n × n matrix": """
def two_sided(u, h, g):
    n = u.shape[-1]
    lag = torch.arange(n)[:, None] - torch.arange(n)
    both = torch.cat([h, g.flip(-1)], dim=-1)
    return (both[:, lag % (2 * n)] @ u[..., None])[..., 0]
""",
}
RIGHT_3 = {
    "adds the spectra: the future's is a conjugate": """
def two_sided(u, h, g):
    n = u.shape[-1]
    shifted = torch.cat([torch.zeros_like(g[..., :1]), g], dim=-1)
    both = torch.fft.rfft(torch.cat([torch.nn.functional.pad(h, (0, n + 1)), torch.nn.functional.pad(shifted, (0, n))]), 2 * n + 1)
    past, future = both.chunk(2)
    return torch.fft.irfft(torch.fft.rfft(u, 2 * n + 1) * (past + future.conj()), 2 * n + 1)[..., :n]
""",
    "with complex transforms, longer than needed": """
def two_sided(u, h, g):
    n = u.shape[-1]
    m = 3 * n + 5
    both = torch.zeros(h.shape[0], m, dtype=h.dtype)
    both[:, :n] = h
    both[:, m - n:] = g.flip(-1)
    return torch.fft.ifft(torch.fft.fft(u, m) * torch.fft.fft(both)).real[..., :n]
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    u, h, g = (torch.linspace(-2, 2, 10).mul(m).cos().reshape(2, 5) for m in (1.0, 2.0, 3.0))
    out = answer["two_sided"](u, h, g)
    with answer["Largest"]() as largest:
        answer["two_sided"](torch.ones(1, 128), torch.ones(1, 128), torch.ones(1, 128))
    return [out, float(largest.entries > 128 * 128 / 2)]


# ----------------------------------------------------------------------------------------------- 4 · a basis that keeps its degrees

WRONG_4 = {
    "leaves it as it was": """
def basis(A, C):
    return broken_basis(A, C)
""",
    "repairs the order of the rows only": replace("late[:, None] & ~late", "late"),
    "repairs the half degree only": replace("->tsjk", "->stjk"),
    "keeps the upper triangles": replace("A.tril(), C.tril()", "A.triu(), C.triu()"),
    "drops the late rows of all columns, so that Q has no inverse": replace("late[:, None] & ~late", "late[:, None]"),
    "masks A, but not C": replace("A.tril(), C.tril()", "A.tril(), C"),
}
RIGHT_4 = {
    "column by column": """
def basis(A, C):
    b = len(A)
    Q = torch.zeros(b * b, b * b, dtype=A.dtype)
    for j in range(b * b):
        j1, j0 = divmod(j, b)
        low, high = A[:, j0].clone(), C[j0, :, j1].clone()
        low[:j0] = 0
        high[:j1] = 0
        if j1 < b // 2:
            high[b // 2:] = 0
        Q[:, j] = torch.outer(high, low).flatten()
    return Q
""",
    "masks the finished matrix": """
def basis(A, C):
    b = len(A)
    e = torch.arange(b * b)
    t, s, j1, j0 = e[:, None] // b, e[:, None] % b, e // b, e % b
    keep = (s >= j0) & (t >= j1) & ((j1 >= b // 2) | (t < b // 2))
    return A[s, j0] * C[j0, t, j1] * keep
""",
}


def PROBE_4(answer):
    torch = answer["torch"]
    return answer["basis"](torch.linspace(1, 2, 16).reshape(4, 4), torch.linspace(2, 4, 64).reshape(4, 4, 4))


# ------------------------------------------------------------------------------------------------------- 5 · is this mixer causal?

WRONG_5 = {
    "accepts everything": """
def passes(mixer):
    return True
""",
    "changes the last position only, and looks at its neighbour": """
def passes(mixer):
    x = torch.randn(2, 8, 4)
    z = x.clone()
    z[:, -1] += 1
    return torch.allclose(mixer(z)[:, -2], mixer(x)[:, -2], atol=1e-3)
""",
    "asks for equal bits, and forgets the other sequences": """
def passes(mixer):
    x = torch.randn(3, 16, 4)
    z = x.clone()
    z[:, 8:] = torch.randn(3, 8, 4)
    return torch.equal(mixer(z)[:, :8], mixer(x)[:, :8])
""",
}
RIGHT_5 = {
    "two lengths and large inputs": """
def passes(mixer):
    for n in (2, 13):
        x = torch.randn(2, n, 4)
        y = mixer(x)
        top = float(y.abs().max())
        for cut in range(1, n, max(1, n // 5)):
            for size in (1, 60):
                z = torch.cat([x[:, :cut], size * torch.randn(2, n - cut, 4)], dim=1)
                if not torch.allclose(mixer(z)[:, :cut] / top, y[:, :cut] / top, rtol=0, atol=2e-5 * size):
                    return False
        if not torch.allclose(mixer(x[1:]) / top, y[1:] / top, rtol=0, atol=2e-5):
            return False
    return True
""",
    "in double precision": """
def passes(mixer):
    x = torch.randn(4, 11, 4).double()
    torch.set_default_dtype(torch.float64)
    try:
        y, top = mixer(x), None
        top = float(y.abs().max())
        for cut in (1, 3, 6, 10):
            for size in (1.0, 80.0):
                z = x.clone()
                z[:, cut:] = size * torch.randn(4, 11 - cut, 4)
                if float((mixer(z) - y)[:, :cut].abs().max()) > 1e-5 * size * top:
                    return False
        return float((mixer(x[:1]) - y[:1]).abs().max()) <= 1e-5 * top
    finally:
        torch.set_default_dtype(torch.float32)
""",
}


def PROBE_5(answer):
    torch = answer["torch"]
    torch.manual_seed(0)
    conv = answer["long_convolution"]
    mixers = [
        conv,
        lambda x: x,
        lambda x: conv(x, length=lambda n: n),
        lambda x: x.flip(1).cumsum(1).flip(1),
        lambda x: x - x.mean(0),
        lambda x: conv(x) + (x.abs() > 30).any(1, keepdim=True),
    ]
    return [float(answer["passes"](mixer)) for mixer in mixers]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def monarch_rect(x, L, R):
    def P(x):
        b = math.isqrt(x.shape[-1])
        return x.unflatten(-1, (b, b)).mT.flatten(-2)

    def blocks(W, x):
        return torch.einsum("aij,...aj->...ai", W, x.unflatten(-1, (len(W), -1))).flatten(-2)

    return P(blocks(L, P(blocks(R, P(x)))))
""",
    2: """
def dft_factors(p, q):
    def turns(b, m):
        index = torch.arange(b, dtype=torch.float64)
        return torch.exp(-2j * math.pi * torch.outer(index, index) / m)

    small, twiddle = turns(p, p), turns(p, p * q)
    return twiddle[:, None, :] * small, small.expand(q, p, p)
""",
    3: """
def two_sided(u, h, g):
    n = u.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(u, 2 * n) * torch.fft.rfft(h, 2 * n), 2 * n)[..., :n]
""",
    4: """
def basis(A, C):
    b = len(A)
    eye = torch.eye(b * b, dtype=A.dtype).unflatten(-1, (b, b))
    late = torch.arange(b) >= b // 2
    A, C = A.tril(), C.tril().masked_fill(late[:, None] & ~late, 0)
    return (torch.einsum("jti,...ij->...tj", C, eye) @ A.T).flatten(-2).T
""",
    5: """
def passes(mixer):
    x = torch.randn(2, 20, 4)
    later = x + 5.0 * (torch.arange(20) >= 12)[:, None]
    return torch.allclose(mixer(later)[:, :12], mixer(x)[:, :12], atol=1e-5)
""",
}

"""Known answers to the exercise of lesson 02."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------ 1 · masking, exactly

WRONG_1 = {
    "chooses special tokens too": replace("ordinary = ids >= SPECIALS", "ordinary = ids >= 0"),
    "draws each token on its own, so that counts vary": replace(
        "chosen = ordinary & (rank < k[:, None])", "chosen = ordinary & (torch.rand(ids.shape, generator=generator) < rate)"
    ),
    "takes a share of the row's length, not of its ordinary tokens": replace(
        "for n in ordinary.sum(1)]", "for n in torch.full((len(ids),), ids.shape[1])]"
    ),
    "draws the fate once for a row": replace(
        "how = torch.rand(ids.shape, generator=generator)", "how = torch.rand(len(ids), 1, generator=generator)"
    ),
    "gives no loss to those that stay": replace(
        "return inputs, torch.where(chosen, ids, -100)", "return inputs, torch.where(inputs != ids, ids, -100)"
    ),
    "draws random tokens from all ids": replace("torch.randint(SPECIALS, V,", "torch.randint(0, V,"),
    "masks all that is chosen": replace("how < 0.8", "how < 2"),
}
RIGHT_1 = {
    "row by row with randperm": """
def corrupt(ids, rate, generator):
    inputs, labels = ids.clone(), torch.full_like(ids, -100)
    for b in range(len(ids)):
        allowed = (ids[b] >= SPECIALS).nonzero()[:, 0]
        if len(allowed) == 0:
            continue
        picked = allowed[torch.randperm(len(allowed), generator=generator)[: max(1, round(rate * len(allowed)))]]
        for t in picked.tolist():
            labels[b, t] = ids[b, t]
            u = float(torch.rand(1, generator=generator))
            if u < 0.8:
                inputs[b, t] = MASK
            elif u < 0.9:
                inputs[b, t] = int(torch.randint(SPECIALS, V, (1,), generator=generator))
    return inputs, labels
""",
    "by a threshold on sorted keys": """
def corrupt(ids, rate, generator):
    keys = torch.where(ids >= SPECIALS, torch.rand(ids.shape, generator=generator, dtype=torch.float64), 2.0)
    n = (ids >= SPECIALS).sum(1)
    k = torch.tensor([min(int(m), max(1, round(rate * int(m)))) for m in n])
    ordered = F.pad(keys.sort(1).values, (1, 0), value=-1.0)
    chosen = keys <= ordered.gather(1, k[:, None])
    fate = torch.rand(ids.shape, generator=generator)
    inputs = ids.clone()
    inputs[chosen & (fate < 0.8)] = MASK
    swap = chosen & (fate >= 0.8) & (fate < 0.9)
    inputs[swap] = torch.randint(SPECIALS, V, (int(swap.sum()),), generator=generator)
    return inputs, ids.masked_fill(~chosen, -100)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    ids = torch.arange(12, 60).repeat(50, 1)
    inputs, labels = answer["corrupt"](ids, 0.5, torch.Generator().manual_seed(0))
    chosen, hidden = labels != -100, inputs == answer["MASK"]
    share = lambda x: round(float(x.float().mean()), 1)  # noqa: E731
    return [
        float((chosen & (ids < 24)).any()),
        float(chosen.sum(1).min()),
        float(chosen.sum(1).max()),
        share((inputs == ids)[chosen]),
        float(((inputs < 24) & chosen & ~hidden).any()),
        float(((hidden & chosen).sum(1) == 0).any()),
    ]


# ------------------------------------------------------------------------------------------- 2 · between the last state and the mean

WRONG_2 = {
    "numbers positions, not real tokens": replace("real.long().cumsum(1) * real", "torch.arange(1, real.shape[1] + 1) * real"),
    "lets padding in": replace("real.long().cumsum(1) * real", "real.long().cumsum(1)"),
    "counts from zero": """
def rising_mean(h, real):
    r = ((real.long().cumsum(1) - 1) * real).to(h.dtype)
    weights = r / r.sum(1, keepdim=True).clamp(min=1e-9)
    return (h * weights[..., None]).sum(1)
""",
    "takes the plain mean": replace("r = (real.long().cumsum(1) * real).to(h.dtype)", "r = real.to(h.dtype)"),
    "weights early states most": """
def rising_mean(h, real):
    r = (real.long().flip(1).cumsum(1).flip(1) * real).to(h.dtype)
    return (h * (r / r.sum(1, keepdim=True))[..., None]).sum(1)
""",
}
RIGHT_2 = {
    "row by row": """
def rising_mean(h, real):
    rows = []
    for states, there in zip(h, real):
        kept = states[there]
        r = torch.arange(1, len(kept) + 1, dtype=h.dtype)
        rows.append((r @ kept) / r.sum())
    return torch.stack(rows)
""",
    "by einsum": """
def rising_mean(h, real):
    r = torch.cumsum(real.float(), dim=1).masked_fill(~real, 0)
    return torch.einsum("btd,bt->bd", h, r) / r.sum(1)[:, None]
""",
    "as a mean of the means of all endings": """
def rising_mean(h, real):
    out = []
    for states, there in zip(h, real):
        kept = states[there]
        n = len(kept)
        endings = sum(kept[i:].sum(0) for i in range(n))
        out.append(endings / (n * (n + 1) / 2))
    return torch.stack(out)
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    h = torch.linspace(-2, 2, 40).sin().reshape(2, 5, 4) + torch.arange(5)[:, None]
    real = torch.tensor([[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]).bool()
    return answer["rising_mean"](h, real)


# ---------------------------------------------------------------------------------------------------------- 3 · an encoder that writes

WRONG_3 = {
    "reads the last mask": replace("[:, -masks]", "[:, -1]"),
    "lets special tokens be written": replace(
        "logits[:, SPECIALS:].argmax(dim=1, keepdim=True) + SPECIALS", "logits.argmax(dim=1, keepdim=True)"
    ),
    "forgets to move the id back": replace(" + SPECIALS", ""),
    "leaves the masks in the text": """
def continue_text(model, tokens, n, masks):
    for _ in range(n):
        tokens = torch.cat([tokens, torch.full((len(tokens), masks), MASK)], dim=1)
        logits = model(tokens)[:, -masks]
        tokens = torch.cat([tokens, logits[:, SPECIALS:].argmax(dim=1, keepdim=True) + SPECIALS], dim=1)
    return tokens
""",
    "fills all masks in one pass": """
def continue_text(model, tokens, n, masks):
    end = torch.full((len(tokens), max(n, 1)), MASK)
    logits = model(torch.cat([tokens, end], dim=1))[:, tokens.shape[1] :][:, :n]
    return torch.cat([tokens, logits[..., SPECIALS:].argmax(dim=-1) + SPECIALS], dim=1)
""",
    "reads the last word instead of the mask": replace("[:, -masks]", "[:, -masks - 1]"),
}
RIGHT_3 = {
    "a text of fixed size, filled step by step": """
def continue_text(model, tokens, n, masks):
    B, T = tokens.shape
    room = torch.full((B, T + n + masks), MASK)
    room[:, :T] = tokens
    for t in range(T, T + n):
        scores = model(room[:, : t + masks].clone())[:, t].clone()
        scores[:, :SPECIALS] = float("-inf")
        room[:, t] = scores.argmax(dim=1)
    return room[:, : T + n]
""",
    "row by row": """
def continue_text(model, tokens, n, masks):
    rows = []
    for row in tokens:
        words = row.tolist()
        for _ in range(n):
            p = model(torch.tensor([words + [MASK] * masks]))[0, len(words)]
            words.append(max(range(SPECIALS, len(p)), key=lambda i: float(p[i])))
        rows.append(torch.tensor(words))
    return torch.stack(rows)
""",
}


def PROBE_3(answer):
    torch, toy, out = answer["torch"], answer["toy_encoder"], []
    tokens = torch.arange(30, 42).reshape(3, 4)
    for n, masks, special in ((2, 1, 0.0), (3, 3, 9.0), (2, 2, -1e3)):
        made = answer["continue_text"](lambda x: toy(x, seed=2, special=special), tokens, n, masks)  # noqa: B023
        out += [float(made.shape[1]), made.float()]
    return out


# -------------------------------------------------------------------------------------------- 4 · is this the likelihood of a continuation?

WRONG_4 = {
    "accepts everything": """
def passes(score):
    return True
""",
    "tries one wanted token only": """
def passes(score):
    prompt, wanted = torch.randint(SPECIALS, V, (2, 3)), torch.randint(SPECIALS, V, (2, 1))
    return bool(torch.allclose(score(toy_encoder, prompt, wanted), by_loop(toy_encoder, prompt, wanted), atol=1e-4))
""",
    "compares sums": """
def passes(score):
    prompt, wanted = torch.randint(SPECIALS, V, (2, 3)), torch.randint(SPECIALS, V, (2, 4))
    got = score(toy_encoder, prompt, wanted)
    return bool(abs(float(got.sum()) - float(by_loop(toy_encoder, prompt, wanted).sum())) < 1e-3)
""",
    "asks for equal bits": """
def passes(score):
    for n in (1, 5):
        prompt, wanted = torch.randint(SPECIALS, V, (3, 4)), torch.randint(SPECIALS, V, (3, n))
        if not torch.equal(score(toy_encoder, prompt, wanted), by_loop(toy_encoder, prompt, wanted)):
            return False
    return True
""",
}
RIGHT_4 = {
    "token by token, in words": """
def passes(score):
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        model = lambda x: toy_encoder(x, seed=seed)
        prompt = torch.randint(SPECIALS, V, (2, seed + 1), generator=generator)
        wanted = torch.randint(SPECIALS, V, (2, 4), generator=generator)
        got = score(model, prompt, wanted)
        if tuple(got.shape) != (2, 4):
            return False
        for b in range(2):
            for t in range(4):
                text = prompt[b].tolist() + wanted[b, :t].tolist() + [MASK]
                p = model(torch.tensor([text]))[0, -1].softmax(0)
                if abs(float(p[wanted[b, t]].log()) - float(got[b, t])) > 1e-3:
                    return False
    return True
""",
    "by the given one, many sizes": """
def passes(score):
    sizes = [(1, 1, 1), (2, 5, 3), (3, 2, 6), (5, 4, 2)]
    for B, s, n in sizes:
        x, y = torch.randint(SPECIALS, V, (B, s)), torch.randint(SPECIALS, V, (B, n))
        a, b = score(toy_encoder, x, y), by_loop(toy_encoder, x, y)
        if a.shape != b.shape or float((a - b).abs().max()) > 1e-3:
            return False
    return True
""",
}


def PROBE_4(answer):
    torch, by_loop = answer["torch"], answer["by_loop"]
    torch.manual_seed(0)

    def at_once(model, prompt, wanted):
        logits = model(torch.cat([prompt, torch.full_like(wanted, answer["MASK"])], dim=1))[:, prompt.shape[1] :]
        return logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]

    functions = [
        by_loop,
        lambda m, p, w: by_loop(m, p, w) + 1e-6,
        at_once,
        lambda m, p, w: by_loop(m, p, w).flip(1),
        lambda m, p, w: by_loop(m, p, w) + 1,
        lambda m, p, w: by_loop(m, p[:, -1:], w),
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def corrupt(y, rate, generator):
    u, how = torch.rand(y.shape, generator=generator), torch.rand(y.shape, generator=generator)
    chosen = u < rate
    chosen[:, 0] |= ~chosen.any(dim=1)
    word = torch.randint(SPECIALS, V, y.shape, generator=generator)
    inputs = torch.where(chosen & (how < 0.8), MASK, y)
    return torch.where(chosen & (how >= 0.9), word, inputs), y.masked_fill(~chosen, -100)
""",
    2: """
def rising_mean(h, real):
    return (h * real[..., None]).sum(1) / real.sum(1, keepdim=True)
""",
    3: """
def continue_text(model, prompt, n, masks):
    end = torch.full((len(prompt), masks), MASK)
    text = prompt
    for t in range(n):
        x = torch.cat([text, end], dim=1)
        text = torch.cat([text, model(x)[:, -masks].log_softmax(dim=-1).argmax(dim=-1, keepdim=True)], dim=1)
    return text
""",
    4: """
def passes(score):
    prompt, wanted = torch.randint(SPECIALS, V, (4, 7)), torch.randint(SPECIALS, V, (4, 5))
    every = torch.arange(V)[:, None]
    first = torch.cat([prompt, torch.full((4, 1), MASK)], dim=1)
    one = score(toy_encoder, prompt, wanted[:, :1])[:, 0].exp()
    if not torch.allclose(one, toy_encoder(first)[:, 7].softmax(-1).gather(1, wanted[:, :1])[:, 0], atol=1e-5):
        return False
    return abs(float(score(toy_encoder, prompt[:1].expand(V, -1), every).exp().sum()) - 1) < 1e-4
""",
}

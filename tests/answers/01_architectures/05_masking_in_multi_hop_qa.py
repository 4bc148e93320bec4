"""Known answers to the exercise of lesson 05."""

from course.answers import replace

# -------------------------------------------------------------------------------------------------- 1 · one mask for a padded batch

WRONG_1 = {
    "lets padding see the prompt": replace("(i >= 0) & (j >= 0) & ", "(j >= 0) & "),
    "lets the prompt see padding": replace("(i >= 0) & (j >= 0) & ", "(i >= 0) & "),
    "opens the rows of the prompt: it sees the answer": replace("((i < P) & (j < P))", "(i < P)"),
    "counts the prompt from position 0, as if nothing were padded": replace(
        "torch.arange(T) - (T - prompt - answer)[:, None]", "torch.arange(T).expand(len(prompt), T)"
    ),
    "takes the longest prompt for all": replace("prompt[:, None, None]", "prompt.max()"),
    "leaves padding rows empty": replace("sees | torch.eye(T, dtype=torch.bool)", "sees"),
}
RIGHT_1 = {
    "three loops": """
def batch_mask(T, prompt, answer):
    mask = torch.eye(T, dtype=torch.bool).repeat(len(prompt), 1, 1)
    for b, (P, A) in enumerate(zip(prompt.tolist(), answer.tolist())):
        start = T - P - A
        mask[b, start : start + P, start : start + P] = True
        for i in range(start + P, T):
            mask[b, i, start : i + 1] = True
    return mask
""",
    "columns up to the end of the prompt, or the own one": """
def batch_mask(T, prompt, answer):
    start, end = T - prompt - answer, T - answer
    t = torch.arange(T)
    upto = torch.maximum(t[None], (end - 1)[:, None])
    sees = (t >= start[:, None])[:, None] & (t[None, None] <= upto[:, :, None]) & (t >= start[:, None])[:, :, None]
    return torch.where(torch.eye(T).bool(), True, sees)
""",
}


def PROBE_1(answer):
    torch, out = answer["torch"], []
    for T, prompt, reply in ((6, [3, 2, 0], [2, 1, 4]), (4, [4, 1], [0, 3])):
        out.append(answer["batch_mask"](T, torch.tensor(prompt), torch.tensor(reply)).float())
    return out


# ----------------------------------------------------------------------------------------------------- 2 · documents have lengths

WRONG_2 = {
    "deals the documents sorted by number": replace(
        "zip(sorted(gold, reverse=backward), gold, strict=True)", "zip(sorted(gold, reverse=backward), sorted(gold), strict=True)"
    ),
    "counts the spans in the old order": replace(
        "spans.append((at, at + lengths[j]))", "spans.append((starts[j], starts[j] + lengths[j]))"
    ),
    "takes the lengths of the places, not of the documents": replace(
        "spans.append((at, at + lengths[j]))\n        at += lengths[j]",
        "spans.append((at, at + lengths[len(spans)]))\n        at = spans[-1][1]",
    ),
    "exchanges the two directions": replace("reverse=backward", "reverse=not backward"),
    "moves the gold documents to the end": """
def deal(lengths, gold, backward):
    starts = [sum(lengths[:j]) for j in range(len(lengths))]
    order = [j for j in range(len(lengths)) if j not in gold] + (gold[::-1] if backward else gold)
    tokens = [starts[j] + t for j in order for t in range(lengths[j])]
    spans, at = [], 0
    for j in order:
        spans.append((at, at + lengths[j]))
        at += lengths[j]
    return tokens, spans
""",
}
RIGHT_2 = {
    "pieces of tokens": """
def deal(lengths, gold, backward):
    pieces, at = [], 0
    for length in lengths:
        pieces.append(list(range(at, at + length)))
        at += length
    dealt = iter(gold[::-1] if backward else gold)
    new = [pieces[next(dealt)] if j in gold else piece for j, piece in enumerate(pieces)]
    ends = [sum(map(len, new[: j + 1])) for j in range(len(new))]
    return [t for piece in new for t in piece], [(end - len(piece), end) for piece, end in zip(new, ends)]
""",
    "with tensors": """
def deal(lengths, gold, backward):
    length = torch.tensor(lengths)
    order = torch.arange(len(lengths))
    order[torch.tensor(gold).sort().values] = torch.tensor(gold).flip(0) if backward else torch.tensor(gold)
    start = length.cumsum(0) - length
    ends = length[order].cumsum(0)
    tokens = [t for j in order.tolist() for t in range(int(start[j]), int(start[j]) + lengths[j])]
    return tokens, list(zip((ends - length[order]).tolist(), ends.tolist()))
""",
}


def PROBE_2(answer):
    out = []
    for lengths, gold, backward in (([2, 1, 3, 1], [3, 0], False), ([1, 4, 2, 3, 1], [2, 4, 1], True), ([1, 2, 3, 1], [0, 2], False)):
        tokens, spans = answer["deal"](lengths, gold, backward)
        out += [[float(t) for t in tokens], [float(x) for span in spans for x in span]]
    return [answer["torch"].tensor(x) for x in out]


# ------------------------------------------------------------------------------------------------- 3 · contributions in a real batch

WRONG_3 = {
    "takes the mean over the tokens of a span": replace(
        "(inside * token[:, None]).sum(-1)", "(inside * token[:, None]).sum(-1) / inside.sum(-1).clamp(min=1)"
    ),
    "takes the mean over layers": replace(
        "return (inside * token[:, None]).sum(-1)", "return (inside * token[:, None]).sum(-1) / len(weights)"
    ),
    "sums over the answer rows": replace("rows.float() / rows.sum(1, keepdim=True)", "rows.float()"),
    "divides by all positions": replace("rows.float() / rows.sum(1, keepdim=True)", "rows.float() / rows.shape[1]"),
    "sums over heads": replace(" / layer.shape[1] for", " for"),
    "includes the end of a span": replace("place < spans[..., 1:]", "place <= spans[..., 1:]"),
    "looks at who attends to the answer": replace('"bt,bhts->bs"', '"bt,bhst->bs"'),
    "takes a softmax over the documents": replace(
        "return (inside * token[:, None]).sum(-1)", "return (inside * token[:, None]).sum(-1).softmax(-1)"
    ),
}
RIGHT_3 = {
    "example by example": """
def contribution(weights, spans, rows):
    out = torch.zeros(spans.shape[:2])
    for b in range(len(rows)):
        token = torch.stack([layer[b].mean(0)[rows[b]].mean(0) for layer in weights]).sum(0)
        for j, (start, end) in enumerate(spans[b].tolist()):
            out[b, j] = token[start:end].sum()
    return out
""",
    "by running sums": """
def contribution(weights, spans, rows):
    A = torch.stack(weights).mean(2).sum(0)
    token = torch.where(rows[..., None], A, 0).sum(1) / rows.sum(1)[:, None]
    total = F.pad(token.cumsum(1), (1, 0))
    return total.gather(1, spans[..., 1]) - total.gather(1, spans[..., 0])
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    layers = [torch.linspace(0, 5, 100).sin().abs().reshape(2, 2, 5, 5) + k for k in (0.0, 0.3)]
    rows = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 0, 1]]).bool()
    return [answer["contribution"](layers, torch.tensor([[[0, 2], [2, 3]], [[1, 4], [3, 3]]]), rows)]


# ------------------------------------------------------------------------------------------------- 4 · many hops in few layers

WRONG_4 = {
    "one hop a layer: the question looks, the documents do nothing": replace(
        '[("c", "s", "c")] * (layers - 1)', '[("c", "s", "o")] * (layers - 1)'
    ),
    "only the documents look ahead": replace('[("m", "s", "o")] + [("c", "s", "c")]', '[("o", "s", "o")] + [("c", "s", "c")]'),
    "looks back up the chain": replace('[("c", "s", "c")]', '[("c", "o", "c")]'),
}
RIGHT_4 = {
    "a loop": """
def plan(layers):
    chosen = []
    for depth in range(layers):
        chosen.append(("m", "s", "o") if depth == 0 else ("c", "s", "c"))
    return chosen
""",
    "found by search, two layers at a time": """
def plan(layers):
    found, letters = [], "somc"
    for depth in range(1, layers + 1):
        triples = [(q, k, v) for q in letters for k in letters for v in letters]
        found.append(next(t for t in triples if score(found + [t], 2**depth - 1) == 1))
    return found
""",
}


def PROBE_4(answer):
    out = []
    for layers, hops in ((1, 1), (2, 3), (3, 7), (2, 2), (3, 3)):
        out.append(answer["score"](answer["plan"](layers), hops))
    return out


# --------------------------------------------------------------------------------------------- 5 · is this the distance permutation?

WRONG_5 = {
    "accepts everything": """
def passes(spread):
    return True
""",
    "looks at the gold documents only, two in order": """
def passes(spread):
    order = list(spread(6, [1, 4], 2))
    return order[-1] == 4 and order[2] == 1
""",
    "wants a list, nothing else": """
def passes(spread):
    return spread(6, [4, 1], 1) == by_insertion(6, [4, 1], 1)
""",
}
RIGHT_5 = {
    "by the given one, many inputs": """
def passes(spread):
    generator = torch.Generator().manual_seed(0)
    for n, h, k in [(1, 1, 0), (6, 2, 4), (6, 2, 0), (9, 3, 2), (9, 4, 1), (5, 5, 0), (8, 1, 3), (10, 3, 1)]:
        gold = torch.randperm(n, generator=generator)[:h].tolist()
        given = list(gold)
        if list(spread(n, given, k)) != by_insertion(n, gold, k) or given != gold:
            return False
    return True
""",
    "property by property": """
def passes(spread):
    for n, gold, k in [(7, [5, 2], 1), (9, [8, 0, 4], 2), (9, [0, 4, 8], 3), (10, [3, 9, 1, 0], 1), (6, [5, 0], 0), (4, [0], 2)]:
        copy = gold[:]
        order = [int(x) for x in spread(n, copy, k)]
        if copy != gold or sorted(order) != list(range(n)) or order[-1] != gold[-1]:
            return False
        at = [order.index(g) for g in gold]
        noise = [x for x in order if x not in gold]
        if noise != sorted(noise) or any(b - a != k + 1 for a, b in zip(at, at[1:])):
            return False
    return True
""",
}


def PROBE_5(answer):
    right = answer["by_insertion"]
    functions = [
        right,
        lambda n, gold, k: tuple(right(n, gold, k)),
        lambda n, gold, k: right(n, sorted(gold), k),
        lambda n, gold, k: right(n, gold, 0),
        lambda n, gold, k: right(n, gold[::-1], k),
        lambda n, gold, k: right(n, gold, k)[::-1],
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def batch_mask(T, prompt, answer):
    masks = []
    for P in prompt.tolist():
        mask = torch.full((T, T), -torch.inf).triu(1)
        mask[:P, :P] = 0
        masks.append(mask == 0)
    return torch.stack(masks)
""",
    2: """
def deal(lengths, gold, backward):
    g, N = torch.tensor([gold]), len(lengths)
    places = g.sort(1).values
    index = torch.arange(N).repeat(1, 1).scatter(1, places, g.flip(1) if backward else g)[0].tolist()
    starts = [sum(lengths[:j]) for j in range(N)]
    tokens = [starts[j] + t for j in index for t in range(lengths[j])]
    return tokens, [(starts[j], starts[j] + lengths[j]) for j in range(N)]
""",
    3: """
def contribution(weights, spans, rows):
    spans, rows = [range(*span) for span in spans[0].tolist()], rows[0].nonzero()[:, 0].tolist()
    per_token = torch.stack([layer[:, :, rows].mean(dim=(1, 2)) for layer in weights]).sum(0)
    return torch.stack([per_token[:, list(span)].sum(1) for span in spans], dim=1)
""",
    4: """
def plan(layers):
    return ([("m", "s", "o"), ("c", "s", "o")] + [("c", "s", "o")] * layers)[:layers]
""",
    5: """
def passes(spread):
    for k in range(5):
        order = list(spread(6, [0, 3], k))
        if order.index(0) != 4 - k or order.index(3) != 5:
            return False
    return True
""",
}

"""Known answers to the exercise of lesson 39."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------ 1 · naked pairs

WRONG_1 = {
    "takes the values from the pair's own cells as well": replace("others[[a, b]] = False", "pass"),
    "takes any two cells with the same candidates, however many": replace(" & (cand[:, a].sum(-1) == 2)", ""),
    "takes any two cells with two candidates, the same or not": replace(
        "(cand[:, a] == cand[:, b]).all(-1) & (cand[:, a].sum(-1) == 2)", "(cand[:, a].sum(-1) == 2) & (cand[:, b].sum(-1) == 2)"
    ),
    "removes the values from the whole board": replace("others = unit.clone()", "others = torch.ones_like(unit)"),
    "thins while it looks, so that one pair makes the next": replace("out = cand.clone()", "cand = out = cand.clone()"),
    "changes the candidates that it was given": replace("out = cand.clone()", "out = cand"),
}
RIGHT_1 = {
    "all pairs of cells at once": """
def naked_pairs(cand, U):
    two = cand.sum(-1) == 2
    twins = (cand[:, :, None] == cand[:, None, :]).all(-1) & two[:, :, None] & ~torch.eye(cand.shape[1], dtype=torch.bool)
    gone = torch.zeros_like(cand)
    for unit in U:
        inside = twins & unit[:, None] & unit
        for k in unit.nonzero()[:, 0].tolist():
            rest = inside.clone()
            rest[:, k] = False
            rest[:, :, k] = False
            gone[:, k] |= (rest.any(-1)[..., None] & cand).any(1)
    return cand & ~gone
""",
    "sets in plain Python": """
def naked_pairs(cand, U):
    boards = []
    for board in cand.tolist():
        before = [tuple(v for v, yes in enumerate(cell) if yes) for cell in board]
        after = [set(cell) for cell in before]
        for unit in U.tolist():
            cells = [i for i, yes in enumerate(unit) if yes]
            for i in cells:
                for j in cells:
                    if i < j and before[i] == before[j] and len(before[i]) == 2:
                        for k in cells:
                            if k not in (i, j):
                                after[k] -= set(before[i])
        boards.append([[v in cell for v in range(cand.shape[2])] for cell in after])
    return torch.tensor(boards)
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    cand = torch.rand(60, 16, 4, generator=torch.Generator().manual_seed(5)) < 0.45
    given = cand.clone()
    thinned = answer["naked_pairs"](given, answer["units"](4))
    return [thinned.int(), given.int()]


# ------------------------------------------------------------------------------------------------------ 2 · the repaired loss

WRONG_2 = {
    "leaves it as it was": """
def answer_loss(logits, text, givens):
    return broken_loss(logits, text, givens)
""",
    "mends the mask and still divides by the number of puzzles": replace("/ mask.sum()", "/ len(text)"),
    "mends the divisor and still starts a token late": replace("position + 1 >=", "position >="),
    "moves the mask the wrong way": replace("position + 1 >=", "position - 1 >="),
    "averages each puzzle first, then the puzzles": replace(
        "(nats * mask).sum() / mask.sum()", "((nats * mask).sum(1) / mask.sum(1)).mean()"
    ),
    "divides by all tokens, those of the givens included": replace("/ mask.sum()", "/ mask.numel()"),
}
RIGHT_2 = {
    "marks the givens with ignore_index": """
def answer_loss(logits, text, givens):
    labels = text[:, 1:].clone()
    for b, g in enumerate(givens.tolist()):
        labels[b, : max(0, 3 * g - 1)] = -100
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100)
""",
    "a loop over the puzzles": """
def answer_loss(logits, text, givens):
    costs = []
    for row, tokens, g in zip(logits.log_softmax(-1), text, givens.tolist()):
        first = max(1, 3 * g)
        costs.append(-row[first - 1 :].gather(1, tokens[first:, None])[:, 0])
    return torch.cat(costs).mean()
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    logits = torch.linspace(-2, 3, 3 * 11 * 5).sin().reshape(3, 11, 5) * 3
    text = (torch.arange(36).reshape(3, 12) * 7) % 5
    return answer["answer_loss"](logits, text, torch.tensor([1, 3, 2]))


# ------------------------------------------------------------------------------------------------------- 3 · the weighted beam

WRONG_3 = {
    "lets forbidden tokens through where the weight is 0": replace(
        '.masked_fill(logp == float("-inf"), float("-inf"))', ".nan_to_num(nan=0.0)"
    ),
    "does not mind 0 times infinity": replace('.masked_fill(logp == float("-inf"), float("-inf"))', ""),
    "forgets the weights": replace("a * logp", "logp"),
    "weighs the whole score again at every token": replace("scores[:, None] + gain", "a * scores[:, None] + gain"),
    "keeps the text of the wrong parent": replace("texts[parent]", "texts[: len(flat)] if len(texts) >= len(flat) else texts[parent]"),
    "adds logits instead of log-probabilities": replace("step(texts).log_softmax(-1)", "step(texts)"),
    "returns the best text only": replace("return texts, scores", "return texts[:1], scores[:1]"),
}
RIGHT_3 = {
    "a list of texts, sorted": """
def weighted_beam(step, prompt, width, weights):
    kept = [(0.0, prompt)]
    for a in weights.tolist():
        logp = step(torch.stack([text for _, text in kept])).log_softmax(-1)
        longer = []
        for (score, text), row in zip(kept, logp.tolist()):
            for token, value in enumerate(row):
                if value != float("-inf"):
                    longer.append((score + a * value, torch.cat([text, torch.tensor([token])])))
        kept = sorted(longer, key=lambda pair: -pair[0])[:width]
    return torch.stack([text for _, text in kept]), torch.tensor([score for score, _ in kept])
""",
    "sorts everything and cuts": """
def weighted_beam(step, prompt, width, weights):
    texts, scores = prompt.unsqueeze(0), prompt.new_zeros(1, dtype=torch.float)
    for a in weights:
        logits = step(texts)
        row, token = torch.where(torch.isfinite(logits))
        new = scores[row] + a * torch.log_softmax(logits, 1)[row, token]
        order = torch.argsort(new, descending=True)[:width]
        texts = torch.hstack([texts[row[order]], token[order].unsqueeze(1)])
        scores = new[order]
    return texts, scores
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    table = torch.linspace(-1, 2, 16).mul(5).sin().reshape(4, 4) * 2
    table[1, 3] = table[3, 1] = float("-inf")
    numbers = []
    for weights in ([0.0, 1.0, 0.0, 1.0], [1.0, 0.5, 2.0]):
        texts, scores = answer["weighted_beam"](lambda texts: table[texts[:, -1]], torch.tensor([1]), 3, torch.tensor(weights))
        again = [sum(a * float(table[t[k]].log_softmax(0)[t[k + 1]]) for k, a in enumerate(weights) if a) for t in texts.tolist()]
        numbers += [scores, torch.tensor(again), torch.tensor([float(len(texts))])]
    return numbers


# --------------------------------------------------------------------------------------------------------------- 4 · the check

WRONG_4 = {
    "looks at easy boards only": replace("(4, 5, 6, 7, 8, 16)[seed % 6]", "13"),
    "does not ask whether anything was left": replace("        if lone_singles(board):\n            return False\n", ""),
    "looks up all moves on the first board": """
def passes(solver):
    for seed in range(12):
        board = puzzle(seed, (4, 5, 6, 7, 8, 16)[seed % 6])
        first = lone_singles(board)
        if any(first.get(cell) != value for cell, value in solver(list(board))):
            return False
    return True
""",
    "wants the very moves of the example": """
def passes(solver):
    return all(solver(puzzle(seed, 6)) == one_by_one(puzzle(seed, 6)) for seed in range(12))
""",
    "compares the final boards": """
def passes(solver):
    for seed in range(12):
        start = puzzle(seed, (4, 5, 6, 7, 8, 16)[seed % 6])
        ends = []
        for moves in (solver(list(start)), one_by_one(start)):
            board = list(start)
            for cell, value in moves:
                board[cell] = value
            ends.append(board)
        if ends[0] != ends[1]:
            return False
    return True
""",
}
RIGHT_4 = {
    "recomputes the candidates itself": """
def passes(solver):
    for seed in range(30, 42):
        board = puzzle(seed, 4 + seed % 5)
        for cell, value in solver(board[:]):
            if board[cell] >= 0 or free(board, cell) != {value}:
                return False
            board[cell] = value
        if any(board[i] < 0 and len(free(board, i)) == 1 for i in range(16)):
            return False
    return True
""",
    "collects the verdicts in a list": """
def passes(solver):
    verdicts = []
    for givens in (4, 5, 6, 7, 8):
        for seed in (1, 2, 3):
            board = puzzle(100 * givens + seed, givens)
            for move in solver(list(board)):
                ready = lone_singles(board)
                verdicts.append(move[0] in ready and ready[move[0]] == move[1])
                board[move[0]] = move[1]
            verdicts.append(not lone_singles(board))
    return all(verdicts)
""",
}


def PROBE_4(answer):
    good, lone = answer["one_by_one"], answer["lone_singles"]

    def last_first(board):
        board, moves = list(board), []
        while found := lone(board):
            cell = max(found)
            board[cell] = found[cell]
            moves.append((cell, found[cell]))
        return moves

    def invents(board):
        now, moves = list(board), good(board)
        for cell, value in moves:
            now[cell] = value
        return moves + [(i, 0) for i in range(16) if now[i] == -1]

    solvers = [
        good,
        last_first,
        invents,
        lambda board: [],
        lambda board: list(lone(board).items()),
        lambda board: good(board)[::-1],
        lambda board: good(board)[:-1],
        lambda board: good(board) + good(board)[-1:],
    ]
    return [float(answer["passes"](solver)) for solver in solvers]


# ------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def naked_pairs(cand, U):
    lone = cand & (cand.sum(-1, keepdim=True) == 1)
    U = U.float()
    one_place = (U @ cand.float() == 1).float()
    return lone | cand & (U.T @ one_place > 0)
""",
    2: """
def answer_loss(logits, text, givens):
    g = int(givens[0])
    nats = F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten(), reduction="none").view(len(text), -1)
    return nats[:, 3 * g - 1 :].mean()
""",
    3: """
def weighted_beam(step, prompt, width, weights):
    prompts, length = prompt[None], len(weights)
    texts, scores = prompts[:, None], torch.zeros(len(prompts), 1)
    for _ in range(length):
        logp = step(texts.flatten(0, 1)).log_softmax(-1).unflatten(0, scores.shape)
        total = (scores[..., None] + logp).flatten(1)
        scores, flat = total.topk(min(width, total.shape[1]), dim=1)
        parent, token = flat // logp.shape[-1], flat % logp.shape[-1]
        kept = texts.gather(1, parent[..., None].expand(-1, -1, texts.shape[-1]))
        texts = torch.cat([kept, token[..., None]], dim=-1)
    return texts[0], scores[0]
""",
}

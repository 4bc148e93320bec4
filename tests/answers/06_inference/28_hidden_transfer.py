"""Known answers to the exercise of lesson 28."""

from course.answers import replace

# ---------------------------------------------------------------------------------------------------------- 1 · ancestors in any order

WRONG_1 = {
    "trusts that parents stand before their children": """
def ancestors(parents):
    mask = torch.eye(len(parents), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if parent >= 0:
            mask[i] |= mask[parent]
    return mask, mask.sum(1) - 1
""",
    "forgets the node itself": replace("node = i\n", "node = parents[i]\n"),
    "lets ancestors see their descendants instead": replace("mask[i, node] = True", "mask[node, i] = True"),
    "stops at the direct parent": """
def ancestors(parents):
    mask, depth = torch.eye(len(parents), dtype=torch.bool), torch.zeros(len(parents), dtype=torch.long)
    for i, parent in enumerate(parents):
        if parent != -1:
            mask[i, parent] = True
            depth[i] = 1
    return mask, depth
""",
    "counts the node itself into the depth": replace("mask.sum(1) - 1", "mask.sum(1)"),
}
RIGHT_1 = {
    "by powers of the parent matrix": """
def ancestors(parents):
    n = len(parents)
    step = torch.zeros(n, n)
    for i, parent in enumerate(parents):
        if parent >= 0:
            step[i, parent] = 1
    total, power = torch.eye(n), torch.eye(n)
    for _ in range(n):
        power = power @ step
        total = total + power
    return total > 0, total.sum(1).long() - 1
""",
    "by recursion": """
def ancestors(parents):
    def up(node):
        return [] if node == -1 else [node, *up(parents[node])]

    rows = [up(i) for i in range(len(parents))]
    mask = torch.tensor([[v in row for v in range(len(parents))] for row in rows])
    return mask, torch.tensor([len(row) - 1 for row in rows])
""",
}


def PROBE_1(answer):
    out = []
    for parents in ([-1, 0, 1], [3, -1, 0, 1, 2, -1], [-1, -1]):
        mask, depth = answer["ancestors"](parents)
        out += [mask.float(), depth.float()]
    return out


# ------------------------------------------------------------------------------------------- 2 · a verifier that writes the wrong text

WRONG_2 = {
    "still judges a child by its own logits": replace(
        "int(logits[up].argmax()) == int(tokens[i])", "int(logits[i].argmax()) == int(tokens[i])"
    ),
    "goes down the first twin only": """
def verify(parents, tokens, logits):
    node, written, path = 0, [], [0]
    while True:
        written.append(int(logits[node].argmax()))
        match = [i for i in range(len(parents)) if parents[i] == node and int(tokens[i]) == written[-1]]
        if not match:
            return written, path
        node = match[0]
        path.append(node)
""",
    "keeps the model's last pick for itself": replace(
        "return [int(logits[node].argmax()) for node in path], path", "return [int(tokens[node]) for node in path[1:]], path"
    ),
    "accepts children of rejected nodes": """
def verify(parents, tokens, logits):
    def up(node):
        return [0] if node == 0 else [*up(parents[node]), node]

    good = [0] + [i for i in range(1, len(parents)) if int(logits[parents[i]].argmax()) == int(tokens[i])]
    path = max((up(i) for i in good), key=len)
    return [int(logits[node].argmax()) for node in path], path
""",
}
RIGHT_2 = {
    "level by level": """
def verify(parents, tokens, logits):
    picks, level, paths = logits.argmax(-1).tolist(), [[0]], []
    while level:
        paths = level
        level = [[*w, i] for w in level for i in range(1, len(parents)) if (parents[i], int(tokens[i])) == (w[-1], picks[w[-1]])]
    path = min(paths, key=lambda path: path[-1])
    return [picks[node] for node in path], path
""",
    "by depth-first search": """
def verify(parents, tokens, logits):
    found = []

    def down(node, path):
        found.append(path)
        pick = int(torch.argmax(logits[node]))
        for child in range(node + 1, len(parents)):
            if parents[child] == node and int(tokens[child]) == pick:
                down(child, path + [child])

    down(0, [0])
    longest = max(map(len, found))
    path = min((path for path in found if len(path) == longest), key=lambda path: path[-1])
    return logits[path].argmax(-1).tolist(), path
""",
}


def PROBE_2(answer):
    torch, out = answer["torch"], []
    for parents, tokens, picks in (
        ([-1, 0, 0, 1, 2, 4], [0, 1, 1, 2, 0, 1], [1, 0, 0, 0, 1, 1]),
        ([-1, 0, 1, 2], [0, 1, 2, 0], [1, 2, 0, 1]),
        ([-1, 0, 1], [0, 2, 1], [1, 1, 1]),
    ):
        logits = torch.nn.functional.one_hot(torch.tensor(picks), 3).float()
        written, path = answer["verify"](parents, torch.tensor(tokens), logits)
        out += [float(x) for x in ([*written] + [-1] * 6)[:6] + ([*path] + [-1] * 6)[:6]]
    return out


# --------------------------------------------------------------------------------------------------- 3 · drafts without replacement

WRONG_3 = {
    "leaves the draft in q, as if drawn with replacement": replace(
        "        q = q.clone()\n        q[x] = 0\n        q = q / q.sum() if float(q.sum()) > 0 else q\n",
        "",
    ),
    "takes the draft out of q before p is corrected": """
def rounds(p, q, drafts):
    accept = []
    for x in drafts:
        accept.append(min(1.0, float(p[x] / q[x])))
        q = q.clone()
        q[x] = 0
        q = q / q.sum() if float(q.sum()) > 0 else q
        left = (p - q).clamp(min=0)
        p = left / left.sum() if float(left.sum()) > 0 else p
    return torch.tensor(accept, dtype=p.dtype), p
""",
    "does not renormalise q": replace("q = q / q.sum() if float(q.sum()) > 0 else q", "pass"),
    "does not renormalise p": replace("p = left / left.sum() if float(left.sum()) > 0 else p", "p = left"),
    "turns the ratio round": replace("float(p[x] / q[x])", "float(q[x] / p[x])"),
    "keeps the first p for every draft": """
def rounds(p, q, drafts):
    accept, rest = [], p
    for x in drafts:
        accept.append(min(1.0, float(p[x] / q[x])))
        left = (p - q).clamp(min=0)
        rest = left / left.sum() if float(left.sum()) > 0 else p
        q = q.clone()
        q[x] = 0
        q = q / q.sum() if float(q.sum()) > 0 else q
    return torch.tensor(accept, dtype=p.dtype), rest
""",
}
RIGHT_3 = {
    "with a mask of what is left": """
def rounds(p, q, drafts):
    there, accept = torch.ones_like(q), torch.zeros(len(drafts), dtype=q.dtype)
    for j, x in enumerate(drafts):
        now = q * there / (q * there).sum()
        accept[j] = (p[x] / now[x]).clamp(max=1)
        rest = torch.relu(p - now)
        p = rest / rest.sum() if rest.sum() > 0 else p
        there[x] = 0
    return accept, p
""",
    "by recursion": """
def rounds(p, q, drafts):
    if not drafts:
        return torch.zeros(0, dtype=p.dtype), p
    x = drafts[0]
    rest = torch.maximum(p - q, torch.zeros_like(p))
    then = rest / rest.sum() if float(rest.sum()) > 0 else p
    less = torch.where(torch.arange(len(q)) == x, torch.zeros_like(q), q)
    less = less / less.sum() if float(less.sum()) > 0 else q
    accept, end = rounds(then, less, drafts[1:])
    return torch.cat([torch.minimum(p[x] / q[x], torch.ones_like(p[x]))[None], accept]), end
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    p = torch.tensor([0.35, 0.3, 0.2, 0.15], dtype=torch.float64)
    q = torch.tensor([0.1, 0.5, 0.3, 0.1], dtype=torch.float64)
    out = []
    for drafts in ([1], [1, 2], [2, 1, 0]):
        accept, rest = answer["rounds"](p, q, drafts)
        out += [accept, rest]
    return out


# --------------------------------------------------------------------------------------------------- 4 · the best tree on a budget

WRONG_4 = {
    "takes the best Cartesian tree": """
def tree():
    return [(a,) for a in range(4)] + [(a, 0) for a in range(4)] + [(a, 0, 0) for a in range(4)]
""",
    "takes the 12 likeliest paths of full length and no parents": replace("for k in (1, 2, 3)", "for k in (3,)"),
    "never goes deeper than two": replace("for k in (1, 2, 3)", "for k in (1, 2)"),
    "sorts by the last rank's probability alone": replace("key=chance", "key=lambda path: RIGHT[len(path) - 1][path[-1]]"),
    "takes 13 nodes": replace("[:12]", "[:13]"),
}
RIGHT_4 = {
    "grown greedily": """
def tree():
    chosen, open_ = [], [(rank,) for rank in range(4)]
    while len(chosen) < 12:
        node = max(open_, key=chance)
        open_.remove(node)
        chosen.append(node)
        if len(node) < 3:
            open_ += [(*node, rank) for rank in range(4)]
    return chosen
""",
    "written down": """
def tree():
    return [(0,), (1,), (2,), (3,), (0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (0, 0, 0), (0, 0, 1), (0, 1, 0)]
""",
}


def PROBE_4(answer):
    nodes = [tuple(path) for path in answer["tree"]()]
    return [answer["report"](nodes), float(len(nodes)), float(max(map(len, nodes))), float(sum(len(p) == 1 for p in nodes))]


# ----------------------------------------------------------------------------------------------------------- 5 · who may see whom?

WRONG_5 = {
    "accepts everything": """
def passes(make):
    return True
""",
    "tries a causal text, one step, chains for all": """
def passes(make):
    seen = torch.ones(5, 5).tril().bool()
    return bool(torch.equal(make(seen, 1, torch.arange(5)), by_kron(seen, 1, torch.arange(5))))
""",
    "looks only whether real rows see pseudo rows": """
def passes(make):
    return not bool(make(torch.eye(4).bool(), 2, torch.arange(4))[:4, 4:].any())
""",
    "asks for a contiguous tensor": """
def passes(make):
    seen = torch.eye(5).bool()
    seen[1:, 0] = True
    seen[4, 2] = True
    got = make(seen, 3, torch.tensor([4, 1, 2]))
    return bool(got.is_contiguous() and got.shape == (14, 14) and torch.equal(got, by_kron(seen, 3, torch.tensor([4, 1, 2]))))
""",
}
RIGHT_5 = {
    "by the given one, on a tree": """
def passes(make):
    seen = torch.eye(7).bool()
    for node, parent in enumerate([0, 0, 1, 1, 2, 4], 1):
        seen[node] |= seen[parent]
    for k, chains in ((0, [1]), (2, [6, 0, 3]), (3, [5, 2])):
        got, want = make(seen, k, torch.tensor(chains)), by_kron(seen, k, torch.tensor(chains))
        if got.shape != want.shape or bool((got != want).any()):
            return False
    return True
""",
    "row by row": """
def passes(make):
    seen = torch.rand(6, 6) < 0.5
    seen |= torch.eye(6).bool()
    chains, k = [4, 1], 3
    got = make(seen, k, torch.tensor(chains))
    if tuple(got.shape) != (12, 12):
        return False
    for row in range(12):
        real = row < 6
        source = row if real else chains[(row - 6) % 2]
        step = 0 if real else (row - 6) // 2 + 1
        expected = set(seen[source].nonzero().flatten().tolist())
        expected |= {6 + 2 * b + (row - 6) % 2 for b in range(step)}
        if set(got[row].nonzero().flatten().tolist()) != expected:
            return False
    return True
""",
}


def PROBE_5(answer):
    torch, by_kron = answer["torch"], answer["by_kron"]
    torch.manual_seed(0)

    def own_only(seen, k, chains):
        out = by_kron(seen, k, chains)
        out[len(seen) :, len(seen) :] &= torch.eye(k * len(chains)).bool()
        return out

    def up_to(seen, k, chains):
        out = by_kron(seen, k, chains)
        out[len(seen) :, : len(seen)] = (torch.arange(len(seen)) <= chains[:, None]).repeat(k, 1)
        return out

    functions = [
        by_kron,
        lambda seen, k, chains: by_kron(seen, k, chains).T.contiguous().T,
        lambda seen, k, chains: by_kron(seen, k, torch.arange(len(chains))),
        own_only,
        up_to,
    ]
    return [float(answer["passes"](f)) for f in functions]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def ancestors(parents):
    M = torch.eye(len(parents), dtype=torch.bool)
    for i, parent in enumerate(parents):
        if parent >= 0:
            M[i] |= M[parent]
    return M, M.sum(1) - 1
""",
    2: """
def verify(parents, tokens, logits):
    node, written, path = 0, [], [0]
    while True:
        written.append(int(logits[node].argmax()))
        match = [i for i, parent in enumerate(parents) if parent == node and int(tokens[i]) == written[-1]]
        if not match:
            return written, path
        node = match[0]
        path.append(node)
""",
    3: """
def rounds(p, q, drafts):
    accept = []
    for x in drafts:
        accept.append(min(1.0, float(p[x] / q[x])))
        rest = (p - q).clamp(min=0)
        p = rest / rest.sum() if float(rest.sum()) > 0 else p
    return torch.tensor(accept, dtype=p.dtype), p
""",
    4: """
def tree():
    nodes, level = [], [()]
    for width in (3, 2, 1):
        level = [(*path, rank) for path in level for rank in range(width)]
        nodes += level
    return nodes[:12]
""",
    5: """
def passes(make):
    seen, k, chains = torch.ones(6, 6).tril().bool(), 2, torch.tensor([4, 0, 5])
    c = len(chains)
    step, chain = torch.arange(k).repeat_interleave(c), torch.arange(c).repeat(k)
    own = (chain[:, None] == chain) & (step <= step[:, None])
    real = torch.cat([seen, torch.zeros(len(seen), k * c, dtype=torch.bool)], dim=1)
    want = torch.cat([real, torch.cat([seen[chains].repeat(k, 1), own], dim=1)])
    return bool(torch.equal(make(seen, k, chains), want))
""",
}

"""Known answers to the exercise of lesson 30."""

from course.answers import replace

# --------------------------------------------------------------------------------------------------- 1 · backup when tests are flaky

WRONG_1 = {
    "takes the mean over visits": replace('s["total"] / s["returns"]', 's["total"] / s["visits"]'),
    "exchanges the weights": replace('(1 - w) * s["best"] + w * s["total"]', 'w * s["best"] + (1 - w) * s["total"]'),
    "begins with a best of 0": replace("-math.inf", "0.0"),
    "begins with 0 visits": replace('"visits": 1', '"visits": 0'),
    "leaves the root out": replace("for state in path:\n        s =", "for state in path[1:]:\n        s ="),
}
RIGHT_1 = {
    "all returns kept in a list": """
def backup_mix(stats, path, r, w):
    out = []
    for state in path:
        if state not in stats:
            stats[state] = dict(visits=1, returns=0, total=0.0, best=float("-inf"), q=0.0, seen=[])
        node = stats[state]
        node["seen"].append(r)
        node.update(visits=node["visits"] + 1, returns=len(node["seen"]), total=sum(node["seen"]), best=max(node["seen"]))
        node["q"] = node["best"] + w * (node["total"] / node["returns"] - node["best"])
        out.append(node["q"])
    return out
""",
    "from the leaf up": """
def backup_mix(stats, path, r, w):
    for state in reversed(path):
        old = stats.get(state, {"visits": 1, "returns": 0, "total": 0.0, "best": r, "q": 0.0})
        n, total, best = old["returns"] + 1, old["total"] + r, old["best"] if old["best"] > r else r
        stats[state] = {"visits": old["visits"] + 1, "returns": n, "total": total, "best": best, "q": (1 - w) * best + w * (total / n)}
    return [stats[state]["q"] for state in path]
""",
}


def PROBE_1(answer):
    stats, out = {}, []
    for path, r in (([(), (1,)], -0.5), ([()], 0.8), ([(), (1,), (1, 2)], 0.1), ([(), (2,)], -0.9)):
        answer["backup_mix"](stats, path, r, 0.3)
        out += [stats.get(s, {}).get(key, -7.0) for s in ((), (1,), (1, 2), (2,)) for key in ("q", "visits")]
    return out


# ------------------------------------------------------------------------------------------------------------ 2 · a cache that lies

WRONG_2 = {
    "forgets where the model was asked": replace(" and len(state) >= len(asked)", ""),
    "lets the last token differ": replace("program[: len(state)] == state", "program[: len(state) - 1] == state[:-1]"),
    "finds only the state that was asked": replace("len(state) >= len(asked)", "len(state) == len(asked)"),
    "leaves out the state that was asked": replace(">= len(asked)", "> len(asked)"),
    "looks for the state anywhere inside": """
def lookup(store, state):
    for asked, program in store:
        if len(state) >= len(asked) and any(program[i : i + len(state)] == state for i in range(len(program))):
            return program
    return None
""",
}
RIGHT_2 = {
    "zip and all": """
def lookup(store, state):
    fits = (p for a, p in store if len(a) <= len(state) <= len(p) and all(x == y for x, y in zip(state, p)))
    return next(fits, None)
""",
    "a dictionary of all states on the way": """
def lookup(store, state):
    known = {}
    for asked, program in store:
        for j in range(len(asked), len(program) + 1):
            known.setdefault(program[:j], program)
    return known.get(state)
""",
}


def PROBE_2(answer):
    store = [((1,), (1, 2, 3, 0)), ((1, 3), (1, 3, 2, 2)), ((1, 2, 1), (1, 2, 1, 0)), ((2, 3, 1), (2, 3, 1, 2))]
    states = [(1,), (1, 2), (1, 3), (1, 2, 1), (2, 3), (1, 1), (1, 3, 2), (2, 3, 1), (3, 2), (1, 2, 0)]
    return [float(sum((i + 1) * t for i, t in enumerate(answer["lookup"](store, state) or (9,)))) for state in states]


# --------------------------------------------------------------------------------------------- 3 · only moves that a grammar allows

WRONG_3 = {
    "cuts to the k likeliest before it asks the grammar": replace(
        "sorted(legal, key=lambda token: (-p[token], token))[:k]",
        "[t for t in sorted(range(len(p)), key=lambda t: (-p[t], t))[:k] if t in legal]",
    ),
    "leaves the priors as they are": replace("p[token] / total", "p[token]"),
    "renormalises over all legal tokens": replace("total = sum(p[token] for token in moves)", "total = sum(p[token] for token in legal)"),
    "has √N, as AlphaZero has": replace("math.sqrt(math.log(N))", "math.sqrt(N)"),
    "forgets k": replace("[:k]", ""),
}
RIGHT_3 = {
    "a loop": """
def best_move(p, stats, legal, k, c, c_base, N):
    moves = sorted(sorted(legal), key=lambda t: p[t], reverse=True)[:k]
    mass = sum([p[t] for t in moves])
    best, winner = -float("inf"), None
    for t in moves:
        q, n = stats[t] if t in stats else (0, 0)
        u = q + (math.log(1 + (N + 1) / c_base) + c) * (p[t] / mass) * math.log(N) ** 0.5 / (n + 1)
        if u > best:
            best, winner = u, t
    return winner
""",
    "pairs that are compared": """
def best_move(p, stats, legal, k, c, c_base, N):
    order = sorted((-p[t], t) for t in legal)[:k]
    if not order:
        return None
    mass, explore = -sum(x for x, _ in order), (math.log(N + c_base + 1) - math.log(c_base) + c) * math.sqrt(math.log(N))
    scored = []
    for place, (minus_p, t) in enumerate(order):
        q, n = stats.get(t, (0.0, 0))
        scored.append((q + explore * -minus_p / mass / (1 + n), -place, t))
    return max(scored)[2]
""",
}


def PROBE_3(answer):
    out = []
    for i in range(40):
        p = [0.5, 0.2, 0.15, 0.1, 0.05][i % 5 :] + [0.5, 0.2, 0.15, 0.1, 0.05][: i % 5]
        stats = {0: (0.1 * (i % 7), i % 4), 2: (0.05 * (i % 9), i % 6 + 1), 3: (0.3, 3)}
        legal = {t for t in range(5) if (i * (t + 3)) % 4}
        got = answer["best_move"](p, stats, legal, 2, 0.5, 10, 2 + i)
        out.append(-1.0 if got is None else float(got))
    return out


# ------------------------------------------------------------------------------------------- 4 · believe the model, or the tests?

WRONG_4 = {
    "a large c is not quick": replace("1.0, 3", "100.0, 3"),
    "c = 10 is not stubborn enough": replace("300.0, 3", "10.0, 3"),
    "stubborn by hiding a move": replace("300.0, 3", "300.0, 2"),
    "k = 3 hides nothing": replace("4.0, 2", "4.0, 3"),
}
RIGHT_4 = {
    "a timid and a deaf search": """
def quick():
    return 0.2, 3


def stubborn():
    return 1000, 3


def blind():
    return 1, 1
""",
    "other numbers": """
def quick():
    return [2, 3]


def stubborn():
    return [600.0, 3]


def blind():
    return [9.5, 2]
""",
}


def PROBE_4(answer):
    goal, p = (1, 2, 1, 2, 1), [0.6, 0.3, 0.1]
    return [float(answer["search"](p, goal, *answer[name]())) for name in ("quick", "stubborn", "blind")] + [float(answer["stubborn"]()[1])]


# ------------------------------------------------------------------------------------------------------------- 5 · is this P-UCB?

WRONG_5 = {
    "accepts everything": """
def passes(rule):
    return True
""",
    "asks only at the first visit": """
def passes(rule):
    return abs(rule(0.3, 0.5, 0, 1, 4, 10) - 0.3) < 1e-9
""",
    "asks for equal bits": """
def passes(rule):
    return all(rule(0.3, 0.5, n, 50, 1.0, 7.0) == lesson_rule(0.3, 0.5, n, 50, 1.0, 7.0) for n in range(5))
""",
}
RIGHT_5 = {
    "a grid": """
def passes(rule):
    for q in (0.0, 0.7):
        for p in (0.2, 0.9):
            for n in (0, 1, 6):
                for N in (1, 3, 900):
                    for c, base in ((0.1, 4.0), (3.0, 30.0)):
                        if not math.isclose(rule(q, p, n, N, c, base), lesson_rule(q, p, n, N, c, base), rel_tol=1e-6, abs_tol=1e-6):
                            return False
    return True
""",
    "its parts one by one": """
def passes(rule):
    near = lambda a, b: abs(a - b) < 1e-5
    fine = near(rule(0.4, 0.3, 2, 1, 2.0, 9.0), 0.4) and near(rule(0.4, 0.3, 2, 60, 2.0, 9.0) - rule(0.1, 0.3, 2, 60, 2.0, 9.0), 0.3)
    bonus = lambda p, n, N, c, base: rule(0.0, p, n, N, c, base)
    fine = fine and near(bonus(0.6, 3, 60, 2.0, 9.0), bonus(0.3, 1, 60, 2.0, 9.0))
    fine = fine and near(bonus(0.5, 0, 40, 3.0, 9.0) - bonus(0.5, 0, 40, 1.0, 9.0), math.sqrt(math.log(40)))
    fine = fine and near(bonus(1.0, 0, 40, 0.0, 6.0), math.log(47 / 6) * math.sqrt(math.log(40)))
    return bool(fine and near(bonus(1.0, 1, 40, 0.0, 6.0) * 2, bonus(1.0, 0, 40, 0.0, 6.0)))
""",
}


def PROBE_5(answer):
    math, rule = answer["math"], answer["lesson_rule"]
    rules = [
        rule,
        answer["alphazero_rule"],
        lambda *a: rule(*a) + 1e-9,
        lambda q, p, n, N, c, b: rule(0, p, n, N, c, b),
        lambda q, p, n, N, c, b: rule(q, p, n, N, c, 10),
        lambda q, p, n, N, c, b: q + c * p * math.sqrt(math.log(N)) / (1 + n),
    ]
    return [float(answer["passes"](f)) for f in rules]


# ------------------------------------------------------------------------------------------------- what the lesson prints, fitted

PASTED = {
    1: """
def backup_mix(stats, path, r, w):
    for state in path:
        s = stats.setdefault(state, {"visits": 1, "returns": 0, "total": 0.0, "best": 0.0, "q": 0.0})
        s["visits"], s["returns"], s["best"] = s["visits"] + 1, s["returns"] + 1, max(s["best"], r)
        s["q"] = s["best"]
    return [stats[state]["q"] for state in path]
""",
    2: """
def lookup(store, state):
    known = {}
    for asked, program in store:
        for j in range(len(program) + 1):
            known[program[:j]] = program
    return known.get(state)
""",
    3: """
def best_move(p, stats, legal, k, c, c_base, N):
    moves = sorted(range(len(p)), key=lambda t: -p[t])[:k]
    total = sum(p[t] for t in moves)
    beta = math.log((N + c_base + 1) / c_base) + c
    of = lambda t: stats.get(t, (0, 0))
    worth = lambda t: of(t)[0] + beta * p[t] / total * math.sqrt(math.log(N)) / (1 + of(t)[1])
    return max(moves, key=worth)
""",
}

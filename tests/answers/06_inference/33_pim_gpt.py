"""Known answers to the exercise of lesson 33."""

from course.answers import replace

# ------------------------------------------------------------------------------------------------------------ 1 · two banks, one bus

WRONG_1 = {
    "lets two commands share a cycle": replace("        now += 1\n", ""),
    "takes tCCD for the way from WR to PRE instead of 1 + tWR": replace('("WR", "PRE"): 1 + T["tWR"]', '("WR", "PRE"): T["tCCD"]'),
    "forgets that a row stays open for tRAS": replace('("ACT", "PRE"): T["tRAS"]', '("ACT", "PRE"): 1'),
    "applies tCCD within a bank only": replace(
        'if {earlier, name} <= {"MAC", "WR"}:', 'if where == bank and {earlier, name} <= {"MAC", "WR"}:'
    ),
    "does not part the ACTs of different banks": replace('if earlier == name == "ACT" and where != bank:', "if False:"),
    "makes every rule hold across banks": replace("if where == bank:", "if True:"),
}
RIGHT_1 = {
    "keeps the earliest cycle of what may come, bank by bank": """
def bank_schedule(commands, T):
    ready = {(name, bank): 0 for name in ("ACT", "MAC", "WR", "PRE") for bank in (0, 1)}
    clock, out = 0, []

    def hold(name, bank, until):
        ready[name, bank] = max(ready[name, bank], until)

    for name, bank in commands:
        t = max(clock, ready[name, bank])
        if name == "ACT":
            hold("MAC", bank, t + T["tRCD"])
            hold("WR", bank, t + T["tRCD"])
            hold("PRE", bank, t + T["tRAS"])
            hold("ACT", 1 - bank, t + T["tRRD"])
        elif name == "PRE":
            hold("ACT", bank, t + T["tRP"])
        else:
            hold("PRE", bank, t + 1 + (T["tWR"] if name == "WR" else 0))
            for b in (0, 1):
                hold("MAC", b, t + T["tCCD"])
                hold("WR", b, t + T["tCCD"])
        out.append(t)
        clock = t + 1
    return out
""",
    "lets the clock tick": """
def bank_schedule(commands, T):
    def need(a, x, b, y):
        n = 1
        if x == y:
            within = {"ACTMAC": T["tRCD"], "ACTWR": T["tRCD"], "ACTPRE": T["tRAS"], "PREACT": T["tRP"], "WRPRE": 1 + T["tWR"]}
            n = max(n, within.get(a + b, 1))
        elif a + b == "ACTACT":
            n = max(n, T["tRRD"])
        if a in ("MAC", "WR") and b in ("MAC", "WR"):
            n = max(n, T["tCCD"])
        return n

    done, t = [], 0
    for name, bank in commands:
        while not all(t - then >= need(a, x, name, bank) for then, a, x in done):
            t += 1
        done.append((t, name, bank))
    return [t for t, _, _ in done]
""",
}


def PROBE_1(answer):
    timing = {"tRCD": 12, "tRAS": 27, "tRP": 11, "tWR": 19, "tRRD": 5, "tCCD": 3}
    names, banks = ["ACT", "ACT", "MAC", "MAC", "MAC", "WR", "PRE", "PRE", "ACT", "ACT", "WR", "PRE"], (0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0)
    stream = list(zip(names, banks, strict=True))
    short = [("ACT", 0), ("MAC", 0), ("PRE", 0), ("ACT", 1), ("ACT", 0)]
    return [float(t) for t in [*answer["bank_schedule"](stream, timing), *answer["bank_schedule"](short, timing)]]


# ------------------------------------------------------------------------------------------------------------ 2 · aligned rows

WRONG_2 = {
    "rounds the outputs of a bank down": replace("outputs = ceil(N / units)", "outputs = max(1, N // units)"),
    "broadcasts the inputs anew for every output": replace('{"WRGB": sum(per)', '{"WRGB": outputs * sum(per)'),
    "reads an output once, not once a chunk": replace('"RDMAC": rows, ', '"RDMAC": outputs, '),
    "packs the rows after all": replace(
        "macs, rows = outputs * sum(per), outputs * len(per)", "macs = outputs * sum(per)\n    rows = ceil(macs * 16 / values)"
    ),
    "closes a row before the first": replace("12 * (rows - 1)", "12 * rows"),
    "forgets that 16 weights make a column": replace("ceil(min(values, K - k) / 16)", "min(values, K - k)"),
}
RIGHT_2 = {
    "counts command by command": """
def aligned_cost(K, N, units, values):
    n = {"WRGB": 0, "MAC": 0, "ACT": 0, "RDMAC": 0}
    left = K
    while left > 0:
        columns = -(-min(values, left) // 16)
        n["WRGB"] += columns
        for _ in range(0, N, units):
            n["ACT"] += 1
            n["MAC"] += columns
            n["RDMAC"] += 1
        left -= values
    n["cycles"] = n["WRGB"] + n["MAC"] + n["RDMAC"] + 24 * n["ACT"] - 12
    n["hit_rate"] = (n["MAC"] - n["ACT"]) / n["MAC"]
    return n
""",
    "whole chunks and the rest apart": """
def aligned_cost(K, N, units, values):
    whole, rest = divmod(K, values)
    columns = whole * (values // 16) + ceil(rest / 16)
    chunks = whole + (rest > 0)
    slots = -(-N // units)
    rows = slots * chunks
    cycles = columns * (slots + 1) + 25 * rows - 12
    return dict(WRGB=columns, MAC=slots * columns, ACT=rows, RDMAC=rows, cycles=cycles, hit_rate=1 - chunks / columns)
""",
}


def PROBE_2(answer):
    made = []
    for shape in ((1600, 4801, 128, 1024), (100, 70, 16, 32)):
        cost = answer["aligned_cost"](*shape)
        made += [float(cost[name]) for name in ("WRGB", "MAC", "ACT", "RDMAC", "cycles", "hit_rate")]
    return made


# ------------------------------------------------------------------------------------------------------------ 3 · the repaired cache

WRONG_3 = {
    "leaves it as it was": """
def kv_place(kind, token, dim, d, dh):
    return broken_address(kind, token, dim, d, dh)
""",
    "mends the values, but lets a head straddle two rows": """
def kv_place(kind, token, dim, d, dh):
    place = broken_address(kind, token, dim, d, dh)
    return place if kind == "K" else (*place[:4], token % 16)
""",
    "mends the keys, but takes a value's lane from its output": replace("token // 16, token % 16", "token // 16, dim % 16"),
    "stores values like keys": replace('if kind == "K":', 'if kind in ("K", "V"):'),
    "deals tokens over banks first, so that sixteen neighbours share a channel": replace(
        "token % 8, token // 8 % 16, row", "token // 16 % 8, token % 16, row"
    ),
    "counts a token's rows by its width instead of its heads": replace("rows = ceil(d // dh / heads)", "rows = 1"),
}
RIGHT_3 = {
    "divmod throughout": """
def kv_place(kind, token, dim, d, dh):
    if kind == "V":
        slot, unit = divmod(dim, 128)
        column, lane = divmod(token, 16)
        return (*divmod(unit, 16), slot, column, lane)
    head, inner = divmod(dim, dh)
    part, seat = divmod(head, 1024 // dh)
    parts = -(-(d // dh) // (1024 // dh))
    group, bank = divmod(token, 128)
    bank, channel = divmod(bank, 8)
    return (channel, bank, group * parts + part, *divmod(seat * dh + inner, 16))
""",
    "skips the empty end of each row": """
def kv_place(kind, token, dim, d, dh):
    if kind == "K":
        used = 1024 // dh * dh
        rows = ceil(d / used)
        return token % 8, token % 128 // 8, token // 128 * rows + dim // used, dim % used // 16, dim % 16
    return dim % 128 // 16, dim % 16, dim // 128, token // 16, token % 16
""",
}


def PROBE_3(answer):
    places = [answer["kv_place"](kind, t, j, 1536, 96) for kind in "KV" for t, j in ((5, 960), (130, 1535), (300, 1000), (37, 131))]
    return [[float(i) for i in place] for place in places]


# ------------------------------------------------------------------------------------------------------------ 4 · the slowest clock

WRONG_4 = {
    "a clock that is much too slow": "slowest = 0.1\n",
    "the paper's own clock": "slowest = 1.0\n",
    "leaves it open": "slowest = None\n",
}
RIGHT_4 = {
    "steps of two percent from below": """
slowest = 0.15
while slowdown(slowest) > 1.10:
    slowest *= 1.02
""",
    "halves the interval nine times": """
a, b = 0.1, 1.0
for _ in range(9):
    m = (a + b) / 2
    if slowdown(m) > 1.1:
        a = m
    else:
        b = m
slowest = b
""",
}


def PROBE_4(answer):
    return float(answer["slowest"] or 0.0)


# ------------------------------------------------------------------------------------------------------------ 5 · write the check

WRONG_5 = {
    "accepts every layout": "def is_layout(place):\n    return True\n",
    "rejects every layout": "def is_layout(place):\n    return False\n",
    "accepts the paper's layout alone": """
def is_layout(place):
    return all(tuple(place(k, n)) == paper_layout(k, n) for k in range(80) for n in range(40))
""",
    "looks for collisions only": """
def is_layout(place):
    return len({tuple(place(k, n)) for k in range(80) for n in range(40)}) == 3200
""",
    "does not count the rows": replace(" and all(len(rows[b]) == ceil(5 * len(outputs[b]) / 8) for b in outputs)", ""),
    "does not ask whether a column serves two outputs": replace("one_bank and one_output and even", "one_bank and even"),
    "does not ask whether all banks work": replace("one_bank and one_output and even", "one_bank and one_output"),
    "does not look at the lanes": replace(" and lane == k % 16", ""),
}
RIGHT_5 = {
    "bank by bank": """
def is_layout(place):
    seen, held, home = set(), {}, {}
    for n in range(40):
        for k in range(80):
            bank, row, column, lane = place(k, n)
            if lane != k % 16 or not 0 <= column <= 7 or not 0 <= bank <= 15 or row < 0:
                return False
            if home.setdefault(n, bank) != bank or held.setdefault((bank, row, column), (n, k // 16)) != (n, k // 16):
                return False
            seen.add((bank, row, column, lane))
    for bank in range(16):
        own = [n for n in home if home[n] == bank]
        rows = {row for b, row, _ in held if b == bank}
        if len(own) not in (2, 3) or len(rows) > ceil(len(own) * 5 / 8):
            return False
    return len(seen) == 3200
""",
    "with tensors": """
def is_layout(place):
    t = torch.tensor([[list(place(k, n)) for n in range(40)] for k in range(80)])
    bank, row, column, lane = t.unbind(-1)
    if bool((bank < 0).any() | (bank > 15).any() | (row < 0).any() | (column < 0).any() | (column > 7).any()):
        return False
    if not torch.equal(lane, (torch.arange(80) % 16)[:, None].expand(80, 40)) or not bool((bank == bank[:1]).all()):
        return False
    if len(t.reshape(-1, 4).unique(dim=0)) != 3200:
        return False
    block = t[..., :3].reshape(5, 16, 40, 3)
    if not bool((block == block[:, :1]).all()) or len(block[:, 0].reshape(-1, 3).unique(dim=0)) != 200:
        return False
    outputs = torch.bincount(bank[0], minlength=16)
    rows = torch.bincount(t[..., :2].reshape(-1, 2).unique(dim=0)[:, 0], minlength=16)
    return bool(((outputs == 2) | (outputs == 3)).all()) and bool((rows == (5 * outputs + 7) // 8).all())
""",
}


def PROBE_5(answer):
    judge, good = answer["is_layout"], answer["paper_layout"]

    def crossed(k, n):
        if n < 32:
            bank, slot = n // 2, n % 2 if k % 16 < 8 else 1 - n % 2
        else:
            bank, slot = n - 32, 2
        at = slot * 5 + k // 16
        return bank, at // 8, at % 8, k % 16

    def fourteen(k, n):
        at = n // 14 * 5 + k // 16
        return n % 14, at // 8, at % 8, k % 16

    layouts = (
        good,
        lambda k, n: (15 - n % 16, *good(k, n)[1:]),
        lambda k, n: (n % 16, n // 16, k // 16, k % 16),
        lambda k, n: (*good(k, n)[:3], (k + n) % 16),
        lambda k, n: (n % 16, *good(k, n % 32)[1:]),
        crossed,
        fourteen,
    )
    return [float(bool(judge(f))) for f in layouts]


# the lesson's own code, fitted to the signatures
PASTED = {
    1: """
def bank_schedule(commands, T):
    after = {
        "ACT": {"MAC": T["tRCD"], "WR": T["tRCD"], "PRE": T["tRAS"], "ACT": T["tRAS"] + T["tRP"]},
        "PRE": {"ACT": T["tRP"]},
        "MAC": {"MAC": T["tCCD"], "PRE": 1},
        "WR": {"WR": T["tCCD"], "PRE": 1 + T["tWR"]},
    }
    ready, now, times = {}, -1, []
    for command, bank in commands:
        now = max(now + 1, ready.get(command, 0))
        times.append(now)
        for later, delay in after[command].items():
            ready[later] = max(ready.get(later, 0), now + delay)
    return times
""",
    2: """
def aligned_cost(K, N, units, values):
    per = [ceil(min(values, K - k) / 16) for k in range(0, K, values)]
    slots = ceil(N / units)
    macs, reads = slots * sum(per), slots * len(per)
    rows = ceil(macs / (values // 16))
    cycles = sum(per) + rows * (12 + 12) - 12 + macs + reads
    return {"cycles": cycles, "ACT": rows, "MAC": macs, "RDMAC": reads, "WRGB": sum(per), "hit_rate": 1 - rows / macs}
""",
    3: """
def kv_place(kind, token, dim, d, dh):
    if kind == "K":
        heads = 1024 // dh
        rows = ceil(d / dh / heads)
        head, inner = dim // dh, dim % dh
        place = head % heads * dh + inner
        return token % 8, token // 8 % 16, token // 128 * rows + head // heads, place // 16, place % 16
    unit = dim % 128
    row = dim // 128 + token // 1024
    return unit // 16, unit % 16, row, token % 1024 // 16, token % 16
""",
}

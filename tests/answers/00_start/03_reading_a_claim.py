"""Known answers to the exercise of the start lesson *Reading a claim*."""

from course.answers import replace

WRONG_1 = {
    "leaves out the newest windows instead of the oldest": replace("[len(a) % block :]", "[: len(a) // block * block]"),
    "treats every window as independent": replace("d.view(-1, block).mean(dim=1)", "d"),
    "divides by the number of windows, not of blocks": replace("len(means) ** 0.5", "len(d) ** 0.5"),
    "takes every block-th window together": replace("d.view(-1, block).mean(dim=1)", "d.view(block, -1).mean(dim=0)"),
    "adds the errors of two independent samples": """
def paired_interval(a, b, block, t):
    cut = len(a) % block
    x, y = a[cut:].view(-1, block).mean(1), b[cut:].view(-1, block).mean(1)
    half = t * float((x.var() / len(x) + y.var() / len(y)) ** 0.5)
    middle = float(x.mean() - y.mean())
    return middle - half, middle + half
""",
    "uses the deviation of a whole population": replace("means.std()", "means.std(correction=0)"),
}
RIGHT_1 = {
    "a loop over blocks from the end": """
def paired_interval(a, b, block, t):
    means, stop = [], len(a)
    while stop - block >= 0:
        means.append(float((a[stop - block : stop] - b[stop - block : stop]).mean()))
        stop -= block
    m = sum(means) / len(means)
    s = math.sqrt(sum((x - m) ** 2 for x in means) / (len(means) - 1))
    half = t * s / math.sqrt(len(means))
    return m - half, m + half
""",
    "unfold, then the variance": """
def paired_interval(a, b, block, t):
    means = (a - b).flip(0).unfold(0, block, block).mean(-1)
    half = t * (means.var() / means.numel()).sqrt()
    return (means.mean() - half).item(), (means.mean() + half).item()
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    a = torch.tensor([5.0, 1.0, 2.0, 4.0, 8.0, 3.0, 9.0, 2.0, 2.0])
    return torch.tensor(answer["paired_interval"](a, torch.arange(9.0) / 2, 2, 2.0))


WRONG_2 = {
    "is content if one seed is below": replace("max(ratios) < 0.9", "min(ratios) < 0.9"),
    "calls a rise of less than a tenth partly": replace("mean < 1:", "mean <= 1.1:"),
    "calls it contradicted although a seed improved": replace("mean > 1.1 and min(ratios) > 1", "mean > 1.1"),
    "counts the threshold itself as below": replace("max(ratios) < 0.9", "max(ratios) <= 0.9"),
    "compares the average where the words say every seed": replace("max(ratios) < 0.9", "mean < 0.9"),
}
RIGHT_2 = {
    "all and any": """
def judged(ratios):
    mean = sum(ratios) / len(ratios)
    if all(r < 0.9 for r in ratios):
        return "reproduced"
    if mean < 1:
        return "partly"
    return "contradicted" if mean > 1.1 and not any(r <= 1 for r in ratios) else "not at this scale"
""",
    "tensors and a table": """
def judged(ratios):
    r = torch.tensor(ratios, dtype=torch.float64)
    table = [
        ("reproduced", bool((r < 0.9).all())),
        ("partly", float(r.mean()) < 1),
        ("contradicted", float(r.mean()) > 1.1 and bool((r > 1).all())),
        ("not at this scale", True),
    ]
    return next(name for name, holds in table if holds)
""",
}


def PROBE_2(answer):
    names = ["reproduced", "partly", "contradicted", "not at this scale"]
    tries = ([0.5, 0.95], [1.05, 1.08], [0.95, 1.5, 1.4], [0.9, 0.8], [0.2, 0.3, 2.9], [0.7, 0.95])
    return [names.index(answer["judged"](list(r))) for r in tries]


WRONG_3 = {
    "forgets that the mean of n seeds is less noisy": """
def false_win(k, n, threshold):
    below = (1 + math.erf(threshold / math.sqrt(2))) / 2
    return 1 - below**k


def seeds_for(k, threshold, risk):
    n = 1
    while false_win(k, n, threshold) > risk and n < 1000:
        n += 1
    return n
""",
    "adds the chances of the variants": replace("1 - below**k", "k * (1 - below)"),
    "asks that all variants win": replace("1 - below**k", "(1 - below) ** k"),
    "divides the noise by n instead of its root": replace("threshold * math.sqrt(n)", "threshold * n"),
    "never tries a single seed": replace("    n = 1\n", "    n = 2\n"),
}
RIGHT_3 = {
    "torch's normal distribution and a list": """
def false_win(k, n, threshold):
    inside = torch.special.ndtr(torch.tensor(threshold * n**0.5, dtype=torch.float64))
    return float(1 - inside**k)


def seeds_for(k, threshold, risk):
    return next(n for n in range(1, 10_000) if false_win(k, n, threshold) <= risk)
""",
    "by the complement, and by recursion": """
def false_win(k, n, threshold):
    one = 0.5 * math.erfc(threshold * math.sqrt(n / 2))
    return one + (1 - one) * false_win(k - 1, n, threshold) if k else 0.0


def seeds_for(k, threshold, risk, n=1):
    return n if false_win(k, n, threshold) <= risk else seeds_for(k, threshold, risk, n + 1)
""",
}


def PROBE_3(answer):
    chances = [round(answer["false_win"](k, n, 0.4), 5) for k, n in ((1, 1), (3, 2), (5, 9))]
    return [*chances, answer["seeds_for"](1, 0.0, 0.6)]


WRONG_4 = {
    "looks at the new arm's choices only": replace(
        'all(arm["chosen_on"] == "validation" for arm in arms)', 'new["chosen_on"] == "validation"'
    ),
    "compares steps instead of FLOPs": replace(
        'new["steps"] * new["flops_per_step"] <= old["steps"] * old["flops_per_step"]', 'new["steps"] <= old["steps"]'
    ),
    "accepts the best seed as the headline": replace("honest = all(", "honest = True or all("),
    "counts a repeated seed twice": replace('len(set(arm["seeds"])) == len(arm["seeds"]) >= 3', 'len(arm["seeds"]) >= 3'),
    "wants the seeds in the same order": replace('set(new["seeds"]) == set(old["seeds"])', 'new["seeds"] == old["seeds"]'),
    "lets the baseline go untuned": replace('new["rates_tried"] == old["rates_tried"]', 'new["rates_tried"] >= old["rates_tried"]'),
    "is content with one seed": replace(">= 3", ">= 1"),
    "finds a report fair only if the new model wins": replace(
        "honest and equal_cost", 'honest and equal_cost and new["reported"] <= old["reported"]'
    ),
}
RIGHT_4 = {
    "a list of objections": """
def is_fair(report):
    objections = []
    if report["new"]["rates_tried"] != report["old"]["rates_tried"]:
        objections.append("tuning")
    if sorted(report["new"]["seeds"]) != sorted(report["old"]["seeds"]):
        objections.append("seeds")
    for arm in report.values():
        if arm["chosen_on"] != "validation":
            objections.append("peeked")
        if len(arm["seeds"]) < 3 or len(set(arm["seeds"])) < len(arm["seeds"]):
            objections.append("too few")
        if abs(sum(arm["scores"]) - arm["reported"] * len(arm["scores"])) > 1e-6 * len(arm["scores"]):
            objections.append("headline")
    cost = {name: arm["steps"] * arm["flops_per_step"] for name, arm in report.items()}
    if cost["new"] > cost["old"]:
        objections.append("cost")
    return not objections
""",
    "returns at the first objection": """
def is_fair(report):
    a, b = report["new"], report["old"]
    if a["rates_tried"] != b["rates_tried"] or {a["chosen_on"], b["chosen_on"]} != {"validation"}:
        return False
    if set(a["seeds"]) != set(b["seeds"]) or len(set(a["seeds"])) < 3:
        return False
    if len(a["seeds"]) != len(set(a["seeds"])) or len(b["seeds"]) != len(set(b["seeds"])):
        return False
    for arm in (a, b):
        if not math.isclose(arm["reported"], sum(arm["scores"]) / len(arm["scores"]), rel_tol=0, abs_tol=1e-6):
            return False
    return a["flops_per_step"] * a["steps"] <= b["flops_per_step"] * b["steps"]
""",
}


def PROBE_4(answer):
    arm = {"rates_tried": 2, "chosen_on": "validation", "seeds": [4, 5, 6], "scores": [1.0, 2.0, 3.0], "reported": 2.0}
    arm |= {"steps": 10, "flops_per_step": 10}
    repeated, single = {"seeds": [4, 4, 5]}, {"seeds": [4], "scores": [2.0]}
    changes = [
        ({}, {}),
        ({}, {"chosen_on": "test"}),
        ({"steps": 5, "flops_per_step": 30}, {}),
        ({"reported": 1.0}, {}),
        (repeated, repeated),
        ({"seeds": [6, 5, 4]}, {}),
        ({}, {"rates_tried": 1}),
        (single, single),
        ({"scores": [4.0, 4.0, 4.0], "reported": 4.0}, {}),
    ]
    return [int(answer["is_fair"]({"new": arm | new, "old": arm | old})) for new, old in changes]


PASTED = {
    1: """
def paired_interval(a, b, block, t):
    d = a - b
    means = d[: len(d) // block * block].view(-1, block).mean(1)
    half = t * means.std() / len(means) ** 0.5
    return float(means.mean() - half), float(means.mean() + half)
""",
    2: """
def judged(ratios):
    mean = sum(ratios) / len(ratios)
    if max(ratios) <= 0.7:
        return "reproduced"
    if mean <= 0.7:
        return "partly"
    return "contradicted" if mean > 1.1 else "not at this scale"
""",
    3: """
def false_win(k, n, threshold):
    return float(torch.randn(20_000, k, generator=torch.Generator().manual_seed(0)).amax(dim=1).mean())
""",
}

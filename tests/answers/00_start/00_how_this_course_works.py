"""Known answers to the exercise of the start lesson *How this course works*."""

from course.answers import replace

WRONG_1 = {
    "counts a mistake under the class that was answered": replace("(y == c)", "(z.argmax(dim=1) == c)"),
    "counts the right answers": replace("!= y", "== y"),
    "takes the largest score over the images": replace("z.argmax(dim=1) != y", "z.argmax(dim=0)[y % z.shape[1]] != y"),
    "leaves out classes that do not occur": replace("range(z.shape[1])", "range(int(y.max()) + 1)"),
}
RIGHT_1 = {
    "adds up a one-hot table": """
def mistakes_by_class(z, y):
    wrong = (z.argmax(-1) != y).float()
    return wrong @ F.one_hot(y, z.shape[1]).float()
""",
    "a loop over images": """
def mistakes_by_class(z, y):
    count = torch.zeros(z.shape[1], dtype=torch.long)
    for scores, label in zip(z, y):
        if scores.argmax() != label:
            count[label] += 1
    return count
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    z = torch.tensor([[2.0, 1, 0, 0], [0, 3, 1, 0], [5, 0, 1, 0], [0, 1, 2, 0], [9, 1, 0, 0]])
    return answer["mistakes_by_class"](z, torch.tensor([0, 1, 1, 1, 2]))


WRONG_2 = {
    "adds the gradients of all earlier steps": replace("        w.grad = None\n", ""),
    "steps uphill": replace("w -= lr", "w += lr"),
    "sums the squares instead of averaging": replace(".mean()", ".sum()"),
    "lists the loss after each step": """
def descend(X, y, steps, lr):
    w, losses = torch.zeros(X.shape[1]), []
    for _ in range(steps):
        w = w - lr * 2 / len(y) * X.T @ (X @ w - y)
        losses.append(float(((X @ w - y) ** 2).mean()))
    return losses, w
""",
}
RIGHT_2 = {
    "the gradient by hand": """
def descend(X, y, steps, lr):
    w, losses = torch.zeros(X.shape[1]), []
    for _ in range(steps):
        r = X @ w - y
        losses.append(float((r * r).mean()))
        w = w - lr * 2 / len(y) * X.T @ r
    return losses, w
""",
    "torch.autograd.grad keeps no sum": """
def descend(X, y, steps, lr):
    w, losses = torch.zeros(X.shape[1], requires_grad=True), []
    for _ in range(steps):
        loss = ((X @ w - y) ** 2).mean()
        losses.append(loss.item())
        (g,) = torch.autograd.grad(loss, w)
        w = (w - lr * g).detach().requires_grad_()
    return losses, w.detach()
""",
}


def PROBE_2(answer):
    torch = answer["torch"]
    losses, w = answer["descend"](torch.tensor([[1.0, 0.5], [0.0, 2.0], [1.0, -1.0]]), torch.tensor([1.0, 2.0, 3.0]), 3, 0.1)
    return [torch.tensor(losses), w]


WRONG_3 = {
    "looks at the sums of the rows only": """
def is_softmax(f):
    z = torch.randn(4, 3)
    return bool(torch.allclose(f(z).sum(-1), torch.ones(4)))
""",
    "never tries large scores": replace("(0, 1000, -1000)", "(0, 1)"),
    "accepts everything": """
def is_softmax(f):
    return True
""",
    "tries one row only, where both axes look alike to the order of scores": """
def is_softmax(f):
    z = torch.tensor([[0.0, 1.0, -2.0]])
    p = f(z)
    return bool((p > 0).all()) and bool((p.argsort() == z.argsort()).all())
""",
}
RIGHT_3 = {
    "compares with F's own, shifted": """
def is_softmax(f):
    z = torch.linspace(-2, 3, 12).view(3, 4)
    want = (z - torch.logsumexp(z, -1, keepdim=True)).exp()
    return bool((f(z) - want).abs().max() < 1e-4) and bool((f(z + 2000) - want).abs().max() < 1e-3)
""",
    "checks the properties": """
def is_softmax(f):
    z = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 5.0]])
    p, large = f(z), f(z + 1000)
    if not torch.allclose(p.sum(-1), torch.ones(2)) or not torch.isfinite(large).all():
        return False
    ratios = (p[:, 1:] / p[:, :-1]).log()
    return bool(torch.allclose(ratios, z.diff(dim=-1), atol=1e-4)) and bool(torch.allclose(p, large, atol=1e-4))
""",
}


def PROBE_3(answer):
    torch, f = answer["torch"], answer["is_softmax"]
    judged = (
        lambda z: torch.softmax(z, -1),
        lambda z: torch.softmax(z, 0),
        lambda z: z.exp() / z.exp().sum(-1, keepdim=True),
        lambda z: torch.softmax(2 * z, -1),
    )
    return [int(f(g)) for g in judged]


WRONG_4 = {
    "the lesson's rate and width, cut to the budget": """settings = {"width": 64, "lr": 0.01, "steps": 120}""",
    "spends more than the budget": """settings = {"width": 64, "lr": 0.01, "steps": 400}""",
    "a rate that is far too large": replace("0.03", "3.0"),
}
RIGHT_4 = {
    "narrower, a larger rate": """settings = dict(width=32, lr=0.05, steps=250)""",
    "half the width, twice the steps": """settings = dict(width=20, lr=0.03, steps=400)""",
}


def PROBE_4(answer):
    s = answer["settings"]
    return [max(s["width"] * s["steps"] - 8000, 0), max(answer["misread"](**s, seed=5) - 18, 0)]


PASTED = {
    1: """
def mistakes_by_class(z, y):
    return int((z.argmax(dim=1) != y).sum())
""",
    2: """
def descend(X, y, steps, lr):
    w = torch.zeros(X.shape[1], requires_grad=True)
    for _ in range(200):
        ((X @ w - y) ** 2).mean().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    return w.detach()
""",
}

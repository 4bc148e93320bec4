"""Known answers to the exercise of lesson 43."""

from course.answers import replace

# ---------------------------------------------------------------------------------------------------- 1 · the joint loss by sample

WRONG_1 = {
    "forgets the shift: position t is compared with token t": """
def joint(logits, tokens, out, forget, alpha):
    picked = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    n = out.sum(1)
    sample = -(picked * out).sum(1) / n.clamp(min=1)

    def part(rows):
        rows = rows & (n > 0)
        return sample[rows].mean() if rows.any() else sample.new_zeros(())

    return -part(forget) + torch.as_tensor(alpha).detach() * part(~forget)
""",
    "averages over all output tokens of a part, as the lesson does": """
def joint(logits, tokens, out, forget, alpha):
    picked = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    counted = out[:, 1:]

    def part(rows):
        values = picked[rows][counted[rows]]
        return values.mean() if len(values) else picked.new_zeros(())

    return -part(forget) + torch.as_tensor(alpha).detach() * part(~forget)
""",
    "divides every sample by the number of positions": replace("n.clamp(min=1)", "counted.shape[1]"),
    "lets a gradient flow into alpha": replace(".detach()", ""),
    "ascends on the retain part and descends on the forget part": replace(
        "-part(forget) + torch.as_tensor(alpha).detach() * part(~forget)", "part(forget) - torch.as_tensor(alpha).detach() * part(~forget)"
    ),
    "counts samples without outputs as loss 0": replace("rows = rows & (n > 0)", "rows = rows & (n >= 0)"),
}
RIGHT_1 = {
    "a loop over the samples": """
def joint(logits, tokens, out, forget, alpha):
    alpha = float(alpha)
    ascent, descent = [], []
    for b in range(tokens.shape[0]):
        where = [t for t in range(1, tokens.shape[1]) if bool(out[b, t])]
        if not where:
            continue
        loss = 0
        for t in where:
            loss = loss + torch.logsumexp(logits[b, t - 1], dim=0) - logits[b, t - 1, tokens[b, t]]
        (ascent if bool(forget[b]) else descent).append(loss / len(where))
    total = logits.sum() * 0
    if ascent:
        total = total - torch.stack(ascent).mean()
    if descent:
        total = total + alpha * torch.stack(descent).mean()
    return total
""",
    "one weight for every output token": """
def joint(logits, tokens, out, forget, alpha):
    alpha = alpha.item() if isinstance(alpha, torch.Tensor) else alpha
    n = out[:, 1:].sum(1)
    in_forget, in_retain = forget & (n > 0), ~forget & (n > 0)
    weight = alpha * in_retain / max(int(in_retain.sum()), 1) - 1.0 * in_forget / max(int(in_forget.sum()), 1)
    weight = (weight / n.clamp(min=1))[:, None] * out[:, 1:]
    loss = torch.logsumexp(logits, -1)[:, :-1] - torch.gather(logits[:, :-1], 2, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
    return (weight * loss).sum()
""",
}


def PROBE_1(answer):
    torch = answer["torch"]
    logits = torch.linspace(-2, 3, 4 * 5 * 6).reshape(4, 5, 6).sin() * 3
    tokens = torch.arange(20).reshape(4, 5) * 7 % 6
    out = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()
    alpha = torch.tensor(1.5, requires_grad=True)
    value = answer["joint"](logits.requires_grad_(), tokens, out, torch.tensor([True, False, False, True]), 1 * alpha)
    value.backward()
    return [float(value.detach()), 0.0 if alpha.grad is None else 1.0]


# ------------------------------------------------------------------------------------------------------------- 2 · the repaired brake

WRONG_2 = {
    "leaves it as it was": """
def alphas(losses, sizes, per_epoch):
    return broken_alphas(losses, sizes, per_epoch)
""",
    "averages over batches, whatever their size": """
def alphas(losses, sizes, per_epoch):
    first = [loss for loss, size in zip(losses[:per_epoch], sizes) if size]
    out = []
    for step, (loss, size) in enumerate(zip(losses, sizes)):
        if step < per_epoch or not size or not first:
            out.append(1.2)
        else:
            out.append(min(max(0.3 * 6 ** min(loss - sum(first) / len(first), 10) + 0.8, 1.2), 2.8))
    return out
""",
    "keeps the upper end of the released code": replace("1.2), 2.8)", "1.2), 2.3)"),
    "lets the baseline follow the later epochs": """
def alphas(losses, sizes, per_epoch):
    total, seen, out = 0.0, 0, []
    for step, (loss, size) in enumerate(zip(losses, sizes)):
        alpha = 1.2
        if step >= per_epoch and size and seen:
            alpha = min(max(0.3 * 6 ** min(loss - total / seen, 10) + 0.8, 1.2), 2.8)
        total, seen = total + loss * size, seen + size
        out.append(alpha)
    return out
""",
    "clips before adding c": replace(
        "min(max(0.3 * 6 ** min(delta, 10) + 0.8, 1.2), 2.8)", "min(max(0.3 * 6 ** min(delta, 10), 1.2), 2.8) + 0.8"
    ),
    "takes the difference the other way round": replace("delta = loss - total / seen", "delta = total / seen - loss"),
}
RIGHT_2 = {
    "with tensors": """
def alphas(losses, sizes, per_epoch):
    l, s = torch.tensor(losses, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64)
    seen = s[:per_epoch].sum()
    if seen == 0:
        return [1.2] * len(losses)
    baseline = (l * s)[:per_epoch].sum() / seen
    alpha = (0.3 * 6 ** (l - baseline) + 0.8).clamp(1.2, 2.8)
    alpha[:per_epoch] = 1.2
    alpha[s == 0] = 1.2
    return alpha.tolist()
""",
    "the saturation point first": """
import math


def alphas(losses, sizes, per_epoch):
    examples = [loss for loss, size in zip(losses[:per_epoch], sizes) for _ in range(size)]
    out = [1.2] * min(per_epoch, len(losses))
    for loss, size in zip(losses[per_epoch:], sizes[per_epoch:]):
        if not size or not examples:
            out.append(1.2)
            continue
        delta = loss - math.fsum(examples) / len(examples)
        if delta >= math.log(2.0 / 0.3, 6):
            out.append(2.8)
        else:
            out.append(max(1.2, 0.8 + 0.3 * math.exp(delta * math.log(6))))
    return out
""",
}


def PROBE_2(answer):
    return answer["alphas"]([1.0, 0.1, 0.9, 0.45, 1.4, 0.0, 1.1], [1, 3, 2, 5, 4, 0, 1], 2)


# -------------------------------------------------------------------------------------------------------------- 3 · the severed trace

WRONG_3 = {
    "restores the state one block too late": replace(
        'f"stack.blocks.{layer}"\n', 'f"stack.blocks.{min(layer + 1, len(model.stack.blocks) - 1)}"\n'
    ),
    "does not sever: later MLPs run freely": replace(
        "            for site in later:\n                changes.enter_context(splice(model, site, put(ruined[site][:, position])))\n", ""
    ),
    "holds the later MLPs at their clean values": replace(
        '        with splice(model, "embed", corrupt), cache(model, later) as ruined:', "        with cache(model, later) as ruined:"
    ),
    "takes the state from the corrupted run": replace(
        "        with cache(model, [state]) as clean:\n            model(prompts)",
        '        with splice(model, "embed", lambda _, e: e + noise[0]), cache(model, [state]) as clean:\n            model(prompts)',
    ),
    "holds the later MLPs at every position": replace(
        "changes.enter_context(splice(model, site, put(ruined[site][:, position])))",
        "changes.enter_context(splice(model, site, lambda _, output, value=ruined[site]: value))",
    ),
}
RIGHT_3 = {
    "one draw at a time": """
def severed(model, prompts, answers, noise, layer, position):
    later = [f"stack.blocks.{k}.mlp" for k in range(layer + 1, len(model.stack.blocks))]
    total = torch.zeros(len(prompts))
    with torch.no_grad():
        with cache(model, [f"stack.blocks.{layer}"]) as seen:
            model(prompts)
        clean = seen[f"stack.blocks.{layer}"]
        for n in noise:
            with splice(model, "embed", lambda _, e: e + n), cache(model, later) as seen:
                model(prompts)
            held = dict(seen)
            held[f"stack.blocks.{layer}"] = clean

            def swap(site):
                def fn(_, output):
                    mask = torch.zeros(output.shape[1], 1)
                    mask[position] = 1
                    return output * (1 - mask) + held[site] * mask

                return fn

            with ExitStack() as stack:
                stack.enter_context(splice(model, "embed", lambda _, e: e + n))
                for site in held:
                    stack.enter_context(splice(model, site, swap(site)))
                total += model(prompts)[:, -1].softmax(-1)[torch.arange(len(prompts)), answers]
    return total / len(noise)
""",
    "clean and corrupted rows in one batch": """
def severed(model, prompts, answers, noise, layer, position):
    S, B = noise.shape[:2]
    depth = len(model.stack.blocks)
    state, later = f"stack.blocks.{layer}", [f"stack.blocks.{k}.mlp" for k in range(layer + 1, depth)]
    shifts = torch.cat([torch.zeros_like(noise[:1]), noise]).reshape(-1, *noise.shape[2:])
    with torch.no_grad(), splice(model, "embed", lambda _, e: e + shifts):
        with cache(model, [state, *later]) as seen:
            model(prompts.repeat(S + 1, 1))
        kept = dict(seen)

        def change(site):
            def fn(_, output):
                new = output.clone()
                if site == state:
                    new[:, position] = kept[state][:B, position].repeat(S + 1, 1)
                else:
                    new[:, position] = kept[site][:, position]
                return new

            return fn

        with ExitStack() as stack:
            for site in kept:
                stack.enter_context(splice(model, site, change(site)))
            logits = model(prompts.repeat(S + 1, 1))[B:, -1]
    p = torch.softmax(logits, dim=-1).reshape(S, B, -1).mean(0)
    return p[torch.arange(B), answers]
""",
}


def PROBE_3(answer):
    torch = answer["torch"]
    torch.manual_seed(7)
    model = answer["Decoder"](9, 8, 2, 3, 12, positions="rotary", kind="swiglu").eval()
    prompts, answers, noise = torch.randint(9, (2, 4)), torch.randint(9, (2,)), 2 * torch.randn(2, 2, 4, 8)
    return torch.stack([answer["severed"](model, prompts, answers, noise, layer, position) for layer in (0, 1) for position in (1, 3)])


# -------------------------------------------------------------------------------------------------------------------- 4 · the check

WRONG_4 = {
    "tries layers 0 and 2 only, whose numbers stand in no other layer's name": replace(
        '[([0, 1], "mlp"), ([1], "attention"), ([3, 11], "all"), ([0], "mlp"), ([10], "attention")]',
        '[([0, 2], "mlp"), ([2], "all"), ([0], "attention")]',
    ),
    "starts from a model that is all trainable": replace("for start in (True, False)", "for start in (True,)"),
    "counts the trainable parameters of one case": """
def passes(freeze):
    model.requires_grad_(True)
    freeze(model, [0, 1], "mlp")
    return sum(p.numel() for p in model.parameters() if p.requires_grad) == 2 * 3 * 4 * 4
""",
    "looks only at what should be trainable": replace(
        "if any(p.requires_grad != (id(p) in wanted) for p", "if any(id(p) in wanted and not p.requires_grad for p"
    ),
    "insists on a returned list": replace(
        "            freeze(model, layers, kind)\n", "            if not freeze(model, layers, kind):\n                return False\n"
    ),
}
RIGHT_4 = {
    "by names": """
def passes(freeze):
    cases = [({1}, "mlp"), ({0, 2}, "attention"), ({1, 10}, "all"), ({11}, "attention")]
    for before in (0, 1):
        for layers, kind in cases:
            for p in model.parameters():
                p.requires_grad_(bool(before))
            freeze(model, sorted(layers), kind)
            got = {name for name, p in model.named_parameters() if p.requires_grad}
            want = set()
            for k in layers:
                for name, _ in model.stack.blocks[k].named_parameters():
                    if kind == "all" or name.split(".")[0] == kind:
                        want.add(f"stack.blocks.{k}.{name}")
            if got != want:
                return False
    return True
""",
    "by a step of training": """
def passes(freeze):
    for layers, kind in (([1], "mlp"), ([1], "all"), ([0, 11], "attention")):
        for start in (False, True):
            model.requires_grad_(start)
            freeze(model, layers, kind)
            model.zero_grad(set_to_none=True)
            if not any(p.requires_grad for p in model.parameters()):
                return False
            model(torch.randint(9, (2, 3))).square().sum().backward()
            for k, block in enumerate(model.stack.blocks):
                for name, p in block.named_parameters():
                    if (p.grad is not None) != (k in layers and (kind == "all" or name.startswith(kind + "."))):
                        return False
            if model.embed.weight.grad is not None or model.stack.norm.g.grad is not None:
                return False
    return True
""",
}


def PROBE_4(answer):
    def by_rule(rule):
        def freeze(model, layers, kind):
            for name, p in model.named_parameters():
                p.requires_grad_(bool(rule(name, layers, kind)))

        return freeze

    def thaws(model, layers, kind):
        for k in layers:
            (model.stack.blocks[k] if kind == "all" else getattr(model.stack.blocks[k], kind)).requires_grad_(True)

    def freezes(model, layers, kind):
        for name, p in model.named_parameters():
            if not any(name.startswith(f"stack.blocks.{k}." + ("" if kind == "all" else kind)) for k in layers):
                p.requires_grad_(False)

    freezers = [
        answer["freezer"],
        lambda model, layers, kind: (answer["freezer"](model, layers, kind), [1])[1],
        thaws,
        freezes,
        by_rule(lambda name, layers, kind: any(f"blocks.{k}" in name for k in layers) and (kind == "all" or kind in name)),
        by_rule(lambda name, layers, kind: any(name.startswith(f"stack.blocks.{k}.") for k in layers)),
    ]
    return [float(answer["passes"](freeze)) for freeze in freezers]


# ----------------------------------------------------------------------------------------- the lesson's own code, fitted to the tasks

PASTED = {
    1: """
def joint(logits, tokens, out, forget, alpha):
    out, row = out[:, 1:], out[:, 1:].nonzero()[:, 0]
    each = -logits[:, :-1].log_softmax(-1)[out][torch.arange(len(row)), tokens[:, 1:][out]]
    in_forget = forget[row]
    raised = each[in_forget].mean() if in_forget.any() else each.new_zeros(())
    kept = each[~in_forget].mean() if not in_forget.all() else each.new_zeros(())
    return -raised + alpha * kept
""",
    2: """
def alphas(losses, sizes, per_epoch):
    first, out = [], []
    for step, loss in enumerate(losses):
        if step < per_epoch:
            first.append(loss)
            out.append(1.2)
        else:
            out.append(min(max(0.3 * 6.0 ** min(loss - sum(first) / len(first), 50.0) + 0.8, 1.2), 2.8))
    return out
""",
    3: """
def severed(model, prompts, answers, noise, layer, position):
    with torch.no_grad(), cache(model, [f"stack.blocks.{layer}"]) as clean:
        model(prompts)
    draws = len(noise)

    def put(_, output):
        output = output.clone()
        output[:, position] = clean[f"stack.blocks.{layer}"].repeat(draws, 1, 1)[:, position]
        return output

    with torch.no_grad(), ExitStack() as changes:
        changes.enter_context(splice(model, "embed", lambda _, embedded: embedded + noise.flatten(0, 1)))
        changes.enter_context(splice(model, f"stack.blocks.{layer}", put))
        p = model(prompts.repeat(draws, 1))[:, -1].softmax(-1)
    return p.gather(1, answers.repeat(draws)[:, None]).view(draws, -1).mean(0)
""",
}

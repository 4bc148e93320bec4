"""minilib.training: settings and seeds, the schedule, and a loop that is deterministic, survives kills and leaves no trace."""

import math
import os
import signal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from minilib import training
from minilib.training import fit, learning_rate, scale, seeds

STEPS = 12
TARGET = torch.randn(6, generator=torch.Generator().manual_seed(0))


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))


def batch(generator):
    x = torch.randn(8, 6, generator=generator)
    return x, x @ TARGET


def loss(net, pair):
    x, y = pair
    return F.mse_loss(net(x)[:, 0], y)


@torch.no_grad()
def heldout(net):
    return float(loss(net, batch(torch.Generator().manual_seed(99))))


def train(**changes):
    return fit(model(), **{"batch": batch, "loss": loss, "steps": STEPS, "lr": 1e-2, "seed": 3, "warmup": 2} | changes)


def bits(run):
    return [p.clone() for p in run.model.state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ----------------------------------------------------------------------------------------------------------- settings and seeds


def test_scale_reads_the_laptop_unless_the_full_run_is_asked_for(monkeypatch):
    settings = {"laptop": {"steps": 10, "d": 8}, "full": {"steps": 1000}}
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    assert vars(scale(**settings)) == {"steps": 10, "d": 8, "name": "laptop"}
    monkeypatch.setenv("COURSE_SCALE", "full")
    assert vars(scale(**settings)) == {"steps": 1000, "d": 8, "name": "full"}
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge'; it must be 'laptop' or 'full'"):
        scale(**settings)


def test_scale_finds_a_misspelt_setting():
    with pytest.raises(ValueError, match="stepz stands under full= but not under laptop="):
        scale(laptop={"steps": 1}, full={"stepz": 2})


def test_lessons_measure_on_other_seeds_than_the_pilots(monkeypatch):
    monkeypatch.delenv("COURSE_SEED", raising=False)
    assert seeds(3) == [10, 11, 12]
    monkeypatch.setenv("COURSE_SEED", "40")
    assert seeds(2) == [40, 41]


# ----------------------------------------------------------------------------------------------------------------- the schedule


def test_warm_up_rises_in_equal_steps_and_the_cosine_falls_to_zero():
    rates = [learning_rate(step, 110, lr=1.0, warmup=10) for step in range(110)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1.0 and rates[60] == pytest.approx(0.5) and rates[35] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 1e-3
    assert learning_rate(110, 110, lr=1.0, warmup=10) == pytest.approx(0)


def test_other_schedules():
    linear, constant = ([learning_rate(s, 20, lr=2.0, warmup=0, schedule=name) for s in (0, 5, 10)] for name in ("linear", "constant"))
    assert linear == [2.0, 1.5, 1.0] and constant == [2.0, 2.0, 2.0]
    assert learning_rate(3, 4, lr=1.0, warmup=8) == 0.5, "a run may be shorter than its warm-up"


def test_fit_uses_the_rate_of_the_schedule(monkeypatch):
    used = []
    real = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *a: (used.append([g["lr"] for g in self.param_groups]), real(self, *a))[1])
    train()
    assert used == [[learning_rate(s, STEPS, lr=1e-2, warmup=2)] * 2 for s in range(STEPS)]


# ------------------------------------------------------------------------------------------------------------------ the loop


def test_it_learns():
    run = train(steps=150, lr=0.02, evaluate=heldout)
    assert run.evaluations[-1][1] < 0.5 * heldout(model().eval())
    assert len(run.losses) == 150 and run.seconds > 0 and not run.model.training


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    once, again, other = train(), train(), train(seed=4)
    assert once.losses == again.losses and same(bits(once), bits(again))
    assert once.losses != other.losses


def test_an_evaluation_leaves_no_trace():
    def rude(net):
        torch.rand(5)  # draws from the generator that dropout uses
        assert not net.training and not torch.is_grad_enabled()
        return heldout(net)

    with_, without = train(evaluate=rude, every=3), train()
    assert [at for at, _ in with_.evaluations] == [3, 6, 9, 12]
    assert with_.losses == without.losses and same(bits(with_), bits(without))


def test_keep_best_ends_with_the_best_evaluation():
    scores = iter([3.0, 1.0, 2.0, 5.0])
    at = []

    def evaluate(net):
        at.append([p.clone() for p in net.state_dict().values()])
        return next(scores)

    run = train(evaluate=evaluate, every=3, keep_best=True)
    assert same(bits(run), at[1]) and not same(bits(run), at[3])


def test_decay_spares_vectors_and_marked_parameters():
    net = model()
    net[3].weight.no_weight_decay = True
    decayed, spared = training._groups(net, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(net[0].weight)] and decayed["weight_decay"] == 0.1
    assert len(spared["params"]) == 3 and spared["weight_decay"] == 0.0


def test_frozen_parameters_stay():
    net = model()
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    fit(net, batch, loss, steps=3, lr=0.1, seed=0)
    assert torch.equal(net[0].weight, before)


def test_gradients_are_clipped_before_the_step(monkeypatch):
    norms = []
    real = torch.optim.AdamW.step

    def step(self, *a):
        norms.append(float(torch.stack([p.grad.norm() for g in self.param_groups for p in g["params"]]).norm()))
        return real(self, *a)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(clip=0.01)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)
    norms.clear()
    train(clip=None)
    assert max(norms) > 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverging_loss_is_a_sentence(bad):
    with pytest.raises(FloatingPointError, match=rf"^baseline: the loss is {bad} at step 0; try a smaller learning rate than 0.01$"):
        train(loss=lambda net, pair: loss(net, pair) * bad, label="baseline")


# ------------------------------------------------------------------------------------------------------- kills and checkpoints

RESUMABLE = {"evaluate": heldout, "every": 2, "keep_best": True}


def killed(work) -> None:
    """Run ``work`` in a process of its own, which must die by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, "the run came to its end before it was killed"


def until(step: int):
    """A batch function that kills its process when it is asked for the batch of ``step``."""

    def drawn(generator):
        drawn.left -= 1
        if drawn.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch(generator)

    drawn.left = step
    return drawn


@pytest.fixture(scope="module")
def undisturbed():
    return train(**RESUMABLE)


@pytest.mark.parametrize("step", range(STEPS))
def test_a_run_killed_at_any_step_and_resumed_ends_with_the_same_bits(step, tmp_path, undisturbed):
    checkpoint = tmp_path / "run.pt"
    killed(lambda: train(**RESUMABLE, checkpoint=checkpoint, batch=until(step)))
    assert checkpoint.exists() == (step >= 2)
    run = train(**RESUMABLE, checkpoint=checkpoint)
    assert same(bits(run), bits(undisturbed))
    assert run.losses == undisturbed.losses and run.evaluations == undisturbed.evaluations


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path, undisturbed):
    checkpoint = tmp_path / "run.pt"
    for lasts in (3, 3, 3, 3):  # each life does two steps that count and one that is lost
        killed(lambda n=lasts: train(**RESUMABLE, checkpoint=checkpoint, batch=until(n)))
    assert same(bits(train(**RESUMABLE, checkpoint=checkpoint)), bits(undisturbed))


def test_a_run_killed_while_it_writes_keeps_the_checkpoint_before(tmp_path, undisturbed, monkeypatch):
    checkpoint = tmp_path / "run.pt"
    killed(lambda: train(**RESUMABLE, checkpoint=checkpoint, batch=until(5)))
    before = checkpoint.read_bytes()

    def half(state, path):
        path.write_bytes(b"half a file")
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        killed(lambda: train(**RESUMABLE, checkpoint=checkpoint))
    assert checkpoint.read_bytes() == before
    assert same(bits(train(**RESUMABLE, checkpoint=checkpoint)), bits(undisturbed))


def test_a_finished_run_is_read_back_and_not_trained_again(tmp_path, undisturbed):
    checkpoint = tmp_path / "run.pt"
    train(**RESUMABLE, checkpoint=checkpoint)
    run = train(**RESUMABLE, checkpoint=checkpoint, batch=until(0))
    assert same(bits(run), bits(undisturbed)) and run.losses == undisturbed.losses


@pytest.mark.parametrize("changed", [{"seed": 4}, {"steps": 20}, {"lr": 0.5}])
def test_the_checkpoint_of_another_run_is_refused(changed, tmp_path):
    train(**RESUMABLE, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=next(iter(changed))):
        train(**RESUMABLE, checkpoint=tmp_path / "run.pt", **changed)

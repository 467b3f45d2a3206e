"""Optimizers, schedulers and modules of one's own that keep state in unusual places: rolled back, and resumed."""

import pytest
import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from infogan_lib import Checkpoints, Optimizers
from resume_toys import StopsAt, all_equal, fit, trainer
from toys import make_trainer

STEPS = 4


class Descent(Optimizer):
    """Gradient descent by a rate that its subclasses keep a count of steps for."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, group)

    def update(self, p, grad, group):
        p.sub_(group["lr"] * grad)


class KeepsLists(Descent):
    def update(self, p, grad, group):
        past = self.state[p].setdefault("past", [])
        past.append(grad.double())
        p.sub_(group["lr"] * sum(past))
        past[0].mul_(0.5)


class KeepsNames(Descent):
    def step(self, closure=None):
        self.state.setdefault("all", {"steps": 0})["steps"] += 1
        super().step()

    def update(self, p, grad, group):
        p.sub_(group["lr"] / self.state["all"]["steps"] * grad)


class KeepsNumbers(KeepsNames):
    def step(self, closure=None):
        self.state["steps"] = self.state.get("steps", 0) + 1
        super().step()


class KeepsGroupLists(Descent):
    def update(self, p, grad, group):
        group.setdefault("past", []).append(1)
        p.sub_(group["lr"] / len(group["past"]) * grad)


class MovesWeights(Descent):
    def update(self, p, grad, group):
        p.data = p.data - group["lr"] * grad


class Wraps(Optimizer):
    """Another optimizer, and weights that follow, all in attributes and in a `state_dict` of its own."""

    def __init__(self, params):
        self.base, self.slow = Adam(params, 1e-3), []
        super().__init__(params, dict(self.base.defaults))
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def step(self, closure=None):
        self.base.step()
        params = [p for group in self.param_groups for p in group["params"]]
        self.slow = self.slow or [p.clone() for p in params]
        for p, slow in zip(params, self.slow, strict=True):
            p.copy_(slow.lerp_(p, 0.5))

    def state_dict(self):
        return self.base.state_dict() | {"slow": self.slow}

    def load_state_dict(self, state):
        self.slow = list(state["slow"])
        self.base.load_state_dict({name: state[name] for name in ("state", "param_groups")})
        self.param_groups = self.base.param_groups


class Slows(LRScheduler):
    def __init__(self, optimizer):
        self.past = []
        super().__init__(optimizer)

    def get_lr(self):
        self.past.append(1)
        return [group["initial_lr"] / len(self.past) for group in self.optimizer.param_groups]


class CountsForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += self.training
        return x * (1 + 0.01 * self.count)

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


class MovesBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count.data = self.count.data + 1
        return x * (1 + 0.01 * self.count)


def with_optimizer(kind):
    return lambda: trainer(optimizers=Optimizers(g=kind, d=kind, q=kind))


def with_module(kind):
    def make():
        t = trainer()
        t.model.discriminator.insert(4, kind())
        return make_trainer(t.model.generator, t.model.discriminator, t.model.latent, device="cpu")

    return make


OPTIMIZERS = [KeepsLists, KeepsNames, KeepsNumbers, KeepsGroupLists, MovesWeights, Wraps]
PARTS = {kind.__name__: with_optimizer(kind) for kind in OPTIMIZERS}
PARTS |= {kind.__name__: with_module(kind) for kind in (CountsForward, MovesBuffer)}
PARTS["Slows"] = lambda: trainer(optimizers=Optimizers(scheduler=Slows))


def same(a, b):
    weights = all_equal([*a.model.parameters()], [*b.model.parameters()])
    return weights and a.history["loss/g"].tolist() == b.history["loss/g"].tolist()


def fails_once_after(number):
    calls = iter(range(number))

    def hook(*call):
        if next(calls, None) == number - 1:
            raise KeyError("failed")

    return hook


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_a_step_that_fails_at_its_end_leaves_nothing_of_itself(tmp_path, monkeypatch, make):
    t, fails = make(), fails_once_after(3)
    if t.schedulers:
        monkeypatch.setattr(Slows, "step", lambda self: (LRScheduler.step(self), self is t.schedulers[-1] and fails()))
    else:
        list(t.optimizers.values())[-1].register_step_post_hook(fails)
    with pytest.raises(KeyError):
        fit(t, steps=STEPS, checkpoints=tmp_path)
    fit(t, steps=STEPS, checkpoints=tmp_path)
    assert same(t, fit(make(), steps=STEPS))


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_what_is_kept_in_unusual_places_is_resumed(tmp_path, make):
    with pytest.raises(KeyError):
        fit(make(), steps=STEPS, callbacks=[StopsAt(3)], checkpoints=Checkpoints(tmp_path, every=2))
    assert same(fit(make(), steps=STEPS, checkpoints=tmp_path), fit(make(), steps=STEPS))

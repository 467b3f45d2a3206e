"""States of optimizers made to do harm: no moment of another shape reaches a kernel, no setting changes which one."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.checkpoints.optimizer_schema import optimizer_schema
from infogan_lib.checkpoints.state import CompositeState, OptimizerState
from infogan_lib.checkpoints.tensor_file import decode, encode, to_plain_data

TORCH = {
    "adam": lambda p: torch.optim.Adam(p),
    "fused adam": lambda p: torch.optim.Adam(p, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p),
    "nadam": lambda p: torch.optim.NAdam(p),
    "radam": lambda p: torch.optim.RAdam(p),
    "adamax": lambda p: torch.optim.Adamax(p),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "plain sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, centered=True, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "asgd": lambda p: torch.optim.ASGD(p),
    "rprop": lambda p: torch.optim.Rprop(p),
    "adafactor": lambda p: torch.optim.Adafactor(p),
    "tensor rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
}


class Factored(torch.optim.Optimizer):
    """An optimizer of a user's own, with states of shapes that nobody else knows."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1, "warm": False})

    def step(self, closure=None):
        for group in self.param_groups:
            group["warm"] = True
            for p in group["params"]:
                self.state[p] = {"outer": torch.zeros(p.numel(), 2), "codes": torch.zeros(5, dtype=torch.uint8)}


class Derived(torch.optim.Adam):
    """Torch's, with something more."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["more"] = torch.zeros(7)


def stepped(make):
    """An optimizer that has made a step, and one that has not."""
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        made.append((net, make(net.parameters())))
    (net, optimizer), (_, fresh) = made
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return optimizer, fresh


def load(optimizer, states):
    """Load what was read back from a file."""
    CompositeState(optimizers=OptimizerState([optimizer])).load(
        Path("p"), decode(encode(to_plain_data({"optimizers": states})))
    )


@pytest.mark.parametrize("make", [*TORCH.values(), Factored, Derived], ids=[*TORCH, "own", "derived"])
def test_an_honest_state_is_taken_by_a_new_optimizer_and_by_one_that_has_stepped(make):
    optimizer, fresh = stepped(make)
    states = [optimizer.state_dict()]
    load(fresh, states)
    load(optimizer, copy.deepcopy(states))
    for one, two in zip(optimizer.state.values(), fresh.state.values(), strict=True):
        assert one.keys() == two.keys()


@pytest.mark.parametrize("make", TORCH.values(), ids=TORCH)
def test_no_moment_of_another_shape_dtype_or_name_is_taken(make):
    optimizer, fresh = stepped(make)
    for name, value in optimizer.state_dict()["state"].get(0, {}).items():
        wrong = [
            torch.zeros(1),
            torch.zeros(5),
            torch.zeros(value.numel() + 1),
            value.bool(),
            value.to(torch.complex64),
            value.half(),  # which no kernel takes beside a parameter of float32
            value.double(),
        ]
        for other in (*wrong, "text", None, [], 10**30, torch.tensor(-7.0) if name == "step" else {}):
            states = [copy.deepcopy(optimizer.state_dict())]
            states[0]["state"][0][name] = other
            with pytest.raises(ig.CheckpointError, match=name):
                load(fresh, states)
        states = [copy.deepcopy(optimizer.state_dict())]
        del states[0]["state"][0][name]
        with pytest.raises(ig.CheckpointError, match=name):
            load(fresh, states)
    assert not any(name.startswith("exp_avg") for state in fresh.state.values() for name in state)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("params", [1, 0, 2, 3], "params must be"),  # the moments of another weight
        ("params", [0, 0, 2, 3], "params must be"),
        ("fused", True, "fused must be None"),  # another kernel
        ("foreach", True, "foreach must be None"),
        ("amsgrad", True, "amsgrad must be False"),
        ("betas", (5, 5), r"betas\[0\] must be a finite number from 0 to 1"),
        ("betas", 0.5, "betas must be a list of 2"),
        ("lr", "0.1", "lr must be a finite number"),
        ("lr", float("nan"), "lr must be a finite number"),
        ("lr", -0.1, "lr must be a finite number from 0"),
        ("lr", 1e300, "lr must be a finite number from 0 to 3.40282e"),
        ("eps", None, "eps must be a finite number"),
        ("weight_decay", float("inf"), "weight_decay must be a finite number"),
    ],
)
def test_no_setting_is_taken_that_torch_would_refuse_or_that_changes_the_kernel(name, value, message):
    optimizer, fresh = stepped(torch.optim.Adam)
    states = [copy.deepcopy(optimizer.state_dict())]
    states[0]["param_groups"][0][name] = value
    with pytest.raises(ig.CheckpointError, match=message):
        load(fresh, states)
    del states[0]["param_groups"][0][name]
    with pytest.raises(ig.CheckpointError, match=name):
        load(fresh, states)


@pytest.mark.parametrize(("name", "value"), [("exp_avg", math.nan), ("exp_avg_sq", math.nan), ("exp_avg_sq", -1e-9)])
def test_no_moment_is_taken_of_which_the_next_step_makes_nan(name, value):
    optimizer, fresh = stepped(torch.optim.Adam)
    states = [copy.deepcopy(optimizer.state_dict())]
    states[0]["state"][0][name][0] = value
    with pytest.raises(ig.CheckpointError, match=rf"{name} must hold numbers.*but holds"):
        load(fresh, states)
    states[0]["state"][0][name][0] = math.inf  # which the square of a large gradient becomes
    load(fresh, states)


def test_torchs_moments_are_compared_in_an_optimizer_that_derives_from_torchs():
    optimizer, fresh = stepped(Derived)
    states = [copy.deepcopy(optimizer.state_dict())]
    states[0]["state"][0]["exp_avg"] = torch.zeros(2)
    with pytest.raises(ig.CheckpointError, match=r"'exp_avg' of shape \(2,\) for a parameter of shape \(3, 4\)"):
        load(fresh, states)


def test_the_description_of_an_optimizer_changes_nothing_in_it():
    for make in TORCH.values():
        _, fresh = stepped(make)
        weights = [p.detach().clone() for group in fresh.param_groups for p in group["params"]]
        before = copy.deepcopy(fresh.state_dict())
        rng = torch.get_rng_state()
        optimizer_schema(fresh)
        assert str(fresh.state_dict()) == str(before)
        assert all(map(torch.equal, weights, (p for group in fresh.param_groups for p in group["params"])))
        assert all(p.grad is None for group in fresh.param_groups for p in group["params"])
        assert torch.equal(torch.get_rng_state(), rng)

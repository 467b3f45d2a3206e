"""What would spoil a run later is refused when it is done."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

import infogan_lib as ig
from infogan_lib import Checkpoints, LinearDecay, Optimizers
from resume_toys import StopsAt, all_equal, fit, same_run, trainer, weights
from toys import images


class Does(ig.Callback):
    def __init__(self, act, step=3):
        self.act, self.step = act, step

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            self.act(trainer)


def fits(t):
    t.fit(images(24), steps=2, batch_size=8)


def loads(t):
    t.load_checkpoint("unread")


@pytest.mark.parametrize(("act", "name"), [(fits, "fit"), (loads, "load_checkpoint")])
def test_a_callback_may_not_replace_the_run_that_it_is_called_in(tmp_path, act, name):
    t = trainer()
    with pytest.raises(RuntimeError, match=f"^{name} was called while a call of fit of this trainer is under way"):
        fit(t, callbacks=[Does(act)], checkpoints=tmp_path)
    assert same_run(fit(t, checkpoints=tmp_path), fit(trainer()))


@pytest.mark.parametrize("name", ["save_checkpoint", "step", "launch"])
def test_another_thread_neither_saves_nor_steps_amid_a_fit(tmp_path, name):
    """It may come in the middle of a step, so that a checkpoint would hold half of it."""
    found = []

    def call_elsewhere(t):
        argument = tmp_path / "half" if name == "save_checkpoint" else images(8)
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(getattr(t, name), argument).exception())

    t = fit(trainer(), callbacks=[Does(call_elsewhere)])
    assert isinstance(found[0], RuntimeError)
    assert str(found[0]).startswith(f"{name} was called while a call of fit of this trainer is under way")
    assert same_run(t, fit(trainer()))


def saves_state(t, folder):
    t.save_checkpoint(folder)


def saves_model(t, folder):
    t.model.save(folder)


@pytest.mark.parametrize("save", [saves_state, saves_model])
def test_nothing_is_saved_among_the_checkpoints_of_a_run_and_nobody_waits(tmp_path, monkeypatch, save):
    monkeypatch.setattr("infogan_lib.checkpoints.lock._MAX_WAIT", 0.0)
    with pytest.raises(ig.CheckpointError, match="these are the checkpoints of a run; give the .* a folder of its own"):
        fit(trainer(), callbacks=[Does(lambda t: save(t, tmp_path / "checkpoints"))], checkpoints=tmp_path)


@pytest.mark.parametrize(
    ("metrics", "named"), [({1: 2.0}, "1: 2.0"), ({"x": "high"}, "'x': 'high'"), ({"x": None}, "'x': None")]
)
def test_a_metric_that_could_not_be_loaded_is_refused(tmp_path, metrics, named):
    act = Does(lambda t: t.history.record(t.steps, metrics))
    with pytest.raises(TypeError, match=f"a metric must be text: a number, but got {named}"):
        fit(trainer(), callbacks=[act], checkpoints=tmp_path)
    assert fit(trainer(), checkpoints=tmp_path).steps == 12


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), np.float32(-1), torch.tensor(-1.0)])
def test_a_learning_rate_that_no_checkpoint_may_hold_is_refused_in_its_step(tmp_path, rate):
    t = trainer(optimizers=Optimizers(scheduler=lambda o: LambdaLR(o, lambda step: rate if step == 5 else 1.0)))
    with pytest.raises(ValueError, match="optimizers.scheduler made a learning rate of .*; make none that is negative"):
        fit(t, checkpoints=tmp_path)
    assert t.steps == 4
    assert t.schedulers[0].last_epoch == 4


def test_an_error_of_a_scheduler_says_whose_it_is(tmp_path):
    t = trainer(optimizers=Optimizers(scheduler=lambda o: OneCycleLR(o, 1e-3, total_steps=5)))
    with pytest.raises(ValueError, match="Tried to step 6 times") as raised:
        fit(t, checkpoints=tmp_path)
    assert raised.value.__notes__[0].startswith("raised by the OneCycleLR of optimizers.scheduler")
    assert t.steps == 5


class AdamThatFails(torch.optim.Adam):
    """An optimizer of the user's that changes its own learning rate."""

    def step(self, closure=None):
        super().step(closure)
        if next(iter(self.state.values()))["step"] == 5:
            self.param_groups[0]["lr"] = float("nan")


class Refuses(ig.Callback):
    error: BaseException | None = None

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyError("form"), ig.CheckpointError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_callback_that_refuses_its_state_leaves_the_trainer_as_it_was(tmp_path, error, raised):
    with pytest.raises(KeyError):
        fit(trainer(), callbacks=[Refuses(), StopsAt(5)], checkpoints=Checkpoints(tmp_path, every=2))
    t, callback = trainer(), Refuses()
    before = [tensor.clone() for tensor in weights(t).values()]
    callback.error = error
    with pytest.raises(raised):
        fit(t, callbacks=[callback], checkpoints=tmp_path)
    assert all_equal(before, list(weights(t).values()))


class FailsAtEnd(ig.Callback):
    def on_fit_end(self, trainer):
        raise KeyError("failed")


def test_a_completed_call_whose_last_callback_failed_is_made_again_without_a_step(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, callbacks=[FailsAtEnd()], checkpoints=tmp_path)
    assert fit(t, checkpoints=tmp_path).steps == 12
    assert torch.equal(weights(t)["generator.0.weight"], weights(fit(trainer()))["generator.0.weight"])


def first_moment(t):
    next(iter(t.optimizers["d"].state.values()))["exp_avg"].fill_(float("nan"))


def step_count(t):
    next(iter(t.optimizers["d"].state.values()))["step"].fill_(float("nan"))


def nan_rate(t):
    t.optimizers["d"].param_groups[0]["lr"] = float("nan")


def negative_rate(t):
    t.optimizers["d"].param_groups[0]["lr"] = -1e-3


@pytest.mark.parametrize("spoils", [first_moment, step_count, nan_rate, negative_rate], ids=lambda f: f.__name__)
def test_an_optimizer_that_could_not_be_resumed_is_not_saved(tmp_path, spoils):
    settings = Checkpoints(tmp_path, every=2, keep=1)
    with pytest.raises(ig.CheckpointError, match=r"optimizers\[0\]\..*, so nothing was saved"):
        fit(trainer(), callbacks=[Does(spoils, step=4)], checkpoints=settings)
    assert same_run(fit(trainer(), checkpoints=settings), fit(trainer()))
    t = fit(trainer(), steps=4)
    spoils(t)
    with pytest.raises(ig.CheckpointError, match="so nothing was saved"):
        t.save_checkpoint(tmp_path / "own")


def set_group(name, value):
    return lambda t: t.optimizers["d"].param_groups[0].update({name: value})


UNSAVABLE = {
    "a rate that is a Tensor": (set_group("lr", torch.tensor(1e-3)), r"param_groups\[0\].lr must be a finite number"),
    "another kernel": (set_group("fused", False), r"param_groups\[0\].fused must be True, but got False"),
    "another direction": (set_group("maximize", True), r"param_groups\[0\].maximize must be False, but got True"),
    "an attribute of a schedule": (lambda t: setattr(t.schedulers[0], "note", 3), "'note' is unknown here"),
    "another function of rates": (
        lambda t: setattr(t.schedulers[0], "lr_lambdas", [lambda step: 0.5]),
        r"lr_lambdas\[0\] must be a dict",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNSAVABLE.values(), ids=UNSAVABLE)
def test_what_a_callback_has_changed_and_no_run_could_resume_is_not_saved(tmp_path, change, message):
    def make():
        return trainer(optimizers=Optimizers(scheduler=LinearDecay(20)))

    settings = Checkpoints(tmp_path, every=2, keep=1)
    with pytest.raises(ig.CheckpointError, match=f"{message}.*, so nothing was saved"):
        fit(make(), callbacks=[Does(change)], checkpoints=settings)
    assert same_run(fit(make(), checkpoints=settings), fit(make()))


def test_a_group_of_parameters_that_a_callback_adds_is_not_saved(tmp_path):
    def add(t):
        t.optimizers["d"].add_param_group({"params": [nn.Parameter(torch.ones(1))]})

    with pytest.raises(ig.CheckpointError, match=r"param_groups must be .*, so nothing was saved"):
        fit(trainer(), callbacks=[Does(add)], checkpoints=tmp_path)


def test_what_a_program_changes_after_its_calls_is_saved(tmp_path):
    change = set_group("maximize", True)
    t, again = fit(trainer(), steps=4), trainer()
    for one in (t, again):
        change(one)
    t.save_checkpoint(tmp_path)
    again.load_checkpoint(tmp_path)
    assert all_equal(list(weights(t).values()), list(weights(again).values()))


def test_a_learning_rate_that_an_optimizer_of_the_users_has_spoiled_is_not_saved(tmp_path):
    t = trainer(optimizers=Optimizers(d=AdamThatFails))
    with pytest.raises(ig.CheckpointError, match=r"optimizers\[0\].param_groups\[0\].lr must be .*nothing was saved"):
        fit(t, checkpoints=Checkpoints(tmp_path, every=1))
    assert max(path.name for path in (tmp_path / "checkpoints").glob("step_*")) == "step_0000000004"

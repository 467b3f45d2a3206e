"""Programs that call `fit` several times and do something in between, resumed to the result of an uninterrupted one."""

import pytest
import torch
from torch.optim.lr_scheduler import CyclicLR
from torch.utils.data import DataLoader, TensorDataset

import infogan_lib as ig
from infogan_lib import Checkpoints
from resume_toys import StopsAt, fit, same_run, trainer
from toys import images


def draws(t):
    torch.randn(3)


def lowers_rates(t):
    for optimizer in t.optimizers.values():
        optimizer.param_groups[0]["lr"] *= 0.1


def shrinks_weights(t):
    with torch.no_grad():
        t.model.generator[0].weight.mul_(0.9)


def makes_steps(t):
    t.step(images(8, seed=5))
    t.step(images(8, seed=6))


def two_calls(folder, between, killed_at=None):
    t = trainer()
    for _ in range(2):
        fit(t, steps=4, callbacks=[StopsAt(killed_at)], checkpoints=folder and Checkpoints(folder, every=1))
        between(t)
    return t


@pytest.mark.parametrize("between", [draws, lowers_rates, shrinks_weights, makes_steps], ids=lambda f: f.__name__)
def test_what_a_program_does_between_two_calls_is_done_once(tmp_path, between):
    with pytest.raises(KeyError):
        two_calls(tmp_path, between, killed_at=7)
    assert same_run(two_calls(tmp_path, between), two_calls(None, between))


def test_a_checkpoint_between_two_calls_stays_that_of_its_step(tmp_path):
    def saves(t):
        if t.steps < 8:
            t.save_checkpoint(tmp_path / "between")

    with pytest.raises(KeyError):
        two_calls(tmp_path / "run", saves, killed_at=7)
    with pytest.warns(UserWarning, match="between stays as it is: the trainer is at step 6 of a later call of fit"):
        two_calls(tmp_path / "run", saves)
    t = trainer()
    t.load_checkpoint(tmp_path / "between")
    assert t.steps == 4


class Counts(ig.Callback):
    def __init__(self):
        self.count = 0

    def on_step_end(self, trainer, metrics):
        self.count += 1
        trainer.history.record(trainer.steps, {"count": self.count})

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


class Ends(ig.Callback):
    def on_step_end(self, trainer, metrics):
        if trainer.steps == 3:
            trainer.stop()


def stopped_and_next(folder, killed=False):
    loader = DataLoader(
        TensorDataset(images(40)), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    t, counts = trainer(), Counts()
    t.fit(loader, steps=9, callbacks=[counts, Ends()], checkpoints=folder)
    if killed:
        raise KeyError("killed")
    t.fit(loader, steps=4, callbacks=[counts], checkpoints=folder)
    return t


def test_a_call_after_one_that_was_stopped_begins_with_its_data_and_callbacks(tmp_path):
    with pytest.raises(KeyError):
        stopped_and_next(tmp_path, killed=True)
    assert same_run(stopped_and_next(tmp_path), stopped_and_next(None))


class Total(ig.Callback):
    """Keeps the tensor that it is given, and adds to it in place."""

    def __init__(self):
        self.total = torch.zeros(())

    def on_step_end(self, trainer, metrics):
        self.total += trainer.steps
        trainer.history.record(trainer.steps, {"total": float(self.total)})

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def test_a_state_that_is_loaded_twice_is_the_same_twice(tmp_path):
    """A later call's checkpoint is loaded by the calls before it too; CyclicLR removes an entry of what it loads."""

    def run(folder, killed_at=None):
        t = trainer(scheduler=lambda o: CyclicLR(o, 1e-4, 1e-2, 3, cycle_momentum=False))
        for _ in range(2):
            callbacks = [StopsAt(killed_at), Total()]
            fit(t, steps=4, callbacks=callbacks, checkpoints=folder and Checkpoints(folder, every=1))
        return t

    with pytest.raises(KeyError):
        run(tmp_path, killed_at=7)
    assert same_run(run(tmp_path), run(None))


class KeepsPosition:
    """Epochs of three batches, of which the last one is not known to be the last until the next one is asked for."""

    def __init__(self):
        self.index = 0

    def __iter__(self):
        while self.index % 4 < 3:
            self.index += 1
            yield images(8, seed=self.index)
        self.index += 1

    def state_dict(self):
        return {"index": self.index}

    def load_state_dict(self, state):
        self.index = state["index"]


def test_a_call_begins_though_the_one_before_took_the_last_batch_of_an_epoch(tmp_path):
    def run(*calls, checkpoints):
        t, data = trainer(), KeepsPosition()
        for steps in calls:
            fit(t, data, steps=steps, checkpoints=checkpoints)
        return t

    run(3, checkpoints=tmp_path)
    resumed, whole = run(3, 4, checkpoints=tmp_path), run(3, 4, checkpoints=None)
    assert same_run(resumed, whole)
    assert resumed.history.epochs == [6]

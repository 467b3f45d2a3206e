"""Schedules of every form: runs with them resume, and other settings, however deep inside, are named."""

from typing import Any

import numpy as np
import pytest
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import SWALR

import infogan_lib as ig
from infogan_lib import Checkpoints, LinearDecay
from resume_toys import StopsAt, fit, same_run, trainer

WHOLE: Any = np.int64(20)
FACTOR: Any = np.float32(0.9)
"""Numbers of numpy, which torch's annotations do not know of."""


class Remembers:
    """Rates of a function that keeps what it was asked for."""

    def __init__(self):
        self.seen, self.phase, self.least = [], "warm", None

    def __call__(self, step):
        self.seen, self.phase, self.least = [*self.seen, step], "warm" if step < 3 else "cold", step
        return 1 / len(self.seen)


class Counts(LRScheduler):
    """A scheduler of the user's that counts by itself."""

    def __init__(self, optimizer):
        self.count = 0
        super().__init__(optimizer)

    def get_lr(self):
        self.count += 1
        return [rate / self.count for rate in self.base_lrs]


RESUMED = {
    "numpy float": lambda o: ExponentialLR(o, np.float64(0.9)),
    "numpy int": lambda o: CosineAnnealingLR(o, WHOLE),
    "numpy keys": lambda o: MultiStepLR(o, [*np.array([3, 8])]),
    "numpy rates": lambda o: LambdaLR(o, lambda step: FACTOR**step),
    "numpy in the library's own": LinearDecay(WHOLE),
    "a function with a memory": lambda o: LambdaLR(o, Remembers()),
    "a user's scheduler inside": lambda o: ChainedScheduler([Counts(o), ExponentialLR(o, 0.9)]),
}


@pytest.mark.parametrize("schedule", RESUMED.values(), ids=RESUMED)
def test_a_run_resumes_with_its_schedule(tmp_path, schedule):
    whole = fit(trainer(scheduler=schedule))
    with pytest.raises(KeyError):
        fit(trainer(scheduler=schedule), callbacks=[StopsAt(5)], checkpoints=Checkpoints(tmp_path, every=2))
    again = fit(trainer(scheduler=schedule), checkpoints=tmp_path)
    assert same_run(whole, again)
    assert [s.get_last_lr() for s in again.schedulers] == [s.get_last_lr() for s in whole.schedulers]


class Changes(ig.Callback):
    """What a user's callback may do to a schedule that is under way."""

    def __init__(self, change):
        self.change = change

    def on_step_end(self, trainer, metrics):
        if trainer.steps == 3:
            for scheduler in trainer.schedulers:
                self.change(scheduler)


CHANGED = {
    "a number": (lambda o: CosineAnnealingLR(o, 20), lambda s: setattr(s, "T_max", 40)),
    "a factor": (lambda o: ExponentialLR(o, 0.9), lambda s: setattr(s, "gamma", 0.5)),
    "a milestone": (lambda o: MultiStepLR(o, [3, 20]), lambda s: s.milestones.update({7: 1})),
    "one less": (lambda o: MultiStepLR(o, [3, 7]), lambda s: s.milestones.pop(7)),
    "inside": (lambda o: ChainedScheduler([ExponentialLR(o, 0.9)]), lambda s: setattr(s._schedulers[0], "gamma", 0.5)),
    "the library's own": (LinearDecay(20), lambda s: setattr(s.lr_lambdas[0], "steps", 40)),
}


@pytest.mark.parametrize(("schedule", "change"), CHANGED.values(), ids=CHANGED)
def test_a_run_resumes_with_a_schedule_that_a_callback_has_changed(tmp_path, schedule, change):
    whole = fit(trainer(scheduler=schedule), callbacks=[Changes(change)])
    unchanged = fit(trainer(scheduler=schedule))
    with pytest.raises(KeyError):
        stops = [Changes(change), StopsAt(5)]
        fit(trainer(scheduler=schedule), callbacks=stops, checkpoints=Checkpoints(tmp_path, every=2))
    again = fit(trainer(scheduler=schedule), callbacks=[Changes(change)], checkpoints=tmp_path)
    assert same_run(whole, again)
    assert not same_run(whole, unchanged)


def sequence(milestone, gamma=0.9):
    return lambda o: SequentialLR(o, [ConstantLR(o, 0.1, 30), ExponentialLR(o, gamma)], [milestone])


OTHERS = {
    "numpy": (
        lambda o: CosineAnnealingLR(o, WHOLE),
        lambda o: CosineAnnealingLR(o, 30),
        "T_max was 20 and is 30",
    ),
    "a milestone": (sequence(6), sequence(9), r"schedulers\[0\]._milestones\[0\] was 6 and is 9"),
    "inside": (sequence(6), sequence(6, 0.5), r"schedulers\[0\].schedulers\[1\].gamma was 0.9 and is 0.5"),
    "a count": (lambda o: MultiStepLR(o, [3, 8]), lambda o: MultiStepLR(o, [3, 7]), "milestones.8 was 1 and is absent"),
    "a phase": (
        lambda o: OneCycleLR(o, 0.01, 20, cycle_momentum=False),
        lambda o: OneCycleLR(o, 0.01, 20, pct_start=0.6, cycle_momentum=False),
        r"schedulers\[0\]._schedule_phases\[0\].end_step was 5.0 and is 11.0",
    ),
    "a form": (
        lambda o: SWALR(o, 1e-4, 8),
        lambda o: SWALR(o, 1e-4, 8, anneal_strategy="linear"),
        r"schedulers\[0\]._anneal_strategy was cos and is linear",
    ),
}


@pytest.mark.parametrize(("before", "after", "message"), OTHERS.values(), ids=OTHERS)
def test_another_setting_is_refused_by_name_and_taken_in_a_branch(tmp_path, before, after, message):
    fit(trainer(scheduler=before), steps=7, checkpoints=tmp_path / "a")
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(scheduler=after), steps=9, checkpoints=tmp_path / "a")
    with pytest.warns(UserWarning, match=message):
        branch = fit(trainer(scheduler=after), steps=9, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    expected = fit(trainer(scheduler=after), steps=9)
    assert [s.get_last_lr() for s in branch.schedulers] == [s.get_last_lr() for s in expected.schedulers]

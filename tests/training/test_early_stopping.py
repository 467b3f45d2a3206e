"""Calls of `fit` that a callback ends early."""

import signal

import numpy as np
import pytest

from infogan_lib import Callback, Checkpoints
from infogan_lib.callbacks import EarlyStopping
from infogan_lib.checkpoints.run_folder import RunFolder
from resume_toys import fit, same_run, trainer
from toys import images


class Records(Callback):
    """Records values as a metric, one per step."""

    def __init__(self, values, name="score", every=1):
        self.values, self.name, self.every = values, name, every

    def needs_model(self, step):
        return False

    def on_step_end(self, trainer, metrics):
        if trainer.steps % self.every == 0:
            trainer.history.record(trainer.steps, {self.name: self.values[trainer.steps - 1]})


def stopped_at(values, **settings):
    t, stopping = trainer(), EarlyStopping("score", **({"mode": "max", "patience": 2, "every": 1} | settings))
    fit(t, steps=len(values), callbacks=[Records(values), stopping])
    return t.steps, stopping.best_step


def test_patience_is_the_number_of_checks_without_an_improvement():
    assert stopped_at([1, 2, 3, 2, 3, 9, 9]) == (5, 3)
    assert stopped_at([1, 2, 3, 2, 3, 9, 9], patience=3) == (7, 6)
    assert stopped_at([1, 2, 3, 4, 5, 6, 7]) == (7, 7)
    assert stopped_at([1, 2, 3, 2, 1, 0, -1], mode="min") == (3, 1)
    assert stopped_at([1, 2, 3, 2, 1, 0, -1], mode="min", patience=5) == (7, 7)


def test_an_improvement_is_larger_than_min_delta():
    assert stopped_at([1.0, 1.5, 2.0, 2.5, 2.5, 2.5], min_delta=0.5) == (5, 3)


def test_a_check_compares_means():
    assert stopped_at([0, 2, 9, -7, 1, 0, 9, 9], every=2, patience=2) == (6, 2)


def test_nan_is_no_improvement():
    assert stopped_at([float("nan"), float("nan"), 1, 1]) == (2, 0)
    assert stopped_at([float("nan"), 1, 2, float("nan"), 0, 3]) == (5, 3)


def test_no_value_is_no_check():
    t, stopping = trainer(), EarlyStopping("eval/score", mode="max", patience=2, every=2)
    values = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    with pytest.warns(UserWarning, match=r"watches 'eval/score', which no step has recorded up to step 2; there are '"):
        fit(t, steps=12, callbacks=[Records(values, "eval/score", every=3), stopping])
    assert (t.steps, stopping.best_step) == (10, 4)  # recorded at 3, 6, 9 and checked at 4, 6, 10


def test_the_trainer_is_exactly_as_after_that_step():
    stopping = EarlyStopping("loss/d", mode="max", min_delta=100, patience=1, every=3)
    stopped = fit(trainer(), steps=12, callbacks=[stopping])
    whole = fit(trainer(), steps=6)
    assert stopped.steps == 6
    assert same_run(stopped, whole)


VALUES = [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 9, 9]  # stops at 8 with a patience of 3


def program(folder, interrupt=None, **settings):
    class Interrupts(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == interrupt:
                raise KeyError("stopped")

    t, stopping = trainer(), EarlyStopping("score", **({"mode": "max", "patience": 3, "every": 1} | settings))
    callbacks = [Records(VALUES), stopping, Interrupts()]
    fit(t, steps=12, callbacks=callbacks, checkpoints=folder and Checkpoints(folder, every=1))
    return t


@pytest.mark.parametrize("interrupt", [2, 6, 7, 8])
def test_a_resumed_run_stops_at_the_same_step(tmp_path, interrupt):
    with pytest.raises(KeyError):
        program(tmp_path, interrupt)
    resumed = program(tmp_path)
    assert resumed.steps == 8
    assert same_run(resumed, program(None))


def test_a_run_that_was_stopped_is_completed_and_with_more_patience_resumes(tmp_path):
    program(tmp_path)
    assert program(tmp_path).steps == 8
    t, stopping = trainer(), EarlyStopping("score", mode="max", patience=3, every=1)
    with pytest.warns(UserWarning, match="stopped this run at step 8, and stops it again; .* more patience"):
        fit(t, steps=13, callbacks=[Records([*VALUES, 9]), stopping], checkpoints=tmp_path)
    assert t.steps == 8
    patient, stopping = trainer(), EarlyStopping("score", mode="max", patience=6, every=1)
    fit(patient, steps=13, callbacks=[Records([*VALUES, 9]), stopping], checkpoints=tmp_path)
    assert (patient.steps, stopping.best_step) == (13, 11)


def two_fits(folder, interrupt=None):
    class Stops(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 3:
                trainer.stop()
            if trainer.steps == interrupt:
                raise KeyError("stopped")

    t = trainer()
    fit(t, steps=12, callbacks=[Stops()], checkpoints=folder)
    fit(t, images(24, seed=9), steps=4, callbacks=[Stops()], checkpoints=folder)
    return t


@pytest.mark.parametrize("interrupt", [2, 5])
def test_a_call_that_was_stopped_is_skipped_when_a_later_one_is_resumed(tmp_path, interrupt):
    with pytest.raises(KeyError):
        two_fits(Checkpoints(tmp_path, every=1), interrupt)
    resumed = two_fits(Checkpoints(tmp_path, every=1))
    assert resumed.steps == 7
    assert same_run(resumed, two_fits(None))
    assert two_fits(Checkpoints(tmp_path, every=1)).steps == 7


def test_stopping_at_the_end_of_an_epoch_ends_it():
    class Stops(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 5:
                trainer.stop()

    t = trainer()
    fit(t, steps=12, callbacks=[Stops()])
    assert (t.steps, t.epochs) == (5, 1)


def test_one_callback_may_watch_several_calls_of_fit():
    t, stopping = trainer(), EarlyStopping("score", mode="max", patience=1, every=1)
    callbacks = [Records(np.zeros(12)), stopping]
    fit(t, steps=6, callbacks=callbacks)
    assert t.steps == 2
    fit(t, steps=6, callbacks=callbacks)
    assert t.steps == 4


class StopsAt(Callback):
    """Stops at a step, without a state of its own, and sends a signal at a step."""

    def __init__(self, step, needs_model, signal_at=None):
        self.step, self.needs, self.signal_at = step, needs_model, signal_at

    def needs_model(self, step):
        return self.needs

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            trainer.stop()
        if trainer.steps == self.signal_at:
            signal.raise_signal(signal.SIGTERM)


def stopped_run(folder, step, needs_model, signal_at=None, every=100):
    t, data = trainer(), images(40)
    callbacks = [StopsAt(step, needs_model, signal_at)]
    fit(t, data, steps=12, callbacks=callbacks, checkpoints=folder and Checkpoints(folder, every=every))
    fit(t, data, steps=3, checkpoints=folder and Checkpoints(folder, every=every))
    return t


@pytest.mark.parametrize("step", [4, 5])  # of five in an epoch
@pytest.mark.parametrize("needs_model", [False, True])
def test_a_fit_ends_at_the_step_that_stops_it_whatever_was_launched_or_saved(tmp_path, step, needs_model):
    whole = stopped_run(None, step, needs_model)
    assert whole.steps == step + 3
    assert same_run(stopped_run(tmp_path, step, needs_model, every=2), whole)


@pytest.mark.parametrize("step", [4, 5])
@pytest.mark.parametrize("after", [-1, 0])
@pytest.mark.parametrize(("needs_model", "every"), [(False, 100), (False, 2), (True, 100)])
def test_a_signal_when_a_fit_is_stopped_does_not_undo_the_stop(tmp_path, capfd, step, after, needs_model, every):
    with pytest.raises(SystemExit):
        stopped_run(tmp_path, step, needs_model, step + after, every)
    assert same_run(stopped_run(tmp_path, step, needs_model, every=every), stopped_run(None, step, needs_model))


def test_a_kill_after_a_checkpoint_of_the_last_step_does_not_undo_the_stop(tmp_path, monkeypatch):
    """The step that stops the fit is due for a checkpoint, and is read only then."""
    saved = []

    def save(self, step, *rest, original=RunFolder.save):
        original(self, step, *rest)
        saved.append(step)
        if step == 4:
            raise KeyError("killed")

    monkeypatch.setattr(RunFolder, "save", save)
    with pytest.raises(KeyError):
        stopped_run(tmp_path, 4, needs_model=False, every=2)
    monkeypatch.undo()
    assert saved == [0, 2, 4]
    assert same_run(stopped_run(tmp_path, 4, needs_model=False, every=2), stopped_run(None, 4, needs_model=False))


class RaisesOnce(StopsAt):
    """Raises at a step, the first time."""

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            self.step = None
            raise KeyError("raised")


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("needs_model", [False, True])
@pytest.mark.parametrize("stops_first", [False, True])
def test_a_stop_is_kept_though_another_callback_raises_at_that_step(tmp_path, step, needs_model, stops_first):
    t, callbacks = trainer(), [StopsAt(step, needs_model), RaisesOnce(step, needs_model)]
    callbacks = callbacks if stops_first else callbacks[::-1]
    with pytest.raises(KeyError):
        fit(t, images(40), steps=12, callbacks=callbacks, checkpoints=tmp_path)
    fit(t, images(40), steps=12, callbacks=callbacks, checkpoints=tmp_path)
    assert t.steps == step
    fit(t, images(40), steps=3, checkpoints=tmp_path)
    assert same_run(t, stopped_run(None, step, needs_model))


def test_a_stop_does_not_outlive_its_call():
    t = trainer()
    fit(t, images(40), steps=12, callbacks=[StopsAt(3, needs_model=False)])
    with pytest.raises(KeyError):
        fit(t, images(40), steps=4, callbacks=[StopsAt(5, needs_model=False), RaisesOnce(5, needs_model=False)])
    fit(t, images(40), steps=4)
    assert t.steps == 9


def test_the_batch_of_a_step_that_was_rolled_back_comes_next(tmp_path):
    """A call that was stopped, resumed for more steps without the callback, is the run that was never stopped."""
    stopped_at_3 = trainer()
    fit(stopped_at_3, steps=12, callbacks=[StopsAt(3, needs_model=False)], checkpoints=tmp_path)
    resumed = fit(trainer(), steps=13, checkpoints=tmp_path)
    assert same_run(resumed, fit(trainer(), steps=13))

"""Calls of `fit` in a resumed run: completed ones are skipped, and the interrupted one is resumed."""

import pytest
from torch.utils.data import DataLoader, TensorDataset

import infogan_lib as ig
from infogan_lib import Checkpoints
from resume_toys import STEPS, StopsAt, fit, same_run, trainer
from toys import images


def test_the_same_command_resumes_and_then_has_nothing_to_do(tmp_path):
    with pytest.raises(KeyError) as stopped:
        fit(trainer(), callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=3))
    assert "The last checkpoint of the run is" in stopped.value.__notes__[0]
    again = fit(trainer(), checkpoints=Checkpoints(tmp_path, every=3))
    assert same_run(fit(trainer()), again)
    finished = fit(trainer(), checkpoints=tmp_path)
    assert same_run(again, finished)
    further = fit(trainer(), steps=STEPS + 4, checkpoints=tmp_path)
    assert same_run(fit(trainer(), steps=STEPS + 4), further)
    shorter = fit(trainer(), steps=3, checkpoints=tmp_path)
    assert shorter.steps == STEPS + 4


def test_epochs_are_counted_from_where_the_run_began(tmp_path):
    data = images(40)
    trainer().fit(data, epochs=1, batch_size=8, checkpoints=tmp_path)
    t = trainer()
    t.fit(data, epochs=3, batch_size=8, checkpoints=tmp_path)
    assert (t.steps, t.epochs) == (15, 3)


@pytest.mark.slow
def test_two_fits_in_one_program_resume_where_the_program_was(tmp_path):
    other = images(24, seed=9)

    def program(run_dir, stop_at=None):
        t = trainer()
        fit(t, steps=7, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(run_dir, every=1))
        fit(t, other, steps=5, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(run_dir, every=1))
        return t

    whole = fit(fit(trainer(), steps=7), other, steps=5)
    for stop_at in (3, 7, 9, 12):
        run_dir = tmp_path / str(stop_at)
        with pytest.raises(KeyError):
            program(run_dir, stop_at)
        again = program(run_dir)
        assert same_run(whole, again), stop_at


def test_a_failed_fit_is_resumed_by_the_same_trainer(tmp_path):
    class Once(ig.Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 7 and not hasattr(self, "done"):
                self.done = True
                raise KeyError("once")

    t, once = trainer(), Once()
    data = DataLoader(TensorDataset(images(40)), 8, shuffle=True)
    with pytest.raises(KeyError):
        fit(t, data, callbacks=[once], checkpoints=tmp_path)
    fit(t, data, callbacks=[once], checkpoints=tmp_path)
    assert same_run(fit(trainer(), DataLoader(TensorDataset(images(40)), 8, shuffle=True)), t)


def test_a_fit_that_could_not_begin_counts_for_nothing():
    t = trainer()
    with pytest.raises(ig.CheckpointError):
        fit(t, steps=3, checkpoints=Checkpoints(None, resume="nowhere"))
    assert fit(t, steps=3).steps == 3


def test_a_failed_fit_is_dropped_for_another_one(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(7)], checkpoints=tmp_path / "a")
    assert fit(t, steps=5).steps == 12
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(15)], checkpoints=tmp_path / "b")
    assert fit(t, images(48), steps=5, checkpoints=tmp_path / "c").steps == 20


def test_a_step_that_failed_is_made_again(tmp_path):
    class Fails:
        calls = 0

        def __call__(self, x, rng):
            self.calls += 1
            if self.calls == 8:
                raise MemoryError
            return x

    fails = Fails()
    t = trainer(augment=fails)
    data = DataLoader(TensorDataset(images(40)), 8, shuffle=True)
    with pytest.raises(MemoryError):
        fit(t, data, checkpoints=tmp_path)
    fit(t, data, checkpoints=tmp_path)
    whole = fit(trainer(augment=lambda x, rng: x), DataLoader(TensorDataset(images(40)), 8, shuffle=True))
    assert same_run(whole, t)


def test_a_fit_that_failed_at_its_start_is_resumed_as_well(tmp_path):
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            raise KeyError("not ready")

    def data():
        return DataLoader(TensorDataset(images(40)), 8, shuffle=True)

    with pytest.raises(KeyError):
        fit(trainer(), data(), callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=1))
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, data(), callbacks=[Fails()], checkpoints=tmp_path)
    assert same_run(fit(t, data(), checkpoints=tmp_path), fit(trainer(), data()))


def test_a_call_that_was_completed_before_says_so(tmp_path, caplog):
    t = trainer()
    fit(fit(t, steps=5, checkpoints=tmp_path), steps=5, checkpoints=tmp_path)
    assert fit(trainer(), steps=5, checkpoints=tmp_path).steps == 10
    assert "this call of fit was completed before (the run is at step 10)" in caplog.text


def test_a_later_fit_that_was_refused_is_resumed_when_it_is_called_again(tmp_path):
    other, settings = images(24, seed=9), Checkpoints(tmp_path, every=1)

    def first_fit():
        return fit(trainer(), steps=5, checkpoints=settings)

    whole = fit(fit(trainer(), steps=5), other, steps=6)
    with pytest.raises(KeyError):
        fit(first_fit(), other, steps=6, callbacks=[StopsAt(9)], checkpoints=settings)
    t = first_fit()
    with pytest.raises(ig.CheckpointError, match="the run's data had length 24, and this data has 32"):
        fit(t, images(32), steps=6, checkpoints=settings)
    assert same_run(whole, fit(t, other, steps=6, checkpoints=settings))

"""Which calls of `fit` a run records, and that none is skipped whose steps were not made."""

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from resume_toys import StopsAt, all_equal, fit, same_run, trainer, weights
from toys import images


class FailsAtStart(ig.Callback):
    def on_fit_start(self, trainer, total_steps):
        raise KeyError("a typo")


def killed_run(t, folder, *, stop_at=10, steps=30):
    with pytest.raises(KeyError):
        fit(t, steps=steps, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(folder, every=5))


def no_data(t, folder):
    with pytest.raises(ValueError, match="data gave no batch"):
        fit(t, iter([]), steps=30)


def failed_at_start(t, folder):
    with pytest.raises(KeyError):
        fit(t, steps=30, callbacks=[FailsAtStart()], checkpoints=folder)


def failed_in_another_folder(t, folder):
    with pytest.raises(KeyError):
        fit(t, steps=30, callbacks=[FailsAtStart()], checkpoints=folder / "elsewhere")


def failed_first_step(t, folder):
    with pytest.raises(TypeError):
        fit(t, [None], steps=30)


def failed_save(t, folder):
    class Odd(ig.Callback):
        def state_dict(self):
            return {"what": object()}

    with pytest.raises(TypeError):
        fit(t, steps=30, callbacks=[Odd()], checkpoints=folder)


@pytest.mark.parametrize(
    "fails",
    [no_data, failed_at_start, failed_in_another_folder, failed_first_step, failed_save],
    ids=lambda f: f.__name__,
)
def test_a_call_that_made_nothing_is_not_counted(tmp_path, fails):
    t = trainer()
    fails(t, tmp_path)
    killed_run(t, tmp_path)
    again = fit(trainer(), steps=30, checkpoints=tmp_path)
    assert again.steps == 30
    assert same_run(fit(trainer(), steps=30), again)


@pytest.mark.parametrize("steps", [2, 30])
@pytest.mark.parametrize("folder", [None, "trial"])
def test_a_trial_outside_the_folder_is_no_part_of_the_run(tmp_path, steps, folder):
    t = trainer()
    fit(t, steps=steps, checkpoints=None if folder is None else tmp_path / folder)
    killed_run(t, tmp_path / "run", stop_at=steps + 10)
    assert fit(trainer(), steps=30, checkpoints=tmp_path / "run").steps == steps + 30


def test_a_trial_in_the_folder_is_passed_over_for_the_call_that_was_interrupted(tmp_path):
    t = trainer()
    fit(t, steps=2, checkpoints=tmp_path)
    killed_run(t, tmp_path)
    assert fit(trainer(), steps=30, checkpoints=tmp_path).steps == 32
    assert fit(trainer(), steps=30, checkpoints=tmp_path).steps == 32


@pytest.mark.parametrize("stop_at", [None, 8])
def test_a_call_that_would_not_reach_its_steps_is_refused(tmp_path, stop_at):
    t = fit(trainer(), steps=5, checkpoints=tmp_path)
    if stop_at is None:
        fit(t, steps=5, checkpoints=tmp_path)
    else:
        killed_run(t, tmp_path, stop_at=stop_at, steps=5)
    t = trainer()
    before = [tensor.clone() for tensor in weights(t).values()]
    with pytest.raises(ig.CheckpointError, match="began at step 0 and ended at step 5, before the 100 steps"):
        fit(t, steps=100, checkpoints=tmp_path)
    assert t.steps == 0
    assert all_equal(before, list(weights(t).values()))
    with pytest.raises(ig.CheckpointError, match="before the 9 epochs"):
        t.fit(images(40), epochs=9, batch_size=8, checkpoints=tmp_path)
    assert fit(t, steps=4, checkpoints=tmp_path).steps == (10 if stop_at is None else 5)


def test_a_later_call_that_would_not_reach_its_steps_is_refused(tmp_path):
    t = fit(fit(trainer(), steps=3, checkpoints=tmp_path), steps=3)
    killed_run(t, tmp_path, stop_at=8, steps=4)
    t = fit(trainer(), steps=3, checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match="call 2 of fit in this run began at step 3 and ended at step 6"):
        fit(t, steps=50)
    assert fit(fit(t, steps=3), steps=4, checkpoints=tmp_path).steps == 10


def test_a_skipped_call_says_that_a_later_one_was_interrupted(tmp_path, caplog):
    t = fit(trainer(), steps=5, checkpoints=tmp_path)
    killed_run(t, tmp_path, stop_at=8, steps=5)
    fit(trainer(), steps=5, checkpoints=tmp_path)
    assert "completed before (the run is at step 5); skipped; a later call was interrupted" in caplog.text


def test_calls_in_several_folders_resume_each_in_its_own(tmp_path):
    other = images(24, seed=9)

    def program(stop_at=None, first=True):
        t = trainer()
        if first:
            fit(t, steps=5, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(tmp_path / "a", every=1))
        return fit(t, other, steps=6, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(tmp_path / "b", every=1))

    whole = fit(fit(trainer(), steps=5), other, steps=6)
    for stop_at in (3, 8, 10):
        with pytest.raises(KeyError):
            program(stop_at)
    assert same_run(whole, program(first=False))  # the run in the second folder is complete by itself
    assert same_run(whole, program())


def test_a_failed_call_leaves_the_order_of_the_data_as_it_was():
    t = fit(trainer(), steps=7)
    with pytest.raises(KeyError):
        fit(t, steps=5, callbacks=[FailsAtStart()])
    fit(t, steps=5)
    assert same_run(t, fit(fit(trainer(), steps=7), steps=5))


def test_two_calls_resume_beside_a_damaged_checkpoint(tmp_path):
    def program(stop_at=None):
        t = fit(trainer(), steps=5, checkpoints=Checkpoints(tmp_path, every=1))
        return fit(t, steps=5, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(tmp_path, every=1))

    with pytest.raises(KeyError):
        program(8)
    newest = max((tmp_path / "checkpoints").iterdir())
    (newest / "manifest.json").write_text("")
    with pytest.warns(UserWarning, match="is damaged; trying an earlier one"):
        again = program()
    assert same_run(again, fit(fit(trainer(), steps=5), steps=5))

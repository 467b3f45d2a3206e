"""Runs that begin from a checkpoint of another run."""

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints import run_folder
from infogan_lib.experiments.records import read_run
from resume_toys import StopsAt, fit, same_run, trainer
from toys import images


def test_an_older_checkpoint_is_not_resumed_beside_newer_ones(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", every=5, keep=9))
    older = tmp_path / "a" / "checkpoints" / f"step_{5:010d}"
    with pytest.raises(ig.CheckpointError, match="it holds a checkpoint of step 12, newer than the one to resume from"):
        fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", resume=older))
    branch = fit(trainer(), checkpoints=Checkpoints(tmp_path / "b", resume=older))
    assert same_run(branch, fit(trainer()))
    assert same_run(fit(trainer(), checkpoints=tmp_path / "b"), branch)


def test_going_back_beside_newer_checkpoints_is_refused(tmp_path):
    t = fit(trainer(), steps=4, checkpoints=tmp_path / "run")
    t.save_checkpoint(tmp_path / "saved")
    fit(t, steps=8, checkpoints=tmp_path / "run")
    t.load_checkpoint(tmp_path / "saved")
    with pytest.raises(ig.CheckpointError, match="it holds a checkpoint of step 12, newer than the one to resume from"):
        fit(t, steps=20, checkpoints=tmp_path / "run")
    assert fit(t, steps=2, checkpoints=tmp_path / "other").steps == 6


def test_a_branch_resumes_by_the_same_command_and_may_change_its_rates(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", every=5, keep=9))
    start = tmp_path / "a" / "checkpoints" / f"step_{5:010d}"

    def branch(stop=None):
        return fit(
            trainer(lr_d=1e-5),
            callbacks=[StopsAt(stop)],
            checkpoints=Checkpoints(tmp_path / "b", every=2, resume=start),
        )

    warned = pytest.warns(
        UserWarning, match="a new run begins from .* with other settings: .*lr was 0.0005 and is 1e-05"
    )
    with warned, pytest.raises(KeyError):
        branch(9)
    again = branch()
    assert again.optimizers["d"].param_groups[0]["lr"] == 1e-5
    with pytest.warns(UserWarning, match="a new run begins"):
        whole = fit(trainer(lr_d=1e-5), checkpoints=Checkpoints(None, resume=start))
    assert same_run(whole, again)
    with pytest.raises(ig.CheckpointError, match="seed was 0 and is 1"):
        fit(trainer(seed=1), checkpoints=Checkpoints(tmp_path / "c", resume=start))


def test_a_branch_may_put_its_batches_together(tmp_path):
    """As the monitor advises where Q reads otherwise in evaluation."""
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    with pytest.warns(UserWarning, match="with other settings: joint_batches was False and is True"):
        t = fit(trainer(joint_batches=True), steps=6, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert t.steps == 6


def test_a_branch_takes_the_place_of_the_interrupted_call(tmp_path):
    fit(fit(trainer(), steps=4, checkpoints=tmp_path / "a"), steps=4, checkpoints=tmp_path / "a")
    for _ in range(2):  # the second time it continues the branch, which is complete
        t = fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
        assert t.steps == 10  # six from where the second call began
    again = fit(trainer(), steps=7, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert again.steps == 11


def test_a_program_that_begins_with_a_branch_resumes_its_second_call(tmp_path):
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    other = images(24, seed=9)

    def program(folder, stop=None):
        t = fit(trainer(), steps=8, checkpoints=Checkpoints(folder, every=1, resume=tmp_path / "a"))
        return fit(t, other, steps=5, callbacks=[StopsAt(stop)], checkpoints=Checkpoints(folder, every=1))

    whole = program(tmp_path / "b")
    assert whole.steps == 13
    with pytest.raises(KeyError):
        program(tmp_path / "c", 10)
    assert same_run(whole, program(tmp_path / "c"))


def test_a_branch_that_was_interrupted_is_resumed_by_the_same_trainer(tmp_path):
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    t, settings = trainer(), Checkpoints(tmp_path / "b", every=2, resume=tmp_path / "a")
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(7)], checkpoints=settings)
    assert same_run(fit(t, checkpoints=settings), fit(trainer()))


def test_a_branch_that_failed_at_its_start_begins_again(tmp_path):
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            raise KeyError("a typo")

    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    for folder in (None, tmp_path / "b"):
        t, settings = trainer(), Checkpoints(folder, resume=tmp_path / "a")
        with pytest.raises(KeyError):
            fit(t, callbacks=[Fails()], checkpoints=settings)
        assert same_run(fit(t, checkpoints=settings), fit(trainer()))


@pytest.mark.parametrize("start", ["a", "a/checkpoints/step_0000000004"])
def test_a_branch_resumes_though_the_run_that_it_began_from_has_gone_on(tmp_path, start):
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    settings = Checkpoints(tmp_path / "b", every=2, resume=tmp_path / start)
    with pytest.raises(KeyError):
        fit(trainer(), steps=20, callbacks=[StopsAt(9)], checkpoints=settings)
    fit(trainer(), steps=16, checkpoints=Checkpoints(tmp_path / "a", every=2))  # which removes its checkpoint of step 4
    again = trainer()
    with pytest.raises(KeyError):
        fit(again, steps=20, callbacks=[StopsAt(9)], checkpoints=settings)
    assert again.steps == 9  # and so from step 8 of the branch


def test_a_branch_does_not_begin_in_the_folder_of_another_run(tmp_path):
    fit(trainer(), steps=3, checkpoints=tmp_path / "b")
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    with pytest.raises(ig.CheckpointError, match="it holds another run at step 3, which would be lost"):
        fit(trainer(), checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert fit(trainer(), steps=3, checkpoints=tmp_path / "b").steps == 3


@pytest.mark.parametrize("moment", ["read_metadata", "hold", "read_bundle"])
@pytest.mark.parametrize("use", ["branch", "load", "record"])
def test_a_run_that_goes_on_while_it_is_read_loses_nothing(tmp_path, monkeypatch, use, moment):
    """The run saves twice, and removes what it had, just before or just after one of the parts is read."""
    run = tmp_path / "run"
    live = fit(trainer(), steps=2, checkpoints=Checkpoints(run, every=1, keep=1))
    read, calls = getattr(run_folder, moment), []

    def goes_on():
        if not calls:
            calls.append(moment)
            with monkeypatch.context() as undone:
                undone.setattr(run_folder, moment, read)
                fit(live, steps=2, checkpoints=Checkpoints(run, every=1, keep=1))

    def before_and_after(path, *args, **options):
        is_first = path.name == "step_0000000002" and goes_first
        if is_first:
            goes_on()
        result = read(path, *args, **options)
        if not is_first:
            goes_on()
        return result

    for goes_first in (True, False):
        calls.clear()
        monkeypatch.setattr(run_folder, moment, before_and_after)
        if use == "record":
            history = read_run(run).history
        else:
            t = trainer()
            if use == "load":
                t.load_checkpoint(run)
            else:
                fit(t, steps=1, checkpoints=Checkpoints(tmp_path / f"branch{goes_first}", resume=run))
            history = t.history
        steps = history.steps("loss/d").tolist()
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) >= 2
        monkeypatch.setattr(run_folder, moment, read)

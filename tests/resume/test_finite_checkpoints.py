"""No checkpoint with weights that are not finite is written or used, and none that is finite is removed for one."""

import json

import pytest
import torch

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints.bundle import write_bundle
from infogan_lib.checkpoints.run_folder import KIND, read_checkpoint
from resume_toys import StopsAt, fit, same_run, trainer, weights

NAMES = ["generator.0.weight", "discriminator.1.bias", "generator.1.running_var", "ema_generator.module.0.weight"]


class Spoils(ig.Callback):
    """Writes a value into a weight after a step."""

    def __init__(self, step, name, value):
        self.step, self.name, self.value = step, name, value

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            trainer.model.state_dict()[self.name].flatten()[0] = self.value


def saved_steps(folder):
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir())


def bad(t):
    return [name for name, tensor in weights(t).items() if not tensor.isfinite().all()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("step", "every"), [(6, 3), (12, 5), (6, 1)])
def test_weights_that_a_callback_spoils_are_not_saved(tmp_path, name, value, step, every):
    t = trainer(ema_decay=0.9)
    with pytest.raises(ig.NonFiniteLossError, match=f"weight '{name}' became .* after step {step - 1} had ended") as e:
        fit(t, callbacks=[Spoils(step, name, value)], checkpoints=Checkpoints(tmp_path, every=every, keep=1))
    last = (step - 1) // every * every
    assert f"The last checkpoint of the run is {tmp_path}/checkpoints/step_{last:010d}." in e.value.__notes__[0]
    assert saved_steps(tmp_path) == [last]
    assert same_run(fit(trainer(ema_decay=0.9), checkpoints=tmp_path), fit(trainer(ema_decay=0.9)))


def test_weights_that_a_callback_spoils_after_the_last_step_are_not_returned():
    with pytest.raises(ig.NonFiniteLossError, match="after step 11 had ended"):
        fit(trainer(), callbacks=[Spoils(12, NAMES[0], float("nan"))])


def test_spoilt_weights_do_not_replace_what_was_saved_by_hand(tmp_path):
    t = fit(trainer(), steps=3)
    t.save_checkpoint(tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    t.model.state_dict()[NAMES[0]].fill_(float("nan"))
    with pytest.raises(ig.NonFiniteLossError, match="Nothing was saved"):
        t.save_checkpoint(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept


def spoil(checkpoint, name, value=float("nan")):
    """Write a checkpoint anew, with right checksums, and a weight that is not finite."""
    read = read_checkpoint(checkpoint, max_bytes=2**30)
    read.state["model"]["tensors"][name].flatten()[0] = value
    write_bundle(checkpoint, KIND, read.metadata, read.state, max_bytes=2**30)
    assert json.loads((checkpoint / "manifest.json").read_text())["metadata"] == read.metadata


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_checkpoint_that_is_not_finite_is_not_resumed(tmp_path, name):
    fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path, every=2, keep=3))
    newest = tmp_path / "checkpoints" / f"step_{6:010d}"
    spoil(newest, name)
    with pytest.warns(UserWarning, match=f"its weight '{name}' is NaN or infinite.*; trying an earlier one"):
        t = fit(trainer(), checkpoints=tmp_path)
    assert bad(t) == []
    assert same_run(t, fit(trainer()))


def test_a_checkpoint_that_is_not_finite_is_refused_where_it_is_named(tmp_path):
    fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path / "a", every=2, keep=1))
    newest = tmp_path / "a" / "checkpoints" / f"step_{6:010d}"
    spoil(newest, NAMES[0])
    with pytest.raises(ig.CheckpointError, match="is NaN or infinite"):
        fit(trainer(), checkpoints=Checkpoints(tmp_path / "b", resume=newest))
    t = trainer()
    before = [tensor.clone() for tensor in weights(t).values()]
    with pytest.raises(ig.CheckpointError, match="is NaN or infinite"):
        t.load_checkpoint(newest)
    assert all(map(torch.equal, before, weights(t).values()))
    with (
        pytest.warns(UserWarning, match="is NaN or infinite"),
        pytest.raises(ig.CheckpointError, match="none of its checkpoints can be used"),
    ):
        fit(trainer(), checkpoints=tmp_path / "a")


@pytest.mark.parametrize("keep", [1, 2])
def test_the_last_finite_checkpoint_stays_until_a_finite_one_is_written(tmp_path, keep):
    fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path, every=2, keep=3))
    for step in (4, 6):
        spoil(tmp_path / "checkpoints" / f"step_{step:010d}", NAMES[0])
    with pytest.warns(UserWarning, match="NaN or infinite"), pytest.raises(KeyError):
        fit(trainer(), callbacks=[StopsAt(3)], checkpoints=Checkpoints(tmp_path, keep=keep))
    assert 2 in saved_steps(tmp_path)
    with pytest.warns(UserWarning, match="NaN or infinite"):
        t = fit(trainer(), checkpoints=Checkpoints(tmp_path, every=1, keep=keep))
    assert same_run(t, fit(trainer()))
    assert saved_steps(tmp_path) == list(range(13 - keep, 13))


def test_buffers_that_hold_infinity_by_design_are_saved(tmp_path):
    def with_mask():
        t = trainer()
        t.model.generator[2].register_buffer("mask", torch.full((3,), float("-inf")))
        return t

    with pytest.raises(KeyError):
        fit(with_mask(), callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=3))
    assert fit(with_mask(), checkpoints=tmp_path).steps == 12

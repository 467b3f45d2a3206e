"""States that do not fit a run, under right checksums: each is a CheckpointError that changes nothing."""

import copy
import shutil

import pytest
import torch
from forged import MAX_BYTES, forge, honest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints.run_folder import read_checkpoint
from infogan_lib.checkpoints.tensor_file import encode
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def trainer(**changes):
    torch.manual_seed(0)
    return make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu", **changes)


def test_plain_data_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "history").mkdir()
    metadata = trainer()._ledger.metadata(tmp_path / "history")
    folder = forge(tmp_path / "c", honest(), metadata=metadata)
    read_checkpoint(folder, max_bytes=MAX_BYTES)
    with pytest.raises(ig.CheckpointError, match="its state is not that of a run"):
        trainer().fit(images(16), steps=1, batch_size=8, checkpoints=Checkpoints(None, resume=folder))


def test_a_checkpoint_that_is_a_link_is_passed_over(tmp_path):
    trainer().fit(images(16), steps=1, batch_size=8, checkpoints=tmp_path / "run")
    newest = tmp_path / "run/checkpoints/step_0000000001"
    newest.rename(tmp_path / "elsewhere")
    newest.symlink_to(tmp_path / "elsewhere")
    t = trainer()
    with pytest.warns(UserWarning, match="symbolic link"):
        t.fit(images(16), steps=1, batch_size=8, checkpoints=tmp_path / "run")
    assert t.steps == 1


def change(state, path, value):
    *way, last = path
    for key in way:
        state = state[key]
    if value is None:
        del state[last]
    else:
        state[last] = value


STATES = [
    (("model",), None, "'model' is not in it"),
    (("surplus",), 1, "'surplus' is unknown here"),
    (("model",), [], "its model should hold"),
    (("model", "tensors", "q.head.weight"), torch.zeros(3), "q.head.weight"),
    (
        ("model", "tensors", "generator.0.weight"),
        torch.zeros(16, 12),
        r"float32 of shape \(16, 12\) in it, but",
    ),
    (("model", "tensors", "generator.0.weight"), torch.zeros(16, 11).double(), "float64"),
    (("model", "tensors", "generator.0.weight"), torch.zeros(16, 11).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    (("model", "tensors", "generator.0.weight"), "abc", "is str in it"),
    (("model", "tensors", "generator.0.weight"), None, "'generator.0.weight' is not in it"),
    (("model", "category_names"), 3, "does not fit"),
    (("optimizers",), 7, "does not hold the state of optimizers"),
    (("optimizers", 0), None, "groups of"),
    (("optimizers", 0, "param_groups", 0, "params"), [0], "groups of"),
    (("optimizers", 0, "param_groups", 0, "params", 3), torch.zeros(3), r"params must be \[0, 1, 2, 3"),
    (("optimizers", 0, "param_groups", 0, "params", 1), True, r"params must be \[0, 1, 2, 3"),
    (("optimizers", 0, "state"), {99: {"step": torch.zeros(())}}, "does not fit"),
    (("optimizers", 0, "state", 0, "exp_avg"), torch.zeros(3), r"'exp_avg' of shape \(3,\) for a parameter of shape"),
    (("optimizers", 0, "state", 0, "exp_avg_sq"), torch.zeros(()), "optimizers do not fit"),
    (("optimizers", 0, "state", 0, "step"), torch.zeros(3), "optimizers do not fit"),
    (("streams", "latents"), None, "random streams"),
    (("streams", "latents"), torch.zeros(3, dtype=torch.uint8), "does not fit"),
    (("streams", "surplus"), torch.zeros(3, dtype=torch.uint8), "random streams"),
    (("step", "count"), "many", "does not fit"),
    (("step", "precision"), {"scale": 1.0}, "another precision"),
    (("step", "precision"), torch.zeros(3, 2), "another precision"),
    (("step", "precision"), [], "another precision"),
    (("position", "fit_starts"), "none", "does not fit"),
    (("position", "batch_index"), None, "does not fit"),
    (("global_rng", "numpy"), [], "does not fit"),
    (("global_rng", "python"), [3, torch.zeros(2), None], "does not fit"),
    (("data",), 5, "does not fit"),
    (("schedulers",), [["LinearLR", {}]], "here are none"),
    (("step", "count"), -5, "step.count must be a whole number from 0"),
    (("step", "count"), 10**30, "step.count must be a whole number from 0"),
    (("position", "batch_index"), -3, "position.batch_index must be a whole number from 0"),
    (("position", "epoch_index"), 10**40, "position.epoch_index must be a whole number from 0"),
    (("position", "fit_starts"), [], "fit_starts is empty"),
    (("position", "fit_starts"), [("a", None)], r"position.fit_starts\[0\]\[0\] must be a whole number"),
    (("position", "fit_starts"), [(-100, -100)], r"position.fit_starts\[0\]\[0\] must be a whole number from 0"),
    (("global_rng", "torch"), torch.zeros(3, dtype=torch.uint8), "global_rng.torch must be a tensor of uint8"),
    (("global_rng", "torch"), torch.zeros(5056), "global_rng.torch must be a tensor of uint8"),
    (("global_rng", "numpy", 1), 625, r"global_rng.numpy\[1\] must be a whole number from 0 to 624"),
    (("global_rng", "numpy", 1), -5, r"global_rng.numpy\[1\] must be a whole number from 0 to 624"),
    (("global_rng", "numpy", 0), torch.zeros(600, dtype=torch.int64), r"global_rng.numpy\[0\] must be .* \(624\)"),
    (("global_rng", "numpy", 3), float("nan"), r"global_rng.numpy\[3\] must be a finite number"),
    (("global_rng", "python", 1), torch.full((625,), -1), r"global_rng.python\[1\] must hold numbers of at least 0"),
    (("model", "pixel_range"), ("a", "b"), r"model.pixel_range\[0\] must be a finite number"),
    (("model", "pixel_range"), (1.0, -1.0), "pixel_range must be"),
    (("model", "category_names"), {"digit": "abcd"}, "'digit'.* must be a list, but got 'abcd'"),
    (("model", "category_names"), {"digit": [1, 2, 3, 4]}, "'digit'.* must be text"),
    (("model", "category_names"), {"<b>": ["x"]}, "no '<b>' in this latent"),
    (("model", "versions"), {"generator.1": {"version": "x"}}, "version must be a whole number"),
    (("model", "tensors", "generator.1.num_batches_tracked"), torch.tensor(-1), "num_batches_tracked must be from 0"),
    (("data", "fingerprint"), 5, "data.fingerprint must be text"),
    (("step",), None, "'step'"),
    (("step",), [], "step must be a dict of 'count'"),
    (("step", "count"), 3, "step.count is 3 in its state and 2 in its manifest"),
    (("step", "count"), 10**9, "step.count is 1,000,000,000 in its state and 2 in its manifest"),
    (("position", "epochs"), 2, "position.epochs is 2 in its state and 1 in its manifest"),
    (("step", "count"), 2**53, "step.count must be a whole number from 0 to 9,999,999,999"),
    (("position", "epoch_index"), 2**53, "position.epoch_index must be a whole number from 0 to 9,999,999,999"),
    (("position", "batch_index"), 10**10, "position.batch_index must be a whole number from 0 to 9,999,999,999"),
    (("position", "epoch_index"), 0, "position.epochs is 1, but epoch_index 0"),
    (("position", "fit_starts"), [(99, 0)], r"position.fit_starts has \(99, 0\) before \(2, 1\)"),
    (("position", "fit_starts"), [(1, 0), (0, 0)], r"position.fit_starts has \(1, 0\) before \(0, 0\)"),
    (("position", "fit_target"), (None, None), "position.fit_target must be a number of steps or of epochs"),
    (("position", "fit_target"), (2, 2), "position.fit_target must be a number of steps or of epochs"),
    (("position", "fit_target"), (0, None), r"position.fit_target\[0\] must be a whole number from 1"),
    (("position", "stopped_fits"), [1], "position.stopped_fits must be different indices of 1 calls"),
    (("position", "stopped_fits"), [0, 0], "position.stopped_fits must be different indices of 1 calls"),
]


@pytest.mark.parametrize(("path", "value", "message"), STATES)
def test_a_state_that_does_not_fit_changes_nothing(tmp_path, path, value, message):
    source = trainer()
    source.fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    checkpoint = read_checkpoint(tmp_path / "run", max_bytes=MAX_BYTES)
    state = copy.deepcopy(checkpoint.state)
    change(state, path, value)
    folder = forge(tmp_path / "forged", encode(state), metadata=checkpoint.metadata)

    target = trainer(seed=0)
    target.step(images(8, seed=5))
    before = copy.deepcopy([target.model.state_dict(), target.streams.state_dict()])
    rng_state = torch.get_rng_state()
    with pytest.raises(ig.CheckpointError, match=message):
        target.fit(images(16), steps=2, batch_size=8, checkpoints=Checkpoints(None, resume=folder))
    for now, then in zip([target.model.state_dict(), target.streams.state_dict()], before, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)
    assert torch.equal(torch.get_rng_state(), rng_state)
    assert (target.steps, len(target.history["loss/d"])) == (1, 1)
    metrics = target.step(images(8, seed=6))
    twin = trainer(seed=0)
    twin.step(images(8, seed=5))
    assert twin.step(images(8, seed=6)) == metrics


@pytest.mark.parametrize("state", [torch.zeros(3, 2, dtype=torch.complex64), [], (1, 2), "position", 7, None], ids=str)
def test_a_state_without_parts_is_refused(tmp_path, state):
    trainer().fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    checkpoint = read_checkpoint(tmp_path / "run", max_bytes=MAX_BYTES)
    folder = forge(tmp_path / "forged", encode(state), metadata=checkpoint.metadata)
    for load in (
        trainer().load_checkpoint,
        lambda path: trainer().fit(images(16), steps=2, batch_size=8, checkpoints=Checkpoints(None, resume=path)),
    ):
        with pytest.raises(ig.CheckpointError, match="its state is not that of a run"):
            load(folder)


STATES_OF_THE_FOLDER = [  # which a run that begins from another one may have
    (("data", "source", "length"), 17, "the run's data had length 17, and this data has 16"),
    (("callbacks",), [["JSONLLogger", {}]], "here are none"),
    (("position", "batch_index"), 10**9, "batch 1,000,000,000 of an epoch, and this data has 2 batches"),
]


@pytest.mark.parametrize(("path", "value", "message"), STATES_OF_THE_FOLDER)
def test_a_state_that_does_not_fit_the_run_in_its_folder_is_refused(tmp_path, path, value, message):
    trainer().fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    checkpoint = read_checkpoint(tmp_path / "run", max_bytes=MAX_BYTES)
    state = copy.deepcopy(checkpoint.state)
    change(state, path, value)
    shutil.rmtree(checkpoint.path)
    forge(checkpoint.path, encode(state), metadata=checkpoint.metadata)
    target = trainer()
    before = copy.deepcopy(target.model.state_dict())
    with pytest.raises(ig.CheckpointError, match=message):
        target.fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    assert all(torch.equal(value, before[name]) for name, value in target.model.state_dict().items())


LINE = "0" * 64 + " 100 1 2 0"

HISTORIES = [
    (None, "'history' is not in it"),
    ([], r"metadata.history must be a dict of 'columns' and 'segments'"),
    ({"columns": []}, "metadata.history must be .* 'segments' is not in it"),
    ({"columns": "ab", "segments": []}, "metadata.history.columns must be a list"),
    ({"columns": [["loss/d", 7]], "segments": []}, r"metadata.history.columns\[0\]\[1\] must be text"),
    ({"columns": [["loss/d"]], "segments": [7]}, r"metadata.history.segments\[0\] must be text"),
    ({"columns": [["loss/d"]], "segments": ["../" + LINE]}, r"metadata.history.segments\[0\] must be text like"),
    (
        {"columns": [["loss/d"]], "segments": [LINE + "0" * 99]},
        "segments.* must be text of at most",
    ),
    ({"columns": [["loss/d"]], "segments": [LINE[:-1] + "1"]}, "its manifest does not name a history"),
    ({"columns": [["loss/d"]], "segments": [LINE, LINE]}, "its manifest does not name a history.*named twice"),
]


@pytest.mark.parametrize(("history", "message"), HISTORIES)
def test_a_manifest_that_names_no_history_is_refused_by_the_field(tmp_path, history, message):
    trainer().fit(images(16), steps=2, batch_size=8, checkpoints=tmp_path / "run")
    checkpoint = read_checkpoint(tmp_path / "run", max_bytes=MAX_BYTES)
    metadata = {**checkpoint.metadata, "history": history}
    if history is None:
        del metadata["history"]
    folder = forge(tmp_path / "forged", encode(checkpoint.state), metadata=metadata)
    target = trainer()
    with pytest.raises(ig.CheckpointError, match=message):
        target.fit(images(16), steps=2, batch_size=8, checkpoints=Checkpoints(None, resume=folder))
    with pytest.raises(ig.CheckpointError, match=message):
        target.load_checkpoint(folder)
    assert (target.steps, list(target.history)) == (0, [])

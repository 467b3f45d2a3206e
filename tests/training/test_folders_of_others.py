"""What was saved is not overwritten by something else, and a run does not begin in a part of another one's folder."""

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib._schema import MAX_STEPS
from infogan_lib.checkpoints.run_folder import RunFolder, read_checkpoint
from resume_toys import fit, trainer

STEPS = 2


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def saved(kind, folder):
    """A trainer, and the folder in which something of it was saved."""
    t = fit(trainer(), steps=STEPS, checkpoints=folder if kind in ("run", "checkpoint") else None)
    if kind == "model":
        t.model.save(folder)
    if kind == "trainer state":
        t.save_checkpoint(folder)
    return t, folder / f"checkpoints/step_{STEPS:010d}" if kind == "checkpoint" else folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("run", "this is a run folder; give the model a folder of its own"),
        ("checkpoint", "it holds a checkpoint, which would be lost; give the model a folder of its own"),
        ("trainer state", "it holds a trainer state, which would be lost; give the model a folder of its own"),
    ],
)
def test_a_model_is_saved_over_nothing_but_a_model(tmp_path, kind, message):
    t, folder = saved(kind, tmp_path)
    before = content(tmp_path)
    with pytest.raises(ig.CheckpointError, match=message):
        t.model.save(folder)
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", ["run", "checkpoint", "model"])
def test_a_trainer_is_saved_over_nothing_but_its_own_state(tmp_path, kind):
    t, folder = saved(kind, tmp_path)
    before = content(tmp_path)
    with pytest.raises(ig.CheckpointError, match="give the trainer state a folder of its own"):
        t.save_checkpoint(folder)
    assert content(tmp_path) == before


@pytest.mark.parametrize("kind", ["model", "trainer state"])
def test_what_was_saved_is_saved_again(tmp_path, kind):
    saved(kind, tmp_path)
    saved(kind, tmp_path)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (f"checkpoints/step_{STEPS:010d}", r"begin a run from a checkpoint, give Checkpoints\(another_folder, resume="),
        ("checkpoints", "these are the checkpoints of a run; give the run's folder"),
    ],
)
def test_no_run_begins_in_a_part_of_another_one(tmp_path, part, message):
    fit(trainer(), steps=STEPS, checkpoints=tmp_path)
    before = content(tmp_path)
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(), steps=STEPS, checkpoints=tmp_path / part)
    assert content(tmp_path) == before
    fit(trainer(), steps=STEPS + 1, checkpoints=tmp_path)


def test_no_run_begins_in_the_folder_of_a_model(tmp_path):
    saved("model", tmp_path)
    with pytest.raises(ig.CheckpointError, match="this is no run folder but something that was saved"):
        fit(trainer(), steps=STEPS, checkpoints=Checkpoints(tmp_path))


def test_no_step_is_saved_under_a_name_that_is_not_found_again(tmp_path):
    fit(trainer(), steps=STEPS, checkpoints=tmp_path)
    checkpoint = read_checkpoint(tmp_path, max_bytes=2**28)
    with RunFolder(tmp_path, keep=1, max_bytes=2**28) as folder:
        with pytest.raises(ig.CheckpointError, match="a run has at most 9,999,999,999 steps"):
            folder.save(MAX_STEPS + 1, checkpoint.metadata, checkpoint.state)
        assert folder.newest_step() == STEPS

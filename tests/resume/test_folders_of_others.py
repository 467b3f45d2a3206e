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


@pytest.mark.parametrize(
    "save",
    [
        lambda t, folder: fit(trainer(), checkpoints=folder),
        lambda t, folder: t.model.save(folder),
        lambda t, folder: t.save_checkpoint(folder),
    ],
    ids=["run", "model", "trainer state"],
)
def test_nothing_else_takes_the_place_of_a_checkpoint_which_the_run_would_remove(tmp_path, save):
    """Such as that of a checkpoint which was removed, with a newer one there."""
    t = fit(trainer(), steps=STEPS, checkpoints=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ig.CheckpointError, match="this is the place of a run's checkpoint, and there"):
        save(t, tmp_path / "checkpoints" / "step_0000000001")
    assert sorted(tmp_path.rglob("*")) == before


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
    message = "this is no run folder but something that was saved; it holds a saved model; give the run a folder of"
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(), steps=STEPS, checkpoints=Checkpoints(tmp_path))


def test_a_run_ignores_the_manifest_of_another_program(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a page", "kind": "model"}')
    fit(trainer(), steps=STEPS, checkpoints=tmp_path)
    assert read_checkpoint(tmp_path, max_bytes=2**28).step == STEPS
    trainer().load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content",
    ['{"name": "a page"}', "", '{\n "kind": "model",\n "format": 3}', '{\n "kind": "album",\n "format": 2}'],
    ids=["another program's", "empty", "newer", "newer kind"],
)
def test_what_cannot_be_read_is_not_saved_over(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    for save, kind in ((trainer().model.save, "model"), (trainer().save_checkpoint, "trainer state")):
        with pytest.raises(ig.CheckpointError, match=rf"cannot be read \(.*\); give the {kind} another folder"):
            save(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == content


@pytest.mark.parametrize("kept", [60, -5])
def test_a_damaged_model_is_saved_again_by_a_model_alone(tmp_path, kept):
    t, _ = saved("model", tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:kept])
    with pytest.raises(ig.CheckpointError, match="it holds a model, which would be lost"):
        t.save_checkpoint(tmp_path)
    t.model.save(tmp_path)
    ig.InfoGAN.load(tmp_path, generator=t.model.generator, discriminator=t.model.discriminator)


def test_a_folder_named_checkpoints_is_no_run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "others.pt").write_bytes(b"")
    t, _ = saved("model", tmp_path)
    t.model.save(tmp_path)
    with pytest.raises(ig.CheckpointError, match="it holds a saved model"):
        fit(trainer(), steps=STEPS, checkpoints=tmp_path)


def test_no_step_is_saved_under_a_name_that_is_not_found_again(tmp_path):
    fit(trainer(), steps=STEPS, checkpoints=tmp_path)
    checkpoint = read_checkpoint(tmp_path, max_bytes=2**28)
    with RunFolder(tmp_path, keep=1, max_bytes=2**28) as folder:
        with pytest.raises(ig.CheckpointError, match="a run has at most 9,999,999,999 steps"):
            folder.save(MAX_STEPS + 1, checkpoint.metadata, checkpoint.state)
        assert folder.newest_step() == STEPS

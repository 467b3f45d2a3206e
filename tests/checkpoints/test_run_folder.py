"""The checkpoints in a run folder, one by one."""

import warnings

import pytest

import infogan_lib as ig
from infogan_lib.checkpoints.run_folder import RunFolder, latest_checkpoint, read_checkpoint

MAX_BYTES = 1 << 20


def write(folder, *steps, keep=9):
    with RunFolder(folder, keep=keep, max_bytes=MAX_BYTES) as run:
        for step in steps:
            run.save(step, {"step": step}, {"count": step})


def test_the_newest_checkpoint_is_the_latest(tmp_path):
    assert latest_checkpoint(tmp_path, max_bytes=MAX_BYTES) is None
    write(tmp_path, 1, 10, 2)
    checkpoint = read_checkpoint(tmp_path, max_bytes=MAX_BYTES)
    assert (checkpoint.step, checkpoint.state) == (10, {"count": 10})
    assert checkpoint.path.name == "step_0000000010"


def test_old_checkpoints_are_removed(tmp_path):
    write(tmp_path, 1, 2, 3, keep=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_0000000002", "step_0000000003"]


def test_a_checkpoint_is_replaced_in_one_piece(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "checkpoints" / "step_0000000001" / "other").write_text("")
    write(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step_0000000001"
    assert len(list(folder.iterdir())) == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_damaged_checkpoints_that_lead_to_others_are_not_followed(tmp_path):
    """Each holds a link to all of them, which would be followed without an end."""
    write(tmp_path, 1, 2, 3)
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "manifest.json").write_text("")
        (folder / "checkpoints").symlink_to("..")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ig.CheckpointError, match="none of its checkpoints can be used"):
            read_checkpoint(tmp_path, max_bytes=MAX_BYTES)
    assert len(caught) == 3


def test_a_checkpoint_is_loaded_whatever_else_is_in_its_folder(tmp_path):
    """Neither the run that a link leads to, nor a run inside it."""
    write(tmp_path / "run", 1, 2)
    write(tmp_path / "other", 7)
    first, second = sorted((tmp_path / "run/checkpoints").iterdir())
    (first / "checkpoints").symlink_to("..")
    (tmp_path / "other/checkpoints").rename(second / "checkpoints")
    for step, path in ((1, first), (2, second)):
        assert read_checkpoint(path, max_bytes=MAX_BYTES).step == step


def test_what_a_dead_process_left_is_removed(tmp_path):
    write(tmp_path, 1)
    for name in (".saving-a", ".removing-b"):
        (tmp_path / "checkpoints" / name).mkdir()
        (tmp_path / "checkpoints" / name / "state").write_text("half")
    write(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_0000000001"]

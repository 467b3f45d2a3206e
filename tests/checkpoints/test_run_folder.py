"""The checkpoints in a run folder, one by one."""

import os
import shutil
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


@pytest.mark.parametrize("name", ["rename", "replace", "unlink", "rmdir", "fsync"])
def test_a_checkpoint_that_is_saved_again_is_there_at_every_moment(tmp_path, monkeypatch, name):
    """It may be the only one of the run, which would begin again if the process died without it."""
    found, real = [], getattr(os, name)

    def watched(*args, **options):
        result = real(*args, **options)
        found.append(latest_checkpoint(tmp_path, max_bytes=MAX_BYTES))
        return result

    write(tmp_path, 1)
    with RunFolder(tmp_path, keep=1, max_bytes=MAX_BYTES) as run:
        monkeypatch.setattr(os, name, watched)
        run.save(1, {"step": 1}, {"count": 2})
        monkeypatch.undo()
    assert all(checkpoint is not None for checkpoint in found)
    assert read_checkpoint(tmp_path, max_bytes=MAX_BYTES).state == {"count": 2}


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


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("keep", [1, 2])
def test_a_copy_under_the_name_of_a_later_step_takes_nobody_s_place(tmp_path, keep):
    write(tmp_path, 6)
    copy = tmp_path / "checkpoints" / "step_0000000900"
    shutil.copytree(tmp_path / "checkpoints" / "step_0000000006", copy)
    with pytest.warns(UserWarning, match=r"step_0000000900: it holds step 6, so it was renamed or copied.*; trying"):
        assert read_checkpoint(tmp_path, max_bytes=MAX_BYTES).path.name == "step_0000000006"
    with pytest.raises(ig.CheckpointError, match="it holds step 6"):
        read_checkpoint(copy, max_bytes=MAX_BYTES)
    with RunFolder(tmp_path, keep=keep, max_bytes=MAX_BYTES) as run:
        assert run.newest_step() == 6
        for step in (8, 10):
            run.save(step, {"step": step}, {"count": step})
            assert f"step_{step:010d}" in names(tmp_path)
    with pytest.warns(UserWarning, match="it holds step 6"):
        assert read_checkpoint(tmp_path, max_bytes=MAX_BYTES).step == 10


@pytest.mark.parametrize("name", ["step_" + "9" * 40, "step_00000000900", "step_" + "\u0660" * 8 + "\u0669" * 2])
def test_a_name_of_other_digits_is_no_checkpoint(tmp_path, name):
    write(tmp_path, 4, 6)
    shutil.copytree(tmp_path / "checkpoints" / "step_0000000004", tmp_path / "checkpoints" / name)
    assert read_checkpoint(tmp_path, max_bytes=MAX_BYTES).step == 6
    write(tmp_path, 8, keep=1)
    assert names(tmp_path) == sorted(["step_0000000008", name])


def test_a_copy_under_a_name_of_one_s_own_is_read(tmp_path):
    write(tmp_path, 6)
    best = shutil.copytree(tmp_path / "checkpoints" / "step_0000000006", tmp_path / "best")
    assert read_checkpoint(best, max_bytes=MAX_BYTES).step == 6


def test_a_damaged_checkpoint_is_not_the_newest(tmp_path):
    write(tmp_path, 1, 2)
    (tmp_path / "checkpoints" / "step_0000000002" / "manifest.json").write_text("")
    with RunFolder(tmp_path, keep=2, max_bytes=MAX_BYTES) as run:
        assert run.newest_step() == 1
        (tmp_path / "checkpoints" / "step_0000000001" / "manifest.json").write_text("")
        assert run.newest_step() == 2  # there are some, though none can be used


def test_a_state_that_fails_a_check_is_not_used_and_the_one_used_is_kept(tmp_path):
    def check(path, state):
        if state["count"] in (2, 3):
            raise ig.CheckpointError(path, "not this one")

    write(tmp_path, 1, 2, 3)
    with RunFolder(tmp_path, keep=1, max_bytes=MAX_BYTES, check=check) as run:
        with pytest.warns(UserWarning, match="not this one; trying an earlier one"):
            assert run.latest().step == 1
        run.rotate()
        assert "step_0000000001" in names(tmp_path)
        run.save(4, {"step": 4}, {"count": 4})
        assert names(tmp_path) == ["step_0000000004"]


def test_nothing_is_saved_or_removed_in_a_folder_that_took_the_place_of_the_run_s(tmp_path):
    write(tmp_path / "other", 1, 2, 3)
    with RunFolder(tmp_path / "run", keep=1, max_bytes=MAX_BYTES) as run:
        run.save(1, {"step": 1}, {"count": 1})
        (tmp_path / "run").rename(tmp_path / "away")
        (tmp_path / "other").rename(tmp_path / "run")
        with pytest.raises(ig.CheckpointError, match="moved, removed or replaced"):
            run.save(4, {"step": 4}, {"count": 4})
        with pytest.raises(ig.CheckpointError, match="moved, removed or replaced"):
            run.rotate()
    assert len(names(tmp_path / "run")) == 3
    assert names(tmp_path / "away") == ["step_0000000001"]

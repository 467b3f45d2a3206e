"""A lock never empties a file that is not its own."""

import os

import pytest

import infogan_lib as ig
from infogan_lib.checkpoints.lock import RunLock


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_is_refused(tmp_path, link):
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / "run").mkdir()
    link(precious, tmp_path / "run" / "lock")
    with pytest.raises(ig.CheckpointError, match="link"), RunLock(tmp_path / "run"):
        pass
    assert precious.read_text() == "text"


def test_a_lock_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(ig.CheckpointError, match="not a lock but a link or a device"), RunLock(tmp_path):
        pass


def test_a_lock_is_held_once_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with RunLock(tmp_path):
            assert str(os.getpid()) in (tmp_path / "lock").read_text()
            with pytest.raises(ig.CheckpointError, match="another trainer of this process"), RunLock(tmp_path):
                pass

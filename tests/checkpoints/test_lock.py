"""A run folder is held by one process, and its lock never empties a file that is not its own."""

import errno
import os
import stat
import sys

import pytest

import infogan_lib as ig
from infogan_lib.checkpoints import lock as lock_module
from infogan_lib.checkpoints.lock import RunLock
from run_folder_changes import checkpoints_linked, lock_removed


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_is_refused(tmp_path, link):
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / "run").mkdir()
    link(precious, tmp_path / "run" / "lock")
    with pytest.raises(ig.CheckpointError, match="link"), RunLock(tmp_path / "run"):
        pass
    assert precious.read_text() == "text"


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
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


def in_a_fork(run):
    """What a call in a fork of this process ends with: "" or the message of its CheckpointError."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        message = "another error"
        try:
            run()
            message = ""
        except ig.CheckpointError as error:
            message = str(error)
        finally:
            os.write(writer, message.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


def hold(folder):
    with RunLock(folder):
        pass


@pytest.mark.parametrize("content", ["important\n" * 3, "process " + "x" * 2000])
def test_a_file_that_is_no_lock_is_not_written_into(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    with pytest.raises(ig.CheckpointError, match="not a lock but another file; move it away"):
        hold(tmp_path)
    assert (tmp_path / "lock").read_text() == content


def lock_emptied(folder):
    (folder / "other").write_text("")
    (folder / "other").rename(folder / "lock")
    return folder


def renamed(folder):
    return folder.rename(folder.with_name("renamed"))


@pytest.mark.parametrize("change", [lock_removed, lock_emptied, checkpoints_linked, renamed])
def test_a_second_trainer_is_refused_whatever_happened_to_the_lock_file(tmp_path, change):
    with RunLock(tmp_path / "run"):
        other = change(tmp_path / "run")
        assert "is using it; wait until it ends" in in_a_fork(lambda: hold(other))
        with pytest.raises(ig.CheckpointError, match="another trainer of this process"):
            hold(other)
    hold(other)


def test_who_holds_checkpoints_that_another_folder_links_to_is_named(tmp_path):
    with RunLock(tmp_path / "run"):
        other = checkpoints_linked(tmp_path / "run")
        assert f"process {os.getpid()} on " in in_a_fork(lambda: hold(other))


def test_a_fork_does_not_hold_the_lock(tmp_path):
    with RunLock(tmp_path) as lock:
        assert f"process {os.getpid()} is using it, and this is a fork" in in_a_fork(lock.check)
        assert in_a_fork(lambda: lock.__exit__(None, None, None)) == ""
        lock.check()
        assert "is using it" in in_a_fork(lambda: hold(tmp_path))


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_that_was_moved_away_is_no_longer_held(tmp_path, is_replaced):
    with RunLock(tmp_path / "run") as lock:
        (tmp_path / "run").rename(tmp_path / "away")
        if is_replaced:
            (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        with pytest.raises(ig.CheckpointError, match="moved, removed or replaced during the run"):
            lock.check()


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOTSUP])
def test_where_directories_cannot_be_locked_the_file_is(tmp_path, monkeypatch, number):
    acquire = lock_module._acquire

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        acquire(descriptor)

    monkeypatch.setattr(lock_module, "_acquire", files_only)
    with RunLock(tmp_path) as lock:
        assert f"process {os.getpid()} on " in in_a_fork(lambda: hold(tmp_path))
        lock.check()
        (tmp_path / "lock").unlink()
        with pytest.raises(ig.CheckpointError, match="lock: it was moved, removed or replaced"):
            lock.check()

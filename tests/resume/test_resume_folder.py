"""The run folder of a fit: damage, rotation, locks and faults of the disk."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints, hub, recipes
from infogan_lib.checkpoints.lock import RunLock
from infogan_lib.checkpoints.run_folder import RunFolder, read_checkpoint
from infogan_lib.distributed import Processes
from infogan_lib.resume.session import FitSession
from line_interrupts import interrupted_at_line
from resume_toys import fit, same_run, trainer
from toys import dense_discriminator, dense_generator


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path, every=5, keep=3))
    newest = tmp_path / "checkpoints" / f"step_{12:010d}"
    state = next(newest.glob("state-*"))
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step_0000000012.*is damaged; trying an earlier one"):
        again = fit(trainer(), checkpoints=tmp_path)
    assert same_run(fit(trainer()), again)
    read_checkpoint(newest, max_bytes=2**30)  # it was written anew


def test_if_all_are_damaged_no_new_run_begins(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path, every=5))
    for state in tmp_path.rglob("state-*"):
        state.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ig.CheckpointError, match="none of its checkpoints can be used"),
    ):
        fit(trainer(), checkpoints=tmp_path)


def test_rotation_keeps_the_newest_and_never_the_last_good_one_away(tmp_path):
    def steps():
        return sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir())

    fit(trainer(), checkpoints=Checkpoints(tmp_path, every=1, keep=3))
    assert steps() == [10, 11, 12]
    with RunFolder(tmp_path, keep=2, max_bytes=2**30) as folder:
        for step in (11, 12):
            next((tmp_path / "checkpoints" / f"step_{step:010d}").glob("state-*")).write_bytes(b"")
        folder.rotate()
        assert steps() == [10, 11, 12]  # the two newest are damaged, so the third stays
        checkpoint = read_checkpoint(tmp_path / "checkpoints" / f"step_{10:010d}", max_bytes=2**30)
        folder.save(13, checkpoint.metadata | {"step": 13}, checkpoint.state)
        assert steps() == [12, 13]


def test_leftovers_of_dead_writers_are_cleared(tmp_path):
    fit(trainer(), checkpoints=tmp_path)
    for name in (".saving-abc", ".removing-def"):
        left = tmp_path / "checkpoints" / name
        left.mkdir()
        (left / "state-0.pt").write_bytes(b"half")
    fit(trainer(), checkpoints=tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] != []
    assert not list((tmp_path / "checkpoints").glob(".*"))


HOLDER = """
import sys, time
from pathlib import Path
from infogan_lib.checkpoints.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_two_processes_cannot_share_a_folder_and_a_dead_one_leaves_no_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ig.CheckpointError, match=f"process {other.pid} on .* is using it"):
            fit(trainer(), checkpoints=tmp_path)
        other.kill()
        other.wait()
        fit(trainer(), checkpoints=tmp_path)
    assert f"process {os.getpid()} on " in (tmp_path / "lock").read_text()


def test_two_trainers_of_one_process_cannot_share_a_folder(tmp_path):
    tmp_path.joinpath("link").symlink_to(tmp_path)
    with RunLock(tmp_path), pytest.raises(ig.CheckpointError, match="another trainer of this process"):
        fit(trainer(), checkpoints=tmp_path / "link")
    fit(trainer(), checkpoints=tmp_path)


def test_forked_workers_do_not_keep_the_lock(tmp_path):
    with RunLock(tmp_path):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
    try:
        with RunLock(tmp_path):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.slow
def test_reading_the_lock_file_does_not_open_the_lock(tmp_path):
    command = [sys.executable, "-c", HOLDER.replace("sleep(60)", "sleep(0)"), str(tmp_path)]
    with RunLock(tmp_path):
        (tmp_path / "lock").read_text()
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ig.CheckpointError, match="permission is denied, so choose a folder"):
        fit(trainer(), checkpoints=tmp_path / "run")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("ENOSPC", "the disk is full, so free some space"),
        ("EDQUOT", "your quota is used up"),
        ("EACCES", "permission is denied, so choose a folder"),
        ("EROFS", "the file system is read-only"),
        ("EIO", "the disk reported an error"),
    ],
)
def test_faults_of_the_disk_are_named_before_the_first_step(tmp_path, monkeypatch, number, message):
    import errno

    def fails(*arguments, **keywords):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)), str(tmp_path / "run"))

    monkeypatch.setattr(os, "mkdir", fails)
    t = trainer()
    with pytest.raises(ig.CheckpointError, match=message):
        fit(t, checkpoints=tmp_path / "run")
    assert t.steps == 0


@pytest.mark.parametrize("call", ["fit", "resume", "load_checkpoint", "load", "from_pretrained", "load_run"])
def test_a_folder_that_may_not_be_looked_at_is_named(tmp_path, monkeypatch, call):
    """As one inside of a folder of another user; root may look at all of them."""
    look, folder = os.stat, tmp_path / "run"
    networks = {"generator": dense_generator(), "discriminator": dense_discriminator()}

    def fails(path, *arguments, **keywords):
        if str(path).startswith(str(folder)):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **keywords)

    calls = {
        "fit": lambda: fit(trainer(), checkpoints=folder),
        "resume": lambda: fit(trainer(), checkpoints=Checkpoints(None, resume=folder)),
        "load_checkpoint": lambda: trainer().load_checkpoint(folder),
        "load": lambda: ig.InfoGAN.load(folder, **networks),
        "from_pretrained": lambda: hub.from_pretrained(folder, **networks),
        "load_run": lambda: recipes.load_run(folder),
    }
    monkeypatch.setattr(os, "stat", fails)
    with pytest.raises(ig.CheckpointError, match=f"{folder}.*permission is denied"):
        calls[call]()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ig.CheckpointError, match="a file is in"):
        fit(trainer(), checkpoints=tmp_path / "run")


def test_a_disk_that_is_nearly_full_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.warns(UserWarning, match="has 10,000 bytes free, and a checkpoint of this run may take"):
        fit(trainer(), checkpoints=tmp_path)


def test_checkpoints_can_be_copied_elsewhere(tmp_path):
    fit(trainer(), steps=5, checkpoints=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert same_run(fit(trainer(), checkpoints=tmp_path / "a"), fit(trainer(), checkpoints=tmp_path / "b"))


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    class Moves(ig.Callback):
        def on_step_end(self, trainer, metrics):
            os.chdir("/")

    monkeypatch.chdir(tmp_path)
    fit(trainer(), callbacks=[Moves()], checkpoints=Checkpoints("run", every=1))
    assert (tmp_path / "run/checkpoints/step_0000000012").exists()


def test_an_interrupt_at_any_line_of_locking_leaves_no_lock(tmp_path):
    ledger = SimpleNamespace(max_bytes=2**20, size=1, check_state=None, parts={}, end_call=lambda: None)
    settings = SimpleNamespace(path=tmp_path, keep=1)
    interrupts = 0
    while True:
        session = FitSession(ledger, settings, None, [], Processes())
        with interrupted_at_line(interrupts, is_in_enter) as seen, suppress(KeyboardInterrupt), session:
            pass
        with RunLock(tmp_path):
            pass
        if not seen:
            break
        interrupts += 1
    assert interrupts > 30


def is_in_enter(frame):
    """Whether a frame is of the library, in `FitSession.__enter__` or what that calls."""
    caller = frame
    while caller is not None:
        if caller.f_code is FitSession.__enter__.__code__:
            return "infogan_lib" in frame.f_code.co_filename
        caller = caller.f_back
    return False


def test_a_run_goes_on_where_the_folder_of_its_history_was_removed(tmp_path):
    class Removes(ig.Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 5:
                shutil.rmtree(tmp_path / "history")

    t = fit(trainer(), callbacks=[Removes()], checkpoints=Checkpoints(tmp_path, every=2))
    assert len(t.history["loss/d"]) == t.steps

"""Files that belong together, whatever happens while they are written: all old ones or all new ones."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from infogan_lib import CheckpointError, InfoGAN
from infogan_lib.checkpoints import lock, together
from infogan_lib.checkpoints.together import write_together, write_whole
from infogan_lib.experiments import compare
from infogan_lib.history.history import History
from infogan_lib.viz import animate_folder, plot_history, save_figure, save_png, write_report
from toys import LATENT, dense_discriminator, dense_generator, images

resource = pytest.importorskip("resource", reason="Windows has no limits")

OLD, NEW = {"a": b"old a", "b/c": b"old c"}, {"a": b"new a", "b/c": b"new c", "d": b"new d"}


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_replaced_and_folders_made(tmp_path):
    write_together(tmp_path / "x" / "y", OLD)
    assert files(tmp_path / "x" / "y") == OLD
    write_together(tmp_path / "x" / "y", NEW)
    assert files(tmp_path / "x" / "y") == NEW


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_file_that_cannot_be_written_leaves_all_as_they_were(tmp_path, monkeypatch, number, error):
    write_together(tmp_path, OLD)
    calls = []

    def failing(path, data, *args):
        calls.append(path)
        if len(calls) == number:
            raise error
        return write_aside(path, data, *args)

    write_aside = together.write_aside
    monkeypatch.setattr(together, "write_aside", failing)
    with pytest.raises(type(error)):
        write_together(tmp_path, NEW)
    assert files(tmp_path) == OLD


def test_a_folder_in_the_place_of_a_file_leaves_all_as_they_were(tmp_path):
    write_together(tmp_path, OLD)
    (tmp_path / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        write_together(tmp_path, NEW)
    assert files(tmp_path) == OLD


def test_an_interrupt_between_two_renames_waits_for_the_last(tmp_path, monkeypatch):
    write_together(tmp_path, OLD)
    rename = Path.replace

    def interrupting(self, target):
        signal.raise_signal(signal.SIGINT)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupting)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, NEW)
    assert files(tmp_path) == NEW


def test_an_interrupt_waits_until_all_folders_are_synced(tmp_path, monkeypatch):
    write_together(tmp_path, OLD)
    synced = []

    def interrupting(folder):
        signal.raise_signal(signal.SIGINT)
        synced.append(folder)

    monkeypatch.setattr(together, "fsync_dir", interrupting)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, NEW)
    assert set(synced) == {tmp_path, tmp_path / "b"}


def test_what_a_dead_process_left_is_removed(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".together-0123").write_bytes(b"half")
    (tmp_path / "b" / ".together-0123").write_bytes(b"half")
    (tmp_path / ".writing-0123").write_bytes(b"another's")
    write_together(tmp_path, {"a": b"new", "b/c": b"new"})
    assert files(tmp_path) == {"a": b"new", "b/c": b"new", ".writing-0123": b"another's"}


def test_one_file_waits_for_nobody_and_leaves_the_drafts_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_MAX_WAIT", 0.0)
    (tmp_path / ".together-0123").write_bytes(b"half")
    with lock.hold_for_writing(tmp_path):
        write_whole(tmp_path / "a", b"new")
    assert files(tmp_path) == {"a": b"new", ".together-0123": b"half"}


def test_what_a_dead_writer_of_one_file_left_is_removed_an_hour_later(tmp_path):
    for age, name in ((4000, ".whole-dead"), (100, ".whole-alive")):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    write_whole(tmp_path / "a", b"new")
    assert files(tmp_path) == {"a": b"new", ".whole-alive": b"half"}


def test_a_full_device_is_named():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no such device")
    with pytest.raises(OSError, match="/dev/full"):
        write_whole(Path("/dev/full"), b"new")


@pytest.mark.parametrize("inside", [False, True], ids=["fifo", "link to it"])
def test_a_pipe_is_written_into(tmp_path, inside):
    path = fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if inside:
        path = tmp_path / "link"
        path.symlink_to(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    write_together(tmp_path, {path.name: b"new", "a": b"beside it"})
    reader.join(5)
    assert read == [b"new"]
    assert fifo.is_fifo()
    assert (tmp_path / "a").read_bytes() == b"beside it"


def test_an_open_descriptor_is_written_into(tmp_path):
    if not Path("/dev/fd").exists():
        pytest.skip("this system does not name descriptors")
    end, start = os.pipe()
    try:
        write_whole(Path(f"/dev/fd/{start}"), b"new")
        assert os.read(end, 10) == b"new"
    finally:
        os.close(end)
        os.close(start)


def test_a_link_stays_and_the_file_that_it_names_is_replaced(tmp_path):
    target = tmp_path / "elsewhere" / "a"
    target.parent.mkdir()
    target.write_bytes(b"old")
    (tmp_path / "a").symlink_to(target)
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").is_symlink()
    assert files(tmp_path / "elsewhere") == {"a": b"new"}


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "a"
    for mode in (0o600, 0o664):
        path.write_bytes(b"old")
        path.chmod(mode)
        write_whole(path, b"new")
        assert path.stat().st_mode & 0o777 == mode
        assert path.read_bytes() == b"new"


def trained():
    torch.manual_seed(0)
    return InfoGAN(dense_generator(), dense_discriminator(), LATENT)


def history():
    made = History()
    for step in range(1, 400):
        made.record(step, {"loss/d": step / 7, "loss/g": step / 3})
    return made


def run_in(folder):
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps({"metrics": {"nmi": 0.5}, "settings": {}, "seed": 0}))
    return folder


def pictures_in(folder):
    for step in range(1, 4):
        save_png(np.random.default_rng(step).random((40, 40, 3)), folder / f"step_{step}.png")
    return folder


WRITERS = {
    "table": lambda folder: history().to_csv(folder / "a.csv"),
    "picture": lambda folder: save_png(np.random.default_rng(0).random((64, 64, 3)), folder / "a.png"),
    "figure": lambda folder: save_figure(plot_history(history()), folder / "a.pdf"),
    "animation": lambda folder: animate_folder(folder.parent / "pictures", folder / "a.gif"),
    "comparison": lambda folder: compare([folder.parent / "run"], folder / "a.html"),
    "report": lambda folder: write_report(trained(), images(8), out=folder / "a.html"),
}


_ENDINGS = {"table": "csv", "picture": "png", "figure": "pdf", "animation": "gif"} | dict.fromkeys(
    ["comparison", "report"], "(html|json)"
)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "report")) for kind in WRITERS]
)
def test_a_full_disk_leaves_every_file_as_it_was(tmp_path, kind):
    for package in ("matplotlib", "PIL", *(["scipy"] if kind == "report" else [])):
        pytest.importorskip(package)
    folder = tmp_path / "out"
    run_in(tmp_path / "run")
    pictures_in(tmp_path / "pictures")
    WRITERS[kind](folder)
    before = files(folder)
    assert before
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # Python turns the signal of the limit into an OSError
    try:
        with pytest.raises((OSError, CheckpointError), match=rf"out/a\.{_ENDINGS[kind]}"):
            WRITERS[kind](folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(folder) == before

"""The history of a run in segments: what a save writes, and what becomes of it when files move, break or go missing."""

import os
import shutil
import threading
import time
import warnings
from array import array
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints import CheckpointError
from infogan_lib.checkpoints.bundle import read_metadata
from infogan_lib.checkpoints.segments import (
    MAX_BYTES,
    Segment,
    from_manifest,
    make_segment_folder,
    write_segment,
)
from infogan_lib.data.stream import DataStream
from infogan_lib.history import history as history_module
from resume_toys import StopsAt, fit, same_run, trainer, weights
from toys import images


def simulate(history, first, last, names=("loss/d", "loss/g")):
    """Record many steps at once."""
    for name in names:
        history._values.setdefault(name, array("d")).frombytes(np.arange(first, last + 1.0).tobytes())
        history._steps.setdefault(name, array("q")).frombytes(np.arange(first, last + 1).tobytes())


def named_files(run):
    """The segments that the checkpoints of a run name."""
    paths = [path for path in (run / "checkpoints").iterdir() if path.name.startswith("step_")]
    manifests = [(path, read_metadata(path, "checkpoint")) for path in paths]
    return {segment.path.name for path, metadata in manifests for segment in from_manifest(path, metadata)}


def files(run):
    return {path.name for path in (run / "history").iterdir()}


def restored(run, manifest):
    history = ig.History()
    history.restore(from_manifest(run / "checkpoints" / "one", {"history": manifest}))
    return history


def segments_of(manifest):
    return from_manifest(Path(), {"history": manifest})


@pytest.fixture
def folder(tmp_path):
    """The folder of segments of the run in `tmp_path`."""
    return make_segment_folder(tmp_path)


def bytes_of(action, monkeypatch):
    """The bytes that an action writes."""
    written, real = [], os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: written.append(real(descriptor, data)) or written[-1])
        action()
    return sum(written)


def test_a_save_writes_what_is_new(tmp_path, monkeypatch):
    t = trainer()
    t.step(images(8))
    names = tuple(t.history)
    sizes = []
    for last in (500, 30_000, 30_500):
        simulate(t.history, len(t.history["loss/d"]) + 1, last, names)
        sizes.append(bytes_of(lambda: t.save_checkpoint(tmp_path), monkeypatch))
    assert sizes[1] > 8 * 29_000 * len(names)
    assert sizes[2] < 1.5 * sizes[0]
    again = trainer()
    again.load_checkpoint(tmp_path)
    assert again.history.steps("loss/d").tolist() == list(range(1, 30_501))


def test_recorded_values_come_back(tmp_path, folder):
    history = ig.History()
    for step in range(1, 8):
        history.record(step, {"loss/d": step / 3} | ({"loss/g": -step / 7} if step % 2 else {}))
        history.record(step, {"speed": 1.5})
        if step % 3 == 0:
            history.record_epoch(step)
        history.seal(folder)
    history.record(8, {"late": float("nan")})
    again = restored(tmp_path, history.seal(folder))
    assert (list(again), len(again)) == (["loss/d", "loss/g", "speed", "late"], 4)
    for name in history:
        assert again[name].tobytes() == history[name].tobytes()
        assert again.steps(name).tolist() == history.steps(name).tolist()
    assert again["loss/g"].tolist() == [-step / 7 for step in (1, 3, 5, 7)]
    assert again.epochs == history.epochs == [3, 6]
    copy = ig.History()
    copy.load_state_dict(again.state_dict())
    assert copy.steps("loss/g").tolist() == [1, 3, 5, 7]
    assert copy.epochs == [3, 6]
    assert "speeds" not in again
    with pytest.raises(KeyError, match="no metric 'speeds' in this history; it has 'loss/d', 'loss/g', 'speed' and"):
        again.last("speeds", 1)


@pytest.mark.parametrize("count", [1, 3, 4, 100])
def test_the_last_values_are_read_without_those_before(tmp_path, folder, monkeypatch, count):
    monkeypatch.setattr(history_module, "_SEGMENT_BYTES", 1)
    history = ig.History()
    for step in range(1, 11):
        history.record(step, {"loss/d": float(step)})
        history.seal(folder)
    monkeypatch.setattr(history_module, "_MEMORY_BYTES", 0)
    again, read = restored(tmp_path, history.seal(folder)), []
    real = Segment.read
    monkeypatch.setattr(Segment, "read", lambda self, held=None: read.append(self.first) or real(self, held))
    again.record(11, {"loss/d": 11.0})
    assert again.last("loss/d", count).tolist() == [float(step) for step in range(1, 12)][-count:]
    assert len(read) == min(count, 11) - 1


@pytest.mark.parametrize(
    ("step", "metrics", "error", "message"),
    [
        (1.5, {"x": 1.0}, TypeError, "step must be a whole number"),
        (None, {"x": 1.0}, TypeError, "step must be a whole number"),
        (-1, {"x": 1.0}, ValueError, "step must be a whole number"),
        (10**30, {"x": 1.0}, ValueError, "step must be"),
        (1, None, TypeError, "metrics must be of type Mapping"),
        (1, [("x", 1.0)], TypeError, "metrics must be of type Mapping"),
        (1, {"x": 10**400}, TypeError, "a metric must be text: a number, but got 'x'"),
        (1, {"x": torch.ones(2)}, TypeError, "a metric must be text: a number, but got 'x'"),
    ],
)
def test_what_no_history_holds_is_refused_by_name(step, metrics, error, message):
    history = ig.History()
    with pytest.raises(error, match=message):
        history.record(step, metrics)
    assert len(history) == 0


def test_metrics_of_a_step_that_is_made_again_are_removed():
    history = ig.History()
    for step in (1, 2, 3):
        history.record(step, {"loss/d": float(step)} | ({"late": 1.0} if step == 3 else {}))
    history.truncate(2)
    assert (list(history), history.steps("loss/d").tolist()) == (["loss/d"], [1, 2])


class InterruptedArray(array):
    """An array whose third value is not added, as an interrupt comes before it."""

    def append(self, value):
        if len(self) == 2:
            raise KeyboardInterrupt
        super().append(value)


@pytest.mark.parametrize("part", ["_steps", "_values"])
def test_a_value_whose_recording_was_interrupted_is_not_there(tmp_path, folder, part):
    def recorded():
        history = ig.History()
        for step in (1, 2):
            history.record(step, {"loss/d": float(step)})
        numbers = getattr(history, part)
        whole = numbers["loss/d"]
        numbers["loss/d"] = InterruptedArray(whole.typecode, whole)
        with pytest.raises(KeyboardInterrupt):
            history.record(3, {"loss/d": 3.0, "loss/g": 3.0})
        numbers["loss/d"] = array(whole.typecode, numbers["loss/d"])
        return history

    def content(history):
        return {name: (history.steps(name).tolist(), history[name].tolist()) for name in history}

    assert content(recorded()) == {"loss/d": ([1, 2], [1.0, 2.0])}
    assert content(restored(tmp_path, recorded().seal(folder))) == {"loss/d": ([1, 2], [1.0, 2.0])}
    for is_truncated, last in ((False, 2), (True, 0), (True, 1), (True, 2)):
        history = recorded()
        if is_truncated:
            history.truncate(last)
        history.record(4, {"loss/d": 4.0})
        steps = [*range(1, last + 1), 4]
        assert content(history) == {"loss/d": (steps, [float(step) for step in steps])}


def test_the_end_of_an_epoch_can_be_taken_back_until_it_is_saved(folder):
    history = ig.History()
    for step in (3, 6):
        history.record_epoch(step)
    history.remove_epoch(6)
    assert history.epochs == [3]
    history.seal(folder)
    history.remove_epoch(3)
    history.truncate(0)
    assert history.epochs == [3]


@pytest.mark.parametrize("is_counted", [False, True])
def test_the_history_has_the_epochs_that_were_counted(monkeypatch, is_counted):
    t, end_epoch = trainer(), DataStream.end_epoch

    def fails(stream):
        if t.epochs == 1:
            if is_counted:
                end_epoch(stream)
            raise KeyboardInterrupt
        end_epoch(stream)

    monkeypatch.setattr(DataStream, "end_epoch", fails)
    with pytest.raises(KeyboardInterrupt):
        fit(t)
    assert len(t.history.epochs) == t.epochs == 1 + is_counted


STATES = [
    ("values", {"loss/d": torch.zeros(2, dtype=torch.int8)}, r"history.values\['loss/d'\] must be a tensor of float64"),
    ("values", {"loss/d": "text"}, r"history.values\['loss/d'\] must be a tensor of float64"),
    ("values", {"loss/d": torch.zeros(1, dtype=torch.float64)}, "its metrics have .* values and .* steps"),
    ("values", {}, "its metrics have .* values and .* steps"),
    ("steps", {"loss/d": torch.zeros(2)}, r"history.steps\['loss/d'\] must be a tensor of int64"),
    ("epochs", ["x"], r"history.epochs\[0\] must be a whole number"),
]


@pytest.mark.parametrize(("part", "value", "message"), STATES)
def test_a_state_that_is_no_history_changes_nothing(part, value, message):
    history = ig.History()
    simulate(history, 1, 2, ["loss/d"])
    history.record_epoch(2)
    state = history.state_dict()
    with pytest.raises(ValueError, match=message):
        history.load_state_dict(state | {part: value})
    assert (history["loss/d"].tolist(), history.epochs) == ([1, 2], [2])


def test_segments_are_merged_so_that_there_are_few(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(history_module, "_SEGMENT_BYTES", 1 << 13)
    history = ig.History()
    for save in range(200):
        simulate(history, 10 * save + 1, 10 * save + 10)
        manifest = history.seal(folder)
    segments = segments_of(manifest)
    sizes = [segment.size for segment in segments]
    total = 200 * 10 * 3 * 8
    assert len(sizes) < 2 * total / (1 << 13) + 8
    assert max(sizes) <= 1 << 13
    assert all(after.first == before.last + 1 for before, after in pairwise(segments))
    assert history["loss/d"].tolist() == list(range(1, 2001))


@pytest.mark.slow
def test_ten_million_steps(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(history_module, "_MEMORY_BYTES", 1 << 24)
    history, interval, sizes = ig.History(), 5_000, []
    for first in range(1, 10_000_001, interval):
        simulate(history, first, first + interval - 1)
        manifest = history.seal(folder)
        segments = segments_of(manifest)
        kept = {segment.path.name for segment in segments}
        sizes.append(segments[-1].size)
        for path in folder.iterdir():
            if path.name not in kept:
                path.unlink()
    assert len(segments) < 150
    assert max(sizes) <= 1 << 23
    assert sum(sizes) < 12 * 10_000_000 * 3 * 8
    again = restored(tmp_path, manifest)
    assert again.last("loss/g", 3).tolist() == [9_999_998, 9_999_999, 10_000_000]
    steps = again.steps("loss/d")
    assert len(steps) == 10_000_000
    assert (np.diff(steps) == 1).all()


def test_a_resumed_run_writes_its_own_segments(tmp_path):
    whole = fit(trainer())
    fit(trainer(), checkpoints=Checkpoints(tmp_path, every=2, keep=9))
    for step in (6, 8, 10, 12):
        shutil.rmtree(tmp_path / "checkpoints" / f"step_{step:010d}")
    again = fit(trainer(), checkpoints=Checkpoints(tmp_path, every=2, keep=9))
    assert same_run(whole, again)
    assert again.history.steps("images_per_second").tolist() == list(range(1, 13))
    assert files(tmp_path) == named_files(tmp_path)
    for step in range(0, 13, 2):
        t = trainer()
        t.load_checkpoint(tmp_path / "checkpoints" / f"step_{step:010d}")
        assert [len(t.history[name]) for name in t.history] == [step] * len(t.history)


@pytest.mark.parametrize("keep", [1, 3])
def test_rotation_keeps_the_segments_of_what_it_keeps(tmp_path, keep):
    fit(trainer(), checkpoints=Checkpoints(tmp_path, every=1, keep=keep))
    assert files(tmp_path) == named_files(tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        t = trainer()
        t.load_checkpoint(path)
        assert len(t.history["loss/d"]) == t.steps


def test_nothing_is_removed_while_it_is_unknown_what_a_checkpoint_names(tmp_path):
    fit(trainer(), steps=4, checkpoints=Checkpoints(tmp_path, every=2, keep=2))
    manifest = tmp_path / "checkpoints/step_0000000004/manifest.json"
    content, before = manifest.read_bytes(), files(tmp_path)
    manifest.write_bytes(b"")
    with pytest.warns(UserWarning, match="trying an earlier one"):
        fit(trainer(), steps=3, checkpoints=Checkpoints(tmp_path, every=1, keep=9))
    manifest.write_bytes(content)
    assert before < files(tmp_path)
    t = trainer()
    t.load_checkpoint(manifest.parent)
    assert len(t.history["loss/d"]) == 4


def test_what_a_dead_process_left_is_removed(tmp_path):
    fit(trainer(), steps=4, checkpoints=tmp_path)
    left = [tmp_path / "history" / name for name in (".writing-1", f"segment-{'0' * 16}.safetensors")]
    for path in left:
        path.write_bytes(b"half")
    own = tmp_path / "history" / "notes.txt"
    own.write_text("of the user")
    fit(trainer(), steps=6, checkpoints=tmp_path)
    assert files(tmp_path) == named_files(tmp_path) | {"notes.txt"}


def test_a_save_that_fails_after_its_segment_loses_nothing(tmp_path, monkeypatch):
    """The segment is there, the checkpoint is not, and the same process continues once there is room."""
    monkeypatch.setattr(history_module, "_MEMORY_BYTES", 0)
    real, failed = os.rename, []

    def fails(*arguments, **options):
        if Path(arguments[1]).name == "step_0000000006" and not failed:
            failed.append(True)
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, "rename", fails)
    t = trainer()
    with pytest.raises(ig.CheckpointError, match="the disk is full"):
        fit(t, checkpoints=Checkpoints(tmp_path, every=3))
    fit(t, checkpoints=Checkpoints(tmp_path, every=3))
    assert same_run(fit(trainer()), t)
    again = trainer()
    again.load_checkpoint(tmp_path)
    assert same_run(again, t)


def test_a_moved_run_folder_has_its_history(tmp_path):
    first = fit(trainer(), checkpoints=tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    for name in ("copy", "elsewhere"):
        t = trainer()
        t.load_checkpoint(tmp_path / name)
        assert same_run(first, t)
    assert same_run(first, fit(trainer(), checkpoints=tmp_path / "copy"))


def test_a_checkpoint_alone_loads_without_its_history_and_says_so(tmp_path):
    first = fit(trainer(), checkpoints=Checkpoints(tmp_path / "run", every=5))
    alone = tmp_path / "alone"
    shutil.copytree(tmp_path / "run/checkpoints/step_0000000010", alone)
    lost = r"files of its history cannot be read \(.*missing\), so the metrics of steps 1 to 10 are lost"
    t = trainer()
    with pytest.warns(UserWarning, match=lost):
        t.load_checkpoint(alone)
    assert (t.steps, list(t.history), t.history.epochs) == (10, [], [])

    branch = trainer()
    with pytest.warns(UserWarning, match=lost):
        fit(branch, checkpoints=Checkpoints(tmp_path / "branch", resume=alone))
    assert branch.history.steps("loss/d").tolist() == [11, 12]
    again = trainer()
    with pytest.warns(UserWarning, match=lost):
        again.load_checkpoint(tmp_path / "branch")

    shutil.copytree(tmp_path / "run/history", alone / "history")
    t.load_checkpoint(alone)
    assert t.history["loss/d"].tolist() == first.history["loss/d"][:10].tolist()


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def link(path):
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


@pytest.mark.parametrize("memory", [1 << 28, 0], ids=["read at once", "read later"])
@pytest.mark.parametrize(
    "harm", [flip, link, lambda p: p.write_bytes(b""), Path.unlink], ids=["flip", "link", "cut", "lose"]
)
def test_a_damaged_segment_costs_its_metrics_and_is_named(tmp_path, monkeypatch, harm, memory):
    monkeypatch.setattr(history_module, "_SEGMENT_BYTES", 1)  # a segment for each save
    monkeypatch.setattr(history_module, "_MEMORY_BYTES", memory)
    first = fit(trainer(), checkpoints=Checkpoints(tmp_path, every=3))
    segments = from_manifest(
        *next((path, read_metadata(path, "checkpoint")) for path in (tmp_path / "checkpoints").glob("*12"))
    )
    assert [(segment.first, segment.last) for segment in segments] == [(1, 3), (4, 6), (7, 9), (10, 12)]
    harm(segments[1].path)
    t = trainer()
    with pytest.warns(UserWarning, match=f"{segments[1].path.name}.*the metrics of steps 4 to 6 are lost"):
        steps = steps_after_loading(t, tmp_path)
    assert steps == [*range(1, 4), *range(7, 13)]
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(t).values(), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(trainer(), steps=15, checkpoints=Checkpoints(tmp_path, every=1, keep=1))
    with pytest.warns(UserWarning, match="steps 4 to 6 are lost"):  # it is not forgotten
        steps = steps_after_loading(trainer(), tmp_path)
    assert steps == [*range(1, 4), *range(7, 16)]


def steps_after_loading(t, folder):
    t.load_checkpoint(folder)
    return t.history.steps("loss/d").tolist()


def test_a_branch_has_the_history_from_before_it_parted(tmp_path, monkeypatch):
    first = fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", every=5, keep=9))
    start = tmp_path / "a/checkpoints/step_0000000005"
    fit(trainer(), steps=8, checkpoints=Checkpoints(tmp_path / "b", resume=start))

    def no_links(*arguments, **options):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    fit(trainer(), steps=8, checkpoints=Checkpoints(tmp_path / "c", resume=start))
    shutil.rmtree(tmp_path / "a")
    for name in "bc":
        t = trainer()
        t.load_checkpoint(tmp_path / name)
        assert t.history["loss/d"].tolist() == first.history["loss/d"][:8].tolist()
        assert files(tmp_path / name) == named_files(tmp_path / name)


def test_the_history_outlives_the_folder(tmp_path):
    t = fit(trainer(), checkpoints=Checkpoints(tmp_path / "run", every=3))
    shutil.rmtree(tmp_path / "run")
    assert t.history.steps("loss/d").tolist() == list(range(1, 13))
    t.save_checkpoint(tmp_path / "other")
    again = trainer()
    again.load_checkpoint(tmp_path / "other")
    assert same_run(again, t)


def test_a_loop_of_ones_own_saves_where_it_likes(tmp_path):
    t = trainer()
    for step in range(1, 7):
        t.step(images(8, seed=step))
        for name in ("same", f"{step}"):
            t.save_checkpoint(tmp_path / name)
    for name, steps in {"same": 6, "1": 1, "4": 4, "6": 6}.items():
        again = trainer()
        again.load_checkpoint(tmp_path / name)
        assert again.history["loss/d"].tolist() == t.history["loss/d"][:steps].tolist()


def test_a_state_in_a_folder_of_a_run_and_the_run_have_segments_of_their_own(tmp_path):
    t = fit(trainer(), steps=4, checkpoints=Checkpoints(tmp_path, every=2, keep=2))
    t.step(images(8))
    t.save_checkpoint(tmp_path / "state")
    fit(trainer(), steps=8, checkpoints=Checkpoints(tmp_path, every=2, keep=9))
    for path, steps in {tmp_path / "state": 5, tmp_path / "checkpoints/step_0000000002": 2}.items():
        again = trainer()
        again.load_checkpoint(path)
        assert again.history.steps("loss/d").tolist() == list(range(1, steps + 1))


def test_a_folder_of_segments_that_is_a_link_is_refused(tmp_path):
    """Another run may be using what it leads to, and each would remove what the other one needs."""
    fit(trainer(), steps=2, checkpoints=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/history").symlink_to(tmp_path / "a/history")
    before = files(tmp_path / "a")
    for save in (lambda t: t.save_checkpoint(tmp_path / "b"), lambda t: fit(t, checkpoints=tmp_path / "b")):
        with pytest.raises(ig.CheckpointError, match="history: it is a symbolic link"):
            save(trainer())
    assert files(tmp_path / "a") == before


LINE = ["0" * 64, "10", "1", "2", "0"]


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {"columns": []},
        {"columns": [], "segments": [" ".join(LINE)]},
        {"columns": [[1]], "segments": [" ".join(LINE)]},
        {"columns": [["a"]], "segments": [5]},
        {"columns": [["a"]], "segments": [" ".join([*LINE, "1"])]},
        *(
            {"columns": [["a"]], "segments": [" ".join([*LINE[:i], value, *LINE[i + 1 :]])]}
            for i, value in [
                *[(0, "../../../etc/passwd"), (0, "A" * 64), (1, "-1"), (1, "1.5"), (1, "9" * 400)],
                *[(2, "None"), (3, "b"), (4, "-1"), (4, "1"), (4, "\u0660")],
            ]
        ),
    ],
)
def test_a_manifest_that_names_no_history_is_refused(tmp_path, saved):
    with pytest.raises(ig.CheckpointError, match="its manifest does not name a history"):
        from_manifest(tmp_path, {"history": saved} if saved is not None else {})


def table(names=("a",), steps=(1, 2), values=((0.5, 0.5),), dtype=torch.int64):
    return {"names": names, "steps": torch.tensor(steps, dtype=dtype), "values": torch.tensor(values).double()}


@pytest.mark.parametrize(
    "tables",
    [
        5,
        [],
        [table(), table()],
        [table(names=["b"])],
        [table(names=3)],
        [table(steps=(1, 2, 3))],
        [table(values=(0.5, 0.5))],
        [table(dtype=torch.bfloat16)],
        [table() | {"values": torch.zeros(1, 2)}],
        [{}],
    ],
)
def test_a_segment_that_holds_something_else_is_left_out(tmp_path, tables):
    segment = write_segment(tmp_path, {"tables": tables, "epochs": torch.zeros(0).long()}, ["a"], 1, 2)
    history = ig.History()
    with pytest.warns(UserWarning, match="it does not hold"):
        history.restore([segment], tmp_path)
    assert (list(history), history.epochs) == ([], [])


def test_the_end_of_a_stopped_run_is_in_the_history(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=5))
    assert t.history.steps("loss/d").tolist()[:7] == list(range(1, 8))
    fit(t, checkpoints=Checkpoints(tmp_path, every=5))
    steps = t.history.steps("loss/d").tolist()
    assert all(b - a == 1 for a, b in pairwise(steps))


def test_a_segment_that_no_history_writes_is_not_read(tmp_path):
    segment = Segment("0" * 64, MAX_BYTES + 1, 1, 2, ("loss/d",), tmp_path)
    with segment.path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole, which takes no place on the disk
    with pytest.raises(CheckpointError, match="no segment is larger than 2,147,483,648"):
        segment.read()


def test_a_history_is_read_by_a_thread_while_another_one_trains(tmp_path, monkeypatch):
    """Deterministically: the other thread's part comes between two lines of the reading one."""
    history = ig.History()
    for step in (1, 2, 3):
        history.record(step, {"loss/d": float(step)})
    recent, sealed = ig.History._recent, []

    def sealed_after(self, name):
        column = recent(self, name)
        if not sealed:
            sealed.append(True)
            history.seal(tmp_path)
        return column

    monkeypatch.setattr(ig.History, "_recent", sealed_after)
    assert history.steps("loss/d").tolist() == [1, 2, 3]
    assert history.last("loss/d", 9).tolist() == [1, 2, 3]


def test_a_thread_that_reads_a_history_does_not_end_the_one_that_trains():
    history, ends = ig.History(), threading.Event()
    for step in range(1, 100_001):
        history.record(step, {"loss/d": 1.0})

    def read():
        while not ends.is_set():
            assert len(history.steps("loss/d")) >= 100_000

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    deadline, step = time.monotonic() + 0.3, 100_000
    try:
        while time.monotonic() < deadline:
            history.record(step := step + 1, {"loss/d": 1.0})
    finally:
        ends.set()
        for reader in readers:
            reader.join()
    assert history.steps("loss/d").tolist() == list(range(1, step + 1))

"""Trackers: TensorBoard's event files, read back, and any object with a method `log`."""

import sys

import numpy as np
import pytest
import torch

import infogan_lib as ig
from infogan_lib.callbacks import TensorBoard, Tracker
from toys import dense_discriminator, dense_generator, images, make_trainer

pytest.importorskip("tensorboard")


class Run:
    """What W&B and trackio have in common."""

    def __init__(self):
        self.logged = []

    def log(self, metrics, step=None):
        self.logged.append((step, metrics))


class StopsAt(ig.Callback):
    """Fails after a step, as a power cut would, with what was written up to there."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, metrics):
        if trainer.steps == self.step:
            raise RuntimeError("power")


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_tensorboard_has_the_history_and_pictures_of_fixed_latents(tmp_path):
    trainer = make_trainer()
    board = TensorBoard(tmp_path / "tb", every=2, images_every=3, rows=2)
    trainer.fit(images(32), steps=6, batch_size=8, callbacks=[board])
    events = events_of(tmp_path / "tb")
    assert set(events.Tags()["scalars"]) == set(trainer.history)
    losses = events.Scalars("loss/d")
    assert [event.step for event in losses] == [2, 4, 6]
    assert [event.value for event in losses] == pytest.approx(trainer.history["loss/d"][1::2].tolist())
    pictures = events.Images("samples")
    assert [picture.step for picture in pictures] == [3, 6]
    assert (pictures[0].height, pictures[0].width) == (2 * 4 + 2, 4 * 4 + 3 * 2)  # two rows of four categories
    assert pictures[0].encoded_image_string != pictures[1].encoded_image_string


def test_a_resumed_run_shows_no_step_twice(tmp_path):
    def train(*more):
        callbacks = [TensorBoard(tmp_path / "tb", every=1, images_every=2), *more]
        checkpoints = ig.Checkpoints(tmp_path / "run", every=4)
        trainer = make_trainer()
        trainer.fit(images(32), steps=8, batch_size=8, callbacks=callbacks, checkpoints=checkpoints)
        return trainer

    with pytest.raises(RuntimeError, match="power"):
        train(StopsAt(7))
    assert [event.step for event in events_of(tmp_path / "tb").Scalars("loss/d")] == [1, 2, 3, 4, 5, 6, 7]
    trainer = train()
    events = events_of(tmp_path / "tb")
    assert [event.step for event in events.Scalars("loss/d")] == list(range(1, 9))
    assert [event.value for event in events.Scalars("loss/d")] == pytest.approx(trainer.history["loss/d"].tolist())
    assert [event.step for event in events.Images("samples")] == [2, 4, 6, 8]


def test_a_tracker_gets_metrics_and_pictures():
    run, trainer = Run(), make_trainer()
    tracker = Tracker(run, every=2, image=lambda pixels: pixels, images_every=4, rows=1)
    trainer.fit(images(32), steps=4, batch_size=8, callbacks=[tracker])
    assert [step for step, _ in run.logged] == [2, 4, 4]
    for step, metrics in run.logged[:2]:
        assert metrics["loss/d"] == trainer.history["loss/d"][step - 1]
    pixels = run.logged[2][1]["samples"]
    assert pixels.shape == (4, 22, 3)
    assert pixels.dtype == np.uint8
    expected = trainer.model.decode(tracker._latents)[0, 0]
    assert torch.equal(torch.as_tensor(pixels[:, :4, 0]), ((expected + 1) * 127.5).round().to(torch.uint8))


def test_a_tracker_with_a_record_gets_no_step_twice_from_a_resumed_run(tmp_path):
    run, record = Run(), tmp_path / "run" / "tracker.txt"

    def train(*more):
        tracker = Tracker(run, every=2, image=lambda pixels: None, images_every=3, record=record)
        checkpoints = ig.Checkpoints(tmp_path / "run", every=4)
        make_trainer().fit(
            images(32), steps=8, batch_size=8, callbacks=[tracker, *more], checkpoints=checkpoints, progress=False
        )

    with pytest.raises(RuntimeError, match="power"):
        train(StopsAt(7))
    assert record.read_text() == "6\n"
    beside = record.with_name("tracker.txt.tmp")
    beside.write_text("another's")
    train()
    assert beside.read_text() == "another's"
    assert [step for step, metrics in run.logged if "loss/d" in metrics] == [2, 4, 6, 8]
    assert [step for step, metrics in run.logged if "samples" in metrics] == [3, 6]
    record.write_text("six")
    with pytest.raises(ValueError, match="is no record of a Tracker: expected the number of a step"):
        train()


@pytest.mark.parametrize("stale", [False, True])
def test_a_run_that_is_resumed_at_step_0_is_sent_once(tmp_path, stale):
    """It was killed before its second checkpoint."""
    run, record = Run(), tmp_path / "tracker.txt"
    if stale:
        record.write_text("9\n")

    def train(*more):
        callbacks = [Tracker(run, every=1, record=record), *more]
        make_trainer().fit(images(32), steps=5, batch_size=8, callbacks=callbacks, checkpoints=tmp_path / "run")

    with pytest.raises(RuntimeError, match="power"):
        train(StopsAt(3))
    train()
    assert [step for step, _ in run.logged] == [1, 2, 3, 4, 5]


def test_metrics_are_sent_once_though_the_picture_of_their_step_failed(tmp_path):
    run, record = Run(), tmp_path / "tracker.txt"

    def train(image):
        tracker = Tracker(run, every=1, image=image, images_every=3, record=record)
        make_trainer().fit(images(32), steps=4, batch_size=8, callbacks=[tracker], checkpoints=tmp_path / "run")

    with pytest.raises(ZeroDivisionError):
        train(lambda pixels: 1 / 0)
    train(lambda pixels: None)
    assert [step for step, metrics in run.logged if "loss/d" in metrics] == [1, 2, 3, 4]


def test_a_new_run_is_sent_from_its_beginning_whatever_a_record_says(tmp_path):
    run, record = Run(), tmp_path / "tracker.txt"
    record.write_text("6\n")
    make_trainer().fit(images(32), steps=2, batch_size=8, callbacks=[Tracker(run, every=1, record=record)])
    assert [step for step, _ in run.logged] == [1, 2]
    assert record.read_text() == "2\n"


def test_without_pictures_no_step_waits_for_the_model():
    run = Run()
    tracker = Tracker(run, every=1)
    assert not any(tracker.needs_model(step) for step in range(1, 1001))
    assert TensorBoard("x", images_every=5).needs_model(5)
    make_trainer().fit(images(8), steps=1, batch_size=8, callbacks=[tracker])
    assert "samples" not in run.logged[0][1]


def test_vectors_have_metrics_and_no_pictures(tmp_path):
    trainer = make_trainer(dense_generator(shape=(16,)), dense_discriminator((16,)))
    board = TensorBoard(tmp_path, every=1, images_every=1)
    trainer.fit(images(8, (16,)), steps=1, batch_size=8, callbacks=[board])
    assert events_of(tmp_path).Tags()["images"] == []


def test_neither_changes_the_run(tmp_path):
    plain, tracked = make_trainer(), make_trainer()
    plain.fit(images(32), steps=4, batch_size=8)
    callbacks = [TensorBoard(tmp_path, every=1, images_every=1), Tracker(Run(), image=np.asarray, images_every=1)]
    tracked.fit(images(32), steps=4, batch_size=8, callbacks=callbacks)
    pairs = zip(plain.model.parameters(), tracked.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_run_without_log_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(TypeError, match=r"run must be an object with log\(metrics, step=...\)"):
        Tracker({"project": "x"})
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'infogan-lib\[tensorboard\]'"):
        TensorBoard("x")

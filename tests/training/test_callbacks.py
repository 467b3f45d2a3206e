"""Callbacks, the progress bar and the log, and the history that they read."""

import io
import json

import pytest

import infogan_lib as ig
from infogan_lib.training.callbacks import JSONLLogger
from infogan_lib.training.progress import ProgressBar
from toys import (
    DEVICE,
    images,
    make_trainer,
)


class Recorder(ig.Callback):
    def __init__(self):
        self.calls = []

    def on_fit_start(self, trainer, total_steps):
        self.calls.append(("start", total_steps))

    def on_step_end(self, trainer, metrics):
        self.calls.append(("step", trainer.steps))

    def on_epoch_end(self, trainer):
        self.calls.append(("epoch", trainer.epochs))

    def on_fit_end(self, trainer):
        self.calls.append(("end", trainer.steps))


def test_callbacks_are_told_in_order():
    recorder = Recorder()
    make_trainer().fit(images(16), epochs=2, batch_size=8, callbacks=[recorder])
    steps = [("step", 1), ("step", 2), ("epoch", 1), ("step", 3), ("step", 4), ("epoch", 2)]
    assert recorder.calls == [("start", 4), *steps, ("end", 4)]


@pytest.mark.parametrize("needs_model", [False, True])
def test_a_step_is_read_late_only_where_a_device_would_wait(needs_model):
    class Looks(ig.Callback):
        ahead = ()

        def needs_model(self, step):
            return needs_model

        def on_step_end(self, trainer, metrics):
            self.ahead += (trainer.launched - trainer.steps,)

    looks = Looks()
    make_trainer().fit(images(32), steps=3, batch_size=8, callbacks=[looks])
    assert looks.ahead == ((0, 0, 0) if needs_model or DEVICE == "cpu" else (1, 1, 0))


def test_callbacks_hear_of_the_end_also_after_an_error():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        make_trainer().fit([images(8), images(8) * float("nan")], epochs=1, callbacks=[recorder])
    assert recorder.calls[-1] == ("end", 1)


def test_steps_that_make_a_whole_epoch_end_it():
    recorder, t = Recorder(), make_trainer()
    t.fit(images(40), steps=5, batch_size=8, callbacks=[recorder])
    assert (t.steps, t.epochs, t.history.epochs) == (5, 1, [5])
    assert ("epoch", 1) in recorder.calls


def test_a_failing_callback_lets_the_others_end():
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            raise RuntimeError("mine")

    first = Recorder()
    with pytest.raises(RuntimeError, match="mine"):
        make_trainer().fit(images(8), steps=1, batch_size=8, callbacks=[first, Fails()])
    assert first.calls == [("start", 1), ("end", 0)]


def test_fit_trains_in_train_mode_and_callbacks_may_sample():
    class Sampler(ig.Callback):
        def on_step_end(self, trainer, metrics):
            trainer.model.sample(2)
            assert all(m.training for m in trainer.model.modules())

    t = make_trainer()
    t.model.eval()
    t.fit(images(16), epochs=1, batch_size=8, callbacks=[Sampler()])


def test_progress_shows_the_figures_in_a_terminal(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    make_trainer().fit(images(16), epochs=1, batch_size=8, callbacks=[ProgressBar()])
    assert "2/2" in shown.getvalue()
    assert "digit" in shown.getvalue()
    assert "nats" in shown.getvalue()


def test_progress_is_quiet_when_not_in_a_terminal(capsys):
    make_trainer().fit(images(16), epochs=1, batch_size=8, callbacks=[ProgressBar()])
    assert capsys.readouterr() == ("", "")


def test_metrics_are_json_lines(tmp_path):
    t = make_trainer()
    for _ in range(2):
        t.fit(images(16), epochs=1, batch_size=8, callbacks=[JSONLLogger(tmp_path / "run" / "metrics.jsonl")])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(1, 0), (2, 0), (3, 1), (4, 1)]
    assert [line["loss/d"] for line in lines] == pytest.approx(t.history["loss/d"].tolist())


def test_history_keeps_figures_with_their_steps():
    t = make_trainer(d_steps=2)
    h = t.fit(images(40), epochs=1, batch_size=8)
    assert h.steps("loss/d").tolist() == [1, 2, 3, 4, 5]
    assert h.steps("loss/g").tolist() == [2, 4]
    assert len(h["bound/digit"]) == 2
    with pytest.raises(KeyError, match="no metric 'loss' in this history; it has 'loss/d'"):
        h["loss"]

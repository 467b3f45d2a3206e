"""Callbacks in a resumed run: logs, and states of callbacks."""

import json
import math

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.training.callbacks import JSONLLogger
from resume_toys import STEPS, StopsAt, fit, lines_in, trainer
from toys import images


def test_logs_are_cut_back_to_the_checkpoint(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"another": "run"}\n')
    fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    (tmp_path / "checkpoints" / f"step_{12:010d}").rename(tmp_path / "away")
    with log.open("a") as file:
        file.write('{"step": 13, "half a li')
    fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0] == {"another": "run"}
    assert [line["step"] for line in lines[1:]] == list(range(1, STEPS + 1))


def test_a_log_that_lost_lines_is_named(tmp_path):
    log = tmp_path / "metrics.jsonl"
    fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))
    with pytest.warns(UserWarning, match="is not the log that the run left, which had 12 lines up to step 12"):
        fit(trainer(), steps=STEPS + 1, callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 13]


def test_a_refused_resume_leaves_logs_alone(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=tmp_path / "a")
    callback, t = JSONLLogger(log), trainer()
    with pytest.raises(ig.CheckpointError, match="batch size 8, and this data has 10"):
        fit(t, batch_size=10, callbacks=[callback], checkpoints=tmp_path / "a")
    fit(t, steps=2, callbacks=[callback], checkpoints=tmp_path / "b")
    assert lines_in(log) == [*range(1, STEPS + 1), 1, 2]


def test_a_log_of_another_run_is_not_cut(tmp_path):
    fit(trainer(), steps=6, callbacks=[JSONLLogger(tmp_path / "a.jsonl")], checkpoints=tmp_path)
    other = tmp_path / "z.jsonl"
    other.write_text('{"step": 1}\n' * 30)
    with pytest.warns(UserWarning, match=r"z.jsonl is not the log that the run left"):
        fit(trainer(), callbacks=[JSONLLogger(other)], checkpoints=tmp_path)
    assert lines_in(other) == [1] * 30 + list(range(7, STEPS + 1))


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="cannot write metrics: No space left on device: '/dev/full'"):
        fit(trainer(), steps=200, callbacks=[JSONLLogger("/dev/full")])


def test_callbacks_of_a_second_fit_keep_their_state(tmp_path):
    def program(stop=None):
        t = trainer()
        fit(t, steps=5, checkpoints=Checkpoints(tmp_path, every=3))
        log = JSONLLogger(tmp_path / "log.jsonl")
        return fit(
            t, images(24, seed=9), steps=10, callbacks=[log, StopsAt(stop)], checkpoints=Checkpoints(tmp_path, every=3)
        )

    with pytest.raises(KeyError):
        program(11)
    assert program().steps == 15
    assert lines_in(tmp_path / "log.jsonl") == list(range(6, 16))


def test_a_callback_with_a_state_that_cannot_be_saved_is_named(tmp_path):
    class Odd(ig.Callback):
        def state_dict(self):
            return {"what": [1, math.sin]}

    with pytest.raises(TypeError, match=r"state\['callbacks'\].*\['what'\]\[1\] cannot be saved: it is a builtin"):
        fit(trainer(), callbacks=[Odd()], checkpoints=tmp_path)


def test_callbacks_of_ones_own_keep_their_state(tmp_path):
    class Sum(ig.Callback):
        total = 0.0

        def on_step_end(self, trainer, metrics):
            self.total += metrics["loss/d"]

        def state_dict(self):
            return {"total": self.total}

        def load_state_dict(self, state):
            self.total = state["total"]

    first, second = Sum(), Sum()
    fit(trainer(), steps=5, callbacks=[first], checkpoints=tmp_path)
    t = fit(trainer(), callbacks=[second], checkpoints=tmp_path)
    assert second.total == pytest.approx(t.history["loss/d"].sum())

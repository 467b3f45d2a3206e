"""Callbacks in a resumed run: logs, and states of callbacks."""

import json
import math
import os
import threading
import time

import pytest

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.training.callbacks import JSONLLogger
from memory import bounded_memory
from resume_toys import STEPS, StopsAt, fit, lines_in, trainer
from toys import images

resource = pytest.importorskip("resource")  # not on Windows, where runs are not tested


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


def test_a_long_log_is_cut_in_little_memory(tmp_path):
    log, count = JSONLLogger(tmp_path / "metrics.jsonl"), 2**18
    line = '{"step": %d, "loss/d": 1.0' + " " * 400 + "}\n"
    log.path.write_text("".join(line % step for step in range(1, count + 100)))
    kept = len("".join(line % step for step in range(1, count + 1)))
    log.load_state_dict({"start": 0, "lines": count, "step": count})
    with bounded_memory(40):
        log.on_fit_start(trainer(), None)
    log.on_fit_end(trainer())
    assert log.path.stat().st_size == kept


def test_a_log_without_lines_is_not_read_as_one(tmp_path):
    log = JSONLLogger(tmp_path / "metrics.jsonl")
    fit(trainer(), callbacks=[log], checkpoints=tmp_path)
    os.truncate(log.path, 2**29)
    with bounded_memory(100), pytest.warns(UserWarning, match="is not the log that the run left"):
        fit(trainer(), steps=STEPS + 1, callbacks=[JSONLLogger(log.path)], checkpoints=tmp_path)


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


def killed(folder, log, *, every=500):
    """A run that was killed at step 3, and the file that its log was left in."""
    with pytest.raises(KeyError):
        fit(trainer(), callbacks=[JSONLLogger(log), StopsAt(3)], checkpoints=Checkpoints(folder, every=every))


@pytest.mark.parametrize("content", ["", "# notes of somebody else\n" * 9, '{"step": 7}\n' * 9])
@pytest.mark.parametrize("before", ["# a head\n", "# notes of somebody else\n"])
def test_a_run_that_is_resumed_at_its_first_step_cuts_no_file_of_others(tmp_path, before, content):
    """There is no line yet by which the run knows its log."""
    log = tmp_path / "log.jsonl"
    log.write_text(before)
    killed(tmp_path, log)
    log.write_text(content)
    with pytest.warns(UserWarning, match="is not the log that the run left, which had 0 lines"):
        fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    text = log.read_text()
    assert text.startswith(content)
    assert [json.loads(line)["step"] for line in text[len(content) :].splitlines()] == list(range(1, STEPS + 1))


def test_lines_that_another_run_has_added_since_are_not_cut(tmp_path):
    log = tmp_path / "all.jsonl"
    killed(tmp_path / "a", log, every=2)
    fit(trainer(), steps=4, callbacks=[JSONLLogger(log)], checkpoints=tmp_path / "b")
    both = lines_in(log)
    assert both[-4:] == [1, 2, 3, 4]
    with pytest.warns(UserWarning, match="is not the log that the run left, which had 2 lines up to step 2"):
        fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=tmp_path / "a")
    assert lines_in(log) == [*both, *range(3, STEPS + 1)]


def test_a_place_beyond_any_file_is_not_that_of_the_runs_lines(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(trainer(), steps=3, callbacks=[JSONLLogger(log)])
    resumed = JSONLLogger(log)
    resumed.load_state_dict({"start": 2**53, "lines": 1, "step": 1})  # as a forged checkpoint has it
    with pytest.warns(UserWarning, match="is not the log that the run left, which had 1 lines up to step 1"):
        fit(trainer(), steps=2, callbacks=[resumed])
    assert lines_in(log) == [1, 2, 3, 1, 2]


def test_a_whole_last_line_without_an_end_stays(tmp_path):
    log = tmp_path / "log.jsonl"
    fit(trainer(), steps=3, callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    log.write_text(log.read_text().rstrip("\n"))
    fit(trainer(), steps=5, callbacks=[JSONLLogger(log)], checkpoints=tmp_path)
    assert lines_in(log) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("anew", [False, True], ids=["the same callback", "one made anew"])
def test_no_line_is_lost_where_a_disk_was_full_for_a_while(tmp_path, anew):
    log = tmp_path / "log.jsonl"
    callback, t, limits = JSONLLogger(log), trainer(), resource.getrlimit(resource.RLIMIT_FSIZE)

    class Fills(ig.Callback):
        def on_step_end(self, trainer, metrics):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))

    checkpoints = Checkpoints(tmp_path, every=500)
    try:
        with pytest.raises(OSError, match="cannot write metrics: File too large"):
            fit(t, steps=60, callbacks=[callback, Fills()], checkpoints=checkpoints)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    fit(t, steps=60, callbacks=[JSONLLogger(log) if anew else callback], checkpoints=checkpoints)
    assert lines_in(log) == list(range(1, 61))


def test_a_log_may_be_a_pipe_when_the_run_is_resumed(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)

    def reads():
        with pipe.open() as file:
            read.extend(json.loads(line)["step"] for line in file)

    for steps in (3, 5):
        reader = threading.Thread(target=reads, daemon=True)
        reader.start()
        fit(trainer(), steps=steps, callbacks=[JSONLLogger(pipe)], checkpoints=tmp_path / "run")
        reader.join(10)
    assert read == [1, 2, 3, 4, 5]


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


@pytest.mark.parametrize("depth", [61, 62, 500, None])
def test_a_state_that_is_nested_too_deep_to_be_loaded_is_not_saved(tmp_path, depth):
    state = []
    if depth is None:
        state.append(state)
    for _ in range((depth or 1) - 1):
        state = [state]

    class Deep(ig.Callback):
        def state_dict(self):
            return state

        def load_state_dict(self, saved):
            assert saved == state

    def run(steps):
        return fit(trainer(), steps=steps, callbacks=[Deep()], checkpoints=tmp_path)

    if depth == 61:
        run(1)
        assert run(2).steps == 2
        return
    with pytest.raises(TypeError, match=r"state\['callbacks'\].* cannot be saved: a state is nested at most 64 deep"):
        run(1)


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


@pytest.mark.parametrize("length", [1, 4, 8, 9, 30])
def test_a_line_that_a_kill_has_cut_off_anywhere_is_removed(tmp_path, recwarn, length):
    log = tmp_path / "log.jsonl"
    killed(tmp_path / "run", log, every=2)
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:length])
    fit(trainer(), callbacks=[JSONLLogger(log)], checkpoints=Checkpoints(tmp_path / "run", every=2))
    assert lines_in(log) == list(range(1, STEPS + 1))
    assert not recwarn


def test_a_clock_that_stands_still_ends_no_run(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 5.0)
    assert fit(trainer()).steps == STEPS

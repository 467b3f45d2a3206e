"""Signals during a fit: the step is finished and saved, and the program ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import infogan_lib as ig
from resume_toys import STEPS, fit, same_run, trainer


def test_fitting_in_a_thread_installs_no_handlers(tmp_path):
    result = []
    thread = threading.Thread(target=lambda: result.append(fit(trainer(), checkpoints=tmp_path).steps))
    thread.start()
    thread.join()
    assert result == [STEPS]


def test_a_signal_during_the_last_save_is_handled(tmp_path):
    class Sends(ig.Callback):
        saves = 0

        def state_dict(self):
            self.saves += 1
            if self.saves == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return {}

    with pytest.raises(SystemExit) as ended:
        fit(trainer(), steps=4, callbacks=[Sends()], checkpoints=tmp_path)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_handlers_are_restored_and_ones_own_is_called(tmp_path):
    received = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:

        class Sends(ig.Callback):
            def on_step_end(self, trainer, metrics):
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does, to the process and to its group

        with pytest.raises(SystemExit) as ended:
            fit(trainer(), callbacks=[Sends()], checkpoints=tmp_path)
        assert (ended.value.code, received) == (143, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, previous)


@pytest.mark.parametrize("interactive", [True, False])
def test_ctrl_c_leaves_a_usable_trainer(tmp_path, monkeypatch, interactive):
    class Presses(ig.Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == 7:
                os.kill(os.getpid(), signal.SIGINT)

    t = trainer()
    if interactive:  # a notebook, with a folder
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
        with pytest.raises(KeyboardInterrupt):
            fit(t, callbacks=[Presses()], checkpoints=tmp_path)
        assert (tmp_path / "checkpoints" / f"step_{7:010d}").exists()
        assert same_run(fit(t, checkpoints=tmp_path), fit(trainer()))
    else:  # a script, without one
        with pytest.raises(KeyboardInterrupt):
            fit(t, callbacks=[Presses()])
        assert fit(t, steps=2).steps == 9


def test_a_signal_that_was_ignored_stays_ignored(tmp_path):
    class Presses(ig.Callback):
        def on_step_end(self, trainer, metrics):
            os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert fit(trainer(), callbacks=[Presses()], checkpoints=tmp_path).steps == STEPS
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.slow
def test_a_second_signal_ends_at_once(tmp_path):
    code = """
import sys, os, time, signal
sys.path[:0] = sys.argv[2:]
import infogan_lib as ig
from resume_toys import trainer, fit
class Waits(ig.Callback):
    def on_step_end(self, trainer, metrics):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.2)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
fit(trainer(), checkpoints=sys.argv[1], callbacks=[Waits()])
"""
    command = [sys.executable, "-c", code, str(tmp_path), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 143
    assert "stopping after this step and saving; once more stops at once" in done.stderr
    assert "saved in" not in done.stderr


@pytest.mark.slow
def test_a_signal_to_the_whole_group_is_saved_too(tmp_path):
    code = """
import sys
sys.path[:0] = sys.argv[2:]
from torch.utils.data import DataLoader
from resume_toys import WaitsForWorker, fit, trainer
fit(trainer(), DataLoader(WaitsForWorker(), 8, num_workers=2), steps=1000, checkpoints=sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path), *sys.path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        while not (tmp_path / "checkpoints" / f"step_{0:010d}").exists():
            assert program.poll() is None
            time.sleep(0.05)
        time.sleep(1.5)
        os.killpg(program.pid, signal.SIGTERM)
        _, output = program.communicate(timeout=60)
    assert program.returncode == 143, output
    assert "saved in" in output

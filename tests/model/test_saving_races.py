"""Processes that save into one folder and load from it at the same time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import infogan_lib as ig
from infogan_lib.checkpoints import bundle, lock
from infogan_lib.checkpoints.lock import hold_for_writing
from toys import LATENT, dense_discriminator, dense_generator

WRITER = """
import sys, time
import torch
import infogan_lib as ig
from toys import LATENT, dense_discriminator, dense_generator

value, folder = float(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
model = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1.5
while time.monotonic() < end:
    value += 1
    torch.nn.init.constant_(model.generator[0].bias, value)
    torch.nn.init.constant_(model.generator[3].bias, value)
    model.save(folder)
"""


def model():
    torch.manual_seed(0)
    return ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)


def load(folder):
    loaded = ig.InfoGAN.load(folder, generator=dense_generator(), discriminator=dense_discriminator())
    return {*loaded.generator[0].bias.tolist(), *loaded.generator[3].bias.tolist()}


def constant(value):
    """A model with the same number in two layers."""
    filled = model()
    torch.nn.init.constant_(filled.generator[0].bias, value)
    torch.nn.init.constant_(filled.generator[3].bias, value)
    return filled


def test_every_load_is_of_one_save_and_no_save_fails(tmp_path):
    constant(0.0).save(tmp_path)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(1000 * (number + 1)), str(tmp_path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    loads, values = 0, set()
    while any(process.poll() is None for process in processes):
        (value,) = load(tmp_path)
        loads += 1
        values.add(value)
    assert [(process.wait(), process.communicate()[1]) for process in processes] == [(0, "")] * 2
    assert loads > 5
    assert len(values) > 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    model().save(tmp_path)
    real, reads = bundle._read_state, []

    def reads_late(folder, manifest):
        reads.append(manifest)
        if len(reads) == 1:
            constant(7.0).save(folder)
        return real(folder, manifest)

    monkeypatch.setattr(bundle, "_read_state", reads_late)
    assert load(tmp_path) == {7.0}


def test_a_missing_state_is_named_at_once(tmp_path):
    model().save(tmp_path)
    next(tmp_path.glob("state-*")).unlink()
    with pytest.raises(ig.CheckpointError, match="this file is missing"):
        load(tmp_path)


def test_a_save_waits_for_another_process_and_then_gives_up(tmp_path, monkeypatch):
    model().save(tmp_path)
    monkeypatch.setattr(lock, "_MAX_WAIT", 0.1)
    with (
        hold_for_writing(tmp_path) as is_held,
        pytest.raises(ig.CheckpointError, match="another process has been saving into it for"),
    ):
        assert is_held
        model().save(tmp_path)
    model().save(tmp_path)
    load(tmp_path)


def test_a_killed_process_holds_nothing_and_its_files_are_removed(tmp_path):
    model().save(tmp_path)
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from infogan_lib.checkpoints.lock import hold_for_writing\n"
        "with hold_for_writing(Path(sys.argv[1])):\n"
        "    Path(sys.argv[1], 'state-of-the-dead.safetensors').write_text('half')\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    start = time.monotonic()
    model().save(tmp_path)
    assert time.monotonic() - start < 10
    assert not list(tmp_path.glob("*dead*"))


def test_without_locks_only_the_state_that_was_replaced_is_removed(tmp_path, monkeypatch):
    """Another file may be the state of a process that is about to write its manifest."""
    import fcntl

    def no_locks(descriptor, operation):
        raise OSError(37, "No locks available")

    model().save(tmp_path)
    old = next(tmp_path.glob("state-*"))
    others = Path(tmp_path, "state-0123456789abcdef.safetensors")
    others.write_text("of another process")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    constant(7.0).save(tmp_path)
    assert others.exists()
    assert not old.exists()
    assert load(tmp_path) == {7.0}

"""Going on with a run: what is loaded, what is refused, and who may work in a folder."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

import infogan_lib as ig
from infogan_lib import Checkpoints, losses
from infogan_lib.checkpoints.lock import RunLock
from infogan_lib.checkpoints.run_folder import RunFolder, read_checkpoint
from infogan_lib.data.rng import GlobalRng
from infogan_lib.training.callbacks import JSONLLogger
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

STEPS = 12  # of five batches an epoch


def trainer(latent=LATENT, **changes):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what a user's items may draw from
    random.seed(0)
    discriminator = dense_discriminator()
    discriminator.insert(4, nn.Dropout(0.3))
    return make_trainer(dense_generator(latent.width), discriminator, latent, device="cpu", **changes)


def fit(t, data=None, *, steps=STEPS, **options):
    t.fit(images(40) if data is None else data, steps=steps, **{"batch_size": 8} | options)
    return t


def weights(t):
    return {**t.model.state_dict()}


def same_run(a, b):
    figures = [name for name in a.history if name != "images_per_second"]
    optimizers = zip(a._step.d_optimizers + a._step.g_optimizers, b._step.d_optimizers + b._step.g_optimizers)  # noqa: B905
    return (
        all(torch.equal(weights(a)[name], weights(b)[name]) for name in weights(a))
        and all(np.array_equal(a.history[name], b.history[name], equal_nan=True) for name in figures)
        and all(
            torch.equal(torch.as_tensor(mine[key]), torch.as_tensor(other[key]))
            for one, two in optimizers
            for mine, other in zip(one.state.values(), two.state.values(), strict=True)
            for key in mine
        )
        and (a.steps, a.epochs, a.history.epochs) == (b.steps, b.epochs, b.history.epochs)
        and torch.equal(a.streams["latents"].get_state(), b.streams["latents"].get_state())
    )


class StopsAt(ig.Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, figures):
        if trainer.steps == self.step:
            raise KeyError("stopped")


class Noisy(Dataset):
    """Items that draw from all three global generators."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        noise = torch.randn(1, 4, 4) + np.random.rand() + random.random()  # noqa: NPY002
        return (images(40)[index] + 0.1 * noise).clamp(-1, 1)


class Tape:
    """An iterable that keeps its position itself, and draws a seed to begin with, as torch's loaders do."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        torch.rand(1)
        return self._batches()

    def _batches(self):
        for start in range(self.at, 5):
            self.at = start + 1
            yield images(40)[8 * start : 8 * start + 8]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class TapedDataset(IterableDataset):
    def __init__(self):
        self.tape = Tape()

    def __iter__(self):
        return (batch[0] for batch in self.tape)

    def state_dict(self):
        return self.tape.state_dict()

    def load_state_dict(self, state):
        self.tape.load_state_dict(state)


DATA = {
    "tensor": lambda: images(40),
    "dataset": lambda: TensorDataset(images(40), torch.arange(40)),
    "noisy dataset": Noisy,
    "loader": lambda: DataLoader(TensorDataset(images(40)), 8, shuffle=True),
    "loader of a list": lambda: DataLoader(list(images(40)), 8, shuffle=True),
    "noisy loader": lambda: DataLoader(Noisy(), 8, shuffle=True),
    "loader with a generator": lambda: DataLoader(Noisy(), 8, shuffle=True, generator=torch.Generator().manual_seed(3)),
    "loader with workers": lambda: DataLoader(Noisy(), 8, shuffle=True, num_workers=1),
    "list of batches": lambda: list(images(40).split(8)),
    "iterable with a position": Tape,
    "iterable dataset with a position": TapedDataset,
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_resuming_at_any_step_is_as_if_it_had_never_stopped(tmp_path, data):
    size = 2 if data is TapedDataset else 8
    whole = fit(trainer(), data(), batch_size=size)
    kept = fit(trainer(), data(), batch_size=size, checkpoints=Checkpoints(tmp_path, every=1, keep=99))
    assert same_run(whole, kept)
    for step in (0, 1, 2, 4, 5, 6, 11, 12):
        path = tmp_path / "checkpoints" / f"step_{step:010d}"
        again = fit(
            trainer(), data(), batch_size=size, checkpoints=Checkpoints(None, resume=path)
        )  # a warning would be an error
        assert same_run(whole, again), step


def test_workers_change_nothing():
    runs = [fit(trainer(), Noisy(), steps=7, num_workers=workers) for workers in (0, 1, 2)]
    assert same_run(runs[0], runs[1])
    assert same_run(runs[0], runs[2])


def test_items_draw_anew_in_every_epoch_and_leave_the_global_generators_alone():
    seen = []

    class Seen(Noisy):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            seen.append((index, float(item.sum())))
            return item

    t = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")  # without dropout
    before = GlobalRng(torch.device("cpu")).state_dict()
    t.fit(Seen(), steps=10, batch_size=8)
    after = GlobalRng(torch.device("cpu")).state_dict()
    first, second = dict(seen[:40]), dict(seen[40:])
    assert first.keys() == second.keys() == set(range(40))
    assert all(first[i] != second[i] for i in first)
    assert torch.equal(before["torch"], after["torch"])
    assert torch.equal(before["numpy"][0], after["numpy"][0])
    assert torch.equal(before["python"][1], after["python"][1])


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_decay": 0.9},
        {"accumulation_steps": 3},
        {"joint_batches": True},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"d_steps": 2},
        {"g_steps": 2, "augment": lambda x, rng: x + 0.1 * torch.randn(x.shape, generator=rng)},
        {"scheduler": lambda optimizer: LinearLR(optimizer, 1.0, 0.0, 20)},
        {"g_optimizer": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5), "lr_q": 1e-4},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_every_setting_resumes(tmp_path, changes):
    whole = fit(trainer(**changes))
    fit(trainer(**changes), checkpoints=Checkpoints(tmp_path, every=1, keep=99))
    for step in (0, 3, 5, 10):
        again = fit(
            trainer(**changes), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{step:010d}")
        )
        assert same_run(whole, again), step


def test_a_schedule_is_followed_and_goes_on(tmp_path):
    def schedule(optimizer):
        return LinearLR(optimizer, 1.0, 0.0, 20)

    fit(trainer(scheduler=schedule), steps=10, checkpoints=tmp_path)
    again = fit(trainer(scheduler=schedule), steps=15, checkpoints=tmp_path)
    assert again._step.d_optimizers[0].param_groups[0]["lr"] == pytest.approx(2e-4 * 5 / 20)
    assert again._step.g_optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3 * 5 / 20)


@pytest.mark.parametrize("schedule", [3, lambda o: None, ReduceLROnPlateau])
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(TypeError, match="optimizers.scheduler must"):
        trainer(scheduler=schedule)


def linear(steps):
    return lambda optimizer: LinearLR(optimizer, 1.0, 0.0, steps)


def test_the_same_command_goes_on_and_then_has_nothing_to_do(tmp_path):
    with pytest.raises(KeyError) as stopped:
        fit(trainer(), callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=3))
    assert "The last checkpoint of the run is" in stopped.value.__notes__[0]
    again = fit(trainer(), checkpoints=Checkpoints(tmp_path, every=3))
    assert same_run(fit(trainer()), again)
    finished = fit(trainer(), checkpoints=tmp_path)
    assert same_run(again, finished)
    further = fit(trainer(), steps=STEPS + 4, checkpoints=tmp_path)
    assert same_run(fit(trainer(), steps=STEPS + 4), further)
    shorter = fit(trainer(), steps=3, checkpoints=tmp_path)
    assert shorter.steps == STEPS + 4


def test_epochs_are_counted_from_where_the_run_began(tmp_path):
    data = images(40)
    trainer().fit(data, epochs=1, batch_size=8, checkpoints=tmp_path)
    t = trainer()
    t.fit(data, epochs=3, batch_size=8, checkpoints=tmp_path)
    assert (t.steps, t.epochs) == (15, 3)


def test_two_fits_in_one_program_resume_where_the_program_was(tmp_path):
    other = images(24, seed=9)

    def program(run_dir, stop_at=None):
        t = trainer()
        fit(t, steps=7, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(run_dir, every=1))
        fit(t, other, steps=5, callbacks=[StopsAt(stop_at)], checkpoints=Checkpoints(run_dir, every=1))
        return t

    whole = fit(fit(trainer(), steps=7), other, steps=5)
    for stop_at in (3, 7, 9, 12):
        run_dir = tmp_path / str(stop_at)
        with pytest.raises(KeyError):
            program(run_dir, stop_at)
        again = program(run_dir)
        assert same_run(whole, again), stop_at


def test_a_fit_that_failed_is_gone_on_with_by_the_same_trainer(tmp_path):
    class Once(ig.Callback):
        def on_step_end(self, trainer, figures):
            if trainer.steps == 7 and not hasattr(self, "done"):
                self.done = True
                raise KeyError("once")

    t, once = trainer(), Once()
    data = DataLoader(TensorDataset(images(40)), 8, shuffle=True)
    with pytest.raises(KeyError):
        fit(t, data, callbacks=[once], checkpoints=tmp_path)
    fit(t, data, callbacks=[once], checkpoints=tmp_path)
    assert same_run(fit(trainer(), DataLoader(TensorDataset(images(40)), 8, shuffle=True)), t)


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


def test_data_that_has_changed_is_warned_of(tmp_path):
    fit(trainer(), checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="batch 2 of epoch 2 is not what it was"):
        fit(trainer(), images(40, seed=1), steps=STEPS + 1, checkpoints=tmp_path)


def other_latent():
    return ig.LatentSpec(z=ig.Noise(3), digit=ig.Categorical(6), style=ig.Uniform(2, weight=0.5))


def wider():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(11, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 16))
    generator.extend([nn.Unflatten(1, (1, 4, 4)), nn.Tanh()])
    discriminator = dense_discriminator()
    discriminator.insert(4, nn.Dropout(0.3))
    return make_trainer(generator, discriminator, LATENT, device="cpu")


OTHERS = [
    (lambda: trainer(seed=1), {}, "seed was 0 and is 1"),
    (lambda: trainer(lr_g=5e-4), {}, r"optimizers\[1\].groups\[0\].lr was 0.001 and is 0.0005"),
    (lambda: trainer(ema_decay=0.9), {}, "ema_decay was absent and is 0.9"),
    (lambda: trainer(adversarial=losses.Hinge()), {}, r"adversarial was NonSaturating\(\) and is Hinge\(\)"),
    (lambda: trainer(precision="bf16"), {}, "precision was fp32 and is bf16"),
    (lambda: trainer(latent=other_latent()), {}, r"latent.z.dim was 5 and is 3; latent.digit.k was 4 and is 6"),
    (wider, {}, r"'generator.0.weight' is float32 of shape \(16, 11\) in it, but float32 of shape \(20, 11\) here"),
    (trainer, {"batch_size": 10}, "the run's data had batch size 8, and this data has 10"),
    (trainer, {"data": images(48)}, "the run's data had length 40, and this data has 48"),
    (trainer, {"callbacks": [JSONLLogger("never.jsonl")]}, r"saved with none, but here are \['JSONLLogger'\]"),
    (trainer, {"resume": False}, "holds a run at step 12; resume it with resume='auto'"),
    (lambda: fit(trainer(), steps=2), {}, "has made steps of its own, which loading would lose"),
]


@pytest.mark.parametrize(("make", "options", "message"), OTHERS)
def test_another_run_in_the_folder_is_refused_and_left_alone(tmp_path, make, options, message):
    fit(trainer(), checkpoints=tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    t = make()
    old = weights(t)
    old = {name: value.clone() for name, value in old.items()}
    with pytest.raises(ig.CheckpointError, match=message) as refusal:
        saving = Checkpoints(tmp_path, resume=options.get("resume", "auto"))
        fit(t, steps=20, checkpoints=saving, **{name: value for name, value in options.items() if name != "resume"})
    assert str(tmp_path) in str(refusal.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert all(torch.equal(value, old[name]) for name, value in weights(t).items())


def test_an_older_checkpoint_is_not_gone_on_with_beside_newer_ones(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", every=5, keep=9))
    older = tmp_path / "a" / "checkpoints" / f"step_{5:010d}"
    with pytest.raises(ig.CheckpointError, match="it holds a checkpoint of step 12, newer than the one to resume from"):
        fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", resume=older))
    branch = fit(trainer(), checkpoints=Checkpoints(tmp_path / "b", resume=older))
    assert same_run(branch, fit(trainer()))
    assert same_run(fit(trainer(), checkpoints=tmp_path / "b"), branch)


class Endless(IterableDataset):
    def __iter__(self):
        return iter(images(40))


NO_POSITION = {
    "generator": lambda: (batch for batch in images(40).split(8)),
    "iterable dataset": Endless,
    "loader of an iterable dataset": lambda: DataLoader(Endless(), 8),
    "persistent workers": lambda: DataLoader(TensorDataset(images(40)), 8, num_workers=1, persistent_workers=True),
}


@pytest.mark.parametrize("data", NO_POSITION.values(), ids=NO_POSITION)
def test_data_without_a_position_is_refused_where_it_matters(tmp_path, data):
    t = trainer()
    with pytest.raises(ValueError, match="a run that can be resumed needs data with a position: .*; .*give"):
        fit(t, data(), checkpoints=tmp_path)
    assert t.steps == 0
    fit(t, data(), steps=2)  # without a folder it is as good as any


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


def test_if_all_are_damaged_nothing_is_begun_anew(tmp_path):
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
        found = read_checkpoint(tmp_path / "checkpoints" / f"step_{10:010d}", max_bytes=2**30)
        folder.save(13, found.metadata, found.state)
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


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ig.CheckpointError, match="a file is in"):
        fit(trainer(), checkpoints=tmp_path / "run")


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="cannot write metrics: No space left on device: '/dev/full'"):
        fit(trainer(), steps=200, callbacks=[JSONLLogger("/dev/full")])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoints": 3}, TypeError, r"checkpoints must be a folder or Checkpoints\(...\), but got 3"),
        ({"checkpoints": ""}, TypeError, "checkpoints must name a folder, but got ''"),
        ({"num_workers": 1}, ValueError, "num_workers=1 would do nothing"),
        ({"num_workers": -1}, ValueError, "num_workers must be a whole number of at least 0"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        fit(trainer(), **options)


@pytest.mark.parametrize(
    ("folder", "settings", "error", "message"),
    [
        (3, {}, TypeError, "checkpoints must name a folder, but got 3"),
        (None, {"every": 5}, ValueError, "without a folder nothing is saved"),
        (None, {"keep": 5}, ValueError, "without a folder nothing is saved"),
        ("x", {"every": 0}, ValueError, "every must be a whole number of at least 1"),
        ("x", {"keep": 0}, ValueError, "keep must be a whole number of at least 1"),
        ("x", {"resume": True}, TypeError, "resume must be 'auto', False or the path of a checkpoint"),
    ],
)
def test_checkpoint_settings_that_cannot_be_are_refused(folder, settings, error, message):
    with pytest.raises(error, match=message):
        Checkpoints(folder, **settings)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ig.CheckpointError, match="nowhere: there is no such folder"):
        fit(trainer(), checkpoints=Checkpoints(None, resume="nowhere"))


def test_a_callback_with_a_state_that_cannot_be_saved_is_named(tmp_path):
    class Odd(ig.Callback):
        def state_dict(self):
            return {"what": [1, math.sin]}

    with pytest.raises(TypeError, match=r"state\['callbacks'\].*\['what'\]\[1\] cannot be saved: it is a builtin"):
        fit(trainer(), callbacks=[Odd()], checkpoints=tmp_path)


def test_callbacks_of_ones_own_keep_their_state(tmp_path):
    class Sum(ig.Callback):
        total = 0.0

        def on_step_end(self, trainer, figures):
            self.total += figures["loss/d"]

        def state_dict(self):
            return {"total": self.total}

        def load_state_dict(self, state):
            self.total = state["total"]

    first, second = Sum(), Sum()
    fit(trainer(), steps=5, callbacks=[first], checkpoints=tmp_path)
    t = fit(trainer(), callbacks=[second], checkpoints=tmp_path)
    assert second.total == pytest.approx(t.history["loss/d"].sum())


def test_a_loop_of_ones_own_saves_and_goes_on(tmp_path):
    batches = images(96).split(8)
    whole, half = trainer(ema_decay=0.9), trainer(ema_decay=0.9)
    state = torch.get_rng_state()
    for batch in batches:
        whole.step(batch)
    torch.set_rng_state(state)
    for batch in batches[:5]:
        half.step(batch)
    half.save_checkpoint(tmp_path / "c")
    half.save_checkpoint(tmp_path / "c")
    again = trainer(ema_decay=0.9)
    again.load_checkpoint(tmp_path / "c")
    for batch in batches[5:]:
        again.step(batch)
    assert same_run(whole, again)
    with pytest.raises(ig.CheckpointError, match="seed was 0 and is 1"):
        trainer(ema_decay=0.9, seed=1).load_checkpoint(tmp_path / "c")


def test_another_torch_is_warned_of(tmp_path, monkeypatch):
    fit(trainer(), checkpoints=tmp_path)
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.warns(UserWarning, match=r"was saved with torch .*, and this is 9.9"):
        fit(trainer(), checkpoints=tmp_path)


def test_moments_keep_their_precision(tmp_path):
    """torch casts what it loads to the parameter's dtype; float64 moments must stay what they are."""

    class Mixed(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    mean = self.state[p].setdefault("mean", torch.zeros_like(p, dtype=torch.float64))
                    mean += p.grad.double() / 3
                    p.data.sub_(mean.float(), alpha=group["lr"])

    def make():
        return trainer(g_optimizer=lambda p: Mixed(p, 1e-3))

    whole = fit(make())
    fit(make(), checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    assert same_run(
        whole, fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{5:010d}"))
    )


def test_buffers_that_a_module_does_not_save_are_saved(tmp_path):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def forward(self, x):
            self.seen += 1
            return x * (1 + 0.001 * self.seen)

    def make():
        t = trainer()
        torch.manual_seed(0)
        discriminator = dense_discriminator()
        discriminator.insert(1, Counts())
        return make_trainer(t.model.generator, discriminator, LATENT, device="cpu")

    whole = fit(make())
    fit(make(), checkpoints=Checkpoints(tmp_path, every=5, keep=9))
    assert same_run(
        whole, fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{5:010d}"))
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_resuming_on_cuda_with_deterministic_algorithms(tmp_path, monkeypatch, precision):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:

        def make():
            torch.manual_seed(0)
            discriminator = dense_discriminator()
            discriminator.insert(4, nn.Dropout(0.3))
            settings = {"device": "cuda", "precision": precision, "ema_decay": 0.9}
            return make_trainer(dense_generator(), discriminator, LATENT, **settings)

        whole = fit(make(), checkpoints=Checkpoints(tmp_path, every=1, keep=99))
        for step in (0, 3, 5, 11):
            again = fit(make(), checkpoints=Checkpoints(None, resume=tmp_path / "checkpoints" / f"step_{step:010d}"))
            assert same_run(whole, again), step
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_run_does_not_change_its_kind_of_device_in_silence(tmp_path):
    fit(trainer(), checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match="device was cpu and is cuda"):
        fit(make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cuda"), checkpoints=tmp_path)


def test_fitting_in_a_thread_installs_no_handlers(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(trainer(), checkpoints=tmp_path).steps))
    thread.start()
    thread.join()
    assert found == [STEPS]


def test_checkpoints_can_be_copied_elsewhere(tmp_path):
    fit(trainer(), steps=5, checkpoints=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert same_run(fit(trainer(), checkpoints=tmp_path / "a"), fit(trainer(), checkpoints=tmp_path / "b"))


def lines_in(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


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


def test_a_signal_during_the_last_save_is_heeded(tmp_path):
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


def test_handlers_are_put_back_and_ones_own_is_called(tmp_path):
    heard = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:

        class Sends(ig.Callback):
            def on_step_end(self, trainer, figures):
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does, to the process and to its group

        with pytest.raises(SystemExit) as ended:
            fit(trainer(), callbacks=[Sends()], checkpoints=tmp_path)
        assert (ended.value.code, heard) == (143, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, previous)


@pytest.fixture
def _takes_ctrl_c():
    """A shell's background jobs ignore SIGINT, and hand that down to the tests."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("_takes_ctrl_c")
@pytest.mark.parametrize("interactive", [True, False])
def test_ctrl_c_leaves_a_usable_trainer(tmp_path, monkeypatch, interactive):
    class Presses(ig.Callback):
        def on_step_end(self, trainer, figures):
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
        def on_step_end(self, trainer, figures):
            os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert fit(trainer(), callbacks=[Presses()], checkpoints=tmp_path).steps == STEPS
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_second_signal_ends_at_once(tmp_path):
    code = """
import sys, os, time, signal
sys.path[:0] = sys.argv[2:]
import infogan_lib as ig
from test_resume import trainer, fit
class Waits(ig.Callback):
    def on_step_end(self, trainer, figures):
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


class WaitsForWorker(Noisy):
    def __getitem__(self, index):
        time.sleep(0.05)
        return super().__getitem__(index)


def test_a_signal_to_the_whole_group_is_saved_too(tmp_path):
    code = """
import sys
sys.path[:0] = sys.argv[2:]
from torch.utils.data import DataLoader
from test_resume import WaitsForWorker, fit, trainer
fit(trainer(), DataLoader(WaitsForWorker(), 8, num_workers=2), steps=1000, checkpoints=sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path), *sys.path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        while not (tmp_path / "checkpoints" / f"step_{0:010d}").exists():
            assert program.poll() is None
            time.sleep(0.05)
        time.sleep(1.5)
        os.killpg(program.pid, signal.SIGTERM)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 143, said
    assert "saved in" in said


def test_a_fit_that_could_not_begin_counts_for_nothing():
    t = trainer()
    with pytest.raises(ig.CheckpointError):
        fit(t, steps=3, checkpoints=Checkpoints(None, resume="nowhere"))
    assert fit(t, steps=3).steps == 3


def test_a_fit_that_failed_is_left_for_another_one(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(7)], checkpoints=tmp_path / "a")
    assert fit(t, steps=5).steps == 12
    with pytest.raises(KeyError):
        fit(t, callbacks=[StopsAt(15)], checkpoints=tmp_path / "b")
    assert fit(t, images(48), steps=5, checkpoints=tmp_path / "c").steps == 20


def test_a_step_that_failed_is_made_again(tmp_path):
    class Fails:
        calls = 0

        def __call__(self, x, rng):
            self.calls += 1
            if self.calls == 8:
                raise MemoryError
            return x

    fails = Fails()
    t = trainer(augment=fails)
    data = DataLoader(TensorDataset(images(40)), 8, shuffle=True)
    with pytest.raises(MemoryError):
        fit(t, data, checkpoints=tmp_path)
    fit(t, data, checkpoints=tmp_path)
    whole = fit(trainer(augment=lambda x, rng: x), DataLoader(TensorDataset(images(40)), 8, shuffle=True))
    assert same_run(whole, t)


def test_a_fit_that_failed_at_its_start_is_resumed_as_well(tmp_path):
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            raise KeyError("not ready")

    def data():
        return DataLoader(TensorDataset(images(40)), 8, shuffle=True)

    with pytest.raises(KeyError):
        fit(trainer(), data(), callbacks=[StopsAt(7)], checkpoints=Checkpoints(tmp_path, every=1))
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, data(), callbacks=[Fails()], checkpoints=tmp_path)
    assert same_run(fit(t, data(), checkpoints=tmp_path), fit(trainer(), data()))


def test_going_back_beside_newer_checkpoints_is_refused(tmp_path):
    t = fit(trainer(), steps=4, checkpoints=tmp_path / "run")
    t.save_checkpoint(tmp_path / "saved")
    fit(t, steps=8, checkpoints=tmp_path / "run")
    t.load_checkpoint(tmp_path / "saved")
    with pytest.raises(ig.CheckpointError, match="it holds a checkpoint of step 12, newer than the one to resume from"):
        fit(t, steps=20, checkpoints=tmp_path / "run")
    assert fit(t, steps=2, checkpoints=tmp_path / "other").steps == 6


def test_a_branch_goes_on_by_the_same_command_and_may_change_its_rates(tmp_path):
    fit(trainer(), checkpoints=Checkpoints(tmp_path / "a", every=5, keep=9))
    start = tmp_path / "a" / "checkpoints" / f"step_{5:010d}"

    def branch(stop=None):
        return fit(
            trainer(lr_d=1e-5),
            callbacks=[StopsAt(stop)],
            checkpoints=Checkpoints(tmp_path / "b", every=2, resume=start),
        )

    warned = pytest.warns(
        UserWarning, match="a new run begins from .* with other settings: .*lr was 0.0002 and is 1e-05"
    )
    with warned, pytest.raises(KeyError):
        branch(9)
    again = branch()
    assert again._step.d_optimizers[0].param_groups[0]["lr"] == 1e-5
    with pytest.warns(UserWarning, match="a new run begins"):
        whole = fit(trainer(lr_d=1e-5), checkpoints=Checkpoints(None, resume=start))
    assert same_run(whole, again)
    with pytest.raises(ig.CheckpointError, match="seed was 0 and is 1"):
        fit(trainer(seed=1), checkpoints=Checkpoints(tmp_path / "c", resume=start))


def test_a_branch_may_put_its_batches_together(tmp_path):
    """As the monitor advises where Q reads otherwise in evaluation."""
    fit(trainer(), steps=4, checkpoints=tmp_path / "a")
    with pytest.warns(UserWarning, match="with other settings: joint_batches was False and is True"):
        t = fit(trainer(joint_batches=True), steps=6, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert t.steps == 6


def test_a_branch_takes_the_place_of_the_call_that_was_under_way(tmp_path):
    fit(fit(trainer(), steps=4, checkpoints=tmp_path / "a"), steps=4, checkpoints=tmp_path / "a")
    for _ in range(2):  # the second time it goes on with the branch, which is complete
        t = fit(trainer(), steps=6, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
        assert t.steps == 10  # six from where the second call began
    again = fit(trainer(), steps=7, checkpoints=Checkpoints(tmp_path / "b", resume=tmp_path / "a"))
    assert again.steps == 11


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"scheduler": linear(20)}, {"scheduler": linear(30)}, "total_iters was 20 and is 30"),
        ({}, {"scheduler": linear(30)}, "schedulers was .* and is absent"),
        ({}, {"pixel_range": (0, 1)}, "pixel_range"),
        ({}, {"augment": lambda x, rng: x}, "augmented.augment was False and is True"),
        ({}, {"tap": "2"}, r"tap was .*layer='5'.* and is .*layer='2'"),
    ],
)
def test_other_settings_are_not_taken_in_silence(tmp_path, before, after, message):
    fit(trainer(**before), checkpoints=tmp_path)
    with pytest.raises(ig.CheckpointError, match=message):
        fit(trainer(**after), checkpoints=tmp_path)


def test_a_call_that_was_completed_before_says_so(tmp_path, caplog):
    t = trainer()
    fit(fit(t, steps=5, checkpoints=tmp_path), steps=5, checkpoints=tmp_path)
    assert fit(trainer(), steps=100, checkpoints=tmp_path).steps == 10
    assert "this call of fit was completed before (the run is at step 10)" in caplog.text


def test_changed_data_is_noticed_at_the_end_of_an_epoch_too(tmp_path):
    fit(trainer(), steps=10, checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="batch 5 of epoch 1 is not what it was"):
        fit(trainer(), images(40, seed=1), checkpoints=tmp_path)


def test_names_given_before_going_on_stay(tmp_path):
    fit(trainer(), steps=5, checkpoints=tmp_path)
    t = trainer()
    t.model.set_category_names("digit", list("abcd"))
    fit(t, checkpoints=tmp_path)
    assert t.model.category_names == {"digit": ("a", "b", "c", "d")}


def test_versions_of_modules_are_kept(tmp_path):
    class Migrates(nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.scale

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            if metadata.get("version", 1) < 2:
                state[prefix + "scale"] = state[prefix + "scale"] * 10
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    def make():
        torch.manual_seed(0)
        generator = dense_generator()
        generator.insert(0, Migrates())
        return make_trainer(generator, dense_discriminator(), LATENT, device="cpu")

    t = fit(make(), checkpoints=tmp_path / "run")
    assert same_run(t, fit(make(), checkpoints=tmp_path / "run"))
    t.model.save(tmp_path / "model")
    new = make().model
    loaded = ig.InfoGAN.load(tmp_path / "model", generator=new.generator, discriminator=new.discriminator)
    assert torch.equal(loaded.generator[0].scale, t.model.generator[0].scale)


def test_samplers_without_a_length_are_as_good_as_any():
    class Forever(Sampler):
        def __iter__(self):
            while True:
                yield from torch.randperm(40).tolist()

    assert fit(trainer(), DataLoader(TensorDataset(images(40)), 8, sampler=Forever()), steps=7).steps == 7


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    class Moves(ig.Callback):
        def on_step_end(self, trainer, figures):
            os.chdir("/")

    monkeypatch.chdir(tmp_path)
    fit(trainer(), callbacks=[Moves()], checkpoints=Checkpoints("run", every=1))
    assert (tmp_path / "run/checkpoints/step_0000000012").exists()


def test_reading_the_lock_file_does_not_open_the_lock(tmp_path):
    command = [sys.executable, "-c", HOLDER.replace("sleep(60)", "sleep(0)"), str(tmp_path)]
    with RunLock(tmp_path):
        (tmp_path / "lock").read_text()
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run(command, check=True, capture_output=True)


def test_a_disk_that_is_nearly_full_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.warns(UserWarning, match="has 10,000 bytes free, and a checkpoint of this run may take"):
        fit(trainer(), checkpoints=tmp_path)


def test_more_than_can_be_read_again_is_not_written(tmp_path):
    class Hoards(ig.Callback):
        def state_dict(self):
            return {"all": torch.zeros(64)}

    t = trainer()
    t._ledger.max_bytes = 100_000
    with pytest.raises(ig.CheckpointError, match="bytes of state and .* were to be saved, and at most 100,000"):
        fit(t, callbacks=[Hoards()], checkpoints=tmp_path)


def test_a_checkpoint_of_a_run_is_loaded_by_load_checkpoint_too(tmp_path):
    source = fit(trainer(), checkpoints=tmp_path)
    for path in (tmp_path, tmp_path / "checkpoints" / f"step_{12:010d}"):
        t = trainer()
        t.load_checkpoint(path)
        assert same_run(source, t)
    source.save_checkpoint(tmp_path / "own")
    with pytest.raises(ig.CheckpointError, match="this is a trainer state, not a checkpoint; trainer.load_check"):
        fit(trainer(), checkpoints=Checkpoints(None, resume=tmp_path / "own"))
    with pytest.raises(ig.CheckpointError, match="there is no such folder"):
        trainer().load_checkpoint(tmp_path / "nowhere")

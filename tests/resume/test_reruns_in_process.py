"""A call of `fit` that failed and is made again in the same process, as a notebook's cell is, and perhaps killed."""

import copy
import os
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.callbacks import EarlyStopping
from infogan_lib.checkpoints.run_folder import RunFolder
from resume_toys import StopsAt, all_equal, fit, same_run, trainer, weights
from toys import images


class OwnPosition:
    """Batches without end, with the position kept by the data itself."""

    def __init__(self):
        self.index = 0

    def __iter__(self):
        while True:
            self.index += 1
            yield images(8, seed=self.index)

    def state_dict(self):
        return {"index": self.index}

    def load_state_dict(self, state):
        self.index = state["index"]


class StopsQuietlyAt(StopsAt):
    def needs_model(self, step):
        return False  # so that the next step is launched already, and its batch is returned


def interrupted_at(t, data, step, callback=StopsAt, **options):
    with pytest.raises(KeyError):
        fit(t, data, callbacks=[callback(step)], **options)


def test_no_batch_of_a_stream_is_lost_where_a_rerun_is_killed(tmp_path):
    t, data, checkpoints = trainer(), OwnPosition(), Checkpoints(tmp_path, every=50)
    interrupted_at(t, data, 5, StopsQuietlyAt, checkpoints=checkpoints)
    interrupted_at(t, data, 6, checkpoints=checkpoints)  # the checkpoint that it begins with is all that a kill leaves
    again = fit(trainer(), OwnPosition(), checkpoints=checkpoints)
    assert same_run(again, fit(trainer(), OwnPosition()))


class Epochs(OwnPosition):
    """Epochs of four batches; the last one is known to be the last once another one is asked for."""

    def __iter__(self):
        while self.index % 5 < 4:
            self.index += 1
            yield images(8, seed=self.index)
        self.index += 1


@pytest.mark.parametrize("callback", [StopsAt, StopsQuietlyAt])
@pytest.mark.parametrize("step", [3, 4, 5])
@pytest.mark.parametrize("is_killed", [False, True])
def test_an_epoch_that_ends_where_a_call_fails_is_counted(tmp_path, callback, step, is_killed):
    t, data, checkpoints = trainer(), Epochs(), Checkpoints(tmp_path, every=50)
    interrupted_at(t, data, step, callback, checkpoints=checkpoints)
    if is_killed:
        interrupted_at(t, data, step + 1, checkpoints=checkpoints)
        t, data = trainer(), Epochs()
    assert same_run(fit(t, data, checkpoints=checkpoints), fit(trainer(), Epochs()))


class Ends8(ig.Callback):
    def on_step_end(self, trainer, metrics):
        if trainer.steps >= 8:
            trainer.stop()


def test_a_call_that_was_stopped_and_whose_end_was_not_saved_makes_no_more_steps(tmp_path, monkeypatch):
    t = trainer()
    with monkeypatch.context() as full:
        full.setattr(RunFolder, "save", fails_at_step(8))
        with pytest.raises(ig.CheckpointError, match="full"):
            fit(t, callbacks=[Ends8()], checkpoints=tmp_path)
    fit(t, callbacks=[Ends8()], checkpoints=tmp_path)
    assert t.steps == 8
    assert fit(trainer(), callbacks=[Ends8()], checkpoints=tmp_path).steps == 8
    fit(t, steps=9, checkpoints=tmp_path)
    assert t.steps == 17


def fails_at_step(number):
    save = RunFolder.save

    def fails(self, step, *state):
        if step == number:
            raise ig.CheckpointError(self.folder, "the disk is full")
        return save(self, step, *state)

    return fails


def test_a_loader_draws_no_more_where_a_call_fails_at_the_end_of_an_epoch(tmp_path):
    def data():
        rng = torch.Generator().manual_seed(1)
        return DataLoader(TensorDataset(images(40)), batch_size=8, shuffle=True, generator=rng)

    t, loader = trainer(), data()
    interrupted_at(t, loader, 5, checkpoints=tmp_path)
    assert same_run(fit(t, loader, checkpoints=tmp_path), fit(trainer(), data()))


class Rises(ig.Callback):
    def on_step_end(self, trainer, metrics):
        trainer.history.record(trainer.steps, {"rising": trainer.steps})


def cell(t, folder, fails_at=None):
    stopping = EarlyStopping("rising", mode="min", patience=6, every=1)
    fit(t, callbacks=[Rises(), stopping, StopsAt(fails_at)], checkpoints=folder)


def test_callbacks_that_a_cell_makes_anew_take_over_the_states_of_those_before(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        cell(t, tmp_path, fails_at=4)
    cell(t, tmp_path)
    assert t.steps == 7  # six checks without an improvement after the first


class Unreadable(ig.Callback):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise ValueError("another form")


def test_a_state_that_is_not_taken_over_is_named(tmp_path):
    t = trainer()
    with pytest.raises(KeyError):
        fit(t, callbacks=[Unreadable(), StopsAt(4)], checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="the callback Unreadable begins anew, .*another form"):
        fit(t, callbacks=[Unreadable()], checkpoints=tmp_path)


class Ends(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 17:
            raise StopIteration
        return images(40)[index]


def test_an_item_that_raises_stop_iteration_does_not_end_the_epoch():
    t = trainer()
    with pytest.raises(ValueError, match=r"data ended after \d of the 5 batches of epoch 0: .* raised StopIteration"):
        fit(t, Ends())
    assert t.epochs == 0


@pytest.mark.parametrize(("tail", "kept"), [(b'{"step": 3, "lo', b""), (b"another program's", b"another program's\n")])
def test_a_log_whose_last_line_was_cut_off_goes_on_with_whole_lines(tmp_path, tail, kept):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 2}\n' + tail)
    fit(trainer(), steps=2, callbacks=[ig.callbacks.JSONLLogger(path)])
    before, *lines = path.read_bytes().removesuffix(b"\n").split(b'\n{"step": ')
    assert before == b'{"step": 2}' + (b"\n" + kept.removesuffix(b"\n") if kept else b"")
    assert [line[:1] for line in lines] == [b"1", b"2"]


def test_a_log_may_be_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fit(trainer(), steps=2, callbacks=[ig.callbacks.JSONLLogger(path)])
    assert os.read(reader, 2**16).count(b'{"step": ') == 2
    os.close(reader)


def test_a_call_that_fails_leaves_gradients_recorded(tmp_path):
    class Fails(ig.Callback):
        def on_fit_start(self, trainer, total_steps):
            torch.set_grad_enabled(False)
            raise KeyError("failed")

    t = trainer()
    try:
        with pytest.raises(KeyError):
            fit(t, callbacks=[Fails()], checkpoints=tmp_path)
        assert torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copy", "pickle"])
@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9, "accumulation_steps": 2}], ids=["plain", "averaged"])
def test_a_copy_of_a_trainer_is_a_trainer_of_its_own(tmp_path, settings, copied):
    t = fit(trainer(**settings), steps=5)
    other = copied(t)
    torch.manual_seed(3)
    fit(t, steps=4)
    before = [tensor.clone() for tensor in weights(t).values()]
    torch.manual_seed(3)
    fit(other, steps=4, checkpoints=tmp_path)
    assert same_run(t, other)
    fit(other, steps=2, checkpoints=tmp_path)
    assert all_equal(before, list(weights(t).values()))
    loaded = trainer(**settings)
    loaded.load_checkpoint(tmp_path)
    assert (loaded.steps, t.steps) == (11, 9)
    assert same_run(loaded, other)


def test_a_copy_that_a_callback_made_can_be_trained():
    class Copies(ig.Callback):
        def on_step_end(self, trainer, metrics):
            self.copy = copy.deepcopy(trainer)

    copies = Copies()
    fit(trainer(), steps=3, callbacks=[copies])
    assert fit(copies.copy, steps=2).steps == 5

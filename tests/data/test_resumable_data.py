"""Data in a resumed run: every kind of data continues where it stopped, or is refused."""

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler, TensorDataset

from infogan_lib import Checkpoints
from infogan_lib.data.rng import GlobalRng
from resume_toys import STEPS, Noisy, fit, same_run, trainer
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


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


@pytest.mark.parametrize(
    "data",
    [pytest.param(make, id=name, marks=pytest.mark.slow if "workers" in name else ()) for name, make in DATA.items()],
)
@pytest.mark.slow
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
    drawn = []

    class Recorded(Noisy):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            drawn.append((index, float(item.sum())))
            return item

    t = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")  # without dropout
    before = GlobalRng(torch.device("cpu")).state_dict()
    t.fit(Recorded(), steps=10, batch_size=8)
    after = GlobalRng(torch.device("cpu")).state_dict()
    first, second = dict(drawn[:40]), dict(drawn[40:])
    assert first.keys() == second.keys() == set(range(40))
    assert all(first[i] != second[i] for i in first)
    assert torch.equal(before["torch"], after["torch"])
    assert torch.equal(before["numpy"][0], after["numpy"][0])
    assert torch.equal(before["python"][1], after["python"][1])


def test_data_that_has_changed_is_warned_of(tmp_path):
    fit(trainer(), checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="batch 2 of epoch 2 is not what it was"):
        fit(trainer(), images(40, seed=1), steps=STEPS + 1, checkpoints=tmp_path)


def test_changed_data_is_noticed_at_the_end_of_an_epoch_too(tmp_path):
    fit(trainer(), steps=10, checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="batch 5 of epoch 1 is not what it was"):
        fit(trainer(), images(40, seed=1), checkpoints=tmp_path)


@pytest.mark.parametrize("steps", [10, STEPS], ids=["at the end of an epoch", "in an epoch"])
def test_changed_data_is_noticed_though_the_run_is_complete(tmp_path, steps):
    done = fit(trainer(), Noisy(), steps=steps, checkpoints=tmp_path)
    state = torch.get_rng_state()
    again = fit(trainer(), Noisy(), steps=steps, checkpoints=tmp_path)  # without a warning
    assert same_run(again, done)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.warns(UserWarning, match="is not what it was when the run was saved: the data has changed"):
        assert same_run(fit(trainer(), steps=steps, checkpoints=tmp_path), done)


def test_a_complete_run_stays_so_where_its_data_cannot_be_read(tmp_path):
    class Gone(Noisy):
        def __getitem__(self, index):
            raise OSError("gone")

    done = fit(trainer(), Noisy(), checkpoints=tmp_path)
    with pytest.warns(UserWarning, match="the last batch of the run cannot be compared with the data now: .*gone"):
        assert same_run(fit(trainer(), Gone(), checkpoints=tmp_path), done)


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


def test_samplers_without_a_length_are_as_good_as_any():
    class Forever(Sampler):
        def __iter__(self):
            while True:
                yield from torch.randperm(40).tolist()

    assert fit(trainer(), DataLoader(TensorDataset(images(40)), 8, sampler=Forever()), steps=7).steps == 7

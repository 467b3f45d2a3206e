"""A DataLoader that fails, or whose epoch is not what it was: the cell that is run again continues undisturbed."""

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler

from infogan_lib import Checkpoints
from infogan_lib.data.sources import LoaderSource
from infogan_lib.step.calls import Calls
from resume_toys import Noisy, StopsAt, fit, same_run, trainer

STEPS = 7  # of five batches of eight an epoch


class Fails(Noisy):
    """Noisy items, of which one cannot be made at first; counted over all epochs."""

    def __init__(self, number=None):
        self.number, self.made = number, 0

    def __getitem__(self, index):
        item = super().__getitem__(index)
        self.made += 1
        if self.made == self.number:
            raise OSError("the disk is away")
        return item


def loader(dataset, **settings):
    return DataLoader(
        dataset, 8, sampler=RandomSampler(dataset, generator=torch.Generator().manual_seed(3)), **settings
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(trainer(), loader(Noisy()), steps=STEPS, checkpoints=tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("number", [1, 4, 12, 44])  # at the beginning, in the first two batches, in the next epoch
def test_a_cell_run_again_after_an_item_that_failed_goes_on_as_if_it_had_not(tmp_path, whole, number):
    t, data = trainer(), loader(Fails(number))
    with pytest.raises(OSError, match="the disk is away"):
        fit(t, data, steps=STEPS, checkpoints=tmp_path)
    fit(t, data, steps=STEPS, checkpoints=tmp_path)  # a warning would be an error
    assert same_run(t, whole)


def test_a_first_step_that_failed_has_its_batch_again(tmp_path, whole, monkeypatch):
    t, data = trainer(), loader(Noisy())
    with monkeypatch.context() as patch:
        patch.setattr(Calls, "generate", lambda self, latent: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(t, data, steps=STEPS, checkpoints=tmp_path)
    fit(t, data, steps=STEPS, checkpoints=tmp_path)
    assert same_run(t, whole)


def test_a_resumed_run_whose_first_batch_fails_goes_on_as_well(tmp_path, whole):
    with pytest.raises(KeyError):
        fit(trainer(), loader(Noisy()), steps=STEPS, checkpoints=Checkpoints(tmp_path, every=2), callbacks=[StopsAt(3)])
    t, data = trainer(), loader(Fails(18))  # the two batches before are made again
    with pytest.raises(OSError, match="the disk is away"):
        fit(t, data, steps=STEPS, checkpoints=tmp_path)
    fit(t, data, steps=STEPS, checkpoints=tmp_path)
    assert same_run(t, whole)


class Short(Sampler[int]):
    """Has no length."""

    def __init__(self, end):
        self.end = end

    def __iter__(self):
        return iter(range(self.end))


def test_an_epoch_that_ends_before_the_place_of_the_run_is_refused(tmp_path):
    longer, shorter = (DataLoader(Noisy(), 8, sampler=Short(end), drop_last=True) for end in (40, 17))
    fit(trainer(), longer, steps=4, checkpoints=tmp_path)
    with pytest.raises(
        ValueError, match="the run was at batch 4 of an epoch, and this DataLoader gives 2; give the data"
    ):
        fit(trainer(), shorter, steps=6, checkpoints=tmp_path)


def test_an_error_leaves_the_generators_as_they_were_before_the_batch():
    source = LoaderSource(loader(Fails(12)))
    batches = source.epoch(0)
    next(batches)
    before = torch.get_rng_state()
    with pytest.raises(OSError, match="the disk is away"):
        next(batches)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(list(source.epoch(0, 0))) == 5

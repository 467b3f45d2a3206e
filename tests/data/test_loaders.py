"""Loaders of other libraries and samplers of any length."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from infogan_lib import Callback, Checkpoints
from infogan_lib.data import Sharded
from toys import images, make_trainer

DATA = TensorDataset(images(41))


class Batches(Callback):
    """The real images of each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, trainer, metrics):
        self.seen.append(trainer.last_batch.clone())


def weighted(count, **settings):
    return DataLoader(DATA, 8, sampler=WeightedRandomSampler(torch.ones(41), count), **settings)


@pytest.mark.parametrize(("count", "steps"), [(120, 15), (40, 5), (16, 2), (20, 3)])
def test_an_epoch_is_as_long_as_the_sampler(count, steps):
    trainer = make_trainer()
    trainer.fit(weighted(count), epochs=2)
    assert (trainer.steps, trainer.epochs) == (2 * steps, 2)


@pytest.mark.parametrize(
    "loader", [weighted(9), DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(range(17)), 8, False))]
)
def test_a_last_batch_that_is_too_small_is_found_before_the_first_step(loader):
    trainer = make_trainer()
    with pytest.raises(ValueError, match="last batch holds 1 of .* drop_last=True"):
        trainer.fit(loader, epochs=1)
    assert trainer.steps == 0


class WithPlace(DataLoader):
    """A loader that keeps its own place, as torchdata's StatefulDataLoader does."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_the_last_batch_of_a_share_is_checked_as_well():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="last batch holds 1 of .* drop_last=True"):
        trainer.fit(Sharded(WithPlace(DATA, 8)), epochs=1)
    assert trainer.steps == 0


class Unsized(Sampler[int]):
    def __iter__(self):
        return iter(range(20))


class Misjudged(Unsized):
    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length


@pytest.mark.parametrize(("sampler", "steps"), [(Unsized(), 2), (Misjudged(40), 2), (Misjudged(8), 1)])
def test_a_sampler_without_a_length_or_with_a_wrong_one_still_ends_its_epochs(sampler, steps):
    trainer = make_trainer()
    trainer.fit(DataLoader(DATA, 8, sampler=sampler, drop_last=True), epochs=3)
    assert (trainer.steps, trainer.epochs) == (3 * steps, 3)


def epochs_of(loader, count=2, **fit):
    batches = Batches()
    make_trainer().fit(loader, epochs=count, callbacks=[batches], **fit)
    return torch.stack(batches.seen).unflatten(0, (count, -1))


def test_a_distributed_sampler_has_another_order_in_each_epoch():
    sampler = DistributedSampler(DATA, num_replicas=1, rank=0)
    first, second = epochs_of(DataLoader(DATA, 8, sampler=sampler, drop_last=True))
    assert not torch.equal(first, second)


class SeededSampler(RandomSampler):
    """An order that depends on the epoch alone, as Accelerate's sampler has it."""

    epoch = 0

    def __iter__(self):
        self.generator = torch.Generator().manual_seed(self.epoch)
        return super().__iter__()

    def set_epoch(self, epoch):
        self.epoch = epoch


class Shards(BatchSampler):
    """Passes on the batches of a batch sampler, and has no sampler of its own."""

    def __init__(self, inside):
        self.inside, self.batch_size, self.drop_last = inside, inside.batch_size, inside.drop_last

    def __iter__(self):
        return iter(self.inside)

    def __len__(self):
        return len(self.inside)


class Prepared(DataLoader):
    """A loader as Accelerate prepares it: one batch ahead, with its own epoch, and a state only with torchdata."""

    def __init__(self, loader):
        super().__init__(loader.dataset, batch_sampler=Shards(loader.batch_sampler))
        self.base_dataloader, self.iteration = loader, 0

    def set_epoch(self, epoch):
        self.iteration = epoch
        self.base_dataloader.sampler.set_epoch(epoch)

    def __iter__(self):
        self.set_epoch(self.iteration)
        batches = super().__iter__()
        current = next(batches)
        for following in batches:
            yield current
            current = following
        yield current
        self.iteration += 1

    def state_dict(self):
        return self.base_dataloader.state_dict()

    def load_state_dict(self, state):
        self.base_dataloader.load_state_dict(state)


def prepared():
    return Prepared(DataLoader(DATA, 8, sampler=SeededSampler(DATA), drop_last=True))


def test_a_loader_that_accelerate_prepared_has_another_order_in_each_epoch():
    first, second = epochs_of(prepared())
    assert not torch.equal(first, second)
    assert len(first) == 5


@pytest.mark.parametrize("stopped", [3, 7, 10])
def test_a_run_on_a_loader_that_accelerate_prepared_resumes(stopped, tmp_path):
    whole, parts = Batches(), Batches()
    make_trainer().fit(prepared(), epochs=3, callbacks=[whole])
    interrupted = make_trainer()

    class Stop(Callback):
        def on_step_end(self, trainer, metrics):
            if trainer.steps == stopped:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(
            prepared(), epochs=3, callbacks=[parts, Stop()], checkpoints=Checkpoints(tmp_path / "run", every=1)
        )
    resumed = make_trainer()
    resumed.fit(prepared(), epochs=3, callbacks=[parts], checkpoints=tmp_path / "run")
    seen = parts.seen[: stopped - 1] + parts.seen[stopped:]  # the last step before the stop was not saved
    assert resumed.steps == len(seen) == 15
    assert torch.equal(torch.stack(seen), torch.stack(whole.seen))


class Shuffled(IterableDataset):
    """A stream whose order depends on the epoch alone, as Hugging Face's datasets have it."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(41, generator=torch.Generator().manual_seed(self.epoch))
        return iter(images(41)[order])


@pytest.mark.parametrize(("stream", "fit"), [(Shuffled(), {"batch_size": 8}), (DataLoader(Shuffled(), 41), {})])
def test_a_shuffled_stream_has_another_order_in_each_epoch(stream, fit):
    first, second = epochs_of(stream, **fit)
    assert not torch.equal(first, second)


class WebLoader(IterableDataset):
    """A loader in the form of a stream, as WebDataset has it."""

    def __init__(self, loader):
        self.pipeline = [loader]

    def __iter__(self):
        return iter(self.pipeline[0])


def test_a_loader_in_the_form_of_a_stream_gives_batches():
    (epoch,) = epochs_of(WebLoader(DataLoader(DATA, 8, drop_last=True)), count=1)
    assert torch.equal(epoch, images(41)[:40].unflatten(0, (5, 8)))


@pytest.mark.parametrize("pipeline", [None, torch.nn.Identity(), torch.flip])
def test_a_stream_may_have_a_pipeline_of_another_kind(pipeline):
    stream = Shuffled()
    stream.pipeline = pipeline
    (epoch,) = epochs_of(stream, count=1, batch_size=8)
    assert epoch.shape == (5, 8, *images(1).shape[1:])

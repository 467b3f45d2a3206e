"""What `fit` trains on, in which order, and for how long."""

import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from infogan_lib.data.dataset import epoch_order
from infogan_lib.data.rng import RandomStreams, derive_seed
from toys import (
    LATENT,
    dense_discriminator,
    dense_generator,
    images,
    make_trainer,
    stream,
)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(images(40))


DATA = {
    "tensor": lambda: images(40),
    "bytes": lambda: torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8),
    "dataset": lambda: TensorDataset(images(40)),
    "labelled dataset": lambda: TensorDataset(images(40), torch.arange(40)),
    "iterable dataset": Stream,
    "loader": lambda: DataLoader(TensorDataset(images(40)), batch_size=8),
    "labelled loader": lambda: DataLoader(TensorDataset(images(40), torch.arange(40)), batch_size=8, shuffle=True),
    "list of batches": lambda: list(images(40).split(8)),
    "list of pairs": lambda: [(x, torch.zeros(8)) for x in images(40).split(8)],
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_data_of_every_kind(data):
    t = make_trainer()
    history = t.fit(data(), epochs=2, batch_size=8)
    assert (t.steps, t.epochs) == (10, 2)
    assert history.epochs == [5, 10]
    assert len(history["loss/d"]) == 10
    assert np.isfinite(history["loss/d"]).all()


def test_steps_end_also_where_a_loader_gives_more_than_its_length_says():
    class Understated(list):
        def __len__(self):
            return 2

    t = make_trainer()
    t.fit(Understated(images(40).split(8)), steps=2)
    assert t.steps == 2


def test_steps_run_over_as_many_epochs_as_they_need():
    t = make_trainer()
    t.fit(images(40), steps=13, batch_size=8)
    assert (t.steps, t.epochs) == (13, 2)
    t.fit(images(40), steps=2, batch_size=8)
    assert t.steps == 15


@pytest.mark.cpu
def test_every_image_is_seen_once_in_an_epoch_and_in_another_order_in_the_next():
    seen = []
    t = make_trainer(augment=lambda x, rng: (seen.append(x[:, 0, 0, 0].clone()), x)[1])
    data = images(40)
    t.fit(data, epochs=2, batch_size=8)
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert torch.equal(first.sort().values, data[:, 0, 0, 0].sort().values)
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


def test_a_tensor_and_a_dataset_are_seen_in_the_same_order():
    orders = []
    for data in (images(40), TensorDataset(images(40))):
        seen = []
        make_trainer(augment=lambda x, rng, seen=seen: (seen.append(x), x)[1]).fit(data, epochs=2, batch_size=8)
        orders.append(torch.cat(seen))
    assert torch.equal(*orders)


def test_short_fits_see_all_of_the_data():
    seen = []
    t = make_trainer(augment=lambda x, rng: (seen.append(x), x)[1])
    for _ in range(30):
        t.fit(images(40), steps=2, batch_size=8)
    assert torch.cat(seen).flatten(1).unique(dim=0).shape[0] == 40


def test_bytes_are_mapped_onto_the_generators_range():
    seen = []
    t = make_trainer(augment=lambda x, rng: (seen.append(x), x)[1])
    t.fit(torch.tensor([0, 255], dtype=torch.uint8).repeat(8, 8).reshape(8, 1, 4, 4), steps=1, batch_size=8)
    assert sorted(seen[0].unique().tolist()) == [-1, 1]


def byte_images(n):
    return torch.zeros(n, 1, 4, 4, dtype=torch.uint8)


def test_the_range_of_bytes_is_remembered_for_encoding():
    t = make_trainer(dense_generator(end=nn.Identity()), dense_discriminator(), LATENT)
    assert t.model.pixel_range is None
    with pytest.warns(UserWarning, match=r"range of the generator's images is not known.*\(-1, 1\) is taken"):
        t.fit(byte_images(8), steps=1, batch_size=8)
    assert t.model.pixel_range == (-1, 1)
    t.model.encode(byte_images(2))


def test_same_seed_same_run_and_the_global_generator_is_left_alone():
    runs = []
    for seed in (1, 1, 2):
        t = make_trainer(seed=seed)
        torch.manual_seed(1234)  # must not matter
        state = torch.get_rng_state()
        t.fit(TensorDataset(images(40)), epochs=2, batch_size=8)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append(t.history["loss/g"])
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_streams_are_independent_of_each_other():
    device = torch.device("cpu")
    streams, others = (RandomStreams(3, device, ("latents", "data")) for _ in range(2))
    torch.rand(100, generator=streams["data"])
    assert torch.equal(torch.rand(4, generator=streams["latents"]), torch.rand(4, generator=others["latents"]))
    assert derive_seed(3, "latents") != derive_seed(3, "data") != derive_seed(4, "data")
    assert torch.equal(epoch_order(9, 0, 4), epoch_order(9, 0, 4))
    assert not torch.equal(epoch_order(9, 0, 4), epoch_order(9, 0, 5))


@pytest.mark.cpu
def test_augmentation_draws_from_its_own_stream():
    draws = []
    t = make_trainer(augment=lambda x, g: (draws.append(torch.rand(1, generator=g).item()), x)[1])
    t.fit(images(16), steps=2, batch_size=8)
    expected = torch.rand(2, generator=stream(0, "augmentation")).tolist()
    assert draws == pytest.approx(expected)


def test_images_per_second_count_the_loading():
    def slow():
        for x in images(24).split(8):
            time.sleep(0.05)
            yield x

    h = make_trainer().fit(slow(), steps=3)
    assert (h["images_per_second"] < 8 / 0.05).all()
    assert (h["images_per_second"] > 1).all()


@pytest.mark.parametrize(
    ("end", "data", "message"),
    [
        (nn.Tanh(), images(8) * 127 + 128, r"reaches \[-1, 1\] only"),
        (nn.Tanh(), (images(8) + 1) / 2, r"scaled to \[0, 1\], use images \* 2 - 1"),
        (nn.Sigmoid(), images(8), r"reaches \[0, 1\] only"),
    ],
)
def test_data_outside_the_generators_reach_is_warned_of(end, data, message):
    t = make_trainer(dense_generator(end=end), dense_discriminator(), LATENT)
    with pytest.warns(UserWarning, match=message):
        t.fit(data, steps=1, batch_size=8)
    with pytest.warns(UserWarning, match=message):
        t.fit([data], steps=1)


@pytest.mark.parametrize("end", [nn.Tanh(), nn.Sigmoid()])
def test_bytes_and_fitting_floats_are_not_warned_of(end):
    t = make_trainer(dense_generator(end=end), dense_discriminator(), LATENT)
    data = torch.randint(0, 256, (8, 1, 4, 4), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t.fit(data, steps=1, batch_size=8)
        t.fit([images(8) if not isinstance(end, nn.Sigmoid) else (images(8) + 1) / 2], steps=1)
        t.model.encode(torch.full((8, 1, 4, 4), 0.1))  # as gray as a young generator's samples

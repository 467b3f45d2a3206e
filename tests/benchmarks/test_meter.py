"""The figures of the meter of learning against closed forms and real data, and its data, networks and classifier."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, Uniform
from meter.classifier import classify, make_classifier, train_classifier
from meter.data import LabeledImages, available, load, unequal
from meter.figures import count_classes, measure
from meter.networks import INITS, MAPS, NETWORKS, make_pair
from meter.reference import Reference, as_requested, pairwise_distance, reference

SIZE = 12


def bars(columns, heights, brightness):
    """One vertical bar per image, (N, 1, 12, 12) in [0, 1]: its place is the class, its height the style."""
    inside = (torch.arange(SIZE)[None, :, None] < heights[:, None, None]) & (
        torch.arange(SIZE)[None, None] == 3 * columns[:, None, None]
    )
    return (inside * brightness[:, None, None])[:, None].float()


class Bars(nn.Module):
    """A perfect generator of bars: category k draws class (k + 1) % 4, the style the height, the noise the brightness.

    `blind` to noise it draws all bars of a class and a height alike.
    """

    def __init__(self, blind=False):
        super().__init__()
        self.blind, self.anchor = blind, nn.Parameter(torch.zeros(()))

    def forward(self, latents):
        noise, category, style = latents[:, 0], latents[:, 1:5].argmax(1), latents[:, 5]
        brightness = torch.full_like(noise, 0.75) if self.blind else 0.5 + 0.5 * torch.special.ndtr(noise)
        return bars((category + 1) % 4, 7 + 4 * style, brightness) + 0 * self.anchor


class ReadsBars(nn.Module):
    """Q that knows the category and the style of a bar: probability 0.97 for the category."""

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        place = images.amax((1, 2))[:, ::3].argmax(1)
        logits = torch.full((len(images), 4), 0.01).scatter(1, (place[:, None] - 1) % 4, 0.97).log()
        nothing = 0 * (self.anchor + images.mean((1, 2, 3)))[:, None]  # but a gradient
        return torch.cat([logits, torch.zeros(len(images), 2)], dim=1) + nothing


@pytest.fixture(scope="module", autouse=True)
def _short_training():
    """The classifier of the bars needs few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meter.reference.train_classifier", partial(train_classifier, steps=80))
        yield


@pytest.fixture(scope="module")
def data():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(1600) % 4
    heights, brightness = 3 + 8 * torch.rand(1600, generator=rng), 0.5 + 0.5 * torch.rand(1600, generator=rng)
    images = (255 * bars(labels, heights, brightness)).round().to(torch.uint8)
    return LabeledImages(
        name="bars", train=images[:800], train_labels=labels[:800], test=images[800:], test_labels=labels[800:]
    )


@pytest.fixture(scope="module")
def real(data, tmp_path_factory):
    return reference(data, tmp_path_factory.mktemp("cache"))


def model_of(generator):
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 4), nn.LeakyReLU(0.1), nn.Linear(4, 1))
    latent = LatentSpec(z=Noise(1), digit=Categorical(4), style=Uniform(1))
    return InfoGAN(generator, discriminator, latent, q_network=ReadsBars(), pixel_range=(0, 1))


def test_a_perfect_generator_reaches_the_ceiling(data, real):
    figures = measure(model_of(Bars()), data, real)
    assert figures["samples"] == len(real.features) == 400
    assert (figures["accuracy"], figures["class_accuracy"], figures["classes"]) == (1, 1, 4)
    assert figures["asked"] == figures["asked_worst"] == real.ceiling["asked"] == 1
    for name in ("precision", "recall", "density", "coverage"):
        assert figures[name] == pytest.approx(real.ceiling[name], abs=0.1), name
    assert figures["frechet"] < 3 * real.ceiling["frechet"] + 0.1
    assert figures["bound"] == pytest.approx(math.log(4) + math.log(0.97), abs=1e-5)
    correlation, change = figures["styles"]["style 0"]["height"]
    assert correlation > 0.99
    assert change == pytest.approx(8 / (8 / math.sqrt(12)), rel=0.1)  # from 3 to 11 pixels, of a uniform height
    assert figures["style"] > 0.99


def test_a_generator_without_noise_is_found_out(data, real):
    blind, seeing = (measure(model_of(Bars(blind)), data, real) for blind in (True, False))
    assert blind["noise"] == pytest.approx(0, abs=1e-6)
    assert 0.2 < seeing["noise"] < 1  # the brightness differs, but not the height
    assert blind["recall"] < seeing["recall"] - 0.1
    assert blind["coverage"] < seeing["coverage"] - 0.1
    assert blind["asked"] == 1


class TwoClasses(Bars):
    """Categories 0 and 1 draw the same class."""

    def forward(self, latents):
        latents = latents.clone()
        latents[:, 1] += latents[:, 2]
        latents[:, 2] = 0
        return super().forward(latents)


def test_a_class_that_is_not_drawn_counts_as_the_worst(data, real):
    figures = measure(model_of(TwoClasses()), data, real)
    assert figures["asked"] == 0.75
    assert figures["asked_worst"] == 0
    assert figures["accuracy"] == 1  # Q still reads real images right


class Permuted(ReadsBars):
    """Q that takes the last two classes for one."""

    def forward(self, images):
        outputs = super().forward(images).clone()
        outputs[:, 1] = torch.maximum(outputs[:, 1], outputs[:, 2])
        outputs[:, 2] = -10
        return outputs


def test_classes_are_counted_by_the_majority_of_each_category(data, real):
    model = model_of(Bars())
    model.q = Permuted()
    figures = measure(model, data, real)
    assert figures["accuracy"] == figures["class_accuracy"] == 0.75
    assert figures["classes"] == 3


def test_classes_are_counted_by_hand():
    # The second category is matched to the second class, but most of its images are of the first.
    assert count_classes(np.array([[50, 0, 0], [40, 10, 0], [0, 0, 0], [1, 1, 9]])) == 2


def test_accuracy_of_unequal_classes(data, real):
    model = model_of(Bars())
    model.q = Permuted()
    kept = torch.cat([(data.test_labels == k).nonzero()[: 50 if k == 2 else 150, 0] for k in range(4)])
    test = {"test": data.test[kept], "test_labels": data.test_labels[kept]}
    few = LabeledImages(name="few", train=data.train, train_labels=data.train_labels, **test)
    figures = measure(model, few, real)
    # Categories 1 and 2 are read as one, which is matched to the larger of classes 2 and 3.
    assert figures["accuracy"] == pytest.approx(450 / 500)
    assert figures["class_accuracy"] == pytest.approx(0.75)


def test_requested_classes_by_hand():
    predicted, requested = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 2])
    assert as_requested(predicted, requested) == {"asked": 0.8, "asked_worst": 0.0}
    assert as_requested(predicted[:4], torch.tensor([0, 1, 1, 1])) == {"asked": 0.75, "asked_worst": 2 / 3}
    assert as_requested(predicted[:2], torch.tensor([0, -1])) == {"asked": 0.5, "asked_worst": 0.0}


def test_pairwise_distance_by_hand():
    images = torch.tensor([0.0, 3.0, 4.0])[:, None, None].expand(3, 1, 4)  # each difference counts sqrt(4) times
    assert pairwise_distance(images) == pytest.approx(2 * (3 + 4 + 1) / 3)


def test_the_reference_comes_from_the_cache(data, real, tmp_path, monkeypatch):
    first = reference(data, tmp_path)
    monkeypatch.setattr("meter.reference.train_classifier", None)
    second = reference(data, tmp_path)
    assert isinstance(second, Reference)
    np.testing.assert_array_equal(first.features, second.features)
    assert first.ceiling == second.ceiling == real.ceiling
    torch.testing.assert_close(
        classify(first.classifier, data.test)[0], classify(second.classifier, data.test)[0], rtol=0, atol=0
    )
    for part in ("train", "train_labels", "test", "test_labels"):  # other images or labels need another one
        with pytest.raises(TypeError, match="not callable"):
            reference(replace(data, **{part: getattr(data, part).flip(0)}), tmp_path)


def test_half_of_the_real_images_is_measured_against_the_other(real):
    assert real.classifier_accuracy == 1
    assert real.ceiling["noise"] == pytest.approx(1, abs=0.1)
    assert real.ceiling["density"] == pytest.approx(1, abs=0.15)
    assert real.ceiling["bound"] == math.log(4)


@pytest.mark.parametrize("size", MAPS)
def test_the_classifier_fits_each_size(size):
    network = make_classifier(size, 1, 7).eval()
    features, predicted = classify(network, torch.zeros(3, 1, size, size, dtype=torch.uint8))
    assert (features.shape, predicted.shape) == ((3, 64), (3,))


def test_the_classifier_learns_and_leaves_the_global_generator():
    images = torch.randint(0, 60, (200, 1, 16, 16), dtype=torch.uint8)
    labels = torch.arange(200) % 2
    images[labels == 1, :, 4:8] += 100
    torch.manual_seed(3)
    network = train_classifier(images, labels, num_classes=2, steps=30)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert (classify(network, images)[1] == labels).all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", MAPS)
def test_pairs_fit_the_library(name, size):
    latent = LatentSpec(z=Noise(6), digit=Categorical(10), style=Uniform(2, weight=0.1))
    model = InfoGAN(*make_pair(name, latent.width, size=size, channels=4, seed=0), latent)
    assert model.image_shape == (1, size, size)
    assert model.output_range == ((0, 1) if name == "paper" else (-1, 1))


def test_norms_are_where_they_should_be():
    convolutions = {}
    for name in ("bn", "none", "sn"):
        modules = [*make_pair(name, 9, size=28, channels=4, seed=0)[1].modules()]
        convolutions[name] = [m for m in modules if isinstance(m, nn.Conv2d)]
        assert sum(isinstance(m, nn.BatchNorm2d) for m in modules) == (name == "bn")  # neither first nor last
    assert [hasattr(m, "parametrizations") for m in convolutions["sn"]] == [True] * 3
    deviations = [[*make_pair("none", 50, size=64, init=i, seed=0)[1].modules()][1].weight.std().item() for i in INITS]
    assert deviations[0] == pytest.approx(0.02, rel=0.1)
    assert deviations[1] > 0.1
    with pytest.raises(ValueError, match="but got 'bn', 'dcgan' and 20"):
        make_pair("bn", 9, size=20, seed=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_fixes_all_of_a_pair(name):
    """Also the vectors that spectral normalization begins with, which torch draws when it is added."""
    one, again, other = (
        {f"{network} {key}": value for network, part in enumerate(pair) for key, value in part.state_dict().items()}
        for pair in (make_pair(name, 9, size=28, channels=4, seed=seed) for seed in (0, 0, 1))
    )
    assert all(torch.equal(one[key], again[key]) for key in one)
    drawn = [key for key, value in one.items() if "weight" in key and value.numel() > 1]
    assert not any(torch.equal(one[key], other[key]) for key in drawn)


def test_held_back_images_are_training_images_and_not_trained_on(data):
    chosen = data.held_back()
    assert len(chosen.test) == 800 // 6
    assert len(chosen.train) == 800 - len(chosen.test)
    assert sorted([*map(bytes, chosen.train.numpy()), *map(bytes, chosen.test.numpy())]) == sorted(
        map(bytes, data.train.numpy())
    )


def test_typefaces_are_held_back_as_a_whole(tmp_path):
    typefaces = torch.arange(120) // 10
    images = typefaces[:, None, None].expand(120, 28, 28).to(torch.uint8)
    labels = torch.arange(120) % 10
    parts = {"train": images, "train_labels": labels, "train_typefaces": typefaces, "test": images + 100}
    np.savez(tmp_path / "letters.npz", **{k: v.numpy() for k, v in (parts | {"test_labels": labels}).items()})
    held_back = load("letters", folder=tmp_path)
    kept, back = (set(part.unique().tolist()) for part in (held_back.train, held_back.test))
    assert (len(kept), len(back), kept & back) == (10, 2, set())
    assert set(load("letters", select="test", folder=tmp_path).test.unique().tolist()) == set(range(100, 112))
    with pytest.raises(FileNotFoundError, match=r"make it with benchmarks/make_letters\.py"):
        load("letters", folder=tmp_path / "nowhere")


def test_digits_are_all_trained_on_and_measured_with(tmp_path):
    digits = load("digits", folder=tmp_path)
    assert digits.train.shape == digits.test.shape == (1797, 1, 16, 16)
    assert not digits.held_out
    assert digits.num_classes == 10
    assert digits.train.max() == 255
    assert load("digits", 32, folder=tmp_path).train.shape[2:] == (32, 32)


def test_unequal_classes_fall_tenfold():
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate([100, 90, 100])])
    kept = unequal(labels, ratio=10.0)
    counts = labels[kept].bincount().tolist()
    assert counts == [100, 32, 10]
    sizes = (torch.arange(10_000) % 10)[unequal(torch.arange(10_000) % 10)].bincount()
    assert sizes[0] == 10 * sizes[9] == 1000
    ratios = sizes[:-1] / sizes[1:]
    assert ratios.numpy() == pytest.approx(10 ** (1 / 9), rel=0.01)


def test_unknown_data_is_refused(tmp_path):
    assert {"mnist", "digits", "letters", "sprites", "mnist-unequal", "mnist32", "mnist64"} == set(available())
    with pytest.raises(ValueError, match="there is no data set 'moon'; there are mnist"):
        load("moon", folder=tmp_path)

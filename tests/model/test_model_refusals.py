"""What a model refuses, and the words in which it does."""

import pytest
import torch
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, Tap
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator


def model(**changes):
    return InfoGAN(dense_generator(), dense_discriminator(), LATENT, **changes)


def shares_front_end():
    front = nn.Sequential(nn.Flatten(), nn.Linear(16, 12))
    discriminator = nn.Sequential(front, nn.Linear(12, 1))
    InfoGAN(dense_generator(), discriminator, LATENT, q_network=nn.Sequential(front, nn.Linear(12, 8)))


def ties_weights():
    generator, discriminator = nn.Linear(11, 11), nn.Linear(11, 11)
    discriminator.weight = generator.weight
    InfoGAN(generator, discriminator, LATENT)


REFUSALS = [
    (
        lambda: InfoGAN("g", dense_discriminator(), LATENT),
        TypeError,
        "generator must be a torch.nn.Module, but got 'g'",
    ),
    (lambda: InfoGAN(dense_generator(), None, LATENT), TypeError, "discriminator must be a torch.nn.Module"),
    (
        lambda: InfoGAN(dense_generator(), dense_discriminator(), Categorical(3)),
        TypeError,
        "latent must be a LatentSpec",
    ),
    (
        lambda: InfoGAN(dense_generator(5), dense_discriminator(), LatentSpec(z=Noise(5))),
        ValueError,
        "needs at least one code beside the noise",
    ),
    (
        lambda: model(q_head=nn.Linear(16, 7)),
        ValueError,
        r"Q gave raw outputs of shape \(2, 7\).*need 8 \(digit 4, style 4\)",
    ),
    (lambda: model(q_head=3), TypeError, "q_head must be a torch.nn.Module, or a function of the features' shape"),
    (lambda: model(q_head=lambda shape, outputs: 3), TypeError, "q_head must make a torch.nn.Module .*, but made 3"),
    (lambda: model(q_network=lambda x: x), TypeError, "q_network must be a torch.nn.Module or None"),
    (lambda: model(q_network=nn.Linear(1, 1), tap="1"), ValueError, "give either it, or q_head and tap"),
    (lambda: model(tap=3), TypeError, "tap must be the name of a layer"),
    (lambda: model(tap="9"), ValueError, "no layer '9' to tap; it has: 0"),
    (lambda: Tap("1", at="both"), ValueError, "at must be one of 'input' and 'output'"),
    (lambda: model(generator_input="4d"), ValueError, "generator_input must be one of"),
    (lambda: model(discriminator_output="odds"), ValueError, "discriminator_output must be one of"),
    (lambda: model(pixel_range=(1, 0)), ValueError, r"pixel_range must be \(low, high\) with low < high"),
    (lambda: model(pixel_range="wide"), ValueError, "pixel_range must be two finite numbers"),
    (lambda: model(seed=-1), ValueError, "seed must be a whole number of at least 0"),
    (
        lambda: InfoGAN(PartsGenerator(), TupleDiscriminator(), LATENT, q_head=nn.Linear(2, 2)),
        ValueError,
        "returns codes itself, so it takes no q_head",
    ),
    (lambda: model().sample(2, color=1), KeyError, "no 'color' in this latent; it has 'z', 'digit' and 'style'"),
    (lambda: model().sample(2, digit=4), ValueError, "category out of range.*categories 0 to 3, but got 4"),
    (lambda: model().sample(0), ValueError, "n must be a whole number of at least 1"),
    (lambda: model().sample(2, seed=1, rng=torch.Generator()), ValueError, "either seed or rng"),
    (lambda: model().traverse("hue"), KeyError, "no 'hue' in this latent"),
    (lambda: model().traverse("style", dim=2), ValueError, "dim must be from 0 to 1"),
    (
        lambda: model().encode(torch.zeros(3, 4, 4)),
        ValueError,
        r"shape \(N, 1, 4, 4\) with N >= 1, but got \(3, 4, 4\)",
    ),
    (lambda: model().encode(torch.zeros(0, 1, 4, 4)), ValueError, "with N >= 1"),
    (lambda: model().traverse("digit", digit=3), ValueError, "'digit' is what moves"),
    (lambda: model().encode(torch.zeros(2, 1, 4, 4, dtype=torch.int64)), TypeError, "floats, or uint8"),
    (
        lambda: InfoGAN(dense_generator().double(), dense_discriminator(), LATENT),
        ValueError,
        "all networks must have one dtype",
    ),
    (shares_front_end, ValueError, "q_network and discriminator share .* give q_head= only the layers after"),
    (ties_weights, ValueError, "discriminator and generator share the parameter 'weight'; tie no weights"),
    (lambda: model().encode([1]), TypeError, "images must be a Tensor"),
    (lambda: model().encode(torch.full((2, 1, 4, 4), float("nan"))), ValueError, "must be finite"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_outputs_that_run_over_two_codes_are_refused():
    class Swapped(TupleDiscriminator):
        def __init__(self):
            super().__init__()
            self.category, self.style = nn.Linear(12, 2), nn.Linear(12, 6)

    with pytest.raises(
        ValueError, match=r"widths \[2, 6\], one of which runs over 'digit' and 'style'.*digit 4, style 4"
    ):
        InfoGAN(PartsGenerator(), Swapped(), LATENT)


def test_outputs_of_another_batch_are_refused():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(16, 8)

        def forward(self, features):
            return self.body(features)[:1]

    with pytest.raises(ValueError, match=r"Q gave raw outputs of shape \(1, 8\) for a batch of 2"):
        model(q_head=Halves())


class Change(nn.Module):
    """A layer behind Q's last one, or behind D's features."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FLAT = [lambda x: x[:, 0], lambda x: x[0], lambda x: x.mean()]


@pytest.mark.parametrize("change", FLAT)
def test_outputs_without_columns_are_refused(change):
    message = r"Q must give raw outputs \(N, columns\), but gave \((2,|8,|)\) for 2 images"
    with pytest.raises(ValueError, match=message):
        model(q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 8), Change(change)))
    with pytest.raises(ValueError, match=message):
        model(q_head=nn.Sequential(nn.Linear(16, 8), Change(change)))
    with pytest.raises(ValueError, match=message):
        model(q_output=change)


@pytest.mark.parametrize("change", [*FLAT, lambda x: x > 0, lambda x: x + 0j])
def test_features_that_no_head_can_read_are_refused(change):
    with pytest.raises(
        ValueError, match=r"tap=, a function, returned .*, but Q's head takes features \(N, \*\) of floats"
    ):
        model(tap=change)


@pytest.mark.parametrize("change", [lambda x: x[:, 0], lambda x: x.mean()])
def test_a_tapped_layer_gives_rows(change):
    layers = [nn.Flatten(), nn.Linear(16, 16), Change(change), Change(lambda x: torch.ones(2, 1) * x.sum())]
    with pytest.raises(ValueError, match="the tapped layer .*, but Q's head takes features"):
        InfoGAN(dense_generator(), nn.Sequential(*layers), LATENT, tap="2")

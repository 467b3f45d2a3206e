"""The size of Q beside D, and the summary that says it."""

from itertools import pairwise

import pytest
from torch import nn

from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise, QHead, Tap
from toys import TupleDiscriminator, make_trainer

LATENT = LatentSpec(z=Noise(20), digit=Categorical(10))
SIDE = 256


def generator():
    layers = [nn.Linear(LATENT.width, 3), nn.Unflatten(1, (3, 1, 1)), nn.Upsample(SIDE), nn.Tanh()]
    return nn.Sequential(*layers)


class FlattensItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.linear = nn.Conv2d(3, 16, 4, 4), nn.LeakyReLU(0.2), nn.Linear(16 * 64 * 64, 1)

    def forward(self, x):
        return self.linear(self.act(self.conv(x)).flatten(1))


class Functions(nn.Module):
    """Activation and flattening as functions, as in many tutorials."""

    def __init__(self, size, function):
        super().__init__()
        self.conv, self.linear, self.function = nn.Conv2d(3, 16, 4, 4), nn.Linear(size, 1), function

    def forward(self, x):
        features = self.function(self.conv(x))
        return self.linear(features.view(features.size(0), -1))


class WideVector(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.wide = nn.Conv2d(3, 1, 32, 32), nn.Linear(64, 9000)
        self.linear, self.last = nn.Linear(9000, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.linear(self.wide(self.conv(x).flatten(1)).relu()))


def deep():
    widths = [3, 16, 32, 64, 128, 128, 128]
    body = [
        layer for before, after in pairwise(widths) for layer in (nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(128 * 16, 1))


FLAT = {
    "one convolution, Flatten, Linear": (
        lambda: nn.Sequential(nn.Conv2d(3, 64, 4, 4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64**3, 1)),
        Tap("2", "input"),
    ),
    "flattened by a function": (FlattensItself, Tap("act", "output")),
    "activated by a function": (lambda: Functions(16 * 64**2, nn.functional.relu), Tap("conv", "output")),
    "pooled by a function": (
        lambda: Functions(16 * 32**2, lambda x: nn.functional.max_pool2d(x.relu(), 2)),
        Tap("conv", "output"),
    ),
    "a wide vector that was no map": (WideVector, Tap("linear", "input")),
    "Linear on the images": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 1)), Tap("0", "input")),
    "six convolutions": (deep, Tap("6", "input")),
}


@pytest.mark.parametrize(("discriminator", "tap"), FLAT.values(), ids=FLAT)
def test_q_is_no_linear_layer_on_a_large_map(discriminator, tap):
    model = InfoGAN(generator(), discriminator(), LATENT)
    assert model.discriminator_adapter.tap == tap
    assert sum(p.numel() for p in model.q.parameters()) < 2_000_000


def test_a_short_vector_is_read_as_it_is():
    discriminator = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 32**2, 1))
    assert InfoGAN(generator(), discriminator, LATENT).discriminator_adapter.tap == Tap("3", "input")


@pytest.mark.cpu
def test_the_summary_has_the_sizes_and_where_q_reads():
    trainer = make_trainer(generator(), deep(), LATENT, ema_decay=0.99, lr_d=3e-4)
    text = trainer.summary()
    sizes = {part: sum(p.numel() for p in group) for part, group in trainer.model.parameter_groups().items()}
    assert f"{sizes['q_head']:,} parameters; QHead on the input of the discriminator's layer '6'" in text
    assert f"{sizes['trunk'] + sizes['d_head']:,} parameters, {sizes['trunk']:,} of them shared with Q" in text
    assert f"{sizes['generator']:,} parameters, averaged with decay 0.99" in text
    for word in ("NonSaturating", "d Adam 0.0003", "on cpu in fp32", "3 x 256 x 256", "Categorical(10)"):
        assert word in text


def test_the_summary_of_other_kinds_of_q():
    assert (
        "part of the discriminator, which returns the codes"
        in make_trainer(discriminator=TupleDiscriminator()).summary()
    )
    q_network = nn.Sequential(nn.Flatten(), QHead((16,), 8))
    assert "a network on the images" in make_trainer(q_network=q_network).summary()

"""Effects of generators whose codes change one property each."""

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.metrics.appearance import Effect


class Bar(nn.Module):
    """A bright bar: `place` moves it to the right, `light` makes it brighter, and `z` moves it down."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z, move):
        place, light = move[:, 0, None, None], move[:, 1, None, None]
        y, x = torch.arange(16.0)[:, None], torch.arange(16.0)[None]
        across = (x - 7.5 - 3 * place) / 2
        down = (y - 7.5 - z[:, 0, None, None].clamp(-2, 2)) / 2
        return ((0.7 + 0.2 * light) * torch.exp(-(across**2) - down**2) * self.weight)[:, None]


def bar_model():
    latent = ig.LatentSpec(z=ig.Noise(1), move=ig.Uniform(2), kind=ig.Categorical(2))
    d = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 1))

    class WithKind(nn.Module):
        def __init__(self):
            super().__init__()
            self.bar = Bar()

        def forward(self, z, move, kind):
            return self.bar(z, move) + 1e-12 * kind[:, :1, None, None]

    return ig.InfoGAN(WithKind(), d, latent)


def test_a_code_that_moves_the_image_is_named_by_it():
    place = code_effects(bar_model(), "move", dim=0, n=20)
    assert place[0].measure == "x"
    assert place[0].correlation == pytest.approx(1)
    assert place[0].high - place[0].low == pytest.approx(6, rel=0.05)
    assert all(abs(effect.change * effect.correlation) < 0.2 for effect in place[1:])
    light = code_effects(bar_model(), "move", dim=1, n=20)
    assert light[0].measure == "brightness"
    assert light[0].correlation == pytest.approx(1)
    assert str(light[0]).startswith("brightness from 0.")
    assert str(light[0]).endswith("of 1 (rank correlation +1.00)")
    assert code_effects(bar_model(), "z", n=20)[0].measure == "y"


def test_a_model_that_makes_blank_images_has_no_effects_but_brightness():
    model = bar_model()
    with torch.no_grad():
        model.generator.bar.weight.zero_()
    assert code_effects(model, "move", n=5) == [Effect("brightness", 0.5, 0.5, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: code_effects(bar_model(), "kind"), ValueError, "'kind' is discrete"),
        (lambda: code_effects(bar_model(), "slant"), KeyError, "no 'slant' in this latent; it has 'z', 'move'"),
        (lambda: code_effects(bar_model(), "move", dim=2), ValueError, "dim"),
        (
            lambda: code_effects(bar_model(), "move", steps=2),
            ValueError,
            "steps must be a whole number of at",
        ),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()

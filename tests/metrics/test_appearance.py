"""Measures of images that are drawn by hand, and of generators that change one thing only."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.metrics.appearance import UNITS, Effect, measure_images, rank_correlation


def picture(rows, columns, *, size=28, ink=1.0, paper=0.0):
    image = torch.full((1, 1, size, size), paper)
    image[0, 0, rows, columns] = ink
    return image


def of(image, name, **settings):
    return measure_images(image, pixel_range=(0, 1), **settings)[name].item()


def test_a_box_has_its_size_and_place():
    box = picture(slice(4, 16), slice(10, 16))
    assert of(box, "width") == pytest.approx(4 * np.sqrt((6**2 - 1) / 12))
    assert of(box, "height") == pytest.approx(4 * np.sqrt((12**2 - 1) / 12))
    assert of(box, "x") == pytest.approx(12.5 - 13.5)
    assert of(box, "y") == pytest.approx(9.5 - 13.5)
    assert of(box, "slant") == pytest.approx(0, abs=1e-9)
    assert of(box, "brightness") == pytest.approx(72 / 784)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_sheared_box_has_the_slant_of_the_shear_and_the_width_of_the_upright_one(shift):
    image = torch.zeros(1, 1, 40, 40)
    for row in range(11):
        start = 15 + shift * (row - 5)
        image[0, 0, 10 + row, start : start + 5] = 1
    assert of(image, "slant") == pytest.approx(-np.degrees(np.arctan(shift)))
    assert of(image, "width") == pytest.approx(4 * np.sqrt((5**2 - 1) / 12))


@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_the_thickness_of_a_long_stroke(thickness):
    stroke = picture(slice(5, 5 + thickness), slice(2, 62), size=64)
    assert of(stroke, "thickness") == pytest.approx(thickness / (1 + thickness / 60), rel=0.03)
    assert of(stroke * 0.5, "thickness") == pytest.approx(of(stroke, "thickness"), rel=1e-6)  # fainter, not thinner


def test_black_on_white_is_measured_as_white_on_black():
    image = picture(slice(4, 16), slice(10, 16))
    for name in UNITS:
        expected = 1 - of(image, name) if name == "brightness" else of(image, name)
        assert of(1 - image, name) == pytest.approx(expected, abs=1e-6), name


def test_ranges_bytes_and_colours():
    image = picture(slice(4, 16), slice(10, 16), ink=0.8)
    expected = measure_images(image, pixel_range=(0, 1))
    for same, reach in (
        (image * 2 - 1, (-1, 1)),
        ((image * 255).to(torch.uint8), (-1, 1)),
        (image.expand(1, 3, 28, 28), (0, 1)),
        (image.double(), (0, 1)),
    ):
        found = measure_images(same, pixel_range=reach)
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, abs=1e-5
        )
        assert all(value.dtype == torch.float64 for value in found.values())


def test_a_blank_image_has_a_brightness_only():
    found = measure_images(
        torch.cat([picture(slice(4, 16), slice(10, 16)), torch.zeros(1, 1, 28, 28)]), pixel_range=(0, 1)
    )
    assert found["brightness"].tolist() == pytest.approx([72 / 784, 0])
    for name in set(UNITS) - {"brightness"}:
        assert torch.isfinite(found[name]).tolist() == [True, False], name


@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=4))
def test_rank_correlation_is_spearmans(rows):
    expected = [0.0 if len(set(row)) == 1 else stats.spearmanr(row, range(5)).statistic for row in rows]
    assert rank_correlation(np.array(rows, dtype=float)) == pytest.approx(np.mean(expected), abs=1e-12)


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
            return self.bar(z, move)

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
        (
            lambda: measure_images(torch.zeros(3, 8), pixel_range=(0, 1)),
            ValueError,
            r"images \(N, C, H, W\) .* but got \(3, 8\)",
        ),
        (
            lambda: measure_images(torch.zeros(0, 1, 8, 8), pixel_range=(0, 1)),
            ValueError,
            "measure_images takes images",
        ),
        (lambda: measure_images(torch.full((2, 1, 8, 8), torch.nan), pixel_range=(0, 1)), ValueError, "must be finite"),
        (lambda: code_effects(bar_model(), "kind"), ValueError, "'kind' has finitely many values"),
        (lambda: code_effects(bar_model(), "slant"), KeyError, "no 'slant' in this latent; it has 'z', 'move'"),
        (lambda: code_effects(bar_model(), "move", dim=2), ValueError, "dim"),
        (
            lambda: code_effects(bar_model(), "move", steps=2),
            ValueError,
            "steps must be a whole number of at",
        ),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Measures of images drawn by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infogan_lib.metrics.appearance import UNITS, measure_images, rank_correlation


def picture(rows, columns, *, size=28, ink=1.0, paper=0.0):
    image = torch.full((1, 1, size, size), paper)
    image[0, 0, rows, columns] = ink
    return image


def measure(image, name, **settings):
    return measure_images(image, pixel_range=(0, 1), **settings)[name].item()


def test_a_box_has_its_size_and_place():
    box = picture(slice(4, 16), slice(10, 16))
    assert measure(box, "width") == pytest.approx(4 * np.sqrt((6**2 - 1) / 12))
    assert measure(box, "height") == pytest.approx(4 * np.sqrt((12**2 - 1) / 12))
    assert measure(box, "x") == pytest.approx(12.5 - 13.5)
    assert measure(box, "y") == pytest.approx(9.5 - 13.5)
    assert measure(box, "slant") == pytest.approx(0, abs=1e-9)
    assert measure(box, "brightness") == pytest.approx(72 / 784)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_sheared_box_has_the_slant_of_the_shear_and_the_width_of_the_upright_one(shift):
    image = torch.zeros(1, 1, 40, 40)
    for row in range(11):
        start = 15 + shift * (row - 5)
        image[0, 0, 10 + row, start : start + 5] = 1
    assert measure(image, "slant") == pytest.approx(-np.degrees(np.arctan(shift)))
    assert measure(image, "width") == pytest.approx(4 * np.sqrt((5**2 - 1) / 12))


@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_the_thickness_of_a_long_stroke(thickness):
    stroke = picture(slice(5, 5 + thickness), slice(2, 62), size=64)
    assert measure(stroke, "thickness") == pytest.approx(thickness / (1 + thickness / 60), rel=0.03)
    assert measure(stroke * 0.5, "thickness") == pytest.approx(
        measure(stroke, "thickness"), rel=1e-6
    )  # fainter, not thinner


def test_black_on_white_is_measured_as_white_on_black():
    image = picture(slice(4, 16), slice(10, 16))
    for name in UNITS:
        expected = 1 - measure(image, name) if name == "brightness" else measure(image, name)
        assert measure(1 - image, name) == pytest.approx(expected, abs=1e-6), name


def test_ranges_bytes_and_colors():
    image = picture(slice(4, 16), slice(10, 16), ink=0.8)
    expected = measure_images(image, pixel_range=(0, 1))
    for same, reach in (
        (image * 2 - 1, (-1, 1)),
        ((image * 255).to(torch.uint8), (-1, 1)),
        (image.expand(1, 3, 28, 28), (0, 1)),
        (image.double(), (0, 1)),
    ):
        result = measure_images(same, pixel_range=reach)
        assert {name: value.item() for name, value in result.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, abs=1e-5
        )
        assert all(value.dtype == torch.float64 for value in result.values())


def test_a_blank_image_has_a_brightness_only():
    result = measure_images(
        torch.cat([picture(slice(4, 16), slice(10, 16)), torch.zeros(1, 1, 28, 28)]), pixel_range=(0, 1)
    )
    assert result["brightness"].tolist() == pytest.approx([72 / 784, 0])
    for name in set(UNITS) - {"brightness"}:
        assert torch.isfinite(result[name]).tolist() == [True, False], name


@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=4))
def test_rank_correlation_is_spearmans(rows):
    expected = [0.0 if len(set(row)) == 1 else stats.spearmanr(row, range(5)).statistic for row in rows]
    assert rank_correlation(np.array(rows, dtype=float)) == pytest.approx(np.mean(expected), abs=1e-12)


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
        *(
            (
                lambda kind=kind: measure_images(torch.ones(2, 1, 8, 8, dtype=kind), pixel_range=(0, 1)),
                TypeError,
                "uint8",
            )
            for kind in (torch.int64, torch.bool, torch.complex64)
        ),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Figures of a model's samples: which code is where, and what the labels say."""

import numpy as np
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.viz import plot_categories, plot_fixed_category, plot_fixed_noise, plot_requests, plot_traversal
from toys import LATENT, dense_discriminator


class LatentAsImage(nn.Module):
    """A generator whose pixel (0, j) is entry j of the latent, so that tests can read latents from figures."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return (z * self.scale)[:, None, None, :].tanh()


def image_of_latent_model(latent=LATENT):
    return ig.InfoGAN(LatentAsImage(), dense_discriminator((1, 1, latent.width)), latent)


def pixels_of(figure):
    return figure.axes[0].get_images()[0].get_array()


def test_category_figure_has_categories_in_columns():
    figure = plot_categories(image_of_latent_model(), "digit", rows=3)
    grid = pixels_of(figure)[:, :, 0].reshape(-1, 4 * 13 - 2)[::3]
    for column in range(4):
        digit = grid[:, column * 13 + 5 : column * 13 + 9]
        assert (digit.argmax(1) == column).all()
    assert np.array_equal(grid[:, 0:5], grid[:, 13:18])  # one noise per row
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "1", "2", "3"]
    assert figure.axes[0].get_xlabel() == "digit"


def test_category_figure_with_fixed_other_codes():
    model = image_of_latent_model()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    figure = plot_categories(model, "digit", rows=3, style=[0.0, 0.5])
    tiles = tiles_of(figure)
    assert (tiles[..., 5:9].argmax(-1) == np.arange(4)).all()
    fixed = (np.tanh([0.0, 0.5]) + 1) / 2
    np.testing.assert_allclose(tiles[..., 9:11], np.broadcast_to(fixed, (3, 4, 2)), atol=1e-5)
    assert len(np.unique(tiles[..., 0])) == 3  # a noise of its own in each row
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "(1)", "two", "three"]
    with pytest.raises(ValueError, match="'digit' .*leave digit= out"):
        plot_categories(model, "digit", digit=2)
    with pytest.raises(KeyError, match="no 'slant' in this latent"):
        plot_categories(model, "digit", slant=2)


def test_category_figure_of_one_bit():
    latent = ig.LatentSpec(z=ig.Noise(2), bits=ig.Bernoulli(3))
    figure = plot_categories(image_of_latent_model(latent), "bits", dim=1, rows=4)
    off, on = pixels_of(figure)[::3, 0:5, 0], pixels_of(figure)[::3, 7:12, 0]
    np.testing.assert_allclose(off[:, 3], 0.5)
    np.testing.assert_allclose(on[:, 3], (np.tanh(1) + 1) / 2, atol=1e-5)
    assert np.array_equal(np.delete(off, 3, axis=1), np.delete(on, 3, axis=1))


def test_traversal_goes_from_low_to_high_down_the_rows():
    figure = plot_traversal(image_of_latent_model(), "style", dim=1, columns="digit", steps=3)
    grid = pixels_of(figure)[::3, :, 0]
    traversed = grid[:, 10::13]
    expected = (np.tanh([-1.0, 0.0, 1.0]) + 1) / 2
    np.testing.assert_allclose(traversed, np.repeat(expected[:, None], 4, axis=1), atol=1e-5)
    np.testing.assert_allclose(grid[:, :5], 0.5)  # noise zero
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["-1.00", "+0.00", "+1.00"]
    model = image_of_latent_model()
    model.set_category_names("digit", list("abcd"))
    named = plot_traversal(model, "style", columns="digit", steps=3)
    assert [tick.get_text() for tick in named.axes[0].get_xticklabels()] == list("abcd")


def test_traversal_with_random_columns():
    figure = plot_traversal(image_of_latent_model(), "style", columns=5, steps=3, seed=1)
    grid = pixels_of(figure)[::3, :, 0]
    assert np.array_equal(grid[0, :9], grid[2, :9])
    assert not np.array_equal(grid[0, :5], grid[0, 13:18])


def tiles_of(figure):
    """The images of a grid of 1 x 11 images, shape (rows, columns, 11)."""
    grid = pixels_of(figure)[::3, :, 0]
    return np.stack([grid[:, 13 * column : 13 * column + 11] for column in range((grid.shape[1] + 2) // 13)], axis=1)


def test_fixed_category_has_many_styles():
    model = image_of_latent_model()
    model.set_category_names("digit", list("abcd"))
    tiles = tiles_of(plot_fixed_category(model, "c", columns=5, rows=2, seed=3))
    assert tiles.shape == (2, 5, 11)
    assert (tiles[..., 5:9].argmax(-1) == 2).all()
    assert len(np.unique(tiles[..., 0])) == 10


def test_fixed_noise_has_every_category_in_one_style():
    model = image_of_latent_model()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    figure = plot_fixed_noise(model, rows=2, seed=3)
    tiles = tiles_of(figure)
    assert (tiles[..., 5:9].argmax(-1) == np.arange(4)).all()
    for part in (slice(0, 5), slice(9, 11)):
        assert np.array_equal(tiles[:, :1, part].repeat(4, axis=1), tiles[..., part])
    assert not np.array_equal(tiles[0, 0], tiles[1, 0])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "(1)", "two", "three"]


def test_requested_names_are_generated():
    model = image_of_latent_model()
    model.set_category_names("digit", ["two", "zero", "three", "one"])
    figure = plot_requests(model, ["zero", "one", "two", "three"], rows=2)
    assert (tiles_of(figure)[..., 5:9].argmax(-1) == [1, 3, 0, 2]).all()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "one", "two", "three"]
    assert figure.axes[0].get_title() == "requested: zero one two three"
    with pytest.raises(ValueError, match="'digit' has no category named 'nine'"):
        plot_requests(model, ["nine"])


def test_figures_need_the_right_kind_of_code():
    with pytest.raises(ValueError, match="for 'style' use plot_traversal"):
        plot_categories(image_of_latent_model(), "style")
    with pytest.raises(ValueError, match="for 'digit' use plot_categories"):
        plot_traversal(image_of_latent_model(), "digit")

"""Pictures: which pixel lands where, and what the figures say."""

import matplotlib.image
import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.viz import (
    SampleGrid,
    animate_folder,
    epoch_means,
    image_grid,
    plot_categories,
    plot_epochs,
    plot_fixed_category,
    plot_fixed_noise,
    plot_grid,
    plot_history,
    plot_requests,
    plot_traversal,
    running_mean,
    save_figure,
    save_png,
)
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def test_images_stand_row_by_row_with_gaps():
    tiles = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])[:, None, None, None].expand(5, 1, 3, 4)
    grid = image_grid(tiles, 2, pixel_range=(0, 1))
    assert grid.shape == (3 * 3 + 2 * 2, 2 * 4 + 2, 3)
    corners = [grid[5 * row, 6 * column, 0] for row in range(3) for column in range(2)]
    assert corners == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])  # the last place is filled up
    assert (grid[3:5] == 1).all()
    assert (grid[:, 4:6] == 1).all()
    assert (grid[0:3, 6:10] == 0.25).all()


def test_ranges_and_colours():
    grey = torch.tensor([-1.0, 0.0, 1.0, 3.0]).reshape(4, 1, 1, 1)
    assert image_grid(grey, 4, pixel_range=(-1, 1))[0, ::3, 0].tolist() == [0, 0.5, 1, 1]
    bytes_ = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert image_grid(bytes_, 2, pixel_range=(-1, 1))[0, ::3, 0].tolist() == [0, 1]
    colour = torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    assert image_grid(colour, 1, pixel_range=(0, 1))[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 2, 4, 4), (0, 1, 4, 4), (5, 9)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match=r"a picture needs images of shape \(N, 1 or 3, H, W\)"):
        image_grid(torch.zeros(shape), 2, pixel_range=(0, 1))


class Shows(nn.Module):
    """Image of the latent itself: pixel (0, j) is entry j, so that pictures can be read back."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return (z * self.scale)[:, None, None, :].tanh()


def showing_model():
    shape = (1, 1, LATENT.width)
    return ig.InfoGAN(Shows(), dense_discriminator(shape), LATENT)


def pixels_of(figure):
    return figure.axes[0].get_images()[0].get_array()


def test_category_figure_has_categories_in_columns():
    figure = plot_categories(showing_model(), "digit", rows=3)
    grid = pixels_of(figure)[:, :, 0].reshape(-1, 4 * 13 - 2)[::3]
    for column in range(4):
        digit = grid[:, column * 13 + 5 : column * 13 + 9]
        assert (digit.argmax(1) == column).all()
    assert np.array_equal(grid[:, 0:5], grid[:, 13:18])  # one noise per row
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "1", "2", "3"]
    assert figure.axes[0].get_xlabel() == "digit"


def test_category_figure_with_other_codes_held():
    model = showing_model()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    figure = plot_categories(model, "digit", rows=3, style=[0.0, 0.5])
    tiles = tiles_of(figure)
    assert (tiles[..., 5:9].argmax(-1) == np.arange(4)).all()
    held = (np.tanh([0.0, 0.5]) + 1) / 2
    np.testing.assert_allclose(tiles[..., 9:11], np.broadcast_to(held, (3, 4, 2)), atol=1e-5)
    assert len(np.unique(tiles[..., 0])) == 3  # a noise of its own in each row
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "(1)", "two", "three"]
    with pytest.raises(ValueError, match="'digit' runs along the columns, so it cannot be set as well"):
        plot_categories(model, "digit", digit=2)
    with pytest.raises(KeyError, match="no 'slant' in this latent"):
        plot_categories(model, "digit", slant=2)


def test_sweep_figure_goes_from_low_to_high_down_the_rows():
    figure = plot_traversal(showing_model(), "style", dim=1, columns="digit", steps=3)
    grid = pixels_of(figure)[::3, :, 0]
    swept = grid[:, 10::13]
    expected = (np.tanh([-1.0, 0.0, 1.0]) + 1) / 2
    np.testing.assert_allclose(swept, np.repeat(expected[:, None], 4, axis=1), atol=1e-5)
    np.testing.assert_allclose(grid[:, :5], 0.5)  # noise zero
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["-1.00", "+0.00", "+1.00"]
    model = showing_model()
    model.set_category_names("digit", list("abcd"))
    named = plot_traversal(model, "style", columns="digit", steps=3)
    assert [tick.get_text() for tick in named.axes[0].get_xticklabels()] == list("abcd")


def test_sweep_figure_with_drawn_columns():
    figure = plot_traversal(showing_model(), "style", columns=5, steps=3, seed=1)
    grid = pixels_of(figure)[::3, :, 0]
    assert np.array_equal(grid[0, :9], grid[2, :9])
    assert not np.array_equal(grid[0, :5], grid[0, 13:18])


def tiles_of(figure):
    """The images of a grid of 1 x 11 images, shape (rows, columns, 11)."""
    grid = pixels_of(figure)[::3, :, 0]
    return np.stack([grid[:, 13 * column : 13 * column + 11] for column in range((grid.shape[1] + 2) // 13)], axis=1)


def test_fixed_condition_is_one_category_in_many_styles():
    model = showing_model()
    model.set_category_names("digit", list("abcd"))
    tiles = tiles_of(plot_fixed_category(model, "c", columns=5, rows=2, seed=3))
    assert tiles.shape == (2, 5, 11)
    assert (tiles[..., 5:9].argmax(-1) == 2).all()
    assert len(np.unique(tiles[..., 0])) == 10


def test_fixed_noise_is_every_category_in_one_style():
    model = showing_model()
    model.set_category_names("digit", ["zero", None, "two", "three"])
    figure = plot_fixed_noise(model, rows=2, seed=3)
    tiles = tiles_of(figure)
    assert (tiles[..., 5:9].argmax(-1) == np.arange(4)).all()
    for part in (slice(0, 5), slice(9, 11)):
        assert np.array_equal(tiles[:, :1, part].repeat(4, axis=1), tiles[..., part])
    assert not np.array_equal(tiles[0, 0], tiles[1, 0])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "(1)", "two", "three"]


def test_what_is_asked_for_by_name_comes():
    model = showing_model()
    model.set_category_names("digit", ["two", "zero", "three", "one"])
    figure = plot_requests(model, ["zero", "one", "two", "three"], rows=2)
    assert (tiles_of(figure)[..., 5:9].argmax(-1) == [1, 3, 0, 2]).all()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["zero", "one", "two", "three"]
    assert figure.axes[0].get_title() == "asked for zero one two three, got"
    with pytest.raises(ValueError, match="'digit' has no category named 'nine'"):
        plot_requests(model, ["nine"])


def test_grid_figure_checks_its_labels():
    with pytest.raises(ValueError, match="3 labels are needed, but got 2"):
        plot_grid(torch.zeros(6, 1, 4, 4), 3, pixel_range=(0, 1), column_labels=["a", "b"])


def trained():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    trainer.fit(images(64), steps=8, batch_size=16)
    return trainer


def test_curves_show_the_history():
    trainer = trained()
    figure = plot_history(trainer.history, entropy=LATENT.entropy)
    losses, opinions, information = figure.axes
    assert losses.lines[0].get_ydata().tolist() == trainer.history["loss/d"].tolist()
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["D", "G (adversarial)", "information (weighted)"]
    assert len(opinions.lines) == 6
    levels = [line.get_ydata()[0] for line in information.lines if line.get_linestyle() == "--"]
    assert levels == pytest.approx(list(LATENT.entropy.values()))
    with pytest.raises(ValueError, match="no steps yet"):
        plot_history(ig.History())


def test_squared_errors_have_a_panel_of_their_own():
    spec = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(2, loss=losses.MSE()))
    trainer = make_trainer(dense_generator(), dense_discriminator(), spec, d_steps=3)
    trainer.fit(images(32), steps=2, batch_size=16)
    assert len(plot_history(trainer.history).axes) == 2  # G has not been updated yet
    trainer.fit(images(32), steps=2, batch_size=16)
    figure = plot_history(trainer.history, entropy=spec.entropy)
    assert [axes.get_ylabel() for axes in figure.axes][2:] == ["bound on I(c; x), nats", "squared error"]
    dashed = [sum(line.get_linestyle() == "--" for line in axes.lines) for axes in figure.axes]
    assert dashed == [0, 0, 1, 0]


def test_figures_ask_for_the_right_kind_of_code():
    with pytest.raises(ValueError, match="for 'style' use plot_traversal"):
        plot_categories(showing_model(), "style")
    with pytest.raises(ValueError, match="for 'digit' use plot_categories"):
        plot_traversal(showing_model(), "digit")


def test_running_mean():
    assert running_mean([1, 2, 3, 4], 2).tolist() == [1, 1.5, 2.5, 3.5]
    assert running_mean([1, 2, 3], 10).tolist() == [1, 1.5, 2]


def test_files(tmp_path):
    save_png(image_grid(torch.ones(1, 1, 2, 3) / 2, 1, pixel_range=(0, 1)), tmp_path / "new" / "grid.png")
    assert matplotlib.image.imread(tmp_path / "new" / "grid.png").shape[:2] == (2, 3)
    save_figure(plot_categories(showing_model(), "digit"), tmp_path / "other" / "figure.png")
    assert (tmp_path / "other" / "figure.png").stat().st_size > 1000


def test_sample_grids_at_chosen_steps(tmp_path):
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    callback = SampleGrid(tmp_path, every=2, rows=3)
    trainer.fit(images(64), steps=5, batch_size=16, callbacks=[callback])
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["step_0000002.png", "step_0000004.png"]
    assert matplotlib.image.imread(tmp_path / files[0]).shape[:2] == (3 * 6 - 2, 4 * 6 - 2)
    latents, _ = callback._fixed
    trainer.fit(images(64), steps=1, batch_size=16, callbacks=[callback])
    assert torch.equal(callback._fixed[0], latents)


def test_pictures_of_a_model_without_discrete_codes(tmp_path):
    spec = ig.LatentSpec(z=ig.Noise(4), style=ig.Uniform(2))
    trainer = make_trainer(dense_generator(6), dense_discriminator(), spec)
    trainer.fit(images(64), steps=1, batch_size=16, callbacks=[SampleGrid(tmp_path, every=1, rows=2)])
    assert (tmp_path / "step_0000001.png").is_file()


def history_of(losses, epochs):
    history = ig.History()
    for step, loss in enumerate(losses, start=1):
        history.record(
            step, {"loss/d": loss, "loss/information": 1.0} | ({"loss/g": 10 * loss} if step % 2 == 0 else {})
        )
    history.epochs.extend(epochs)
    return history


def test_means_by_epoch_are_those_of_the_epochs_steps():
    history = history_of([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], [2, 5])
    assert epoch_means(history, "loss/d").tolist() == [1.5, 4.0]
    assert epoch_means(history, "loss/g").tolist() == [20.0, 40.0]  # reported in steps 2 and 4
    assert np.isnan(epoch_means(history_of([1.0, 2.0], [1, 2]), "loss/g")[0])


def test_epoch_curves_show_each_loss_and_their_sum():
    history = history_of([1.0, 2.0, 3.0, 4.0], [2, 4])
    axes = plot_epochs(history, total=True).axes[0]
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert lines["D"] == [1.5, 3.5]
    assert lines["total"] == [1.5 + 20 + 1, 3.5 + 40 + 1]
    assert axes.get_xlabel() == "epoch"
    assert "total" not in {line.get_label() for line in plot_epochs(history).axes[0].get_lines()}
    with pytest.raises(ValueError, match="no whole epoch yet"):
        plot_epochs(history_of([1.0], []))


def test_an_animation_has_the_pictures_in_their_order(tmp_path):
    shades = (0.0, 0.4, 1.0)
    for step, shade in zip((500, 250, 1000), (shades[1], shades[0], shades[2]), strict=True):
        save_png(np.full((4, 6, 3), shade, dtype=np.float32), tmp_path / f"step_{step:07d}.png")
    assert animate_folder(tmp_path, tmp_path / "made" / "progress.gif", seconds=0.2) == 3
    with PIL.Image.open(tmp_path / "made" / "progress.gif") as gif:
        assert gif.n_frames == 3
        found, durations = [], []
        for frame in range(3):
            gif.seek(frame)
            found.append(gif.convert("RGB").getpixel((2, 2))[0] / 255)
            durations.append(gif.info["duration"])
    assert found == pytest.approx(shades, abs=0.02)
    assert durations == [200, 200, 1000]


def test_animations_refuse_what_cannot_move(tmp_path):
    with pytest.raises(ValueError, match=r"there is no picture step_\*.png in"):
        animate_folder(tmp_path, tmp_path / "a.gif")
    save_png(np.zeros((4, 6, 3), dtype=np.float32), tmp_path / "step_1.png")
    save_png(np.zeros((5, 6, 3), dtype=np.float32), tmp_path / "step_2.png")
    with pytest.raises(ValueError, match=r"different sizes, \[\(6, 4\), \(6, 5\)\]"):
        animate_folder(tmp_path, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="seconds must be a finite number above 0"):
        animate_folder(tmp_path, tmp_path / "a.gif", seconds=0)

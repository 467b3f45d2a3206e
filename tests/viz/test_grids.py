"""Grids of images: which pixel lands where, and files."""

import matplotlib.image
import numpy as np
import pytest
import torch

from infogan_lib.viz import image_grid, plot_grid, save_figure, save_png


def test_images_are_tiled_row_by_row_with_gaps():
    tiles = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])[:, None, None, None].expand(5, 1, 3, 4)
    grid = image_grid(tiles, 2, pixel_range=(0, 1))
    assert grid.shape == (3 * 3 + 2 * 2, 2 * 4 + 2, 3)
    corners = [grid[5 * row, 6 * column, 0] for row in range(3) for column in range(2)]
    assert corners == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])  # the last place is filled up
    assert (grid[3:5] == 1).all()
    assert (grid[:, 4:6] == 1).all()
    assert (grid[0:3, 6:10] == 0.25).all()


def test_ranges_and_colors():
    gray = torch.tensor([-1.0, 0.0, 1.0, 3.0]).reshape(4, 1, 1, 1)
    assert image_grid(gray, 4, pixel_range=(-1, 1))[0, ::3, 0].tolist() == [0, 0.5, 1, 1]
    uint8 = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert image_grid(uint8, 2, pixel_range=(-1, 1))[0, ::3, 0].tolist() == [0, 1]
    color = torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)
    assert image_grid(color, 1, pixel_range=(0, 1))[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 2, 4, 4), (0, 1, 4, 4), (5, 9)])
def test_arrays_that_are_no_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"a picture needs images of shape \(N, 1 or 3, H, W\)"):
        image_grid(torch.zeros(shape), 2, pixel_range=(0, 1))


@pytest.mark.parametrize("columns", [2**24, 2**40, 2**62])
def test_a_row_is_not_filled_up_without_end(columns):
    with pytest.raises(ValueError, match="columns must be a whole number of at most"):
        image_grid(torch.zeros(2, 1, 4, 4), columns, pixel_range=(0, 1))
    with pytest.raises(ValueError, match="columns must be a whole number of at most 1,100"):
        plot_grid(torch.zeros(2, 1, 4, 4), columns, pixel_range=(0, 1))
    with pytest.raises(ValueError, match="the rows of images must be a whole number of at most 1,100"):
        plot_grid(torch.zeros(1101, 1, 1, 1), 1, pixel_range=(0, 1))


def test_a_range_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"pixel_range must be \(low, high\)"):
        image_grid(torch.zeros(2, 1, 4, 4), 1, pixel_range=(-1e308, 1e308))


@pytest.mark.parametrize("shade", [0, 1])
def test_pixels_of_any_numbers_are_written_alike(tmp_path, shade):
    made = torch.full((2, 3, 3), float(shade))
    kinds = [made, made.bfloat16(), made.requires_grad_(), made.bool(), made.long(), (255 * made).byte()]
    for pixels in (*kinds, made.detach().numpy().astype(np.longdouble)):
        save_png(pixels, tmp_path / "a.png")
        assert (matplotlib.image.imread(tmp_path / "a.png")[..., :3] == shade).all()
    for bad in (made + 1.5, made - 1.5, 7 + made.long()):
        with pytest.raises(ValueError, match="pixels must be from 0 to 1, or bytes"):
            save_png(bad, tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.xyz", "a. png", "a.pgf", "a." + "x" * 99])
def test_a_file_that_is_no_figure_is_refused_by_its_path(tmp_path, name):
    figure = plot_grid(torch.rand(1, 1, 4, 4), 1, pixel_range=(0, 1))
    with pytest.raises(ValueError, match=r"path must end as a figure does, such as \.png, but got"):
        save_figure(figure, tmp_path / name)
    with pytest.raises(ValueError, match="path must end as a figure does"):
        save_figure(figure, "/")


def test_grid_figure_checks_its_labels():
    with pytest.raises(ValueError, match="3 labels are needed, but got 2"):
        plot_grid(torch.zeros(6, 1, 4, 4), 3, pixel_range=(0, 1), column_labels=["a", "b"])


def test_files(tmp_path):
    save_png(image_grid(torch.ones(1, 1, 2, 3) / 2, 1, pixel_range=(0, 1)), tmp_path / "new" / "grid.png")
    assert matplotlib.image.imread(tmp_path / "new" / "grid.png").shape[:2] == (2, 3)
    figure = plot_grid(torch.rand(6, 1, 4, 4), 3, pixel_range=(0, 1), title="Random")
    save_figure(figure, tmp_path / "other" / "figure.png")
    assert (tmp_path / "other" / "figure.png").stat().st_size > 1000

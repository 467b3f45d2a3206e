"""Grids of images, as arrays and as figures with axes that say what varies. Figures need matplotlib (extra `viz`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import check_int
from infogan_lib.data.pixels import PixelRange, as_unit
from infogan_lib.latent.base import LatentCode
from infogan_lib.latent.category_names import categorical_code
from infogan_lib.latent.code_arguments import code_values
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.infogan import InfoGAN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2
"""Pixels between two images of a grid."""


def image_grid(images: Tensor, columns: int, *, pixel_range: PixelRange) -> NDArray[np.float32]:
    """Images side by side, row by row, with white gaps.

    Args:
        images: shape (N, C, H, W), C 1 (grey) or 3 (colour), in `pixel_range`; or uint8 from 0 to 255.
        columns: images in a row; a last row that is not full is filled up with white.
        pixel_range: what black and white are, such as (-1, 1). Values outside are clipped.

    Returns:
        Shape (height, width, 3), values in [0, 1].

    Raises:
        ValueError: images of another shape, or none.
    """
    columns = check_int("columns", columns, minimum=1)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(
            f"a picture needs images of shape (N, 1 or 3, H, W) with N >= 1, but got {tuple(images.shape)}"
        )
    unit = images.float() / 255 if images.dtype == torch.uint8 else as_unit(images, pixel_range)
    pixels = unit.cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    n, height, width, _ = pixels.shape
    rows = -(-n // columns)
    grid = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), dtype=np.float32)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def plot_grid(
    images: Tensor,
    columns: int,
    *,
    pixel_range: PixelRange,
    title: str = "",
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    xlabel: str = "",
    ylabel: str = "",
) -> "Figure":
    """A grid of images with a title, and labels for its columns and rows.

    Args:
        images, columns, pixel_range: as for `image_grid`.
        column_labels, row_labels: one for each column or row; none if None.
        title, xlabel, ylabel: what is shown, and what varies along each side.

    Raises:
        ImportError: matplotlib is not installed.
    """
    grid = image_grid(images, columns, pixel_range=pixel_range)
    height, width = images.shape[2:]
    rows = -(-len(images) // columns)
    figure = new_figure((max(3.0, 0.52 * columns + 0.9), max(1.5, 0.52 * rows * height / width + 1.0)))
    axes = figure.add_subplot()
    axes.imshow(grid, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    _label(axes.set_xticks, column_labels, columns, width)
    _label(axes.set_yticks, row_labels, rows, height)
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def plot_categories(
    model: InfoGAN, code: str, *, rows: int = 10, seed: int = 0, title: str = "", **codes: Any
) -> "Figure":
    """Samples with one category per column, and noise and all other codes drawn anew in each row.

    Args:
        code: the name of a code with finitely many values.
        rows: how many rows.
        seed: of the draws.
        title: above the picture.
        **codes: other codes that are the same everywhere, as for `InfoGAN.sample`: ``style=0.0``.

    Raises:
        KeyError: no code of that name.
        ValueError, TypeError: a code with more than finitely many values, or a value that a code cannot take.
    """
    if not is_discrete(model.latent, code):
        raise ValueError(f"plot_categories shows a code with finitely many values; for {code!r} use plot_traversal")
    if code in codes:
        raise ValueError(f"{code!r} runs along the columns, so it cannot be set as well; leave {code}= out")
    images, columns = category_images(model, code, rows, seed, **codes)
    return plot_grid(
        images,
        columns,
        pixel_range=model.display_range,
        title=title or f"{code}: one category per column",
        column_labels=category_labels(model, code, columns),
        xlabel=code,
        ylabel="other codes and noise drawn per row",
    )


def category_images(model: InfoGAN, code: str, rows: int, seed: int, **codes: Any) -> tuple[Tensor, int]:
    """Images of all values of a code, each row with one draw of what is not given; and the number of columns."""
    generator = torch.Generator().manual_seed(seed)
    latents, columns = model.latent.grid(rows=rows, columns=code, rng=generator, device="cpu")
    return model.decode(
        model.latent.replace_values(latents, code_values(model.latent, model.category_names, codes))
    ), columns


def category_labels(model: InfoGAN, code: str, count: int) -> list[str]:
    """What stands under the columns of a code: names, numbers in brackets where there are no names for some."""
    names = model.category_names.get(code)
    if names is None:
        return [str(number) for number in range(count)]
    return [f"({number})" if name is None else name for number, name in enumerate(names)]


def plot_traversal(
    model: InfoGAN,
    code: str,
    *,
    dim: int = 0,
    columns: str | int = 10,
    steps: int = 10,
    seed: int = 0,
    title: str = "",
) -> "Figure":
    """A continuous code swept from its low end (first row) to its high end (last row).

    Args:
        code: the name of the code that moves down the rows.
        dim: its dimension.
        columns: the name of a code with one value per column, all noise zero and other codes in mid-range; or a
            number of columns, each with its own random noise and codes.
        steps: how many rows.
        seed: of the draws where `columns` is a number.

    Raises:
        ValueError: a code with finitely many values.
    """
    if isinstance(columns, str):
        across = model.latent.traverse(columns, steps=model.latent.traversal_steps(columns, steps))
        xlabel, labels = f"{columns}, noise zero", category_labels(model, columns, len(across))
    else:
        generator = torch.Generator().manual_seed(seed)
        across = model.latent.sample(columns, rng=generator, device="cpu")
        xlabel, labels = "noise and other codes drawn per column", None
    if is_discrete(model.latent, code):
        raise ValueError(f"plot_traversal moves a continuous code; for {code!r} use plot_categories")
    latents = model.latent.traverse(code, dim=dim, steps=steps, base=across)
    by_row = latents.unflatten(0, (len(across), steps)).transpose(0, 1).flatten(0, 1)
    low, high = model.latent[code].traversal_range
    return plot_grid(
        model.decode(by_row),
        len(across),
        pixel_range=model.display_range,
        title=title or f"{code}[{dim}] from {low:g} to {high:g}",
        column_labels=labels,
        row_labels=[f"{value:+.2f}" for value in np.linspace(low, high, steps)],
        xlabel=xlabel,
        ylabel=f"{code}[{dim}]",
    )


def save_png(pixels: NDArray[np.float32], path: str | Path) -> None:
    """Write an (H, W, 3) array in [0, 1] as a PNG file; its folder is made. Needs matplotlib."""
    _require_matplotlib()
    from matplotlib.image import imsave

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    imsave(path, pixels)


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure as the kind of file that the name says; its folder is made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def new_figure(size: tuple[float, float]) -> "Figure":
    """An empty figure of so many inches, tied to no window and to no global state."""
    _require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'infogan-lib[viz]'") from error


def is_discrete(latent: LatentSpec, name: str) -> bool:
    """Whether a variable is a code with finitely many values."""
    variable = latent[name]
    return isinstance(variable, LatentCode) and variable.is_discrete


def _label(set_ticks: Any, labels: Sequence[str] | None, count: int, side: int) -> None:
    if labels is None:
        set_ticks([])
        return
    if len(labels) != count:
        raise ValueError(f"{count} labels are needed, but got {len(labels)}")
    set_ticks([i * (side + GAP) + side / 2 - 0.5 for i in range(count)], labels)


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_fixed_category(
    model: InfoGAN, category: int | str, *, code: str | None = None, columns: int = 10, rows: int = 1, seed: int = 0
) -> "Figure":
    """One category with noise and all other codes drawn anew for every image: the same digit in many styles.

    Args:
        category: its number, or its name where the model's categories have names.
        code: the categorical code; the only one if None.
        columns, rows: of the grid.
        seed: of the draws.

    Raises:
        ValueError, TypeError: a category or code that is not there.
    """
    code = categorical_code(model.latent, code)
    return plot_grid(
        model.sample(columns * rows, seed=seed, codes={code: category}),
        columns,
        pixel_range=model.display_range,
        title=f"fixed condition: {code} = {category}, style drawn anew",
    )


def plot_fixed_noise(model: InfoGAN, *, code: str | None = None, rows: int = 1, seed: int = 0) -> "Figure":
    """All categories, each row with one draw of noise and other codes: different digits in the same style.

    Args:
        code: the categorical code; the only one if None.
        rows: how many draws.
        seed: of the draws.
    """
    code = categorical_code(model.latent, code)
    images, columns = category_images(model, code, rows, seed)
    return plot_grid(
        images,
        columns,
        pixel_range=model.display_range,
        title=f"fixed noise: all of {code}, one style a row",
        column_labels=category_labels(model, code, columns),
        xlabel=code,
    )


def plot_requests(
    model: InfoGAN, requests: Sequence[str], *, code: str | None = None, rows: int = 1, seed: int = 0
) -> "Figure":
    """Categories asked for by name, and the images that came: "asked for 0 1 2 ... 9, got".

    Args:
        requests: names of categories, one a column.
        code: the categorical code; the only one if None.
        rows: how many images of each.
        seed: of the draws.

    Raises:
        ValueError: a name that no category has; see `InfoGAN.name_categories`.
    """
    code = categorical_code(model.latent, code)
    wanted = {code: [name for _ in range(rows) for name in requests]}
    return plot_grid(
        model.sample(rows * len(requests), seed=seed, codes=wanted),
        len(requests),
        pixel_range=model.display_range,
        title=f"asked for {' '.join(requests)}, got",
        column_labels=list(requests),
        xlabel=f"{code} asked for",
    )

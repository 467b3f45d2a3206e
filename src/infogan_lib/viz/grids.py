"""Grids of images, as arrays, figures and files. Figures and files need matplotlib (extra `viz`)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import check_int, check_path, check_tensor, check_text, describe, one_line
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.data.pixels import PixelRange, as_unit, check_dtype
from infogan_lib.data.pixels import pixel_range as checked_range
from infogan_lib.metrics._arrays import to_floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 2

_MAX_SIDE, _MAX_PIXELS = 1100, 2**26
"""The most rows and columns of a figure (matplotlib draws 2**16 pixels), and the most pixels of a row of images."""


def image_grid(images: Tensor, columns: int, *, pixel_range: PixelRange) -> NDArray[np.float32]:
    """Tile images row by row, with white gaps of two pixels.

    Args:
        images: Images of shape (N, C, H, W) with C = 1 (gray) or 3 (color), in `pixel_range`; or uint8 from 0 to 255.
        columns: Images per row. A last row that is not full is filled up with white.
        pixel_range: Values of black and white, such as (-1, 1). Values outside are clipped.

    Returns:
        The grid, shape (height, width, 3), values in [0, 1].

    Raises:
        ValueError: If `images` is empty or has another shape.
    """
    pixel_range = checked_range(pixel_range)
    check_dtype(check_tensor("images", images))
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(
            f"a picture needs images of shape (N, 1 or 3, H, W) with N >= 1, but got {tuple(images.shape)}"
        )
    most = max(len(images), _MAX_PIXELS // max(images[0, 0].numel(), 1))
    columns = check_int("columns", columns, minimum=1, maximum=most)
    unit = as_unit(images, (0.0, 255.0) if images.dtype == torch.uint8 else pixel_range)
    return tile(unit.cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy(), columns, gap=_GAP)


def tile(pixels: NDArray[np.float32], columns: int, *, gap: int) -> NDArray[np.float32]:
    """Images (N, H, W, C) in [0, 1] row by row on white, with so many pixels between two, shape (height, width, C)."""
    rows = -(-len(pixels) // columns)
    cells = np.pad(pixels, ((0, rows * columns - len(pixels)), (0, gap), (0, gap), (0, 0)), constant_values=1)
    _, height, width, channels = cells.shape
    grid = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)[:-gap, :-gap]


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
    """Plot images as a grid, with a title and labels for its columns and rows.

    Args:
        images: As for `image_grid`.
        columns: Images per row.
        pixel_range: Values of black and white, as for `image_grid`.
        title: Title of the figure.
        column_labels: One label per column; no labels if None.
        row_labels: One label per row; no labels if None.
        xlabel: What varies along the columns.
        ylabel: What varies down the rows.

    Raises:
        ValueError: If `images` has a shape that `image_grid` refuses, or the number of labels is wrong.
        ImportError: If matplotlib is not installed.
    """
    texts = {"title": title, "xlabel": xlabel, "ylabel": ylabel}
    title, xlabel, ylabel = (escape_math(check_text(name, text, lines=True)) for name, text in texts.items())
    columns = check_side("columns", columns)
    grid = image_grid(images, columns, pixel_range=pixel_range)
    height, width = images.shape[2:]
    rows = check_side("the rows of images", -(-len(images) // columns))
    figure = new_figure((max(3.0, 0.52 * columns + 0.9), max(1.5, 0.52 * rows * height / width + 1.0)))
    axes = figure.add_subplot()
    axes.imshow(grid, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    _set_labels("column_labels", axes.set_xticks, column_labels, columns, width)
    _set_labels("row_labels", axes.set_yticks, row_labels, rows, height)
    axes.tick_params(length=0, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def save_png(pixels: NDArray[np.float32], path: str | Path) -> None:
    """Write an (H, W, 3) array in [0, 1], or of bytes, as a PNG file, creating its folder. Needs matplotlib."""
    require_matplotlib()
    path, array = check_path("path", path), to_floats("pixels", pixels)
    if array.ndim != 3 or 0 in array.shape or array.shape[2] != 3 or not np.isfinite(array).all():
        raise ValueError(f"pixels must be finite numbers of shape (H, W, 3), but got {describe(pixels)}")
    is_bytes = str(getattr(pixels, "dtype", "")).endswith("uint8")
    if not is_bytes and not 0 <= array.min() <= array.max() <= 1:
        raise ValueError(f"pixels must be from 0 to 1, or bytes, but are from {array.min():g} to {array.max():g}")
    write_whole(path, png_bytes(array.astype(np.uint8 if is_bytes else np.float32)))


def png_bytes(pixels: NDArray[Any]) -> bytes:
    """An (H, W, 3) array in [0, 1], or of bytes, as a PNG. Needs matplotlib."""
    require_matplotlib()
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return file.getvalue()


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure in the format of the file name's suffix, creating its folder."""
    path = check_path("path", path)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure must be a matplotlib Figure, but got {describe(figure)}")
    file = io.BytesIO()
    try:
        path = path if path.suffix else path.with_name(f"{path.name}.png")
        figure.savefig(file, dpi=110, format=path.suffix.removeprefix("."))
    except ValueError as error:
        raise ValueError(
            f"path must end as a figure does, such as .png, but got {describe(str(path))}: {one_line(error, 200)}"
        ) from error
    write_whole(path, file.getvalue())


def new_figure(size: tuple[float, float]) -> "Figure":
    """An empty figure of a (width, height) in inches, independent of pyplot's global state."""
    require_matplotlib()
    from infogan_lib.viz.figure import Figure

    return Figure(figsize=size, layout="constrained")


def require_matplotlib() -> None:
    """Raise an ImportError with the pip command if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'infogan-lib[viz]'") from error


def check_side(name: str, value: object) -> int:
    """Return a number of rows or columns of a figure as an int, or raise an error that names the argument."""
    return check_int(name, value, minimum=1, maximum=_MAX_SIDE)


def escape_math(text: str) -> str:
    """Text that matplotlib can draw, as it is: it takes no lone surrogate, and reads a formula between dollar signs."""
    return text.encode(errors="backslashreplace").decode().replace("$", r"\$")


def _set_labels(name: str, set_ticks: Any, labels: Sequence[str] | None, count: int, side: int) -> None:
    """Put one label at the middle of each of `count` images of `side` pixels."""
    if labels is None:
        set_ticks([])
        return
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise TypeError(f"{name} must be a sequence of strings, but got {describe(labels)}")
    if len(labels) != count:
        raise ValueError(f"{name}: {count} labels are needed, but got {len(labels)}")
    texts = [escape_math(check_text(f"one of {name}", label, lines=True)) for label in labels]
    set_ticks([i * (side + _GAP) + (side - 1) / 2 for i in range(count)], texts)

"""What a category means, in single rows: one category in many styles, all categories in one style, and those asked for.

Needs matplotlib (extra `viz`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infogan_lib.category_names import categorical_code
from infogan_lib.model import InfoGAN
from infogan_lib.viz.grids import category_images, category_labels, grid_figure, shown_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fixed_condition_figure(
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
    chosen: dict[str, Any] = {code: category}
    return grid_figure(
        model.sample(columns * rows, seed=seed, **chosen),
        columns,
        pixel_range=shown_range(model),
        title=f"fixed condition: {code} = {category}, style drawn anew",
    )


def fixed_noise_figure(model: InfoGAN, *, code: str | None = None, rows: int = 1, seed: int = 0) -> "Figure":
    """All categories, each row with one draw of noise and other codes: different digits in the same style.

    Args:
        code: the categorical code; the only one if None.
        rows: how many draws.
        seed: of the draws.
    """
    code = categorical_code(model.latent, code)
    images, columns = category_images(model, code, rows, seed)
    return grid_figure(
        images,
        columns,
        pixel_range=shown_range(model),
        title=f"fixed noise: all of {code}, one style a row",
        column_labels=category_labels(model, code, columns),
        xlabel=code,
    )


def requested_figure(
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
    wanted: dict[str, Any] = {code: [name for _ in range(rows) for name in requests]}
    return grid_figure(
        model.sample(rows * len(requests), seed=seed, **wanted),
        len(requests),
        pixel_range=shown_range(model),
        title=f"asked for {' '.join(requests)}, got",
        column_labels=list(requests),
        xlabel=f"{code} asked for",
    )

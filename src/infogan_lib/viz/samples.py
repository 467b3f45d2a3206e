"""Figures of a model's samples, in which one code varies at a time. Need matplotlib (extra `viz`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import check_names, check_seed, check_text, check_type
from infogan_lib.latent.base import LatentCode
from infogan_lib.latent.category_names import categorical_code
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.viz.grids import check_side, plot_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_categories(
    model: InfoGAN, code: str, *, dim: int = 0, rows: int = 10, seed: int = 0, title: str = "", **codes: Any
) -> "Figure":
    """Plot one category per column; each row has its own noise and other codes.

    Args:
        model: A model of images (N, 1 or 3, H, W).
        code: Name of a discrete code.
        dim: Dimension of the code that varies: the bit of a `Bernoulli` code.
        rows: Number of rows.
        seed: Seed for the noise and the other codes.
        title: Title of the figure.
        **codes: Other codes that are the same in all images, as for `InfoGAN.sample`: ``style=0.0``.

    Raises:
        KeyError: If there is no code of that name.
        ValueError: If the code is not discrete, or a value is one that its code cannot take.
        TypeError: If a value has a type that its code cannot take.
    """
    seed, title = check_seed(seed), check_text("title", title, lines=True)
    if not _is_discrete(model, code):
        raise ValueError(f"plot_categories shows a code with finitely many values; for {code!r} use plot_traversal")
    rows = check_side("rows", rows)
    images = model.traverse(code, dim=dim, n=rows, seed=seed, codes=codes)
    columns = len(images) // rows
    return _plot(
        model,
        images,
        columns,
        title=title or f"{code}: one category per column",
        column_labels=category_labels(model, code, columns),
        xlabel=code,
        ylabel="random noise and other codes per row",
    )


def plot_fixed_noise(model: InfoGAN, *, code: str | None = None, rows: int = 1, seed: int = 0) -> "Figure":
    """Plot every category with the same noise and other codes along a row: different digits in one style.

    Args:
        model: A model of images (N, 1 or 3, H, W).
        code: Name of the categorical code; may be None if there is only one.
        rows: Number of rows, each with its own noise and other codes.
        seed: Seed for the noise and the other codes.

    Raises:
        TypeError: If the code has no categories.
        ValueError: If `code` is None and there is not exactly one categorical code.
    """
    code = categorical_code(_latent(model), code)
    return plot_categories(model, code, rows=rows, seed=seed, title=f"every category of {code}, same noise per row")


def plot_fixed_category(
    model: InfoGAN, category: int | str, *, code: str | None = None, columns: int = 10, rows: int = 1, seed: int = 0
) -> "Figure":
    """Plot one category with random noise and other codes in every image: the same digit in many styles.

    Args:
        model: A model of images (N, 1 or 3, H, W).
        category: Number of the category, or its name if the model's categories have names.
        code: Name of the categorical code; may be None if there is only one.
        columns: Number of columns.
        rows: Number of rows.
        seed: Seed for the noise and the other codes.

    Raises:
        TypeError: If the code has no categories, or `category` is neither a number nor a name.
        ValueError: If there is no such category, or `code` is None and there is not exactly one categorical code.
    """
    code, seed = categorical_code(_latent(model), code), check_seed(seed)
    columns, rows = check_side("columns", columns), check_side("rows", rows)
    values: dict[str, Any] = {code: category}
    images = model.sample(columns * rows, seed=seed, codes=values)
    return _plot(model, images, columns, title=f"{code} = {category}, random noise and other codes")


def plot_requests(
    model: InfoGAN, requests: Sequence[str], *, code: str | None = None, rows: int = 1, seed: int = 0
) -> "Figure":
    """Plot what the model generates for categories requested by name, one request per column.

    Args:
        model: A model of images (N, 1 or 3, H, W) whose categories have names.
        requests: Names of categories.
        code: Name of the categorical code; may be None if there is only one.
        rows: Number of images of each category.
        seed: Seed for the noise and the other codes.

    Raises:
        TypeError: If the code has no categories.
        ValueError: If no category has a requested name; see `InfoGAN.set_category_names`.
    """
    code, seed = categorical_code(_latent(model), code), check_seed(seed)
    requests, rows = check_names("requests", requests), check_side("rows", rows)
    if not requests:
        raise ValueError("requests must name at least one category, but got none")
    values: dict[str, Any] = {code: requests * rows}
    return _plot(
        model,
        model.sample(rows * len(requests), seed=seed, codes=values),
        len(requests),
        title=f"requested: {' '.join(requests)}",
        column_labels=list(requests),
        xlabel=f"requested {code}",
    )


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
    """Plot a traversal of a continuous code, from its low end (first row) to its high end (last row).

    Args:
        model: A model of images (N, 1 or 3, H, W).
        code: Name of the code that varies down the rows.
        dim: Dimension of the code that varies.
        columns: Name of a second code that varies along the columns, with zero noise and all other codes at their
            center; or a number of columns, each with its own random noise and codes.
        steps: Number of rows.
        seed: Seed for the noise and the other codes if `columns` is a number.
        title: Title of the figure.

    Raises:
        KeyError: If there is no code of that name.
        ValueError: If the code is discrete, or has no such dimension.
    """
    seed, title = check_seed(seed), check_text("title", title, lines=True)
    steps = check_side("steps", steps)
    if _is_discrete(model, code):
        raise ValueError(f"plot_traversal moves a continuous code; for {code!r} use plot_categories")
    if isinstance(columns, str):
        bases = model.latent.traverse(columns, steps=model.latent.traversal_steps(columns, steps))
        xlabel, labels = f"{columns}, zero noise", category_labels(model, columns, len(bases))
    else:
        columns = check_side("columns", columns)
        bases = model.latent.sample(columns, rng=torch.Generator().manual_seed(seed), device="cpu")
        xlabel, labels = "random noise and other codes per column", None
    latents = model.latent.traverse(code, dim=dim, steps=steps, base=bases)
    by_row = latents.unflatten(0, (len(bases), steps)).transpose(0, 1).flatten(0, 1)
    low, high = model.latent[code].traversal_range
    return _plot(
        model,
        model.decode(by_row),
        len(bases),
        title=title or f"{code}[{dim}] from {low:g} to {high:g}",
        column_labels=labels,
        row_labels=[f"{value:+.2f}" for value in np.linspace(low, high, steps)],
        xlabel=xlabel,
        ylabel=f"{code}[{dim}]",
    )


def category_labels(model: InfoGAN, code: str, count: int) -> list[str]:
    """Names of a code's values; the number of a value, in parentheses where only others have names."""
    names = model.category_names.get(code)
    if names is None:
        return [str(number) for number in range(count)]
    return [f"({number})" if name is None else name for number, name in enumerate(names)]


def _latent(model: InfoGAN) -> LatentSpec:
    """The latent of a model, which is checked to be one."""
    return check_type("model", model, InfoGAN).latent


def _is_discrete(model: InfoGAN, name: str) -> bool:
    variable = _latent(model)[name]
    return isinstance(variable, LatentCode) and variable.is_discrete


def _plot(model: InfoGAN, images: Tensor, columns: int, **labels: Any) -> "Figure":
    return plot_grid(images, columns, pixel_range=model.display_range, **labels)

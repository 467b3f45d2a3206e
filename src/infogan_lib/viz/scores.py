"""Figures of scores: a confusion matrix of categories and labels, and calibration curves. Need matplotlib."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from infogan_lib._checks import check_mapping, check_names, check_text, check_type
from infogan_lib.latent.category_names import LabelNames
from infogan_lib.metrics import CategoryMatch, Coverage, Reliability
from infogan_lib.viz.grids import escape_math, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COUNTS = 900
"""Cells of a confusion matrix above which the counts are not written into them."""


def plot_confusion(
    match: CategoryMatch,
    *,
    label_names: LabelNames | None = None,
    category_names: LabelNames | None = None,
    title: str = "Images by category and label",
) -> "Figure":
    """Plot counts of images by category (rows) and label (columns), rows in the order of their matched labels.

    Args:
        match: Matching of categories and labels.
        label_names: One name per label, in order or as a dict by number; its number if None.
        category_names: One name per category, likewise.
        title: Title of the figure.

    Raises:
        ValueError: If the number of names is not the number of labels or of categories.
        ImportError: If matplotlib is not installed.
    """
    check_type("match", match, CategoryMatch)
    categories, labels = match.contingency.shape
    names = [str(label) for label in match.labels] if label_names is None else check_names("label_names", label_names)
    if len(names) != labels:
        raise ValueError(f"label_names: {labels} label names are needed, but got {len(names)}")
    rows = range(categories) if category_names is None else check_names("category_names", category_names)
    if len(rows) != categories:
        raise ValueError(f"category_names: {categories} category names are needed, but got {len(rows)}")
    title = escape_math(check_text("title", title, lines=True))
    unmatched_last = np.where(match.label_per_category < 0, match.labels.max() + 1, match.label_per_category)
    order = np.argsort(unmatched_last, kind="stable")
    counts = match.contingency[order]
    fractions = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    figure = new_figure((max(3.2, 0.5 * labels + 1.2), max(2.2, 0.36 * categories + 1.0)))
    axes = figure.add_subplot()
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if counts.size <= _MAX_COUNTS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if fractions[row, column] > 0.55 else "0.25"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(labels), [escape_math(name) for name in names])
    axes.set_yticks(range(categories), [escape_math(str(rows[category])) for category in order])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("label", fontsize=9)
    axes.set_ylabel("category", fontsize=9)
    axes.set_title(title, fontsize=10)
    return figure


def plot_calibration(curves: Mapping[str, Reliability | Coverage]) -> "Figure":
    """Plot a panel for each code: a reliability diagram, or the coverage of Q's central intervals.

    Args:
        curves: Calibration by code name, as `infogan_lib.evaluation.calibration` returns it.

    Raises:
        ValueError: If `curves` is empty.
        ImportError: If matplotlib is not installed.
    """
    for curve in check_mapping("curves", curves).values():
        check_type("one of curves", curve, Reliability, Coverage)
    if not curves:
        raise ValueError("no code has a posterior with a confidence, so there is no calibration to plot")
    columns = min(len(curves), 4)
    rows = -(-len(curves) // columns)
    figure = new_figure((2.7 * columns + 0.3, 2.7 * rows + 0.2))
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, curve) in zip(all_axes, curves.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=0.8)
        if isinstance(curve, Reliability):
            _plot_reliability(axes, curve)
        else:
            axes.plot(curve.levels, curve.covered, marker="o", markersize=3)
            axes.set_xlabel("nominal coverage", fontsize=8)
            axes.set_ylabel("empirical coverage", fontsize=8)
        axes.set_title(f"{escape_math(name)}: error {curve.error:.3f}", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    for axes in all_axes[len(curves) :]:
        axes.set_axis_off()
    return figure


def _plot_reliability(axes: "Axes", curve: Reliability) -> None:
    occupied = curve.counts > 0
    fractions = curve.counts[occupied] / curve.counts.sum()
    confidence, accuracy = curve.confidence[occupied], curve.accuracy[occupied]
    axes.plot(confidence, accuracy, color="C0", linewidth=0.8)
    axes.scatter(confidence, accuracy, s=8 + 60 * fractions, color="C0", zorder=3)
    axes.set_xlabel("confidence", fontsize=8)
    axes.set_ylabel("accuracy", fontsize=8)

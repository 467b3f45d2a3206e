"""Pictures of scores: categories against labels, and how sure Q is against how right it is. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from infogan_lib.metrics.calibration import Coverage, Reliability
from infogan_lib.metrics.clustering import CategoryMatch
from infogan_lib.viz.grids import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_confusion(
    match: CategoryMatch, *, label_names: Sequence[str] | None = None, title: str = "Images by category and label"
) -> "Figure":
    """Counts of images by category (rows) and label (columns); rows are in the order of the labels matched to them.

    Args:
        match: of categories and labels.
        label_names: one for each label; "0", "1", ... if None.
        title: above the table.

    Raises:
        ValueError: another number of names than labels.
        ImportError: matplotlib is not installed.
    """
    categories, labels = match.contingency.shape
    names = [str(label) for label in range(labels)] if label_names is None else list(label_names)
    if len(names) != labels:
        raise ValueError(f"{labels} label names are needed, but got {len(names)}")
    last = np.where(match.label_per_category < 0, labels, match.label_per_category)
    order = np.lexsort((np.arange(categories), last))
    table = match.contingency[order]
    shares = table / np.maximum(table.sum(axis=0, keepdims=True), 1)
    figure = new_figure((max(3.2, 0.5 * labels + 1.2), max(2.2, 0.36 * categories + 1.0)))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if table.size <= _MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(table):
            if count:
                colour = "white" if shares[row, column] > 0.55 else "0.25"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(labels), names)
    axes.set_yticks(range(categories), [str(category) for category in order])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("label", fontsize=9)
    axes.set_ylabel("category", fontsize=9)
    axes.set_title(title, fontsize=10)
    return figure


def plot_calibration(found: Mapping[str, Reliability | Coverage]) -> "Figure":
    """A panel for each code: how often Q is right against how sure it is; or how often a code lies in an interval.

    Args:
        found: as `infogan_lib.evaluation.calibration` gives it.

    Raises:
        ValueError: nothing to show.
        ImportError: matplotlib is not installed.
    """
    if not found:
        raise ValueError("there is no code whose posterior says how sure it is, so there is nothing to show")
    across = min(len(found), 4)
    down = -(-len(found) // across)
    figure = new_figure((2.7 * across + 0.3, 2.7 * down + 0.2))
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (name, of_code) in zip(panels, found.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=0.8)
        if isinstance(of_code, Reliability):
            _reliability(axes, of_code)
        else:
            axes.plot(of_code.levels, of_code.covered, marker="o", markersize=3)
            axes.set_xlabel("probability of the interval", fontsize=8)
            axes.set_ylabel("share of codes inside", fontsize=8)
        axes.set_title(f"{name}: off by {of_code.error:.3f}", fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    return figure


def _reliability(axes: "Axes", found: Reliability) -> None:
    filled = found.counts > 0
    share = found.counts[filled] / found.counts.sum()
    axes.plot(found.confidence[filled], found.accuracy[filled], color="C0", linewidth=0.8)
    axes.scatter(found.confidence[filled], found.accuracy[filled], s=8 + 60 * share, color="C0", zorder=3)
    axes.set_xlabel("how sure Q is", fontsize=8)
    axes.set_ylabel("how often it is right", fontsize=8)


_MOST_NUMBERS = 900

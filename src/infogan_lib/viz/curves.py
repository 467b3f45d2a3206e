"""Curves of a run: losses, scores of D, and the information bound in nats. Needs matplotlib (extra `viz`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infogan_lib._checks import check_bool, check_float, check_int, check_mapping, check_type
from infogan_lib.history.history import History
from infogan_lib.metrics._arrays import to_floats
from infogan_lib.viz.grids import escape_math, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND = {
    "loss/d": "D",
    "loss/g": "G (adversarial)",
    "loss/information": "information (weighted)",
    "d_real": "D(x)",
    "d_fake_before": "D(G(z)) before D's update",
    "d_fake_after": "D(G(z)) after D's update",
}


def plot_history(history: History, *, entropy: Mapping[str, float] | None = None) -> "Figure":
    """Plot the losses, D's mean scores of real and generated images, and the information of the codes by step.

    The bound on I(c; x) is in nats, for codes whose loss is a likelihood; the squared error of the other codes has a
    panel of its own. Faint lines are single steps, strong lines a running mean.

    Args:
        history: History of a run.
        entropy: H(c) by code name, such as `trainer.model.latent.entropy`, drawn as dashed lines.

    Raises:
        ValueError: If the history has no steps.
        ImportError: If matplotlib is not installed.
    """
    check_type("history", history, History)
    for name, nats in {} if entropy is None else check_mapping("entropy", entropy).items():
        check_float(f"the entropy of {name!r}", nats)
    if not history:
        raise ValueError("the history holds no steps yet; call fit first")
    panels = {
        "loss": ["loss/d", "loss/g", "loss/information"],
        "mean score of D": ["d_real", "d_fake_before", "d_fake_after"],
        "bound on I(c; x), nats": [name for name in history if name.startswith("bound/")],
        "squared error": [name for name in history if name.startswith("mse/")],
    }
    recorded = {label: [name for name in names if name in history] for label, names in panels.items()}
    recorded = {label: names for label, names in recorded.items() if names}
    figure = new_figure((7.5, 2.7 * len(recorded)))
    all_axes = figure.subplots(len(recorded), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, names) in zip(all_axes, recorded.items(), strict=True):
        for i, name in enumerate(names):
            steps, values = history.steps(name), history[name]
            mean = running_mean(values, max(1, len(values) // 50))
            axes.plot(steps, values, color=f"C{i}", alpha=0.18, linewidth=0.6)
            axes.plot(steps, mean, color=f"C{i}", label=escape_math(_LEGEND.get(name, name)))
        _format(axes, label)
        for name, nats in (entropy or {}).items():
            if f"bound/{name}" in names:
                axes.axhline(nats, color="0.5", linestyle="--", linewidth=0.8)
                axes.annotate(escape_math(f"H({name})"), (0, nats), fontsize=7, color="0.35")
    figure.axes[-1].set_xlabel("step")
    figure.axes[0].set_title("Losses, scores of D and information", fontsize=10)
    return figure


def plot_epochs(history: History, *, total: bool = False) -> "Figure":
    """Plot the mean losses of every complete epoch: D's, G's and the weighted information loss.

    Args:
        history: History of a run.
        total: Whether to plot the sum of the losses as well.

    Raises:
        ValueError: If the history has no complete epoch.
        ImportError: If matplotlib is not installed.
    """
    check_type("history", history, History)
    check_bool("total", total)
    if not history.epochs:
        raise ValueError("the history holds no whole epoch yet; use plot_history, or train longer")
    figure = new_figure((7.5, 3.4))
    from matplotlib.ticker import MaxNLocator

    names = [name for name in ("loss/d", "loss/g", "loss/information") if name in history]
    means = {name: epoch_means(history, name) for name in names}
    axes = figure.subplots()
    epochs = np.arange(1, len(history.epochs) + 1)
    for name, values in means.items():
        axes.plot(epochs, values, marker="o", markersize=3, label=_LEGEND[name])
    if total:
        axes.plot(epochs, sum(means.values()), color="0.3", linestyle="--", label="total")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Mean losses by epoch", fontsize=10)
    axes.set_xlabel("epoch", fontsize=9)
    _format(axes, "loss")
    return figure


def plot_runs(runs: Sequence[tuple[str, History]], metric: str) -> "Figure":
    """Plot a metric of several runs over each other: one color for each label, one line for each run that has it.

    Runs of one label, such as several seeds, share a color. Needs matplotlib.
    """
    figure = new_figure((7.5, 3.0))
    axes = figure.subplots()
    colors = {label: f"C{i % 10}" for i, label in enumerate(dict.fromkeys(label for label, _ in runs))}
    named = set[str]()
    for label, history in runs:
        if metric not in history:
            continue
        values = history[metric]
        shown = "_nolegend_" if label in named else escape_math(label)
        named.add(label)
        mean = running_mean(values, max(1, len(values) // 50))
        axes.plot(history.steps(metric), mean, color=colors[label], linewidth=1.1, alpha=0.85, label=shown)
    axes.set_xlabel("step", fontsize=9)
    _format(axes, metric)
    return figure


def epoch_means(history: History, name: str) -> NDArray[np.float64]:
    """Mean of a metric over each complete epoch.

    Args:
        history: History of a run.
        name: Name of the metric.

    Returns:
        The means, shape (epochs,); NaN for an epoch in which the metric was not recorded.
    """
    check_type("history", history, History)
    steps, values = history.steps(name), history[name]
    ends = np.searchsorted(steps, history.epochs, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return np.array([values[a:b].mean() if b > a else np.nan for a, b in zip(starts, ends, strict=True)])


def running_mean(values: Sequence[float] | NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and the values before it, up to `width` values in all.

    Args:
        values: N values in order.
        width: Length of the window.

    Returns:
        The means, shape (N,).
    """
    width, numbers = check_int("width", width, minimum=1), to_floats("values", values)
    if numbers.ndim != 1:
        raise ValueError(f"values must have shape (N,), but got {numbers.shape}")
    # A window is the end of one block and the start of the next, so that a NaN or a huge value is in no other's sum.
    width = max(1, min(width, len(numbers)))
    blocks = np.concatenate([np.zeros(width), numbers, np.zeros(-len(numbers) % width)]).reshape(-1, width)
    ends = blocks[:-1, ::-1].cumsum(axis=1)[:, -2::-1]
    sums = blocks[1:].cumsum(axis=1)
    sums[:, :-1] += ends
    return sums.ravel()[: len(numbers)] / np.minimum(np.arange(1, len(numbers) + 1), width)


def _format(axes: "Axes", ylabel: str) -> None:
    axes.set_ylabel(escape_math(ylabel), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")

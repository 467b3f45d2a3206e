"""Curves of a run: losses, D's opinions, and the information bound in nats. Needs matplotlib (extra `viz`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from infogan_lib.training.history import History
from infogan_lib.viz.grids import new_figure

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
    """Panels over the steps: the losses; what D says of real and fake images; the information of the codes.

    The bound on I(c; G(z, c)) is in nats and for codes with a likelihood; the squared error of those without has a
    panel of its own. Faint lines are single steps, strong ones a running mean.

    Args:
        history: of a run.
        entropy: H(c) by code name, drawn as dashed lines; `trainer.model.latent.entropy` gives it.

    Raises:
        ValueError: a history without steps.
        ImportError: matplotlib is not installed.
    """
    if not history:
        raise ValueError("the history holds no steps yet; call fit first")
    panels = {
        "loss": ["loss/d", "loss/g", "loss/information"],
        "mean opinion of D": ["d_real", "d_fake_before", "d_fake_after"],
        "bound on I(c; x), nats": [name for name in history if name.startswith("bound/")],
        "squared error": [name for name in history if name.startswith("mse/")],
    }
    shown = {label: names for label, names in panels.items() if any(name in history for name in names)}
    figure = new_figure((7.5, 2.7 * len(shown)))
    panels_of_figure = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, names) in zip(panels_of_figure, shown.items(), strict=True):
        _draw(axes, history, names, label)
        for name, nats in (entropy or {}).items():
            if f"bound/{name}" in names:
                axes.axhline(nats, color="0.5", linestyle="--", linewidth=0.8)
                axes.annotate(f"H({name})", (0, nats), fontsize=7, color="0.35")
    figure.axes[-1].set_xlabel("step")
    figure.axes[0].set_title("Losses, opinions and information", fontsize=10)
    return figure


def plot_epochs(history: History, *, total: bool = False) -> "Figure":
    """The mean losses of every whole epoch: D's, G's and the weighted information loss.

    Args:
        history: of a run.
        total: whether to draw their sum as well.

    Raises:
        ValueError: a history without a whole epoch.
        ImportError: matplotlib is not installed.
    """
    if not history.epochs:
        raise ValueError("the history holds no whole epoch yet; draw plot_history, or train longer")
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
    axes.set_ylabel("loss", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
    return figure


def epoch_means(history: History, name: str) -> np.ndarray:
    """The mean of a figure over each whole epoch, shape (epochs,); NaN for an epoch in which it was not reported."""
    steps, values = history.steps(name), history[name]
    ends = np.searchsorted(steps, history.epochs, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    means = [values[a:b].mean() if b > a else np.nan for a, b in zip(starts, ends, strict=True)]
    return np.array(means)


def running_mean(values: Sequence[float] | np.ndarray, width: int) -> np.ndarray:
    """The mean of up to `width` values ending at each place, shape (N,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _draw(axes: "Axes", history: History, names: list[str], ylabel: str) -> None:
    for i, name in enumerate(name for name in names if name in history):
        steps, values = history.steps(name), history[name]
        colour = f"C{i}"
        axes.plot(steps, values, color=colour, alpha=0.18, linewidth=0.6)
        axes.plot(steps, running_mean(values, max(1, len(values) // 50)), color=colour, label=_LEGEND.get(name, name))
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")

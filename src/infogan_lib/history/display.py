"""The history of a run as it is shown: in a line of text, and as a table in a notebook."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from infogan_lib._html import sparkline, table

if TYPE_CHECKING:
    from infogan_lib.history.history import History

_RECENT = 20
"""The values that a number shown of a history is the mean of."""


def metrics_text(metrics: Mapping[str, float]) -> str:
    """The losses and bounds of a step in a few words."""
    shown = [f"{short} {metrics[name]:.2f}" for name, short in (("loss/d", "D"), ("loss/g", "G")) if name in metrics]
    shown += [
        f"{name.split('/', 1)[1]} {value:.2f}{' nats' if name.startswith('bound/') else ' mse'}"
        for name, value in metrics.items()
        if name.startswith(("bound/", "mse/"))
    ]
    return "  ".join(shown)


def history_text(history: "History", steps: int) -> str:
    """A history in a line: its number of steps, and its losses and bounds, each the mean of its last values."""
    if not history:
        return "History(no steps yet)"
    names = [name for name in history if name in ("loss/d", "loss/g") or name.startswith(("bound/", "mse/"))]
    recent = {name: history.last(name, _RECENT).mean() for name in names}
    return f"History({steps} steps; {metrics_text(recent)})"


def history_html(history: "History", *, names: list[str] | None = None) -> str:
    """A history as a table of HTML: each metric, or those named, with the mean of its last values, and its curve."""
    rows = [
        [name, f"{history.last(name, _RECENT).mean():.4g}", sparkline(history[name])]
        for name in (history if names is None else names)
    ]
    return table(rows, header=["metric", f"mean of the last {_RECENT}", "by step"])

"""How a trainer and the metrics of its run are shown: in lines of text, and as a table in a notebook."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from infogan_lib._html import sparkline, table
from infogan_lib.model.ema import ema_decay
from infogan_lib.model.infogan import InfoGAN

if TYPE_CHECKING:
    from infogan_lib.training.history import History
    from infogan_lib.training.step import InfoGANStep

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


def summarize(step: "InfoGANStep", optimizers: Mapping[str, Optimizer], device: torch.device) -> str:
    """The summary of a trainer; see `InfoGANTrainer.summary`."""
    rows = summary_rows(step, optimizers, device)
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def summary_rows(step: "InfoGANStep", optimizers: Mapping[str, Optimizer], device: torch.device) -> dict[str, str]:
    """The rows of a trainer's summary, by name."""
    model = step.model
    sizes = {part: sum(p.numel() for p in group) for part, group in model.parameter_groups().items()}
    trunk, d_head = sizes["trunk"], sizes["d_head"]
    decay = ema_decay(model.ema_generator)
    rates = [f"{name} {type(o).__name__} {o.param_groups[0]['lr']:g}" for name, o in optimizers.items()]
    latent = ", ".join(f"{name} {variable!r}" for name, variable in model.latent.items())
    terms = ", ".join(f"{type(term).__name__}({term.name})" for term in step.regularizers)
    return {
        "latent": latent,
        "images": " x ".join(map(str, model.image_shape)),
        "generator": f"{sizes['generator']:,} parameters" + (f", averaged with decay {decay:g}" if decay else ""),
        "discriminator": f"{trunk + d_head:,} parameters, {trunk:,} of them shared with Q",
        "Q": f"{sizes['q_head']:,} parameters; {_where_q_reads(model)}",
        "adversarial loss": repr(step.adversarial),
        "information loss": f"trains {', '.join(sorted(step.information_trains))}",
        "regularizers": terms or "none",
        "optimizers": ", ".join(rates),
        "computes": f"on {device} in {step.precision.name}" + (", as CUDA graphs" if step.graphs else ""),
    }


def _where_q_reads(model: InfoGAN) -> str:
    adapter = model.discriminator_adapter
    if adapter.returns_codes:
        return "part of the discriminator, which returns the codes"
    if adapter.read_features is not None:
        return f"{type(model.q).__name__} on features that the discriminator returns"
    if adapter.tap is None:
        return "a network on the images"
    return f"{type(model.q).__name__} on the {adapter.tap.at} of the discriminator's layer {adapter.tap.layer!r}"

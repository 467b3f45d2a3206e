"""The summary of a trainer: its networks, losses and optimizers, by name."""

from collections.abc import Mapping

import torch
from torch.optim import Optimizer

from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.ema import ema_decay
from infogan_lib.step.step import InfoGANStep


def summarize(step: InfoGANStep, optimizers: Mapping[str, Optimizer], device: torch.device) -> str:
    """The summary of a trainer; see `InfoGANTrainer.summary`."""
    rows = summary_rows(step, optimizers, device)
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def summary_rows(step: InfoGANStep, optimizers: Mapping[str, Optimizer], device: torch.device) -> dict[str, str]:
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
        "computes": f"on {device} in {step.precision.name}" + (", as graphs" if step.graphs else ""),
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

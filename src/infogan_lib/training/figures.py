"""The figures of a step: what is reported of codes, and scalars taken off their device together."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import information_bound


def information_figures(latent: LatentSpec, nll: Tensor) -> dict[str, Tensor]:
    """The mean information losses (codes,) under the names they are reported by.

    "nll/NAME" and "bound/NAME" in nats, and "bound_fraction/NAME" of H(c) where that is positive; "mse/NAME" where
    the loss is no likelihood. For a continuous code H(c) is differential, and the fraction may exceed 1.
    """
    figures = {}
    for (name, code), value in zip(latent.codes.items(), nll, strict=True):
        if not code.likelihood:
            figures[f"mse/{name}"] = value
            continue
        bound = information_bound(code.entropy, value)
        figures |= {f"nll/{name}": value, f"bound/{name}": bound}
        if code.entropy > 0:
            figures[f"bound_fraction/{name}"] = bound / code.entropy
    return figures


def numbers(scalars: Iterable[Tensor]) -> list[float]:
    """Scalars as numbers, with one transfer from their device for all."""
    given = [scalar.detach() for scalar in scalars]
    widest = torch.float32 if given[0].device.type == "mps" else torch.float64
    return torch.stack([scalar.to(widest) for scalar in given]).tolist()


def watched(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All weights, and the running statistics of normalisations, by name. Other buffers may hold what they like."""
    yield from ((name, p.detach()) for name, p in model.named_parameters() if p.is_floating_point())
    for where, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            for name in ("running_mean", "running_var"):
                statistic = getattr(module, name)
                if statistic is not None:
                    yield f"{where}.{name}", statistic


def magnitude(model: nn.Module) -> Tensor:
    """The norm of all that is watched: not finite if a part of it is not, or if it is very large."""
    return nn.utils.get_total_norm([tensor for _, tensor in watched(model)])

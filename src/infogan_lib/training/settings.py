"""What a run was set up with, as JSON data: written into its checkpoints, and compared before a run goes on.

An optimiser's saved state brings its old learning rate with it, a seed or a weight that has changed makes another run:
a difference is therefore named, and neither side is taken in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from infogan_lib.latent import LatentSpec
from infogan_lib.losses.adversarial import AdversarialLoss
from infogan_lib.regularizers import Regularizer
from infogan_lib.storage import CheckpointError


def run_settings(
    latent: LatentSpec,
    adversarial: AdversarialLoss,
    optimizers: Sequence[Optimizer],
    regularizers: Sequence[Regularizer],
    **plain: Any,
) -> dict[str, Any]:
    """All that must be the same for a run to go on; `plain` is taken as it is."""
    return {
        "latent": _latent_text(latent),
        "adversarial": _named(adversarial),
        "optimizers": [_optimizer_settings(optimizer) for optimizer in optimizers],
        "regularizers": [f"{_named(r)} {r.name}, weight {r.weight}" for r in regularizers],
        **plain,
    }


def _named(part: object) -> str:
    """A part with its settings where it is a dataclass, else the name of its class."""
    return repr(part) if is_dataclass(part) else type(part).__name__


def _latent_text(latent: LatentSpec) -> str:
    """The latent as JSON, or as its repr where it holds a code that has none."""
    try:
        return latent.to_json()
    except TypeError:
        return repr(latent)


def _optimizer_settings(optimizer: Optimizer) -> dict[str, Any]:
    """The class of an optimiser, and what each of its groups began with, as far as it is plain data."""
    groups = []
    for group in optimizer.param_groups:
        names = [name for name in group if name != "params" and not name.startswith("initial_")]
        begun = {name: _plain(group.get(f"initial_{name}", group[name])) for name in names}
        groups.append({name: value for name, value in begun.items() if value is not None})
    return {"kind": type(optimizer).__name__, "groups": groups}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str)) else None


def check_settings(path: Path, saved: Any, own: Mapping[str, Any]) -> None:
    """The settings of a run against those of a trainer that is to go on with it.

    Raises:
        CheckpointError: the first few differences, by name.
    """
    theirs, mine = dict(_leaves(saved)), dict(_leaves(own))
    differences = [
        f"{name} was {_shown(theirs.get(name))} and is {_shown(mine.get(name))}"
        for name in dict.fromkeys([*theirs, *mine])
        if theirs.get(name) != mine.get(name)
    ]
    if differences:
        more = f"; and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise CheckpointError(
            path,
            f"this run was made with other settings: {'; '.join(differences[:4])}{more}. Use the run's own to go on "
            "with it, or another run_dir to begin a new one",
        )


def _leaves(settings: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(settings, Sequence) and not isinstance(settings, str) and settings:
        for i, value in enumerate(settings):
            yield from _leaves(value, f"{name}[{i}]")
    else:
        yield name, settings


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 200 else text[:197] + "..."

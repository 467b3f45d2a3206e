"""What a run was set up with, as JSON data: written into its checkpoints, and compared before a run goes on.

An optimiser's saved state brings its old learning rate with it, a seed or a weight that has changed makes another run:
a difference is therefore named, and neither side is taken in silence.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses import AdversarialLoss, PairedAdversarialLoss
from infogan_lib.regularizers.base import Regularizer


def run_config(
    latent: LatentSpec,
    adversarial: AdversarialLoss | PairedAdversarialLoss,
    optimizers: Sequence[Optimizer],
    schedulers: Sequence[LRScheduler],
    regularizers: Sequence[Regularizer],
    **plain: Any,
) -> dict[str, Any]:
    """All that must be the same for a run to go on; `plain` is taken as it is."""
    return {
        "latent": _latent_data(latent),
        "order": list(latent),
        "adversarial": _named(adversarial),
        "optimizers": [_optimizer_settings(optimizer) for optimizer in optimizers],
        "schedulers": [_scheduler_settings(scheduler) for scheduler in schedulers],
        "regularizers": [_regularizer_settings(regularizer) for regularizer in regularizers],
        **plain,
    }


def _named(part: object) -> str:
    """A part with its settings where it is a dataclass, else the name of its class."""
    return repr(part) if is_dataclass(part) else type(part).__name__


def _latent_data(latent: LatentSpec) -> Any:
    """The latent as JSON data, or as its repr where it holds a code that has none."""
    try:
        return json.loads(latent.to_json())
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


def _scheduler_settings(scheduler: LRScheduler) -> dict[str, Any]:
    """The class of a scheduler and what it began with, as far as it is plain data."""
    begun = {name: _plain(value) for name, value in scheduler.state_dict().items() if not name.startswith("_")}
    return {"kind": type(scheduler).__name__, **{name: value for name, value in begun.items() if value is not None}}


def _regularizer_settings(part: Regularizer) -> dict[str, Any]:
    """The class of a regularizer and its attributes, as far as they are plain data."""
    attributes = {name: getattr(part, name) for name in ("name", "weight", "after")} | getattr(part, "__dict__", {})
    found = {name: _plain(value) for name, value in attributes.items()}
    return {"class": type(part).__name__, **{name: value for name, value in found.items() if value is not None}}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value if isinstance(value, (bool, int, float, str)) else None


_MAY_CHANGE = (
    "optimizers[",
    "adversarial",
    "regularizers",
    "d_steps",
    "g_steps",
    "accumulation_steps",
    "joint_batches",
)


def check_config(path: Path, saved: Any, own: Mapping[str, Any], *, branches: bool = False) -> bool:
    """The settings of a run against those of a trainer that is to go on with it.

    Args:
        path: of the checkpoint, for messages.
        saved, own: the settings.
        branches: whether a new run begins from the checkpoint, which may have other rates and losses.

    Returns:
        Whether they are the same; a warning names what a branch changes.

    Raises:
        CheckpointError: the first few differences, by name.
    """
    theirs, mine = dict(_leaves(saved)), dict(_leaves(own))
    differences = [
        f"{name} was {_shown(theirs.get(name))} and is {_shown(mine.get(name))}"
        for name in dict.fromkeys([*theirs, *mine])
        if theirs.get(name) != mine.get(name)
    ]
    changes_kind = any(".kind was" in part for part in differences)
    if branches and differences and not changes_kind and all(part.startswith(_MAY_CHANGE) for part in differences):
        warnings.warn(f"a new run begins from {path} with other settings: {'; '.join(differences)}", stacklevel=5)
        return False
    if differences:
        more = f"; and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise CheckpointError(
            path,
            f"this run was made with other settings: {'; '.join(differences[:4])}{more}. Use the run's own to go on "
            "with it, or another run_dir to begin a new one",
        )
    return True


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

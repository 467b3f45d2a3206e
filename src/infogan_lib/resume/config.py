"""The settings of a run as JSON data: written into its checkpoints, and compared before it is resumed.

Restoring an optimizer restores its old learning rate, and another seed or weight makes another run. So any difference
is an error that names it, instead of one side winning silently.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import isroutine
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses import AdversarialLoss, PairedAdversarialLoss
from infogan_lib.regularizers.base import Regularizer, is_function


def run_config(
    latent: LatentSpec,
    adversarial: AdversarialLoss | PairedAdversarialLoss,
    optimizers: Mapping[str, Optimizer],
    schedulers: Sequence[LRScheduler],
    regularizers: Sequence[Regularizer],
    augmented: Mapping[str, object],
    **others: Any,
) -> dict[str, Any]:
    """All settings that a resumed run must share; `others` are further ones, as JSON data."""
    return {
        "latent": _latent_config(latent),
        "order": list(latent),
        "adversarial": repr(adversarial) if is_dataclass(adversarial) else type(adversarial).__name__,
        "optimizers": [{"name": name, **_optimizer_config(optimizer)} for name, optimizer in optimizers.items()],
        "schedulers": [_scheduler_config(scheduler) for scheduler in schedulers],
        "regularizers": [_regularizer_config(regularizer) for regularizer in regularizers],
        "augmented": {name: _augmentation_config(function) for name, function in augmented.items()},
        **others,
    }


def _latent_config(latent: LatentSpec) -> Any:
    """The latent as JSON data, or as its repr where it holds a code that has none."""
    try:
        return json.loads(latent.to_json())
    except TypeError:
        return repr(latent)


def _optimizer_config(optimizer: Optimizer) -> dict[str, Any]:
    """The class of an optimizer, and the initial settings of each of its groups."""
    groups = []
    for group in optimizer.param_groups:
        names = [name for name in group if name != "params" and not name.startswith("initial_")]
        groups.append(_plain_items({name: group.get(f"initial_{name}", group[name]) for name in names}))
    return {"class": type(optimizer).__name__, "groups": groups}


_PRIVATE_SETTINGS = ("_milestones", "_schedule_phases", "_anneal_func_type", "_anneal_strategy")
"""The settings that torch's schedulers keep under other names than public ones."""


def _scheduler_config(scheduler: LRScheduler) -> dict[str, Any]:
    """The class of a scheduler and its initial settings, and those of the schedulers that it is made of."""
    state = scheduler.state_dict()
    initial = {name: state[name] for name in state if not name.startswith("_") or name in _PRIVATE_SETTINGS}
    for i, settings in enumerate(initial.pop("lr_lambdas", [])):
        initial |= {f"{name}[{i}]": value for name, value in (settings or {}).items()}
    parts = [_scheduler_config(part) for part in getattr(scheduler, "_schedulers", ())]
    return {"class": type(scheduler).__name__, **_plain_items(initial), **({"schedulers": parts} if parts else {})}


def _regularizer_config(regularizer: Regularizer) -> dict[str, Any]:
    """The class of a regularizer and its public attributes."""
    attributes = {name: getattr(regularizer, name) for name in ("name", "weight", "after", "every")}
    attributes |= {name: value for name, value in vars(regularizer).items() if not name.startswith("_")}
    functions = {name: _augmentation_config(value) for name, value in attributes.items() if is_function(value)}
    return {"class": type(regularizer).__name__, **_plain_items(attributes), **functions}


def attributes(model: nn.Module, regularizers: Sequence[Regularizer]) -> dict[str, Any]:
    """What a callback may change and no state holds: numbers of torch's own layers and of regularizers, by name."""
    found = {name: vars(m) for name, m in model.named_modules() if type(m).__module__.startswith("torch.nn.")}
    found |= {f"regularizers[{i}]": _regularizer_config(regularizer) for i, regularizer in enumerate(regularizers)}
    return {
        f"{name}.{key}": value
        for name, items in found.items()
        for key, value in items.items()
        if isinstance(value, (bool, int, float)) and not key.startswith("_") and key != "training"
    }


def _augmentation_config(function: object) -> Any:
    """False for no augmentation, True for a function, else the class and its settings where it is a dataclass."""
    if function is None or isroutine(function):
        return function is not None
    return _to_plain(function) or type(function).__name__


def _plain_items(items: Mapping[str, Any]) -> dict[str, Any]:
    """The items whose values are plain data."""
    plain = {name: _to_plain(value) for name, value in items.items()}
    return {name: value for name, value in plain.items() if value is not None}


def _to_plain(value: Any) -> Any:
    """A value as JSON data, a dataclass with the name of its class; None if it is neither."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        settings = {field.name: getattr(value, field.name) for field in fields(value)}
        return {"class": type(value).__name__, **_plain_items(settings)}
    return value if isinstance(value, (bool, int, float, str)) else None


_MAY_DIFFER_IN_BRANCH = re.compile(
    r"latent\..+\.weight was|optimizers\[\d+\]\.groups|"
    r"(schedulers|adversarial|regularizers|augmented|information_trains|"
    r"d_steps|g_steps|accumulation_steps|joint_batches|frozen|device|precision|tf32|sync_batchnorm)\b"
)


def check_config(path: Path, saved: Any, own: Mapping[str, Any], *, allow_branch: bool = False) -> list[str]:
    """Compare the settings of a run with those of the trainer that is to resume it, or to begin a branch from it.

    Returns what differs, in words; nothing unless it is a branch. Raises CheckpointError if they differ more than they
    may, and names the first few differences.
    """
    before, now = dict(_flatten(saved)), dict(_flatten(own))
    differences = [
        f"{name} was {_shorten(before.get(name))} and is {_shorten(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    fixed = [text for text in differences if not _MAY_DIFFER_IN_BRANCH.match(text)]
    if not differences or (allow_branch and not fixed):
        return differences
    shown = list(dict.fromkeys(_in_words(text, own) for text in (fixed if allow_branch else differences)))
    more = f"; and {len(shown) - 4} more" if len(shown) > 4 else ""
    what = (
        "a run that begins from this one must share some settings with it"
        if allow_branch
        else ("this run was made with other settings")
    )
    branch = "another folder to begin a new run"
    if not fixed and path.parent.name == "checkpoints":
        branch = (
            "another folder to begin a new run, which with these settings may begin from here: "
            f"Checkpoints(another_folder, resume={str(path)!r})"
        )
    raise CheckpointError(
        path,
        f"{what}: {'; '.join(shown[:4])}{more}{_arguments_of(shown[:4], own)}. Use the run's own settings to resume "
        f"it, or {branch}",
    )


def _in_words(difference: str, own: Mapping[str, Any]) -> str:
    """A difference as the user of a recipe knows it: of the schedules of `LinearDecay`, its steps."""
    match = re.fullmatch(r"schedulers\[(\d+)\]\.steps\[\d+\] was (\d+) and is (\d+)", difference)
    known = own["schedulers"]
    if match is None or int(match[1]) >= len(known) or "start[0]" not in known[int(match[1])]:
        return difference
    return (
        f"its learning rates fall to zero over {int(match[2]):,} steps, and are now to fall over {int(match[3]):,}; "
        "how long a run with such rates is has to be known when it begins"
    )


def _arguments_of(differences: Sequence[str], own: Mapping[str, Any]) -> str:
    """Which optimizers are which, where they differ: " (optimizers[1] is Optimizers(g=...))"."""
    numbers = dict.fromkeys(int(text[len("optimizers[")]) for text in differences if text.startswith("optimizers["))
    known = own["optimizers"]
    named = [f"optimizers[{i}] is Optimizers({known[i]['name']}=...)" for i in numbers if i < len(known)]
    return f" ({', '.join(named)})" if named else ""


def _flatten(settings: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The names and values of nested settings, such as "optimizers[0].groups[0].lr"."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from _flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(settings, Sequence) and not isinstance(settings, str) and settings:
        for i, value in enumerate(settings):
            yield from _flatten(value, f"{name}[{i}]")
    else:
        yield name, settings


def _shorten(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 200 else text[:197] + "..."

"""The files of a pretrained model: config.json and model.safetensors.

The config is the plan of a saved model, the versions of its modules, the recipe that rebuilds its networks if there is
one, and the SHA-256 of the weights, so that a download or an update that stopped half-way is noticed. It may be edited.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infogan_lib._checks import require
from infogan_lib._schema import Float, Int, Nullable, Record, Text
from infogan_lib.checkpoints.compare import module_versions
from infogan_lib.checkpoints.disk import (
    CheckpointError,
    atomic_write,
    fsync_dir,
    makedirs_synced,
    open_regular,
    os_errors_as_checkpoint_errors,
)
from infogan_lib.checkpoints.state import check_schema
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.plan import VERSIONS, ModelPlan
from infogan_lib.recipes.recipe import Recipe

CONFIG, WEIGHTS = "config.json", "model.safetensors"

FORMAT = 1

_MAX_CONFIG_BYTES = 2**24
_OWN = Record(
    {
        "format": Int(),
        "library_name": Text(),
        "weights_sha256": Text(),
        "versions": VERSIONS,
        "recipe": Nullable(Record({"name": Text(), "width": Float(0), "seed": Int(0, 2**63 - 1)})),
    }
)


class Pretrained(NamedTuple):
    """What a folder holds: plan, recipe (name, width and seed, or None), tensors by name, versions of modules."""

    plan: ModelPlan
    recipe: Mapping[str, Any] | None
    tensors: Mapping[str, Tensor]
    versions: Mapping[str, Any]


def write_pretrained(model: InfoGAN, folder: Path, recipe: Recipe | None, others: Mapping[str, bytes]) -> None:
    """Write a model.

    Args:
        model: the model.
        folder: made where there is none.
        recipe: the recipe that rebuilds the networks, or None.
        others: further files by name.

    Raises:
        ImportError: safetensors is not installed.
        CheckpointError: an error of the disk.
    """
    safetensors = require("safetensors.torch", extra="hub", feature="save_pretrained")
    state = model.state_dict()
    # Copies: two names of one tensor are two tensors in a file.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in state.items() if isinstance(t, Tensor)}
    weights = safetensors.save(tensors, metadata={"format": "pt"})
    settings = None if recipe is None else {"name": recipe.name, "width": recipe.width, "seed": recipe.seed}
    config = {
        "library_name": "infogan-lib",
        "format": FORMAT,
        "recipe": settings,
        **ModelPlan.of(model).to_dict(),
        "versions": module_versions(state),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    with os_errors_as_checkpoint_errors(folder, "saving"):
        makedirs_synced(folder)
        for name, data in {WEIGHTS: weights, CONFIG: text.encode(), **others}.items():
            atomic_write(folder / name, data)
        fsync_dir(folder)


def read_pretrained(folder: Path) -> Pretrained:
    """Read what `write_pretrained` wrote.

    Raises:
        ImportError: safetensors is not installed.
        CheckpointError: a file that is missing or damaged, or a link that leads out of the hub's cache.
    """
    safetensors = require("safetensors.torch", extra="hub", feature="from_pretrained")
    path = folder / CONFIG
    file, size = open_regular(path)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        if size > _MAX_CONFIG_BYTES:
            raise CheckpointError(path, f"it has {size:,} bytes, and no config is that long")
        content = file.read(_MAX_CONFIG_BYTES)
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"it is no JSON: {str(error)[:200]}") from error
    if not isinstance(config, dict):
        raise CheckpointError(path, "it must be an object of names")
    if config.get("library_name") != "infogan-lib":
        raise CheckpointError(path, "it was not written by save_pretrained of infogan-lib; give the folder of one")
    if config.get("format") != FORMAT:
        raise CheckpointError(path, f"its format is {config.get('format')!r:.20}, and this version reads {FORMAT}")
    own = {name: config.pop(name, None) for name in _OWN.fields}
    check_schema(path, "config", own, _OWN)
    plan = ModelPlan.from_dict(path, config)
    return Pretrained(
        plan, own["recipe"], _read_weights(folder / WEIGHTS, own["weights_sha256"], safetensors), own["versions"]
    )


def _read_weights(path: Path, digest: str, safetensors: Any) -> dict[str, torch.Tensor]:
    file, _ = open_regular(path)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        data = file.read()
    if hashlib.sha256(data).hexdigest() != digest:
        raise CheckpointError(path, f"it is not the file that {CONFIG} was written with (SHA-256); fetch both again")
    try:
        return safetensors.load(data)
    except Exception as error:  # safetensors' errors have no common class of Python's
        raise CheckpointError(path, f"it cannot be read: {str(error)[:200]}") from error

"""The files of a pretrained model: config.json and model.safetensors.

The config is the plan of a saved model, the versions of its modules, the recipe that rebuilds its networks if there is
one, and the SHA-256 of the weights, so that a download or an update that stopped half-way is noticed. It may be edited.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from infogan_lib._checks import require, shorten
from infogan_lib._schema import Float, Int, Nullable, Record, Text
from infogan_lib.checkpoints.compare import module_versions
from infogan_lib.checkpoints.disk import CheckpointError, open_regular, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.json_file import read_object
from infogan_lib.checkpoints.state import check_schema
from infogan_lib.checkpoints.tensor_file import MAX_SIDES
from infogan_lib.checkpoints.together import write_together
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.plan import VERSIONS, ModelPlan
from infogan_lib.model.saving import SavedModel
from infogan_lib.recipes.recipe import Recipe

CONFIG, WEIGHTS = "config.json", "model.safetensors"

FORMAT = 1

OWN_FIELDS = Record(
    {
        "format": Int(),
        "library_name": Text(),
        "weights_sha256": Text(),
        "versions": VERSIONS,
        "recipe": Nullable(Record({"name": Text(), "width": Float(0), "seed": Int(0, 2**63 - 1)})),
    }
)
"""The fields of config.json beside those of the plan."""


class Config(NamedTuple):
    """What config.json holds: plan, recipe (name, width, seed; or None), versions of modules, hash of the weights."""

    plan: ModelPlan
    recipe: Mapping[str, Any] | None
    versions: Mapping[str, Any]
    digest: str


def write_pretrained(model: InfoGAN, folder: Path, recipe: Recipe | None, others: Mapping[str, bytes]) -> None:
    """Write a model into a folder, with further files by name.

    Raises ImportError without safetensors, and CheckpointError for an error of the disk, or a link or pipe in the place
    of a file.
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
    for path in (folder / name for name in (WEIGHTS, CONFIG, *others)):
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise CheckpointError(path, "this is not a regular file, and nothing is saved through a link; remove it")
    with os_errors_as_checkpoint_errors(folder, "saving"):
        write_together(folder, {WEIGHTS: weights, CONFIG: text.encode(), **others})


def read_config(folder: Path) -> Config:
    """Read config.json as `write_pretrained` wrote it.

    Raises CheckpointError for a file that is missing or damaged, or a link that leads out of the hub's cache.
    """
    path = folder / CONFIG
    config = read_object(path)
    if config.get("library_name") != "infogan-lib":
        raise CheckpointError(path, "it was not written by save_pretrained of infogan-lib; give the folder of one")
    if config.get("format") != FORMAT:
        raise CheckpointError(path, f"its format is {shorten(config.get('format'))}, and this version reads {FORMAT}")
    own = {name: config.pop(name, None) for name in OWN_FIELDS.fields}
    check_schema(path, "config", own, OWN_FIELDS)
    return Config(ModelPlan.from_dict(path, config), own["recipe"], own["versions"], own["weights_sha256"])


def read_pretrained(folder: Path, config: Config, max_bytes: int) -> SavedModel:
    """Read the weights that belong to a config, or to the one of another process that has saved a model since.

    Raises ImportError without safetensors, and CheckpointError for weights that are missing, damaged, too large or of
    another config.
    """
    safetensors = require("safetensors.torch", extra="hub", feature="from_pretrained")
    path = folder / WEIGHTS
    before = None
    for _ in range(_MAX_TRIES):
        data = _read_weights(path, max_bytes)
        digest = hashlib.sha256(data).hexdigest()
        if digest == config.digest:
            break
        if before == (config.digest, digest):
            raise CheckpointError(
                path, f"it is not the file that {CONFIG} was written with (SHA-256); fetch both again"
            )
        before = config.digest, digest
        time.sleep(_PAUSE)  # a save replaces one file after the other
        config = read_config(folder)
    else:
        raise CheckpointError(folder, f"it was replaced {_MAX_TRIES} times while it was read; read it when it is saved")
    try:
        tensors = safetensors.load(data)
        if any(tensor.ndim > MAX_SIDES for tensor in tensors.values()):
            raise ValueError(f"one of its tensors has more than {MAX_SIDES} sides")
        return SavedModel(folder, config.plan, tensors, config.versions)
    except Exception as error:  # safetensors' errors have no common class of Python's
        raise CheckpointError(path, f"it cannot be read: {str(error)[:200]}") from error


_MAX_TRIES, _PAUSE = 10, 0.01
"""How often a folder is read that is being replaced, and the seconds in between."""


def _read_weights(path: Path, max_bytes: int) -> bytes:
    file, size = open_regular(path)
    with file, os_errors_as_checkpoint_errors(path, "reading"):
        if size > max_bytes:
            raise CheckpointError(path, f"it has {size:,} bytes, and these networks need at most {max_bytes:,}")
        return file.read(size)  # a larger number would be asked for as memory

"""The model of a run folder, in networks built from the recipe that the run's result names."""

import json
import os
from pathlib import Path
from typing import Any

from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.recipes.recipe import get


class RunError(ValueError):
    """A folder from which no model can be read; the message is one line: the folder, what is wrong, what to do."""


def load_run(folder: str | os.PathLike[str]) -> InfoGAN:
    """The model that `examples/mnist.py` left in a folder.

    Args:
        folder: with result.json, which names the recipe, its width and seed, and with the saved model in model/.

    Raises:
        RunError: no such folder, no finished run, a recipe that is not known, or a model that is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; give the --out folder of a finished run")
    result = _result(folder)
    try:
        recipe = get(result["recipe"], width=result["width"], seed=result["seed"])
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise RunError(f"{folder / 'result.json'}: no networks can be built from it: {_line(error)}") from error
    try:
        return InfoGAN.load(
            folder / "model",
            generator=recipe.generator,
            discriminator=recipe.discriminator,
            q_head=recipe.q_head,
            q_network=recipe.q_network,
        )
    except CheckpointError as error:
        raise RunError(_line(error)) from error


def _result(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder}: not a finished run, as it has no result.json; let the run end first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read: {_line(error)}") from error
    missing = [name for name in ("recipe", "width", "seed") if not isinstance(result, dict) or name not in result]
    if missing:
        raise RunError(f"{path}: does not say {', '.join(missing)}, so the networks cannot be built again")
    return result


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]

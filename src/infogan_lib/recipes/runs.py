"""Run folders: a trained model beside the recipe that rebuilds its networks.

A model file holds weights, not networks. ``FOLDER/recipe.json`` holds the three arguments of `recipes.get`, which build
the same networks again: ``{"format": 1, "name": "default", "width": 1.0, "seed": 0}``.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from infogan_lib._checks import check_path, check_type, one_line, shorten
from infogan_lib.checkpoints.disk import CheckpointError, is_folder, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.json_file import read_json
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.recipes.recipe import Recipe, available, check_weights_fit, get

FORMAT = 1
_MODEL, _RECIPE = "model", "recipe.json"
_EXAMPLE_RESULT = "result.json"  # written by examples/mnist.py and sprites.py before there was a recipe.json


class RunError(ValueError):
    """A folder from which no model can be loaded. The message is one line: the path, the fault and what to do."""


def save_run(folder: str | os.PathLike[str], recipe: Recipe, model: InfoGAN) -> None:
    """Save a model with the recipe that rebuilds its networks, for `load_run` and the explorer.

    Args:
        folder: Folder of the run; created if missing. The model goes into ``FOLDER/model``.
        recipe: Recipe from `recipes.get`, with its own networks.
        model: Trained model, such as `trainer.model`.

    Raises:
        ValueError: If `recipe` has no registered name, so that its networks could not be rebuilt.
        CheckpointError: If the disk reports an error.
    """
    folder = check_path("folder", folder)
    check_type("recipe", recipe, Recipe)
    check_type("model", model, InfoGAN)
    if recipe.name not in available():
        raise ValueError(
            f"the recipe is named {recipe.name!r}, which recipes.get does not know, so its networks could not be "
            "rebuilt; register a function for it and take the recipe from recipes.get, or use model.save"
        )
    model.save(folder / _MODEL)
    fields = {"format": FORMAT, "name": recipe.name, "width": recipe.width, "seed": recipe.seed}
    with os_errors_as_checkpoint_errors(folder / _RECIPE, "saving"):
        write_whole(folder / _RECIPE, (json.dumps(fields) + "\n").encode())


def load_run(folder: str | os.PathLike[str]) -> InfoGAN:
    """Load the model of a run, in networks that its recipe builds.

    Args:
        folder: Folder that `save_run` wrote to. A folder with the result.json of an older example is read too.

    Returns:
        The model, on the CPU.

    Raises:
        RunError: If there is no such folder, no saved run in it, no such recipe, or the model is damaged.
    """
    folder = check_path("folder", folder)
    recipe = run_recipe(folder)
    try:
        return InfoGAN.load(
            folder / _MODEL,
            generator=recipe.generator,
            discriminator=recipe.discriminator,
            q_head=recipe.q_head,
            q_network=recipe.q_network,
        )
    except CheckpointError as error:
        raise RunError(one_line(error)) from error


def run_recipe(folder: Path) -> Recipe:
    """The recipe of a run, with networks that are not trained.

    Raises RunError if there is no such folder, no saved run in it, or no such recipe.
    """
    if not is_folder(folder):
        raise RunError(f"{folder}: no such folder; give the --out folder of a finished run")
    path, (name, width, seed) = _recipe_arguments(folder)
    try:
        with suppress(OSError):  # a missing model is named when it is read
            check_weights_fit(path, sum(file.stat().st_size for file in (folder / _MODEL).iterdir()), name, width, seed)
        return get(name, width=width, seed=seed)
    except CheckpointError as error:
        raise RunError(one_line(error)) from error
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise RunError(f"{path}: no networks can be built from it: {one_line(error)}") from error


def _recipe_arguments(folder: Path) -> tuple[Path, list[Any]]:
    """The file that names the recipe, and the name, width and seed in it."""
    path, keys = folder / _RECIPE, ("name", "width", "seed")
    if not path.exists() and (folder / _EXAMPLE_RESULT).exists():
        path, keys = folder / _EXAMPLE_RESULT, ("recipe", "width", "seed")
    if not path.exists():
        raise RunError(f"{folder}: not a finished run, as it has no {_RECIPE}; let the run finish first")
    try:
        content = read_json(path, follow=True)
    except CheckpointError as error:
        raise RunError(f"{path}: cannot be read: {error.reason}") from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise RunError(f"{path}: {', '.join(missing)} missing, so the networks cannot be rebuilt; run it again")
    if path.name == _RECIPE and (content.get("format") != FORMAT or isinstance(content["format"], bool)):
        raise RunError(
            f"{path}: format {shorten(content.get('format'))} is not known, only {FORMAT}; load it with the version of "
            "infogan-lib that saved it"
        )
    return path, [content[key] for key in keys]

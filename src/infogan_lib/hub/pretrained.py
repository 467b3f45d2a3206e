"""Saving to, and loading from, a folder in the hub's form or a repository of the hub."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

from torch import nn

from infogan_lib._checks import (
    check_bool,
    check_float,
    check_instance,
    check_mapping,
    check_name,
    check_path,
    check_text,
    check_type,
    describe,
    require,
)
from infogan_lib.checkpoints.disk import CheckpointError, is_folder
from infogan_lib.hub.card import model_card
from infogan_lib.hub.folder import CONFIG, WEIGHTS, Config, read_config, read_pretrained, write_pretrained
from infogan_lib.hub.generator import load_generator
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.pretrained import PretrainedGenerator
from infogan_lib.model.saving import GivenNetworks, assemble_model, check_finite_weights, max_weight_bytes
from infogan_lib.networks.q_head import QHeadFactory
from infogan_lib.networks.validation import check_modules, check_reader_functions
from infogan_lib.recipes.recipe import Recipe, available, check_weights_fit, get

Reader = Callable[[Any], Any]


def save_pretrained(
    model: InfoGAN,
    folder: str | os.PathLike[str],
    *,
    recipe: Recipe | None = None,
    card: str | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Write a model as ``config.json``, ``model.safetensors`` and a model card. Needs the extra `hub`.

    Args:
        model: The model.
        folder: Made where there is none; files of the same names are replaced.
        recipe: The recipe from `recipes.get` that made the model, so that it loads with no networks given.
        card: The text of ``README.md``; None for one with samples, codes, figures and the code to load the model.
        metrics: Figures for the card, such as ``{"accuracy": 0.97}``.

    Returns:
        The folder.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: A recipe without a registered name, or weights that are not finite.
        CheckpointError: An error of the disk.
    """
    check_type("model", model, InfoGAN)
    folder = check_path("folder", folder)
    return _save(model, folder, folder.name, recipe, card, metrics)


def _save(
    model: InfoGAN,
    folder: Path,
    source: str,
    recipe: Recipe | None,
    card: str | None,
    metrics: Mapping[str, float] | None,
) -> Path:
    """`save_pretrained`, with a card that loads the model from `source`."""
    check_instance("recipe", recipe, Recipe)
    if recipe is not None and recipe.name not in available():
        raise ValueError(
            f"the recipe is named {recipe.name!r}, which recipes.get does not know, so its networks could not be "
            "rebuilt; take the recipe from recipes.get, or leave recipe= out"
        )
    if card is not None:
        check_text("card", card, lines=True)
    named = check_mapping("metrics", {} if metrics is None else metrics)
    figures = {check_name("one of metrics", key): check_float(f"metrics[{key!r}]", v) for key, v in named.items()}
    require("safetensors", extra="hub", feature="save_pretrained")
    check_finite_weights(model)
    others = {"README.md": card.encode()} if card is not None else model_card(model, source, recipe, figures)
    write_pretrained(model, folder, recipe, others)
    return folder


def push_to_hub(
    model: InfoGAN,
    repo: str,
    *,
    recipe: Recipe | None = None,
    card: str | None = None,
    metrics: Mapping[str, float] | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload a model to a repository of the hub, which is made where there is none. Needs the extra `hub`.

    Args:
        model: The model.
        repo: "user/name".
        recipe: As for `save_pretrained`.
        card: As for `save_pretrained`; it replaces the repository's.
        metrics: As for `save_pretrained`.
        private: Whether a new repository is private.
        token: The token to write with; that of ``hf auth login`` if None.

    Returns:
        The address of the commit.

    Raises:
        ImportError: huggingface_hub or safetensors is not installed.
        ValueError: `repo` is no "user/name", or a recipe without a registered name.
    """
    check_type("model", model, InfoGAN)
    if not isinstance(repo, str) or not _REPO.fullmatch(repo):
        raise ValueError(f"repo must be 'user/name', but got {describe(repo)}")
    check_bool("private", private)
    _check_token(token)
    hub = require("huggingface_hub", extra="hub", feature="push_to_hub")
    with TemporaryDirectory() as folder:
        _save(model, Path(folder), repo, recipe, card, metrics)
        api = hub.HfApi(token=token)
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload an InfoGAN"))


@overload
def from_pretrained(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> InfoGAN: ...


@overload
def from_pretrained(
    source: str | os.PathLike[str],
    *,
    generator: nn.Module,
    generator_output: Reader | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> PretrainedGenerator: ...


@overload
def from_pretrained(
    source: str | os.PathLike[str],
    *,
    generator: nn.Module,
    discriminator: nn.Module,
    q_head: nn.Module | QHeadFactory | None = None,
    q_network: nn.Module | None = None,
    tap: Reader | None = None,
    generator_output: Reader | None = None,
    discriminator_output: Reader | None = None,
    q_output: Reader | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> InfoGAN: ...


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    q_head: nn.Module | QHeadFactory | None = None,
    q_network: nn.Module | None = None,
    tap: Reader | None = None,
    generator_output: Reader | None = None,
    discriminator_output: Reader | None = None,
    q_output: Reader | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> InfoGAN | PretrainedGenerator:
    """Load a model from a folder that `save_pretrained` wrote, or from the hub. Needs the extra `hub`.

    A model that was saved with its recipe needs no networks. Otherwise `generator` and `discriminator` are networks of
    the layers that were trained; with `generator` alone, the result makes samples and knows no Q.

    Args:
        source: A folder, a snapshot in the hub's cache, or "user/name" of the hub.
        generator: The network that gets G's weights; the averaged ones where it is alone.
        discriminator: Likewise for D.
        q_head: As for `InfoGAN.load`.
        q_network: As for `InfoGAN.load`.
        tap: As for `InfoGAN.load`.
        generator_output: As for `InfoGAN.load`.
        discriminator_output: As for `InfoGAN.load`.
        q_output: As for `InfoGAN.load`.
        revision: The branch, tag or commit of the repository; the main branch if None.
        token: The token to read with; that of ``hf auth login`` if None.

    Returns:
        An `InfoGAN`; a `PretrainedGenerator` where only `generator` is given.

    Raises:
        ImportError: safetensors, or for a repository huggingface_hub, is not installed.
        ValueError: No networks are given, and no recipe was saved.
        CheckpointError: Damage, or networks of other layers.
    """
    readers = {
        "tap": tap,
        "generator_output": generator_output,
        "discriminator_output": discriminator_output,
        "q_output": q_output,
    }
    check_reader_functions(readers)
    check_instance("generator", generator, nn.Module)
    check_instance("discriminator", discriminator, nn.Module)
    _check_token(token)
    if revision is not None:
        check_name("revision", revision)
    if discriminator is not None and generator is None:
        raise ValueError("discriminator is given without generator; give both, or generator alone for samples")
    of_d = {"q_head": q_head, "q_network": q_network, **readers, "generator_output": None}
    unused = [name for name, value in of_d.items() if value is not None]
    if unused and discriminator is None:
        raise ValueError(f"{unused[0]} is given without discriminator, which it belongs to; give that as well")
    if discriminator is not None:
        check_modules(generator, discriminator, q_head, q_network)
    folder = _folder_of(source, revision, token)
    config = read_config(folder)
    if generator is not None and discriminator is None:
        return load_generator(read_pretrained(folder, config, _MAX_WITHOUT_D), generator, generator_output)
    if generator is None or discriminator is None:
        recipe = _rebuild(folder, config)
        generator, discriminator = recipe.generator, recipe.discriminator
        q_head, q_network = recipe.q_head, recipe.q_network
    given = GivenNetworks(generator, discriminator, q_head, q_network, readers)
    saved = read_pretrained(folder, config, max_weight_bytes(given.modules.values()))
    return assemble_model(InfoGAN, saved, given)


_MAX_WITHOUT_D = 2**34
"""The largest file of weights that is read where G alone is given, as D's size is not known."""


def _check_token(token: object) -> None:
    """Check a token. What was given is a secret, and in no message."""
    try:
        if isinstance(token, str) and (token != token.strip() or not token.isascii()):  # a header of HTTP is ASCII
            raise ValueError
        if token is not None:
            check_name("token", token)
    except (TypeError, ValueError):
        kind = type(token).__name__
        message = f"token must be a token of the hub or None, in ASCII without spaces, but got another {kind}"
        raise (ValueError if isinstance(token, str) else TypeError)(message) from None


_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def _folder_of(source: str | os.PathLike[str], revision: str | None, token: str | None) -> Path:
    """The folder of a source, which is downloaded into the hub's cache if it is a repository."""
    path = check_path("source", source)
    if is_folder(path) or not isinstance(source, str) or not _REPO.fullmatch(source) or source.startswith("."):
        if not is_folder(path):
            raise CheckpointError(path, "source must be a folder, or a repository of the hub such as 'user/name'")
        return path
    hub = require("huggingface_hub", extra="hub", feature="from_pretrained")
    return Path(hub.snapshot_download(source, revision=revision, token=token, allow_patterns=[CONFIG, WEIGHTS]))


def _rebuild(folder: Path, config: Config) -> Recipe:
    if config.recipe is None:
        raise ValueError(
            f"{folder} was saved without a recipe, so it does not say which networks it had; give generator= for "
            "samples, and discriminator= as well for all of the model"
        )
    with suppress(OSError):  # missing weights are named when they are read
        check_weights_fit(folder / CONFIG, (folder / WEIGHTS).stat().st_size, **config.recipe)
    try:
        return get(**config.recipe)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(folder, f"its recipe builds no networks here: {str(error)[:300]}") from error

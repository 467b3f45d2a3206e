"""A recipe: networks, latent, losses, optimizers and data of one published InfoGAN, as ordinary objects.

All of it may be changed before `trainer` is called: a recipe is where an experiment starts, not a mode of the library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infogan_lib._checks import check_float, check_int, describe, join_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model import InfoGAN, Tap
from infogan_lib.training import InfoGANTrainer, Optimizers


@dataclass(kw_only=True)
class Recipe:
    """The parts of a training run.

    Args:
        generator: the generator.
        discriminator: the discriminator.
        latent: the noise and the codes.
        image_size: the side of the square images.
        batch_size: images in a step.
        epochs: passes over the data; None where `steps` is given.
        steps: steps; None where `epochs` is given.
        q_head: a Q head of the recipe's own; None for `QHead`.
        q_network: a Q on images of the recipe's own; None for a head.
        tap: the layer of D whose output Q reads; None for the default.
        optimizers: learning rates and optimizers.
        trainer_kwargs: further keywords of `InfoGANTrainer`.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: LatentSpec
    image_size: int
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    q_head: nn.Module | None = None
    q_network: nn.Module | None = None
    tap: str | Tap | None = None
    optimizers: Optimizers = field(default_factory=Optimizers)
    trainer_kwargs: dict[str, Any] = field(default_factory=dict)

    def images(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8 or float, at the recipe's size (N, C, S, S), same dtype; antialiased bilinear.

        Raises:
            TypeError, ValueError: no images (N, C, H, W).
        """
        return resized(images, self.image_size)

    def model(self) -> InfoGAN:
        """The model of these parts."""
        return InfoGAN(
            self.generator,
            self.discriminator,
            self.latent,
            q_head=self.q_head,
            q_network=self.q_network,
            tap=self.tap,
            seed=self.trainer_kwargs.get("seed", 0),
        )

    def trainer(self, **changes: Any) -> InfoGANTrainer:
        """The trainer of these parts; keywords of `InfoGANTrainer` given here win over the recipe's."""
        settings: dict[str, Any] = {"optimizers": self.optimizers, **self.trainer_kwargs, **changes}
        return InfoGANTrainer(self.model(), **settings)


def resized(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) as (N, C, side, side), same dtype; antialiased bilinear. As they are if they have that size.

    Raises:
        ValueError: no images (N, C, H, W).
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        shape = tuple(images.shape) if isinstance(images, Tensor) else describe(images)
        raise ValueError(f"images must be a Tensor (N, C, H, W) with N >= 1, but got {shape}")
    if tuple(images.shape[2:]) == (side, side):
        return images
    return torch.cat([_at_size(part, side) for part in images.split(4096)])


def _at_size(images: Tensor, side: int) -> Tensor:
    found = F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return found.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else found.to(images)


Build = Callable[[float], Recipe]

_REGISTERED: dict[str, Build] = {}


def register(name: str) -> Callable[[Build], Build]:
    """Make a function known to `get` under a name: it makes a recipe with networks of a relative width."""

    def known(build: Build) -> Build:
        _REGISTERED[name] = build
        return build

    return known


def available() -> list[str]:
    """The names of all recipes."""
    return list(_REGISTERED)


def get(name: str, *, width: float = 1.0, seed: int = 0, **changes: Any) -> Recipe:
    """A recipe by name, with changes.

    Args:
        name: one of `names`.
        width: a factor on the channels of all networks; less than 1 for a CPU.
        seed: of the initial weights, and of the trainer. The global generator is left as it was.
        **changes: fields of the `Recipe`, or keywords of `InfoGANTrainer`, which go into `trainer_kwargs`.

    Raises:
        ValueError: no recipe of that name, or a width that is not above 0.
    """
    if name not in _REGISTERED:
        raise ValueError(f"there is no recipe {name!r}; there are {join_names(available())}")
    width = check_float("width", width, above=0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(check_int("seed", seed, minimum=0))
        recipe = _REGISTERED[name](width)
    recipe.trainer_kwargs["seed"] = seed
    own = {each.name for each in fields(recipe)}
    for key, value in changes.items():
        if key == "trainer_kwargs" and isinstance(value, Mapping):
            recipe.trainer_kwargs |= value
        elif key in own:
            setattr(recipe, key, value)
        else:
            recipe.trainer_kwargs[key] = value
    if "steps" in changes and "epochs" not in changes:
        recipe.epochs = None
    if "epochs" in changes and "steps" not in changes:
        recipe.steps = None
    return recipe

"""A recipe: networks, latent, optimizers and length of one published InfoGAN, as ordinary objects.

All of it may be changed before `trainer` is called: a recipe is where an experiment starts, not a mode of the library.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infogan_lib._checks import (
    check_dense,
    check_float,
    check_int,
    check_name,
    check_seed,
    check_type,
    describe,
    join_names,
    shorten,
)
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.data.pixels import check_dtype
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model import InfoGAN
from infogan_lib.networks import Tap
from infogan_lib.networks.q_head import QHeadFactory
from infogan_lib.step import Engine, LinearDecay, Optimizers
from infogan_lib.training import InfoGANTrainer
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.pretraining import PretrainQ, check_starts


@dataclass(kw_only=True)
class Recipe:
    """The parts of a training run.

    Args:
        generator: The generator.
        discriminator: The discriminator.
        latent: The noise and the codes.
        image_size: Side of the square images, in pixels.
        batch_size: Number of real images per step.
        epochs: Passes over the data; None if `steps` is given.
        steps: Number of steps; None if `epochs` is given.
        q_head: Q head on D's features, or what makes one; None for a `QHead` in proportion to D.
        q_network: Separate Q network on images; None for a head.
        tap: Layer of D whose output the Q head reads; None for the default.
        optimizers: Learning rates and optimizers.
        decay_start: Fraction of `steps` after which the learning rates fall linearly to zero; None for constant rates.
        engine: Device and precision.
        starts: Number of starts that Q has on real images alone before the first step, as `PretrainQ` makes them, each
            of a tenth of `steps`, 200 at most; 0 for none.
        trainer_kwargs: Further keywords of `InfoGANTrainer`. Without "regularizers" a recipe has none.
        name: Name of the recipe; set by `get`.
        width: Factor on the channels of the networks; set by `get`.
        seed: Seed of the initial weights and of the trainer; set by `get`.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: LatentSpec
    image_size: int
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    q_head: nn.Module | QHeadFactory | None = None
    q_network: nn.Module | None = None
    tap: str | Tap | None = None
    optimizers: Optimizers = field(default_factory=Optimizers)
    decay_start: float | None = None
    engine: Engine = field(default_factory=Engine)
    starts: int = 0
    trainer_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    width: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("image_size", "batch_size", "epochs", "steps"):
            if name not in ("epochs", "steps") or getattr(self, name) is not None:
                setattr(self, name, check_int(name, getattr(self, name), minimum=1))
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, but got {describe(self.name)}")
        self.width, self.seed = check_float("width", self.width, above=0), check_seed(self.seed)
        check_type("generator", self.generator, nn.Module)
        check_type("discriminator", self.discriminator, nn.Module)
        check_type("latent", self.latent, LatentSpec)
        check_type("optimizers", self.optimizers, Optimizers)
        check_type("engine", self.engine, Engine)
        if self.decay_start is not None and check_float("decay_start", self.decay_start, minimum=0) >= 1:
            raise ValueError(f"decay_start must be below 1, but got {self.decay_start}")
        if check_int("starts", self.starts, minimum=0) > 0:
            check_starts(self.starts)
        for key in check_type("trainer_kwargs", self.trainer_kwargs, dict):
            check_type("a name in trainer_kwargs", key, str)

    def images(self, images: Tensor) -> Tensor:
        """Resize images to the recipe's size, as `resize_images` does.

        Args:
            images: Images (N, C, H, W), uint8 or float.

        Returns:
            Images (N, C, image_size, image_size) of the same dtype.

        Raises:
            ValueError: If `images` is not a non-empty Tensor (N, C, H, W).
        """
        return resize_images(images, self.image_size)

    def for_images(self, count: int) -> "Recipe":
        """The recipe for a number of images: with its length in steps, if its rates are to fall towards the end.

        Args:
            count: Number of training images.

        Returns:
            This recipe, or a changed copy of it.
        """
        count = check_int("count", count, minimum=1)
        if self.decay_start is None or self.steps is not None or self.epochs is None:
            return self
        return replace(self, epochs=None, steps=self.epochs * max(1, count // self.batch_size))

    def model(self) -> InfoGAN:
        """Build the model from the recipe's networks and latent."""
        return InfoGAN(
            self.generator,
            self.discriminator,
            self.latent,
            q_head=self.q_head,
            q_network=self.q_network,
            tap=self.tap,
            seed=self.seed,
        )

    def trainer(self, **overrides: Any) -> InfoGANTrainer:
        """Build the trainer.

        Args:
            **overrides: Keywords of `InfoGANTrainer`, such as `engine=Engine("cpu")`, that replace the recipe's.

        Raises:
            ValueError: If the rates are to fall over a length in epochs.
        """
        optimizers = self.optimizers
        if self.decay_start is not None:
            if self.steps is None:
                raise ValueError("decay_start needs the length of the run in steps; give the recipe steps, no epochs")
            optimizers = replace(optimizers, scheduler=LinearDecay(self.steps, self.decay_start))
        settings = {"regularizers": (), "optimizers": optimizers, "engine": self.engine, "seed": self.seed}
        settings |= {**self.trainer_kwargs, **overrides}
        return InfoGANTrainer(self.model(), **settings)

    def callbacks(self, images: Any) -> list[Callback]:
        """The callbacks that `fit` needs for the recipe: `PretrainQ`, if it has `starts` and is long enough for them.

        Args:
            images: The training images, as `images` makes them; other data than a Tensor is not pretrained on.
        """
        steps = min(_START_STEPS, (self.steps or 0) // 10)
        wants_starts = self.starts > 0 and steps > 0 and isinstance(images, Tensor)
        return [PretrainQ(images, steps=steps, starts=self.starts)] if wants_starts else []


_START_STEPS = 200


def resize_images(images: Tensor, size: int) -> Tensor:
    """Resize images to a square, bilinearly and with antialiasing; images of that size are returned as they are.

    Args:
        images: Images (N, C, H, W), uint8 or float.
        size: Side of the square, in pixels.

    Returns:
        Images (N, C, size, size) of the same dtype.

    Raises:
        ValueError: If `images` is not a non-empty Tensor (N, C, H, W).
    """
    if isinstance(images, Tensor):
        check_dense("images", images)
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        shape = tuple(images.shape) if isinstance(images, Tensor) else describe(images)
        raise ValueError(f"images must be a Tensor (N, C, H, W) with N >= 1, but got {shape}")
    size = check_int("size", size, minimum=1, maximum=2**14)
    check_dtype(images)
    if tuple(images.shape[2:]) == (size, size):
        return images
    return torch.cat([_resize_batch(batch, size) for batch in images.split(4096)])


def _resize_batch(images: Tensor, size: int) -> Tensor:
    resized = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else resized.to(images)


RecipeFunction = Callable[[float], Recipe]
"""Builds a recipe with networks of a relative width."""

MAX_WIDTH = 16
"""The largest factor on the channels: the paper's networks then have about two billion weights."""

_RECIPES: dict[str, RecipeFunction] = {}


def register(name: str) -> Callable[[RecipeFunction], RecipeFunction]:
    """Decorate a function `width -> Recipe` so that `get` finds it under a name.

    Args:
        name: Name of the recipe.

    Raises:
        ValueError: If another function has that name already.
    """

    check_name("name", name)

    def decorate(function: RecipeFunction) -> RecipeFunction:
        present = _RECIPES.get(name, function)
        # Running a notebook's cell or reloading a module defines the same function once more.
        if (present.__module__, present.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(
                f"there is a recipe {name!r} already, {present.__module__}.{present.__qualname__}; choose another name"
            )
        _RECIPES[name] = function
        return function

    return decorate


def available() -> list[str]:
    """Return the names of all recipes."""
    return list(_RECIPES)


def get(name: str, *, width: float = 1.0, seed: int = 0, **overrides: Any) -> Recipe:
    """Build a recipe by name.

    Args:
        name: One of `available()`.
        width: Factor on the channels of all networks; less than 1 for a CPU.
        seed: Seed of the initial weights and of the trainer. The global generator is left as it was.
        **overrides: Fields of `Recipe`, or keywords of `InfoGANTrainer`, which go into `trainer_kwargs`. A length in
            `steps` replaces one in `epochs`, and the other way around.

    Raises:
        TypeError: If `width` or `seed` is not a number.
        ValueError: If there is no recipe of that name, `width` is not above 0, or `seed` is below 0.
    """
    if not isinstance(name, str) or name not in _RECIPES:
        raise ValueError(f"there is no recipe {shorten(name)}; there are {join_names(available())}")
    width, seed = check_float("width", width, above=0), check_seed(seed)
    if width > MAX_WIDTH:
        raise ValueError(f"width must be at most {MAX_WIDTH}, as it is a factor on all channels, but got {width:g}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        recipe = _RECIPES[name](width)
    own = [entry.name for entry in fields(recipe)]
    keywords = [
        name
        for name, parameter in inspect.signature(InfoGANTrainer).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    unknown = [key for key in overrides if key not in own and key not in keywords]
    if unknown:
        raise TypeError(
            f"unexpected keyword argument {join_names(unknown)}, neither a field of Recipe nor a keyword of "
            f"InfoGANTrainer; there are {join_names(sorted({*own, *keywords}))}"
        )
    changes: dict[str, Any] = {key: value for key, value in overrides.items() if key in own}
    more = {key: value for key, value in overrides.items() if key not in own}
    if isinstance(changes.get("trainer_kwargs", {}), Mapping):
        changes["trainer_kwargs"] = {**recipe.trainer_kwargs, **changes.get("trainer_kwargs", {}), **more}
    if "steps" in overrides and "epochs" not in overrides:
        changes["epochs"] = None
    if "epochs" in overrides and "steps" not in overrides:
        changes["steps"] = None
    return replace(recipe, **{"name": name, "width": width, "seed": seed} | changes)


def check_weights_fit(path: Path, size: int, name: Any, width: Any, seed: Any) -> None:
    """Check that weights of so many bytes can be those of a recipe's networks, which are built without memory for it.

    A registered recipe of the user's may load files, and is built for this only where its width is above 1. Raises
    CheckpointError, naming the path of the file that names the recipe, if the networks have more weights than that.
    """
    try:
        if width <= 1 and not _RECIPES[name].__module__.startswith("infogan_lib."):
            return
        with torch.device("meta"):
            recipe = get(name, width=width, seed=seed)
        weights = sum(p.numel() for m in (recipe.generator, recipe.discriminator) for p in m.parameters())
    except (KeyError, TypeError, ValueError, RuntimeError):
        return  # `get` says why; or a recipe of the user's makes tensors that are no meta tensors
    if weights > size:
        raise CheckpointError(
            path,
            f"its recipe {name!r} of width {width:g} has {weights:,} weights, more than the {size:,} bytes saved here "
            "can hold; it is damaged or forged",
        )

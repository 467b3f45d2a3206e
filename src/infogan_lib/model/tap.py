"""Taps: where the Q head reads the discriminator's features.

D is taken as *head(trunk(x))*. The features are what one of D's layers receives or returns; a tap names that layer.
They are captured by a hook that is on D only while the model runs it, or while `InfoGAN.tapping` lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from infogan_lib._checks import check_choice, describe, shorten
from infogan_lib.checkpoints.compare import without_wrappers


@dataclass(frozen=True)
class Tap:
    """A place in the discriminator.

    Args:
        layer: The layer's name, as `discriminator.named_modules()` gives it.
        at: Whether the features are the layer's "output" or its "input".

    A layer that changes its input in place (``LeakyReLU(inplace=True)``) changes the features of the layer before it as
    well: the tap returns a tensor as it is when D has finished.
    """

    layer: str
    at: Literal["input", "output"] = "output"

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str):
            raise TypeError(f"a tap names a layer of the discriminator, but got {describe(self.layer)}")
        check_choice("at", self.at, ("input", "output"))

    def module(self, discriminator: nn.Module) -> nn.Module:
        """The layer.

        Args:
            discriminator: The module that has it; names such as ``_orig_mod`` of wrappers may be there or not.

        Raises:
            ValueError: no such layer; the message lists the layers there are.
        """
        if self.layer:
            with suppress(AttributeError):
                return discriminator.get_submodule(self.layer)
        modules = dict(discriminator.named_modules())
        modules.pop("")
        unwrapped = {without_wrappers(name): module for name, module in modules.items() if without_wrappers(name)}
        if without_wrappers(self.layer) in unwrapped:
            return unwrapped[without_wrappers(self.layer)]
        layers = ", ".join(f"{name} ({type(module).__name__})" for name, module in modules.items())
        raise ValueError(
            f"the discriminator has no layer {shorten(self.layer)} to tap; it has: {layers or 'no layers'}"
        )


class FeatureHook:
    """A forward hook that keeps the last features until they are taken.

    A copy of it, in a copied or pickled discriminator, does nothing.
    """

    def __init__(self, at: Literal["input", "output"]) -> None:
        self.at = at
        self.active = False
        self.features: Any = None

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any = None) -> None:
        if self.active:
            self.features = first_tensor(args, kwargs) if self.at == "input" else output

    def take(self) -> Any:
        """The features of the last forward pass, which are not kept any longer; None where there was none."""
        features, self.features = self.features, None
        return features

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.at,)


@contextmanager
def capture_features(discriminator: nn.Module, tap: Tap) -> Iterator[FeatureHook]:
    """Capture the features at a tap whenever D runs in this context; nothing stays on D afterwards.

    Raises ValueError if there is no such layer.
    """
    module, hook = tap.module(discriminator), FeatureHook(tap.at)
    register = module.register_forward_pre_hook if tap.at == "input" else module.register_forward_hook
    handle = register(hook, with_kwargs=True)
    hook.active = True
    try:
        yield hook
    finally:
        hook.active = False
        hook.features = None
        handle.remove()


def first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The first tensor among a layer's arguments."""
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)

"""Taps: where the Q head reads the discriminator's features.

D is taken as *head(trunk(x))*. The features are what one of D's layers receives or returns; a tap names that layer.
Nothing is attached to D for longer than one forward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from infogan_lib._checks import check_choice, describe


@dataclass(frozen=True)
class Tap:
    """A place in the discriminator.

    Args:
        layer: the layer's name, as `discriminator.named_modules()` gives it.
        at: whether the features are the layer's "output" or its "input".

    A layer that changes its input in place (``LeakyReLU(inplace=True)``) changes the features of the layer before
    it as well: the tap sees a tensor as it is when D has finished.
    """

    layer: str
    at: Literal["input", "output"] = "output"

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str):
            raise TypeError(f"a tap names a layer of the discriminator, but got {describe(self.layer)}")
        check_choice("at", self.at, ("input", "output"))

    def module(self, discriminator: nn.Module) -> nn.Module:
        """The layer named.

        Raises:
            ValueError: no such layer; the message lists the layers there are.
        """
        modules = dict(discriminator.named_modules())
        modules.pop("")
        if self.layer not in modules:
            there = ", ".join(f"{name} ({type(module).__name__})" for name, module in modules.items())
            raise ValueError(f"the discriminator has no layer {self.layer!r} to tap; it has: {there or 'no layers'}")
        return modules[self.layer]


class Caught:
    """What a tap saw in the last forward pass."""

    features: Tensor | None = None


@contextmanager
def tapped(discriminator: nn.Module, tap: Tap) -> Iterator[Caught]:
    """Record the features at a tap while D runs; nothing stays on D afterwards."""
    module, caught = tap.module(discriminator), Caught()

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.features = _first_tensor(args, kwargs)

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        caught.features = output

    if tap.at == "input":
        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield caught
    finally:
        handle.remove()


def find_tap(discriminator: nn.Module, images: Tensor) -> Tap:
    """The input of the last layer with parameters that runs in D's forward: D's own features.

    A layer that receives no more numbers than D returns (a norm or a scale behind the last weights) has the validity
    itself before it, so the layer before that one is taken.

    Raises:
        ValueError: no layer of D has parameters.
    """
    layers = {
        name: module
        for name, module in discriminator.named_modules()
        if name and _has_weights(module) and "parametrizations" not in name.split(".")
    }
    ran: list[tuple[str, int]] = []

    def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        received = _first_tensor(args, kwargs)
        if received is not None:
            ran.append((name, received.numel()))

    handles = [
        module.register_forward_pre_hook(lambda _, a, k, name=name: note(name, a, k), with_kwargs=True)
        for name, module in layers.items()
    ]
    try:
        validity = discriminator(images)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise ValueError(
            "no layer with parameters was seen to run inside the discriminator, so there are no features to tap; give "
            "the module itself instead of a compiled or traced one, or a q_network, which looks at the images itself"
        )
    features = [name for name, numbers in ran if numbers > validity.numel()]
    return Tap((features or [ran[-1][0]])[-1], "input")


def _first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    return next((given for given in (*args, *kwargs.values()) if isinstance(given, Tensor)), None)


def _has_weights(module: nn.Module) -> bool:
    """Whether a layer holds parameters itself, also where a parametrization (spectral norm) holds them for it."""
    return is_parametrized(module) or any(True for _ in module.parameters(recurse=False))

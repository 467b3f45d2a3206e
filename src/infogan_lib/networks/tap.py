"""Taps: where the Q head reads the discriminator's features.

D is taken as *head(trunk(x))*. The features are what one of D's layers receives or returns; a tap names that layer.
They are captured by a hook that is on D only while the model runs it, or while `InfoGAN.tapping` lasts.

Two things decide how far along D the default tap is, both found by running D on random images:

- Q must judge each image by itself. Behind a layer that looks at the whole batch, such as BatchNorm in training, it
  learns to tell images apart by their neighbors, and what it learns about generated images does not hold for real ones.
  So Q reads before the first such layer, whatever it is called.
- D needs layers of its own. Where Q shares the features that D judges by, D no longer judges variety. So Q reads no
  further than half of D's layers.

docs/concepts.md has the measurements.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from infogan_lib._checks import check_choice, describe, shorten
from infogan_lib.checkpoints.compare import without_wrappers
from infogan_lib.data.rng import preserve_rng, seed_all
from infogan_lib.networks.introspection import device_and_dtype, restored_buffers, set_mode


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


BATCH = 4  # images in a run, at least; minibatch statistics are usually taken over as many

_LONGEST_VECTOR = 8192
"""The features that a head on a map flattens at most: 128 channels of 8 by 8 positions."""


@dataclass
class _Call:
    """One call of a layer, and what it received and returned for the first image of the batch."""

    name: str
    layer: nn.Module
    received: Tensor
    returned: Tensor | None = None


def default_tap(
    discriminator: nn.Module, images: Tensor, validity: Callable[[Any], Tensor] = lambda returned: returned
) -> Tap:
    """Where Q reads D unless told otherwise: before the first layer that looks at the batch, and within D's first half.

    D's buffers, mode and torch's random state are left as they were. Of the images only shape, dtype and device matter.
    `validity` picks the validity out of what D returns. Raises ValueError if no layer with parameters was seen to run.
    """
    rng = torch.Generator().manual_seed(0)
    size = len(images) * math.ceil(BATCH / len(images))
    random = (torch.rand(2 * size - 1, *images.shape[1:], generator=rng) * 2 - 1).to(images)
    returned, calls = _run(discriminator, random[:size])
    num_logits = validity(returned)[0].numel()
    _, beside_others = _run(discriminator, torch.cat([random[:1], 3 * random[size:]]))
    middle = _middle_layer(calls, num_logits)
    for i, (call, same_call) in enumerate(zip(calls[:middle], beside_others, strict=False)):
        if not _equal(call.received, same_call.received) and i > 0:
            return Tap(calls[i - 1].name, "output")  # what looks at the batch is no layer, but runs before this one
        if not _equal(call.returned, same_call.returned):
            return _before_flattening(calls, i)
    return _before_flattening(calls, middle)


def _before_flattening(calls: Sequence[_Call], index: int) -> Tap:
    """The input of a layer; if it is a long vector, the feature map that was flattened into it, where there is one.

    A linear layer on all positions of a large map would have more parameters than D, and a head on the map has few. The
    map may be that of before an activation or a pooling, where these are functions and no layers.
    """
    received = calls[index].received
    if received.ndim == 1 and received.numel() > _LONGEST_VECTOR:
        for call in reversed(calls[:index]):
            for value, tap in ((call.returned, Tap(call.name, "output")), (call.received, Tap(call.name, "input"))):
                if value is not None and value.ndim > 1 and value.numel() >= received.numel():
                    return tap
                if not _equal(value, received):
                    return Tap(calls[index].name, "input")
    return Tap(calls[index].name, "input")


def _run(discriminator: nn.Module, images: Tensor) -> tuple[Any, list[_Call]]:
    """What D returns for a batch in training mode, and the calls of its layers in the order in which they began."""
    calls: list[_Call] = []
    open_calls: list[_Call] = []

    def enter(name: str, layer: nn.Module, received: Any) -> None:
        open_calls.append(_Call(name, layer, _first_row(received, len(images))))
        calls.append(open_calls[-1])

    handles = []
    for name, layer in discriminator.named_modules():
        if name and "parametrizations" not in name.split(".") and (_has_parameters(layer) or not [*layer.children()]):
            handles += [
                layer.register_forward_pre_hook(
                    lambda layer, args, kwargs, name=name: enter(name, layer, first_tensor(args, kwargs)),
                    with_kwargs=True,
                ),
                layer.register_forward_hook(
                    lambda _, args, output: setattr(open_calls.pop(), "returned", _first_row(output, len(images)))
                ),
            ]
    device = device_and_dtype(discriminator)[0]
    try:
        with (
            torch.no_grad(),
            preserve_rng(device),
            restored_buffers(discriminator),
            set_mode(discriminator, training=True),
        ):
            seed_all(0, device)  # the same dropout in both runs
            returned = discriminator(images)
    finally:
        for handle in handles:
            handle.remove()
    return returned, [call for call in calls if call.received.numel()]


def _middle_layer(calls: Sequence[_Call], num_logits: int) -> int:
    """The index of the first call in the second half of D's layers with weights.

    A layer that receives no more numbers than D returns stands behind the validity: a norm or a scale after the last
    weights.
    """
    with_parameters = [i for i, call in enumerate(calls) if _has_parameters(call.layer)]
    if not with_parameters:
        raise ValueError(
            "no layer with parameters was seen to run inside the discriminator, so there are no features to tap; give "
            "the module itself instead of a compiled or traced one, or a q_network, which takes the images themselves"
        )
    with_weights = [i for i in with_parameters if _has_weights(calls[i].layer)] or with_parameters
    layers = [i for i in with_weights if calls[i].received.numel() > num_logits] or with_weights[-1:]
    return layers[len(layers) // 2]


def _has_parameters(layer: nn.Module) -> bool:
    """Whether a layer holds parameters itself, also where a parametrization (spectral norm) holds them for it."""
    return is_parametrized(layer) or any(True for _ in layer.parameters(recurse=False))


def _has_weights(layer: nn.Module) -> bool:
    """Whether it has a weight that mixes its inputs, unlike a norm's."""
    return is_parametrized(layer) or any(parameter.ndim > 1 for parameter in layer.parameters(recurse=False))


def _first_row(value: Any, size: int) -> Tensor:
    """A copy of a batch's first row; an empty tensor for anything that is no batch."""
    is_batch = isinstance(value, Tensor) and value.ndim > 0 and len(value) == size
    return value[0].detach().clone() if is_batch else torch.empty(0)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)

"""The default tap: how far along the discriminator the Q head reads.

Two things decide it, both found by running D on random images:

- Q must judge each image by itself. Behind a layer that looks at the whole batch, such as BatchNorm in training, it
  learns to tell images apart by their neighbors, and what it learns about generated images does not hold for real ones.
  So Q reads before the first such layer, whatever it is called.
- D needs layers of its own. Where Q shares the features that D judges by, D no longer judges variety. So Q reads no
  further than half of D's layers.

docs/concepts.md has the measurements.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from infogan_lib.data.rng import preserve_rng, seed_all
from infogan_lib.model.introspection import device_and_dtype, restored_buffers, set_mode
from infogan_lib.model.tap import Tap, first_tensor

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

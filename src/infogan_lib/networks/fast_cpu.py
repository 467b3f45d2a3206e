"""Convolutions and large layers on a CPU: the same sums, in the layout and the order in which they are fastest.

- Activations of 2-d convolutions lie with the channels last, (N, H, W, C) in memory, as the vector units read them.
  Weights stay contiguous, as fused optimizers expect them.
- A convolution whose kernel covers its input, and a transposed convolution of a 1 x 1 map, are matrix products.
- Large matrix products, of linear layers too, are oneDNN's.
- A transposed convolution to an image's few channels, and the gradient of a convolution of an image, are products whose
  pixels are then put in place.

Nothing of a network is changed: `FastCPU` is a context in which each call of a function of torch, whichever module
makes it, is looked up here. What is not covered is left to torch. All of it has gradients of every order: torch's own,
and in `products` and `thin` backward passes that are made of the same functions again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from infogan_lib.networks.layout import channels_last, is_channels_last, keep_layout_of_gradient
from infogan_lib.networks.products import LARGE_WEIGHT, linear, product
from infogan_lib.networks.thin import from_few, is_thin, to_few


def is_heavy(*networks: nn.Module | None) -> bool:
    """Whether a network holds convolutions or large layers; a context would cost the others for nothing."""
    parameters = (p for network in networks if network is not None for p in network.parameters())
    return any(p.ndim > 2 or p.numel() >= LARGE_WEIGHT for p in parameters)


def fast_cpu(x: Tensor, heavy: bool) -> AbstractContextManager[object]:
    """The context of a forward pass: `FastCPU` for a network that `is_heavy`, on a CPU; else none."""
    return FastCPU() if heavy and x.device.type == "cpu" else nullcontext()


class FastCPU(TorchFunctionMode):
    """A context in which convolutions and large layers on a CPU take their fastest form.

    Activations may have channels-last strides inside it. `Tensor.view` then copies where it cannot be a view.
    """

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        fast = _FAST.get(func)
        result = None if fast is None or _is_traced() else fast(*args, **kwargs)
        return func(*args, **kwargs) if result is None else result


def _is_traced() -> bool:
    """Whether calls are only recorded, for a compiler or an export that chooses layouts by itself."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[reportPrivateImportUsage]


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    if not _is_covered(input, weight, dilation, groups) or input.shape[1] != weight.shape[1]:
        return None
    if input.shape[2:] == weight.shape[2:] and _all(padding, 0):
        keep_layout_of_gradient(input)
        return linear(input.flatten(1), weight.flatten(1), bias).unflatten(1, (-1, *[1] * (input.ndim - 2)))
    if input.ndim != 4:
        return None
    input, steps = channels_last(input), _pair(stride)
    wants_images_gradient = input.requires_grad and torch.is_grad_enabled() and not isinstance(padding, str)
    if wants_images_gradient and is_thin(weight, steps, _pair(padding)) and _divides(steps, input):
        return from_few(input, weight, bias, steps[0], _pair(padding))
    return torch.conv2d(input, weight, bias, stride, padding)


def _transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor | None:
    if not _is_covered(input, weight, dilation, groups) or input.shape[1] != weight.shape[0]:
        return None
    if all(side == 1 for side in input.shape[2:]) and _all(padding, 0) and _all(output_padding, 0):
        result = product(input.flatten(1), weight.flatten(1)).unflatten(1, weight.shape[1:])
        result = result if bias is None else result + bias.to(result.dtype).view(-1, *[1] * (input.ndim - 2))
        return channels_last(result) if input.ndim == 4 else result
    if input.ndim != 4:
        return None
    input, steps, cut = channels_last(input), _pair(stride), _pair(padding)
    if is_thin(weight, steps, cut, _pair(output_padding)):
        return to_few(input, weight, bias, steps[0], cut)
    return torch.conv_transpose2d(input, weight, bias, stride, padding, output_padding)


def _view(input: Tensor, *shape: Any, **named: Any) -> Tensor | None:
    shape = shape or (named.get("size"),)
    if not is_channels_last(input) or shape[0] is None or isinstance(shape[0], torch.dtype):
        return None
    keep_layout_of_gradient(input)
    return input.reshape(*shape)


def _view_as(input: Tensor, other: Tensor) -> Tensor | None:
    return _view(input, other.shape)


def _reshape(input: Tensor, *_: Any, **__: Any) -> None:
    if is_channels_last(input):
        keep_layout_of_gradient(input)


def _is_covered(input: Tensor, weight: Tensor, dilation: Any, groups: int) -> bool:
    plain = input.device.type == "cpu" and input.layout == torch.strided and input.ndim == weight.ndim
    return plain and groups == 1 and _all(dilation, 1)


def _all(setting: Any, value: int) -> bool:
    """Whether a convolution's setting, one number or one per dimension, is this value throughout."""
    return setting == value or (isinstance(setting, (tuple, list)) and all(s == value for s in setting))


def _pair(setting: Any) -> tuple[int, int]:
    one_each = setting if isinstance(setting, (tuple, list)) else (setting,)
    return (one_each[0], one_each[-1])


def _divides(stride: tuple[int, int], images: Tensor) -> bool:
    return all(side % step == 0 for side, step in zip(images.shape[2:], stride, strict=True))


_FAST: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.conv1d: _convolution,
    torch.conv2d: _convolution,
    torch.conv3d: _convolution,
    torch.conv_transpose1d: _transposed_convolution,
    torch.conv_transpose2d: _transposed_convolution,
    torch.conv_transpose3d: _transposed_convolution,
    F.linear: linear,
    torch.flatten: _reshape,
    torch.reshape: _reshape,
    Tensor.flatten: _reshape,
    Tensor.reshape: _reshape,
    Tensor.view: _view,
    Tensor.view_as: _view_as,
}

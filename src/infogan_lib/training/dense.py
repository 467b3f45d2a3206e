"""Convolutions that are matrix products, computed as such.

A convolution whose kernel covers its whole input, and a transposed convolution of a 1 x 1 map, are plain matrix
products. GAN networks begin and end with them, and on a CPU the convolution routines take several times as long for
the same sums. Inside `dense_convolutions` such calls, whichever module makes them, become the product.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override


class dense_convolutions(TorchFunctionMode):  # noqa: N801 - used as a function: with dense_convolutions():
    """A context in which every convolution that is a matrix product is computed as one."""

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        dense = _DENSE.get(func)
        result = dense(*args, **kwargs) if dense is not None else None
        return func(*args, **kwargs) if result is None else result


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    covers = input.ndim == weight.ndim and input.shape[2:] == weight.shape[2:]
    if not covers or groups != 1 or not _all(padding, 0) or not _all(dilation, 1) or input.shape[1] != weight.shape[1]:
        return None
    return F.linear(input.flatten(1), weight.flatten(1), bias).unflatten(1, (-1, *[1] * (input.ndim - 2)))


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor | None:
    points = input.ndim == weight.ndim and all(side == 1 for side in input.shape[2:])
    plain = groups == 1 and _all(padding, 0) and _all(output_padding, 0) and _all(dilation, 1)
    if not points or not plain or input.shape[1] != weight.shape[0]:
        return None
    result = (input.flatten(1) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
    return result if bias is None else result + bias.to(result.dtype).view(-1, *[1] * (input.ndim - 2))


def _all(setting: Any, value: int) -> bool:
    """Whether a convolution's setting, one number or one per dimension, is this value throughout."""
    return setting == value or (isinstance(setting, (tuple, list)) and all(s == value for s in setting))


_DENSE: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.conv1d: _convolution,
    torch.conv2d: _convolution,
    torch.conv3d: _convolution,
    torch.conv_transpose1d: _transposed,
    torch.conv_transpose2d: _transposed,
    torch.conv_transpose3d: _transposed,
}

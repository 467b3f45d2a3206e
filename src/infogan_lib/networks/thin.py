"""Convolutions to and from the few channels of an image on a CPU, where torch's transposed ones fill no registers.

`to_few` is a transposed convolution to few channels, as G's last layer is; `from_few` is a convolution of an image, as
D's first layer is, whose gradient with respect to the image is `to_few` again. All other derivatives are torch's.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_weight
from typing_extensions import override

from infogan_lib.networks.layout import with_channels_last
from infogan_lib.networks.products import wanted
from infogan_lib.networks.subpixel import Pair, is_subpixel, subpixel_convolution

MOST_CHANNELS = 4
"""Of an image."""


def is_thin(weight: Tensor, stride: Pair, padding: Pair, output_padding: Pair = (0, 0)) -> bool:
    """Whether a weight (C, K, kh, kw), transposed, makes images of few channels, `stride` times as large as maps."""
    return weight.shape[1] <= MOST_CHANNELS and is_subpixel(weight.shape[2:], stride, padding, output_padding)


def to_few(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Pair) -> Tensor:
    """`conv_transpose2d` of maps (N, C, H, W) and a weight (C, K, kh, kw) that `is_thin`."""
    x, weight = _autocast(x, weight)
    image = _ToFew.apply(x, weight, stride, padding)
    return image if bias is None else image + bias.to(image.dtype)[:, None, None]


def from_few(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Pair) -> Tensor:
    """`conv2d` of images (N, K, stride * H, stride * W) and a weight (C, K, kh, kw) that `is_thin`."""
    x, weight = _autocast(x, weight)
    return _FromFew.apply(x, weight, None if bias is None else bias.to(x.dtype), stride, padding)


def _autocast(*tensors: Tensor) -> list[Tensor]:
    if not torch.is_autocast_enabled("cpu"):
        return [*tensors]
    return [x.to(torch.get_autocast_dtype("cpu")) if x.dtype == torch.float32 else x for x in tensors]


class _Thin(Function):
    """A function of maps or images, a weight, and at last a stride and a padding."""

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.settings = inputs[-2:]
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])


class _ToFew(_Thin):
    @staticmethod
    @override
    def forward(x: Tensor, weight: Tensor, stride: int, padding: Pair) -> Tensor:
        if weight.shape[1] > 1:
            return subpixel_convolution(x, weight, None, stride, padding)
        n, c, h, w = x.shape
        taps = x.permute(0, 2, 3, 1).reshape(-1, c) @ weight.flatten(1)
        columns = taps.view(n, h * w, -1).transpose(1, 2)
        return F.fold(columns, (stride * h, stride * w), weight.shape[2:], padding=padding, stride=stride)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        (x, weight), (of_x, of_weight, *_) = ctx.saved_tensors, wanted(ctx)
        g = with_channels_last(gradients[0])
        x_gradient = torch.conv2d(g, weight, None, *ctx.settings) if of_x else None
        return x_gradient, _weight_gradient(g, weight, x, ctx) if of_weight else None, None, None

    @staticmethod
    @override
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _tangent(torch.conv_transpose2d, ctx, tangents)

    @staticmethod
    @override
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, weight, *settings = inputs
        return torch.vmap(lambda x, w: torch.conv_transpose2d(x, w, None, *settings), in_dims[:2])(x, weight), 0


class _FromFew(_Thin):
    @staticmethod
    @override
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Pair) -> Tensor:
        return torch.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        (x, weight), (of_x, of_weight, *of_bias), (g,) = ctx.saved_tensors, wanted(ctx), gradients
        x_gradient = _ToFew.apply(g, weight, *ctx.settings) if of_x else None
        weight_gradient = _weight_gradient(x, weight, g, ctx) if of_weight else None
        return x_gradient, weight_gradient, g.sum((0, 2, 3)) if any(of_bias) else None, None, None

    @staticmethod
    @override
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        tangent, of_bias = _tangent(torch.conv2d, ctx, tangents), tangents[2]
        return tangent if of_bias is None else tangent + of_bias[:, None, None]

    @staticmethod
    @override
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return torch.vmap(torch.conv2d, (*in_dims[:3], None, None))(*inputs), 0


def _weight_gradient(image: Tensor, weight: Tensor, maps: Tensor, ctx: Any) -> Tensor:
    return conv2d_weight(image, [*weight.shape], maps, *ctx.settings)


def _tangent(convolve: Any, ctx: Any, tangents: tuple[Any, ...]) -> Tensor:
    (x, weight), (of_x, of_weight, *_) = ctx.saved_tensors, tangents
    terms = [] if of_x is None else [convolve(of_x, weight, None, *ctx.settings)]
    terms += [] if of_weight is None else [convolve(x, of_weight, None, *ctx.settings)]
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]

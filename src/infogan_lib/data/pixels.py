"""Pixel values: bytes as the floats that a generator makes, and back to what a screen shows."""

import math
from typing import Any

import torch
from torch import Tensor

from infogan_lib._checks import can_compute, check_dense, check_pair, describe
from infogan_lib._warnings import warn

PixelRange = tuple[float, float]


def pixel_range(value: Any) -> PixelRange:
    """Return a (low, high) pair of finite numbers, low < high, as floats. Raises ValueError for anything else."""
    low, high = check_pair("pixel_range", value, "two finite numbers (low, high)")
    if not 0 < high - low < math.inf:
        raise ValueError(
            f"pixel_range must be (low, high) with low < high and high - low finite, but got {describe(value)}"
        )
    return low, high


_FILLED = 0.5
"""The part of a range from which on data is taken to be scaled to it; samples of a young generator fill less."""

_RANGE_TOLERANCE = 0.01

UNKNOWN_RANGE: PixelRange = (-1.0, 1.0)
"""The range assumed for a model's images if its generator ends in neither Tanh nor Sigmoid, and none was given."""


def warn_unknown_range() -> None:
    """Warn that images are shown, or uint8 images mapped, in a range that nothing tells."""
    low, high = UNKNOWN_RANGE
    warn(
        "the range of the generator's images is not known, as its last operations do not bound it, and "
        f"({low:g}, {high:g}) is taken; set model.pixel_range = (low, high)"
    )


def check_dtype(images: Tensor) -> None:
    """Check that images are floats or bytes. Raises TypeError."""
    if images.dtype != torch.uint8 and not can_compute(images.dtype):
        remedy = ""
        if images.dtype in (torch.uint16, torch.int16, torch.int32):
            remedy = "; scale images of 16 bits, such as images.float() / 65535 * 2 - 1 for the range of a Tanh"
        elif images.dtype == torch.bool:
            remedy = "; convert black and white with images.to(torch.uint8) * 255"
        elif images.is_floating_point():
            remedy = "; convert them with images.float()"
        elif not images.is_complex():
            remedy = "; convert whole numbers from 0 to 255 with images.to(torch.uint8)"
        raise TypeError(f"images must be floats, or uint8 from 0 to 255, but got {images.dtype}{remedy}")


def shape_hint(shape: tuple[int, ...], image_shape: tuple[int, ...]) -> str:
    """What to change so that images have shape (N, *image_shape), to end a message; empty where that cannot be told."""
    if shape == image_shape:
        return "; this is one image: images.unsqueeze(0) makes a batch of it, and torch.stack(images) one of a list"
    if (1, *shape[1:]) == image_shape:
        return "; add the channel with images.unsqueeze(1)"
    channels_last = (*image_shape[1:], image_shape[0])
    if len(image_shape) > 1 and shape[1:] == channels_last:
        order = ", ".join(map(str, (0, len(image_shape), *range(1, len(image_shape)))))
        return f"; its channels come last, and images.permute({order}) puts them first"
    if len(image_shape) > 1 and shape == channels_last:
        order = ", ".join(map(str, (len(image_shape) - 1, *range(len(image_shape) - 1))))
        return f"; this is one image with its channels last: images.permute({order}).unsqueeze(0) makes a batch of it"
    if 1 in (len(shape) - 1, len(image_shape)) and math.prod(shape[1:]) == math.prod(image_shape):
        return f"; images.reshape({', '.join(map(str, (-1, *image_shape)))}) gives them that shape"
    if len(image_shape) != 3 or len(shape) != 4:
        return ""
    if shape[2:] != image_shape[1:]:
        return f"; resize them, as torch.nn.functional.interpolate(images, {image_shape[1:]}, mode='bilinear') does"
    remedy = {(1, 3): "images.expand(-1, 3, -1, -1)", (3, 1): "images.float().mean(1, keepdim=True).to(images.dtype)"}
    remedy[(4, 3)] = "images[:, :3]"
    remedy[(4, 1)] = "images[:, :3].float().mean(1, keepdim=True).to(images.dtype)"
    remedy[(2, 1)], remedy[(2, 3)] = "images[:, :1]", "images[:, :1].expand(-1, 3, -1, -1)"
    return f"; {remedy[channels]} gives them its channels" if (channels := (shape[1], image_shape[0])) in remedy else ""


def as_float(images: Tensor, to_range: PixelRange, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images (*) as floats: bytes from 0 to 255 are mapped onto a range, the values of floats stay."""
    if images.dtype != torch.uint8:
        return images.to(dtype)
    low, high = to_range
    return images.to(dtype).mul_((high - low) / 255).add_(low)


def as_unit(images: Tensor, from_range: PixelRange) -> Tensor:
    """Images (*), as floats, mapped from a range onto [0, 1] and clipped to it: float32, without a graph."""
    low, high = from_range
    return ((images.detach().float() - low) / (high - low)).clamp(0, 1)


def is_showable(image_shape: tuple[int, ...]) -> bool:
    """Whether images of a shape, without the batch, can be shown: gray or in color."""
    return len(image_shape) == 3 and image_shape[0] in (1, 3)


def check_finite_images(images: Tensor) -> None:
    """Check that images are bytes or finite floats. Raises TypeError or ValueError."""
    check_dtype(images)
    if images.is_floating_point() and not images.isfinite().all():
        raise ValueError("images must be finite, but some values are NaN or infinite")


def check_real_images(
    images: Any, image_shape: tuple[int, ...], uint8_range: PixelRange | None, output_range: PixelRange | None
) -> None:
    """Check images (N, *image_shape) to encode, and warn of those that lie in another range than the generator's.

    Args:
        images: The images.
        image_shape: The shape of one image of the generator.
        uint8_range: The range that uint8 images are mapped onto, or None if unknown.
        output_range: The range of the generator's output, or None if unknown.

    Raises:
        TypeError: No Tensor, or one that is neither floats nor uint8.
        ValueError: Another shape, or uint8 images without a range.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a Tensor, but got {type(images).__name__}")
    check_dense("images", images)
    if images.ndim == 0 or len(images) == 0 or tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"images must have shape (N, {', '.join(map(str, image_shape))}) with N >= 1, but got {tuple(images.shape)}"
            f"{shape_hint(tuple(images.shape), image_shape)}"
        )
    check_dtype(images)
    if images.dtype == torch.uint8 and uint8_range is None:
        raise ValueError(
            "the generator ends in neither Tanh nor Sigmoid, so the range of uint8 images is not known; "
            "give floats, or set model.pixel_range = (low, high)"
        )
    warn_range_mismatch(images, uint8_range or UNKNOWN_RANGE, output_range)


def warn_range_mismatch(images: Tensor, uint8_range: PixelRange, output_range: PixelRange | None) -> None:
    """Warn of floats, or of bytes mapped onto `uint8_range`, that the generator's last activation cannot match."""
    if images.dtype == torch.uint8 and images.max().item() == 1:
        warn(
            "uint8 images hold 0 and 1 only, of 0 to 255, and so are almost black; if they are black and white, use "
            "images * 255"
        )
    if output_range is None:
        return
    low, high = uint8_range if images.dtype == torch.uint8 else (images.min().item(), images.max().item())
    reaches = (
        f"data lies in [{low:.3g}, {high:.3g}], but the generator reaches [{output_range[0]:g}, {output_range[1]:g}]"
    )
    if low < output_range[0] - _RANGE_TOLERANCE or high > output_range[1] + _RANGE_TOLERANCE:
        warn(f"{reaches} only: D and Q never see such values in generated images; rescale the data")
    elif output_range == (-1.0, 1.0) and low >= 0 and high - low >= _FILLED:
        warn(f"{reaches}; if the data is scaled to [0, 1], use images * 2 - 1")


def known_range(images: Tensor) -> PixelRange | None:
    """The range that float images are scaled to: (0, 1) or (-1, 1) where they fill most of it; None for any other."""
    low, high = images.min().item(), images.max().item()
    for range_ in ((0.0, 1.0), (-1.0, 1.0)):
        span = range_[1] - range_[0]
        if low >= range_[0] and high <= range_[1] and high - low >= _FILLED * span:
            return range_
    return None

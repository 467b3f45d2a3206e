"""Checks of images before they are trained on."""

import warnings
from collections.abc import Sized
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from infogan_lib.data.pixels import PixelRange, check_dtype, shape_hint

_RANGE_TOLERANCE = 0.01


def check_images(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Check that images have the generator's shape, are floats or bytes, and are finite.

    Args:
        images: The images (N, *).
        image_shape: The shape of one image of the generator.

    Raises:
        TypeError: Another dtype.
        ValueError: Another shape, or values that are not finite.
    """
    check_shape_and_dtype(images, image_shape)
    if images.is_floating_point() and not images.isfinite().all():
        bad = int((~images.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"data must be finite, but {bad} of {len(images)} images hold NaN or infinite values")


def check_shape_and_dtype(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Check that images have the generator's shape, and are floats or bytes.

    Args:
        images: The images (N, *).
        image_shape: The shape of one image of the generator.

    Raises:
        TypeError: Another dtype.
        ValueError: Another shape.
    """
    if images.ndim > 0 and len(images) == 0:
        raise ValueError(f"a batch must hold images, but got an empty one of shape {tuple(images.shape)}")
    if tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"the generator makes images of shape {image_shape}, but the data has {tuple(images.shape[1:])}"
            f"{shape_hint(tuple(images.shape), image_shape)}"
        )
    check_dtype(images)


class BatchLimits(NamedTuple):
    """The smallest batch of a step.

    Attributes:
        min_micro_batch: The fewest images in a micro-batch.
        micro_batches: The number of micro-batches.
        reason: The layer or term that needs that many.
    """

    min_micro_batch: int
    micro_batches: int
    reason: str

    @property
    def min_batch_size(self) -> int:
        """The fewest images in a batch."""
        return self.min_micro_batch * self.micro_batches

    def check(self, size: int) -> None:
        """Check the size of a batch.

        Raises:
            ValueError: It is too small.
        """
        if size < self.min_batch_size:
            needed = self.min_micro_batch
            why = f", as {self.reason} needs {needed} in each part" if needed > 1 else ""
            raise ValueError(
                f"a batch of {size} images is too small: with accumulation_steps={self.micro_batches} a step takes at "
                f"least {self.min_batch_size}{why}; if it is a loader's last batch, use drop_last=True"
            )


def check_last_batch(loader: DataLoader, min_batch_size: int) -> None:
    """Check, before the first step, that the last batch of an epoch is large enough.

    Args:
        loader: The loader.
        min_batch_size: The fewest images in a batch.

    Raises:
        ValueError: It is too small.
    """
    batches, sampler = loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)
    if not isinstance(batches, BatchSampler) or not isinstance(sampler, Sized):
        return
    size, count = batches.batch_size, len(sampler)
    if not batches.drop_last and 0 < count % size < min_batch_size:
        raise ValueError(
            f"the loader's last batch holds {count % size} of {count} images, fewer than the {min_batch_size} "
            "that a step takes; make the loader with drop_last=True"
        )


def warn_range_mismatch(images: Tensor, uint8_range: PixelRange, output_range: PixelRange | None) -> None:
    """Warn of data that the generator's last activation cannot match.

    Args:
        images: The images, as floats or uint8.
        uint8_range: The range that uint8 images are mapped onto.
        output_range: The range of the generator's output, or None if unknown.
    """
    if output_range is None:
        return
    low, high = uint8_range if images.dtype == torch.uint8 else (images.min().item(), images.max().item())
    last = "Tanh" if output_range == (-1.0, 1.0) else "Sigmoid"
    mismatch = f"data lies in [{low:.3g}, {high:.3g}], but the generator ends in a {last} and reaches "
    if low < output_range[0] - _RANGE_TOLERANCE or high > output_range[1] + _RANGE_TOLERANCE:
        warnings.warn(
            f"{mismatch}[{output_range[0]:g}, {output_range[1]:g}] only: D will tell them apart by range; rescale the "
            "data",
            stacklevel=3,
        )
    elif last == "Tanh" and low >= 0 and high > _RANGE_TOLERANCE:
        warnings.warn(
            f"{mismatch}[-1, 1]; if the data is scaled to [0, 1], use images * 2 - 1",
            stacklevel=3,
        )

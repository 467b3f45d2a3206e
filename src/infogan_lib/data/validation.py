"""What must hold of images before they are trained on."""

import warnings
from collections.abc import Sized
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from infogan_lib.data.pixels import PixelRange, check_dtype


def check_images(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Images of the generator's shape, of a kind that can be trained on, and finite.

    Raises:
        TypeError, ValueError: saying what was found, what was expected and what to change.
    """
    check_shape_and_dtype(images, image_shape)
    if images.is_floating_point() and not images.isfinite().all():
        bad = int((~images.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"data must be finite, but {bad} of {len(images)} images hold NaN or infinite values")


def check_shape_and_dtype(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Images of the generator's shape, as floats or bytes.

    Raises:
        TypeError, ValueError: anything else.
    """
    if tuple(images.shape[1:]) != image_shape:
        hint = ""
        if tuple(images.shape) == image_shape:
            hint = "; this is one image and not a batch of them, which images.unsqueeze(0) would make it"
        elif (1, *images.shape[1:]) == image_shape:
            hint = "; add the channel with images.unsqueeze(1)"
        raise ValueError(
            f"the generator makes images of shape {image_shape}, but the data has {tuple(images.shape[1:])}{hint}"
        )
    check_dtype(images)


class BatchLimits(NamedTuple):
    """How small a batch of a step may be.

    Attributes:
        part: the fewest images in a micro-batch.
        parts: the number of micro-batches.
        reason: what needs that many.
    """

    part: int
    parts: int
    reason: str

    @property
    def smallest(self) -> int:
        """The fewest images in a batch."""
        return self.part * self.parts

    def check(self, size: int) -> None:
        """Raise ValueError if a batch is too small."""
        if size < self.smallest:
            why = f", as {self.reason} needs {self.part} in each part" if self.part > 1 else ""
            raise ValueError(
                f"a batch of {size} images is too small: with accumulation_steps={self.parts} a step takes at least "
                f"{self.smallest}{why}; if it is a loader's last batch, use drop_last=True"
            )


def check_last_batch(loader: DataLoader, smallest: int) -> None:
    """Refuse a loader whose last batch of an epoch would be too small, before the first step.

    Raises:
        ValueError: saying how many images are left over.
    """
    if loader.drop_last or loader.batch_size is None or not isinstance(loader.dataset, Sized):
        return
    left_over = len(loader.dataset) % loader.batch_size
    if 0 < left_over < smallest:
        raise ValueError(
            f"the loader's last batch holds {left_over} of {len(loader.dataset)} images, fewer than the {smallest} "
            "that a step takes; make the loader with drop_last=True"
        )


def warn_range_mismatch(images: Tensor, bytes_onto: PixelRange, reach: PixelRange | None) -> None:
    """Warn of data that the generator's last activation cannot match.

    Args:
        images: floats as they are, or uint8.
        bytes_onto: the range that uint8 images are mapped onto.
        reach: what the generator can make, or None where that is not known.
    """
    if reach is None:
        return
    low, high = bytes_onto if images.dtype == torch.uint8 else (images.min().item(), images.max().item())
    last = "Tanh" if reach == (-1.0, 1.0) else "Sigmoid"
    slack = 0.01
    found = f"data lies in [{low:.3g}, {high:.3g}], but the generator ends in a {last} and reaches "
    if low < reach[0] - slack or high > reach[1] + slack:
        warnings.warn(
            f"{found}[{reach[0]:g}, {reach[1]:g}] only: D will tell them apart by range; rescale the data",
            stacklevel=3,
        )
    elif last == "Tanh" and low >= 0 and high > slack:
        warnings.warn(
            f"{found}[-1, 1]; if the data is scaled to [0, 1], use images * 2 - 1",
            stacklevel=3,
        )

"""Checks of images before they are trained on."""

from collections.abc import Sized
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from infogan_lib._checks import check_dense, describe
from infogan_lib.data.pixels import check_dtype, shape_hint


def check_images(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Check that images have the generator's shape, are floats or bytes, and are finite; raise an error if not."""
    check_shape_and_dtype(images, image_shape)
    if images.is_floating_point() and not images.isfinite().all():
        bad = int((~images.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"data must be finite, but {bad} of {len(images)} images hold NaN or infinite values")


def check_shape_and_dtype(images: Tensor, image_shape: tuple[int, ...]) -> None:
    """Check that images have the generator's shape, and are floats or bytes; raise an error if not."""
    check_dense("images", images)
    if images.ndim > 0 and len(images) == 0:
        raise ValueError(f"a batch must hold images, but got an empty one of shape {tuple(images.shape)}")
    if tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"the generator makes images of shape {image_shape}, but the data has {tuple(images.shape[1:])}"
            f"{shape_hint(tuple(images.shape), image_shape)}"
        )
    check_dtype(images)


def check_augmented(name: str, images: Tensor, augmented: Any, step: int | None = None) -> Tensor:
    """What an augmentation, in a step where that is known, returned for a batch, if it is a batch of the same kind.

    Raises TypeError or ValueError naming the augmentation.
    """
    got, when = describe(augmented), "" if step is None else f" in step {step}"
    if not isinstance(augmented, Tensor):
        raise TypeError(f"{name} must return the images that it has changed, but{when} it returned {got}")
    check_dense(f"what {name} returns{when}", augmented)
    if augmented.shape != images.shape:
        raise ValueError(
            f"{name} must keep the shape of the images, but{when} it returned {got} for {describe(images)}"
        )
    if augmented.dtype != images.dtype or augmented.device != images.device:
        raise ValueError(
            f"{name} must keep the dtype and device of the images, {images.dtype} on {images.device}, but{when} it "
            f"returned {augmented.dtype} on {augmented.device}; convert them with .to(images)"
        )
    return augmented


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
        """Check the size of a batch. Raises ValueError if it is too small."""
        if size < self.min_batch_size:
            needed = self.min_micro_batch
            why = f", as {self.reason} needs {needed} in each part" if needed > 1 else ""
            raise ValueError(
                f"a batch of {size} images is too small: with accumulation_steps={self.micro_batches} a step takes at "
                f"least {self.min_batch_size}{why}; if it is a loader's last batch, use drop_last=True"
            )


def check_last_batch(loader: DataLoader, min_batch_size: int) -> None:
    """Check, before the first step, that the last batch of an epoch is large enough. Raises ValueError."""
    batches, sampler = loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)
    if not isinstance(batches, BatchSampler) or not isinstance(sampler, Sized):
        return
    size, count = batches.batch_size, len(sampler)
    if not batches.drop_last and 0 < count % size < min_batch_size:
        raise ValueError(
            f"the loader's last batch holds {count % size} of {count} images, fewer than the {min_batch_size} "
            "that a step takes; make the loader with drop_last=True"
        )

"""Labels beside real images: which of them are known, and batches in which enough of them are.

With 100 labels for 60,000 images a batch of 128 has one in five steps. So where the labels of all items are known
beforehand and some are missing, each batch comes with as many further images, drawn from those with a label.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from infogan_lib._checks import check_dense, describe, join_names
from infogan_lib.data.batch_images import describe_parts, extract_images, to_tensor
from infogan_lib.data.pixels import PixelRange, as_float
from infogan_lib.data.rng import derive_seed

UNKNOWN = -1
"""The label of an image whose label is not known."""


@dataclass(frozen=True, eq=False)
class LabeledBatch:
    """Real images, and labels of them or of further images.

    Attributes:
        images: The images (N, *image_shape).
        labels: Labels (N, L) as int64, one column per label code; `UNKNOWN` where one is not known.
        labeled_images: The images (N, *image_shape) that the labels belong to; None for `images`.
    """

    images: Tensor
    labels: Tensor
    labeled_images: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def tensors(self) -> list[Tensor]:
        """All that the batch holds."""
        return [part for part in (self.images, self.labels, self.labeled_images) if part is not None]

    def tail_labeled(self, n: int) -> "LabeledBatch":
        """The first n images without their labels, and the others with theirs."""
        return LabeledBatch(self.images[:n], self.labels[n:], self.images[n:])


Batch = Tensor | LabeledBatch
"""Real images as a step takes them."""


def images_of(batch: Batch) -> Tensor:
    """The images (N, *image_shape) of a batch."""
    return batch if isinstance(batch, Tensor) else batch.images


def tensors_of(batch: Batch | None) -> list[Tensor]:
    """The tensors of a batch, an empty list for None."""
    if batch is None:
        return []
    return batch.tensors if isinstance(batch, LabeledBatch) else [batch]


def batch_of(tensors: list[Tensor]) -> Batch | None:
    """The batch made of these tensors, or None if the list is empty."""
    if len(tensors) < 2:
        return tensors[0] if tensors else None
    return LabeledBatch(*tensors)


def as_floats(batch: Batch, to_device: Callable[[Tensor], Tensor], to_range: PixelRange, dtype: torch.dtype) -> Batch:
    """A batch on a device, with its images as floats; see `as_float`."""

    def moved(images: Tensor) -> Tensor:
        floats = as_float(to_device(images), to_range, dtype)
        return floats.clone() if floats.is_inference() else floats  # no gradient can be taken beside one

    if isinstance(batch, LabeledBatch):
        others = batch.labeled_images
        return LabeledBatch(moved(batch.images), to_device(batch.labels), None if others is None else moved(others))
    return moved(batch)


def _find_labels(batch: Any) -> Any:
    """The labels in a batch: the second part of a tuple or list, or the only tensor of integers in a dict; or None."""
    if isinstance(batch, (tuple, list)):
        return to_tensor(batch[1]) if len(batch) > 1 else None
    tensors = [to_tensor(value) for value in batch.values()] if isinstance(batch, Mapping) else []
    labels = [
        t for t in tensors if isinstance(t, Tensor) and t.ndim in (1, 2) and t.dtype in (torch.int32, torch.int64)
    ]
    return labels[0] if len(labels) == 1 else None


@dataclass(frozen=True)
class LabelReader:
    """Reads batches of images and labels, and checks the labels.

    Args:
        sizes: The number of labels of each label code, by name.
        image_key: The images' key in batches that are dicts; None to find them.
    """

    sizes: Mapping[str, int]
    image_key: str | None = None

    def __call__(self, batch: Any) -> LabeledBatch:
        """The images and labels of a batch, which may have been read already.

        Raises TypeError for anything but a tuple or list that starts with images and labels or a dict of both, and
        ValueError for labels of another number or out of range.
        """
        if isinstance(batch, LabeledBatch):
            return batch
        labels = _find_labels(batch)
        if labels is None:
            raise TypeError(
                f"the latent has the label code {join_names(self.sizes)}, so a batch must be (images, labels), or a "
                f"dict with images and one tensor of integers, with labels of {UNKNOWN} where one is unknown, but got "
                f"{describe_parts(batch)}; for data without labels use Categorical in place of Label"
            )
        images = extract_images(batch, self.image_key)
        return LabeledBatch(images, self.check(labels, len(images) if images.ndim else 0))

    def check(self, labels: Any, n: int) -> Tensor:
        """Labels (N,) or (N, L) of n images as (N, L) in int64.

        Raises TypeError for no Tensor of integers, and ValueError for another shape or labels out of range.
        """
        count = len(self.sizes)
        wanted = f"({n},)" if count == 1 else f"({n}, {count})"
        if not isinstance(labels, Tensor):
            remedy = "use torch.as_tensor"
            if isinstance(labels, int):
                remedy = "make batches of a list of items with a DataLoader"
            elif isinstance(labels, list) and any(label is None for label in labels):
                remedy = f"give {UNKNOWN} in place of None where a label is unknown"
            raise TypeError(f"labels must be a Tensor of integers, but got {describe(labels)}; {remedy}")
        check_dense("labels", labels)
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise TypeError(
                f"labels must be integers, {UNKNOWN} where one is unknown, but got {labels.dtype}; use labels.long()"
            )
        columns = (labels[:, None] if labels.ndim == 1 and count == 1 else labels).long()
        if tuple(columns.shape) != (n, count):
            raise ValueError(
                f"labels of {n} images must have shape {wanted} for the label code {join_names(self.sizes)}, but got "
                f"{tuple(labels.shape)}"
                + (f"; put them side by side with torch.stack([{', '.join(self.sizes)}], 1)" if count > 1 else "")
                + ("; labels.argmax(1) makes numbers of one-hot rows" if count == 1 and labels.ndim == 2 else "")
            )
        for (name, k), column in zip(self.sizes.items(), columns.unbind(1), strict=True):
            low, high = (int(end) for end in column.aminmax()) if n else (0, 0)
            if low < UNKNOWN or high >= k:
                raise ValueError(
                    f"labels of {name!r} must be from 0 to {k - 1}, or {UNKNOWN} where one is unknown, but got some "
                    f"from {low} to {high}; number the labels from 0, or give {name!r} as many categories"
                )
        return columns

    def check_known(self, labels: Tensor) -> Tensor:
        """Return the labels (N, L) of a whole data set if each code has some that are known; else raise ValueError."""
        for name, is_known in zip(self.sizes, (labels != UNKNOWN).any(0).tolist(), strict=True):
            if not is_known:
                raise ValueError(
                    f"no image has a label of {name!r}: all {len(labels)} are {UNKNOWN}; give some, or use Categorical "
                    "in place of Label for data without labels"
                )
        return labels

    def labels_of(self, dataset: Any, n: int) -> Tensor | None:
        """The labels (n, L) of a data set of n items, where it tells them without making the items; else None.

        They say which items to draw; the labels that are trained on are those of the items. A data set tells them if it
        is a `TensorDataset`, has an attribute `targets` or `labels`, or is a `Subset` of one that does.
        """
        if isinstance(dataset, Subset):
            labels = self.labels_of(dataset.dataset, len(dataset.dataset))  # type: ignore[arg-type]
            return None if labels is None else labels[torch.as_tensor(dataset.indices)]
        if isinstance(dataset, TensorDataset):
            return self.check(dataset.tensors[1], n) if len(dataset.tensors) > 1 else None
        try:
            return self.check(torch.as_tensor(getattr(dataset, "targets", getattr(dataset, "labels", None))), n)
        except (TypeError, ValueError, RuntimeError):
            return None


class LabeledItems:
    """Draws `size` labeled items beside each batch: in random order, each as often as any other in a batch.

    What it draws depends on the seed, the epoch and the batch alone.
    """

    def __init__(self, labels: Tensor, size: int, seed: int) -> None:
        self._labeled = (labels != UNKNOWN).any(1).nonzero()[:, 0].cpu()
        self._size, self._seed = size, seed

    @classmethod
    def beside(cls, labels: Tensor | None, size: int, seed: int) -> "LabeledItems | None":
        """The draws beside batches of some labels; None where these are unknown, all missing or all there."""
        if labels is None:
            return None
        is_known = labels != UNKNOWN
        return cls(labels, size, seed) if is_known.any() and not is_known.all() else None

    def __len__(self) -> int:
        return len(self._labeled)

    def draw(self, epoch: int, batch: int) -> Tensor:
        """The indices of the items beside a batch of an epoch, shape (size,)."""
        rng = torch.Generator().manual_seed(derive_seed(self._seed, "labels", epoch, batch))
        rounds = -(-self._size // len(self))
        order = torch.cat([torch.randperm(len(self), generator=rng) for _ in range(rounds)])
        return self._labeled[order[: self._size]]

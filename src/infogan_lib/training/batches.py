"""What a source of batches is: epochs in an order that is fixed, which can be entered at any batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from infogan_lib.training.randomness import derived_seed


class Batches(ABC):
    """Epochs of image batches that can be entered at any batch.

    Attributes:
        per_epoch: how many batches an epoch has, where that is certain.
        expected: how many it probably has; for a progress bar.
        no_position: why an epoch cannot be entered in its middle; None where it can.
        keeps_position: whether the data itself knows where it stands, so that `start` means nothing to it.
        random_access: whether any batch of any epoch can be made at once.
    """

    per_epoch: int | None = None
    expected: int | None = None
    no_position: str | None = None
    keeps_position: bool = False
    random_access: bool = False

    @abstractmethod
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        """The batches of an epoch, images only: all, or those from `start` on in an epoch that was begun before."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data beside the number of the epoch and of the batch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what a checkpoint kept, before `epoch` is called.

        Raises:
            ValueError: the data is not what it was.
        """
        mine = self.state_dict()
        for name in mine:
            if state.get(name) != mine[name]:
                raise ValueError(f"the run's data had {name} {state.get(name)}, and this data has {mine[name]}")


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..length-1 that depends on the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "data", epoch))
    return torch.randperm(length, generator=generator, device="cpu")


def images_of(batch: Any) -> Tensor:
    """The images of a batch: the batch itself, or the first part of an (images, labels, ...) tuple or list.

    Raises:
        TypeError: anything else.
    """
    images = batch[0] if isinstance(batch, (tuple, list)) and len(batch) > 0 else batch
    if not isinstance(images, Tensor):
        raise TypeError(
            "a batch must be a Tensor of images, or a tuple or list that starts with one, "
            f"but got {type(batch).__name__}" + (f" of {type(images).__name__}" if images is not batch else "")
        )
    return images

"""Copies of batches to the device that the host does not wait for, beside the step before.

The host launches steps ahead of the device. From pageable memory a copy is a wait; from pinned memory, on a stream of
its own, it runs while the device still computes the last step.
"""

import torch
from torch import Tensor

_SHARE = 0.5
"""The share of a device's free memory that a data set may take; the rest is for the training step."""


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether a data set is to be kept on a device; one that is too large for CUDA stays where it is."""
    if device.type != "cuda" or images.device.type != "cpu":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # what torch keeps for itself
    return images.numel() * images.element_size() <= _SHARE * free


class Transfer:
    """Moves batches to a device; for CUDA those of the host are pinned, and copied on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: Tensor) -> Tensor:
        """The batch on the device; one that lies there already is returned as it is."""
        if self._stream is None or batch.device.type != "cpu":
            return batch.to(self._device, non_blocking=True)
        # Torch keeps pinned memory until the copies out of it are done.
        pinned = batch.pin_memory()
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = pinned.to(self._device, non_blocking=True)
        computing.wait_stream(self._stream)
        moved.record_stream(computing)  # its memory was taken on the other stream
        return moved

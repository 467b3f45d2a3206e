"""The resumable stream: which pass over the data a run is in, and how many batches of it it has taken.

A pass is an epoch that was begun. Every pass has an order of its own, also one that ended early, so that short fits see
all of the data. A pass is entered again at the batch where it was left, and the batch before that is made once more to
see that the data is still the same.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from infogan_lib.data.dataset import Batches


class Position:
    """Where a run stands, over all of its fits.

    Attributes:
        number: of the pass that is under way, or comes next.
        offset: how many of its batches were taken.
        epochs: how many passes were completed.
        fits: the step and the epoch at which each call of `fit` began.
    """

    def __init__(self) -> None:
        self.number = self.offset = self.epochs = 0
        self.fits: list[tuple[int, int]] = []

    def begin_fit(self, index: int, step: int) -> tuple[int, int]:
        """The step and epoch at which the fit of this index began: now, in a new pass, unless it began already."""
        if index == len(self.fits):
            self.fits.append((step, self.epochs))
            if self.offset > 0:
                self.number, self.offset = self.number + 1, 0
        return self.fits[index]

    def end_epoch(self) -> None:
        """Count a completed pass."""
        self.epochs += 1
        self.number, self.offset = self.number + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {"number": self.number, "offset": self.offset, "epochs": self.epochs, "fits": list(self.fits)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where `state_dict` was taken."""
        self.number, self.offset, self.epochs = (int(state[name]) for name in ("number", "offset", "epochs"))
        self.fits = [(int(step), int(epoch)) for step, epoch in state["fits"]]


class DataStream:
    """Batches one after the other, from where a position says.

    Args:
        source: the data.
        position: where the run stands; moved on by `take`.
    """

    def __init__(self, source: Batches, position: Position) -> None:
        self.source = source
        self.position = position
        self._open: Iterator[Tensor] | None = None
        self._last: list[Tensor] = []  # the batches taken last, as many as may be pushed back
        self._again: list[Tensor] = []
        self._seen: str | None = None  # the fingerprint of the last batch taken, as a checkpoint had it

    @property
    def at_pass_start(self) -> bool:
        """Whether the next batch is the first to be taken since a pass was entered."""
        return self._open is None

    def take(self) -> Tensor | None:
        """The next batch of the pass; None at its end."""
        if self._again:
            self._last = [*self._last, self._again.pop(0)][-_PUSH_BACK:]
            return self._last[-1]
        if self._open is None:
            self._open = self._enter()
        batch = next(self._open, None)
        if batch is not None:
            self._last = [*self._last, batch][-_PUSH_BACK:]
            self.position.offset += 1
        return batch

    def push_back(self, count: int = 1) -> None:
        """Return the batches that were taken last to the stream, as the steps on them were rolled back."""
        self._again = self._last[len(self._last) - count :] + self._again
        self._last = self._last[: len(self._last) - count]

    def _enter(self) -> Iterator[Tensor]:
        number, offset = self.position.number, self.position.offset
        if self._seen is None or self.source.keeps_position:
            return self.source.epoch(number, offset or None)
        if offset == 0:
            if self.source.random_access and self.source.per_epoch:
                last = self.source.per_epoch
                self._compare(next(self.source.epoch(number - 1, last - 1), None), last, self.position.epochs - 1)
            return self.source.epoch(number)
        batches = self.source.epoch(number, offset - 1)
        self._compare(next(batches, None), offset, self.position.epochs)
        return batches

    def _compare(self, batch: Tensor | None, number: int, epoch: int) -> None:
        if batch is None or _fingerprint(batch) != self._seen:
            warnings.warn(
                f"batch {number} of epoch {epoch} is not what it was when the run was saved: the data has changed, or "
                "draws at random from where it cannot be put back. The run goes on, but not as if it had never stopped",
                stacklevel=6,
            )
        self._seen = None

    def at_end(self) -> bool:
        """Whether the pass is known to be over."""
        return self.position.offset == self.source.per_epoch

    def end_pass(self) -> None:
        """Close a completed pass."""
        self._open = None
        self.position.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data, with a fingerprint of the batch taken last."""
        counted = [*self._last, *self._again]
        seen = _fingerprint(counted[-1]) if counted else self._seen
        return {"source": self.source.state_dict(), "seen": seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where `state_dict` was taken, as far as the data is concerned."""
        self.source.load_state_dict(state["source"])
        self._seen, self._open, self._last, self._again = state["seen"], None, [], []

    def left(self) -> dict[str, Any]:
        """`state_dict` for a stream that goes on in this process, with the batch that was given back."""
        return {"state": self.state_dict(), "again": list(self._again)}

    def take_over(self, left: Mapping[str, Any]) -> None:
        """Stand where `left` was taken."""
        self.load_state_dict(left["state"])
        self._again = list(left["again"])


_PUSH_BACK = 2
"""A step is read one step late, so that two batches may have to come again."""


def _fingerprint(images: Tensor) -> str:
    data = images.detach().cpu().contiguous()
    return hashlib.sha256(data.view(torch.uint8).numpy().data).hexdigest()

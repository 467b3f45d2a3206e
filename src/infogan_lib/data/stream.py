"""The resumable stream: the epoch that a run is in, and the number of its batches that were taken.

Every epoch that was begun has an order of its own, including one that a fit ended early, so that short fits see all of
the data. A resumed run enters the epoch at the batch where it stopped; the batch before is made once more, to check
that the data has not changed.
"""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from typing_extensions import override

from infogan_lib._checks import one_line
from infogan_lib._schema import MAX_STEPS, Described, Int, Items, Kind, ListOf, Nullable, Record, Text
from infogan_lib._warnings import warn
from infogan_lib.data.dataset import BatchSource
from infogan_lib.data.labels import Batch, LabeledBatch

_MAX_PUSHED_BACK = 2
"""Steps are read one step late, so up to two batches may have to be taken again."""

_MAX_UNTRAINED = 1000
"""How many batches of an epoch may have been refused, and so taken without a step: at most one per call of `fit`."""


class Target(NamedTuple):
    """How far a call of `fit` trains: a number of steps or of epochs, and None for the other.

    Attributes:
        steps: The number of steps.
        epochs: The number of epochs.
    """

    steps: int | None
    epochs: int | None

    def end(self, start: tuple[int, int]) -> tuple[int | None, int | None]:
        """The step and the number of completed epochs at which a call ends that began at `start`."""
        step, epochs = start
        return None if self.steps is None else step + self.steps, None if self.epochs is None else epochs + self.epochs

    def is_reached(self, start: tuple[int, int], now: tuple[int, int]) -> bool:
        """Whether a call that began at `start` has come to its end."""
        return all(end is None or reached >= end for end, reached in zip(self.end(start), now, strict=True))


class Position(Described):
    """The position of a run in its data, over all of its fits.

    Attributes:
        epoch_index: The index of the epoch under way, or of the next one, of all that were begun.
        batch_index: The number of its batches that were taken.
        epochs: The number of completed epochs.
        fit_starts: The step and the number of completed epochs at which each call of `fit` began.
        fit_target: How far the last of these calls trains.
        stopped_fits: The indices of those that `InfoGANTrainer.stop` ended before that.
    """

    def __init__(self) -> None:
        self.epoch_index = self.batch_index = self.epochs = 0
        self.fit_starts: list[tuple[int, int]] = []
        self.fit_target = Target(None, None)
        self.stopped_fits: set[int] = set()

    def begin_fit(self, index: int, step: int, target: Target) -> tuple[int, int]:
        """Begin a call of `fit`, in a new epoch, unless it began before.

        Returns the step and the number of completed epochs at which it began.
        """
        if index == len(self.fit_starts):
            self.fit_starts.append((step, self.epochs))
            if self.batch_index > 0:
                self._next_epoch()
        self.fit_target = target
        self.stopped_fits.discard(index)
        return self.fit_starts[index]

    def end_fit(self, index: int, step: int) -> None:
        """End a call of `fit`, which was stopped if it did not train as far as it was called for."""
        if not self.fit_target.is_reached(self.fit_starts[index], (step, self.epochs)):
            self.stopped_fits.add(index)

    def last_fit_is_over(self, step: int) -> bool:
        """Whether the last call of `fit` was completed or stopped, after a number of steps."""
        last = len(self.fit_starts) - 1
        return last in self.stopped_fits or self.fit_target.is_reached(self.fit_starts[last], (step, self.epochs))

    def keep_last_fit(self) -> None:
        """Forget all calls of `fit` but the last, which becomes the first."""
        del self.fit_starts[:-1]
        self.stopped_fits.clear()

    def forget_fits(self) -> None:
        """Forget all calls of `fit`."""
        self.fit_starts.clear()
        self.stopped_fits.clear()

    def end_epoch(self) -> None:
        """Count a completed epoch."""
        self.epochs, self.epoch_index, self.batch_index = self.epochs + 1, self.epoch_index + 1, 0

    def _next_epoch(self) -> None:
        self.epoch_index, self.batch_index = self.epoch_index + 1, 0

    @property
    @override
    def schema(self) -> Kind:
        """Counts, and a pair of counts for each call of `fit`."""
        counts = {name: Int(high=MAX_STEPS) for name in ("epoch_index", "batch_index", "epochs")}
        count, target = Int(high=MAX_STEPS), Nullable(Int(1))
        fits = {"fit_starts": ListOf(Items((count, count))), "fit_target": Items((target, target))}
        fits |= {"stopped_fits": ListOf(Int())}
        return Record(counts | fits)

    @staticmethod
    def check_counts(state: Mapping[str, Any], step: int) -> None:
        """Check that the counts in a state, each checked by itself before, agree with each other and with the step.

        Raises ValueError, naming a field, if they do not.
        """
        starts, epochs, stopped = state["fit_starts"], state["epochs"], state["stopped_fits"]
        if epochs > state["epoch_index"]:
            raise ValueError(f"epochs is {epochs:,}, but epoch_index {state['epoch_index']:,}")
        for earlier, later in pairwise([*starts, (step, epochs)]):
            if any(before > after for before, after in zip(earlier, later, strict=True)):
                raise ValueError(f"fit_starts has {tuple(earlier)} before {tuple(later)}")
        if starts and state["fit_target"].count(None) != 1:
            raise ValueError("fit_target must be a number of steps or of epochs, and None for the other")
        if len(set(stopped)) != len(stopped) or any(index >= len(starts) for index in stopped):
            raise ValueError(f"stopped_fits must be different indices of {len(starts)} calls of fit")

    def state_dict(self) -> dict[str, Any]:
        """The position as plain data."""
        counts = {"epoch_index": self.epoch_index, "batch_index": self.batch_index, "epochs": self.epochs}
        fits = {"fit_starts": list(self.fit_starts), "fit_target": tuple(self.fit_target)}
        return counts | fits | {"stopped_fits": sorted(self.stopped_fits)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a position that `state_dict` returned."""
        self.epoch_index, self.batch_index = int(state["epoch_index"]), int(state["batch_index"])
        self.epochs = int(state["epochs"])
        self.fit_starts = [(int(step), int(epochs)) for step, epochs in state["fit_starts"]]
        self.fit_target = Target(*state["fit_target"])
        self.stopped_fits = set(state["stopped_fits"])


class DataStream(Described):
    """The batches from a position on, one after the other; the position advances with them.

    Attributes:
        taken: The number of batches that were taken and not returned.
    """

    def __init__(self, source: BatchSource, position: Position) -> None:
        self.source = source
        self.position = position
        self.taken = 0
        self._batches: Iterator[Batch] | None = None  # of the epoch under way
        self._taken: list[Batch] = []  # the last ones, as many as may be pushed back
        self._pushed_back: list[Batch] = []
        self._fingerprint: str | None = None  # of the last batch before, until one is taken from `_batches`
        self._has_ended = False  # whether the epoch is known to have no more batches beside those pushed back

    @property
    def at_epoch_start(self) -> bool:
        """Whether the next batch is the first one taken since an epoch was entered."""
        return self._batches is None

    @property
    def at_epoch_end(self) -> bool:
        """Whether the epoch is known to have no more batches."""
        return self.position.batch_index == self.source.batches_per_epoch

    @property
    def is_ahead(self) -> bool:
        """Whether data that keeps its own position is ahead of the run's, by batches to take again or by an end."""
        return self.source.is_stateful and (len(self._pushed_back) > 0 or self._has_ended)

    def next_batch(self) -> Batch | None:
        """The next batch of the epoch; None at its end. Raises ValueError if the data ends before that."""
        if self._pushed_back:
            batch, *self._pushed_back = self._pushed_back
            if self._batches is None:  # the epoch is entered after this batch, which is then made once more
                self._fingerprint = _fingerprint(batch)
        else:
            if self._has_ended or (self._batches is None and self.at_epoch_end):
                return None  # entering it would draw from the generators of a loader
            if self._batches is None:
                self._batches = self._enter_epoch()
            batch = next(self._batches, None)
            if batch is None and self.source.is_stateful and self.position.batch_index == 0:
                self._batches = self._enter_epoch()  # the call of `fit` before had left it at the end of an epoch
                batch = next(self._batches, None)
            if batch is None:
                self._check_end()
                self._has_ended = self.position.batch_index > 0
                return None
            self._fingerprint = None
        self.position.batch_index += 1
        self._taken, self.taken = [*self._taken, batch][-_MAX_PUSHED_BACK:], self.taken + 1
        return batch

    def _check_end(self) -> None:
        length, index = self.source.batches_per_epoch, self.position.batch_index
        if self.source.random_access and length is not None and index < length:
            self._batches = None
            raise ValueError(
                f"data ended after {index:,} of the {length:,} batches of epoch {self.position.epochs}: one of its "
                "items raised StopIteration; raise another error, or return the item"
            )

    def push_back(self, count: int = 1) -> None:
        """Return the last batches, two at most, because no steps were made on them or these were rolled back."""
        keep = len(self._taken) - count
        self._taken, self._pushed_back = self._taken[:keep], self._taken[keep:] + self._pushed_back
        self.taken -= count
        self.position.batch_index -= count

    def check_data(self) -> None:
        """Warn if the last batch is not what it was, in a run that takes none after it."""
        if self._fingerprint is not None and self.taken == 0 and self.source.random_access:
            try:
                self._enter_epoch()
            except Warning:  # where warnings are errors
                raise
            except Exception as error:  # a run that is complete stays so, whatever has become of its data
                warn(f"the last batch of the run cannot be compared with the data now: {one_line(error, 200)}")

    def _enter_epoch(self) -> Iterator[Batch]:
        index, start = self.position.epoch_index, self.position.batch_index
        if self._fingerprint is None or self.source.is_stateful:
            return self.source.epoch(index, start or None)
        if start == 0:
            if self.source.random_access and self.source.batches_per_epoch:
                last = self.source.batches_per_epoch
                batch = next(self.source.epoch(index - 1, last - 1), None)
                self._warn_if_changed(batch, last, self.position.epochs - 1)
            return self.source.epoch(index)
        batches = self.source.epoch(index, start - 1)
        self._warn_if_changed(next(batches, None), start, self.position.epochs)
        return batches

    def _warn_if_changed(self, batch: Batch | None, number: int, epoch: int) -> None:
        if batch is None or _fingerprint(batch) != self._fingerprint:
            warn(
                f"batch {number} of epoch {epoch} is not what it was when the run was saved: the data has changed, or "
                "it draws from a random generator that cannot be restored. The run resumes, but will differ from one "
                "that was not interrupted"
            )

    def end_epoch(self) -> None:
        """Close a completed epoch."""
        self._batches, self._has_ended = None, False
        self.position.end_epoch()

    @property
    @override
    def schema(self) -> Kind:
        """The state of the source, and the SHA-256 of a batch."""
        return Record({"source": self.source.schema, "fingerprint": Nullable(Text(64, "[0-9a-f]{64}"))})

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint saves of the data, with a fingerprint of the last batch."""
        fingerprint = _fingerprint(self._taken[-1]) if self._taken else self._fingerprint
        return {"source": self.source.state_dict(), "fingerprint": fingerprint}

    def check_reach(self, batch_index: int, step: int) -> None:
        """Check that so many steps can have led to a batch of an epoch, which is made again from its beginning.

        Raises ValueError if they cannot. Where the length of an epoch is known, `load_state_dict` compares it.
        """
        if self.source.batches_per_epoch is None and batch_index > step + _MAX_UNTRAINED:
            raise ValueError(f"batch_index is {batch_index:,}, after {step:,} steps")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of the data that `state_dict` returned; the position is restored by itself, before.

        Raises ValueError if the data is not what it was, or has no batch at the position.
        """
        self.source.load_state_dict(state["source"])
        index, length = self.position.batch_index, self.source.batches_per_epoch
        if length is not None and index > length:
            raise ValueError(f"the run was at batch {index:,} of an epoch, and this data has {length:,} batches")
        self._fingerprint, self._batches, self._taken, self._pushed_back = state["fingerprint"], None, [], []
        self._has_ended = False

    def snapshot(self) -> dict[str, Any]:
        """The state for a stream that continues in this process, with the batches that were pushed back."""
        return {"state": self.state_dict(), "pushed_back": list(self._pushed_back), "has_ended": self._has_ended}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue from where `snapshot` was taken.

        Batches that were pushed back are made anew where they can be: an error in them may have been mended.
        """
        self.load_state_dict(snapshot["state"])
        if not self.source.random_access:
            self._pushed_back, self._has_ended = list(snapshot["pushed_back"]), snapshot["has_ended"]


def _fingerprint(batch: Batch) -> str:
    digest = hashlib.sha256()
    for tensor in batch.tensors if isinstance(batch, LabeledBatch) else [batch]:
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

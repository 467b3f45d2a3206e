"""The metrics of a run, step by step.

What was recorded since the last checkpoint is in memory. A checkpoint writes it into a segment, a file that never
changes (`checkpoints.segments`), and small segments are merged into larger ones, as in a log-structured merge tree
(O'Neil et al., 1996): a value is rewritten O(log n) times up to the largest size, so neither a save nor the list of
segments grows with the run. Segments are read when their values are asked for, and the newest stay in memory.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from infogan_lib._checks import check_int, check_type, join_names, shorten
from infogan_lib._schema import MAX_STEPS, Array, ListOf, MapOf, Record
from infogan_lib._warnings import warn
from infogan_lib.checkpoints.disk import CheckpointError, fsync_dir, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.segments import HELD_BYTES, MAX_BYTES, Segment, spans, to_manifest
from infogan_lib.checkpoints.tensor_file import encode
from infogan_lib.history.display import history_html, history_text
from infogan_lib.history.metric_table import MetricTable, check_metric
from infogan_lib.history.records import EPOCH, STEPS, Column, Records, concatenate, read_records, write_records

_SEGMENT_BYTES = 2**23
"""The size up to which segments are merged; more in a history of which this is less than a thousandth."""

_MEMORY_BYTES = HELD_BYTES
"""The size of the segments that stay in memory."""

T = TypeVar("T")

_STATE = Record({"values": MapOf(Array(torch.float64, (None,))), "steps": MapOf(STEPS), "epochs": ListOf(EPOCH)})
"""What `History.state_dict` returns."""


class History(MetricTable):
    """The metrics of all steps: ``history["loss/d"]`` is an array of values, ``history.steps("loss/d")`` their steps.

    A metric that some steps do not report (G's, where D is updated more often) has fewer values than there are steps.
    A long history is read from the run folder; metrics that cannot be read any more are named in a warning and left
    out.
    """

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._in_memory: dict[str, Records] = {}  # of segments, by digest
        self._lost: set[str] = set()
        self._values: dict[str, array[float]] = {}  # since the last segment
        self._steps: dict[str, array[int]] = {}
        self._epochs = array("q")

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add metrics, numbers by name, of a step, which counts from 1. Raises TypeError or ValueError for others."""
        step = check_int("step", step, minimum=0, maximum=MAX_STEPS)
        for name, value in check_type("metrics", metrics, Mapping).items():
            number = check_metric(name, value)
            steps, values = self._steps.setdefault(name, array("q")), self._values.setdefault(name, array("d"))
            del steps[len(values) :]  # an interrupt may have come before the value
            steps.append(step)
            values.append(number)

    def truncate(self, step: int) -> None:
        """Remove the metrics of the steps after a given one, which no checkpoint holds yet."""
        for name in list(self._values):
            steps, values = self._steps[name], self._values[name]
            while values and steps[len(values) - 1] > step:
                values.pop()
            del steps[len(values) :]
            if not values:
                del self._values[name], self._steps[name]

    def record_epoch(self, step: int) -> None:
        """Add the end of an epoch, after so many steps."""
        self._epochs.append(step)

    def remove_epoch(self, step: int) -> None:
        """Remove the end of an epoch that was not completed after all; no checkpoint holds it yet."""
        while self._epochs and self._epochs[-1] >= step:
            self._epochs.pop()

    @property
    def epochs(self) -> list[int]:
        """The number of steps at the end of each completed epoch, in a new list."""
        segments, recent = self._as_of_now(lambda: _copied(self._epochs, np.int64))
        sealed = [records.epochs for records in map(self._read, segments) if records is not None]
        return np.concatenate([*sealed, recent]).tolist()

    def steps(self, name: str) -> NDArray[np.int64]:
        """The steps, from 1, of the values in ``history[name]``.

        Raises:
            KeyError: No metric of that name.
        """
        self._check_name(name)
        return np.concatenate([steps for steps, _ in self._columns(name)])

    def last(self, name: str, count: int) -> NDArray[np.float64]:
        """The newest values of a metric, as ``history[name][-count:]``, without reading those before.

        Args:
            name: The metric.
            count: The number of values, at least 1; all if there are fewer.

        Raises:
            KeyError: No metric of that name.
            TypeError: `count` is no whole number.
            ValueError: `count` is below 1.
        """
        self._check_name(name)
        count = check_int("count", count, minimum=1)
        parts: list[NDArray[np.float64]] = []
        for _, values in self._columns_backwards(name):
            parts.insert(0, values[-count:])
            if (count := count - len(parts[0])) == 0:
                break
        return np.concatenate(parts)

    def since(self, name: str, step: int) -> NDArray[np.float64]:
        """The values of a metric in the steps after a given one, without reading those before.

        Args:
            name: The metric.
            step: The number of the last step that is left out.

        Raises:
            KeyError: No metric of that name.
            TypeError, ValueError: `step` is no whole number of at least 0.
        """
        self._check_name(name)
        step = check_int("step", step, minimum=0)
        parts: list[NDArray[np.float64]] = []
        for steps, values in self._columns_backwards(name):
            parts.insert(0, values[steps > step])
            if len(steps) > 0 and steps[0] <= step:
                break
        return np.concatenate(parts)

    def state_dict(self) -> dict[str, Any]:
        """All metrics as tensors; metrics of the same steps share the tensor of steps."""
        sealed = [records for records in map(self._read, self._segments) if records is not None]
        records = concatenate([*sealed, self._recent_records()])
        values, steps = {}, {}
        for table in records.tables:
            shared = torch.from_numpy(table.steps)
            for name, row in zip(table.names, table.values, strict=True):
                values[name], steps[name] = torch.from_numpy(row), shared
        ordered = {name: values[name] for name in self}
        return {"values": ordered, "steps": {name: steps[name] for name in self}, "epochs": records.epochs.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        Raises:
            ValueError: A field that is missing, unknown or of another type, or a metric with other numbers of values
                and steps; the history is as it was.
        """
        _STATE.check(state, "history")
        lengths = [{name: len(numbers) for name, numbers in state[part].items()} for part in ("values", "steps")]
        if lengths[0] != lengths[1]:
            raise ValueError(f"its metrics have {lengths[0]} values and {lengths[1]} steps")
        self.restore([])
        for name, values in state["values"].items():
            if len(values):
                self._values[name] = array("d", values.numpy().tobytes())
                self._steps[name] = array("q", state["steps"][name].numpy().tobytes())
        self._epochs = array("q", state["epochs"])

    def seal(self, folder: Path) -> dict[str, Any]:
        """Write what was recorded since the last call, and make all segments be in a folder.

        Returns what the manifest of a checkpoint says of the history. Raises CheckpointError for an error of the disk;
        the history is then as it was.
        """
        with os_errors_as_checkpoint_errors(folder, "saving the history"):
            makedirs_synced(folder)  # again where it was removed, which costs what was in it and no more
            segments = self._sealed(folder)
            kept = [segment if segment.folder == folder else self._moved(segment, folder) for segment in segments]
            if kept != self._segments:
                fsync_dir(folder)
        new = ({}, {}, array("q")) if segments != self._segments else (self._values, self._steps, self._epochs)
        self._segments, (self._values, self._steps, self._epochs) = kept, new  # no interrupt comes between these
        self._trim()
        return to_manifest(kept)

    def restore(
        self,
        segments: Sequence[Segment],
        checkpoint: Path | None = None,
        held: Mapping[str, bytes] | None = None,
    ) -> None:
        """Replace the history by that of a checkpoint. The newest segments are read, and older ones when asked for.

        Those that are held were read with the checkpoint, and the run may have removed them since.

        A warning names the checkpoint, and says which of its segments are missing or damaged.
        """
        self._segments, self._in_memory, self._lost = list(segments), {}, set()
        self._values, self._steps, self._epochs = {}, {}, array("q")
        free, reasons = _MEMORY_BYTES, list[str]()
        for segment in reversed(segments):
            free -= segment.size
            try:
                if free >= 0:
                    self._in_memory[segment.digest] = read_records(segment, held)
                else:
                    segment.check_presence()
            except CheckpointError as error:
                self._lost.add(segment.digest)
                reasons.append(str(error))
        if reasons:
            lost = spans([segment for segment in segments if segment.digest in self._lost])
            warn(
                f"{checkpoint}: the weights and everything else are loaded, but {len(reasons)} of the {len(segments)} "
                f"files of its history cannot be read ({reasons[0]}), so the metrics of steps {lost} are lost, unless "
                f"you copy these files to {segments[0].folder} and load it again",
            )

    @override
    def __getitem__(self, name: str) -> NDArray[np.float64]:
        self._check_name(name)
        return np.concatenate([values for _, values in self._columns(name)])

    @override
    def __contains__(self, name: object) -> bool:
        sealed = (segment.names for segment in self._segments if segment.digest not in self._lost)
        return isinstance(name, str) and (bool(self._values.get(name)) or any(name in names for names in sealed))

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    @override
    def __len__(self) -> int:
        return len(self._names())

    @override
    def __repr__(self) -> str:
        newest = [steps[-1] for steps in list(self._steps.values()) if steps]
        return history_text(self, max([*newest, *(segment.last for segment in self._segments)], default=0))

    def _repr_html_(self) -> str:
        return history_html(self)

    def _names(self) -> dict[str, None]:
        """The metrics that can be read, in the order in which they were first recorded."""
        sealed = dict.fromkeys(segment.names for segment in self._segments if segment.digest not in self._lost)
        recent = [name for name, values in list(self._values.items()) if values]
        return dict.fromkeys([name for names in [*sealed, recent] for name in names])

    def _check_name(self, name: object) -> None:
        if name not in self:
            raise KeyError(f"no metric {shorten(name)} in this history; it has {join_names(self)}")

    def _columns(self, name: str) -> Iterator[Column]:
        """A metric's steps and values, segment by segment, and those since the last one."""
        yield from reversed([*self._columns_backwards(name)])

    def _columns_backwards(self, name: str) -> Iterator[Column]:
        """A metric's steps and values, those since the last segment first, and then segment by segment."""
        segments, recent = self._as_of_now(lambda: self._recent(name))
        yield recent
        for segment in reversed(segments):
            if name in segment.names and (records := self._read(segment)) is not None:
                yield records.column(name)

    def _as_of_now(self, recent: Callable[[], T]) -> tuple[list[Segment], T]:
        """The segments and what was recorded since, read again where another thread, which trains, has sealed it."""
        while True:
            segments, found = self._segments, recent()
            if segments is self._segments:
                return segments, found

    def _recent(self, name: str) -> Column:
        """A metric's steps and values since the last segment."""
        values = _copied(self._values.get(name, array("d")), np.float64)
        return _copied(self._steps.get(name, array("q")), np.int64)[: len(values)], values

    def _recent_records(self) -> Records:
        """All that was recorded since the last segment."""
        columns = {name: self._recent(name) for name, values in self._values.items() if values}
        return Records.of(columns, np.array(self._epochs, np.int64))

    def _read(self, segment: Segment) -> Records | None:
        """The records of a segment; None if they are lost, of which a warning says so the first time."""
        if segment.digest in self._lost:
            return None
        records = self._in_memory.get(segment.digest)
        if records is None:
            try:
                records = read_records(segment)
            except CheckpointError as error:
                self._lost.add(segment.digest)
                warn(f"{error}; the metrics of steps {spans([segment])} are lost")
                return None
            self._in_memory[segment.digest] = records
            self._trim()
        return records

    def _sealed(self, folder: Path) -> list[Segment]:
        """All segments, the last of them new if anything was recorded."""
        merged = [self._recent_records()]
        if not merged[0].tables and not len(merged[0].epochs):
            return self._segments
        size = len(encode(merged[0].state_dict()))
        segments = list(self._segments)
        limit = min(max(_SEGMENT_BYTES, sum(segment.size for segment in segments) // 1024), MAX_BYTES // 2)
        while segments and segments[-1].size <= min(2 * size, limit - size):
            records = self._read(segments[-1])
            if records is None:
                break
            size += segments.pop().size
            merged.insert(0, records)
        records = concatenate(merged)
        segment = write_records(folder, records)
        self._in_memory[segment.digest] = records
        return [*segments, segment]

    def _moved(self, segment: Segment, folder: Path) -> Segment:
        """A segment in another folder, if it can be read."""
        if segment.digest in self._lost:
            return segment
        records = self._in_memory.get(segment.digest)
        try:
            return segment.in_folder(folder)
        except CheckpointError:
            if records is not None:
                return write_records(folder, records)
            self._read(segment)  # warns of the loss
            return segment

    def _trim(self) -> None:
        """Forget the records of old segments, which can be read again, and those of segments that were merged."""
        free, kept = _MEMORY_BYTES, dict[str, Records]()
        for segment in reversed(self._segments):
            if segment.digest in self._in_memory:
                free -= segment.size
                if free < 0:
                    break
                kept[segment.digest] = self._in_memory[segment.digest]
        self._in_memory = kept


def _copied(numbers: "array[Any]", dtype: type[np.generic]) -> NDArray[Any]:
    """A copy made at once: while numpy copied an array itself, another thread could not append to it."""
    return np.frombuffer(numbers[:], dtype)

"""Metrics over some steps as tables, in memory and in a segment of the history.

Most metrics of a run are recorded at the same steps. They share a table: n steps, and a row of n values for each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from infogan_lib._schema import Array, Int, ListOf, Record, Text
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.segments import Segment, write_segment

Column = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The steps and the values of a metric, shape (n,) each."""

STEPS, EPOCH = Array(torch.int64, (None,)), Int()

_TABLE = {"names": ListOf(Text()), "steps": STEPS, "values": Array(torch.float64, (None, None))}

CONTENT = Record({"tables": ListOf(Record(_TABLE)), "epochs": Array(torch.int64, (None,), 0)})
"""The content of a segment."""


class Table(NamedTuple):
    """Metrics that were recorded at the same steps."""

    names: list[str]
    steps: NDArray[np.int64]  # (n,)
    values: NDArray[np.float64]  # (names, n)


class Records(NamedTuple):
    """What was recorded over some steps: the metrics in the order in which they came, each in one table."""

    names: Sequence[str]
    tables: list[Table]
    epochs: NDArray[np.int64]

    @classmethod
    def of(cls, columns: Mapping[str, Column], epochs: NDArray[np.int64]) -> "Records":
        """Records of metrics by name, and the numbers of steps at the ends of epochs."""
        groups: dict[bytes, list[str]] = {}
        for name, (steps, _) in columns.items():
            groups.setdefault(steps.tobytes(), []).append(name)
        tables = [
            Table(names, columns[names[0]][0], np.stack([columns[name][1] for name in names]))
            for names in groups.values()
        ]
        return cls(list(columns), tables, epochs)

    def state_dict(self) -> dict[str, Any]:
        """The content of a segment."""
        tables = [
            {"names": names, "steps": torch.from_numpy(steps), "values": torch.from_numpy(values)}
            for names, steps, values in self.tables
        ]
        return {"tables": tables, "epochs": torch.from_numpy(self.epochs)}

    def column(self, name: str) -> Column:
        """The steps and values of a metric; empty if it was not recorded."""
        for names, steps, values in self.tables:
            if name in names:
                return steps, values[names.index(name)]
        return np.empty(0, np.int64), np.empty(0)


def concatenate(parts: Sequence[Records]) -> Records:
    """Records of successive steps as one."""
    if len(parts) == 1:
        return parts[0]
    columns = {}
    for name in dict.fromkeys(name for records in parts for name in records.names):
        steps, values = zip(*(records.column(name) for records in parts), strict=True)
        columns[name] = np.concatenate(steps), np.concatenate(values)
    return Records.of(columns, np.concatenate([records.epochs for records in parts]))


def write_records(folder: Path, records: Records) -> Segment:
    """Write records that are not empty into a folder of segments, which is yet to be synced."""
    steps = [steps for steps in (*(table.steps for table in records.tables), records.epochs) if len(steps)]
    first, last = min(int(part[0]) for part in steps), max(int(part[-1]) for part in steps)
    return write_segment(folder, records.state_dict(), records.names, first, last)


def read_records(segment: Segment, held: Mapping[str, bytes] | None = None) -> Records:
    """The records in a segment. Raises CheckpointError if it is missing or damaged, or holds something else."""
    state = segment.read(held)
    try:
        CONTENT.check(state, "history")
    except ValueError as error:
        raise CheckpointError(segment.path, f"it does not hold a history: {error}") from error
    tables = [Table(table["names"], table["steps"].numpy(), table["values"].numpy()) for table in state["tables"]]
    is_sound = all(table.values.shape == (len(table.names), len(table.steps)) for table in tables)
    if not is_sound or sorted(name for table in tables for name in table.names) != sorted(set(segment.names)):
        raise CheckpointError(segment.path, "it does not hold the metrics that its checkpoint names")
    return Records(segment.names, tables, state["epochs"].numpy())

"""Metrics by step as a table: a row for each step, a column for each metric."""

import csv
import io
import math
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from infogan_lib._checks import check_path, describe, shorten
from infogan_lib.checkpoints.together import write_whole

if TYPE_CHECKING:
    from pandas import DataFrame


def check_metric(name: object, value: object) -> float:
    """Check that a metric can be saved, and loaded again; returns its value.

    Raises:
        TypeError: a name that is no text, or a value that is no number.
    """
    try:
        if type(name) is str and isinstance(value, (float, SupportsFloat)):
            return float(value)
    except Exception:  # of the value's own __float__
        pass
    raise TypeError(f"a metric must be text: a number, but got {shorten(name)}: {describe(value)}")


class MetricTable(Mapping[str, NDArray[np.float64]]):
    """Arrays of values by the name of the metric, which can be written as one table."""

    @abstractmethod
    def steps(self, name: str) -> NDArray[np.int64]:
        """The steps of the values of a metric."""

    def to_frame(self) -> "DataFrame":
        """The metrics as a pandas DataFrame: a row for each step, which is the index, and a column for each metric.

        A step that did not report a metric has NaN there.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install pandas; to_csv does without") from error
        steps, columns = self._table()
        return pandas.DataFrame(columns, index=pandas.Index(steps, name="step"))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the metrics as a CSV file: a row for each step, a column for each metric.

        The cell of a metric that a step did not report is empty; values that are not finite are nan, inf and -inf.

        Args:
            path: The file. Its folder is made, and an existing file is replaced.

        Raises:
            ValueError: The path is that of a folder.
            OSError: The file cannot be written.
        """
        file_path = check_path("path", path)
        if file_path.is_dir():
            raise ValueError(f"path must be the path of a file, but got {describe(path)}, which is a folder")
        steps, columns = self._table()
        recorded = [np.isin(steps, self.steps(name)) for name in columns]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", *columns])
        writer.writerows(_rows(steps, list(columns.values()), recorded))
        write_whole(file_path, text.getvalue().encode())

    def _table(self) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """All steps in order, and for each metric its values in them, NaN where there is none."""
        own = {name: self.steps(name) for name in self}
        steps = np.unique(np.concatenate([np.empty(0, np.int64), *own.values()]))
        columns = {name: np.full(len(steps), math.nan) for name in own}
        for name, column in columns.items():
            column[np.searchsorted(steps, own[name])] = self[name]
        return steps, columns


def _rows(
    steps: NDArray[np.int64], columns: list[NDArray[np.float64]], recorded: list[NDArray[np.bool_]]
) -> Iterator[list[str]]:
    for i, step in enumerate(steps.tolist()):
        values = (repr(float(column[i])) if mask[i] else "" for column, mask in zip(columns, recorded, strict=True))
        yield [str(step), *values]

"""The history as a table: a DataFrame and a CSV file."""

import csv
import math
import sys

import numpy as np
import pytest

import infogan_lib as ig


def history_of_two_rates():
    history = ig.History()
    for step in range(1, 6):
        history.record(step, {"loss/d": 0.1 * step} | ({"loss/g": 1 / 3} if step % 2 == 0 else {}))
    history.record(6, {"grad_norm": math.inf, "other": math.nan})
    return history


def test_a_frame_has_a_row_for_each_step():
    pytest.importorskip("pandas")
    frame = history_of_two_rates().to_frame()
    assert frame.index.name == "step"
    assert frame.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert list(frame.columns) == ["loss/d", "loss/g", "grad_norm", "other"]
    assert frame["loss/g"].isna().tolist() == [True, False, True, False, True, True]
    assert frame["loss/d"][3] == 0.1 * 3


def test_a_csv_file_has_every_value_exactly(tmp_path):
    history = history_of_two_rates()
    history.to_csv(tmp_path / "deep" / "metrics.csv")
    with (tmp_path / "deep" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["loss/g"] for row in rows] == ["", repr(1 / 3), "", repr(1 / 3), "", ""]
    assert np.array_equal([float(row["loss/d"]) for row in rows[:5]], history["loss/d"])
    assert rows[5] == {"step": "6", "loss/d": "", "loss/g": "", "grad_norm": "inf", "other": "nan"}


def test_an_empty_history_is_a_table_without_rows(tmp_path):
    ig.History().to_csv(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "step\n"


def test_a_missing_pandas_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        history_of_two_rates().to_frame()

"""Reliability and coverage by hand."""

import math

import numpy as np
import pytest

from infogan_lib.metrics import coverage, reliability


def test_reliability_by_hand():
    result = reliability([0.05, 0.95, 0.9, 1.0, 0.55], [False, True, False, True, True], bins=10)
    assert result.counts.tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert result.accuracy[[0, 5, 9]].tolist() == pytest.approx([0, 1, 2 / 3])
    assert result.confidence[[0, 5, 9]].tolist() == pytest.approx([0.05, 0.55, 2.85 / 3])
    assert np.isnan(result.accuracy[1:5]).all()
    assert result.error == pytest.approx((0.05 + 0.45 + 3 * (2.85 / 3 - 2 / 3)) / 5)


def test_coverage_by_hand():
    result = coverage([0.5, 0.4, 0.3, 0.95], levels=3)
    assert result.levels.tolist() == [0.25, 0.5, 0.75]
    assert result.covered.tolist() == [0.5, 0.75, 0.75]
    assert result.error == pytest.approx(0.5 / 3)
    even = coverage((np.arange(1000) + 0.5) / 1000)
    assert even.error < 1e-3
    assert coverage([0.5]).covered.tolist() == [1.0] * 10
    assert coverage([0.5], levels=1).error == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability([], []), r"must both have shape \(N,\), but got \(0,\)"),
        (lambda: reliability([0.5], [True, False]), r"but got \(1,\) and \(2,\)"),
        (lambda: reliability([1.5], [True]), "confidence must lie between 0 and 1, but got 1.5"),
        (lambda: reliability([0.5], [0.5]), "correct must be true or false"),
        (lambda: reliability([math.nan], [True]), "confidence must lie between 0 and 1"),
        (lambda: reliability([0.5], [True], bins=0), "bins must be a whole number of at least 1"),
        (lambda: coverage([]), "at least one, but got 0"),
        (lambda: coverage([math.nan]), "quantiles must be numbers between 0 and 1"),
    ],
)
def test_bad_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Calibration: whether a posterior is as sure as it is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infogan_lib._checks import check_int


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against what came of it, in bins of equal width.

    Attributes:
        edges: of the bins, shape (bins + 1,).
        counts: cases in each bin, shape (bins,).
        confidence: their mean confidence, shape (bins,); NaN in an empty bin.
        accuracy: the share of them that was right, shape (bins,); NaN in an empty bin.
        error: the expected calibration error, the mean of |accuracy - confidence| over all cases, 0 to 1.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


def reliability(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> Reliability:
    """The reliability curve of N cases.

    Args:
        confidence: how sure Q was of its answer, 0 to 1, shape (N,).
        correct: whether the answer was right, shape (N,).
        bins: how many, over 0 to 1.

    Raises:
        ValueError: arrays of different lengths, empty, or confidences outside 0 to 1.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.ndim != 1 or len(sure) == 0 or sure.shape != right.shape:
        raise ValueError(f"confidence and correct must both have shape (N,), but got {sure.shape} and {right.shape}")
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():
        raise ValueError(f"confidence must lie between 0 and 1, but got {sure.min():g} to {sure.max():g}")
    edges = np.linspace(0, 1, check_int("bins", bins, minimum=1) + 1)
    of = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, bins - 1)
    counts = np.bincount(of, minlength=bins)
    means = [_mean_by(values, of, counts) for values in (sure, right)]
    gaps = np.abs(means[1] - means[0])
    error = float((gaps[counts > 0] * counts[counts > 0]).sum() / len(sure))
    return Reliability(edges, counts, means[0], means[1], error)


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often a continuous code lies within the central intervals of Q's posterior: whether its scale is right.

    Attributes:
        levels: the probability that each interval should hold, shape (levels,).
        covered: the share of codes that it does hold, shape (levels,).
        error: the mean of |covered - level|, 0 to 1.
    """

    levels: NDArray[np.float64]
    covered: NDArray[np.float64]
    error: float


def coverage(quantiles: ArrayLike, *, levels: int = 10) -> Coverage:
    """The coverage of central intervals.

    Args:
        quantiles: the code's quantile under its posterior, 0 to 1, of any shape.
        levels: how many intervals, evenly spaced between those of probability 0 and 1, which say nothing.

    Raises:
        ValueError: no quantiles, or some outside 0 to 1.
    """
    given = np.asarray(quantiles, dtype=np.float64).ravel()
    if len(given) == 0 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, at least one, but got {len(given)} of them")
    wanted = np.linspace(0, 1, check_int("levels", levels, minimum=1) + 2)[1:-1]
    covered = (2 * np.abs(given - 0.5) <= wanted[:, None] + 1e-12).mean(axis=1)
    return Coverage(wanted, covered, float(np.abs(covered - wanted).mean()))


def _mean_by(values: NDArray[np.float64], of: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.bincount(of, weights=values, minlength=len(counts))
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)

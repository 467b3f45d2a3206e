"""Calibration: whether the confidence of a posterior matches how often it is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from infogan_lib._checks import check_int, describe
from infogan_lib.metrics._arrays import MAX_BINS, FloatArray, IntArray, to_floats


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy against confidence, in bins of equal width.

    Attributes:
        edges: Edges of the bins, shape (bins + 1,).
        counts: Number of predictions in each bin, shape (bins,).
        confidence: Their mean confidence, shape (bins,); NaN in an empty bin.
        accuracy: Fraction of them that is correct, shape (bins,); NaN in an empty bin.
        error: Expected calibration error, the mean of |accuracy - confidence| over all predictions, 0 to 1.
    """

    edges: FloatArray
    counts: IntArray
    confidence: FloatArray
    accuracy: FloatArray
    error: float


def reliability(confidence: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> Reliability:
    """The reliability curve of N predictions.

    Args:
        confidence: Probability that the posterior gives to its prediction, 0 to 1, shape (N,).
        correct: Whether the prediction is correct, shape (N,).
        bins: Number of bins between 0 and 1.

    Raises:
        TypeError: If `bins` is not a whole number.
        ValueError: If arrays differ in length or are empty, confidences lie outside 0 to 1, or `bins` is below 1.
    """
    probability, hit = to_floats("confidence", confidence), to_floats("correct", correct)
    if probability.ndim != 1 or len(probability) == 0 or probability.shape != hit.shape:
        raise ValueError(
            f"confidence and correct must both have shape (N,), but got {probability.shape} and {hit.shape}"
        )
    if not ((hit == 0) | (hit == 1)).all():
        raise ValueError(f"correct must be true or false for each prediction, but got {describe(correct)}")
    if not ((probability >= 0) & (probability <= 1 + 1e-6)).all():
        raise ValueError(f"confidence must lie between 0 and 1, but got {probability.min():g} to {probability.max():g}")
    bins = check_int("bins", bins, minimum=1, maximum=MAX_BINS)
    edges = np.linspace(0, 1, bins + 1)
    indices = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    counts = np.bincount(indices, minlength=bins)
    mean_confidence, accuracy = (_mean_per_bin(values, indices, counts) for values in (probability, hit))
    error = np.nansum(np.abs(accuracy - mean_confidence) * counts) / len(probability)
    return Reliability(edges, counts, mean_confidence, accuracy, float(error))


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often the central intervals of a posterior contain a continuous code: whether its scale is right.

    Attributes:
        levels: Nominal probability of each interval, shape (levels,).
        covered: Fraction of codes that each interval contains, shape (levels,).
        error: Mean of |covered - level|, 0 to 1.
    """

    levels: FloatArray
    covered: FloatArray
    error: float


def coverage(quantiles: ArrayLike, *, levels: int = 10) -> Coverage:
    """The coverage of central intervals.

    Args:
        quantiles: Cumulative probabilities of the codes under their posteriors, 0 to 1, any shape.
        levels: Number of intervals, with probabilities evenly spaced strictly between 0 and 1.

    Raises:
        TypeError: If `levels` is not a whole number.
        ValueError: If there are no quantiles, some lie outside 0 to 1, or `levels` is below 1.
    """
    values = to_floats("quantiles", quantiles).ravel()
    if len(values) == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"quantiles must be numbers between 0 and 1, at least one, but got {len(values)} of them")
    nominal = np.linspace(0, 1, check_int("levels", levels, minimum=1, maximum=MAX_BINS) + 2)[1:-1]
    covered = np.searchsorted(np.sort(2 * np.abs(values - 0.5)), nominal + 1e-12, side="right") / len(values)
    return Coverage(nominal, covered, float(np.abs(covered - nominal).mean()))


def _mean_per_bin(values: FloatArray, indices: IntArray, counts: IntArray) -> FloatArray:
    sums = np.bincount(indices, weights=values, minlength=len(counts))
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)

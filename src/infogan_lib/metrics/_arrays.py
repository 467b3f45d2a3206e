"""Validation, scaling and splitting of codes and the factors of the same samples.

No score depends on the scale of a code, so codes are divided by their largest absolute value before anything is summed:
no sum overflows, however large they are.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infogan_lib._checks import check_dense, check_seed, describe

FloatArray = NDArray[np.float64]

IntArray = NDArray[np.int64]

MAX_BINS = 2**16
"""The most bins of a histogram: more are a typing error, and might not fit into memory."""


def make_rng(seed: int) -> np.random.Generator:
    """A random number generator seeded with an int of at least 0."""
    return np.random.default_rng(check_seed(seed))


def to_array(name: str, values: ArrayLike | Tensor) -> NDArray[Any]:
    """Convert to an array, or raise an error that names it; a tensor may be on any device and require gradients."""
    if isinstance(values, Tensor):
        values = check_dense(name, values).detach().cpu().resolve_conj().resolve_neg()
        values = values.float() if values.is_floating_point() and values.itemsize < 4 else values
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must have no masked values; leave out the rows that have some")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, MemoryError) as error:  # rows of different lengths, or a dtype that numpy has not
        raise TypeError(f"{name} must be an array of numbers, but got {describe(values)}") from error


def to_floats(name: str, values: ArrayLike | Tensor) -> FloatArray:
    """Convert to an array of float64, or raise an error that names it."""
    array = to_array(name, values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, but got {describe(values)}")
    return array.astype(np.float64)


def _to_table(name: str, values: ArrayLike | Tensor, width: str, column: str) -> NDArray[Any]:
    array = to_array(name, values)
    if array.ndim != 2 or 0 in array.shape:
        hint = f"; give one {column} as {name}[:, None]" if array.ndim == 1 and len(array) else ""
        raise ValueError(
            f"{name} must have shape (N, {width}) with N and {width} at least 1, but got {array.shape}{hint}"
        )
    return array


def check_codes(codes: ArrayLike | Tensor, *, name: str = "codes") -> FloatArray:
    """Return codes of shape (N, D) as finite float64 values, or raise naming them."""
    array = _to_table(name, codes, "D", "code")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, but got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but some are NaN or infinite; check the encoder")
    return array.astype(np.float64)


def check_factors(factors: ArrayLike | Tensor) -> IntArray:
    """Return factors of shape (N, K) with the values of each column renumbered from 0, or raise naming the column."""
    array = _to_table("factors", factors, "K", "factor")
    if array.dtype.kind not in "iub":
        raise TypeError(f"factors must be whole numbers, but got {array.dtype}; number their values with np.unique")
    numbered = np.empty(array.shape, dtype=np.int64)
    for k, column in enumerate(array.T):
        values, numbered[:, k] = np.unique(column, return_inverse=True)
        if len(values) < 2:
            raise ValueError(f"factor {k} is {values[0]} in all samples, so no code can predict it; leave it out")
    return numbered


def check_samples(
    codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, min_codes: int = 1, min_factors: int = 1
) -> tuple[FloatArray, IntArray]:
    """Codes (N, D) as float64, and factors (N, K) renumbered from 0, of the same N samples.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: If shapes or lengths do not fit, codes are NaN or infinite, a factor is constant, or there are fewer
            codes or factors than the score needs.
    """
    checked_codes, checked_factors = check_codes(codes), check_factors(factors)
    (n, d), (num_factor_rows, k) = checked_codes.shape, checked_factors.shape
    if n != num_factor_rows:
        raise ValueError(f"codes and factors must be equally long, but got {n} and {num_factor_rows}")
    for name, count, minimum in (("codes", d, min_codes), ("factors", k, min_factors)):
        if count < minimum:
            raise ValueError(f"this score compares {name}, so it needs at least {minimum} of them, but got {count}")
    return checked_codes, checked_factors


def standardize(codes: FloatArray) -> FloatArray:
    """Scale each column of codes (N, D) to mean 0 and variance 1; constant columns become 0."""
    scaled = codes / max_abs(codes)
    centered = scaled - scaled.mean(axis=0)
    std = np.where(np.ptp(scaled, axis=0) > 0, centered.std(axis=0), 0.0)
    return np.divide(centered, std, out=np.zeros_like(codes), where=std > 0)


def max_abs(codes: FloatArray) -> FloatArray:
    """The largest absolute value of each column of codes (N, D), shape (D,); 1 for columns of zeros."""
    largest = np.abs(codes).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


class Split(NamedTuple):
    """Samples to fit on and held-out samples to score on."""

    train_codes: FloatArray
    train_factors: IntArray
    test_codes: FloatArray
    test_factors: IntArray


def split(codes: FloatArray, factors: IntArray, rng: np.random.Generator) -> Split:
    """Hold out a random quarter. Raises ValueError if fewer than two values of a factor occur in both parts."""
    order, num_test = rng.permutation(len(codes)), len(codes) // 4
    train, test = order[num_test:], order[:num_test]
    for k, column in enumerate(factors.T):
        if len(np.intersect1d(column[train], column[test])) < 2:
            raise ValueError(
                f"of factor {k}, fewer than two values occur both among the {len(train)} samples to fit on and the "
                f"{num_test} held out; give more samples than {len(codes)}, or more of its rarer values"
            )
    return Split(codes[train], factors[train], codes[test], factors[test])

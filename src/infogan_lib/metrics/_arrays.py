"""Codes and factors of the same samples: what is refused, how they are put to scale, and what is held out.

No score depends on the scale of a code, so codes are divided by their largest value before anything is summed: no sum
overflows, however large they are.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infogan_lib._checks import check_int

Reals = NDArray[np.float64]

Wholes = NDArray[np.int64]


def seeded(seed: int) -> np.random.Generator:
    """A stream of its own for a seed of at least 0."""
    return np.random.default_rng(check_int("seed", seed, minimum=0))


def array_of(values: ArrayLike | Tensor) -> NDArray[Any]:
    """An array, of a tensor on any device too."""
    return np.asarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)


def real_codes(codes: ArrayLike | Tensor, *, name: str = "codes") -> Reals:
    """Codes of shape (N, D) as finite float64 numbers, or an error that names them."""
    array = array_of(codes)
    if array.ndim != 2 or 0 in array.shape:
        hint = f"; give one code as {name}[:, None]" if array.ndim == 1 and len(array) else ""
        raise ValueError(f"{name} must have shape (N, D) with N and D at least 1, but got {array.shape}{hint}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, but got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but some are NaN or infinite; look at the encoder")
    return array.astype(np.float64)


def whole_factors(factors: ArrayLike | Tensor) -> Wholes:
    """Factors of shape (N, K), each column renumbered from 0 without gaps, or an error that names the column."""
    array = array_of(factors)
    if array.ndim != 2 or 0 in array.shape:
        hint = "; give one factor as factors[:, None]" if array.ndim == 1 and len(array) else ""
        raise ValueError(f"factors must have shape (N, K) with N and K at least 1, but got {array.shape}{hint}")
    if array.dtype.kind not in "iub":
        raise TypeError(f"factors must be whole numbers, but got {array.dtype}; number their values with np.unique")
    numbered = np.empty(array.shape, dtype=np.int64)
    for k, column in enumerate(array.T):
        values, numbered[:, k] = np.unique(column, return_inverse=True)
        if len(values) < 2:
            raise ValueError(f"factor {k} is {values[0]} in all samples, so nothing can be said of it; leave it out")
    return numbered


def samples(
    codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, least_codes: int = 1, least_factors: int = 1
) -> tuple[Reals, Wholes]:
    """Codes (N, D) as float64, and factors (N, K) numbered from 0.

    Raises:
        TypeError: codes that are no real numbers, or factors that are no whole ones.
        ValueError: other shapes, lengths that differ, NaN or infinite codes, a constant factor, or fewer codes or
            factors than the score needs.
    """
    found, true = real_codes(codes), whole_factors(factors)
    if len(found) != len(true):
        raise ValueError(f"codes and factors must be equally long, but got {len(found)} and {len(true)}")
    for name, count, least in (("codes", found.shape[1], least_codes), ("factors", true.shape[1], least_factors)):
        if count < least:
            raise ValueError(f"this score compares {name}, so it needs at least {least} of them, but got {count}")
    return found, true


def standardized(codes: Reals) -> Reals:
    """Codes (N, D), each column with mean 0 and variance 1, and 0 where it is constant."""
    scaled = codes / peaks(codes)
    centred = scaled - scaled.mean(axis=0)
    spread = np.where(np.ptp(scaled, axis=0) > 0, centred.std(axis=0), 0.0)
    return np.divide(centred, spread, out=np.zeros_like(codes), where=spread > 0)


def peaks(codes: Reals) -> Reals:
    """The largest absolute value of each column of codes (N, D), shape (D,); 1 where all are 0."""
    largest = np.abs(codes).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


class Split(NamedTuple):
    """Samples to fit on and samples to score on, three to one."""

    codes: Reals
    factors: Wholes
    held_codes: Reals
    held_factors: Wholes


def split(codes: Reals, factors: Wholes, rng: np.random.Generator) -> Split:
    """Hold out a quarter of the samples, drawn at random.

    Raises:
        ValueError: a factor of which fewer than two values occur in both parts.
    """
    order, held = rng.permutation(len(codes)), len(codes) // 4
    fit, score = order[held:], order[:held]
    for k, column in enumerate(factors.T):
        if len(np.intersect1d(column[fit], column[score])) < 2:
            raise ValueError(
                f"of factor {k}, fewer than two values occur both among the {len(fit)} samples to fit on and the "
                f"{held} held out; give more samples than {len(codes)}, or more of its rarer values"
            )
    return Split(codes[fit], factors[fit], codes[score], factors[score])

r"""Scores from the mutual information between single codes and single factors: MIG and modularity.

With :math:`I_{dk} = I(c_d; v_k)` in nats, codes cut into bins of equal width:

.. math::
    \mathrm{MIG} = \frac{1}{K} \sum_k \frac{I_{(1)k} - I_{(2)k}}{H(v_k)}, \qquad
    \mathrm{modularity} = \frac{1}{D} \sum_d
        \Bigl(1 - \frac{\sum_k I_{dk}^2 - \max_k I_{dk}^2}{(K - 1) \max_k I_{dk}^2}\Bigr)

where (1) and (2) are the two codes most informative about factor k. MIG falls when a factor is spread over codes,
modularity when a code mixes factors.

Chen et al., *Isolating Sources of Disentanglement in VAEs*, NeurIPS 2018, section 4.1; Ridgeway and Mozer, *Learning
Deep Disentangled Embeddings with the F-Statistic Loss*, NeurIPS 2018, section 3; bins as in Locatello et al.,
*Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations*, ICML 2019, appendix B.
"""

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from infogan_lib._checks import check_int
from infogan_lib.metrics._arrays import MAX_BINS, FloatArray, IntArray, check_samples


def mig(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20) -> float:
    """The Mutual Information Gap.

    Args:
        codes: Real numbers, shape (N, D), D >= 2.
        factors: Whole numbers, shape (N, K).
        bins: Number of bins of equal width for each code. A factor with more values than that cannot reach 1.

    Returns:
        0 to 1; 0 if all codes are constant.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: As for `mutual_information`, or if there is only one code.

    Source: Chen et al., 2018, equation 6.
    """
    codes, factors = check_samples(codes, factors, min_codes=2)
    return mig_from_information(_information(codes, factors, bins), [_entropy(column) for column in factors.T])


def modularity(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20) -> float:
    """How far each code is informative about one factor only.

    Args:
        codes: Real numbers, shape (N, D).
        factors: Whole numbers, shape (N, K), K >= 2.
        bins: Number of bins of equal width for each code.

    Returns:
        0 to 1. A code without information counts as 0, so each constant code costs 1/D. With few samples and many bins
        a code of pure noise looks informative and counts for something in between.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: As for `mutual_information`, or if there is only one factor.

    Source: Ridgeway and Mozer, 2018, equation 2.
    """
    codes, factors = check_samples(codes, factors, min_factors=2)
    return modularity_from_information(_information(codes, factors, bins))


def mutual_information(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20) -> FloatArray:
    """I(c_d; v_k) of every binned code and factor.

    Args:
        codes: Real numbers, shape (N, D).
        factors: Whole numbers, shape (N, K).
        bins: Number of bins of equal width for each code.

    Returns:
        Nats, shape (D, K), between 0 and H(v_k).

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: If shapes or lengths do not fit, codes are NaN or infinite, or a factor is constant.
    """
    return _information(*check_samples(codes, factors), bins)


def mig_from_information(information: ArrayLike, entropies: ArrayLike) -> float:
    """MIG from the mutual information of codes and factors.

    Args:
        information: I(c_d; v_k) in nats, shape (D, K), D >= 2.
        entropies: H(v_k) > 0 in nats, shape (K,).

    Raises:
        ValueError: If the shapes do not fit, or values are not finite, negative, or not above 0 for an entropy.
    """
    table, entropy = _check_table(information), np.asarray(entropies, dtype=np.float64)
    if len(table) < 2 or entropy.shape != table.shape[1:] or not (entropy > 0).all():
        raise ValueError(
            f"information must have shape (D, K) with D >= 2, and entropies K numbers above 0, "
            f"but got shape {table.shape} and {entropy}"
        )
    second, first = np.sort(table, axis=0)[-2:]
    return float(((first - second) / entropy).mean())


def modularity_from_information(information: ArrayLike) -> float:
    """Modularity from the mutual information of codes and factors.

    Args:
        information: I(c_d; v_k) in nats, shape (D, K), K >= 2.

    Raises:
        ValueError: If the shape does not fit, or values are not finite or negative.
    """
    table = _check_table(information)
    if table.shape[1] < 2:
        raise ValueError(f"information must have shape (D, K) with K >= 2, but got {table.shape}")
    largest = table.max(axis=1, keepdims=True)
    ratios = np.divide(table, largest, out=np.zeros_like(table), where=largest > 0) ** 2
    rest = (ratios.sum(axis=1) - 1) / (table.shape[1] - 1)
    return float(np.where(largest[:, 0] > 0, 1 - rest, 0.0).mean())


def _check_table(information: ArrayLike) -> FloatArray:
    table = np.asarray(information, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError(f"information must be a table (D, K) of finite numbers from 0, but got shape {table.shape}")
    return table


def _information(codes: FloatArray, factors: IntArray, bins: int) -> FloatArray:
    bins = check_int("bins", bins, minimum=2, maximum=MAX_BINS)
    binned = [_bin(column, bins) for column in codes.T]
    return np.array([[_mutual_information(code, factor) for factor in factors.T] for code in binned])


def _bin(code: FloatArray, bins: int) -> IntArray:
    code = np.ldexp(code, -np.frexp(np.abs(code).max())[1])  # exact, and the range cannot overflow
    edges = np.linspace(code.min(), code.max(), bins + 1)
    return np.searchsorted(edges[1:-1], code, side="right")


def _mutual_information(first: IntArray, second: IntArray) -> float:
    """I of two columns of whole numbers from 0, in nats; exactly 0 if the counts are independent."""
    width = int(second.max()) + 1
    joint = np.bincount(first * width + second, minlength=(int(first.max()) + 1) * width).reshape(-1, width)
    rows, columns = np.nonzero(joint)
    counts = joint[rows, columns]
    ratios = counts * len(first) / (joint.sum(axis=1)[rows] * joint.sum(axis=0)[columns])
    return max(float(counts @ np.log(ratios)) / len(first), 0.0)


def _entropy(column: IntArray) -> float:
    return _mutual_information(column, column)

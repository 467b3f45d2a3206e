r"""Scores from the information that single codes hold on single factors: MIG and modularity.

With :math:`I_{dk} = I(c_d; v_k)` in nats, codes cut into bins of equal width:

.. math::
    \mathrm{MIG} = \frac{1}{K} \sum_k \frac{I_{(1)k} - I_{(2)k}}{H(v_k)}, \qquad
    \mathrm{modularity} = \frac{1}{D} \sum_d
        \Bigl(1 - \frac{\sum_k I_{dk}^2 - \max_k I_{dk}^2}{(K - 1) \max_k I_{dk}^2}\Bigr)

where (1) and (2) are the two codes that know most of factor k. MIG falls when a factor is spread over codes, modularity
when a code mixes factors.

Chen et al., *Isolating Sources of Disentanglement in VAEs*, NeurIPS 2018, section 4.1; Ridgeway and Mozer, *Learning
Deep Disentangled Embeddings with the F-Statistic Loss*, NeurIPS 2018, section 3; bins as in Locatello et al.,
*Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations*, ICML 2019, appendix B.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infogan_lib._checks import check_int
from infogan_lib.metrics._arrays import Reals, Wholes, samples


def mig(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20) -> float:
    """The Mutual Information Gap.

    Args:
        codes: shape (N, D), D >= 2.
        factors: whole numbers, shape (N, K).
        bins: into how many bins of equal width the range of each code is cut. A factor of more values cannot reach 1.

    Returns:
        0 to 1; 0 where all codes are constant.

    Raises:
        TypeError, ValueError: see `mutual_information`; also a single code, as there is no second one.

    Source: Chen et al., 2018, equation 6.
    """
    found, true = samples(codes, factors, least_codes=2)
    return mig_from_information(_information(found, true, bins), [_entropy(column) for column in true.T])


def modularity(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20) -> float:
    """How far each code knows of one factor only.

    Args:
        codes: shape (N, D).
        factors: whole numbers, shape (N, K), K >= 2.
        bins: as for `mig`.

    Returns:
        0 to 1. A code without information counts as 0, so each dead code costs 1/D; and since few samples in many bins
        look like information, a code of noise counts for something between.

    Raises:
        TypeError, ValueError: see `mutual_information`; also a single factor.

    Source: Ridgeway and Mozer, 2018, equation 2.
    """
    found, true = samples(codes, factors, least_factors=2)
    return modularity_from_information(_information(found, true, bins))


def mutual_information(
    codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20
) -> NDArray[np.float64]:
    """I(c_d; v_k) of the binned codes in nats, shape (D, K), between 0 and H(v_k).

    Args:
        codes: shape (N, D).
        factors: whole numbers, shape (N, K).
        bins: as for `mig`.

    Raises:
        TypeError: codes that are no real numbers, or factors that are no whole ones.
        ValueError: other shapes, lengths that differ, NaN or infinite codes, or a constant factor.
    """
    return _information(*samples(codes, factors), bins)


def mig_from_information(information: ArrayLike, entropies: ArrayLike) -> float:
    """MIG of a table I(c_d; v_k), shape (D, K) with D >= 2, and the entropies H(v_k) > 0, shape (K,), in nats."""
    table, entropy = _table(information), np.asarray(entropies, dtype=np.float64)
    if len(table) < 2 or entropy.shape != table.shape[1:] or not (entropy > 0).all():
        raise ValueError(
            f"information must have shape (D, K) with D >= 2, and entropies K numbers above 0, "
            f"but got shape {table.shape} and {entropy}"
        )
    second, first = np.sort(table, axis=0)[-2:]
    return float(((first - second) / entropy).mean())


def modularity_from_information(information: ArrayLike) -> float:
    """Modularity of a table I(c_d; v_k), shape (D, K) with K >= 2, not negative."""
    table = _table(information)
    if table.shape[1] < 2:
        raise ValueError(f"information must have shape (D, K) with K >= 2, but got {table.shape}")
    best = table.max(axis=1, keepdims=True)
    shares = np.divide(table, best, out=np.zeros_like(table), where=best > 0) ** 2
    rest = (shares.sum(axis=1) - 1) / (table.shape[1] - 1)
    return float(np.where(best[:, 0] > 0, 1 - rest, 0.0).mean())


def _table(information: ArrayLike) -> Reals:
    table = np.asarray(information, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError(f"information must be a table (D, K) of finite numbers from 0, but got shape {table.shape}")
    return table


def _information(codes: Reals, factors: Wholes, bins: int) -> Reals:
    bins = check_int("bins", bins, minimum=2)
    binned = np.stack([_binned(column, bins) for column in codes.T], axis=1)
    return np.array([[_shared(code, factor) for factor in factors.T] for code in binned.T])


def _binned(code: Reals, bins: int) -> Wholes:
    code = np.ldexp(code, -np.frexp(np.abs(code).max())[1])  # exact, and the range cannot overflow
    edges = np.linspace(code.min(), code.max(), bins + 1)
    return np.searchsorted(edges[1:-1], code, side="right")


def _shared(first: Wholes, second: Wholes) -> float:
    """I of two columns of whole numbers from 0, in nats; exactly 0 where the counts are independent."""
    width = int(second.max()) + 1
    joint = np.bincount(first * width + second, minlength=(int(first.max()) + 1) * width).reshape(-1, width)
    rows, columns = np.nonzero(joint)
    counts = joint[rows, columns]
    ratios = counts * len(first) / (joint.sum(axis=1)[rows] * joint.sum(axis=0)[columns])
    return max(float(counts @ np.log(ratios)) / len(first), 0.0)


def _entropy(column: Wholes) -> float:
    return _shared(column, column)

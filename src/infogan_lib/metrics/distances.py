r"""Distances between real and generated images, in features that the user chooses.

.. math::
    d_F^2 = \lVert \mu_r - \mu_g \rVert^2 + \operatorname{tr}\big(C_r + C_g - 2 (C_r C_g)^{1/2}\big), \qquad
    d_K^2 = E[k(r, r')] + E[k(g, g')] - 2 E[k(r, g)], \quad k(a, b) = (a \cdot b / D + 1)^3

(Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017, equation 6; Binkowski et al.,
*Demystifying MMD GANs*, ICLR 2018, section 4). By nearest neighbors: precision and recall (Kynkaanniemi et al.,
*Improved Precision and Recall Metric*, NeurIPS 2019, section 2), and density and coverage,

.. math::
    \mathrm{density} = \frac{1}{k M} \sum_{j=1}^{M} \sum_{i=1}^{N} 1[g_j \in B(r_i)], \qquad
    \mathrm{coverage} = \frac{1}{N} \sum_{i=1}^{N} 1[\exists j: g_j \in B(r_i)]

where the ball B(r_i) reaches from r_i to its k-th nearest real neighbor (Naeem et al., *Reliable Fidelity and Diversity
Metrics for Generative Models*, ICML 2020, section 3).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infogan_lib._checks import check_int, require_eval
from infogan_lib.metrics._arrays import FloatArray, IntArray, to_floats

_CHUNK = 1024
"""Rows per block of a kernel matrix, to bound memory."""

_MAX_FEATURE = 1e45
"""The largest absolute value whose sixth power, summed over pairs, is finite."""


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The squared Frechet distance of the normal distributions fitted to real and generated features.

    Args:
        real: Features, shape (N, D), N > D.
        generated: Features, shape (M, D), M > D.

    Returns:
        The distance, from 0.

    Raises:
        ValueError: If features differ in width, are not finite, or have too few rows for a covariance of full rank.
    """
    r, g = _check_features(real, generated)
    if min(len(r), len(g)) <= r.shape[1]:
        raise ValueError(
            f"a Frechet distance of {r.shape[1]} features needs more than {r.shape[1]} images of each kind, but got "
            f"{len(r)} and {len(g)}; give more images, or take features of a narrower layer"
        )
    # With C = A^T A for each covariance, tr (C_r C_g)^(1/2) is the nuclear norm of A_r A_g^T: no square root is taken
    # of a product that rounding may leave indefinite.
    a_r, a_g = (np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1)).R for x in (r, g))
    squared_gap = np.square(r.mean(0) - g.mean(0)).sum()
    cross = np.linalg.norm(a_r @ a_g.T, ord="nuc")
    return float(max(squared_gap + np.square(a_r).sum() + np.square(a_g).sum() - 2 * cross, 0.0))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The unbiased squared kernel distance of real and generated features, with the cubic kernel.

    Args:
        real: Features, shape (N, D), N >= 2.
        generated: Features, shape (M, D), M >= 2.

    Returns:
        The estimate, about 0 for equal distributions; it may be negative.

    Raises:
        ValueError: If features differ in width, are not finite, or have fewer than two rows.
    """
    r, g = _check_features(real, generated)
    return float(_mean_kernel(r) + _mean_kernel(g) - 2 * _mean_kernel(r, g))


def precision_recall(real: ArrayLike, generated: ArrayLike, *, neighbors: int = 3) -> tuple[float, float]:
    """Precision and recall of generated images.

    A generated image counts as realistic if some real image is at least as close to it as to its own k-th nearest real
    neighbor; precision is their fraction. Recall swaps real and generated images.

    Args:
        real: Features, shape (N, D).
        generated: Features, shape (M, D).
        neighbors: The number of nearest neighbors, k.

    Returns:
        Precision and recall, 0 to 1 each.

    Raises:
        TypeError: If `neighbors` is not a whole number.
        ValueError: If features differ in width, are not finite, or have no more rows than `neighbors`.
        ImportError: If scikit-learn is not installed.
    """
    r, g = _check_features(real, generated)
    k = check_int("neighbors", neighbors, minimum=1)
    if min(len(r), len(g)) <= k:
        raise ValueError(f"{k} neighbors need more than {k} images of each kind, but got {len(r)} and {len(g)}")
    center = r.mean(0)
    r, g = r - center, g - center  # far from 0 the distances would be lost in rounding
    return _fraction_covered(g, r, k), _fraction_covered(r, g, k)


def density_coverage(real: ArrayLike, generated: ArrayLike, *, neighbors: int = 5) -> tuple[float, float]:
    """Density and coverage of generated images.

    Around every real image is a ball that reaches to its k-th nearest real neighbor. Density is the mean number of
    balls that a generated image lies in, over k; coverage is the fraction of balls with a generated image in them. One
    outlier among the real images, with its large ball, raises precision, but hardly density; an outlier among the
    generated images raises recall, but not coverage.

    Args:
        real: Features, shape (N, D), N > k.
        generated: Features, shape (M, D).
        neighbors: The number of nearest neighbors, k.

    Returns:
        Density, from 0 and about 1 for equal distributions, and coverage, 0 to 1; the expected coverage of equal
        distributions is about 1 - 2^-k for N = M.

    Raises:
        TypeError: If `neighbors` is not a whole number.
        ValueError: If features differ in width, are not finite, or there are no more real images than `neighbors`.
        ImportError: If scikit-learn is not installed.

    Source: Naeem et al., ICML 2020, equations 3 and 4.
    """
    r, g = _check_features(real, generated)
    k = check_int("neighbors", neighbors, minimum=1)
    if len(r) <= k:
        raise ValueError(f"{k} neighbors need more than {k} real images, but got {len(r)}")
    with require_eval("density_coverage"):
        from sklearn.metrics import pairwise_distances_chunked
    center = r.mean(0)
    r, g = r - center, g - center
    radii = _neighbor_radii(r, k)

    def count_inside(distances: FloatArray, start: int) -> IntArray:
        return np.asarray((distances <= radii[start : start + len(distances), None]).sum(axis=1))

    counts = np.concatenate([*pairwise_distances_chunked(r, g, reduce_func=count_inside)])
    return float(counts.sum() / (k * len(g))), float((counts > 0).mean())


def _mean_kernel(a: FloatArray, b: FloatArray | None = None) -> float:
    """Mean of k over all pairs of rows from a and b, or over the pairs of different rows of a."""
    others, total = a if b is None else b, 0.0
    for rows in np.array_split(a, -(-len(a) // _CHUNK)):
        similarity = rows @ others.T / a.shape[1] + 1
        total += (similarity * similarity * similarity).sum()  # a power of floats takes three times as long
    if b is not None:
        return total / (len(a) * len(b))
    diagonal = ((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum()
    return (total - diagonal) / (len(a) * (len(a) - 1))


def _fraction_covered(points: FloatArray, support: FloatArray, k: int) -> float:
    """Fraction of points that lie within the distance of some support row to its k-th nearest neighbor."""
    with require_eval("precision_recall"):
        from sklearn.metrics import pairwise_distances_chunked
    radii = _neighbor_radii(support, k)

    def is_covered(distances: FloatArray, _: int) -> NDArray[np.bool_]:
        return np.asarray((distances <= radii).any(axis=1))

    return float(np.concatenate([*pairwise_distances_chunked(points, support, reduce_func=is_covered)]).mean())


def _neighbor_radii(support: FloatArray, k: int) -> FloatArray:
    """Distance of each row to its k-th nearest other row, a little enlarged against rounding."""
    from sklearn.metrics import pairwise_distances_chunked

    def kth_smallest(distances: FloatArray, _: int) -> FloatArray:
        return np.partition(distances, k, axis=1)[:, k]  # the smallest one is the distance to itself

    radii = np.concatenate([*pairwise_distances_chunked(support, support, reduce_func=kth_smallest)])
    return radii * (1 + 1e-9)


def _check_features(real: ArrayLike, generated: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r, g = to_floats("real", real), to_floats("generated", generated)
    if r.ndim != 2 or g.ndim != 2 or r.shape[1] != g.shape[1] or min(len(r), len(g)) < 2:
        raise ValueError(
            f"features must be real (N, D) and generated (M, D), N and M at least 2, but got {r.shape}, {g.shape}"
        )
    if not (np.isfinite(r).all() and np.isfinite(g).all()):
        raise ValueError(
            "features of real and generated images must be finite, but some are NaN or infinite; check the extractor "
            "and the images"
        )
    largest = max(np.abs(r).max(initial=0), np.abs(g).max(initial=0))
    if largest > _MAX_FEATURE:
        raise ValueError(f"features must be at most {_MAX_FEATURE:g}, but got {largest:g}; check the extractor")
    return r, g

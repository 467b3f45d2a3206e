"""Distances between two sets of images, in features that the user names."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infogan_lib._checks import check_int

Features = NDArray[np.float64]


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The squared Frechet distance of the normal distributions fitted to features (N, D) and (M, D); from 0.

    Raises:
        ValueError: features of different widths, not finite, or fewer rows than D + 1, for which a covariance says
            little.
    """
    r, g = _pair(real, generated)
    if min(len(r), len(g)) <= r.shape[1]:
        raise ValueError(
            f"a Frechet distance of {r.shape[1]} features needs more than {r.shape[1]} images of each kind, but got "
            f"{len(r)} and {len(g)}; give more images, or take features of a narrower layer"
        )
    cov_r, cov_g = np.atleast_2d(np.cov(r, rowvar=False)), np.atleast_2d(np.cov(g, rowvar=False))
    values, vectors = np.linalg.eigh(cov_r)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_g @ root).clip(min=0)).sum()
    gap = np.square(r.mean(0) - g.mean(0)).sum()
    return float(max(gap + np.trace(cov_r) + np.trace(cov_g) - 2 * cross, 0.0))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The unbiased squared kernel distance of features (N, D) and (M, D), with the cubic kernel; may be negative.

    Raises:
        ValueError: features of different widths, not finite, or fewer than two rows.
    """
    r, g = _pair(real, generated)

    def kernel_mean(a: Features, b: Features, *, apart: bool) -> float:
        total = 0.0
        for rows in np.array_split(a, -(-len(a) // _ROWS)):
            total += ((rows @ b.T / a.shape[1] + 1) ** 3).sum()
        if not apart:
            return total / (len(a) * len(b))
        itself = ((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum()
        return (total - itself) / (len(a) * (len(a) - 1))

    within = kernel_mean(r, r, apart=True) + kernel_mean(g, g, apart=True)
    return float(within - 2 * kernel_mean(r, g, apart=False))


def precision_recall(real: ArrayLike, generated: ArrayLike, *, neighbours: int = 3) -> tuple[float, float]:
    """Precision and recall of features (N, D) and (M, D), 0 to 1 each.

    A generated image counts as real where it lies within the distance of some real image to its k-th nearest real
    neighbour; recall is the same the other way round.

    Raises:
        ValueError: features of different widths, not finite, or not more rows than `neighbours`.
    """
    r, g = _pair(real, generated)
    k = check_int("neighbours", neighbours, minimum=1)
    centre = r.mean(0)
    r, g = r - centre, g - centre  # far from 0 the distances would be lost in rounding
    if min(len(r), len(g)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} images of each kind, but got {len(r)} and {len(g)}")
    return _covered(g, r, k), _covered(r, g, k)


def _covered(points: Features, by: Features, k: int) -> float:
    radius = np.concatenate([np.partition(_squares(rows, by), k, axis=1)[:, k] for rows in _chunks(by)])
    inside = [(_squares(rows, by) <= radius * (1 + 1e-9)).any(axis=1) for rows in _chunks(points)]
    return float(np.concatenate(inside).mean())


def _squares(a: Features, b: Features) -> Features:
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return squares.clip(min=0)


def _chunks(rows: Features) -> list[Features]:
    return np.array_split(rows, -(-len(rows) // _ROWS))


def _pair(real: ArrayLike, generated: ArrayLike) -> tuple[Features, Features]:
    r, g = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    if r.ndim != 2 or g.ndim != 2 or r.shape[1] != g.shape[1] or min(len(r), len(g)) < 2:
        raise ValueError(f"features must be (N, D) and (M, D), N and M at least 2, but got {r.shape}, {g.shape}")
    if not (np.isfinite(r).all() and np.isfinite(g).all()):
        raise ValueError("features must be finite, but some are NaN or infinite; look at the extractor and the images")
    return r, g


_ROWS = 1024

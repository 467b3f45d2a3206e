r"""Scores from holding one factor fixed: the FactorVAE and the beta-VAE score.

L images share the value of factor k and differ in all else. The code that represents k then varies least, relative to
its variance over all images, and pairs of images differ least in it:

.. math::
    d^* = \arg\min_d \frac{\operatorname{Var}_l\, c_d^{(l)}}{\operatorname{Var}\, c_d}, \qquad
    b_d = \frac{1}{L} \sum_l \bigl| c_d^{(l)} - c_d'^{(l)} \bigr|

The scores are the accuracy of predicting k from :math:`d^*` by majority vote (Kim and Mnih, *Disentangling by
Factorising*, ICML 2018, section 4), and from b by a linear classifier (Higgins et al., *beta-VAE*, ICLR 2017,
section 3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from infogan_lib._checks import check_float, check_function, check_int, check_rows, check_type, describe, require_eval
from infogan_lib.metrics._arrays import FloatArray, IntArray, check_codes, make_rng, max_abs, standardize

Encoder = Callable[[Tensor], ArrayLike | Tensor]
"""From images (n, *) to codes (n, D)."""

_MAX_FACTORS = 2**26
"""The most numbers that the factors of a score's images have, half a GiB."""


@dataclass(frozen=True, eq=False)
class FactorGrid:
    """Images whose factors are known and can be set, independent of each other and uniform.

    Args:
        sizes: Number of values of each factor, at least 2 each.
        images: Function from factors, whole numbers from 0 of shape (n, K), to images (n, *). If all images are stored
            in order: ``lambda factors: table[np.ravel_multi_index(factors.T, sizes)]``.

    Raises:
        TypeError: If a size is not a whole number or `images` is not callable.
        ValueError: If there are no sizes, or one is below 2.
    """

    sizes: tuple[int, ...]
    images: Callable[[IntArray], Tensor]

    def __post_init__(self) -> None:
        if isinstance(self.sizes, str) or not isinstance(self.sizes, Sequence):
            raise TypeError(f"sizes must be a sequence such as (3, 6, 40), but got {describe(self.sizes)}")
        sizes = tuple(check_int(f"sizes[{k}]", size, minimum=2) for k, size in enumerate(self.sizes))
        if not sizes:
            raise ValueError("sizes must give the number of values of each factor, such as (3, 6, 40), but got none")
        check_function("images", self.images, "a function from factors to images", 1)
        object.__setattr__(self, "sizes", sizes)

    def sample(self, n: int, *, seed: int = 0) -> IntArray:
        """Random factors of n images, shape (n, K)."""
        return _sample_factors(self, (check_rows("n", n, len(self.sizes)),), make_rng(seed))


def factor_vae_score(
    encode: Encoder,
    grid: FactorGrid,
    *,
    num_votes: int = 500,
    group_size: int = 64,
    num_samples: int = 10_000,
    min_std: float = 0.0,
    batch_size: int = 512,
    seed: int = 0,
) -> float:
    """The FactorVAE score.

    Args:
        encode: Function from images (n, *) to codes (n, D), deterministic and in eval mode.
        grid: Images and their factors, at least two factors.
        num_votes: Number of image groups that fit the majority vote; the same number scores it. The fixed factor cycles
            through all factors.
        group_size: Number of images that share the value of a factor, L.
        num_samples: Number of images from which the variances of the codes are estimated.
        min_std: Codes whose standard deviation over all images is not above this are ignored.
        batch_size: Number of images generated and encoded at a time.
        seed: Seed for the factors.

    Returns:
        0 to 1; 1/K is chance; 0 if no code varies. A factor represented by several codes is not penalized.

    Raises:
        TypeError: If codes are not real numbers, or an argument has the wrong type.
        ValueError: If there is only one factor, there are fewer votes than factors, an argument is out of range, or
            codes are not finite or not of shape (n, D).

    Source: Kim and Mnih, 2018, section 4; votes are scored on other groups as in Locatello et al., 2019, appendix B.
    """
    check_function("encode", encode, "a function from images to codes", 1)
    num_votes, group_size = _check_counts(grid, "num_votes", num_votes, group_size)
    num_samples = check_int("num_samples", num_samples, minimum=2, maximum=_MAX_FACTORS // len(grid.sizes))
    rng = make_rng(seed)
    fixed = np.arange(2 * num_votes) % len(grid.sizes)
    groups = _sample_factors(grid, (2 * num_votes, group_size), rng)
    rows = np.arange(len(fixed))
    groups[rows, :, fixed] = groups[rows, :1, fixed]
    reference = _encode_factors(encode, grid, _sample_factors(grid, (num_samples,), rng), batch_size)
    codes = _encode_factors(encode, grid, groups, batch_size)
    return vote_score(codes, fixed, reference, min_std=min_std)


def beta_vae_score(
    encode: Encoder,
    grid: FactorGrid,
    *,
    num_points: int = 500,
    group_size: int = 64,
    batch_size: int = 512,
    seed: int = 0,
) -> float:
    """The beta-VAE score.

    Args:
        encode: Function from images (n, *) to codes (n, D), deterministic and in eval mode.
        grid: Images and their factors, at least two factors.
        num_points: Number of mean differences b that fit the logistic regression; the same number scores it. The fixed
            factor cycles through all factors.
        group_size: Number of pairs that each mean difference is taken over, L.
        batch_size: Number of images generated and encoded at a time.
        seed: Seed for the factors.

    Returns:
        0 to 1; 1/K is chance. The b are standardized first, so that the scale of the codes does not matter. Codes that
        mix factors may still get 1, as the classifier reads all of b (Kim and Mnih, 2018, section 4).

    Raises:
        TypeError: If codes are not real numbers, or an argument has the wrong type.
        ValueError: If there is only one factor, there are fewer points than factors, an argument is out of range, or
            codes are not finite or not of shape (n, D).
        ImportError: If scikit-learn is not installed.

    Source: Higgins et al., 2017, section 3; the classifier is a logistic regression as in Locatello et al., 2019.
    """
    with require_eval("beta_vae_score"):
        from sklearn.linear_model import LogisticRegression
    check_function("encode", encode, "a function from images to codes", 1)
    num_points, group_size = _check_counts(grid, "num_points", num_points, group_size)
    fixed, rng = np.arange(2 * num_points) % len(grid.sizes), make_rng(seed)
    pairs = _sample_factors(grid, (2, 2 * num_points, group_size), rng)
    rows = np.arange(len(fixed))
    pairs[1, rows, :, fixed] = pairs[0, rows, :, fixed]
    first, second = _encode_factors(encode, grid, pairs, batch_size)
    largest = max_abs(np.concatenate([first, second]).reshape(-1, first.shape[-1]))
    differences = standardize(np.abs(first / largest - second / largest).mean(axis=1))
    classifier = LogisticRegression(max_iter=5000).fit(differences[:num_points], fixed[:num_points])
    return float(classifier.score(differences[num_points:], fixed[num_points:]))


def vote_score(groups: FloatArray, fixed: IntArray, reference: FloatArray, *, min_std: float = 0.0) -> float:
    """The FactorVAE score of codes: the first half of the groups fits the majority vote, the second half scores it.

    Args:
        groups: Codes of M groups of L images each, shape (M, L, D).
        fixed: The factor that the images of each group share, whole numbers from 0, shape (M,).
        reference: Codes of random images, shape (S, D).
        min_std: Codes whose standard deviation over the reference is not above this are ignored.

    Returns:
        0 to 1; 0 if no code varies.
    """
    least, half = least_varying(groups, reference, min_std=min_std), len(groups) // 2
    if least is None:
        return 0.0
    return majority_accuracy(least[:half], fixed[:half], least[half:], fixed[half:])


def least_varying(groups: FloatArray, reference: FloatArray, *, min_std: float = 0.0) -> IntArray | None:
    """The code that varies least in each group, relative to its variance over all images.

    Args:
        groups: Codes of M groups of L images each, shape (M, L, D).
        reference: Codes of random images, shape (S, D).
        min_std: Codes whose standard deviation over the reference is not above this are ignored.

    Returns:
        Indices of codes, shape (M,); None if no code varies.
    """
    min_std = check_float("min_std", min_std, minimum=0)
    largest = np.maximum(max_abs(reference), max_abs(groups.reshape(-1, groups.shape[-1])))
    scaled = reference / largest
    active = np.flatnonzero((np.ptp(scaled, axis=0) > 0) & (scaled.std(axis=0) * largest > min_std))
    if len(active) == 0:
        return None
    ratios = (groups / largest)[..., active].var(axis=1) / scaled[:, active].var(axis=0)
    return active[ratios.argmin(axis=1)]


def majority_accuracy(
    train_dims: ArrayLike, train_factors: ArrayLike, test_dims: ArrayLike, test_factors: ArrayLike
) -> float:
    """Accuracy of predicting a factor from a dimension by majority vote.

    Args:
        train_dims: Dimensions of the votes to fit on, whole numbers from 0, shape (V,).
        train_factors: Their factors, whole numbers from 0, shape (V,).
        test_dims: Dimensions of the votes to score, shape (W,). One that is not in `train_dims` counts as wrong.
        test_factors: Their factors, shape (W,).

    Returns:
        0 to 1.
    """
    dims, train = np.unique(np.asarray(train_dims), return_inverse=True)
    factors, columns = np.unique(np.asarray(train_factors), return_inverse=True)
    votes = np.zeros((len(dims), len(factors)), dtype=np.int64)
    np.add.at(votes, (train, columns), 1)
    winners = factors[votes.argmax(axis=1)]
    test = np.asarray(test_dims)
    rows = np.minimum(np.searchsorted(dims, test), len(dims) - 1)
    return float(np.mean((dims[rows] == test) & (winners[rows] == np.asarray(test_factors))))


def _check_counts(grid: FactorGrid, name: str, count: int, group_size: int) -> tuple[int, int]:
    check_type("grid", grid, FactorGrid)
    if len(grid.sizes) < 2:
        raise ValueError("this score compares factors, so the grid needs at least 2 of them, but it has 1")
    k = len(grid.sizes)
    count = check_int(name, count, minimum=k, maximum=max(k, _MAX_FACTORS // (2 * k)))
    return count, check_int("group_size", group_size, minimum=2, maximum=max(2, _MAX_FACTORS // (count * k)))


def _sample_factors(grid: FactorGrid, shape: tuple[int, ...], rng: np.random.Generator) -> IntArray:
    """Factors of shape (*shape, K)."""
    return rng.integers(0, grid.sizes, size=(*shape, len(grid.sizes)))


def _encode_factors(encode: Encoder, grid: FactorGrid, factors: IntArray, batch_size: int) -> FloatArray:
    """The codes (*, D) of the images of factors (*, K)."""
    batch_size = check_int("batch_size", batch_size, minimum=1)
    flat, encoded = factors.reshape(-1, factors.shape[-1]), []
    for start in range(0, len(flat), batch_size):
        batch = flat[start : start + batch_size]
        codes = check_codes(encode(grid.images(batch)), name="the codes returned by encode")
        if len(codes) != len(batch):
            raise ValueError(f"encode must return one row per image, but got {len(codes)} rows for {len(batch)} images")
        encoded.append(codes)
    return np.concatenate(encoded).reshape(*factors.shape[:-1], -1)

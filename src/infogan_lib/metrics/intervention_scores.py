r"""Scores from holding one factor fixed: the FactorVAE and the beta-VAE score.

L images share the value of factor k and differ in all else. The code that stands for k then varies least, relative to
its variance over all images, and pairs of images differ least in it:

.. math::
    d^* = \arg\min_d \frac{\operatorname{Var}_l\, c_d^{(l)}}{\operatorname{Var}\, c_d}, \qquad
    b_d = \frac{1}{L} \sum_l \bigl| c_d^{(l)} - c_d'^{(l)} \bigr|

The scores are the accuracy with which k is told from :math:`d^*` by majority vote (Kim and Mnih, *Disentangling by
Factorising*, ICML 2018, section 4), and from b by a linear classifier (Higgins et al., *beta-VAE*, ICLR 2017,
section 3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infogan_lib._checks import check_float, check_int, describe, require_eval
from infogan_lib.metrics._arrays import Reals, Wholes, peaks, real_codes, seeded, standardized

Encoder = Callable[[Tensor], ArrayLike | Tensor]
"""From images (n, *) to codes (n, D)."""


@dataclass(frozen=True, eq=False)
class FactorGrid:
    """Images whose factors are known and can be set, each independent of the others and uniform.

    Args:
        sizes: how many values each factor takes, at least 2 each.
        images: from factors, whole numbers from 0 of shape (n, K), to images (n, *). Of a table of all images in
            order, ``lambda factors: table[np.ravel_multi_index(factors.T, sizes)]``.

    Raises:
        TypeError, ValueError: no sizes, a size below 2, or `images` that cannot be called.
    """

    sizes: tuple[int, ...]
    images: Callable[[NDArray[np.int64]], Tensor]

    def __post_init__(self) -> None:
        sizes = tuple(check_int(f"sizes[{k}]", size, minimum=2) for k, size in enumerate(self.sizes))
        if not sizes:
            raise ValueError("sizes must name how many values each factor takes, such as (3, 6, 40), but got none")
        if not callable(self.images):
            raise TypeError(f"images must be a function from factors to images, but got {describe(self.images)}")
        object.__setattr__(self, "sizes", sizes)

    def sample(self, n: int, *, seed: int = 0) -> NDArray[np.int64]:
        """Factors of n images, shape (n, K)."""
        return _draw(self, (check_int("n", n, minimum=1),), seeded(seed))


def factor_vae_score(
    encode: Encoder,
    grid: FactorGrid,
    *,
    votes: int = 500,
    group: int = 64,
    samples: int = 10_000,
    dead: float = 0.0,
    batch_size: int = 512,
    seed: int = 0,
) -> float:
    """The FactorVAE score.

    Args:
        encode: from images (n, *) to codes (n, D), in eval mode and without randomness.
        grid: the images and their factors, two factors at least.
        votes: how many groups of images fit the majority vote; as many more score it. Factors take turns.
        group: how many images share a factor's value, L.
        samples: how many images the variances of the codes are estimated from.
        dead: a code whose standard deviation over all images is at most this is left out.
        batch_size: how many images to make and encode in one go.
        seed: of the factors.

    Returns:
        0 to 1; 1/K is chance; 0 where all codes are dead. A factor that several codes stand for costs nothing.

    Raises:
        TypeError, ValueError: one factor only, fewer votes than factors, or codes that are no finite numbers (n, D).

    Source: Kim and Mnih, 2018, section 4; votes are scored on other groups as in Locatello et al., 2019, appendix B.
    """
    votes, group = _counts(grid, "votes", votes, group)
    samples, rng = check_int("samples", samples, minimum=2), seeded(seed)
    fixed = np.arange(2 * votes) % len(grid.sizes)
    groups = _draw(grid, (2 * votes, group), rng)
    rows = np.arange(len(fixed))
    groups[rows, :, fixed] = groups[rows, :1, fixed]
    reference = _encoded(encode, grid, _draw(grid, (samples,), rng), batch_size)
    codes = _encoded(encode, grid, groups, batch_size)
    return vote_score(codes, fixed, reference, dead=dead)


def beta_vae_score(
    encode: Encoder,
    grid: FactorGrid,
    *,
    points: int = 500,
    group: int = 64,
    batch_size: int = 512,
    seed: int = 0,
) -> float:
    """The beta-VAE score.

    Args:
        encode: from images (n, *) to codes (n, D), in eval mode and without randomness.
        grid: the images and their factors, two factors at least.
        points: how many mean differences b fit the logistic regression; as many more score it. Factors take turns.
        group: over how many pairs each is averaged, L.
        batch_size: how many images to make and encode in one go.
        seed: of the factors.

    Returns:
        0 to 1; 1/K is chance. The b are standardised first, so that the scale of the codes does not matter. Codes that
        mix factors may still get 1, as the classifier reads all of b (Kim and Mnih, 2018, section 4).

    Raises:
        TypeError, ValueError: one factor only, fewer points than factors, or codes that are no finite numbers (n, D).
        ImportError: scikit-learn is not installed.

    Source: Higgins et al., 2017, section 3; the classifier is a logistic regression as in Locatello et al., 2019.
    """
    with require_eval("beta_vae_score"):
        from sklearn.linear_model import LogisticRegression
    points, group = _counts(grid, "points", points, group)
    fixed, rng = np.arange(2 * points) % len(grid.sizes), seeded(seed)
    pairs = _draw(grid, (2, 2 * points, group), rng)
    rows = np.arange(len(fixed))
    pairs[1, rows, :, fixed] = pairs[0, rows, :, fixed]
    first, second = _encoded(encode, grid, pairs, batch_size)
    largest = peaks(np.concatenate([first, second]).reshape(-1, first.shape[-1]))
    differences = standardized(np.abs(first / largest - second / largest).mean(axis=1))
    classifier = LogisticRegression(max_iter=5000).fit(differences[:points], fixed[:points])
    return float(np.mean(classifier.predict(differences[points:]) == fixed[points:]))


def vote_score(groups: Reals, fixed: Wholes, reference: Reals, *, dead: float = 0.0) -> float:
    """The FactorVAE score of codes: the first half of the groups fits the majority vote, the second half scores it.

    Args:
        groups: codes of M groups of L images each, shape (M, L, D).
        fixed: the factor that each group shares, whole numbers from 0, shape (M,).
        reference: codes of images of all kinds, shape (S, D).
        dead: as for `factor_vae_score`.
    """
    dimensions, fit = least_varying(groups, reference, dead=dead), len(groups) // 2
    if dimensions is None:
        return 0.0
    return majority_accuracy(dimensions[:fit], fixed[:fit], dimensions[fit:], fixed[fit:])


def least_varying(groups: Reals, reference: Reals, *, dead: float = 0.0) -> Wholes | None:
    """The code that varies least in each group, relative to all images, shape (M,); None where all codes are dead.

    Args:
        groups, reference, dead: as for `vote_score`.
    """
    dead = check_float("dead", dead, minimum=0)
    largest = np.maximum(peaks(reference), peaks(groups.reshape(-1, groups.shape[-1])))
    scaled = reference / largest
    alive = np.flatnonzero((np.ptp(scaled, axis=0) > 0) & (scaled.std(axis=0) * largest > dead))
    if len(alive) == 0:
        return None
    shares = (groups / largest)[..., alive].var(axis=1) / scaled[:, alive].var(axis=0)
    return alive[shares.argmin(axis=1)]


def majority_accuracy(dimensions: ArrayLike, factors: ArrayLike, held: ArrayLike, held_factors: ArrayLike) -> float:
    """How often the factor most voted for by a dimension is right on held-out votes, 0 to 1.

    Args:
        dimensions, factors: the votes, whole numbers from 0, shape (V,) each.
        held, held_factors: the votes to score, shape (W,) each. A dimension that was never seen is always wrong.
    """
    voters, voted, unseen = np.asarray(dimensions), np.asarray(factors), np.asarray(held)
    table = np.zeros((1 + max(int(voters.max()), int(unseen.max())), 1 + int(voted.max())), dtype=np.int64)
    np.add.at(table, (voters, voted), 1)
    winners = np.where(table.any(axis=1), table.argmax(axis=1), -1)
    return float(np.mean(winners[unseen] == np.asarray(held_factors)))


def _counts(grid: FactorGrid, name: str, count: int, group: int) -> tuple[int, int]:
    if len(grid.sizes) < 2:
        raise ValueError("this score tells factors apart, so the grid needs at least 2 of them, but it has 1")
    return check_int(name, count, minimum=len(grid.sizes)), check_int("group", group, minimum=2)


def _draw(grid: FactorGrid, shape: tuple[int, ...], rng: np.random.Generator) -> Wholes:
    """Factors of shape (*shape, K)."""
    return rng.integers(0, grid.sizes, size=(*shape, len(grid.sizes)))


def _encoded(encode: Encoder, grid: FactorGrid, factors: Wholes, batch_size: int) -> Reals:
    """The codes (*, D) of the images of factors (*, K)."""
    batch_size = check_int("batch_size", batch_size, minimum=1)
    flat, found = factors.reshape(-1, factors.shape[-1]), []
    for start in range(0, len(flat), batch_size):
        batch = flat[start : start + batch_size]
        codes = real_codes(encode(grid.images(batch)), name="what encode returns")
        if len(codes) != len(batch):
            raise ValueError(f"encode must return one row per image, but got {len(codes)} rows for {len(batch)} images")
        found.append(codes)
    return np.concatenate(found).reshape(*factors.shape[:-1], -1)

"""FactorVAE and beta-VAE scores: by hand, and as a textbook loop."""

import numpy as np
import pytest
import torch

from factor_data import GRID, IMAGES, SIZES, noise
from infogan_lib.metrics.intervention_scores import (
    FactorGrid,
    beta_vae_score,
    factor_vae_score,
    least_varying,
    majority_accuracy,
    vote_score,
)


def test_majority_vote_by_hand():
    dimensions, factors = [0, 0, 0, 1, 1, 2], [1, 1, 0, 0, 0, 1]  # 0 -> 1, 1 -> 0, 2 -> 1
    assert majority_accuracy(dimensions, factors, [0, 0, 1, 1, 2], [1, 0, 0, 1, 1]) == 3 / 5
    assert majority_accuracy(dimensions, factors, [3, 3, 1], [0, 1, 0]) == 1 / 3


def test_least_varying_by_hand():
    reference = np.array([[900.0, 0, 0, 5], [902, 20, 200, 5]])  # variances 1, 100, 10000 and none
    groups = np.array([[[900, 0, 0, 5], [901, 2, 200, 5]], [[900, 0, 0, 5], [902, 20, 20, 5.0]]])
    assert least_varying(groups, reference).tolist() == [1, 2]
    assert least_varying(groups, reference, min_std=10).tolist() == [2, 2]
    assert least_varying(groups, reference, min_std=100) is None
    assert vote_score(groups, np.array([0, 0]), reference) == 0
    assert vote_score(groups, np.array([0, 0]), reference, min_std=10) == 1


def test_factor_vae_score_as_a_loop():
    mixing = np.eye(3, 4) + 0.8 * noise(3, 4)
    votes, group, drawn = 40, 8, []

    def encode(images):
        drawn.append(np.asarray(images))
        return drawn[-1] @ mixing

    score = factor_vae_score(
        encode, IMAGES, num_votes=votes, group_size=group, num_samples=100, batch_size=10**6, seed=4
    )
    reference, groups = drawn[0], drawn[1].reshape(2 * votes, group, 3)
    variances = [np.var(code) for code in (reference @ mixing).T]
    table, right = np.zeros((4, 3)), 0
    for v, factors in enumerate(groups):
        assert len(set(factors[:, v % 3])) == 1
        least = min(range(4), key=lambda d: np.var((factors @ mixing)[:, d]) / variances[d])
        if v < votes:
            table[least, v % 3] += 1
        else:
            right += int(table[least].argmax() == v % 3 and table[least].any())
    assert score == pytest.approx(right / votes, abs=1e-12)
    assert 1 / 3 < score < 1


def test_beta_vae_score_looks_at_pairs_that_share_one_factor():
    drawn = []

    def encode(images):
        drawn.append(np.asarray(images))
        return drawn[-1]

    beta_vae_score(encode, IMAGES, num_points=6, group_size=20, batch_size=10**6)
    first, second = drawn[0].reshape(2, 12, 20, 3)
    for p in range(12):
        shared = (first[p] == second[p]).all(axis=0)
        assert shared[p % 3]
        assert shared.sum() == 1


def test_beta_vae_score_of_codes_that_lack_factors():
    assert beta_vae_score(lambda x: np.asarray(x)[:, [0, 0, 0]], IMAGES, num_points=120) == pytest.approx(
        2 / 3, abs=0.12
    )


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_intervention_scores_depend_on_the_seed_and_not_on_batches_or_global_state(score):
    def encode(images):
        return images @ torch.tensor(np.eye(3) + noise(3, 3))

    count = {"num_votes": 30} if score is factor_vae_score else {"num_points": 30}
    result = score(encode, IMAGES, **count, group_size=4, seed=1)
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert score(encode, IMAGES, **count, group_size=4, seed=1, batch_size=37) == pytest.approx(result, abs=1e-12)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert any(score(encode, IMAGES, **count, group_size=4, seed=seed) != result for seed in range(2, 6))


def test_a_grid_draws_its_factors_uniformly_and_serves_tables():
    table = torch.arange(24.0)[:, None]
    grid = FactorGrid(SIZES, lambda factors: table[np.ravel_multi_index(factors.T, SIZES)])
    factors = grid.sample(6000, seed=1)
    assert factors.shape == (6000, 3)
    assert (factors == grid.sample(6000, seed=1)).all()
    assert np.unique(factors, axis=0).tolist() == np.unique(GRID, axis=0).tolist()
    assert np.bincount(grid.images(factors)[:, 0].long(), minlength=24) == pytest.approx(np.full(24, 250), rel=0.3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FactorGrid((), print), ValueError, "but got none"),
        (lambda: FactorGrid((3, 1), print), ValueError, r"sizes\[1\] must be a whole number of at least 2"),
        (lambda: FactorGrid((3, 2), 5), TypeError, "images must be a function"),
        (lambda: IMAGES.sample(0), ValueError, "n must be"),
        (lambda: factor_vae_score(np.asarray, FactorGrid((3,), torch.tensor)), ValueError, "at least 2 of them"),
        (lambda: beta_vae_score(np.asarray, FactorGrid((3,), torch.tensor)), ValueError, "at least 2 of them"),
        (lambda: factor_vae_score(np.asarray, IMAGES, num_votes=2), ValueError, "num_votes must be .* at least 3"),
        (lambda: factor_vae_score(np.asarray, IMAGES, min_std=-1), ValueError, "min_std must be"),
        (lambda: beta_vae_score(np.asarray, IMAGES, group_size=1), ValueError, "group_size must be"),
        (lambda: beta_vae_score(lambda x: x[:3], IMAGES), ValueError, "one row per image, but got 3 rows for 512"),
        (
            lambda: factor_vae_score(lambda x: x[:, 0], IMAGES),
            ValueError,
            "the codes returned by encode must have shape",
        ),
        (lambda: factor_vae_score(lambda x: x / 0, IMAGES), ValueError, "the codes returned by encode must be finite"),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_votes_may_have_any_numbers():
    dims, factors = [10**9, 3, 10**9, 3, 3], [10**12, 0, 10**12, 5, 0]
    assert majority_accuracy(dims, factors, [10**9, 3, 3, 4], [10**12, 0, 5, 0]) == 0.5

"""Disentanglement scores: constructed codes, what must not matter, and every formula as a textbook loop."""

import math
import sys
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from infogan_lib.metrics._arrays import samples, seeded, split, standardized
from infogan_lib.metrics.disentanglement import DisentanglementScores, disentanglement
from infogan_lib.metrics.information_scores import (
    mig,
    mig_from_information,
    modularity,
    modularity_from_information,
    mutual_information,
)
from infogan_lib.metrics.intervention_scores import (
    FactorGrid,
    beta_vae_score,
    factor_vae_score,
    least_varying,
    majority_accuracy,
    vote_score,
)
from infogan_lib.metrics.predictor_scores import DCI, dci, dci_from_importance, explicitness, sap

SIZES = (2, 3, 4)
GRID = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), axis=-1).reshape(-1, 3).repeat(40, axis=0)
"""Every combination of three factors, forty times: exactly independent."""
IMAGES = FactorGrid(SIZES, lambda factors: torch.as_tensor(factors).double())

of_samples = [mig, modularity, sap, dci, explicitness]
tables = arrays(np.float64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.floats(0, 10))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def entangled(seed=0):
    """Four codes: two that lean on one factor each, a mixture, and noise."""
    mixed = GRID @ noise(3, 4, seed=seed)
    return mixed + 0.3 * noise(*mixed.shape, seed=seed + 1) + 2 * np.pad(GRID[:, :2], ((0, 0), (0, 2)))


def two_valued_entropy(share):
    return -(share * math.log(share) + (1 - share) * math.log(1 - share))


def halves(codes, factors, seed):
    found, true = samples(codes, factors)
    return split(standardized(found), true, seeded(seed))


def test_codes_that_are_the_factors_score_one():
    scores = disentanglement(GRID.astype(float), GRID)
    assert scores.mig == pytest.approx(1, abs=1e-12)
    assert scores.modularity == pytest.approx(1, abs=1e-12)
    assert (scores.disentanglement, scores.completeness, scores.informativeness) == (1, 1, 1)
    assert scores.explicitness > 0.999
    assert sap(GRID, GRID, form="regression") == pytest.approx(1, abs=1e-12)
    two_valued = GRID % 2
    assert sap(two_valued, two_valued) == pytest.approx(0.5, abs=0.1)  # right in all cases less right in half of them
    assert factor_vae_score(np.asarray, IMAGES, votes=60) == 1
    assert beta_vae_score(np.asarray, IMAGES, points=60) == 1


def test_the_scores_agree_with_the_functions_and_lie_between_0_and_1():
    codes = entangled()
    scores = disentanglement(codes, GRID, bins=10, seed=3)
    assert isinstance(scores, DisentanglementScores)
    parts = dci(codes, GRID, seed=3)
    assert asdict(scores) == {
        "mig": mig(codes, GRID, bins=10),
        "sap": sap(codes, GRID, seed=3),
        "disentanglement": parts.disentanglement,
        "completeness": parts.completeness,
        "informativeness": parts.informativeness,
        "modularity": modularity(codes, GRID, bins=10),
        "explicitness": explicitness(codes, GRID, seed=3),
    }
    assert all(0 < score < 1 for score in asdict(scores).values())


def test_order_sign_scale_and_offset_of_the_codes_do_not_matter():
    codes = entangled()
    changed = (codes * [-3, 1e-9, 1e6, -1] + [5, 0, 1, 2])[:, [2, 0, 3, 1]]
    assert mig(changed, GRID) == pytest.approx(mig(codes, GRID), abs=1e-9)
    assert modularity(changed, GRID) == pytest.approx(modularity(codes, GRID), abs=1e-9)
    assert sap(changed, GRID) == pytest.approx(sap(codes, GRID), abs=1e-6)
    assert sap(changed, GRID, form="regression") == pytest.approx(sap(codes, GRID, form="regression"), abs=1e-6)
    assert explicitness(changed, GRID) == pytest.approx(explicitness(codes, GRID), abs=1e-3)
    before, after = asdict(dci(codes, GRID)), asdict(dci(changed, GRID))
    assert after == pytest.approx(before, abs=0.05)  # forests draw their columns in another order


def test_names_and_order_of_the_factors_do_not_matter():
    codes, renamed = entangled(), GRID[:, [2, 0, 1]] * 1000 - 7
    assert mig(codes, renamed) == pytest.approx(mig(codes, GRID), abs=1e-12)
    assert modularity(codes, renamed) == pytest.approx(modularity(codes, GRID), abs=1e-12)
    assert sap(codes, renamed) == pytest.approx(sap(codes, GRID), abs=1e-12)
    assert explicitness(codes, renamed) == pytest.approx(explicitness(codes, GRID), abs=1e-9)


def test_random_codes_are_at_chance():
    codes = noise(4000, 5)
    factors = np.random.default_rng(1).integers(0, SIZES, (4000, 3))
    scores = disentanglement(codes, factors)
    assert max(scores.mig, scores.disentanglement, scores.completeness) < 0.03
    assert scores.sap < 0.04
    assert scores.informativeness == pytest.approx(np.mean([1 / n for n in SIZES]), abs=0.04)
    assert scores.explicitness == pytest.approx(0.5, abs=0.03)
    rng = np.random.default_rng(2)
    assert factor_vae_score(lambda x: rng.normal(size=(len(x), 5)), IMAGES, votes=300) == pytest.approx(1 / 3, abs=0.08)
    assert beta_vae_score(lambda x: rng.normal(size=(len(x), 40)), IMAGES, points=120) < 0.5  # fitted ones: above 0.8


def test_a_code_that_holds_two_factors_costs_modularity_and_disentanglement_but_not_completeness():
    merged = np.stack([GRID[:, 0] * 3 + GRID[:, 1], GRID[:, 2]], axis=1).astype(float)
    assert mig(merged, GRID) == pytest.approx(1, abs=1e-12)
    shares = [(math.log(2) / math.log(3)) ** 2 / 2, 0]
    assert modularity(merged, GRID) == pytest.approx(1 - np.mean(shares), abs=1e-12)
    scores = dci(merged, GRID)
    first_code = 1 - math.log(2) / math.log(3)
    assert scores.disentanglement == pytest.approx((2 * first_code + 1) / 3, abs=1e-12)
    assert (scores.completeness, scores.informativeness) == (1, 1)


def test_a_factor_held_by_two_codes_costs_mig_sap_and_completeness_but_not_modularity():
    twice = np.concatenate([GRID, GRID], axis=1).astype(float)
    assert mig(twice, GRID) == pytest.approx(0, abs=1e-12)
    assert sap(twice, GRID) == pytest.approx(0, abs=1e-12)
    assert sap(twice, GRID, form="regression") == pytest.approx(0, abs=1e-12)
    assert modularity(twice, GRID) == pytest.approx(1, abs=1e-12)
    scores = dci(twice, GRID)
    assert (scores.disentanglement, scores.informativeness) == (1, 1)
    assert scores.completeness < 0.8
    assert factor_vae_score(lambda x: np.concatenate([x, x], axis=1), IMAGES, votes=60) == 1


def test_constant_codes_have_documented_scores():
    scores = disentanglement(np.full((len(GRID), 3), 1e30), GRID)
    assert asdict(scores) == asdict(scores) | {
        "mig": 0,
        "sap": 0,
        "disentanglement": 0,
        "completeness": 0,
        "modularity": 0,
        "explicitness": 0.5,
    }
    assert factor_vae_score(lambda x: np.ones((len(x), 2)), IMAGES, votes=6) == 0
    assert beta_vae_score(lambda x: np.ones((len(x), 2)), IMAGES, points=60) == pytest.approx(1 / 3)


def test_a_dead_code_beside_perfect_ones_costs_only_modularity():
    codes = np.concatenate([GRID, np.zeros((len(GRID), 1))], axis=1)
    assert mig(codes, GRID) == pytest.approx(1, abs=1e-12)
    assert modularity(codes, GRID) == pytest.approx(3 / 4, abs=1e-12)
    assert dci(codes, GRID) == DCI(1, 1, 1)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1.7e308 / 4])
def test_no_size_of_finite_codes_overflows(scale):
    codes = (GRID - GRID.mean(0)) * scale
    assert mig(codes, GRID) == pytest.approx(1, abs=1e-12)
    assert dci(codes, GRID).disentanglement == 1
    assert factor_vae_score(lambda x: (np.asarray(x) - 1) * scale, IMAGES, votes=12, samples=100) == 1
    assert beta_vae_score(lambda x: (np.asarray(x) - 1) * scale, IMAGES, points=60) == 1


def test_mig_by_hand():
    information = [[0.5, 0.1], [0.2, 0.6], [0.1, 0.4]]
    entropies = [math.log(2), math.log(4)]
    expected = ((0.5 - 0.2) / math.log(2) + (0.6 - 0.4) / math.log(4)) / 2
    assert mig_from_information(information, entropies) == pytest.approx(expected, abs=1e-12)


def test_mig_of_eight_samples_by_hand():
    factor = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    knows = factor * 1.0
    half = np.array([0, 0, 0, 1, 1, 1, 1, 0]) * 5.0  # agrees three times of four in either half
    knowledge = math.log(2) - two_valued_entropy(1 / 4)
    codes = np.stack([half, knows], axis=1)
    table = mutual_information(codes, factor[:, None])
    assert table[:, 0] == pytest.approx([knowledge, math.log(2)], abs=1e-12)
    assert mig(codes, factor[:, None]) == pytest.approx(1 - knowledge / math.log(2), abs=1e-12)


def test_a_value_on_an_edge_belongs_to_the_bin_above():
    code = np.array([0, 1, 2, 3, 4] * 3)
    shares = {edge: mutual_information(code[:, None], (code >= edge)[:, None], bins=4).item() for edge in (1, 2, 3, 4)}
    whole = {edge: two_valued_entropy(edge / 5) for edge in (1, 2, 3, 4)}
    assert [shares[edge] for edge in (1, 2, 3)] == pytest.approx([whole[edge] for edge in (1, 2, 3)], abs=1e-12)
    assert shares[4] < whole[4] - 0.1  # the last bin holds its upper end as well


def test_modularity_by_hand():
    information = [[0.4, 0.2, 0.1], [0, 0.3, 0], [0, 0, 0]]
    first = 1 - (0.2**2 + 0.1**2) / (2 * 0.4**2)
    assert modularity_from_information(information) == pytest.approx((first + 1 + 0) / 3, abs=1e-12)


def test_dci_by_hand():
    importance = [[0.8, 0.2], [0.2, 0.2], [0, 0.6]]
    rows = [1 + (0.8 * math.log2(0.8) + 0.2 * math.log2(0.2)), 0, 1]
    columns = [
        1 + (0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(3),
        1 + (0.4 * math.log(0.2) + 0.6 * math.log(0.6)) / math.log(3),
    ]
    expected = (1.0 * rows[0] + 0.4 * rows[1] + 0.6 * rows[2]) / 2, sum(columns) / 2
    assert dci_from_importance(importance) == pytest.approx(expected, abs=1e-12)
    assert dci_from_importance(np.eye(3)) == (1, 1)
    assert dci_from_importance(np.ones((2, 5))) == pytest.approx((0, 0), abs=1e-12)
    assert dci_from_importance(np.zeros((2, 2))) == (0, 0)


@given(tables)
def test_dci_as_a_double_loop(importance):
    def concentration(table):
        total, score = sum(map(sum, table)), 0.0
        for row in table:
            entropy = 0.0
            for value in row:
                if value > 0 and value / sum(row) > 0:
                    entropy -= value / sum(row) * math.log(value / sum(row), len(row))
            score += sum(row) / total * (1 - entropy) if total > 0 else 0
        return score

    found = dci_from_importance(importance)
    assert found == pytest.approx((concentration(importance.tolist()), concentration(importance.T.tolist())), abs=1e-9)
    assert all(0 <= score <= 1 for score in found)
    assert dci_from_importance(importance.T) == found[::-1]


@given(
    arrays(np.float64, st.tuples(st.integers(4, 30), st.integers(1, 3)), elements=st.floats(-10, 10, width=16)),
    st.integers(2, 8),
    st.integers(0, 100),
)
def test_mutual_information_as_a_double_loop(codes, bins, seed):
    factors = np.random.default_rng(seed).integers(0, 3, (len(codes), 2))
    factors[:2] = [[0, 0], [1, 1]]
    n, table = len(codes), mutual_information(codes, factors, bins=bins)
    for d, code in enumerate(codes.T):
        edges = np.linspace(code.min(), code.max(), bins + 1)
        binned = [sum(value >= edge for edge in edges[1:-1]) for value in code]
        for k, factor in enumerate(factors.T.tolist()):
            joint, first, second = Counter(zip(binned, factor, strict=True)), Counter(binned), Counter(factor)
            expected = sum(m / n * math.log(m * n / (first[a] * second[b])) for (a, b), m in joint.items())
            assert table[d, k] == pytest.approx(expected, abs=1e-12)
            assert 0 <= table[d, k] <= math.log(3) + 1e-12


def test_sap_as_a_double_loop():
    codes, seed = entangled(), 5
    part = halves(codes, GRID, seed)
    gaps = []
    for k in range(3):
        right = []
        for d in range(4):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(
                part.codes[:, [d]], part.factors[:, k]
            )
            right.append(machine.score(part.held_codes[:, [d]], part.held_factors[:, k]))
        gaps.append(sorted(right)[-1] - sorted(right)[-2])
    assert sap(codes, GRID, seed=seed) == pytest.approx(np.mean(gaps), abs=1e-12)


def test_sap_of_ordered_factors_as_a_double_loop():
    codes = entangled()
    squares = np.array([[np.corrcoef(code, factor)[0, 1] ** 2 for factor in GRID.T] for code in codes.T])
    ranked = np.sort(squares, axis=0)
    expected = np.mean(ranked[-1] - ranked[-2])
    assert sap(codes, GRID, form="regression") == pytest.approx(expected, abs=1e-12)


def test_explicitness_as_a_count_of_pairs():
    codes, seed = entangled()[:, :1], 2
    part = halves(codes, GRID[:, 1:], seed)
    of_factors = []
    for column, held in zip(part.factors.T, part.held_factors.T, strict=True):
        sure = LogisticRegression(max_iter=5000).fit(part.codes, column).predict_proba(part.held_codes)
        areas = []
        for value in range(sure.shape[1]):
            inside, outside = sure[held == value, value][:, None], sure[held != value, value]
            areas.append(np.mean((inside > outside) + 0.5 * (inside == outside)))
        of_factors.append(np.mean(areas))
    assert explicitness(codes, GRID[:, 1:], seed=seed) == pytest.approx(np.mean(of_factors), abs=1e-12)


def test_what_is_held_out_shares_nothing_with_what_is_fitted():
    codes = np.arange(len(GRID))[:, None] * 1.0
    part = split(codes, GRID, seeded(0))
    assert sorted(np.concatenate([part.codes, part.held_codes])[:, 0]) == codes[:, 0].tolist()
    assert len(part.held_codes) == len(GRID) // 4
    assert (part.factors == GRID[part.codes[:, 0].astype(int)]).all()
    assert (part.held_factors == GRID[part.held_codes[:, 0].astype(int)]).all()


def test_majority_vote_by_hand():
    dimensions, factors = [0, 0, 0, 1, 1, 2], [1, 1, 0, 0, 0, 1]  # 0 -> 1, 1 -> 0, 2 -> 1
    assert majority_accuracy(dimensions, factors, [0, 0, 1, 1, 2], [1, 0, 0, 1, 1]) == 3 / 5
    assert majority_accuracy(dimensions, factors, [3, 3, 1], [0, 1, 0]) == 1 / 3


def test_least_varying_by_hand():
    reference = np.array([[900.0, 0, 0, 5], [902, 20, 200, 5]])  # variances 1, 100, 10000 and none
    groups = np.array([[[900, 0, 0, 5], [901, 2, 200, 5]], [[900, 0, 0, 5], [902, 20, 20, 5.0]]])
    assert least_varying(groups, reference).tolist() == [1, 2]
    assert least_varying(groups, reference, dead=10).tolist() == [2, 2]
    assert least_varying(groups, reference, dead=100) is None
    assert vote_score(groups, np.array([0, 0]), reference) == 0
    assert vote_score(groups, np.array([0, 0]), reference, dead=10) == 1


def test_factor_vae_score_as_a_loop():
    mixing = np.eye(3, 4) + 0.8 * noise(3, 4)
    votes, group, drawn = 40, 8, []

    def encode(images):
        drawn.append(np.asarray(images))
        return drawn[-1] @ mixing

    score = factor_vae_score(encode, IMAGES, votes=votes, group=group, samples=100, batch_size=10**6, seed=4)
    reference, groups = drawn[0], drawn[1].reshape(2 * votes, group, 3)
    spread = [np.var(code) for code in (reference @ mixing).T]
    table, right = np.zeros((4, 3)), 0
    for v, factors in enumerate(groups):
        assert len(set(factors[:, v % 3])) == 1
        quietest = min(range(4), key=lambda d: np.var((factors @ mixing)[:, d]) / spread[d])
        if v < votes:
            table[quietest, v % 3] += 1
        else:
            right += int(table[quietest].argmax() == v % 3 and table[quietest].any())
    assert score == pytest.approx(right / votes, abs=1e-12)
    assert 1 / 3 < score < 1


def test_beta_vae_score_looks_at_pairs_that_share_one_factor():
    drawn = []

    def encode(images):
        drawn.append(np.asarray(images))
        return drawn[-1]

    beta_vae_score(encode, IMAGES, points=6, group=20, batch_size=10**6)
    first, second = drawn[0].reshape(2, 12, 20, 3)
    for p in range(12):
        shared = (first[p] == second[p]).all(axis=0)
        assert shared[p % 3]
        assert shared.sum() == 1


def test_beta_vae_score_of_a_code_that_says_nothing_of_a_factor():
    assert beta_vae_score(lambda x: np.asarray(x)[:, [0, 0, 0]], IMAGES, points=120) == pytest.approx(2 / 3, abs=0.12)


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_intervention_scores_depend_on_the_seed_and_not_on_batches_or_global_state(score):
    def encode(images):
        return images @ torch.tensor(np.eye(3) + noise(3, 3))

    count = {"votes": 30} if score is factor_vae_score else {"points": 30}
    found = score(encode, IMAGES, **count, group=4, seed=1)
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert score(encode, IMAGES, **count, group=4, seed=1, batch_size=37) == pytest.approx(found, abs=1e-12)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert any(score(encode, IMAGES, **count, group=4, seed=seed) != found for seed in range(2, 6))


@pytest.mark.parametrize("score", [sap, dci, explicitness])
def test_predictor_scores_depend_on_the_seed_and_not_on_global_state(score):
    codes = entangled()
    found = score(codes, GRID, seed=1)
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert score(codes, GRID, seed=1) == found
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert score(codes, GRID, seed=2) != found
    assert score(codes, GRID, seed=2**40) != found


def test_tensors_and_lists_are_taken_and_left_alone():
    codes = torch.tensor(entangled(), requires_grad=True)
    before = codes.detach().clone()
    assert mig(codes, torch.tensor(GRID)) == mig(codes.detach().numpy(), GRID)
    assert mig(codes.tolist(), GRID.tolist()) == mig(codes, GRID)
    assert torch.equal(codes, before)


def test_a_grid_draws_its_factors_uniformly_and_serves_tables():
    table = torch.arange(24.0)[:, None]
    grid = FactorGrid(SIZES, lambda factors: table[np.ravel_multi_index(factors.T, SIZES)])
    factors = grid.sample(6000, seed=1)
    assert factors.shape == (6000, 3)
    assert (factors == grid.sample(6000, seed=1)).all()
    assert np.unique(factors, axis=0).tolist() == np.unique(GRID, axis=0).tolist()
    assert np.bincount(grid.images(factors)[:, 0].long(), minlength=24) == pytest.approx(np.full(24, 250), rel=0.3)


nan = np.full((8, 2), np.nan)
two = np.arange(16.0).reshape(8, 2)
factor = np.array([0, 1] * 4)[:, None]


@pytest.mark.parametrize("score", [*of_samples, mutual_information, disentanglement])
@pytest.mark.parametrize(
    ("codes", "factors", "error", "message"),
    [
        (two[:7], factor, ValueError, "equally long, but got 7 and 8"),
        (nan, factor, ValueError, "codes must be finite"),
        (np.full((8, 2), np.inf), factor, ValueError, "codes must be finite"),
        (two[:, 0], factor, ValueError, r"codes must have shape \(N, D\).*codes\[:, None\]"),
        (two[:0], factor[:0], ValueError, r"but got \(0, 2\)"),
        (two * 1j, factor, TypeError, "codes must be real numbers, but got complex128"),
        (two, factor[:, 0], ValueError, r"factors must have shape \(N, K\).*factors\[:, None\]"),
        (two, factor * 0.5, TypeError, "factors must be whole numbers, but got float64"),
        (two, factor * 0 + 3, ValueError, "factor 0 is 3 in all samples.*leave it out"),
    ],
)
def test_bad_samples_are_refused(score, codes, factors, error, message):
    with pytest.raises(error, match=message):
        score(codes, factors)


@pytest.mark.parametrize("score", [mig, sap, dci, disentanglement])
def test_one_code_has_no_second_one(score):
    with pytest.raises(ValueError, match="this score compares codes, so it needs at least 2 of them, but got 1"):
        score(GRID[:, :1], GRID)


@pytest.mark.parametrize("score", [modularity, dci, disentanglement])
def test_one_factor_has_nothing_to_be_told_from(score):
    with pytest.raises(ValueError, match="this score compares factors, so it needs at least 2 of them, but got 1"):
        score(GRID, GRID[:, :1])


@pytest.mark.parametrize("score", [sap, dci, explicitness])
def test_too_few_samples_to_hold_any_out(score):
    distinct = np.arange(12).reshape(6, 2)
    with pytest.raises(ValueError, match="of factor 0, fewer than two values occur both among the 5 samples"):
        score(distinct, distinct)


def test_too_few_samples_to_grow_a_tree():
    with pytest.raises(ValueError, match="no tree with leaves of 10 samples can split the 18.*at least 27 samples"):
        dci(GRID[::40], GRID[::40] % 2)
    assert dci(GRID[::40], GRID[::40] % 2, leaf=1).informativeness > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mig(GRID, GRID, bins=1), ValueError, "bins must be a whole number of at least 2"),
        (lambda: dci(GRID, GRID, trees=0), ValueError, "trees must be"),
        (lambda: dci(GRID, GRID, seed=-1), ValueError, "seed must be"),
        (lambda: sap(GRID, GRID, form="svm"), ValueError, "form must be one of"),
        (lambda: mig_from_information([[1, 1]], [1, 1]), ValueError, "D >= 2"),
        (lambda: mig_from_information([[1], [1]], [0]), ValueError, "above 0"),
        (lambda: modularity_from_information([[1], [1]]), ValueError, "K >= 2"),
        (lambda: modularity_from_information([[-1, 1]]), ValueError, "finite numbers from 0"),
        (lambda: dci_from_importance([[1, -1], [1, 1]]), ValueError, "finite numbers from 0"),
        (lambda: dci_from_importance([[1, 1]]), ValueError, "D, K >= 2"),
        (lambda: FactorGrid((), print), ValueError, "but got none"),
        (lambda: FactorGrid((3, 1), print), ValueError, r"sizes\[1\] must be a whole number of at least 2"),
        (lambda: FactorGrid((3, 2), 5), TypeError, "images must be a function"),
        (lambda: IMAGES.sample(0), ValueError, "n must be"),
        (lambda: factor_vae_score(np.asarray, FactorGrid((3,), torch.tensor)), ValueError, "at least 2 of them"),
        (lambda: beta_vae_score(np.asarray, FactorGrid((3,), torch.tensor)), ValueError, "at least 2 of them"),
        (lambda: factor_vae_score(np.asarray, IMAGES, votes=2), ValueError, "votes must be .* at least 3"),
        (lambda: factor_vae_score(np.asarray, IMAGES, dead=-1), ValueError, "dead must be"),
        (lambda: beta_vae_score(np.asarray, IMAGES, group=1), ValueError, "group must be"),
        (lambda: beta_vae_score(lambda x: x[:3], IMAGES), ValueError, "one row per image, but got 3 rows for 512"),
        (lambda: factor_vae_score(lambda x: x[:, 0], IMAGES), ValueError, "what encode returns must have shape"),
        (lambda: factor_vae_score(lambda x: x / 0, IMAGES), ValueError, "what encode returns must be finite"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("score", [sap, dci, explicitness, disentanglement])
def test_a_missing_scikit_learn_is_named_with_its_command(score, monkeypatch):
    for module in ("sklearn.svm", "sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"needs scikit-learn: pip install 'infogan-lib\[eval\]'"):
        score(GRID, GRID)
    with pytest.raises(ImportError, match=r"beta_vae_score needs scikit-learn: pip install 'infogan-lib\[eval\]'"):
        beta_vae_score(np.asarray, IMAGES)
    assert mig(GRID, GRID) == pytest.approx(1)
    assert factor_vae_score(np.asarray, IMAGES, votes=6, samples=50) == 1

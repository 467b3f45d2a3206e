"""SAP, DCI and explicitness: by hand, and as textbook loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from factor_data import GRID, entangled
from infogan_lib.metrics._arrays import check_samples, make_rng, split, standardize
from infogan_lib.metrics.predictor_scores import dci, dci_from_importance, explicitness, sap

tables = arrays(np.float64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.floats(0, 10))


def halves(codes, factors, seed):
    codes, factors = check_samples(codes, factors)
    return split(standardize(codes), factors, make_rng(seed))


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

    result = dci_from_importance(importance)
    assert result == pytest.approx((concentration(importance.tolist()), concentration(importance.T.tolist())), abs=1e-9)
    assert all(0 <= score <= 1 for score in result)
    assert dci_from_importance(importance.T) == result[::-1]


def test_sap_as_a_double_loop():
    codes, seed = entangled(), 5
    part = halves(codes, GRID, seed)
    gaps = []
    for k in range(3):
        right = []
        for d in range(4):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(
                part.train_codes[:, [d]], part.train_factors[:, k]
            )
            right.append(machine.score(part.test_codes[:, [d]], part.test_factors[:, k]))
        gaps.append(sorted(right)[-1] - sorted(right)[-2])
    assert sap(codes, GRID, seed=seed) == pytest.approx(np.mean(gaps), abs=1e-12)


def test_sap_of_ordered_factors_as_a_double_loop():
    codes = entangled()
    squares = np.array([[np.corrcoef(code, factor)[0, 1] ** 2 for factor in GRID.T] for code in codes.T])
    ranked = np.sort(squares, axis=0)
    expected = np.mean(ranked[-1] - ranked[-2])
    assert sap(codes, GRID, method="regression") == pytest.approx(expected, abs=1e-12)


def test_explicitness_as_a_count_of_pairs():
    codes, seed = entangled()[:, :1], 2
    part = halves(codes, GRID[:, 1:], seed)
    factor_areas = []
    for column, held in zip(part.train_factors.T, part.test_factors.T, strict=True):
        sure = LogisticRegression(max_iter=5000).fit(part.train_codes, column).predict_proba(part.test_codes)
        areas = []
        for value in range(sure.shape[1]):
            inside, outside = sure[held == value, value][:, None], sure[held != value, value]
            areas.append(np.mean((inside > outside) + 0.5 * (inside == outside)))
        factor_areas.append(np.mean(areas))
    assert explicitness(codes, GRID[:, 1:], seed=seed) == pytest.approx(np.mean(factor_areas), abs=1e-12)


def test_what_is_held_out_shares_nothing_with_what_is_fitted():
    codes = np.arange(len(GRID))[:, None] * 1.0
    part = split(codes, GRID, make_rng(0))
    assert sorted(np.concatenate([part.train_codes, part.test_codes])[:, 0]) == codes[:, 0].tolist()
    assert len(part.test_codes) == len(GRID) // 4
    assert (part.train_factors == GRID[part.train_codes[:, 0].astype(int)]).all()
    assert (part.test_factors == GRID[part.test_codes[:, 0].astype(int)]).all()


@pytest.mark.parametrize("score", [sap, dci, explicitness])
def test_predictor_scores_depend_on_the_seed_and_not_on_global_state(score):
    codes = entangled()
    result = score(codes, GRID, seed=1)
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert score(codes, GRID, seed=1) == result
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert score(codes, GRID, seed=2) != result
    assert score(codes, GRID, seed=2**40) != result


@pytest.mark.parametrize("score", [sap, dci, explicitness])
def test_too_few_samples_to_hold_any_out(score):
    distinct = np.arange(12).reshape(6, 2)
    with pytest.raises(ValueError, match="of factor 0, fewer than two values occur both among the 5 samples"):
        score(distinct, distinct)


def test_too_few_samples_to_grow_a_tree():
    with pytest.raises(ValueError, match="no tree with leaves of 10 samples can split the 18.*at least 27 samples"):
        dci(GRID[::40], GRID[::40] % 2)
    assert dci(GRID[::40], GRID[::40] % 2, min_samples_leaf=1).informativeness > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dci(GRID, GRID, num_trees=0), ValueError, "num_trees must be"),
        (lambda: dci(GRID, GRID, seed=-1), ValueError, "seed must be"),
        (lambda: sap(GRID, GRID, method="svm"), ValueError, "method must be one of"),
        (lambda: dci_from_importance([[1, -1], [1, 1]]), ValueError, "finite numbers from 0"),
        (lambda: dci_from_importance([[1, 1]]), ValueError, "D, K >= 2"),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""MIG and modularity: by hand, and the mutual information as a double loop."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from factor_data import GRID
from infogan_lib.metrics.information_scores import (
    mig,
    mig_from_information,
    modularity_from_information,
    mutual_information,
)


def two_valued_entropy(share):
    return -(share * math.log(share) + (1 - share) * math.log(1 - share))


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


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mig(GRID, GRID, bins=1), ValueError, "bins must be a whole number of at least 2"),
        (lambda: mig_from_information([[1, 1]], [1, 1]), ValueError, "D >= 2"),
        (lambda: mig_from_information([[1], [1]], [0]), ValueError, "above 0"),
        (lambda: modularity_from_information([[1], [1]]), ValueError, "K >= 2"),
        (lambda: modularity_from_information([[-1, 1]]), ValueError, "finite numbers from 0"),
    ],
)
def test_bad_arguments_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()

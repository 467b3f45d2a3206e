"""Categories against labels: constructed cases, and every one-to-one matching tried by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from infogan_lib.metrics import match_categories

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(pairs)
def test_accuracy_is_the_best_over_all_matchings(samples):
    categories, labels = np.array(samples).T
    match = match_categories(categories, labels, category_count=5, label_count=5)
    best = max(np.mean(np.array(order)[categories] == labels) for order in permutations(range(5)))
    assert match.accuracy == pytest.approx(best)
    assert match.accuracy <= match.purity <= 1
    assert match.contingency.sum() == len(samples)
    assert np.mean(match.label_per_category[categories] == labels) == pytest.approx(match.accuracy)


@given(pairs, st.permutations(range(5)))
def test_renaming_the_categories_changes_nothing(samples, order):
    categories, labels = np.array(samples).T
    before = match_categories(categories, labels, category_count=5)
    after = match_categories(np.array(order)[categories], labels, category_count=5)
    assert after.accuracy == pytest.approx(before.accuracy)
    assert after.purity == pytest.approx(before.purity)


def test_purity_of_each_category_and_what_is_left_over():
    match = match_categories([0, 0, 0, 1, 1, 3], [2, 2, 0, 1, 1, 1], category_count=5, label_count=4)
    assert match.category_purity.tolist() == pytest.approx([2 / 3, 1, float("nan"), 1, float("nan")], nan_ok=True)
    assert match.unmatched_categories == [2, 3, 4]
    assert match.unmatched_labels == [0, 3]


def test_perfect_merged_and_left_over():
    labels = np.array([0, 1, 2, 0, 1, 2])
    perfect = match_categories((labels + 1) % 3, labels)
    assert (perfect.accuracy, perfect.purity) == (1, 1)
    assert perfect.label_per_category.tolist() == [2, 0, 1]
    merged = match_categories(np.zeros(6, int), labels, category_count=4)
    assert merged.accuracy == merged.purity == pytest.approx(1 / 3)
    assert (merged.label_per_category == -1).sum() == 1
    assert merged.contingency[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("categories", "labels", "message"),
    [
        ([0, 1], [0], "equally long, but got 2 and 1"),
        ([], [], r"categories must have shape \(N,\) with N >= 1"),
        ([0.5], [0], "categories must be whole numbers from 0"),
        ([0], [-1], "labels must be whole numbers from 0"),
        ([0, 1], np.array([0, 2**64 - 1], np.uint64), "labels must be whole numbers .* from 0 to 18446744073709551615"),
        (np.array([0, 2**63], np.uint64), [0, 1], "categories must be whole numbers from 0"),
        ([[0]], [0], r"but got \(1, 1\)"),
    ],
)
def test_refusals(categories, labels, message):
    with pytest.raises(ValueError, match=message):
        match_categories(np.array(categories), np.array(labels))


def test_counts_must_cover_the_values():
    with pytest.raises(ValueError, match="category_count is 2, but a value of 3 was found"):
        match_categories([3], [0], category_count=2)


@given(pairs)
def test_nmi_and_ari_are_scikit_learns_of_the_samples(samples):
    categories, labels = np.array(samples).T
    match = match_categories(categories, labels)
    assert match.nmi == pytest.approx(metrics.normalized_mutual_info_score(labels, categories), abs=1e-12)
    assert match.ari == pytest.approx(metrics.adjusted_rand_score(labels, categories), abs=1e-12)
    assert match.category_counts.tolist() == np.bincount(categories).tolist()


def test_nmi_and_ari_of_known_groupings():
    labels = np.repeat([0, 1, 2], 20)
    perfect = match_categories((labels + 1) % 3, labels)
    assert (perfect.nmi, perfect.ari) == (pytest.approx(1), pytest.approx(1))
    alone = match_categories(np.zeros(60, int), labels, category_count=10)
    assert (alone.nmi, alone.ari, alone.category_counts.tolist()) == (0, 0, [60] + [0] * 9)
    # Two halves that were put together: I = ln 3 - (2/3) ln 2, H = ln 3 and ln 3 - (2/3) ln 2.
    merged = match_categories(np.minimum(labels, 1), labels)
    shared = np.log(3) - 2 / 3 * np.log(2)
    assert merged.nmi == pytest.approx(2 * shared / (np.log(3) + shared), abs=1e-12)


def test_labels_that_came_out():
    match = match_categories([0, 0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 2, 2, 2], category_count=4, label_count=5)
    # Label 1 may be matched to category 1, of which 2 is the most frequent; 3 and 4 are not there.
    assert match.recovered_labels == [0, 2]
    assert match_categories([1, 0], [0, 1]).recovered_labels == [0, 1]
    # Label 1 is matched to category 1, but most of its samples have label 0.
    assert match_categories([0] * 10 + [1] * 5, [0] * 13 + [1] * 2).recovered_labels == [0]
    assert match_categories([0, 0, 0], [0, 1, 1], category_count=3).recovered_labels == [1]
    assert match_categories([0], [1], label_count=3, category_count=3).recovered_labels == [1]


def test_labels_may_be_any_numbers():
    """A table has a column for each label that occurs, not for each number up to the largest."""
    labels = np.array([10**9, 7, 10**9, 10**15])
    match = match_categories([0, 1, 0, 3], labels, category_count=4)
    assert match.contingency.shape == (4, 3)
    assert match.labels.tolist() == [7, 10**9, 10**15]
    assert match.label_per_category.tolist() == [10**9, 7, -1, 10**15]
    assert (match.accuracy, match.purity, match.nmi) == (1.0, 1.0, 1.0)
    assert (match.unmatched_labels, match.unmatched_categories) == ([], [2])
    assert match.recovered_labels == [7, 10**9, 10**15]


@pytest.mark.parametrize(
    ("categories", "options"), [([10**9], {}), ([0], {"category_count": 10**9}), ([0], {"label_count": 10**9})]
)
def test_tables_that_fit_no_memory_are_refused(categories, options):
    with pytest.raises(ValueError, match=r"a table of [\d,]+ categories and [\d,]+ labels is too large"):
        match_categories(categories, [1], **options)

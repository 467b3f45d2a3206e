r"""Categories against labels: is a categorical code an unsupervised classifier?

The categories of a code come in any order, so they are compared with labels under the best one-to-one matching, the
assignment that maximizes the trace of the contingency table (Kuhn, *The Hungarian method for the assignment problem*,
1955):

.. math:: \mathrm{accuracy} = \max_\pi \frac{1}{N} \sum_i [\,\pi(\mathrm{category}_i) = \mathrm{label}_i\,]

Needs scipy and scikit-learn (the extra `eval`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import MAX_INT64, check_bool, check_int, require_eval
from infogan_lib._html import table
from infogan_lib.metrics._arrays import FloatArray, IntArray, to_array

_MAX_COUNTS = 2**26
"""The largest table, of half a GiB; the assignment takes as much again."""

_MAX_SHOWN = 20
"""The most labels that the text of a match names."""


@dataclass(frozen=True, eq=False, repr=False)
class CategoryMatch:
    """Categories matched to labels, and how well they agree.

    Attributes:
        contingency: Number of samples of each category and label, shape (categories, labels).
        label_per_category: The label matched to each category, shape (categories,); -1 for a category without one.
        accuracy: Fraction of samples whose category is matched to their label, 0 to 1.
        purity: Fraction of samples whose label is the most frequent one of their category, 0 to 1.
        labels: The label of each column of `contingency`, ascending, shape (labels,).
    """

    contingency: IntArray
    label_per_category: IntArray
    accuracy: float
    purity: float
    labels: IntArray

    @property
    def category_counts(self) -> IntArray:
        """Number of samples in each category, shape (categories,)."""
        return self.contingency.sum(axis=1)

    @property
    def category_purity(self) -> FloatArray:
        """Fraction of the most frequent label in each category, shape (categories,), 0 to 1; NaN if it is empty."""
        counts = self.category_counts
        return np.divide(self.contingency.max(axis=1), counts, out=np.full(len(counts), np.nan), where=counts > 0)

    @property
    def nmi(self) -> float:
        """Mutual information of categories and labels over the mean of their entropies, 0 to 1.

        1 if both have one value only. Source: Vinh et al., JMLR 2010, NMI_sum.

        Raises:
            ImportError: If scikit-learn is not installed.
        """
        with require_eval("NMI"):
            from sklearn.metrics import normalized_mutual_info_score
        return float(normalized_mutual_info_score(*self._labels_and_categories()))

    @property
    def ari(self) -> float:
        """Adjusted Rand index: 1 for identical groupings, 0 on average for random ones, at least -0.5.

        Source: Hubert and Arabie, Comparing partitions, 1985.

        Raises:
            ImportError: If scikit-learn is not installed.
        """
        with require_eval("ARI"):
            from sklearn.metrics import adjusted_rand_score
        return float(adjusted_rand_score(*self._labels_and_categories()))

    @property
    def unmatched_categories(self) -> list[int]:
        """Categories without a label, or without any sample of their label."""
        return np.flatnonzero(self._matched_counts() == 0).tolist()

    @property
    def unmatched_labels(self) -> list[int]:
        """Labels without a category, or without any sample in their category."""
        matched = self.label_per_category[self._matched_counts() > 0]
        return np.setdiff1d(self.labels, matched).tolist()

    @property
    def recovered_labels(self) -> list[int]:
        """Labels that are the majority label of their matched category."""
        counts = self._matched_counts()
        is_majority = (counts > 0) & (counts == self.contingency.max(axis=1))
        return np.sort(self.label_per_category[is_majority]).tolist()

    @override
    def __repr__(self) -> str:
        labels = ", ".join(map(str, self.label_per_category[:_MAX_SHOWN]))
        labels += ", ..." if len(self.label_per_category) > _MAX_SHOWN else ""
        return (
            f"CategoryMatch(accuracy={self.accuracy:.3f}, purity={self.purity:.3f}, "
            f"samples={self.contingency.sum()}, label_per_category=[{labels}])"
        )

    def _repr_html_(self) -> str:
        columns = zip(self.label_per_category, self.category_counts, self.category_purity, strict=True)
        rows = [
            [str(category), "none" if label < 0 else str(label), f"{count:,}", f"{purity:.1%}" if count else ""]
            for category, (label, count, purity) in enumerate(columns)
        ]
        caption = f"{self.accuracy:.1%} of {self.contingency.sum():,} samples are in the category of their label"
        return table(rows, header=["category", "label", "samples", "purity"], caption=caption)

    def _matched_counts(self) -> IntArray:
        """Number of samples in each category that have its label, shape (categories,)."""
        labels = self.label_per_category
        columns = np.where(labels < 0, 0, np.searchsorted(self.labels, labels))
        return np.where(labels < 0, 0, self.contingency[np.arange(len(labels)), columns])

    def _labels_and_categories(self) -> tuple[IntArray, IntArray]:
        """Labels and categories, shape (N,) each, with this contingency table."""
        categories, labels = np.indices(self.contingency.shape).reshape(2, -1).repeat(self.contingency.ravel(), axis=1)
        return labels, categories


def match_categories(
    categories: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    category_count: int | None = None,
    label_count: int | None = None,
    identity: bool = False,
) -> CategoryMatch:
    """Match categories to labels so that as many samples as possible agree.

    Args:
        categories: Predicted categories, whole numbers from 0, shape (N,).
        labels: True labels, whole numbers from 0, shape (N,).
        category_count: Number of categories; the largest one plus one if None.
        label_count: Number of labels; those that occur, whatever their numbers, if None.
        identity: Whether category i is label i, as for a `Label` code, so that nothing is matched.

    Raises:
        TypeError: If a count is not a whole number, or `identity` no bool.
        ValueError: If arrays differ in length, are empty, or have values out of range; or if there are too many
            categories and labels for a table.
        ImportError: If scipy is not installed.

    Source: Chen et al., InfoGAN, 2016, section 7.2, match by hand; the assignment is Kuhn's.
    """
    check_bool("identity", identity)
    predicted, true = check_labels("categories", categories), check_labels("labels", labels)
    if len(predicted) != len(true):
        raise ValueError(f"categories and labels must be equally long, but got {len(predicted)} and {len(true)}")
    rows = (
        int(predicted.max()) + 1
        if category_count is None
        else _check_count("category_count", category_count, predicted)
    )
    label_of_column, columns = np.unique(true, return_inverse=True)
    width = len(label_of_column) if label_count is None else _check_count("label_count", label_count, true)
    if rows * width > _MAX_COUNTS:
        raise ValueError(
            f"a table of {rows:,} categories and {width:,} labels is too large, as it may have {_MAX_COUNTS:,} counts; "
            "number categories from 0, as np.unique(categories, return_inverse=True)[1] does"
        )
    if label_count is not None:
        label_of_column, columns = np.arange(width), true
    contingency = np.zeros((rows, width), dtype=np.int64)
    np.add.at(contingency, (predicted, columns), 1)
    matched_categories, matched_labels = _same(label_of_column, rows) if identity else _best(contingency)
    label_per_category = np.full(len(contingency), -1, dtype=np.int64)
    label_per_category[matched_categories] = label_of_column[matched_labels]
    return CategoryMatch(
        contingency=contingency,
        label_per_category=label_per_category,
        accuracy=float(contingency[matched_categories, matched_labels].sum() / len(true)),
        purity=float(contingency.max(axis=1).sum() / len(true)),
        labels=label_of_column,
    )


def _same(labels: IntArray, category_count: int) -> tuple[IntArray, IntArray]:
    """The categories and columns whose category is the label of the column."""
    columns = np.flatnonzero(labels < category_count)
    return labels[columns], columns


def _best(contingency: IntArray) -> tuple[IntArray, IntArray]:
    """The categories and columns of the one-to-one matching with the largest sum."""
    with require_eval("match_categories", "scipy"):
        from scipy.optimize import linear_sum_assignment
    return linear_sum_assignment(contingency, maximize=True)


def check_labels(name: str, values: ArrayLike | Tensor) -> IntArray:
    """Return labels or categories (N,) as whole numbers from 0, or raise an error that names them."""
    array = to_array(name, values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be whole numbers from 0, but got values of type {array.dtype}")
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must have shape (N,) with N >= 1, but got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() > MAX_INT64:
        raise ValueError(
            f"{name} must be whole numbers from 0, but got {array.dtype} from {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)


def _check_count(name: str, count: int, values: IntArray) -> int:
    largest = int(values.max())
    count = check_int(name, count, minimum=1)
    if count <= largest:
        raise ValueError(f"{name} is {count}, but a value of {largest} was found")
    return count

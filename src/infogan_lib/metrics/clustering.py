r"""Categories against labels: is a categorical code an unsupervised classifier?

A code's categories come in any order, so they are compared with labels under the one-to-one matching that suits them
best, the assignment that maximises the trace of the confusion table (Kuhn, 1955):

.. math:: \mathrm{accuracy} = \max_\pi \frac{1}{N} \sum_i [\,\pi(\mathrm{category}_i) = \mathrm{label}_i\,]

Needs scipy (the extra `eval`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infogan_lib._checks import check_int


@dataclass(frozen=True, eq=False)
class CategoryMatch:
    """How categories and labels go together.

    Attributes:
        contingency: counts, shape (categories, labels): how many samples of each label fell into each category.
        label_per_category: the label matched to each category, shape (categories,); -1 for a category left over.
        accuracy: the share of samples whose category is matched to their label, 0 to 1.
        purity: the share of samples whose label is the most frequent one of their category, 0 to 1.
    """

    contingency: NDArray[np.int64]
    label_per_category: NDArray[np.int64]
    accuracy: float
    purity: float

    @property
    def category_counts(self) -> NDArray[np.int64]:
        """How many samples fell into each category, shape (categories,)."""
        return self.contingency.sum(axis=1)

    @property
    def nmi(self) -> float:
        """The mutual information of categories and labels over the mean of their entropies, 0 to 1.

        1 where both have one value only. Source: Vinh et al., JMLR 2010, NMI_sum.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        return float(_metrics().normalized_mutual_info_score(*self._samples()))

    @property
    def ari(self) -> float:
        """The adjusted Rand index: 1 for the same grouping, 0 on average for a random one, at least -0.5.

        Source: Hubert and Arabie, Comparing partitions, 1985.

        Raises:
            ImportError: scikit-learn is not installed.
        """
        return float(_metrics().adjusted_rand_score(*self._samples()))

    def _samples(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Labels and categories that have this table, shape (N,) each."""
        categories, labels = np.indices(self.contingency.shape).reshape(2, -1).repeat(self.contingency.ravel(), axis=1)
        return labels, categories

    @property
    def category_purity(self) -> NDArray[np.float64]:
        """The share of the most frequent label in each category, shape (categories,), 0 to 1; NaN where it is empty."""
        totals = self.contingency.sum(axis=1)
        return np.divide(self.contingency.max(axis=1), totals, out=np.full(len(totals), np.nan), where=totals > 0)

    @property
    def unmatched_categories(self) -> list[int]:
        """Categories for which no label was left, or of which none of the samples has the label matched to it."""
        matched = [
            label >= 0 and row[label] > 0 for row, label in zip(self.contingency, self.label_per_category, strict=True)
        ]
        return [category for category, good in enumerate(matched) if not good]

    @property
    def recovered_labels(self) -> list[int]:
        """Labels that are the most frequent one of the category matched to them: those that came out."""
        matched = [
            (row, int(label))
            for row, label in zip(self.contingency, self.label_per_category, strict=True)
            if label >= 0
        ]
        return sorted(label for row, label in matched if row[label] == row.max() > 0)

    @property
    def unmatched_labels(self) -> list[int]:
        """Labels that no category stands for."""
        left = set(self.unmatched_categories)
        found = {int(label) for category, label in enumerate(self.label_per_category) if category not in left}
        return [label for label in range(self.contingency.shape[1]) if label not in found]


def match_categories(
    categories: ArrayLike, labels: ArrayLike, *, category_count: int | None = None, label_count: int | None = None
) -> CategoryMatch:
    """Match categories to labels so that as many samples as possible agree.

    Args:
        categories: what Q says, whole numbers from 0, shape (N,).
        labels: the true labels, whole numbers from 0, shape (N,).
        category_count, label_count: how many there are; the largest found plus one if None.

    Raises:
        ValueError: arrays of different lengths, empty, or with values out of range.
        ImportError: scipy is not installed.

    Source: Chen et al., InfoGAN, 2016, section 7.2, matches by hand; the assignment is Kuhn's.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError("matching categories needs scipy: pip install 'infogan-lib[eval]'") from error
    found, true = _whole("categories", categories), _whole("labels", labels)
    if len(found) != len(true):
        raise ValueError(f"categories and labels must be equally long, but got {len(found)} and {len(true)}")
    rows, columns = _count("category_count", category_count, found), _count("label_count", label_count, true)
    table = np.zeros((rows, columns), dtype=np.int64)
    np.add.at(table, (found, true), 1)
    matched = linear_sum_assignment(table, maximize=True)
    label_per_category = np.full(rows, -1, dtype=np.int64)
    label_per_category[matched[0]] = matched[1]
    return CategoryMatch(
        contingency=table,
        label_per_category=label_per_category,
        accuracy=float(table[matched].sum() / len(true)),
        purity=float(table.max(axis=1).sum() / len(true)),
    )


def _metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError("NMI and ARI need scikit-learn: pip install 'infogan-lib[eval]'") from error
    return metrics


def _whole(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must have shape (N,) with N >= 1, but got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
        raise ValueError(f"{name} must be whole numbers from 0, but got {array.dtype} from {array.min()}")
    return array.astype(np.int64)


def _count(name: str, count: int | None, values: NDArray[np.int64]) -> int:
    largest = int(values.max())
    if count is None:
        return largest + 1
    if check_int(name, count, minimum=1) <= largest:
        raise ValueError(f"{name} is {count}, but a value of {largest} was found")
    return count

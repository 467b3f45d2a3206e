r"""Scores from how well factors are predicted from codes: SAP, DCI and explicitness.

With :math:`S_{dk}` the accuracy of predicting factor k from code d alone, and :math:`R_{dk}` the importance of code d
for predicting factor k from all codes:

.. math::
    \mathrm{SAP} = \frac{1}{K} \sum_k \bigl(S_{(1)k} - S_{(2)k}\bigr), \qquad
    \mathrm{disentanglement} = \sum_d \frac{\sum_k R_{dk}}{\sum R} \bigl(1 - H_K(R_{d \cdot})\bigr), \qquad
    \mathrm{completeness} = \sum_k \frac{\sum_d R_{dk}}{\sum R} \bigl(1 - H_D(R_{\cdot k})\bigr)

where (1) and (2) are the two best codes, and :math:`H_n` is the entropy of a row or column summed to 1, in base n.
All predictors are fitted on three quarters of the samples and scored on the rest.

Kumar et al., *Variational Inference of Disentangled Latent Concepts from Unlabeled Observations*, ICLR 2018; Eastwood
and Williams, *A Framework for the Quantitative Evaluation of Disentangled Representations*, ICLR 2018; Ridgeway and
Mozer, *Learning Deep Disentangled Embeddings with the F-Statistic Loss*, NeurIPS 2018. Needs scikit-learn (the extra
`eval`).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from infogan_lib._checks import check_choice, check_int, require_eval
from infogan_lib.metrics._arrays import FloatArray, IntArray, check_samples, make_rng, split, standardize


@dataclass(frozen=True)
class DCI:
    """The three scores of Eastwood and Williams, each 0 to 1.

    Attributes:
        disentanglement: How far each code is important for one factor only.
        completeness: How far each factor depends on one code only.
        informativeness: Accuracy of predicting held-out factor values, averaged over factors; chance is the fraction of
            the most frequent value.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def sap(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    *,
    method: Literal["classification", "regression"] = "classification",
    seed: int = 0,
) -> float:
    """The Separated Attribute Predictability score.

    Args:
        codes: Real numbers, shape (N, D), D >= 2; standardized first, so that their scale does not matter.
        factors: Whole numbers, shape (N, K).
        method: With "classification", S is the accuracy of a linear SVM (one value against the rest, balanced classes,
            C = 0.01) on held-out samples. With "regression", S is the squared correlation over all samples, for factors
            whose values are ordered.
        seed: Seed for the choice of held-out samples.

    Returns:
        0 to 1. With "classification", perfect codes get 1/2 for factors with two equally frequent values, as the second
        code is right by chance, and little for many values, as linear classifiers of one number can separate only the
        outermost values.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: As for `dci`, or if there is only one code.
        ImportError: If scikit-learn is not installed.

    Source: Kumar et al., 2018, section 3; the SVM is that of Locatello et al., 2019, appendix B.
    """
    codes, factors = check_samples(codes, factors, min_codes=2)
    check_choice("method", method, ("classification", "regression"))
    rng, codes = make_rng(seed), standardize(codes)
    scores = (
        _svm_accuracies(codes, factors, rng) if method == "classification" else _squared_correlations(codes, factors)
    )
    second, first = np.sort(scores, axis=0)[-2:]
    return float((first - second).mean())


def dci(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    *,
    num_trees: int = 20,
    min_samples_leaf: int = 10,
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness from the importances of random forests.

    One forest per factor classifies its values. Every split considers all codes, so that a code which determines the
    factor gets all the importance (the mean decrease of Gini impurity).

    Args:
        codes: Real numbers, shape (N, D), D >= 2.
        factors: Whole numbers, shape (N, K), K >= 2.
        num_trees: Number of trees in each forest.
        min_samples_leaf: Smallest number of samples in a leaf. Small leaves give importance to noise, large ones blur
            factors with many values.
        seed: Seed for the choice of held-out samples and for the forests.

    Returns:
        The three scores. Disentanglement and completeness are 0 if all codes are constant. Codes of pure noise score a
        little above 0, as trees split on noise too.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: If shapes or lengths do not fit, codes are NaN or infinite, a factor is constant, there are too few
            samples to fit on or to hold out, or there are fewer than two codes or factors.
        ImportError: If scikit-learn is not installed.

    Source: Eastwood and Williams, 2018, section 2.
    """
    with require_eval("dci"):
        from sklearn.ensemble import RandomForestClassifier
    codes, factors = check_samples(codes, factors, min_codes=2, min_factors=2)
    num_trees = check_int("num_trees", num_trees, minimum=1, maximum=10_000)
    min_samples_leaf = check_int("min_samples_leaf", min_samples_leaf, minimum=1)
    rng = make_rng(seed)
    part = split(standardize(codes), factors, rng)
    if len(part.train_codes) < 2 * min_samples_leaf:
        raise ValueError(
            f"no tree with leaves of {min_samples_leaf} samples can split the {len(part.train_codes)} to fit on; "
            f"give at least {math.ceil(8 * min_samples_leaf / 3)} samples or a smaller min_samples_leaf"
        )
    importance, accuracies = np.empty((codes.shape[1], factors.shape[1])), []
    for k in range(factors.shape[1]):
        all_codes: Any = None  # the stubs of scikit-learn allow a string only
        forest = RandomForestClassifier(
            num_trees,
            max_features=all_codes,
            min_samples_leaf=min_samples_leaf,
            random_state=int(rng.integers(2**31)),
        )
        forest.fit(part.train_codes, part.train_factors[:, k])
        importance[:, k] = forest.feature_importances_
        accuracies.append(forest.score(part.test_codes, part.test_factors[:, k]))
    return DCI(*dci_from_importance(importance), informativeness=float(np.mean(accuracies)))


def dci_from_importance(importance: ArrayLike) -> tuple[float, float]:
    """Disentanglement and completeness from importances.

    Args:
        importance: R, shape (D, K), D and K >= 2, not negative.

    Returns:
        Disentanglement and completeness, 0 to 1 each; 0 if all importances are 0.

    Raises:
        ValueError: If the shape does not fit, or values are not finite or negative.

    Source: Eastwood and Williams, 2018, section 2; factors are weighted as codes are (Locatello et al., 2019).
    """
    table = np.asarray(importance, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError(
            f"importance must be a table (D, K) of finite numbers from 0 with D, K >= 2, but got shape {table.shape}"
        )
    if not table.any():
        return 0.0, 0.0
    table = table / table.max()
    return _concentration(table), _concentration(table.T)


def explicitness(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, seed: int = 0) -> float:
    """How well a linear classifier predicts each factor from all codes, as the area under the ROC curve.

    A multinomial logistic regression for each factor, on standardized codes, gives the probability of each value. The
    areas of one value against the rest, on held-out samples, are averaged over the values of a factor, then over
    factors. Values that are missing from either part are skipped.

    Args:
        codes: Real numbers, shape (N, D).
        factors: Whole numbers, shape (N, K).
        seed: Seed for the choice of held-out samples.

    Returns:
        0 to 1; 0.5 is chance, and the score of constant codes.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: As for `dci`, except that one code and one factor are enough.
        ImportError: If scikit-learn is not installed.

    Source: Ridgeway and Mozer, 2018, section 3; one classifier for all values as in Locatello et al., 2019.
    """
    with require_eval("explicitness"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
    codes, factors = check_samples(codes, factors)
    part = split(standardize(codes), factors, make_rng(seed))
    areas = []
    for train, test in zip(part.train_factors.T, part.test_factors.T, strict=True):
        classifier = LogisticRegression(max_iter=5000).fit(part.train_codes, train)
        probabilities = dict(zip(classifier.classes_, classifier.predict_proba(part.test_codes).T, strict=True))
        values = np.intersect1d(train, test)
        areas.append(np.mean([roc_auc_score(test == value, probabilities[value]) for value in values]))
    return float(np.mean(areas))


def _svm_accuracies(codes: FloatArray, factors: IntArray, rng: np.random.Generator) -> FloatArray:
    """Held-out accuracy of predicting factor k by a linear SVM on code d alone, shape (D, K)."""
    with require_eval("sap"):
        from sklearn.svm import LinearSVC
    part = split(codes, factors, rng)
    accuracies = np.empty((codes.shape[1], factors.shape[1]))
    for d, k in np.ndindex(accuracies.shape):
        svm = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        svm.fit(part.train_codes[:, [d]], part.train_factors[:, k])
        accuracies[d, k] = svm.score(part.test_codes[:, [d]], part.test_factors[:, k])
    return accuracies


def _squared_correlations(codes: FloatArray, factors: IntArray) -> FloatArray:
    """Squared correlations of standardized codes and factors, shape (D, K)."""
    return (codes.T @ standardize(factors.astype(np.float64)) / len(codes)) ** 2


def _concentration(table: FloatArray) -> float:
    """One minus the entropy of each row in base of its length, averaged with the sums of the rows as weights."""
    with require_eval("dci", "scipy"):
        from scipy.stats import entropy
    sums = table.sum(axis=1)
    rows = table[sums > 0]
    return float(np.clip(np.average(1 - entropy(rows, base=rows.shape[1], axis=1), weights=sums[sums > 0]), 0.0, 1.0))

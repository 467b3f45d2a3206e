r"""Scores from how well factors are predicted from codes: SAP, DCI and explicitness.

With :math:`S_{dk}` how well code d alone predicts factor k, and :math:`R_{dk}` its importance among all codes:

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
from infogan_lib.metrics._arrays import Reals, Wholes, samples, seeded, split, standardized


@dataclass(frozen=True)
class DCI:
    """The three scores of Eastwood and Williams, each 0 to 1.

    Attributes:
        disentanglement: how far each code is important for one factor only.
        completeness: how far each factor needs one code only.
        informativeness: the share of held-out factor values predicted right, averaged over factors; chance is the
            share of the most frequent value.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def sap(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    *,
    form: Literal["classification", "regression"] = "classification",
    seed: int = 0,
) -> float:
    """The Separated Attribute Predictability score.

    Args:
        codes: shape (N, D), D >= 2; standardised first, so that their scale does not matter.
        factors: whole numbers, shape (N, K).
        form: "classification" takes as S the accuracy of a linear SVM (one value against the rest, balanced classes,
            C = 0.01) on held-out samples. "regression" takes the squared correlation over all samples, for factors
            whose values are in order.
        seed: of what is held out.

    Returns:
        0 to 1. By "classification", perfect codes get 1/2 for factors of two even values, as the second code is right
        by chance, and little for many values, as linear classifiers of one number find the outermost values only.

    Raises:
        TypeError, ValueError: see `dci`; also a single code, as there is no second one.
        ImportError: scikit-learn is not installed.

    Source: Kumar et al., 2018, section 3; the SVM is that of Locatello et al., 2019, appendix B.
    """
    found, true = samples(codes, factors, least_codes=2)
    check_choice("form", form, ("classification", "regression"))
    rng = seeded(seed)
    scores = (
        _accuracies(standardized(found), true, rng)
        if form == "classification"
        else _determinations(standardized(found), true)
    )
    second, first = np.sort(scores, axis=0)[-2:]
    return float((first - second).mean())


def dci(
    codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, trees: int = 20, leaf: int = 10, seed: int = 0
) -> DCI:
    """Disentanglement, completeness and informativeness from the importances of random forests.

    A forest per factor, classifying its values: every split looks at all codes, so that a code which tells all takes
    all the importance (the mean decrease of Gini impurity).

    Args:
        codes: shape (N, D), D >= 2.
        factors: whole numbers, shape (N, K), K >= 2.
        trees: of each forest.
        leaf: how many samples each leaf holds at least. Few give importance to noise, many blur factors of many values.
        seed: of what is held out and of the forests.

    Returns:
        Disentanglement and completeness are 0 where all codes are constant. Codes of noise score a little above 0, as
        trees split on noise too.

    Raises:
        TypeError: codes that are no real numbers, or factors that are no whole ones.
        ValueError: other shapes, lengths that differ, NaN or infinite codes, a constant factor, too few samples to
            fit on or to hold out, or fewer than two codes or factors.
        ImportError: scikit-learn is not installed.

    Source: Eastwood and Williams, 2018, section 2.
    """
    with require_eval("dci"):
        from sklearn.ensemble import RandomForestClassifier
    found, true = samples(codes, factors, least_codes=2, least_factors=2)
    trees, leaf = check_int("trees", trees, minimum=1), check_int("leaf", leaf, minimum=1)
    rng = seeded(seed)
    part = split(standardized(found), true, rng)
    if len(part.codes) < 2 * leaf:
        raise ValueError(
            f"no tree with leaves of {leaf} samples can split the {len(part.codes)} to fit on; "
            f"give at least {math.ceil(8 * leaf / 3)} samples or a smaller leaf"
        )
    importance, right = np.empty((found.shape[1], true.shape[1])), []
    for k in range(true.shape[1]):
        everywhere: Any = None  # typed as a string after its default
        forest = RandomForestClassifier(
            trees, max_features=everywhere, min_samples_leaf=leaf, random_state=int(rng.integers(2**31))
        )
        forest.fit(part.codes, part.factors[:, k])
        importance[:, k] = forest.feature_importances_
        right.append(np.mean(forest.predict(part.held_codes) == part.held_factors[:, k]))
    return DCI(*dci_from_importance(importance), informativeness=float(np.mean(right)))


def dci_from_importance(importance: ArrayLike) -> tuple[float, float]:
    """Disentanglement and completeness of importances R, shape (D, K) with D, K >= 2, not negative; 0 if all are 0.

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
    """How well all codes together tell each factor's values by a linear classifier, as the area under the ROC curve.

    A multinomial logistic regression for each factor, on standardised codes, gives each value's probability; the areas
    of one value against the rest, on held-out samples, are averaged over a factor's values, then over factors. Values
    missing from either part are passed over.

    Args:
        codes: shape (N, D).
        factors: whole numbers, shape (N, K).
        seed: of what is held out.

    Returns:
        0 to 1; 0.5 is chance, and what constant codes get.

    Raises:
        TypeError, ValueError: see `dci`; one code and one factor will do.
        ImportError: scikit-learn is not installed.

    Source: Ridgeway and Mozer, 2018, section 3; one classifier for all values as in Locatello et al., 2019.
    """
    with require_eval("explicitness"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
    found, true = samples(codes, factors)
    part = split(standardized(found), true, seeded(seed))
    areas = []
    for column, held in zip(part.factors.T, part.held_factors.T, strict=True):
        classifier = LogisticRegression(max_iter=5000).fit(part.codes, column)
        probabilities = dict(zip(classifier.classes_, classifier.predict_proba(part.held_codes).T, strict=True))
        values = np.intersect1d(column, held)
        areas.append(np.mean([roc_auc_score(held == value, probabilities[value]) for value in values]))
    return float(np.mean(areas))


def _accuracies(codes: Reals, factors: Wholes, rng: np.random.Generator) -> Reals:
    """How often a linear SVM on code d alone is right on factor k, shape (D, K)."""
    with require_eval("sap"):
        from sklearn.svm import LinearSVC
    part = split(codes, factors, rng)
    accuracies = np.empty((codes.shape[1], factors.shape[1]))
    for d, k in np.ndindex(accuracies.shape):
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        machine.fit(part.codes[:, d, None], part.factors[:, k])
        accuracies[d, k] = np.mean(machine.predict(part.held_codes[:, d, None]) == part.held_factors[:, k])
    return accuracies


def _determinations(codes: Reals, factors: Wholes) -> Reals:
    """The squared correlations of standardised codes with factors, shape (D, K)."""
    centred = factors - factors.mean(axis=0)
    return (codes.T @ (centred / centred.std(axis=0)) / len(codes)) ** 2


def _concentration(table: Reals) -> float:
    """One minus the entropy of each row in base of its length, averaged with the rows' sums as weights."""
    sums = table.sum(axis=1)
    shares = table[sums > 0] / sums[sums > 0, None]
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropies = -(shares * logs).sum(axis=1) / np.log(table.shape[1])
    return float(np.clip(np.average(1 - entropies, weights=sums[sums > 0]), 0.0, 1.0))

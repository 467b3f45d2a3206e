"""All disentanglement scores of one set of samples.

Information-based, predictor-based and intervention-based scores answer different questions and rank models differently
(Zaidi et al., *Measuring Disentanglement: A Review of Metrics*, 2020), so they are best read side by side. The
intervention-based ones choose their own samples: `factor_vae_score` and `beta_vae_score`. Needs scikit-learn (the extra
`eval`).
"""

from dataclasses import dataclass

from numpy.typing import ArrayLike
from torch import Tensor

from infogan_lib.metrics.information_scores import mig, modularity
from infogan_lib.metrics.predictor_scores import dci, explicitness, sap


@dataclass(frozen=True)
class DisentanglementScores:
    """Scores of codes against known factors, each 0 to 1, higher is better; ``dataclasses.asdict`` gives a dict.

    Attributes:
        mig: Mutual Information Gap (Chen et al., 2018).
        sap: Separated Attribute Predictability (Kumar et al., 2018), by linear SVMs.
        disentanglement: Each code is important for one factor only, of DCI (Eastwood and Williams, 2018).
        completeness: Each factor depends on one code only, of DCI.
        informativeness: Accuracy of predicting the factors, of DCI.
        modularity: Each code is informative about one factor only (Ridgeway and Mozer, 2018).
        explicitness: Area under the ROC curve of linear classifiers (Ridgeway and Mozer, 2018); 0.5 is chance.
    """

    mig: float
    sap: float
    disentanglement: float
    completeness: float
    informativeness: float
    modularity: float
    explicitness: float


def disentanglement(
    codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, *, bins: int = 20, seed: int = 0
) -> DisentanglementScores:
    """Score codes against the factors of the same images.

    Args:
        codes: Real numbers, shape (N, D), D >= 2, such as the means of the posteriors of continuous codes.
        factors: Whole numbers, shape (N, K), K >= 2.
        bins: Number of bins for each code, for MIG and modularity.
        seed: Seed for the choice of held-out samples and for the forests.

    Raises:
        TypeError: If codes are not real numbers or factors are not whole numbers.
        ValueError: If shapes or lengths do not fit, codes are NaN or infinite, a factor is constant, there are too few
            samples to fit on or to hold out, or there are fewer than two codes or factors.
        ImportError: If scikit-learn is not installed.
    """
    dci_scores = dci(codes, factors, seed=seed)
    return DisentanglementScores(
        mig=mig(codes, factors, bins=bins),
        sap=sap(codes, factors, seed=seed),
        disentanglement=dci_scores.disentanglement,
        completeness=dci_scores.completeness,
        informativeness=dci_scores.informativeness,
        modularity=modularity(codes, factors, bins=bins),
        explicitness=explicitness(codes, factors, seed=seed),
    )

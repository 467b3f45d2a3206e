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
    """Scores of codes against known factors, each 0 to 1, more is better; ``dataclasses.asdict`` gives a dict.

    Attributes:
        mig: the Mutual Information Gap (Chen et al., 2018).
        sap: Separated Attribute Predictability (Kumar et al., 2018), by linear SVMs.
        disentanglement, completeness, informativeness: DCI (Eastwood and Williams, 2018).
        modularity: each code knows of one factor only (Ridgeway and Mozer, 2018).
        explicitness: the area under the ROC curve of linear classifiers (the same); 0.5 is chance.
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
        codes: shape (N, D), D >= 2, such as the means of the posteriors of continuous codes.
        factors: whole numbers, shape (N, K), K >= 2.
        bins: of MIG and modularity.
        seed: of what is held out and of the forests.

    Raises:
        TypeError: codes that are no real numbers, or factors that are no whole ones.
        ValueError: other shapes, lengths that differ, NaN or infinite codes, a constant factor, too few samples to
            fit on or to hold out, or fewer than two codes or factors.
        ImportError: scikit-learn is not installed.
    """
    forests = dci(codes, factors, seed=seed)
    return DisentanglementScores(
        mig=mig(codes, factors, bins=bins),
        sap=sap(codes, factors, seed=seed),
        disentanglement=forests.disentanglement,
        completeness=forests.completeness,
        informativeness=forests.informativeness,
        modularity=modularity(codes, factors, bins=bins),
        explicitness=explicitness(codes, factors, seed=seed),
    )

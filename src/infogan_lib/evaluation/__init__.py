"""What the codes came to mean, in numbers: functions of arrays, of a trained model, and a callback for a run."""

from infogan_lib.clustering import CategoryMatch, match_categories
from infogan_lib.evaluation.appearance import Effect, effects_on_images, measures
from infogan_lib.evaluation.centrality import ModelCentrality, model_centrality
from infogan_lib.evaluation.disentanglement_scores import DisentanglementScores, disentanglement
from infogan_lib.evaluation.evaluator import Evaluator
from infogan_lib.evaluation.information_scores import mig, modularity
from infogan_lib.evaluation.intervention_scores import FactorGrid, beta_vae_score, factor_vae_score
from infogan_lib.evaluation.posteriors import (
    CodeInformation,
    Coverage,
    Reliability,
    calibration,
    coverage,
    information,
    reliability,
)
from infogan_lib.evaluation.predictor_scores import DCI, dci, explicitness, sap
from infogan_lib.evaluation.samples import (
    SampleQuality,
    frechet_distance,
    kernel_distance,
    precision_recall,
    sample_quality,
)

__all__ = [
    "DCI",
    "CategoryMatch",
    "CodeInformation",
    "Coverage",
    "DisentanglementScores",
    "Effect",
    "Evaluator",
    "FactorGrid",
    "ModelCentrality",
    "Reliability",
    "SampleQuality",
    "beta_vae_score",
    "calibration",
    "coverage",
    "dci",
    "disentanglement",
    "effects_on_images",
    "explicitness",
    "factor_vae_score",
    "frechet_distance",
    "information",
    "kernel_distance",
    "match_categories",
    "measures",
    "mig",
    "model_centrality",
    "modularity",
    "precision_recall",
    "reliability",
    "sample_quality",
    "sap",
]

"""What the codes came to mean, in numbers: functions of arrays, of a trained model, and a callback for a run."""

from infogan_lib.evaluation.centrality import ModelCentrality, model_centrality
from infogan_lib.evaluation.codes import CodeInformation, calibration, code_information
from infogan_lib.evaluation.collapse_monitor import CollapseMonitor, CollapseWarning
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.evaluation.evaluator import Evaluator
from infogan_lib.evaluation.sample_quality import SampleQuality, sample_quality
from infogan_lib.evaluation.symptoms import Symptom
from infogan_lib.metrics.appearance import Effect, measure_images
from infogan_lib.metrics.calibration import Coverage, Reliability, coverage, reliability
from infogan_lib.metrics.clustering import CategoryMatch, match_categories
from infogan_lib.metrics.disentanglement import DisentanglementScores, disentanglement
from infogan_lib.metrics.distances import frechet_distance, kernel_distance, precision_recall
from infogan_lib.metrics.information_scores import mig, modularity
from infogan_lib.metrics.intervention_scores import FactorGrid, beta_vae_score, factor_vae_score
from infogan_lib.metrics.predictor_scores import DCI, dci, explicitness, sap

__all__ = [
    "DCI",
    "CategoryMatch",
    "CodeInformation",
    "CollapseMonitor",
    "CollapseWarning",
    "Coverage",
    "DisentanglementScores",
    "Effect",
    "Evaluator",
    "FactorGrid",
    "ModelCentrality",
    "Reliability",
    "SampleQuality",
    "Symptom",
    "beta_vae_score",
    "calibration",
    "code_effects",
    "code_information",
    "coverage",
    "dci",
    "disentanglement",
    "explicitness",
    "factor_vae_score",
    "frechet_distance",
    "kernel_distance",
    "match_categories",
    "measure_images",
    "mig",
    "model_centrality",
    "modularity",
    "precision_recall",
    "reliability",
    "sample_quality",
    "sap",
]

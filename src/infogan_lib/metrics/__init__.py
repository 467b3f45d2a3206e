"""Metrics as pure functions of arrays, without a model."""

from infogan_lib.metrics.appearance import Effect, measure_images
from infogan_lib.metrics.calibration import Coverage, Reliability, coverage, reliability
from infogan_lib.metrics.clustering import CategoryMatch, match_categories
from infogan_lib.metrics.disentanglement import DisentanglementScores, disentanglement
from infogan_lib.metrics.distances import density_coverage, frechet_distance, kernel_distance, precision_recall
from infogan_lib.metrics.information_scores import mig, modularity, mutual_information
from infogan_lib.metrics.intervention_scores import FactorGrid, beta_vae_score, factor_vae_score
from infogan_lib.metrics.predictor_scores import DCI, dci, explicitness, sap

__all__ = [
    "DCI",
    "CategoryMatch",
    "Coverage",
    "DisentanglementScores",
    "Effect",
    "FactorGrid",
    "Reliability",
    "beta_vae_score",
    "coverage",
    "dci",
    "density_coverage",
    "disentanglement",
    "explicitness",
    "factor_vae_score",
    "frechet_distance",
    "kernel_distance",
    "match_categories",
    "measure_images",
    "mig",
    "modularity",
    "mutual_information",
    "precision_recall",
    "reliability",
    "sap",
]

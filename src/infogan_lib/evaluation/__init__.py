"""What the codes came to mean, in numbers: functions of arrays, of a trained model, and a callback for a run."""

from infogan_lib.clustering import CategoryMatch, match_categories
from infogan_lib.evaluation.appearance import Effect, effects_on_images, measures
from infogan_lib.evaluation.evaluator import Evaluator
from infogan_lib.evaluation.information import (
    CodeInformation,
    Coverage,
    Reliability,
    calibration,
    coverage,
    information,
    reliability,
)
from infogan_lib.evaluation.samples import (
    SampleQuality,
    frechet_distance,
    kernel_distance,
    precision_recall,
    sample_quality,
)

__all__ = [
    "CategoryMatch",
    "CodeInformation",
    "Coverage",
    "Effect",
    "Evaluator",
    "Reliability",
    "SampleQuality",
    "calibration",
    "coverage",
    "effects_on_images",
    "frechet_distance",
    "information",
    "kernel_distance",
    "match_categories",
    "measures",
    "precision_recall",
    "reliability",
    "sample_quality",
]

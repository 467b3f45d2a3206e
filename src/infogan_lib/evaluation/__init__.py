"""What the codes came to mean, in numbers: functions of arrays, of a trained model, and a callback for a run."""

from infogan_lib.clustering import CategoryMatch, match_categories
from infogan_lib.evaluation.information import (
    CodeInformation,
    Coverage,
    Reliability,
    calibration,
    coverage,
    information,
    reliability,
)

__all__ = [
    "CategoryMatch",
    "CodeInformation",
    "Coverage",
    "Reliability",
    "calibration",
    "coverage",
    "information",
    "match_categories",
    "reliability",
]

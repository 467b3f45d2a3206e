"""Evaluation of trained models and running training: functions of a model, and callbacks."""

from infogan_lib.evaluation.centrality import ModelCentrality, model_centrality
from infogan_lib.evaluation.codes import CodeInformation, calibration, code_information
from infogan_lib.evaluation.collapse_monitor import CollapseMonitor, CollapseWarning
from infogan_lib.evaluation.effects import code_effects
from infogan_lib.evaluation.evaluator import Evaluator
from infogan_lib.evaluation.features import Features
from infogan_lib.evaluation.sample_quality import SampleQuality, sample_quality
from infogan_lib.evaluation.symptoms import Symptom

__all__ = [
    "CodeInformation",
    "CollapseMonitor",
    "CollapseWarning",
    "Evaluator",
    "Features",
    "ModelCentrality",
    "SampleQuality",
    "Symptom",
    "calibration",
    "code_effects",
    "code_information",
    "model_centrality",
    "sample_quality",
]

"""Callbacks for `InfoGANTrainer.fit`, in one place.

`SampleGrid` and `LivePreview` need matplotlib, `TensorBoard` tensorboard; each says so when it is used. Your own is a
subclass of `Callback`.
"""

from infogan_lib.evaluation.collapse_monitor import CollapseMonitor, CollapseWarning
from infogan_lib.evaluation.evaluator import Evaluator
from infogan_lib.training.callbacks import Callback, JSONLLogger
from infogan_lib.training.early_stopping import EarlyStopping
from infogan_lib.training.pretraining import PretrainQ
from infogan_lib.training.progress import ProgressBar
from infogan_lib.viz.live_preview import LivePreview
from infogan_lib.viz.sample_grid import SampleGrid
from infogan_lib.viz.trackers import TensorBoard, Tracker

__all__ = [
    "Callback",
    "CollapseMonitor",
    "CollapseWarning",
    "EarlyStopping",
    "Evaluator",
    "JSONLLogger",
    "LivePreview",
    "PretrainQ",
    "ProgressBar",
    "SampleGrid",
    "TensorBoard",
    "Tracker",
]

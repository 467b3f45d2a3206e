"""Training: the step, and the trainer around it."""

from infogan_lib.training.callbacks import JSONLMetrics, Progress
from infogan_lib.training.history import History
from infogan_lib.training.step import InfoGANStep, NonFiniteLossError
from infogan_lib.training.trainer import Callback, InfoGANTrainer

__all__ = ["Callback", "History", "InfoGANStep", "InfoGANTrainer", "JSONLMetrics", "NonFiniteLossError", "Progress"]

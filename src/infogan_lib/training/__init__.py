"""Training: the step, and the trainer around it."""

from infogan_lib.training.callbacks import Callback, JSONLLogger, ProgressBar
from infogan_lib.training.guard import NonFiniteLossError
from infogan_lib.training.history import History
from infogan_lib.training.step import InfoGANStep
from infogan_lib.training.trainer import InfoGANTrainer

__all__ = ["Callback", "History", "InfoGANStep", "InfoGANTrainer", "JSONLLogger", "NonFiniteLossError", "ProgressBar"]

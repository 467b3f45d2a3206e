"""Training: the step, and the trainer around it."""

from infogan_lib.training.callbacks import Callback
from infogan_lib.training.checkpoint_settings import Checkpoints
from infogan_lib.training.engine import Engine
from infogan_lib.training.guard import NonFiniteLossError
from infogan_lib.training.history import History
from infogan_lib.training.optimizers import LinearDecay, Optimizers
from infogan_lib.training.step import InfoGANStep
from infogan_lib.training.trainer import InfoGANTrainer

__all__ = [
    "Callback",
    "Checkpoints",
    "Engine",
    "History",
    "InfoGANStep",
    "InfoGANTrainer",
    "LinearDecay",
    "NonFiniteLossError",
    "Optimizers",
]

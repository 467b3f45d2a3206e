"""Training: the trainer, its loop, and its callbacks."""

from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer

__all__ = ["Callback", "InfoGANTrainer"]

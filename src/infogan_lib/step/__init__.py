"""The step: both equations, and what makes a step whole, finite, and fast on its device."""

from infogan_lib.step.engine import Engine
from infogan_lib.step.guard import NonFiniteLossError
from infogan_lib.step.optimizers import LinearDecay, Optimizers
from infogan_lib.step.step import InfoGANStep

__all__ = ["Engine", "InfoGANStep", "LinearDecay", "NonFiniteLossError", "Optimizers"]

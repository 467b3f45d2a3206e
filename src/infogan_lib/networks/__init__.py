"""Networks: how a user's G and D are called and read, and the Q heads attached to D."""

from infogan_lib.networks.q_head import BatchNormQHead, QHead
from infogan_lib.networks.tap import Tap

__all__ = ["BatchNormQHead", "QHead", "Tap"]

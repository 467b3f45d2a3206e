"""The model: G, D and Q as one module, how networks of any kind are called, and what is saved of them."""

from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.q_head import BatchNormQHead, QHead
from infogan_lib.model.tap import Tap

__all__ = ["BatchNormQHead", "InfoGAN", "QHead", "Tap"]

"""The model: G, D and Q as one module, what is done with it, and what is saved of it."""

from infogan_lib.model.infogan import InfoGAN

__all__ = ["InfoGAN"]

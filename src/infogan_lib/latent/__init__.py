"""The latent: noise, and categorical, uniform, Gaussian and binary codes, composed by `LatentSpec`.

Each code has a prior, the entropy H(c) of that prior in nats, and an information loss from which its posterior Q(c|x)
follows. A new kind of code is a subclass of `LatentCode` with five members; see docs/extending.md.
"""

from infogan_lib.latent.base import LatentCode, LatentVariable
from infogan_lib.latent.continuous import Gaussian, Noise, Uniform
from infogan_lib.latent.discrete import Bernoulli, Categorical
from infogan_lib.latent.label import Label
from infogan_lib.latent.spec import LatentSpec

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "Label",
    "LatentCode",
    "LatentSpec",
    "LatentVariable",
    "Noise",
    "Uniform",
]

"""The latent: noise, and categorical, uniform, Gaussian and binary codes, composed by `LatentSpec`.

Each code brings its prior, the entropy H(c) of that prior in nats, and a pluggable information loss from which its
posterior Q(c|x) follows. A new kind of code is a subclass of `LatentCode` with five members; docs/extending.md works
one out.
"""

from infogan_lib.latent.base import LatentCode, LatentVariable
from infogan_lib.latent.continuous import Gaussian, Noise, Uniform
from infogan_lib.latent.discrete import Bernoulli, Categorical
from infogan_lib.latent.spec import LatentSpec

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "LatentCode",
    "LatentSpec",
    "LatentVariable",
    "Noise",
    "Uniform",
]

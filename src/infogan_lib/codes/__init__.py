"""The built-in latent variables: noise, and categorical, uniform, Gaussian and binary codes.

Each code brings its prior, the entropy H(c) of that prior in nats, and a pluggable information loss from which its
posterior Q(c|x) follows. A new kind of code is a subclass of `LatentCode` with five members; docs/extending.md works
one out.
"""

from infogan_lib.codes.continuous import Gaussian, Uniform
from infogan_lib.codes.discrete import Bernoulli, Categorical
from infogan_lib.codes.noise import Noise

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Noise", "Uniform"]

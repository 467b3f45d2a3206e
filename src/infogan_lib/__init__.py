"""infogan-lib: any GAN becomes an InfoGAN.

Name what the generator should learn to control, bring a generator and a discriminator, and train:

    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))
    trainer = InfoGANTrainer(generator, discriminator, latent)
    trainer.fit(images, epochs=20)
    trainer.model.sample(16, digit=7)
"""

from infogan_lib._version import __version__ as __version__
from infogan_lib.codes import Bernoulli, Categorical, Gaussian, Noise, Uniform
from infogan_lib.latent import LatentSpec
from infogan_lib.losses import (
    MSE,
    AdversarialLoss,
    BernoulliCrossEntropy,
    CrossEntropy,
    Hinge,
    InformationLoss,
    LeastSquares,
    Minimax,
    NonSaturating,
    NormalNLL,
    PointEstimate,
    Wasserstein,
)
from infogan_lib.model import InfoGAN
from infogan_lib.networks import QHead, Tap
from infogan_lib.storage import CheckpointError
from infogan_lib.training import (
    Callback,
    History,
    InfoGANTrainer,
    JSONLMetrics,
    NonFiniteLossError,
    Progress,
)
from infogan_lib.variables import LatentCode, LatentVariable

__all__ = [
    "MSE",
    "AdversarialLoss",
    "Bernoulli",
    "BernoulliCrossEntropy",
    "Callback",
    "Categorical",
    "CheckpointError",
    "CrossEntropy",
    "Gaussian",
    "Hinge",
    "History",
    "InfoGAN",
    "InfoGANTrainer",
    "InformationLoss",
    "JSONLMetrics",
    "LatentCode",
    "LatentSpec",
    "LatentVariable",
    "LeastSquares",
    "Minimax",
    "Noise",
    "NonFiniteLossError",
    "NonSaturating",
    "NormalNLL",
    "PointEstimate",
    "Progress",
    "QHead",
    "Tap",
    "Uniform",
    "Wasserstein",
]

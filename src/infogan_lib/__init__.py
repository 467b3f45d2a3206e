"""infogan-lib: any GAN becomes an InfoGAN.

Name what the generator should learn to control, bring a generator and a discriminator, and train:

    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))
    trainer = InfoGANTrainer(generator, discriminator, latent)
    trainer.fit(images, epochs=20)
    trainer.model.sample(16, digit=7)
"""

from infogan_lib._version import __version__ as __version__
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.latent.base import LatentCode, LatentVariable
from infogan_lib.latent.continuous import Gaussian, Noise, Uniform
from infogan_lib.latent.discrete import Bernoulli, Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.adversarial import AdversarialLoss, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from infogan_lib.losses.information import (
    MSE,
    BernoulliCrossEntropy,
    CrossEntropy,
    InformationLoss,
    NormalNLL,
    PointEstimate,
)
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.q_head import QHead
from infogan_lib.model.tap import Tap
from infogan_lib.training.callbacks import Callback, JSONLLogger, ProgressBar
from infogan_lib.training.guard import NonFiniteLossError
from infogan_lib.training.history import History
from infogan_lib.training.trainer import InfoGANTrainer

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
    "JSONLLogger",
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
    "ProgressBar",
    "QHead",
    "Tap",
    "Uniform",
    "Wasserstein",
]

"""infogan-lib: any GAN becomes an InfoGAN.

Name what the generator should learn to control, bring a generator and a discriminator, and train:

    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))
    trainer = InfoGANTrainer(generator, discriminator, latent)
    trainer.fit(images, epochs=20)
    trainer.model.sample(16, digit=7)
"""

from infogan_lib._version import __version__ as __version__
from infogan_lib.checkpoints import CheckpointError
from infogan_lib.experiments import sweep
from infogan_lib.history import History
from infogan_lib.latent import Bernoulli, Categorical, Gaussian, Label, LatentCode, LatentSpec, Noise, Uniform
from infogan_lib.model import InfoGAN
from infogan_lib.networks import QHead, Tap
from infogan_lib.resume import Checkpoints
from infogan_lib.step import Engine, LinearDecay, NonFiniteLossError, Optimizers
from infogan_lib.training import Callback, InfoGANTrainer

__all__ = [
    "Bernoulli",
    "Callback",
    "Categorical",
    "CheckpointError",
    "Checkpoints",
    "Engine",
    "Gaussian",
    "History",
    "InfoGAN",
    "InfoGANTrainer",
    "Label",
    "LatentCode",
    "LatentSpec",
    "LinearDecay",
    "Noise",
    "NonFiniteLossError",
    "Optimizers",
    "QHead",
    "Tap",
    "Uniform",
    "sweep",
]

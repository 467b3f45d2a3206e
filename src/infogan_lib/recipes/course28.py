"""The course's lab on 28 x 28 images with a normal likelihood for the continuous codes: lab28-normalnll."""

from torch import Tensor, nn
from typing_extensions import override

from infogan_lib.latent.continuous import Noise, Uniform
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import NormalNLL
from infogan_lib.recipes.architectures import initialised
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.training import Optimizers


class ThreeConvolutions(nn.Module):
    """Q's head: a shared 1 x 1 convolution, then one each for ten logits, two means and two log-scales.

    Args:
        channels: of the features, maps of 1 x 1.
        hidden: of the shared layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        shared = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.LeakyReLU(0.1))
        self.shared = initialised(shared)
        self.category, self.mean, self.log_scale = (
            initialised(nn.Sequential(nn.Conv2d(hidden, outputs, 1), nn.Flatten())) for outputs in (10, 2, 2)
        )

    @override
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 10), means (N, 2) and log-scales (N, 2) from features (N, channels, 1, 1)."""
        hidden = self.shared(features)
        return self.category(hidden), self.mean(hidden), self.log_scale(hidden)


@register("lab28-normalnll")
def lab28_normalnll(width: float = 1.0) -> Recipe:
    """Convolutions only, two sigmoids in D's head, 1 x 1 convolutions in Q, a normal NLL with weight 0.1.

    From the document: all layers, 62 noise, ten categories, two codes in [-1, 1], data in [0, 1], binary cross-entropy
    on probabilities, Adam 1e-4 with betas (0.5, 0.999) for {trunk, D's head} and for {G, Q's head}, batch 64, 100
    epochs, initial weights. Its normal NLL has an unbounded variance and adds 1e-6 in two places; ours is bounded and
    finite everywhere, and reads the third output as a log-scale. The information loss trains what the second optimiser
    holds: G and Q's head.
    """

    def n(channels: int) -> int:
        return max(1, round(width * channels))

    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1, loss=NormalNLL()))
    generator = nn.Sequential(
        *(nn.ConvTranspose2d(latent.width, n(512), 1, 1, bias=False), nn.BatchNorm2d(n(512)), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n(512), n(1024), 1, 1, bias=False), nn.BatchNorm2d(n(1024)), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n(1024), n(128), 7, 1, bias=False), nn.BatchNorm2d(n(128)), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n(128), n(64), 4, 2, 1, bias=False), nn.BatchNorm2d(n(64)), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n(64), 1, 4, 2, 1, bias=False), nn.Sigmoid()),
    )
    trunk = nn.Sequential(
        *(nn.Conv2d(1, n(64), 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(n(64), n(128), 4, 2, 1, bias=False), nn.BatchNorm2d(n(128)), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(n(128), n(1024), 7, bias=False), nn.BatchNorm2d(n(1024)), nn.LeakyReLU(0.1)),
    )
    d_head = nn.Sequential(nn.Conv2d(n(1024), n(512), 1), nn.Sigmoid(), nn.Conv2d(n(512), 1, 1), nn.Sigmoid())
    return Recipe(
        generator=initialised(generator),
        discriminator=nn.Sequential(initialised(trunk), initialised(d_head)),
        q_head=ThreeConvolutions(n(1024), n(128)),
        tap="0",
        latent=latent,
        image_size=28,
        batch_size=64,
        epochs=100,
        optimizers=Optimizers(g=1e-4, d=1e-4, betas=(0.5, 0.999)),
        trainer_kwargs={
            "information_trains": ("generator", "q_head"),
        },
    )

"""The course's lab on 28 x 28 images with a normal likelihood for the continuous codes: lab28-normalnll."""

from torch import Tensor, nn
from typing_extensions import override

from infogan_lib.latent import Categorical, LatentSpec, Noise, Uniform
from infogan_lib.losses.information import NormalNLL
from infogan_lib.recipes.architectures import init_dcgan, scale_channels
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.training import Optimizers


class ConvQHead(nn.Module):
    """Q's head: a shared 1 x 1 convolution, then one each for ten logits, two means and two log-scales."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        shared = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.LeakyReLU(0.1))
        self.shared = init_dcgan(shared)
        self.category, self.mean, self.log_scale = (
            init_dcgan(nn.Sequential(nn.Conv2d(hidden, outputs, 1), nn.Flatten())) for outputs in (10, 2, 2)
        )

    @override
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 10), means (N, 2) and log-scales (N, 2) of features (N, channels, 1, 1)."""
        hidden = self.shared(features)
        return self.category(hidden), self.mean(hidden), self.log_scale(hidden)


@register("lab28-normalnll")
def lab28_normalnll(width: float = 1.0) -> Recipe:
    """Convolutions only; two sigmoids in D's head; 1 x 1 convolutions in Q; a normal NLL with weight 0.1.

    From the document: all layers, 62 noise, ten categories, two codes in [-1, 1], data in [0, 1], binary cross-entropy
    on probabilities, Adam 1e-4 with betas (0.5, 0.999) for {trunk, D's head} and for {G, Q's head}, batch 64, 100
    epochs, initial weights.

    Different here: the document's normal NLL has an unbounded variance and adds 1e-6 in two places; ours is bounded,
    finite everywhere, and reads the third output as a log-scale. The information loss trains the parameters of the
    document's second optimizer: G and Q's head.

    Args:
        width: Factor on all channels.
    """
    n64, n128, n512, n1024 = scale_channels(width, 64, 128, 512, 1024)
    latent = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1, loss=NormalNLL()))
    generator = nn.Sequential(
        *(nn.ConvTranspose2d(latent.width, n512, 1, 1, bias=False), nn.BatchNorm2d(n512), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n512, n1024, 1, 1, bias=False), nn.BatchNorm2d(n1024), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n1024, n128, 7, 1, bias=False), nn.BatchNorm2d(n128), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n128, n64, 4, 2, 1, bias=False), nn.BatchNorm2d(n64), nn.LeakyReLU(0.01)),
        *(nn.ConvTranspose2d(n64, 1, 4, 2, 1, bias=False), nn.Sigmoid()),
    )
    trunk = nn.Sequential(
        *(nn.Conv2d(1, n64, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(n64, n128, 4, 2, 1, bias=False), nn.BatchNorm2d(n128), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(n128, n1024, 7, bias=False), nn.BatchNorm2d(n1024), nn.LeakyReLU(0.1)),
    )
    d_head = nn.Sequential(nn.Conv2d(n1024, n512, 1), nn.Sigmoid(), nn.Conv2d(n512, 1, 1), nn.Sigmoid())
    return Recipe(
        generator=init_dcgan(generator),
        discriminator=nn.Sequential(init_dcgan(trunk), init_dcgan(d_head)),
        q_head=ConvQHead(n1024, n128),
        tap="0",
        latent=latent,
        image_size=28,
        batch_size=64,
        epochs=100,
        optimizers=Optimizers(g=1e-4, d=1e-4, betas=(0.5, 0.999)),
        trainer_kwargs={"information_trains": ("generator", "q_head")},
    )

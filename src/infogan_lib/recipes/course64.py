"""The course's labs on 64 x 64 images: lab64-frontend, lab64-conditions, lab64-mse and dcgan-tutorial.

All four are a DCGAN with a classifier on the discriminator's convolutions, which is what the course asks for: change a
DCGAN into an InfoGAN by maximising the mutual information between the image and a one-hot code. Where a document is
silent on the initial weights, they are the tutorial's.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib.latent.continuous import Noise, Uniform
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import MSE
from infogan_lib.recipes.architectures import (
    SeparateArguments,
    dcgan_discriminator,
    dcgan_generator,
    dcgan_trunk,
    initialised,
)
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.training import Optimizers


def _scaled(width: float, *channels: int) -> list[int]:
    return [max(1, round(width * c)) for c in channels]


@register("lab64-frontend")
def lab64_frontend(width: float = 1.0) -> Recipe:
    """D in two parts, a front end that D's own head and Q share; one code of ten; Q of two linear layers.

    From the document: all layers, Adam 2e-4 for front end and D's head and 1e-3 for G and Q with betas (0.5, 0.99),
    batch 100. Chosen here, where it is silent or contradicts itself: stride 2 in G's last layer (the printed 1 would
    make 33 x 33 images, and Q takes 64 x 64), Tanh and data in [-1, 1], D's head one convolution to a logit, 20 epochs
    (its number was "chosen by looking"). The information loss trains what its second optimiser holds: G and Q, not the
    front end.
    """
    latent = LatentSpec(z=Noise(90), digit=Categorical(10))
    sizes = _scaled(width, 128, 256, 512, 1024)
    trunk = dcgan_trunk(sizes)
    head = initialised(nn.Sequential(nn.Conv2d(sizes[-1], 1, 4, 1, 0)))
    return Recipe(
        generator=dcgan_generator(latent.width, sizes[::-1]),
        discriminator=nn.Sequential(trunk, head),
        q_head=nn.Sequential(nn.Flatten(), nn.Linear(16 * sizes[-1], 100), nn.ReLU(), nn.Linear(100, 10)),
        tap="0",
        latent=latent,
        image_size=64,
        batch_size=100,
        epochs=20,
        optimizers=Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.99)),
        trainer_kwargs={
            "information_trains": ("generator", "q_head"),
        },
    )


@register("lab64-conditions")
def lab64_conditions(width: float = 1.0) -> Recipe:
    """54 noise and then ten one-hot inputs, a DCGAN, non-saturating losses and the information loss with weight 1.

    From the document: the layout of the latent with the noise first, and the losses. The networks are lab64-mse's
    DCGAN. Chosen here: Q is a linear layer on D's last maps, as in lab64-mse; Adam 1e-3 for G and Q and 2e-4 for D with
    betas (0.5, 0.999), batch 128 and 20 epochs; the information loss trains G, Q and the shared convolutions.
    """
    latent = LatentSpec(z=Noise(54), digit=Categorical(10))
    sizes = _scaled(width, 64, 128, 256, 512)
    trunk = dcgan_trunk(sizes)
    head = initialised(nn.Sequential(nn.Conv2d(sizes[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()))
    return Recipe(
        generator=dcgan_generator(latent.width, sizes[::-1]),
        discriminator=nn.Sequential(trunk, head),
        q_head=nn.Sequential(nn.Flatten(), nn.Linear(16 * sizes[-1], 10)),
        tap="0",
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=20,
        optimizers=Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.999)),
    )


class ThreeOutputs(nn.Module):
    """A discriminator that returns validity, category logits and estimates of the continuous codes.

    Args:
        trunk: the convolutions, ending in maps of 4 x 4.
        channels: of these maps.

    Shape:
        (N, 1, 64, 64) to probabilities (N, 1), logits (N, 10) and estimates (N, 2).
    """

    def __init__(self, trunk: nn.Module, channels: int) -> None:
        super().__init__()
        self.trunk = trunk
        judge = nn.Conv2d(channels, 1, 4, 1, 0, bias=False)
        self.validity = initialised(nn.Sequential(judge, nn.Flatten(), nn.Sigmoid()))
        self.codes = nn.Linear(16 * channels, 12)

    @override
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Validity, cat_code and cont_code of images (N, 1, 64, 64)."""
        features = self.trunk(images)
        codes = self.codes(torch.flatten(features, 1))
        return self.validity(features), codes[:, :10], codes[:, 10:]


@register("lab64-mse")
def lab64_mse(width: float = 1.0) -> Recipe:
    """G takes noise, category and codes as three arguments, D returns (validity, cat_code, cont_code); MSE.

    From the document: all layers, the latent (52 noise, ten categories, two codes in [-1, 1]), binary cross-entropy,
    cross-entropy and mean squared error with weight 1, Adam 1e-3 for G and 2e-4 for D, batch 128, 80 epochs. Its mean
    squared error is the mean over the two codes, ours their sum, so the weight is a half. Chosen here: betas (0.5,
    0.999); D's convolutions are trained by both games; its code layer, being D's, learns at D's rate (at G's, the
    estimates of the codes went far astray again and again).
    """
    latent = LatentSpec(z=Noise(52), digit=Categorical(10), style=Uniform(2, weight=0.5, loss=MSE()))
    sizes = _scaled(width, 64, 128, 256, 512)
    return Recipe(
        generator=SeparateArguments(dcgan_generator(latent.width, sizes[::-1])),
        discriminator=ThreeOutputs(dcgan_trunk(sizes), sizes[-1]),
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=80,
        optimizers=Optimizers(g=1e-3, d=2e-4, q=2e-4, betas=(0.5, 0.999)),
    )


@register("dcgan-tutorial")
def dcgan_tutorial(width: float = 1.0) -> Recipe:
    """The DCGAN of PyTorch's tutorial, unmodified, and a Q head that the library attaches to its convolutions.

    From the slides and the tutorial: both networks as two plain `nn.Sequential`, 100 inputs, Adam 2e-4 with betas (0.5,
    0.999) for both, batch 128; a classification loss that trains classifier and generator together, the classifier
    sharing the discriminator's convolutions. Chosen here: of the 100 inputs ten are the code; grey images; 10 epochs;
    the shared convolutions are trained by the classification as well.
    """
    latent = LatentSpec(z=Noise(90), digit=Categorical(10))
    sizes = _scaled(width, 64, 128, 256, 512)
    return Recipe(
        generator=dcgan_generator(latent.width, sizes[::-1]),
        discriminator=dcgan_discriminator(sizes),
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=10,
        optimizers=Optimizers(g=2e-4, d=2e-4, betas=(0.5, 0.999)),
    )

"""The course's labs: lab28-normalnll, lab64-frontend, lab64-conditions, lab64-mse and dcgan-tutorial.

The four on 64 x 64 images are a DCGAN with a classifier on the discriminator's convolutions, which is what the course
asks for: turn a DCGAN into an InfoGAN by maximizing the mutual information of the image and a one-hot code. Where a
document does not give the initial weights, they are the tutorial's.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib.latent import Categorical, LatentSpec, Noise, Uniform
from infogan_lib.losses.information import MSE, NormalNLL
from infogan_lib.networks import BatchNormQHead, Tap
from infogan_lib.recipes.architectures import (
    SeparateArguments,
    dcgan_discriminator,
    dcgan_generator,
    dcgan_trunk,
    init_dcgan,
    scale_channels,
)
from infogan_lib.recipes.recipe import Recipe, register
from infogan_lib.step import Optimizers


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


@register("lab64-frontend")
def lab64_frontend(width: float = 1.0) -> Recipe:
    """D in two parts: a front end that D's own head and Q share; one code of ten categories; a Q of two linear layers.

    From the document: all layers, Adam 2e-4 for front end and D's head and 1e-3 for G and Q with betas (0.5, 0.99),
    batch 100.

    Chosen here, where the document is silent or contradicts itself: stride 2 in G's last layer (the printed 1 would
    make 33 x 33 images, and Q takes 64 x 64); Tanh and data in [-1, 1]; one convolution to a logit as D's head; 20
    epochs (the document's number was "chosen by looking"). The information loss trains the parameters of the document's
    second optimizer: G and Q, not the front end.
    """
    latent = LatentSpec(z=Noise(90), digit=Categorical(10))
    channels = scale_channels(width, 128, 256, 512, 1024)
    trunk = dcgan_trunk(channels)
    head = init_dcgan(nn.Sequential(nn.Conv2d(channels[-1], 1, 4, 1, 0)))
    return Recipe(
        generator=dcgan_generator(latent.width, channels[::-1]),
        discriminator=nn.Sequential(trunk, head),
        q_head=nn.Sequential(nn.Flatten(), nn.Linear(16 * channels[-1], 100), nn.ReLU(), nn.Linear(100, 10)),
        tap="0",
        latent=latent,
        image_size=64,
        batch_size=100,
        epochs=20,
        optimizers=Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.99)),
        trainer_kwargs={"information_trains": ("generator", "q_head")},
    )


@register("lab64-conditions")
def lab64_conditions(width: float = 1.0) -> Recipe:
    """54 noise inputs, then ten one-hot inputs; a DCGAN, non-saturating losses, and the information loss with weight 1.

    From the document: the layout of the latent, with the noise first, and the losses. The networks are lab64-mse's
    DCGAN.

    Chosen here: Q is a linear layer on D's last maps, as in lab64-mse; Adam 1e-3 for G and Q and 2e-4 for D with betas
    (0.5, 0.999), batch 128 and 20 epochs; the information loss trains G, Q and the shared convolutions.
    """
    latent = LatentSpec(z=Noise(54), digit=Categorical(10))
    channels = scale_channels(width, 64, 128, 256, 512)
    trunk = dcgan_trunk(channels)
    head = init_dcgan(nn.Sequential(nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()))
    return Recipe(
        generator=dcgan_generator(latent.width, channels[::-1]),
        discriminator=nn.Sequential(trunk, head),
        q_head=nn.Sequential(nn.Flatten(), nn.Linear(16 * channels[-1], 10)),
        tap="0",
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=20,
        optimizers=Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.999)),
    )


class DiscriminatorWithCodes(nn.Module):
    """A discriminator that returns validity, category logits and estimates of the continuous codes.

    Its trunk makes maps (N, channels, 4, 4) of images (N, 1, 64, 64).
    """

    def __init__(self, trunk: nn.Module, channels: int) -> None:
        super().__init__()
        self.trunk = trunk
        to_one = nn.Conv2d(channels, 1, 4, 1, 0, bias=False)
        self.validity = init_dcgan(nn.Sequential(to_one, nn.Flatten(), nn.Sigmoid()))
        self.codes = nn.Linear(16 * channels, 12)

    @override
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Validity (N, 1) in [0, 1], category logits (N, 10) and code estimates (N, 2) of images (N, 1, 64, 64)."""
        features = self.trunk(images)
        codes = self.codes(torch.flatten(features, 1))
        return self.validity(features), codes[:, :10], codes[:, 10:]


@register("lab64-mse")
def lab64_mse(width: float = 1.0) -> Recipe:
    """G takes noise, category and codes as three arguments; D returns (validity, cat_code, cont_code); squared errors.

    From the document: all layers, the latent (52 noise, ten categories, two codes in [-1, 1]), binary cross-entropy,
    cross-entropy and mean squared error with weight 1, Adam 1e-3 for G and 2e-4 for D, batch 128, 80 epochs. Its mean
    squared error is the mean over the two codes and ours their sum, so the weight is a half.

    Chosen here: betas (0.5, 0.999); both the adversarial and the information loss train D's convolutions; the layer of
    D that estimates the codes learns at D's rate (at G's, the estimates diverged again and again).
    """
    latent = LatentSpec(z=Noise(52), digit=Categorical(10), style=Uniform(2, weight=0.5, loss=MSE()))
    channels = scale_channels(width, 64, 128, 256, 512)
    return Recipe(
        generator=SeparateArguments(dcgan_generator(latent.width, channels[::-1])),
        discriminator=DiscriminatorWithCodes(dcgan_trunk(channels), channels[-1]),
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=80,
        optimizers=Optimizers(g=1e-3, d=2e-4, q=2e-4, betas=(0.5, 0.999)),
    )


@register("dcgan-tutorial")
def dcgan_tutorial(width: float = 1.0) -> Recipe:
    """The DCGAN of PyTorch's tutorial, unmodified, and the paper's Q head on its convolutions.

    From the slides and the tutorial: both networks as two plain `nn.Sequential`, 100 inputs, Adam 2e-4 with betas (0.5,
    0.999) for both, batch 128; a classification loss that trains classifier and generator together, the classifier
    sharing the discriminator's convolutions.

    Chosen here: ten of the 100 inputs are the code; gray images; 10 epochs; the classification trains the shared
    convolutions too.
    """
    latent = LatentSpec(z=Noise(90), digit=Categorical(10))
    channels = scale_channels(width, 64, 128, 256, 512)
    return Recipe(
        generator=dcgan_generator(latent.width, channels[::-1]),
        discriminator=dcgan_discriminator(channels),
        q_head=BatchNormQHead,
        tap=Tap("11", "input"),
        latent=latent,
        image_size=64,
        batch_size=128,
        epochs=10,
        optimizers=Optimizers(g=2e-4, d=2e-4, betas=(0.5, 0.999)),
    )

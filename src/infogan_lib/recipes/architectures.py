"""Networks of the recipes: the InfoGAN paper's pair for 28 x 28 images, and DCGAN's for 64 x 64.

Sources: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1; Radford et al., DCGAN, ICLR 2016.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int


def paper_generator(latent_width: int, *, image_channels: int = 1, channels: int = 64, hidden: int = 1024) -> nn.Module:
    """G: FC hidden, FC 7 x 7 x 2 channels, ConvT4 channels, ConvT4 image; BatchNorm and ReLU between; Sigmoid.

    Args:
        latent_width: `LatentSpec.width`.
        image_channels: 1 for grey images, 3 for colour.
        channels, hidden: 64 and 1024 in the paper; less for a CPU.

    Shape:
        (N, latent_width) to (N, image_channels, 28, 28) in [0, 1].
    """
    latent_width = check_int("latent_width", latent_width, minimum=1)
    return _initialised(
        nn.Sequential(
            nn.Linear(latent_width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * channels * 49, bias=False),
            nn.BatchNorm1d(2 * channels * 49),
            nn.ReLU(),
            nn.Unflatten(1, (2 * channels, 7, 7)),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, image_channels, 4, 2, 1),
            nn.Sigmoid(),
        )
    )


def paper_discriminator(
    *, image_channels: int = 1, channels: int = 64, hidden: int = 1024, norm: bool = True
) -> nn.Module:
    """D: Conv4 channels, Conv4 2 channels, FC hidden, FC 1; BatchNorm from the second; leaky ReLU 0.1. Logits.

    Args:
        image_channels: 1 for grey images, 3 for colour.
        channels, hidden: 64 and 1024 in the paper; less for a CPU.
        norm: whether to normalise, as the paper does. Without it Q sees each image by itself, and real and generated
            ones alike, which suits terms about real images.

    Shape:
        (N, image_channels, 28, 28) to logits (N, 1).
    """
    layers = [
        *(nn.Conv2d(image_channels, channels, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=not norm), nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.1)),
        nn.Flatten(),
        *(nn.Linear(2 * channels * 49, hidden, bias=not norm), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1)),
        nn.Linear(hidden, 1),
    ]
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    return _initialised(nn.Sequential(*(layer for layer in layers if norm or not isinstance(layer, norms))))


def _initialised(network: nn.Module) -> nn.Module:
    """Weights from N(0, 0.02), biases zero, as the paper's code starts them; BatchNorm as torch does."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def dcgan_generator(
    latent_width: int, channels: Sequence[int] = (512, 256, 128, 64), *, image_channels: int = 1
) -> nn.Sequential:
    """G: ConvT4 to 4 x 4, then ConvT4 stride 2 for each further size; BatchNorm and ReLU between; Tanh. No biases.

    Args:
        latent_width: of the latent, a map of 1 x 1.
        channels: of the maps of 4 x 4, 8 x 8 and so on.
        image_channels: of the images.

    Shape:
        (N, latent_width, 1, 1) to (N, image_channels, 64, 64) in [-1, 1], with four sizes.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([latent_width, *channels], channels, strict=False)):
        layers += [_up(before, after, first=i == 0), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return initialised(nn.Sequential(*layers, _up(channels[-1], image_channels), nn.Tanh()))


def dcgan_trunk(channels: Sequence[int] = (64, 128, 256, 512), *, image_channels: int = 1) -> nn.Sequential:
    """D's convolutions: Conv4 stride 2 for each size; BatchNorm from the second; leaky ReLU 0.2. No biases.

    Shape:
        (N, image_channels, 64, 64) to (N, channels[-1], 4, 4), with four sizes.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([image_channels, *channels], channels, strict=False)):
        norm = [nn.BatchNorm2d(after)] if i > 0 else []
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2, inplace=True)]
    return initialised(nn.Sequential(*layers))


def dcgan_discriminator(channels: Sequence[int] = (64, 128, 256, 512), *, image_channels: int = 1) -> nn.Sequential:
    """D: `dcgan_trunk`, then Conv4 to one number, then a Sigmoid; one flat `nn.Sequential`, as in the tutorial.

    Shape:
        (N, image_channels, 64, 64) to probabilities (N, 1, 1, 1).
    """
    trunk = dcgan_trunk(channels, image_channels=image_channels)
    return initialised(nn.Sequential(*trunk, nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()))


class SeparateArguments(nn.Module):
    """A generator that takes noise, category and continuous code as three arguments, as lab64-mse calls it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    @override
    def forward(self, noise: Tensor, cat_code: Tensor, cont_code: Tensor) -> Tensor:
        """Images (N, C, 64, 64) from noise (N, Z), category (N, K) and codes (N, D), side by side as a 1 x 1 map."""
        return self.body(torch.cat([noise, cat_code, cont_code], dim=1)[..., None, None])


def initialised(network: nn.Sequential) -> nn.Sequential:
    """Convolutions from N(0, 0.02), BatchNorm's weights from N(1, 0.02) and biases 0, as the tutorial starts them."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=0.02)
            nn.init.zeros_(module.bias)
    return network


def _up(before: int, after: int, *, first: bool = False) -> nn.ConvTranspose2d:
    stride, padding = (1, 0) if first else (2, 1)
    return nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)

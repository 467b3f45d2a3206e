"""The DCGAN family: 64 x 64 images by strided convolutions, in the sizes that the labs print.

Source: Radford et al., Unsupervised Representation Learning with DCGAN, ICLR 2016, section 3; PyTorch's DCGAN tutorial.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override


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

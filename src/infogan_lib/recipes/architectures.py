"""Networks of the recipes: the InfoGAN paper's pair for 28 x 28 images, and DCGAN's for 64 x 64.

Sources: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1; Radford et al., DCGAN, ICLR 2016.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int

Network = TypeVar("Network", bound=nn.Module)


def scale_channels(width: float, *channels: int) -> list[int]:
    """Multiply channel counts by a width; each is at least 1."""
    return [max(1, round(width * count)) for count in channels]


def init_paper(network: Network) -> Network:
    """Initialize, in place, as the paper's code does: weights from N(0, 0.02), biases 0; BatchNorm as in torch."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def init_he(network: Network, slope: float = 0.1) -> Network:
    """Initialize, in place, for leaky ReLU without norms: He et al., *Delving Deep into Rectifiers*, 2015; biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def init_dcgan(network: Network) -> Network:
    """Initialize, in place, as DCGAN does: convolutions from N(0, 0.02), BatchNorm from N(1, 0.02), its biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=0.02)
            nn.init.zeros_(module.bias)
    return network


def paper_generator(
    latent_width: int, *, image_channels: int = 1, channels: int = 64, hidden: int = 1024
) -> nn.Sequential:
    """G: FC hidden, FC 7 x 7 x 2 channels, ConvT4 channels, ConvT4 image; BatchNorm and ReLU between; Sigmoid.

    From (N, latent_width) to (N, image_channels, 28, 28) in [0, 1]. The paper's widths are the defaults; a CPU wants
    less.
    """
    latent_width = check_int("latent_width", latent_width, minimum=1)
    return init_paper(
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
) -> nn.Sequential:
    """D: Conv4 channels, Conv4 2 channels, FC hidden, FC 1; BatchNorm from the second layer on; leaky ReLU 0.1.

    From (N, image_channels, 28, 28) to logits (N, 1). The paper's widths are the defaults; a CPU wants less. Without a
    `norm` Q's answer for an image does not depend on the rest of the batch, real or generated, which suits terms about
    real images.
    """
    layers = [
        *(nn.Conv2d(image_channels, channels, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=not norm), nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.1)),
        nn.Flatten(),
        *(nn.Linear(2 * channels * 49, hidden, bias=not norm), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1)),
        nn.Linear(hidden, 1),
    ]
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    return init_paper(nn.Sequential(*(layer for layer in layers if norm or not isinstance(layer, norms))))


def late_norm_discriminator(*, image_channels: int = 1, channels: int = 64, hidden: int = 1024) -> nn.Sequential:
    """D: the paper's layers, with BatchNorm only behind the convolutions, which Q shares.

    Q judges each image by itself, so nothing that it reads may look at the batch; D judges variety by doing just that.
    The convolutions begin with He's initialization, as N(0, 0.02) is for layers with a norm behind them. From (N,
    image_channels, 28, 28) to logits (N, 1).
    """
    convolutions = nn.Sequential(
        *(nn.Conv2d(image_channels, channels, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(channels, 2 * channels, 4, 2, 1), nn.LeakyReLU(0.1)),
    )
    judge = nn.Sequential(
        *(nn.BatchNorm2d(2 * channels), nn.Flatten()),
        *(nn.Linear(2 * channels * 49, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1)),
        nn.Linear(hidden, 1),
    )
    return nn.Sequential(*init_he(convolutions), *init_paper(judge))


def dcgan_generator(
    latent_width: int, channels: Sequence[int] = (512, 256, 128, 64), *, image_channels: int = 1
) -> nn.Sequential:
    """G: ConvT4 to 4 x 4, then ConvT4 with stride 2 for each further size; BatchNorm and ReLU between; Tanh; no biases.

    `channels` are those of the maps of 4 x 4, 8 x 8 and so on. From (N, latent_width, 1, 1) to (N, image_channels, 64,
    64) in [-1, 1], for four sizes.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([latent_width, *channels], channels, strict=False)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        up = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
        layers += [up, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    to_image = nn.ConvTranspose2d(channels[-1], image_channels, 4, 2, 1, bias=False)
    return init_dcgan(nn.Sequential(*layers, to_image, nn.Tanh()))


def dcgan_trunk(channels: Sequence[int] = (64, 128, 256, 512), *, image_channels: int = 1) -> nn.Sequential:
    """D's convolutions: Conv4 with stride 2 for each size; BatchNorm from the second on; leaky ReLU 0.2; no biases.

    `channels` are those of the maps of 32 x 32, 16 x 16 and so on. From (N, image_channels, 64, 64) to (N,
    channels[-1], 4, 4), for four sizes.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([image_channels, *channels], channels, strict=False)):
        norm = [nn.BatchNorm2d(after)] if i > 0 else []
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2, inplace=True)]
    return init_dcgan(nn.Sequential(*layers))


def dcgan_discriminator(channels: Sequence[int] = (64, 128, 256, 512), *, image_channels: int = 1) -> nn.Sequential:
    """D: `dcgan_trunk`, then Conv4 to one number and a Sigmoid; one flat `nn.Sequential`, as in the tutorial.

    From (N, image_channels, 64, 64) to probabilities (N, 1, 1, 1).
    """
    trunk = dcgan_trunk(channels, image_channels=image_channels)
    return init_dcgan(nn.Sequential(*trunk, nn.Conv2d(channels[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()))


class SeparateArguments(nn.Module):
    """A generator of latents (N, L, 1, 1) that takes noise, category and continuous code as lab64-mse calls it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    @override
    def forward(self, noise: Tensor, cat_code: Tensor, cont_code: Tensor) -> Tensor:
        """Images (N, C, 64, 64) of noise (N, Z), one-hot categories (N, K) and continuous codes (N, D)."""
        return self.body(torch.cat([noise, cat_code, cont_code], dim=1)[..., None, None])

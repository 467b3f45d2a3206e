"""Pairs of G and D as other projects have them, for square images of 16, 28, 32 or 64 pixels.

"bn", "none" and "sn" are DCGAN's pair, with BatchNorm in all of D's layers but the first and the last, without any
normalization of D, and with spectral normalization of all of D's layers. "paper" is the InfoGAN paper's pair of fully
connected and convolutional layers, with BatchNorm. They are written out here and not taken from the library's recipes,
because they stand for networks that the library has not seen.

Sources: Radford et al., DCGAN, ICLR 2016, and PyTorch's DCGAN tutorial, whose D ends in a Sigmoid; Miyato et al.,
Spectral Normalization for GANs, ICLR 2018; Chen et al., InfoGAN, NeurIPS 2016, appendix C.1.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

NETWORKS = ("bn", "none", "sn", "paper")
INITS = ("dcgan", "torch")
MAPS = {16: (4, 1), 28: (7, 1), 32: (4, 2), 64: (4, 3)}
"""By side of the images: the side of the smallest maps, and how often they are doubled before the last layer."""


def make_pair(
    name: str,
    latent_width: int,
    *,
    size: int,
    image_channels: int = 1,
    channels: int = 32,
    init: str = "dcgan",
    seed: int,
) -> tuple[nn.Module, nn.Module]:
    """Build G and D.

    Args:
        name: One of `NETWORKS`.
        latent_width: Width of G's input.
        size: Side of the images: 16, 28, 32 or 64.
        image_channels: Channels of the images.
        channels: Channels of the maps next to the image.
        init: "dcgan" for weights from N(0, 0.02), "torch" for torch's own.
        seed: Seed of the weights; the global generator is left as it was.

    Raises:
        ValueError: If there are no such networks, or none of that size.
    """
    if name not in NETWORKS or init not in INITS or size not in MAPS:
        raise ValueError(
            f"networks must be one of {NETWORKS}, init one of {INITS} and size one of {tuple(MAPS)}, "
            f"but got {name!r}, {init!r} and {size}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if name == "paper":
            pair = (
                paper_generator(latent_width, size, image_channels, channels),
                paper_discriminator(size, image_channels, channels),
            )
        else:
            pair = (
                dcgan_generator(latent_width, size, image_channels, channels),
                dcgan_discriminator(name, size, image_channels, channels),
            )
        if init == "dcgan":
            for network in pair:
                network.apply(_init_dcgan)
        if name == "sn":  # after the weights are drawn, as it estimates their norms; from vectors that it draws
            for module in [*pair[1].modules()]:
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)
    return pair


def dcgan_generator(latent_width: int, size: int, image_channels: int, channels: int) -> nn.Sequential:
    """G from (N, latent_width, 1, 1) to images in [-1, 1]: transposed convolutions, BatchNorm, ReLU, at last Tanh."""
    start, doublings = MAPS[size]
    widths = [channels * 2**i for i in range(doublings, -1, -1)]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([latent_width, *widths], widths, strict=False)):
        kernel, stride, padding = (start, 1, 0) if i == 0 else (4, 2, 1)
        up = nn.ConvTranspose2d(before, after, kernel, stride, padding, bias=False)
        layers += [up, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, image_channels, 4, 2, 1, bias=False), nn.Tanh())


def dcgan_discriminator(norm: str, size: int, image_channels: int, channels: int) -> nn.Sequential:
    """D from images to probabilities (N, 1, 1, 1): convolutions, leaky ReLU 0.2, at last Sigmoid."""
    start, doublings = MAPS[size]
    widths = [channels * 2**i for i in range(doublings + 1)]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([image_channels, *widths], widths, strict=False)):
        has_batch_norm = norm == "bn" and i > 0
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=norm != "bn"))
        layers += [nn.BatchNorm2d(after)] if has_batch_norm else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, start, 1, 0, bias=norm != "bn"), nn.Sigmoid())


def paper_generator(latent_width: int, size: int, image_channels: int, channels: int) -> nn.Sequential:
    """G from (N, latent_width) to images in [0, 1]: two fully connected layers, two transposed convolutions."""
    hidden, side = 16 * channels, size // 4
    return nn.Sequential(
        *(nn.Linear(latent_width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
        *(nn.Linear(hidden, 2 * channels * side**2), nn.BatchNorm1d(2 * channels * side**2), nn.ReLU()),
        nn.Unflatten(1, (2 * channels, side, side)),
        *(nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()),
        *(nn.ConvTranspose2d(channels, image_channels, 4, 2, 1), nn.Sigmoid()),
    )


def paper_discriminator(size: int, image_channels: int, channels: int) -> nn.Sequential:
    """D from images to logits (N, 1): two convolutions, two fully connected layers, leaky ReLU 0.1."""
    hidden, side = 16 * channels, size // 4
    return nn.Sequential(
        *(nn.Conv2d(image_channels, channels, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(channels, 2 * channels, 4, 2, 1), nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.1)),
        nn.Flatten(),
        *(nn.Linear(2 * channels * side**2, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1)),
        nn.Linear(hidden, 1),
    )


def _init_dcgan(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
        nn.init.zeros_(module.bias)

"""The InfoGAN paper's networks for 28 x 28 images, at its size or narrower.

Source: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1.
"""

from torch import nn

from infogan_lib._checks import whole_number


def paper_generator(latent_width: int, *, image_channels: int = 1, channels: int = 64, hidden: int = 1024) -> nn.Module:
    """G: FC hidden, FC 7 x 7 x 2 channels, ConvT4 channels, ConvT4 image; BatchNorm and ReLU between; Sigmoid.

    Args:
        latent_width: `LatentSpec.width`.
        image_channels: 1 for grey images, 3 for colour.
        channels, hidden: 64 and 1024 in the paper; less for a CPU.

    Shape:
        (N, latent_width) to (N, image_channels, 28, 28) in [0, 1].
    """
    latent_width = whole_number("latent_width", latent_width, minimum=1)
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

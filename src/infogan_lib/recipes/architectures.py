"""Networks: the InfoGAN paper's pair for 28 x 28 images, DCGAN's for 64 x 64, and a small DCGAN for many sizes.

Sources: Chen et al., InfoGAN, NeurIPS 2016, appendix C.1; Radford et al., DCGAN, ICLR 2016.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int, check_seed, check_shape

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


_LONGEST_START = 7
"""The longest side of the maps that G begins with and D ends with."""

_LARGEST, _MOST_TIMES_AS_WIDE = 1024, 16


def dcgan_pair(
    latent_width: int, image_shape: Sequence[int], *, channels: int = 32, seed: int = 0
) -> tuple[nn.Sequential, nn.Sequential]:
    """DCGAN's G and D for images whose sides can be halved down to 7 pixels or fewer: 16, 28, 32, 64, 48 x 96, ...

    Args:
        latent_width: The width of the latent, `LatentSpec.width`.
        image_shape: (C, H, W).
        channels: Channels of the largest maps; those of half the side have twice as many, up to 16 times.
        seed: The seed of the weights; torch's global generator is left as it was.

    Returns:
        G from (N, latent_width, 1, 1) to images in [-1, 1]: transposed convolutions, BatchNorm, ReLU, at last Tanh. D
        from images to logits (N, 1, 1, 1): convolutions, BatchNorm in all but the first and the last, leaky ReLU.

    Raises:
        TypeError: A number that is no whole number.
        ValueError: A shape that is not (C, H, W), or sides that cannot be halved so.

    Example:
        >>> from infogan_lib.recipes import dcgan_pair
        >>> generator, discriminator = dcgan_pair(40, (1, 16, 16))
        >>> discriminator(generator(torch.zeros(2, 40, 1, 1))).shape
        torch.Size([2, 1, 1, 1])
    """
    latent_width = check_int("latent_width", latent_width, minimum=1, maximum=2**20)
    channels, seed = check_int("channels", channels, minimum=1, maximum=4096), check_seed(seed)
    shape = check_shape("image_shape", image_shape)
    if len(shape) != 3:
        raise ValueError(f"image_shape must be (C, H, W), but got {tuple(shape)}")
    image_channels, *sides = shape
    if max(shape) > _LARGEST:
        raise ValueError(f"image_shape must have at most {_LARGEST} channels and pixels a side, but got {tuple(shape)}")
    start, halvings = list(sides), 0
    while max(start) > _LONGEST_START and all(side % 2 == 0 for side in start):
        start, halvings = [side // 2 for side in start], halvings + 1
    if halvings == 0 or max(start) > _LONGEST_START:
        raise ValueError(
            f"image_shape must have sides that can be halved down to {_LONGEST_START} pixels or fewer, such as 16, 28, "
            f"32 or 64, but got {tuple(shape)}; resize the images, for instance with recipes.resize_images"
        )
    widths = [channels * min(2**i, _MOST_TIMES_AS_WIDE) for i in range(halvings)]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        generator = _generator(latent_width, start, widths[::-1], image_channels)
        return generator, _discriminator(image_channels, widths, start)


def _pair(sides: Sequence[int]) -> tuple[int, int]:
    return sides[0], sides[1]


def _generator(latent_width: int, start: Sequence[int], widths: Sequence[int], image_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent_width, widths[0], _pair(start), bias=False)]
    for before, after in zip(widths, [*widths[1:], None], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        layers.append(nn.ConvTranspose2d(before, after or image_channels, 4, 2, 1, bias=after is None))
    return init_dcgan(nn.Sequential(*layers, nn.Tanh()))


def _discriminator(image_channels: int, widths: Sequence[int], start: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(image_channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return init_dcgan(nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, _pair(start))))

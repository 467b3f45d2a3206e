"""A small G and D to begin with: DCGAN's layers, as many as the images need.

Source: Radford et al., *Unsupervised Representation Learning with Deep Convolutional GANs*, ICLR 2016, section 3.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from infogan_lib._checks import check_int, check_seed, check_shape
from infogan_lib.recipes.architectures import init_dcgan

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

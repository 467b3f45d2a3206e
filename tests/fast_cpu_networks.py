"""Convolutional networks that the tests of fast convolutions share."""

import torch
import torch.nn.functional as F
from torch import nn

from toys import LATENT


class Viewing(nn.Module):
    """A discriminator as people write them: functional calls on weights of its own, and `view`."""

    def __init__(self, channels: int = 3, side: int = 8) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(4, channels, 4, 4) * 0.2)
        self.second = nn.Conv2d(4, 6, 4, 2, 1)
        self.last = nn.Linear(6 * (side // 4) ** 2, 1)

    def forward(self, x):
        h = F.leaky_relu(F.conv2d(x, self.first, stride=2, padding=1), 0.1)
        h = h.view(len(h), 2, 2, *h.shape[2:]).view_as(h)
        h = F.leaky_relu(self.second(h), 0.1)
        return self.last(h.view(h.size(0), -1))


def discriminator(channels: int = 3) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(channels, 4, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(4, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(6, 5, 2), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(5, 1)),
    )


def generator(channels: int = 3, width: int = LATENT.width) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(width, 24, bias=False), nn.BatchNorm1d(24), nn.ReLU(), nn.Unflatten(1, (6, 2, 2))),
        *(nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.ConvTranspose2d(4, channels, 4, 2, 1), nn.Tanh()),
    )

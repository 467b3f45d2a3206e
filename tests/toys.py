"""Small networks and data that the tests share."""

import torch
from torch import Tensor, nn

from infogan_lib import Categorical, LatentSpec, Noise, Uniform

LATENT = LatentSpec(z=Noise(5), digit=Categorical(4), style=Uniform(2, weight=0.5))  # width 11, Q outputs 8


def dense_generator(width: int = LATENT.width, shape: tuple[int, ...] = (1, 4, 4), end: nn.Module | None = None):
    size = torch.Size(shape).numel()
    layers = [nn.Linear(width, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, size), nn.Unflatten(1, shape)]
    return nn.Sequential(*layers, end or nn.Tanh())


def dense_discriminator(shape: tuple[int, ...] = (1, 4, 4), norm: bool = True):
    size = torch.Size(shape).numel()
    middle = nn.BatchNorm1d(16) if norm else nn.Identity()
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), middle, nn.LeakyReLU(0.1), nn.Linear(16, 1))


def images(n: int, shape: tuple[int, ...] = (1, 4, 4), seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


class TupleDiscriminator(nn.Module):
    """(validity, category logits, style), as one module with its own code layers."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.LeakyReLU(0.2))
        self.validity = nn.Sequential(nn.Linear(12, 1), nn.Sigmoid())
        self.category = nn.Linear(12, 4)
        self.style = nn.Linear(12, 4)

    def forward(self, x):
        features = self.trunk(x)
        return self.validity(features), self.category(features), self.style(features)


class PartsGenerator(nn.Module):
    """Takes noise, category and style as three arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.body = dense_generator()

    def forward(self, noise, category, style):
        assert noise.shape[1] == 5
        assert category.shape[1] == 4
        assert style.shape[1] == 2
        return self.body(torch.cat([noise, category, style], dim=1))

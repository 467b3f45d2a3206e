"""The loops to beat: networks and training loops as the published labs and the most used public script write them.

A DataLoader, two plain Adam optimizers, one backward pass of D for real and one for fake images, then one through the
whole discriminator for the generator and Q, in which D's gradients are computed as well and thrown away.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from infogan_lib import Categorical, LatentSpec, Noise, Uniform, recipes

LATENT = LatentSpec(z=Noise(62), digit=Categorical(10), style=Uniform(2, weight=0.1))


def generator(part: int = 1) -> nn.Module:
    """Lab 28's generator with its widths divided by `part`."""
    widths = [LATENT.width, 512 // part, 1024 // part, 128 // part, 64 // part]

    def block(i: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
        conv = nn.ConvTranspose2d(widths[i], widths[i + 1], kernel, stride, padding, bias=False)
        return [conv, nn.BatchNorm2d(widths[i + 1]), nn.LeakyReLU(0.01)]

    return nn.Sequential(
        *block(0, 1, 1, 0),
        *block(1, 1, 1, 0),
        *block(2, 7, 1, 0),
        *block(3, 4, 2, 1),
        nn.ConvTranspose2d(widths[4], 1, 4, 2, 1, bias=False),
        nn.Sigmoid(),
    )


def trunk(part: int = 1) -> nn.Module:
    """Lab 28's shared layers with their widths divided by `part`."""
    a, b, c = 64 // part, 128 // part, 1024 // part
    return nn.Sequential(
        *(nn.Conv2d(1, a, 4, 2, 1), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(b, c, 7, bias=False), nn.BatchNorm2d(c), nn.LeakyReLU(0.1)),
    )


def d_head(part: int = 1) -> nn.Module:
    """Lab 28's validity head, two Sigmoids and all."""
    return nn.Sequential(
        nn.Conv2d(1024 // part, 512 // part, 1), nn.Sigmoid(), nn.Conv2d(512 // part, 1, 1), nn.Sigmoid()
    )


class QHead28(nn.Module):
    """Lab 28's Q head: 10 logits, 2 means and 2 numbers for the scales."""

    def __init__(self, part: int = 1) -> None:
        super().__init__()
        c = 128 // part
        self.body = nn.Sequential(nn.Conv2d(1024 // part, c, 1, bias=False), nn.BatchNorm2d(c), nn.LeakyReLU(0.1))
        self.logits, self.mean, self.scale = nn.Conv2d(c, 10, 1), nn.Conv2d(c, 2, 1), nn.Conv2d(c, 2, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.body(features)
        return self.logits(h), self.mean(h), self.scale(h)


def endless(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of a DataLoader, one epoch after another."""
    loader = DataLoader(TensorDataset(images), batch_size, shuffle=True, drop_last=True)
    while True:
        yield from (batch for (batch,) in loader)


class TextbookLoop:
    """The loop for lab 28's network: BCELoss on Sigmoids."""

    def __init__(self, images: Tensor, batch_size: int, part: int = 1) -> None:
        self.g, self.trunk, self.head, self.q = generator(part), trunk(part), d_head(part), QHead28(part)
        self.opt_d = torch.optim.Adam([*self.trunk.parameters(), *self.head.parameters()], 1e-4, (0.5, 0.999))
        self.opt_g = torch.optim.Adam([*self.g.parameters(), *self.q.parameters()], 1e-4, (0.5, 0.999))
        self.bce, self.ce = nn.BCELoss(), nn.CrossEntropyLoss()
        self.batches = endless(images, batch_size)
        self.losses: list[tuple[float, float]] = []

    def step(self) -> None:
        """One update of D, one of G and Q."""
        real = next(self.batches)
        n = len(real)
        ones, zeros = torch.ones(n), torch.zeros(n)
        category = torch.randint(10, (n,))
        style = torch.rand(n, 2) * 2 - 1
        z = torch.cat([torch.randn(n, 62), F.one_hot(category, 10).float(), style], dim=1).view(n, 74, 1, 1)

        self.opt_d.zero_grad()
        loss_real = self.bce(self.head(self.trunk(real)).view(-1), ones)
        loss_real.backward()
        fake = self.g(z)
        loss_fake = self.bce(self.head(self.trunk(fake.detach())).view(-1), zeros)
        loss_fake.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        features = self.trunk(fake)
        loss_g = self.bce(self.head(features).view(-1), ones)
        logits, mean, scale = (part.flatten(1) for part in self.q(features))
        log_sigma = -1 + 3 * F.softsign(scale / 3)
        z_score = (style - mean) * (-log_sigma).exp()
        nll = (0.5 * z_score**2 + log_sigma + 0.9189385332046727).sum(1).mean()
        (loss_g + self.ce(logits, category) + 0.1 * nll).backward()
        self.opt_g.step()
        self.losses.append((loss_real.item() + loss_fake.item(), loss_g.item()))


class TextbookLoop64:
    """The same loop for lab64-frontend: logits, no BatchNorm in D's head, one code of ten."""

    def __init__(self, images: Tensor, batch_size: int, width: float) -> None:
        recipe = recipes.get("lab64-frontend", width=width)
        assert isinstance(recipe.discriminator, nn.Sequential)
        assert isinstance(recipe.q_head, nn.Module)
        self.g, self.q = recipe.generator, recipe.q_head
        self.trunk, self.head = recipe.discriminator
        self.opt_d = torch.optim.Adam(recipe.discriminator.parameters(), 2e-4, (0.5, 0.99))
        self.opt_g = torch.optim.Adam([*self.g.parameters(), *self.q.parameters()], 1e-3, (0.5, 0.99))
        self.bce, self.ce = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
        self.batches = endless(images, batch_size)
        self.losses: list[tuple[float, float]] = []

    def step(self) -> None:
        """One update of D, one of G and Q."""
        real = next(self.batches)
        n = len(real)
        ones, zeros = torch.ones(n), torch.zeros(n)
        category = torch.randint(10, (n,))
        z = torch.cat([torch.randn(n, 90), F.one_hot(category, 10).float()], dim=1).view(n, 100, 1, 1)

        self.opt_d.zero_grad()
        loss_real = self.bce(self.head(self.trunk(real)).view(-1), ones)
        loss_real.backward()
        fake = self.g(z)
        loss_fake = self.bce(self.head(self.trunk(fake.detach())).view(-1), zeros)
        loss_fake.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        features = self.trunk(fake)
        loss_g = self.bce(self.head(features).view(-1), ones)
        (loss_g + self.ce(self.q(features), category)).backward()
        self.opt_g.step()
        self.losses.append((loss_real.item() + loss_fake.item(), loss_g.item()))


POINTS = LatentSpec(z=Noise(6), mode=Categorical(8), place=Uniform(2))


def points_networks() -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Linear]:
    """G, D's hidden layer, D's head and Q for points in the plane."""
    generator = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 2))
    hidden = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.1))
    return generator, hidden, nn.Sequential(nn.Linear(64, 1)), nn.Linear(64, 12)


class PointsLoop:
    """The same loop for points in the plane, without a DataLoader: what a step costs where arithmetic costs nothing."""

    def __init__(self, points: Tensor, batch_size: int) -> None:
        self.g, self.trunk, self.head, self.q = points_networks()
        self.opt_d = torch.optim.Adam([*self.trunk.parameters(), *self.head.parameters()], 2e-4, (0.5, 0.999))
        self.opt_g = torch.optim.Adam([*self.g.parameters(), *self.q.parameters()], 1e-3, (0.5, 0.999))
        self.points, self.batch_size, self.count = points, batch_size, 0
        self.losses: list[tuple[float, float]] = []

    def step(self) -> None:
        """One update of D, one of G and Q."""
        n = self.batch_size
        start = self.count * n % (len(self.points) - n + 1)
        real, self.count = self.points[start : start + n], self.count + 1
        ones, zeros = torch.ones(n, 1), torch.zeros(n, 1)
        category, place = torch.randint(8, (n,)), torch.rand(n, 2) * 2 - 1
        z = torch.cat([torch.randn(n, 6), F.one_hot(category, 8).float(), place], dim=1)
        bce = F.binary_cross_entropy_with_logits

        self.opt_d.zero_grad()
        fake = self.g(z)
        loss_d = bce(self.head(self.trunk(real)), ones) + bce(self.head(self.trunk(fake.detach())), zeros)
        loss_d.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        features = self.trunk(fake)
        loss_g = bce(self.head(features), ones)
        logits, mean, log_sigma = self.q(features).split([8, 2, 2], dim=1)
        nll = (0.5 * ((place - mean) * (-log_sigma).exp()) ** 2 + log_sigma).sum(1).mean()
        (loss_g + F.cross_entropy(logits, category) + nll).backward()
        self.opt_g.step()
        self.losses.append((loss_d.item(), loss_g.item()))

"""The loop to beat: lab 28's network and training loop as the published labs write them.

BCELoss on Sigmoids, a DataLoader, two Adam optimisers, one backward pass for real and one for fake images, and one
through the whole discriminator for the generator and Q.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from infogan_lib import Categorical, LatentSpec, Noise, Uniform

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


class TextbookLoop:
    """The loop, one `step` at a time."""

    def __init__(self, images: Tensor, batch_size: int, part: int = 1) -> None:
        self.g, self.trunk, self.head, self.q = generator(part), trunk(part), d_head(part), QHead28(part)
        self.opt_d = torch.optim.Adam([*self.trunk.parameters(), *self.head.parameters()], 1e-4, (0.5, 0.999))
        self.opt_g = torch.optim.Adam([*self.g.parameters(), *self.q.parameters()], 1e-4, (0.5, 0.999))
        self.bce, self.ce = nn.BCELoss(), nn.CrossEntropyLoss()
        self.loader = DataLoader(TensorDataset(images), batch_size, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.losses: list[tuple[float, float]] = []

    def step(self) -> None:
        """One update of D, one of G and Q."""
        try:
            (real,) = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            (real,) = next(self.batches)
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

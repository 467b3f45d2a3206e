"""Several steps against an InfoGAN loop written by the textbook, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from toys import (
    LATENT,
    images,
    make_trainer,
    stream,
)


class Parts:
    """A small conv InfoGAN in float64, with the Q head as the labs have it: on D's trunk, next to D's head."""

    def __init__(self):
        torch.manual_seed(3)
        self.generator = nn.Sequential(
            *(nn.ConvTranspose2d(11, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()),
        ).double()
        self.trunk = nn.Sequential(nn.Conv2d(1, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.1)).double()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(54, 1), nn.Sigmoid()).double()
        self.q = nn.Sequential(nn.Flatten(), nn.Linear(54, 8)).double()


def textbook(parts, batches, latents, steps, *, trunk_too, joint=False):
    """D on real and on fake images, apart or in one batch; G and Q through the updated D. BCE on probabilities."""
    bce = nn.BCELoss()
    opt_d = torch.optim.Adam([*parts.trunk.parameters(), *parts.head.parameters()], lr=5e-4, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam([*parts.generator.parameters(), *parts.q.parameters()], lr=1e-3, betas=(0.5, 0.999))

    def information(features, z):
        raw = parts.q(features)
        category = F.cross_entropy(raw[:, :4], z[:, 5:9].argmax(1))
        s = raw[:, 6:]
        log_sigma = -1 + 3 * s / (3 + s.abs())
        normal = torch.distributions.Normal(raw[:, 4:6], log_sigma.exp())
        return category, -normal.log_prob(z[:, 9:]).sum(1).mean()

    log = []
    for x, z in zip(batches[:steps], latents[:steps], strict=True):
        real, fake_label = torch.ones(len(x), 1).double(), torch.zeros(len(x), 1).double()
        opt_d.zero_grad()
        fake = parts.generator(z[:, :, None, None])
        if joint:
            of_real, features = parts.trunk(torch.cat([x, fake.detach()])).split(len(x))
        else:
            of_real, features = parts.trunk(x), parts.trunk(fake.detach())
        loss_real, loss_fake = bce(parts.head(of_real), real), bce(parts.head(features), fake_label)
        loss = loss_real + loss_fake
        if trunk_too:
            category, style = information(features, z)
            loss = loss + category + 0.5 * style
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        features = parts.trunk(torch.cat([fake, x]))[: len(fake)] if joint else parts.trunk(fake)
        loss_g = bce(parts.head(features), real)
        category, style = information(features, z)
        (loss_g + category + 0.5 * style).backward()
        opt_g.step()
        log.append([loss_real.item() + loss_fake.item(), loss_g.item(), category.item(), style.item()])
    return torch.tensor(log, dtype=torch.float64)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("trunk_too", [False, True])
def test_several_steps_equal_the_textbook_loop(trunk_too, joint):
    steps, n = 6, 16
    ours, theirs = Parts(), Parts()
    data = (images(n * steps, (1, 6, 6), dtype=torch.float64) + 1) / 2
    trainer = make_trainer(
        ours.generator,
        nn.Sequential(ours.trunk, ours.head),
        LATENT,
        tap="0",
        q_head=ours.q,
        information_trains=["generator", "q_head", "trunk"] if trunk_too else ["generator", "q_head"],
        joint_batches=joint,
        seed=5,
        device="cpu",
    )
    draws = stream(5, "latents")
    latents = [LATENT.sample(n, rng=draws, dtype=torch.float64) for _ in range(steps)]
    trainer.fit(list(data.split(n)), steps=steps)
    expected = textbook(theirs, data.split(n), latents, steps, trunk_too=trunk_too, joint=joint)

    h = trainer.history
    found = torch.stack([torch.tensor(h[name]) for name in ("loss/d", "loss/g", "nll/digit", "nll/style")], dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    for mine, other in ((ours.generator, theirs.generator), (ours.trunk, theirs.trunk), (ours.head, theirs.head)):
        for (name, a), b in zip(mine.state_dict().items(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name)
    for a, b in zip(ours.q.parameters(), theirs.q.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)

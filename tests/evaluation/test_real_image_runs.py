"""The monitor on real runs: it reports a full bound whose categories mean nothing for the data, and no other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation import CollapseMonitor
from infogan_lib.evaluation.real_images import MIN_BOUND

KIND = "categories not of the data"


def reported_by(trainer, data, steps, batch_size):
    """What the monitor reports of the categories of real images."""
    monitor = CollapseMonitor(on_symptom=lambda symptom: None)
    trainer.fit(data, steps=steps, batch_size=batch_size, callbacks=[monitor])
    return [symptom for symptom in monitor.symptoms if symptom.kind == KIND]


def vectors(n=512):
    """Vectors (n, 8) of two kinds, far apart."""
    rng = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (n, 1), generator=rng)
    return 0.3 * torch.randn(n, 8, generator=rng) + (2.0 * kind - 1)


def test_the_default_terms_on_vectors_of_two_kinds_have_no_symptoms():
    latent = ig.LatentSpec(z=ig.Noise(8), kind=ig.Categorical(2))
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    d = nn.Sequential(nn.Linear(8, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    trainer = ig.InfoGANTrainer(g, d, latent, engine=ig.Engine("cpu"))
    assert reported_by(trainer, vectors(), 300, 64) == []
    assert trainer.history["bound_fraction/kind"][-100:].mean() > MIN_BOUND


def digits():
    """The digits of scikit-learn as uint8 images (1797, 1, 16, 16)."""
    images = torch.from_numpy(pytest.importorskip("sklearn.datasets").load_digits().images).float()[:, None] / 16
    return (F.interpolate(images, (16, 16), mode="bilinear") * 255).round().to(torch.uint8)


def dcgan(width, channels=32):
    """A plain pair for images (1, 16, 16), with BatchNorm in D."""
    g = nn.Sequential(
        nn.ConvTranspose2d(width, 2 * channels, 4, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, 1, 4, 2, 1),
        nn.Tanh(),
    )
    d = nn.Sequential(
        nn.Conv2d(1, channels, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * channels, 1, 4),
    )
    return g, d


@pytest.mark.slow
@pytest.mark.parametrize("regularizers", [None, ()], ids=["default", "plain"])
def test_the_plain_objective_on_digits_is_reported_within_300_steps_and_the_default_terms_are_not(regularizers):
    latent = ig.LatentSpec(z=ig.Noise(62), digit=ig.Categorical(10), style=ig.Uniform(2, weight=0.1))
    torch.manual_seed(0)
    trainer = ig.InfoGANTrainer(*dcgan(latent.width), latent, regularizers=regularizers, engine=ig.Engine("cpu"))
    reported = reported_by(trainer, digits(), 300, 128)
    assert trainer.history["bound_fraction/digit"][-100:].mean() > MIN_BOUND
    if regularizers is None:
        assert reported == []
    else:
        (symptom,) = reported
        assert (symptom.step, symptom.subject) == (300, "digit")
        assert "keep their category under a small warp" in symptom.finding
        assert symptom.advice.startswith("the default regularizers (leave out regularizers=())")

"""The probe: total effects of known generators, confusion of a perfect Q, and no side effects."""

import numpy as np
import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib.evaluation import CollapseMonitor
from infogan_lib.evaluation.probe import Factor, Probe
from infogan_lib.evaluation.symptoms import image_symptoms
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


class Linear(nn.Module):
    """Images (N, 1, 1, 4), each entry a multiple of the sum of one variable's entries."""

    def __init__(self, latent, factors):
        super().__init__()
        self.latent, self.factors = latent, factors
        self.unused = nn.Linear(1, 1)

    def forward(self, latents):
        parts = self.latent.split(latents)
        weighted = [
            factor * (parts[name][:, dim] if dim is not None else parts[name].sum(1))
            for name, dim, factor in self.factors
        ]
        return torch.stack(weighted, 1).reshape(-1, 1, 1, len(weighted))


@pytest.mark.parametrize("many", [0, 40])
def test_effects_are_fractions_of_the_variance(many):
    latent = (
        ig.LatentSpec(z=ig.Noise(1), bits=ig.Uniform(2), rest=ig.Uniform(many))
        if many
        else ig.LatentSpec(z=ig.Noise(1), bits=ig.Uniform(2))
    )
    g = Linear(latent, [("z", None, 1.0), ("bits", 0, 3.0), ("rest" if many else "z", None, 0.0)])
    d = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    model = ig.InfoGAN(g, d, latent)
    results = [Probe(model, samples=2048)(seed, index) for seed, index in ((0, 0), (1, 0), (1, 2), (1, 4))]
    total = 1 + 9 / 3  # a normal of variance 1 and three times a uniform of variance 1/3
    expected = {Factor("z", None): 1 / total, Factor("bits", 0): 3 / total, Factor("bits", 1): 0.0}
    expected |= {Factor("rest", dim): 0.0 for dim in range(many)}
    for result in results:
        assert result.total_effects == pytest.approx(
            {factor: expected[factor] for factor in result.total_effects}, abs=0.05
        )
    assert results[0].total_effects != results[1].total_effects
    assert {factor for result in results for factor in result.total_effects} == set(expected)


class Transmits(nn.Module):
    """A generator whose image is the latent, after BatchNorm."""

    def __init__(self, width, dead=0):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.mask = torch.cat([torch.ones(width - dead), torch.zeros(dead)])

    def forward(self, latents):
        return self.norm(latents * self.mask)[:, None, None]


class Reads(nn.Module):
    """A Q that recovers categorical codes from the image without a mistake."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, images):
        logits = 20 * images.flatten(1)
        return torch.nn.functional.pad(logits, (0, self.outputs - logits.shape[1]))


def symptoms_of(latent, num_probes=6, known=1.0, dead=0):
    """Kind and subject of all symptoms of a perfect pair, over several probes."""
    d = nn.Sequential(nn.Flatten(), nn.Linear(latent.width, 4), nn.ReLU(), nn.Linear(4, 1))
    model = ig.InfoGAN(Transmits(latent.width, dead), d, latent, q_network=Reads(latent.num_outputs)).train()
    fractions = dict.fromkeys(latent.codes, known)
    probe = Probe(model, samples=64)
    symptoms = (s for seed in range(num_probes) for s in image_symptoms(probe(seed, seed), latent, fractions))
    return [(symptom.kind, symptom.subject) for symptom in symptoms]


@pytest.mark.parametrize(
    "latent",
    [
        ig.LatentSpec(kind=ig.Categorical(20), style=ig.Uniform(10)),
        ig.LatentSpec(kind=ig.Categorical(30), style=ig.Uniform(20)),
        ig.LatentSpec({f"c{i}": ig.Categorical(10) for i in range(10)}),
        ig.LatentSpec(kind=ig.Categorical(200), style=ig.Uniform(2)),
        ig.LatentSpec(style=ig.Uniform(1200)),
        ig.LatentSpec({f"bit{i}": ig.Bernoulli(1) for i in range(100)}),
        ig.LatentSpec(z=ig.Noise(2000), style=ig.Uniform(1)),
    ],
)
def test_many_healthy_codes_have_no_symptoms(latent):
    assert symptoms_of(latent) == []


def test_dead_dimensions_among_many_are_found_in_turns_and_reported_once():
    latent = ig.LatentSpec(style=ig.Uniform(40))
    found = symptoms_of(latent, num_probes=6, dead=5)
    assert sorted(found) == sorted(
        ("inactive code", f"dimension {dim} of 'style'") for dim in range(35, 40) for _ in (1, 2)
    )
    model = ig.InfoGAN(
        Transmits(40, 5), nn.Sequential(nn.Flatten(), nn.Linear(40, 1)), latent, q_network=Reads(80)
    ).train()
    trainer = make_trainer(model.generator, model.discriminator, latent, q_network=Reads(80), device="cpu")
    monitor = CollapseMonitor(every=1, after=0, on_symptom=lambda symptom: None)
    trainer.fit(images(64, (1, 1, 40)), steps=12, batch_size=16, callbacks=[monitor])
    reported = [symptom.subject for symptom in monitor.symptoms if symptom.kind == "inactive code"]
    assert sorted(reported) == [f"dimension {dim} of 'style'" for dim in range(35, 40)]


def test_every_category_of_many_is_requested_often_enough():
    latent = ig.LatentSpec(z=ig.Noise(2), kind=ig.Categorical(60))
    model = ig.InfoGAN(dense_generator(62), dense_discriminator(), latent)
    table = Probe(model, samples=64)(0, 0).confusion["kind"]
    assert table.sum(1).min() >= 15
    beyond = ig.LatentSpec(z=ig.Noise(2), kind=ig.Categorical(129))
    assert Probe(ig.InfoGAN(dense_generator(131), dense_discriminator(), beyond), samples=64)(0, 0).confusion == {}


class NumpyNoise(nn.Module):
    """Noise from the global generators, in training and in evaluation."""

    def forward(self, x):
        return x + 0.1 * torch.randn_like(x) + 0.1 * float(np.random.randn())  # noqa: NPY002


@pytest.mark.parametrize("joint", [False, True])
def test_a_run_with_a_monitor_is_bitwise_the_same_as_without(joint):
    def train(callbacks):
        torch.manual_seed(3)
        g = nn.Sequential(*dense_generator()[:3], nn.Dropout(0.3), NumpyNoise(), *dense_generator()[3:])
        head = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16))
        d = nn.Sequential(nn.Flatten(), head, nn.BatchNorm1d(16), nn.LeakyReLU(), nn.Dropout(0.3), nn.Linear(16, 1))
        trainer = make_trainer(g, d, LATENT, device="cpu", ema_decay=0.9, joint_batches=joint)
        torch.manual_seed(4)
        np.random.seed(4)  # noqa: NPY002
        trainer.fit(images(64), steps=12, batch_size=16, callbacks=callbacks)
        return trainer

    monitor = CollapseMonitor(every=1, after=0, real_after=0, on_symptom=lambda symptom: None)
    alone, watched = train([]), train([monitor])
    for (name, a), (other, b) in zip(alone.model.state_dict().items(), watched.model.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b), name
    assert watched.history["loss/g"].tolist() == alone.history["loss/g"].tolist()
    assert all(module.training for module in watched.model.generator.modules())


def test_a_buffer_that_shares_its_memory_is_left_in_place():
    class Coordinates(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("x", torch.arange(4.0).expand(4, 4))

        def forward(self, images):
            return images + self.x

    torch.manual_seed(0)
    d = nn.Sequential(Coordinates(), *dense_discriminator())
    monitor = CollapseMonitor(every=1, after=0, on_symptom=lambda symptom: None)
    trainer = make_trainer(dense_generator(), d, LATENT, device="cpu")
    trainer.fit(images(64), steps=3, batch_size=8, callbacks=[monitor])
    assert trainer.steps == 3

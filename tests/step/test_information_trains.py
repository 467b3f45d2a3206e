"""Which parameters each loss trains, and by how much."""

from itertools import combinations

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import Categorical, LatentSpec, Noise, Uniform
from infogan_lib.losses import AdversarialLoss
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images, make_trainer


class Indifferent(AdversarialLoss):
    """A game in which nobody can gain: only the information loss is left to train anything."""

    def real(self, logits):
        return 0 * logits

    fake = generator = real


def moved_parts(trainer, data):
    groups = trainer.model.parameter_groups()
    before = {part: [p.detach().clone() for p in params] for part, params in groups.items()}
    trainer.step(data)
    moved = {}
    for part, params in groups.items():
        moved[part] = [not torch.equal(p, old) for p, old in zip(params, before[part], strict=True)]
    return moved


SUBSETS = [set(s) for r in (1, 2, 3) for s in combinations(("generator", "q_head", "trunk"), r)]


@pytest.mark.parametrize("discriminator", [dense_discriminator, TupleDiscriminator])
@pytest.mark.parametrize("trains", SUBSETS, ids=lambda s: "+".join(sorted(s)))
def test_information_trains_exactly_what_is_said(discriminator, trains):
    trainer = make_trainer(
        dense_generator(),
        discriminator(),
        LATENT,
        adversarial=Indifferent(),
        information_trains=trains,
        g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        d_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        q_optimizer=(lambda p: torch.optim.SGD(p, 0.1)) if "q_head" in trains else None,
    )
    moved = moved_parts(trainer, images(32))
    assert any(moved["generator"]) == ("generator" in trains)
    assert any(moved["q_head"]) == ("q_head" in trains)
    assert all(moved["q_head"]) == ("q_head" in trains)
    assert any(moved["trunk"]) == ("trunk" in trains)
    assert not any(moved["d_head"])
    assert all(p.grad is None for p in trainer.model.parameters())


def test_no_discriminator_gradient_is_computed_in_the_generators_step():
    trainer = make_trainer(information_trains=["generator", "q_head"])
    made = []
    for name, p in trainer.model.discriminator.named_parameters():
        p.register_hook(lambda gradient, name=name: made.append(name))
    trainer.step(images(8))
    assert sorted(made) == sorted(2 * [name for name, _ in trainer.model.discriminator.named_parameters()])


def test_generator_of_separate_arguments_and_tuple_discriminator_train_together():
    trainer = make_trainer(PartsGenerator(), TupleDiscriminator(), LATENT)
    moved = moved_parts(trainer, images(16))
    assert all(any(parts) for parts in moved.values())
    assert len(moved["q_head"]) == 4
    assert len(moved["trunk"]) == 2
    assert len(moved["d_head"]) == 2


def test_adding_a_code_leaves_the_other_codes_gradients_unchanged():
    """Through the whole model: the generator's gradient of one code's loss, alone and beside another."""
    torch.manual_seed(0)
    one = LatentSpec(z=Noise(5), digit=Categorical(4))
    two = LatentSpec(z=Noise(5), digit=Categorical(4), idle=Uniform(2, weight=0.0))
    body, head = nn.Linear(9, 16), nn.Linear(16, 4)

    class Ignoring(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, z):
            return self.body(z[:, :9])

    gradients = []
    for spec in (one, two):
        q = nn.Linear(16, spec.num_outputs)
        with torch.no_grad():
            q.weight[:4], q.bias[:4] = head.weight, head.bias
        spec_latent = spec.sample(12, rng=torch.Generator().manual_seed(2))
        spec_latent[:, :9] = one.sample(12, rng=torch.Generator().manual_seed(1))
        weights = torch.tensor([code.weight for code in spec.codes.values()])
        loss = (spec.nll(q(Ignoring()(spec_latent)), spec_latent).mean(0) * weights).sum()
        gradients.append(torch.autograd.grad(loss, body.weight)[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.cpu
def test_a_second_code_leaves_the_first_ones_share_of_the_step_alone(monkeypatch):
    """Through the trainer: Q's weights for a code move alike whether or not another code stands beside it."""
    moves = []
    for extra in ({}, {"more": ig.Categorical(3), "style": ig.Uniform(2)}):
        spec = ig.LatentSpec({"z": ig.Noise(5), "digit": ig.Categorical(4), **extra})

        class OwnColumns(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.body = nn.Linear(9, 16)

            def forward(self, z):
                if z.ndim != 2:
                    raise ValueError
                return (
                    self.body(torch.linspace(-1, 1, len(z))[:, None] * torch.ones(9)) + 0 * z.sum()
                )  # reads all codes

        torch.manual_seed(1)
        head = nn.Linear(12, spec.num_outputs)
        with torch.no_grad():
            head.weight[:4] = 0.1
            head.bias[:4] = 0
        torch.manual_seed(2)
        discriminator = nn.Sequential(nn.Linear(16, 12), nn.LeakyReLU(0.1), nn.Linear(12, 1))
        t = make_trainer(
            OwnColumns(),
            discriminator,
            spec,
            q_head=head,
            information_trains=["q_head"],
            g_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            d_optimizer=lambda p: torch.optim.SGD(p, 0.1),
            q_optimizer=lambda p: torch.optim.SGD(p, 0.1),
        )
        fixed = spec.sample(8, rng=torch.Generator().manual_seed(0))
        fixed[:, 5:9] = torch.eye(4)[torch.arange(8) % 4]
        with monkeypatch.context() as patch:
            patch.setattr(ig.LatentSpec, "sample", lambda self, n, fixed=fixed, **_: fixed)
            t.step(images(8, (16,)))
        moves.append(head.weight[:4].detach() - 0.1)
    assert moves[0].abs().max() > 1e-4
    torch.testing.assert_close(moves[1], moves[0], rtol=1e-5, atol=1e-8)

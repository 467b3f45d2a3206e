"""Relativistic losses against the formulas of their papers."""

import pytest
import torch

from infogan_lib.losses import (
    Hinge,
    LeastSquares,
    NonSaturating,
    PairedAdversarialLoss,
    RelativisticAverage,
    RelativisticPair,
)

REAL = torch.linspace(-3, 5, 8, dtype=torch.float64)
FAKE = torch.tensor([2.0, -1, 0, 4, -4, 1, 1, 3], dtype=torch.float64)


def test_pairs_follow_the_paper():
    """D: -log sigmoid(r - f); G: -log sigmoid(f - r)."""
    loss = RelativisticPair()
    discriminator, generator = loss.discriminator(REAL, FAKE), loss.generator(REAL, FAKE)
    torch.testing.assert_close(discriminator, -(REAL - FAKE).sigmoid().log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(generator, -(FAKE - REAL).sigmoid().log(), rtol=0, atol=1e-12)


def test_averages_follow_the_paper():
    """D(r) = sigmoid(r - E f) and D(f) = sigmoid(f - E r), in the cross-entropy of a standard GAN and its mirror."""
    p, q = (REAL - FAKE.sum() / 8).sigmoid(), (FAKE - REAL.sum() / 8).sigmoid()
    loss = RelativisticAverage()
    discriminator, generator = loss.discriminator(REAL, FAKE), loss.generator(REAL, FAKE)
    torch.testing.assert_close(discriminator, -p.log() - (1 - q).log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(generator, -(1 - p).log() - q.log(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [RelativisticPair(), RelativisticAverage()])
@pytest.mark.parametrize("shape", [(8,), (8, 1), (4, 1, 1, 2)])
def test_what_holds_for_every_relativistic_loss(loss, shape):
    real, fake = REAL.reshape(shape), FAKE.reshape(shape)
    for term in (loss.discriminator, loss.generator):
        assert term(real, fake).shape == shape
        torch.testing.assert_close(term(real + 7, fake + 7), term(real, fake), rtol=0, atol=1e-12)
    torch.testing.assert_close(loss.generator(real, fake), loss.discriminator(fake, real), rtol=0, atol=1e-12)
    assert loss.discriminator(real + 40, fake).max() < 1e-12
    assert torch.equal(loss.score(real), real)
    assert loss.sees_pairs
    assert loss == type(loss)()


def test_a_map_is_averaged_position_by_position():
    real, fake = REAL.reshape(4, 1, 1, 2), FAKE.reshape(4, 1, 1, 2)
    whole = RelativisticAverage().discriminator(real, fake)
    for i in range(2):
        column = RelativisticAverage().discriminator(real[..., i].flatten(), fake[..., i].flatten())
        torch.testing.assert_close(whole[..., i].flatten(), column, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [RelativisticPair(), RelativisticAverage()])
def test_both_players_get_a_gradient_from_both_kinds(loss):
    for term in (loss.discriminator, loss.generator):
        real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
        term(real, fake).mean().backward()
        sign = 1 if term == loss.generator else -1
        assert (sign * real.grad > 0).all()
        assert (sign * fake.grad < 0).all()


def test_logits_far_out_keep_their_losses_and_gradients():
    real = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = RelativisticPair().discriminator(real, torch.zeros(2))
    assert loss.tolist() == [200.0, 0.0]
    loss.sum().backward()
    assert real.grad.tolist() == [-1.0, 0.0]


@pytest.mark.parametrize("loss", [NonSaturating(), LeastSquares(), Hinge()])
def test_an_ordinary_loss_has_the_same_discriminator_method(loss):
    assert not loss.sees_pairs
    assert torch.equal(loss.discriminator(REAL, FAKE), loss.real(REAL) + loss.fake(FAKE))


def test_both_methods_are_required():
    class Half(PairedAdversarialLoss):
        def discriminator(self, real_logits, fake_logits):
            return fake_logits - real_logits

    with pytest.raises(TypeError, match="abstract method '?generator"):
        Half()  # pyright: ignore

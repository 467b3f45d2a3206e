"""Adversarial losses against the formulas of their papers."""

import pytest
import torch

from infogan_lib.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein

LOGITS = torch.linspace(-6, 6, 25, dtype=torch.float64)
P = LOGITS.sigmoid()

FORMULAS = [
    (NonSaturating(), -P.log(), -(1 - P).log(), -P.log()),
    (Minimax(), -P.log(), -(1 - P).log(), (1 - P).log()),
    (LeastSquares(), 0.5 * (LOGITS - 1) ** 2, 0.5 * LOGITS**2, 0.5 * (LOGITS - 1) ** 2),
    (LeastSquares(a=-1, b=1, c=0), 0.5 * (LOGITS - 1) ** 2, 0.5 * (LOGITS + 1) ** 2, 0.5 * LOGITS**2),
    (Hinge(), (1 - LOGITS).clamp(min=0), (1 + LOGITS).clamp(min=0), -LOGITS),
    (Wasserstein(), -LOGITS, LOGITS, -LOGITS),
]


@pytest.mark.parametrize(("loss", "real", "fake", "generator"), FORMULAS, ids=lambda x: repr(x)[:20])
def test_terms_follow_the_papers(loss, real, fake, generator):
    torch.testing.assert_close(loss.real(LOGITS), real, rtol=0, atol=1e-12)
    torch.testing.assert_close(loss.fake(LOGITS), fake, rtol=0, atol=1e-12)
    torch.testing.assert_close(loss.generator(LOGITS), generator, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()])
def test_logits_far_out_keep_their_losses_and_gradients(loss):
    """The probability of a logit of 200 is 1 in float32, and log(1 - 1) is minus infinity."""
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    terms = torch.stack([loss.real(logits), loss.fake(logits)])
    assert terms.tolist() == [[200.0, 0.0], [0.0, 200.0]]
    terms.sum().backward()
    assert logits.grad.tolist() == [-1.0, 1.0]


def test_score_is_a_probability_where_the_loss_has_one():
    assert NonSaturating().score(torch.zeros(1)).item() == 0.5
    assert Hinge().score(torch.full((1,), 3.0)).item() == 3.0

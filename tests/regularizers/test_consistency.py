"""Consistency of D under augmentation, in closed form and in a step."""

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.data import Compose, Translation
from infogan_lib.regularizers import Consistency
from toys import dense_discriminator, dense_generator, images, make_trainer


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


REAL, FAKE = normal(5, 6, seed=1), normal(5, 6, seed=2)


@pytest.mark.parametrize(("balanced", "kinds"), [(True, 2), (False, 1)])
def test_on_a_linear_d(balanced, kinds):
    """D(x + 1) - D(x) is the sum of w."""
    w = nn.Parameter(normal(6))
    value = Consistency(lambda x, rng: x + 1, balanced=balanced)(REAL, FAKE, lambda x: x @ w + 3, rng())
    value.backward()
    total = w.detach().sum()
    torch.testing.assert_close(value.detach(), kinds * total**2, rtol=1e-12, atol=0)
    torch.testing.assert_close(w.grad, 2 * kinds * total.expand(6), rtol=1e-12, atol=0)


def test_on_a_quadratic_d():
    """D(2x) - D(x) = 3 D(x) where D is homogeneous of degree 2."""
    a = nn.Parameter(normal(6, 6))

    def d(x):
        return (x * (x @ a.T)).sum(1, keepdim=True)

    value = Consistency(lambda x, rng: 2 * x)(REAL, FAKE, d, rng())
    value.backward()
    expected, slope = 0.0, torch.zeros(6, 6, dtype=torch.float64)
    for x in (*REAL, *FAKE):
        logit = x @ a.detach() @ x
        expected += 9 * logit**2 / 5
        slope += 18 * logit * torch.outer(x, x) / 5
    torch.testing.assert_close(value.detach(), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(a.grad, slope, rtol=1e-12, atol=1e-12)


def test_a_map_of_logits_is_compared_position_by_position():
    x = normal(3, 1, 4, 4)
    value = Consistency(lambda x, rng: x.flip(-1), balanced=False)(x, x, lambda x: x, rng())
    torch.testing.assert_close(value, sum(((a - a.flip(-1)) ** 2).sum() for a in x) / 48, rtol=1e-12, atol=0)


def test_real_and_generated_images_get_draws_of_their_own():
    calls = []

    def d(x):
        calls.append(x)
        return x.flatten(1).mean(1)

    augment, x = Translation(0.5), normal(3, 1, 8, 8)
    Consistency(augment)(x, x, d, rng(4))
    source = rng(4)
    first, second = augment(x, source), augment(x, source)
    assert not torch.equal(first, second)
    assert [torch.equal(a, b) for a, b in zip(calls, (x, first, x, second), strict=True)] == 4 * [True]


def test_an_invariant_d_costs_nothing():
    x = normal(3, 2, 8)
    augment = Compose([lambda x, rng: x.roll(3, -1), lambda x, rng: x.flip(-1)])
    assert Consistency(augment)(x, -x, lambda x: x.square().sum((1, 2)), rng()).item() == pytest.approx(0, abs=1e-20)


def test_accumulation_gives_the_same_step():
    weights = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        t = make_trainer(
            dense_generator(end=nn.Tanh()).double(),
            dense_discriminator(norm=False).double(),
            ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2)),
            q_head=nn.Linear(16, 2).double(),
            d_optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1),
            accumulation_steps=accumulate,
            regularizers=[Consistency(lambda x, rng: x.flip(-1), balanced=False)],
            information_trains=["generator", "q_head"],
            adversarial=RealOnly(),
        )
        t.step(images(12, dtype=torch.float64))
        weights.append(t.model.discriminator[1].weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-12)


class RealOnly(losses.NonSaturating):
    """Without generated images in D's loss, which BatchNorm in G makes depend on the micro-batch."""

    def fake(self, logits):
        return 0 * logits


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Consistency(3), TypeError, "augment must be a function"),
        (lambda: Consistency(balanced="yes"), TypeError, "balanced must be True or False"),
        (lambda: Consistency(weight=-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda: Consistency(every=0), ValueError, "every must be a whole number of at least 1"),
        (lambda: Consistency()(REAL, FAKE, lambda x: x, rng()), ValueError, r"Translation takes images \(N, C, \*\)"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()

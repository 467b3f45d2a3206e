"""Q-head losses against torch.distributions, and at the edges of floating point."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, OneHotCategorical

from infogan_lib.losses import MSE, BernoulliCrossEntropy, CrossEntropy, NormalNLL, PointEstimate, information_bound

LOSSES = [CrossEntropy(), NormalNLL(), NormalNLL(scale=0.5), MSE(), BernoulliCrossEntropy()]


def value_for(loss, n, width, dtype=torch.float64):
    if isinstance(loss, CrossEntropy):
        return torch.nn.functional.one_hot(torch.arange(n) % width, width).to(dtype)
    if isinstance(loss, BernoulliCrossEntropy):
        return (torch.rand(n, width) > 0.5).to(dtype)
    return torch.rand(n, width, dtype=dtype) * 2 - 1


def test_cross_entropy_is_the_categorical_log_probability():
    outputs, value = torch.randn(64, 7, dtype=torch.float64) * 5, value_for(CrossEntropy(), 64, 7)
    expected = -OneHotCategorical(logits=outputs).log_prob(value)
    torch.testing.assert_close(CrossEntropy()(outputs, value), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [None, 0.3, 1.0])
def test_normal_nll_is_the_normal_log_probability(scale):
    loss = NormalNLL(scale=scale)
    outputs, value = torch.randn(64, loss.num_outputs(3), dtype=torch.float64) * 2, value_for(loss, 64, 3)
    mean = outputs[:, :3]
    # the bounded log-scale written out: m + h s / (h + |s|) on (-4, 2)
    s = outputs[:, 3:]
    sigma = torch.full_like(mean, scale) if scale else (-1 + 3 * s / (3 + s.abs())).exp()
    expected = -Normal(mean, sigma).log_prob(value).sum(1)
    torch.testing.assert_close(loss(outputs, value), expected, rtol=0, atol=1e-12)


def test_bernoulli_cross_entropy_is_the_bernoulli_log_probability():
    loss = BernoulliCrossEntropy()
    outputs, value = torch.randn(64, 5, dtype=torch.float64) * 4, value_for(loss, 64, 5)
    expected = -Bernoulli(logits=outputs).log_prob(value).sum(1)
    torch.testing.assert_close(loss(outputs, value), expected, rtol=0, atol=1e-12)


def test_mse_sums_squares_over_dimensions():
    outputs, value = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, -1.0]])
    assert MSE()(outputs, value).tolist() == [5.0, 10.0]


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.is_likelihood], ids=repr)
def test_loss_is_minus_the_log_probability_of_its_own_posterior(loss):
    outputs, value = torch.randn(32, loss.num_outputs(4), dtype=torch.float64), value_for(loss, 32, 4)
    torch.testing.assert_close(loss(outputs, value), -loss.posterior(outputs).log_prob(value), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradients_agree_with_finite_differences(loss):
    outputs = torch.randn(4, loss.num_outputs(3), dtype=torch.float64, requires_grad=True)
    value = value_for(loss, 4, 3)
    assert torch.autograd.gradcheck(lambda r: loss(r, value), (outputs,))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_for_any_output(loss, autocast, dtype):
    grid = torch.tensor([-1e4, -300, -89, -30, -1, 0, 1, 30, 89, 300, 1e4]).to(dtype)
    width = loss.num_outputs(2)
    outputs = torch.cartesian_prod(*[grid] * width).reshape(-1, width).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = loss(outputs, value_for(loss, len(outputs), 2, torch.float32))
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert losses.isfinite().all()
    assert outputs.grad.isfinite().all()


@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32), st.floats(-1, 1, width=32))
def test_normal_nll_is_bounded_below_and_finite(mean, s, value):
    nll = NormalNLL()(torch.tensor([[mean, s]]), torch.tensor([[value]]))
    assert math.isfinite(nll.item())
    assert nll.item() >= -4 + 0.5 * math.log(2 * math.pi) - 1e-5  # the density at the smallest scale


@pytest.mark.parametrize("direction", [-30.0, 89.0])
def test_a_scale_that_diverged_still_has_a_gradient_back(direction):
    """Unbounded log-variances give about -0.01 at -30, and NaN at +89, in published code."""
    outputs = torch.tensor([[0.0, direction]], requires_grad=True)
    NormalNLL()(outputs, torch.tensor([[1.0]])).sum().backward()
    towards_the_middle = -outputs.grad[0, 1] * direction
    assert towards_the_middle < 0
    assert outputs.grad[0, 1].abs() > 1e-4


def test_bound_is_entropy_minus_loss():
    assert information_bound(2.0, torch.tensor([0.5, 1.5])).item() == 1.0


def test_fixed_unit_scale_cannot_give_a_positive_bound_for_a_uniform_code():
    value = torch.rand(100, 1) * 2 - 1
    best = information_bound(math.log(2), NormalNLL(scale=1.0)(value, value))
    assert best.item() == pytest.approx(math.log(2) - 0.5 * math.log(2 * math.pi), abs=1e-6)
    assert best < 0


def test_point_estimate_has_a_mean_and_no_likelihood():
    estimate = PointEstimate(torch.tensor([[1.0, 2.0]]))
    assert estimate.mean.tolist() == estimate.mode.tolist() == [[1.0, 2.0]]
    assert estimate.variance.tolist() == [[0.0, 0.0]]
    assert estimate.sample([3]).shape == (3, 1, 2)
    with pytest.raises(NotImplementedError, match="use loss=NormalNLL"):
        estimate.log_prob(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale must be a finite number above 0"),
        ({"scale": -1.0}, "scale must be a finite number above 0"),
        ({"log_scale_range": (2.0, -4.0)}, "low < high"),
        ({"log_scale_range": (-50.0, 2.0)}, "-10 <= low"),
    ],
)
def test_normal_nll_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        NormalNLL(**arguments)

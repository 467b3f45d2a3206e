"""The built-in latent variables: priors, entropies, values given by a user, refusals."""

import math

import pytest
import torch

from infogan_lib import Bernoulli, Categorical, Gaussian, Label, LatentCode, Noise, Uniform
from infogan_lib.losses import MSE, BernoulliCrossEntropy, CrossEntropy, NormalNLL

N = 40_000


def draw(variable):
    return variable.sample(N, rng=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_categorical_prior_is_uniform_over_one_hot_rows():
    rows = draw(Categorical(7))
    assert rows.shape == (N, 7)
    assert (rows.sum(1) == 1).all()
    assert ((rows == 0) | (rows == 1)).all()
    torch.testing.assert_close(rows.mean(0), torch.full((7,), 1 / 7, dtype=torch.float64), rtol=0, atol=0.01)


def test_uniform_prior_fills_its_range():
    x = draw(Uniform(2, low=-3, high=5))
    assert x.shape == (N, 2)
    assert x.min() >= -3
    assert x.max() <= 5
    torch.testing.assert_close(x.mean(0), torch.ones(2, dtype=torch.float64), rtol=0, atol=0.05)
    torch.testing.assert_close(x.var(0), torch.full((2,), 64 / 12, dtype=torch.float64), rtol=0.03, atol=0)


@pytest.mark.parametrize("variable", [Gaussian(3), Noise(3)])
def test_gaussian_priors_are_standard(variable):
    x = draw(variable)
    torch.testing.assert_close(x.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=0.02)
    torch.testing.assert_close(x.T.cov(), torch.eye(3, dtype=torch.float64), rtol=0, atol=0.03)


def test_uniform_noise_lies_in_plus_minus_one():
    x = draw(Noise(2, distribution="uniform"))
    assert x.min() >= -1
    assert x.max() <= 1
    assert x.var().item() == pytest.approx(1 / 3, rel=0.03)


def test_bernoulli_prior_is_fair_bits():
    bits = draw(Bernoulli(3))
    assert ((bits == 0) | (bits == 1)).all()
    torch.testing.assert_close(bits.mean(0), torch.full((3,), 0.5, dtype=torch.float64), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("code", "nats"),
    [
        (Categorical(10), math.log(10)),
        (Uniform(2), 2 * math.log(2)),
        (Uniform(3, low=0, high=1), 0.0),
        (Gaussian(2), math.log(2 * math.pi * math.e)),
        (Bernoulli(5), 5 * math.log(2)),
    ],
)
def test_entropy_is_that_of_the_true_prior(code, nats):
    assert code.entropy == pytest.approx(nats, abs=1e-12)


@pytest.mark.parametrize("code", [Categorical(6), Uniform(2, low=-2, high=3), Gaussian(2), Bernoulli(2)])
def test_entropy_is_the_mean_surprise_of_draws(code):
    """H(c) = E[-log p(c)], by Monte Carlo under an independent statement of the prior."""
    x = draw(code)
    surprise = {
        Categorical: lambda: torch.full((N,), math.log(6)),
        Uniform: lambda: torch.full((N,), 2 * math.log(5)),
        Gaussian: lambda: -torch.distributions.Normal(0, 1).log_prob(x).sum(1),
        Bernoulli: lambda: torch.full((N,), 2 * math.log(2)),
    }[type(code)]()
    assert surprise.mean().item() == pytest.approx(code.entropy, rel=0.01)


def test_categories_given_by_a_user():
    code = Categorical(4)
    assert code.as_rows(2, 3).tolist() == [[0, 0, 1, 0]] * 3
    assert code.as_rows([0, 3], 2).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert code.as_rows(torch.tensor([[0.0, 0.5, 0.5, 0.0]]), 1).tolist() == [[0.0, 0.5, 0.5, 0.0]]


def test_numbers_given_by_a_user():
    assert Uniform(2).as_rows(0.5, 2).tolist() == [[0.5, 0.5]] * 2
    assert Uniform(2).as_rows([-1.0, 0.5], 3).tolist() == [[-1.0, 0.5]] * 3
    assert Uniform(2).as_rows([[1, 2], [3, 4]], 2).tolist() == [[1, 2], [3, 4]]
    assert Uniform(1).as_rows([1, 2, 3], 3).tolist() == [[1], [2], [3]]


def test_traversals_run_one_dimension_over_the_prior():
    base = torch.tensor([9.0, 9.0])
    assert Uniform(2, low=0, high=4).traverse(base, dim=1, steps=3).tolist() == [[9, 0], [9, 2], [9, 4]]
    assert Gaussian(2).traverse(base, dim=0, steps=2).tolist() == [[-2, 9], [2, 9]]
    assert Uniform(2).traverse(base, dim=0, steps=2, low=-5, high=5).tolist() == [[-5, 9], [5, 9]]
    assert Categorical(3).traverse(torch.zeros(3)).tolist() == torch.eye(3).tolist()
    assert Bernoulli(2).traverse(torch.ones(2), dim=1).tolist() == [[1, 0], [1, 1]]


def test_repr_says_what_differs_from_the_defaults():
    assert repr(Categorical(10)) == "Categorical(10)"
    assert repr(Uniform(2, weight=0.1, loss=MSE())) == "Uniform(2, weight=0.1, loss=MSE())"
    assert repr(Noise(62, distribution="uniform")) == "Noise(62, distribution='uniform')"


def test_loss_is_pluggable_and_says_how_many_outputs_it_needs():
    assert Uniform(2).num_outputs == 4
    assert Uniform(2, loss=NormalNLL(scale=0.5)).num_outputs == 2
    assert Uniform(2, loss=MSE()).num_outputs == 2
    assert Categorical(10).num_outputs == 10
    assert Bernoulli(3).num_outputs == 3


REFUSALS = [
    (lambda: Categorical(1), ValueError, "k of Categorical must be a whole number of at least 2, but got 1"),
    (lambda: Label(1), ValueError, "k of Label must be a whole number of at least 2, but got 1"),
    (lambda: Categorical(2.5), TypeError, "k of Categorical must be a whole number"),
    (lambda: Categorical(True), TypeError, "k of Categorical must be a whole number"),
    (lambda: Uniform(0), ValueError, "dim must be a whole number of at least 1, but got 0"),
    (lambda: Uniform(1, low=1, high=1), ValueError, "low must be below high in Uniform, but got low=1.0 and high=1.0"),
    (lambda: Uniform(1, low=2, high=-2), ValueError, "low must be below high"),
    (lambda: Uniform(1, low=float("nan")), ValueError, "low must be a finite number"),
    (
        lambda: Uniform(-1, 1),
        TypeError,
        r"only dim, .*got Uniform\(-1, 1\); give 'low', 'high', 'weight' and 'loss'",
    ),
    (lambda: Uniform(-1), ValueError, "dim must be a whole number of at least 1, but got -1"),
    (lambda: Gaussian(0, 1), TypeError, r"only dim, .*got Gaussian\(0, 1\); give 'weight' and 'loss' by name"),
    (lambda: Bernoulli(1, 0.5), TypeError, r"only dim, .*got Bernoulli\(1, 0.5\)"),
    (lambda: Gaussian(-1), ValueError, "dim must be a whole number of at least 1"),
    (lambda: Bernoulli("a"), TypeError, "dim must be a whole number"),
    (lambda: Noise(0), ValueError, "dim must be a whole number"),
    (lambda: Noise(2, distribution="normal"), ValueError, "distribution must be one of 'gaussian' and 'uniform'"),
    (lambda: Categorical(3, weight=-1), ValueError, "weight must be a finite number of at least 0, but got -1"),
    (lambda: Uniform(1, weight=float("inf")), ValueError, "weight must be a finite number"),
    (lambda: Categorical(3, weight="1"), TypeError, "weight must be a finite number"),
    (lambda: Categorical(3, loss=MSE()), ValueError, "Categorical has one-hot values, but MSE scores real ones"),
    (lambda: Uniform(1, loss=CrossEntropy()), ValueError, "Uniform has real values, but CrossEntropy scores one-hot"),
    (lambda: Gaussian(1, loss=BernoulliCrossEntropy()), ValueError, "leave loss out for NormalNLL"),
    (lambda: Bernoulli(1, loss=NormalNLL()), ValueError, "Bernoulli has binary values"),
    (lambda: Categorical(3, loss=CrossEntropy), TypeError, r"did you mean CrossEntropy\(\)"),
    (lambda: Categorical(3).as_rows(3, 2), ValueError, "category out of range.*categories 0 to 2, but got 3"),
    (lambda: Categorical(3).as_rows(-1, 2), ValueError, "category out of range"),
    (lambda: Categorical(3).as_rows(0.5, 2), TypeError, "a category of .* is a whole number"),
    (lambda: Categorical(3).as_rows([0, 1, 2], 2), ValueError, r"takes one category, 2 categories.*got shape \(3,\)"),
    (lambda: Categorical(3).as_rows("seven", 2), TypeError, "must be numbers, but got 'seven'"),
    (
        lambda: Uniform(2).as_rows([1, 2, 3], 4),
        ValueError,
        r"2 numbers or an array of shape \(4, 2\), but got shape \(3,",
    ),
    (lambda: Uniform(2).as_rows(float("nan"), 4), ValueError, "must be finite numbers"),
    (lambda: Uniform(2).traverse(torch.zeros(2), dim=2), ValueError, "dim must be from 0 to 1"),
    (lambda: Uniform(2).traverse(torch.zeros(2), steps=0), ValueError, "steps must be a whole number of at least 1"),
    (lambda: Categorical(3).traverse(torch.zeros(3), steps=5), ValueError, "runs over its 3 categories"),
    (lambda: Categorical(3).as_rows([[5, -2, 0], [9, 9, 9]], 2), ValueError, "shares that add up to 1"),
    (lambda: Bernoulli(2).as_rows(7.3, 2), ValueError, "bits of .* are from 0 to 1, but got 7.3"),
    (lambda: Bernoulli(2).traverse(torch.zeros(2), steps=5), ValueError, "runs over the 2 values of a bit"),
    (lambda: Categorical(3).sample(0), ValueError, "n must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSALS)
def test_refusals_name_what_was_wrong(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_code_must_be_complete():
    class Incomplete(LatentCode):
        weight = 1.0

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()


@pytest.mark.parametrize("code", [Uniform(2), Categorical(4)])
def test_a_sequence_that_cannot_fit_is_not_read(code):
    with pytest.raises(ValueError, match=r"at most 4 numbers or rows, but got range\(0, 1000000\) .* length 1,000,000"):
        code.as_rows(range(10**6), 4)


@pytest.mark.parametrize("code", [Uniform(2), Categorical(4), Noise(2)])
def test_complex_numbers_are_no_codes(code):
    with pytest.raises(TypeError, match=r"a value of .* must be numbers, but got 1j \(complex\)"):
        code.as_rows(1j, 4)

"""Bounds on fresh samples against closed forms, and calibration of a Q that is known to be right, or too sure."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import infogan_lib as ig
from custom_code import Angle
from infogan_lib import losses
from infogan_lib.evaluation import calibration, code_information
from infogan_lib.metrics import Coverage, Reliability
from toys import LATENT, dense_discriminator, dense_generator


class ShowLatent(nn.Module):
    """An image that shows the latent itself."""

    def __init__(self, width):
        super().__init__()
        self.width = width
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latents):
        return self.scale * latents.reshape(-1, 1, 1, self.width)


class ReadBy(nn.Module):
    """A Q that reads its answer off the image by a function."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        flat = images.flatten(1)
        return self.answer(flat) + 0 * flat[:, :1]  # an answer that is a constant has no gradient


def model_of(latent, answer):
    d = nn.Sequential(nn.Flatten(), nn.Linear(latent.width, 4), nn.ReLU(), nn.Linear(4, 1))
    return ig.InfoGAN(ShowLatent(latent.width), d, latent, q_network=ReadBy(answer))


def test_the_bound_of_a_q_with_a_known_error_rate():
    latent = ig.LatentSpec(digit=ig.Categorical(4))
    p = 0.7  # of the right category, whatever the image: E[log Q] = log p
    model = model_of(latent, lambda x: torch.log(x * p + (1 - x) * (1 - p) / 3))
    result = code_information(model, n=50)["digit"]
    assert result.loss == pytest.approx(-math.log(p), abs=1e-6)
    assert result.bound == pytest.approx(math.log(4) + math.log(p), abs=1e-6)
    assert result.fraction == pytest.approx(1 + math.log(p) / math.log(4), abs=1e-6)
    assert result.standard_error == pytest.approx(0, abs=1e-6)


def test_the_bound_of_a_continuous_code_and_its_standard_error():
    sigma = 0.25
    model = model_of(ig.LatentSpec(style=ig.Uniform(1, loss=losses.NormalNLL(scale=sigma))), torch.zeros_like)
    result = code_information(model, n=40_000, seed=1)["style"]
    # -log N(c; 0, s) = log s + log sqrt(2 pi) + c^2 / (2 s^2), with E[c^2] = 1/3 and sd(c^2) = sqrt(4/45)
    nll = math.log(sigma) + 0.5 * math.log(2 * math.pi) + 1 / (6 * sigma**2)
    error = math.sqrt(4 / 45) / (2 * sigma**2) / math.sqrt(40_000)
    assert result.standard_error == pytest.approx(error, rel=0.02)
    assert abs(result.loss - nll) < 4 * error
    assert result.bound == pytest.approx(math.log(2) - result.loss, abs=1e-9)


def test_a_squared_error_is_no_bound():
    latent = ig.LatentSpec(z=ig.Noise(2), style=ig.Uniform(2, loss=losses.MSE()))
    result = code_information(model_of(latent, lambda x: x[:, 2:] + 0.5), n=20)["style"]
    assert (result.bound, result.fraction) == (None, None)
    assert result.loss == pytest.approx(0.5, abs=1e-6)


def test_a_code_of_negative_entropy_has_no_fraction():
    latent = ig.LatentSpec(style=ig.Uniform(1, low=0.0, high=0.5))
    result = code_information(model_of(latent, lambda x: torch.cat([x, torch.zeros_like(x)], 1)), n=20)["style"]
    assert result.bound is not None
    assert result.fraction is None


def test_samples_are_fresh_and_seeded_and_leave_no_trace():
    torch.manual_seed(0)
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    model.train()
    state = torch.get_rng_state()
    one, two, other = (code_information(model, n=64, seed=seed) for seed in (0, 0, 1))
    assert one == two
    assert one != other
    assert list(one) == list(LATENT.codes)
    assert all(module.training for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())


def mixed(confidence, sigma):
    """A Q that is right about the digit with probability 0.8, and says so with some confidence."""
    style, error = ig.Gaussian(1, loss=losses.NormalNLL(scale=sigma)), ig.Uniform(1, loss=losses.MSE())
    latent = ig.LatentSpec(z=error, digit=ig.Categorical(2), style=style, bits=ig.Bernoulli(2))

    def answer(x):
        z, digit, style, bits = x[:, :1], x[:, 1:3], x[:, 3:4], x[:, 4:]
        right = (z > -0.6).float()  # 0.8 of all cases
        predicted = digit * right + (1 - digit) * (1 - right)
        logits = torch.log(predicted * confidence + (1 - predicted) * (1 - confidence))
        mean = style + 0.5 * torch.erfinv(z.clamp(-0.999, 0.999)) * math.sqrt(2)  # an error that is N(0, 0.5)
        return torch.cat([z, logits, mean, 4 * bits - 2], 1)

    return model_of(latent, answer)


def test_calibration_of_a_q_that_is_as_sure_as_it_should_be():
    result = calibration(mixed(0.8, 0.5), n=8000)
    assert set(result) == {"digit", "style", "bits"}  # a point estimate is not sure of anything
    digit, style, bits = result["digit"], result["style"], result["bits"]
    assert isinstance(digit, Reliability)
    assert isinstance(style, Coverage)
    assert isinstance(bits, Reliability)
    assert digit.error < 0.02
    assert style.error < 0.02
    assert bits.error == pytest.approx(1 - 1 / (1 + math.exp(-2)), abs=1e-5)  # always right, 0.88 sure


def test_calibration_of_a_q_that_is_too_sure():
    result = calibration(mixed(0.99, 0.1), n=4000)
    assert result["digit"].error == pytest.approx(0.19, abs=0.02)
    style = result["style"]
    assert isinstance(style, Coverage)
    assert (style.covered < style.levels - 0.05).all()


@dataclass(frozen=True)
class Turn(Angle):
    """An angle whose posterior is over the angle itself, one number for its two columns."""

    def posterior(self, raw):
        return Independent(Normal(raw[:, :1], 1.0), 1)


def test_a_posterior_over_something_else_than_the_columns_is_left_out():
    model = ig.InfoGAN(dense_generator(7), dense_discriminator(), ig.LatentSpec(z=ig.Noise(5), hand=Turn()))
    assert calibration(model, n=20) == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: code_information(mixed(0.8, 0.5), n=1), "n must be a whole number of at least 2"),
    ],
)
def test_bad_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Categories that are not equally likely: their draws, their entropy, and what the library measures by it."""

import math

import numpy as np
import pytest
import torch

from infogan_lib import Categorical, InfoGAN, Label, LatentSpec, Noise
from infogan_lib.evaluation import code_information
from infogan_lib.evaluation.real_images import real_posterior
from infogan_lib.regularizers import RealImageInformation
from toys import dense_discriminator, dense_generator, images, make_trainer

PROBS = (0.6, 0.0, 0.3, 0.1)
ENTROPY = -(0.6 * math.log(0.6) + 0.3 * math.log(0.3) + 0.1 * math.log(0.1))


def shares(spec, name, n=40_000):
    c = spec.sample(n, rng=torch.Generator().manual_seed(0))
    part = spec.split(c)[name]
    assert torch.equal(part.sum(1), torch.ones(n))
    return part.mean(0)


def test_categories_are_drawn_as_often_as_their_probabilities_say():
    spec = LatentSpec(a=Categorical(5), b=Categorical(4, probs=PROBS), z=Noise(2), d=Categorical(2, probs=[0.25, 0.75]))
    torch.testing.assert_close(shares(spec, "b"), torch.tensor(PROBS), rtol=0, atol=0.01)
    assert shares(spec, "b")[1] == 0
    torch.testing.assert_close(shares(spec, "d"), torch.tensor([0.25, 0.75]), rtol=0, atol=0.01)
    labels = LatentSpec(b=Label(4, probs=PROBS))
    torch.testing.assert_close(shares(labels, "b"), torch.tensor(PROBS), rtol=0, atol=0.01)


def test_the_draws_of_other_codes_stay_as_they_are():
    """An uneven prior draws as many random numbers as an even one."""
    even, uneven = (
        LatentSpec(a=Categorical(5), b=Categorical(4, probs=probs), c=Categorical(3)) for probs in (None, PROBS)
    )
    one, other = (spec.split(spec.sample(500, rng=torch.Generator().manual_seed(3))) for spec in (even, uneven))
    assert torch.equal(one["a"], other["a"])
    assert torch.equal(one["c"], other["c"])
    u = torch.rand(500, 3, generator=torch.Generator().manual_seed(3))[:, 1]
    expected = np.searchsorted(np.cumsum(np.float32(PROBS)), u.numpy(), side="right")
    assert other["b"].argmax(1).tolist() == expected.tolist()


@pytest.mark.parametrize(("u", "category"), [(0.0, 1), (1 - 2**-24, 49)])
def test_a_draw_is_never_of_a_category_that_does_not_occur(u, category, monkeypatch):
    """At the ends of the draws' range; the sum of the probabilities is rounded."""
    code = Categorical(51, probs=[0.0, *[1 / 49] * 49, 0.0])
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, u))
    assert code.sample(3).argmax(1).tolist() == [category] * 3


def test_the_entropy_is_that_of_the_prior():
    assert Categorical(4, probs=PROBS).entropy == pytest.approx(ENTROPY)
    assert Categorical(4, probs=[0.25] * 4).entropy == pytest.approx(math.log(4))
    trainer = make_trainer(latent=LatentSpec(z=Noise(7), digit=Categorical(4, probs=PROBS)))
    step = trainer.step(images(16))
    assert step["bound/digit"] == pytest.approx(ENTROPY - step["nll/digit"])
    assert step["bound_fraction/digit"] == pytest.approx(step["bound/digit"] / ENTROPY)
    information = code_information(trainer.model)["digit"]
    assert information.bound == pytest.approx(ENTROPY - information.loss)


def test_it_is_saved_with_its_probabilities(tmp_path):
    spec = LatentSpec(z=Noise(5), digit=Categorical(4, probs=PROBS), label=Label(2, probs=torch.tensor([0.1, 0.9])))
    assert LatentSpec.from_json(spec.to_json()) == spec != LatentSpec(z=Noise(5), digit=Categorical(4), label=Label(2))
    InfoGAN(dense_generator(11), dense_discriminator(), spec).save(tmp_path)
    loaded = InfoGAN.load(tmp_path, generator=dense_generator(11), discriminator=dense_discriminator())
    assert loaded.latent == spec
    assert repr(spec["digit"]) == "Categorical(4, probs=(0.6, 0.0, 0.3, 0.1))"


def test_balance_is_towards_the_prior():
    """The term is least where Q of the real images has the shares of the prior, instead of even ones."""

    def term(probs, shares):
        spec = LatentSpec(digit=Categorical(3, probs=probs))
        log_q = torch.tensor(shares, dtype=torch.float64).log().expand(6, 3)
        regularizer = RealImageInformation("digit", augment=None, information=1.0, balance=4.0)
        return regularizer(spec, images(6), log_q, lambda x: x, torch.Generator()).item()

    prior, q = [0.7, 0.2, 0.1], np.array([0.5, 0.3, 0.2])
    entropy = -(q * np.log(q)).sum()
    divergence = (q * np.log(q / np.array(prior))).sum()
    assert term(prior, q.tolist()) == pytest.approx(entropy - 4 * (math.log(3) - divergence))
    assert term(None, q.tolist()) == pytest.approx(entropy - 4 * entropy)
    assert term([1 / 3] * 3, q.tolist()) == pytest.approx(term(None, q.tolist()))
    assert math.isfinite(term([0.5, 0.5, 0.0], q.tolist()))


def test_real_images_that_follow_the_prior_are_no_symptom():
    log_q = torch.eye(4)[torch.tensor([0] * 18 + [2] * 9 + [3] * 3)].clamp(min=1e-9).log()
    assert real_posterior(log_q, log_q, [log_q], ENTROPY).marginal_entropy == pytest.approx(1.0, abs=1e-5)
    assert real_posterior(log_q, log_q, [log_q]).marginal_entropy == pytest.approx(ENTROPY / math.log(4), abs=1e-5)


@pytest.mark.parametrize(
    ("probs", "error", "message"),
    [
        ([0.5, 0.5], ValueError, "probs must be 3 numbers of at least 0 that add up to 1.* got 2 numbers"),
        ([50, 30, 20], ValueError, "from 20 with the sum 100; divide counts by their sum"),
        ([1.2, -0.2, 0], ValueError, "from -0.2"),
        ([1, 0, 0], ValueError, "two of them above 0"),
        ("even", TypeError, "probs must be 3 numbers that add up to 1, but got 'even'"),
    ],
)
def test_what_is_no_prior_is_refused(probs, error, message):
    with pytest.raises(error, match=message):
        Categorical(3, probs=probs)


def test_a_number_of_steps_may_be_numpys():
    latent = LatentSpec(digit=Categorical(3, learn_probs_after=np.int64(3)))
    assert LatentSpec.from_json(latent.to_json())["digit"] == Categorical(3, learn_probs_after=3)

"""The contrastive term: its pairs, its value against the definition, what it trains, classifier and schedule."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import infogan_lib as ig
from infogan_lib.regularizers import Contrastive
from infogan_lib.regularizers.contrastive import pair_classifier, sample_pairs
from toys import LATENT, dense_discriminator, dense_generator

SPEC = ig.LatentSpec(
    z=ig.Noise(3),
    style=ig.Uniform(2, low=-2.0, high=4.0),
    digit=ig.Categorical(3),
    size=ig.Gaussian(2),
    tilt=ig.Uniform(),
)
CODES = ("style", "size", "tilt")
K = 5
CPU = torch.device("cpu")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(n, spec=SPEC):
    return spec.sample(n, rng=rng(1), dtype=torch.float64)


def pairs(n=4000, *, gap=0.0, share_noise=True, codes=CODES):
    gap = torch.tensor(gap, dtype=torch.float64)
    return sample_pairs(SPEC, latents(n), codes, gap=gap, share_noise=share_noise, rng=rng(2))


def ranks(latent):
    """The k continuous dimensions in probability mass below them."""
    style, size, tilt = (latent[:, SPEC.slices[name]] for name in CODES)
    return torch.cat([(style + 2) / 6, torch.special.ndtr(size), (tilt + 1) / 2], dim=1)


@pytest.mark.parametrize("gap", [0.0, 0.5, 0.9])
def test_a_pair_shares_one_dimension_and_all_others_are_the_gap_apart(gap):
    first, second, shared = pairs(gap=gap)
    u, v = ranks(first), ranks(second)
    assert ((u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)).all()
    distance = (u - v).abs()
    is_shared = torch.nn.functional.one_hot(shared, K).bool()
    columns = torch.cat([torch.arange(SPEC.width)[SPEC.slices[name]] for name in CODES])
    assert torch.equal((first == second)[:, columns], is_shared)
    assert distance[~is_shared].min() >= gap - 1e-9
    assert torch.bincount(shared).float().div(4000).sub(0.2).abs().max() < 0.03


def test_pairs_are_uniform_on_what_the_gap_allows():
    """Then the distance beyond the gap is that of two uniform numbers on what is left: (1 - gap) / 3 on average."""
    first, second, shared = pairs(40_000, gap=0.4)
    u, v = ranks(first), ranks(second)
    is_shared = torch.nn.functional.one_hot(shared, K).bool()
    assert (u - v).abs()[~is_shared].mean().item() == pytest.approx(0.4 + 0.6 / 3, abs=0.003)
    assert (u < v)[~is_shared].double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert u[is_shared].mean().item() == pytest.approx(0.5, abs=0.01)
    assert u[is_shared].var().item() == pytest.approx(1 / 12, abs=0.003)


def test_pairs_by_hand():
    first, second, shared = pairs(20, gap=0.5)
    source = rng(2)
    index = torch.randint(K, (20,), generator=source)
    u, v = torch.rand(2, 20, K, generator=source, dtype=torch.float64)
    assert torch.equal(shared, index)
    for n in range(20):
        for k in range(K):
            a, b = u[n, k].item(), v[n, k].item()
            if k == index[n]:
                b = a
            else:
                sign = -1 if a < b else 1
                a, b = 0.25 + 0.5 * a + sign * 0.25, 0.25 + 0.5 * b - sign * 0.25
            assert ranks(first)[n, k].item() == pytest.approx(a, abs=1e-9)
            assert ranks(second)[n, k].item() == pytest.approx(b, abs=1e-9)


@pytest.mark.parametrize("share_noise", [True, False])
def test_discrete_codes_are_drawn_anew_and_noise_where_it_is_not_shared(share_noise):
    first, second, _ = pairs(share_noise=share_noise)
    base = latents(4000)
    z, digit = SPEC.slices["z"], SPEC.slices["digit"]
    assert torch.equal(first[:, z], base[:, z])
    assert torch.equal(first[:, digit], base[:, digit])
    assert torch.equal(first[:, z], second[:, z]) == share_noise
    same = (first[:, digit] == second[:, digit]).all(1).double().mean().item()
    assert same == pytest.approx(1 / 3, abs=0.03)
    assert (second[:, digit].sum(1) == 1).all()


def test_continuous_codes_that_are_left_out_are_drawn_anew():
    first, second, shared = pairs(codes=("style",))
    assert set(shared.tolist()) == {0, 1}
    for name in ("size", "tilt"):
        assert not (first == second)[:, SPEC.slices[name]].any()


class Concatenate(nn.Module):
    """H given by a function of the two images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, pairs):
        return self.function(*pairs.double().tensor_split(2, dim=1))


def value(generate, network=None, *, n=2048, spec=SPEC, **settings):
    sampled = latents(n, spec)
    term = Contrastive(network, **settings)
    term.check(spec)
    images = generate(sampled)
    term.prepare(spec, tuple(images.shape[1:]), CPU, 0)
    return term(spec, sampled, images, generate, rng(2))


def test_the_definition_in_float64():
    weight = torch.randn(SPEC.width, 4, generator=rng(5), dtype=torch.float64, requires_grad=True)
    h = nn.Linear(8, K).double()
    calls = []

    def generate(c):
        calls.append(c)
        return (c @ weight).tanh()

    result = value(generate, h, n=9, gap=0.25)
    first, second, shared = sample_pairs(
        SPEC, latents(9)[:5], CODES, gap=torch.tensor(0.25), share_noise=True, rng=rng(2)
    )
    assert torch.equal(calls[-1], torch.cat([first, second]))
    expected = 0.0
    for c, c_prime, index in zip(first, second, shared.tolist(), strict=True):
        logits = h.weight @ torch.cat([(c @ weight).tanh(), (c_prime @ weight).tanh()]) + h.bias
        expected = expected + (logits.exp().sum().log() - logits[index]) / 5
    assert result.item() == pytest.approx(expected.item(), abs=1e-12)
    parameters = [weight, h.weight, h.bias]
    gradients = zip(torch.autograd.grad(result, parameters), torch.autograd.grad(expected, parameters), strict=True)
    for gradient, by_hand in gradients:
        torch.testing.assert_close(gradient, by_hand, rtol=0, atol=1e-12)
        assert gradient.abs().sum() > 0


def continuous(c):
    """Images that are their continuous codes."""
    return torch.cat([c[:, SPEC.slices[name]] for name in CODES], dim=1)


def test_a_generator_that_shows_its_codes_can_cost_next_to_nothing():
    network = Concatenate(lambda x, x_prime: -1e3 * (x - x_prime).abs())
    assert value(continuous, network, gap=0.5).item() < 1e-9
    assert value(continuous, network).item() < 0.02  # dimensions that nearly agree by chance


def test_a_generator_that_ignores_its_codes_costs_log_k():
    network = Concatenate(lambda x, x_prime: torch.zeros(len(x), K, dtype=torch.float64))
    assert value(lambda c: c[:, :3], network).item() == pytest.approx(math.log(K))


def trained(generate, steps=300):
    """The term's mean over the last steps of training its default classifier."""
    term, sampled = Contrastive(gap=0.5), latents(256).float()
    term.prepare(SPEC, tuple(generate(sampled).shape[1:]), CPU, 0)
    optimizer, source, values = torch.optim.Adam(term.network.parameters(), 2e-3), rng(3), []
    for _ in range(steps):
        loss = term(SPEC, sampled, generate(sampled), generate, source)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return sum(values[-50:]) / 50


@pytest.mark.slow
def test_the_default_classifier_learns_what_there_is_to_learn():
    assert trained(continuous) < 0.3
    assert trained(lambda c: c[:, :3], steps=100) == pytest.approx(math.log(K), abs=0.05)


def test_in_the_loss_of_a_model_it_trains_the_generator_and_the_classifier():
    model = ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT)
    term, sampled = Contrastive(), LATENT.sample(16, rng=rng())
    term.check(LATENT)
    term.prepare(LATENT, model.image_shape, CPU, 0)
    loss = term(LATENT, sampled, model.generate(sampled), model.generate, rng())
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.generator.parameters())
    assert all(p.grad is not None for p in term.network.parameters())
    assert all(p.grad is None for p in [*model.discriminator.parameters(), *model.q.parameters()])


@pytest.mark.usefixtures("traced_generators")
def test_pairs_are_made_without_reading_a_value_on_the_host():
    source = rng()

    def sample(base, gap):
        return sample_pairs(SPEC, base, CODES, gap=gap, share_noise=False, rng=source)

    traced = make_fx(sample, tracing_mode="fake")(latents(6), torch.tensor(0.5))
    for gap in (0.25, 0.75):
        source.manual_seed(1)
        result = traced(latents(6), torch.tensor(gap))
        source.manual_seed(1)
        expected = sample(latents(6), torch.tensor(gap))
        assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


def test_batches_that_cannot_be_halved():
    for n in (1, 2, 3):
        assert value(continuous, n=n).isfinite()


def test_half_precision_images_are_classified_in_the_precision_of_the_classifier():
    result = value(lambda c: continuous(c).bfloat16())
    assert result.dtype == torch.float32
    assert result.isfinite()


@pytest.mark.parametrize("shape", [(6,), (2, 16), (1, 28, 28), (3, 5, 9), (1, 1, 8), (2, 4, 8, 6), (1, 2, 2, 2, 2)])
def test_the_default_classifier_takes_images_of_any_shape(shape):
    network = pair_classifier(shape, 7)
    assert network(torch.zeros(3, 2 * shape[0], *shape[1:])).shape == (3, 7)


def test_the_default_classifier_is_seeded_and_changes_no_other_stream_of_randomness():
    before = torch.get_rng_state()
    weights = []
    for seed in (1, 1, 2):
        term = Contrastive()
        term.prepare(LATENT, (1, 8, 8), CPU, seed)
        weights.append(term.network[0].weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(before, torch.get_rng_state())


def test_a_given_classifier_is_checked_in_evaluation_mode_and_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(32), nn.Dropout(), nn.Linear(32, 2))
    network[1].eval()
    before = torch.get_rng_state()
    term = Contrastive(network)
    term.prepare(LATENT, (1, 4, 4), CPU, 0)
    assert term.network is network
    assert [m.training for m in network] == [True, False, True, True]
    assert torch.equal(network[1].running_mean, torch.zeros(32))
    assert torch.equal(before, torch.get_rng_state())


def test_a_given_classifier_that_fails_is_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(8, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Contrastive(network).prepare(LATENT, (1, 4, 4), CPU, 0)
    assert all(module.training for module in network.modules())


def test_the_gap_follows_its_schedule():
    def least_distance(term, step):
        term.set_step(step)
        distances = []

        def generate(c):
            first, second = c.tensor_split(2)
            distances.append((ranks(first) - ranks(second)).abs().topk(K - 1)[0].min().item())
            return continuous(c)

        term(SPEC, latents(512), continuous(latents(512)), generate, rng(step))
        return distances[0]

    term = Contrastive(gap={10: 0.25, 0: 0.75, 20: 0.0})
    term.prepare(SPEC, (K,), CPU, 0)
    assert all(0.75 - 1e-6 <= least_distance(term, step) < 0.8 for step in (0, 9))
    assert all(0.25 - 1e-6 <= least_distance(term, step) < 0.3 for step in (10, 19))
    assert least_distance(term, 20) < 0.05
    assert least_distance(term, 0) > 0.7  # a function of the step alone, so that a resumed run has it too


def test_before_the_first_step_the_gap_is_that_of_step_zero():
    term = Contrastive(gap={0: 0.75, 1: 0.0})
    term.prepare(SPEC, (K,), CPU, 0)
    u, v = [], []

    def generate(c):
        u.append(ranks(c[:8])), v.append(ranks(c[8:]))
        return continuous(c)

    term(SPEC, latents(16), continuous(latents(16)), generate, rng())
    assert (u[0] - v[0]).abs().topk(K - 1)[0].min() >= 0.75 - 1e-6


def prepared(term, shape=(1, 4, 4)):
    term.prepare(LATENT, shape, CPU, 0)
    return term


def unprepared():
    return Contrastive()(LATENT, latents(4, LATENT), torch.zeros(4, 1), lambda c: c, rng())


ONE = ig.LatentSpec(z=ig.Noise(2), tilt=ig.Uniform())


class Whole(nn.Module):
    def forward(self, x):
        return x.long()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Contrastive("H"), TypeError, "network must be an nn.Module or None"),
        (lambda: Contrastive(codes=3), TypeError, "codes must be the name of a code, several names, or None"),
        (lambda: Contrastive(codes=[]), TypeError, "codes must be the name"),
        (lambda: Contrastive(gap=1), ValueError, "gap must be .* at least 0 and below 1, but got 1"),
        (lambda: Contrastive(gap=-0.1), ValueError, "gap must be a finite number of at least 0"),
        (lambda: Contrastive(gap={5: 0.5}), ValueError, "gap must say what it is from step 0 on, .* got {5: 0.5}"),
        (lambda: Contrastive(gap={}), ValueError, "gap must say what it is from step 0 on"),
        (lambda: Contrastive(gap={0: 0.5, 1.5: 0.0}), TypeError, "a step of gap must be a whole number"),
        (lambda: Contrastive(share_noise=1), TypeError, "share_noise must be True or False"),
        (lambda: Contrastive(weight=-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda: Contrastive(every=0), ValueError, "every must be a whole number of at least 1"),
        (lambda: Contrastive().check(ONE), ValueError, "its codes have 1 in this latent; add a Uniform or Gaussian"),
        (lambda: Contrastive(codes="tilt").check(SPEC), ValueError, "its codes have 1 in this latent"),
        (lambda: Contrastive(codes="digit").check(SPEC), ValueError, "are 'style', 'size' and 'tilt' .* got 'digit'"),
        (lambda: Contrastive(codes=["style", "hue"]).check(SPEC), ValueError, "but got 'hue'"),
        (
            lambda: prepared(Contrastive(nn.Sequential(nn.Flatten(), nn.Linear(32, 3)))),
            ValueError,
            r"must map pairs \(2, 2, 4, 4\) to .* shape \(2, 2\), but gave a Tensor of shape \(2, 3\)",
        ),
        (
            lambda: prepared(Contrastive(nn.Sequential(nn.Flatten(), nn.Linear(32, 2), Whole()))),
            ValueError,
            r"must map pairs .* floats of shape \(2, 2\), but gave a Tensor of shape \(2, 2\) and torch.int64",
        ),
        (lambda: prepared(prepared(Contrastive())), ValueError, "already belongs to a trainer; make a new one"),
        (unprepared, RuntimeError, r"no classifier yet; call prepare\(...\)"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_steps_of_a_gap_may_be_numbers_of_torch():
    assert Contrastive(gap={torch.tensor(5): 0.5, np.int64(0): 0.9}).gap == Contrastive(gap={0: 0.9, 5: 0.5}).gap

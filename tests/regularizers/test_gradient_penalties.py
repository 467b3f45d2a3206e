"""Gradient penalties in closed form on linear and quadratic D, with the gradient of D's weights, and in a step."""

import math

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.regularizers import R1, R2, Consistency, GradientPenalty
from infogan_lib.regularizers.gradient_penalties import input_gradient
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

SHAPES = [(6,), (2, 5), (1, 3, 4), (2, 3, 3, 3)]  # vectors, sound, images, volumes


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


class Linear(nn.Module):
    """D(x) = w.x + b, with logits (N,), (N, 1), or a map (N, 1, 2, 3) of multiples of it, on average once."""

    def __init__(self, shape, output):
        super().__init__()
        self.w = nn.Parameter(normal(*shape, seed=1))
        self.b = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.output = output

    def forward(self, x):
        logits = (x * self.w).flatten(1).sum(1) + self.b
        multiples = torch.tensor([0.0, 1, 2, -1, 3, 1], dtype=torch.float64).reshape(1, 1, 2, 3)
        outputs = {"flat": logits, "column": logits[:, None], "map": logits[:, None, None, None] * multiples}
        return outputs[self.output]


@pytest.mark.parametrize("output", ["flat", "column", "map"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("term", [R1(), R2(), GradientPenalty(), GradientPenalty(target=0.5, one_sided=True)])
def test_on_a_linear_d(term, shape, output):
    d = Linear(shape, output)
    value = term(normal(5, *shape), normal(5, *shape, seed=3), d, rng())
    norm = d.w.detach().square().sum().sqrt()
    if isinstance(term, GradientPenalty):
        expected, slope = (norm - term.target) ** 2, 2 * (norm - term.target) / norm
    else:
        expected, slope = norm**2, 2
    torch.testing.assert_close(value.detach(), expected, rtol=0, atol=1e-12)
    value.backward()
    torch.testing.assert_close(d.w.grad, slope * d.w.detach(), rtol=0, atol=1e-12)
    assert d.b.grad is None or d.b.grad == 0


def test_a_one_sided_penalty_leaves_a_small_gradient_alone():
    d = Linear((6,), "flat")
    d.w.data *= 0.5 / d.w.detach().norm()
    x = normal(5, 6)
    assert GradientPenalty(one_sided=True)(x, x, d, rng()).item() == 0
    assert GradientPenalty()(x, x, d, rng()).item() == pytest.approx(0.25)


def quadratic():
    """D(x) = x.Ax / 2: its gradient is Sx with S the symmetric part of A."""
    a = nn.Parameter(normal(6, 6, seed=1))
    s = (a + a.T).detach() / 2
    return a, s, lambda x: 0.5 * (x * (x @ a.T)).sum(1)


@pytest.mark.parametrize(("term", "seed"), [(R1(), 4), (R2(), 5)])
def test_squared_gradient_of_a_quadratic_d(term, seed):
    a, s, d = quadratic()
    x = normal(7, 6, seed=seed)
    value = term(normal(7, 6, seed=4), normal(7, 6, seed=5), d, rng())
    torch.testing.assert_close(value.detach(), (x @ s).square().sum(1).mean(), rtol=1e-12, atol=0)
    value.backward()
    second_moment = x.T @ x / 7
    torch.testing.assert_close(a.grad, s @ second_moment + second_moment @ s, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("one_sided", [False, True])
def test_gradient_penalty_of_a_quadratic_d(one_sided):
    a, s, d = quadratic()
    real, fake = normal(7, 6, seed=4), normal(7, 6, seed=5)
    value = GradientPenalty(target=2.0, one_sided=one_sided)(real, fake, d, rng(9))
    value.backward()
    epsilon = torch.rand(7, 1, generator=rng(9), dtype=torch.float64)
    penalty, slope, below = 0.0, torch.zeros(6, 6, dtype=torch.float64), 0
    for e, x, x_hat in zip(epsilon, real, fake, strict=True):
        between = e * x + (1 - e) * x_hat
        gradient = s @ between
        norm = gradient.norm()
        below += norm < 2
        excess = norm - 2 if norm > 2 or not one_sided else 0 * norm
        penalty += excess**2 / 7
        slope += 2 * excess / norm * torch.outer(gradient, between) / 7
    assert 0 < below < 7  # so that the two penalties differ
    torch.testing.assert_close(value.detach(), penalty, rtol=1e-12, atol=0)
    torch.testing.assert_close(a.grad, (slope + slope.T) / 2, rtol=1e-12, atol=1e-12)


def test_a_flat_d_gives_a_finite_gradient():
    d = Linear((6,), "flat")
    d.w.data.zero_()
    value = GradientPenalty()(normal(5, 6), normal(5, 6, seed=3), d, rng())
    value.backward()
    assert value.item() == 1
    assert d.w.grad.isfinite().all()


def test_the_images_get_no_gradient_and_need_none():
    _, _, d = quadratic()
    x, with_graph = normal(5, 6), normal(5, 6).requires_grad_()
    for batch in (x, with_graph):
        input_gradient(d, batch).square().sum().backward()
    assert not x.requires_grad
    assert with_graph.grad is None


def test_half_precision_logits_are_averaged_in_float32():
    gradient = input_gradient(lambda x: x.bfloat16() * 3, torch.ones(4, 10))
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, torch.full((4, 10), 0.3), rtol=5e-3, atol=0)


@pytest.mark.usefixtures("traced_generators")
@pytest.mark.parametrize("term", [R1(), R2(), GradientPenalty(), Consistency()], ids=lambda term: term.name)
def test_a_trace_on_fake_tensors_is_the_term(term):
    """Tracing without values fails at anything that reads one on the host."""
    source = rng()

    def gradient(w, real, fake):
        w = w.detach().requires_grad_()
        return torch.autograd.grad(term(real, fake, lambda x: (x.flatten(1) @ w).tanh(), source), w)[0]

    arguments = torch.randn(16), images(4), images(4, seed=1)
    traced = make_fx(gradient, tracing_mode="fake")(*arguments)
    source.manual_seed(1)
    result = traced(*arguments)
    source.manual_seed(1)
    assert torch.equal(result, gradient(*arguments))


def test_gamma_is_twice_the_weight():
    assert R1(10).weight == R2(10).weight == 5
    assert R1(10, every=16).effective_weight == 80


class Zero(losses.AdversarialLoss):
    def real(self, logits):
        return 0 * logits

    fake = generator = real


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def trainer(term, discriminator, **settings):
    torch.manual_seed(0)
    latent = ig.LatentSpec(z=ig.Noise(9), digit=ig.Categorical(2, weight=0))
    optimizers = {"g_optimizer": sgd, "d_optimizer": sgd, "q_optimizer": sgd}
    options = {"adversarial": Zero(), "regularizers": [term]} | optimizers | settings
    generator = dense_generator().to(next(discriminator.parameters()).dtype)
    return make_trainer(generator, discriminator, latent, **options)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("term", [R1(0.4), R2(0.4), GradientPenalty(0.2, target=0.0)])
def test_a_step_follows_the_closed_form_and_trains_d_alone(term, accumulate, joint):
    """On D(x) = w.x + b all three are |w|^2 with weight 0.2: the step takes 0.1 * 0.2 * 2w from w."""
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    t = trainer(term, discriminator, accumulation_steps=accumulate, joint_batches=joint)
    before = {name: p.detach().clone() for name, p in t.model.named_parameters()}
    metrics = t.step(images(12))
    w = before["discriminator.1.weight"]
    assert metrics[term.key] == pytest.approx(w.square().sum().item())
    for name, parameter in t.model.named_parameters():
        factor = 0.96 if name == "discriminator.1.weight" else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name], rtol=1e-12, atol=0)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("term", [R1(), R2(), GradientPenalty(), Consistency()], ids=lambda term: term.name)
def test_trains_with_batch_norm_in_mixed_precision(term, precision, accumulate):
    t = trainer(term, dense_discriminator(), precision=precision, accumulation_steps=accumulate, adversarial=None)
    metrics = [t.step(images(16, seed=seed)) for seed in range(3)]
    assert all(math.isfinite(step[term.key]) and step[term.key] > 0 for step in metrics)


def test_convolutions_and_sound():
    discriminator = nn.Sequential(nn.Conv1d(2, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv1d(4, 1, 4))
    generator = dense_generator(shape=(2, 8))
    t = make_trainer(generator, discriminator, LATENT, regularizers=[R1(), GradientPenalty()])
    metrics = t.step(images(8, (2, 8)))
    assert metrics["regularizer/r1"] > 0
    assert metrics["regularizer/gradient_penalty"] > 0


def test_begins_after_the_given_number_of_steps():
    t = trainer(R1(after=2), dense_discriminator())
    assert ["regularizer/r1" in t.step(images(16)) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: R1(-1), ValueError, "gamma must be a finite number of at least 0"),
        (lambda: R2("1"), TypeError, "gamma must be a finite number"),
        (lambda: R1(every=0), ValueError, "every must be a whole number of at least 1"),
        (lambda: R2(after=-1), ValueError, "after must be a whole number of at least 0"),
        (lambda: GradientPenalty(-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda: GradientPenalty(target=-1), ValueError, "target must be a finite number of at least 0"),
        (lambda: GradientPenalty(one_sided=1), TypeError, "one_sided must be True or False"),
        (lambda: trainer(R1, dense_discriminator()), TypeError, r"did you mean R1\(...\)\?"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()

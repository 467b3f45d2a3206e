"""Each defect found in published InfoGAN code, as something that cannot happen here."""

import math

import pytest
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import losses
from infogan_lib.losses import information_bound
from toys import LATENT, TupleDiscriminator, dense_discriminator, dense_generator, images, make_trainer


def test_labels_of_ones_cannot_come_out_as_integers():
    """`torch.full((n,), 1)` is an integer tensor, which BCELoss refuses; the losses here take no label tensors."""
    for dtype in (torch.float32, torch.float64):
        logits = torch.zeros(4, dtype=dtype)
        assert losses.NonSaturating().real(logits).dtype == dtype
        assert losses.NonSaturating().real(logits).tolist() == pytest.approx([math.log(2)] * 4)


@pytest.mark.parametrize("activation", [nn.Softmax(1), nn.Sigmoid()])
def test_an_activation_before_cross_entropy_is_refused(activation):
    name = type(activation).__name__
    head = nn.Sequential(nn.Linear(16, 8), activation)
    with pytest.raises(ValueError, match=f"Q's outputs for 'digit' come out of a {name}.*remove the {name}"):
        ig.InfoGAN(dense_generator(), dense_discriminator(), LATENT, q_head=head)

    class Activated(TupleDiscriminator):
        def forward(self, x):
            validity, category, style = super().forward(x)
            return validity, activation(category), style

    with pytest.raises(ValueError, match=f"come out of a {name}"):
        ig.InfoGAN(dense_generator(), Activated(), LATENT)


def test_an_activation_on_an_estimate_that_it_can_reach_is_fine():
    class Bounded(TupleDiscriminator):
        def forward(self, x):
            validity, category, style = super().forward(x)
            return validity, category, torch.sigmoid(style[:, :2])

    unit = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(2, low=0, high=1, loss=losses.MSE()))
    ig.InfoGAN(dense_generator(), Bounded(), unit)


def test_the_variance_may_fall_below_one():
    """exp(ReLU(.)) cannot; here the scale reaches e^-4 and e^2."""
    posterior = losses.NormalNLL().posterior(torch.tensor([[0.0, -1e6], [0.0, 1e6]]))
    assert posterior.stddev[:, 0].log().tolist() == pytest.approx([-4, 2], abs=1e-3)


@pytest.mark.parametrize("discriminator", [dense_discriminator, TupleDiscriminator])
def test_every_parameter_is_in_exactly_one_optimizer(discriminator):
    trainer = make_trainer(dense_generator(), discriminator(), LATENT)
    optimizers = trainer.optimizers.values()
    held = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in trainer.model.parameters())


def test_the_information_loss_reaches_the_generator():
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT)
    model, latent = trainer.model, LATENT.sample(8)
    information = LATENT.nll(model.forward_q(model.generate(latent)), latent).mean()
    gradients = torch.autograd.grad(information, list(model.generator.parameters()))
    assert all(g.abs().sum() > 0 for g in (gradients[0], gradients[-1]))


def test_codes_are_drawn_anew_in_every_step():
    latents = []
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, g_steps=2)
    trainer.model.generator.register_forward_pre_hook(lambda _, args: latents.append(args[0].detach().clone()))
    trainer.fit(images(16), epochs=1, batch_size=8)
    assert len(latents) == 4
    assert all(not torch.equal(a, b) for i, a in enumerate(latents) for b in latents[:i])


def test_batch_norm_keeps_its_eps_and_momentum():
    """`BatchNorm2d(n, 0.8)` sets eps."""
    from infogan_lib.networks import BatchNormQHead
    from infogan_lib.recipes.architectures import paper_discriminator, paper_generator

    networks = paper_generator(74), paper_discriminator(), BatchNormQHead((16,), 8)
    norms = [m for network in networks for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 6
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.1)}


def test_codes_are_summed_and_not_averaged():
    one = ig.LatentSpec(a=ig.Categorical(3))
    four = ig.LatentSpec({name: ig.Categorical(3) for name in "abcd"})
    outputs = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    gradients = []
    for spec in (one, four):
        latent = one.sample(5, rng=torch.Generator().manual_seed(0)).repeat(1, len(spec))
        torch.autograd.backward(spec.nll(outputs.repeat(1, len(spec)), latent).mean(0)[:1].sum())
        gradients.append(outputs.grad)
        outputs.grad = None
    torch.testing.assert_close(*gradients)


def test_the_bound_of_a_uniform_code_uses_its_own_entropy():
    """With a normal prior in place of the uniform one H(c) would be 1.419 instead of ln 2."""
    assert LATENT.entropy["style"] == pytest.approx(2 * math.log(2))
    perfect = torch.tensor([[0.3, -1e6]])  # certain and right
    bound = information_bound(ig.Uniform(1).entropy, losses.NormalNLL()(perfect, torch.tensor([[0.3]])))
    assert bound.item() == pytest.approx(math.log(2) + 4 - 0.5 * math.log(2 * math.pi), abs=1e-3)


def test_the_discrete_loss_is_reported_without_continuous_codes():
    spec = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4))
    metrics = make_trainer(dense_generator(9), dense_discriminator(), spec).step(images(8))
    assert metrics["loss/information"] == pytest.approx(metrics["nll/digit"])
    assert metrics["bound/digit"] <= math.log(4)


@pytest.mark.parametrize("k", [2, 7, 23])
def test_no_number_of_categories_is_built_in(k):
    spec = ig.LatentSpec(z=ig.Noise(3), c=ig.Categorical(k), d=ig.Categorical(k + 1))
    trainer = make_trainer(dense_generator(spec.width, (1, 6, 5)), dense_discriminator((1, 6, 5)), spec)
    trainer.fit(images(16, (1, 6, 5)), steps=2, batch_size=8)
    assert trainer.model.encode(images(4, (1, 6, 5)))["d"].probs.shape == (4, k + 1)


def test_another_latent_width_is_an_error_and_not_a_silent_break():
    with pytest.raises(ValueError, match="must take 12 inputs"):
        ig.InfoGAN(dense_generator(11), dense_discriminator(), LATENT + ig.LatentSpec(more=ig.Noise(1)))


@pytest.mark.parametrize("seed", range(3))
def test_a_discrete_bound_never_exceeds_the_entropy(seed):
    spec = ig.LatentSpec(c=ig.Categorical(7), b=ig.Bernoulli(3))
    rng = torch.Generator().manual_seed(seed)
    outputs = torch.randn(4000, spec.num_outputs, generator=rng, dtype=torch.float64) * 4
    latent = spec.sample(4000, rng=rng, dtype=torch.float64)
    latent[:2000] = 0  # half of the time Q is certain and right
    latent[torch.arange(2000), outputs[:2000, :7].argmax(1)] = 1
    latent[:2000, 7:] = (outputs[:2000, 7:] > 0).double()
    for entropy, nll in zip(spec.entropy.values(), spec.nll(outputs, latent).T, strict=True):
        assert 0 < information_bound(entropy, nll[:2000]) <= entropy
        assert information_bound(entropy, nll) <= entropy
        assert (entropy - nll <= entropy + 1e-12).all()

"""Training, sampling and encoding with the fast convolutions are what they are without them."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import infogan_lib as ig
from fast_cpu_networks import Viewing, discriminator, generator
from infogan_lib import recipes
from infogan_lib.networks.fast_cpu import (
    FastCPU,
    is_heavy,
)
from infogan_lib.networks.layout import is_channels_last
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


def double_trainer(g: nn.Module, d: nn.Module, latent: ig.LatentSpec, **settings) -> ig.InfoGANTrainer:
    return make_trainer(g.double(), d.double(), latent, device="cpu", **settings)


def narrow(name: str, width: float) -> ig.InfoGANTrainer:
    recipe = recipes.get(name, width=width)
    head = recipe.q_head.double() if isinstance(recipe.q_head, nn.Module) else recipe.q_head
    return double_trainer(recipe.generator, recipe.discriminator, recipe.latent, tap=recipe.tap, q_head=head)


TRAINERS = {
    "28 x 28": lambda: narrow("lab28-normalnll", 1 / 64),
    "default": lambda: narrow("default", 1 / 16),
    "64 x 64": lambda: narrow("lab64-frontend", 1 / 128),
    "tutorial": lambda: narrow("dcgan-tutorial", 1 / 32),
    "color": lambda: double_trainer(generator(), discriminator(), LATENT),
    "color, averaged": lambda: double_trainer(generator(), discriminator(), LATENT, ema_decay=0.5),
    "views": lambda: double_trainer(generator(), Viewing(), LATENT, tap="second"),
    "one batch": lambda: double_trainer(generator(), discriminator(), LATENT, joint_batches=True),
    "parts": lambda: double_trainer(generator(), Viewing(), LATENT, accumulation_steps=2),
}


@pytest.mark.filterwarnings("ignore:data lies in")
@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_three_steps_are_the_plain_steps(make):
    def trained(plain):
        torch.manual_seed(0)
        trainer = make()
        model = trainer.model
        assert model._generator_is_heavy
        assert model._discriminator_is_heavy
        if plain:
            model._generator_is_heavy = model._discriminator_is_heavy = False
        batches = (images(n, model.image_shape, seed=n, dtype=torch.float64) for n in (6, 4, 7))
        metrics = [trainer.step(batch) for batch in batches]
        batch, latent = images(5, model.image_shape, dtype=torch.float64), model.latent.sample(5).double()
        return metrics, model.state_dict(), model.decode(latent), model.q_outputs(batch)

    expected, found = trained(plain=True), trained(plain=False)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_autocast_keeps_its_precision():
    network, x = discriminator(), images(6, (3, 8, 8))
    exact = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(x)
        with FastCPU():
            found = network(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert (found - exact).abs().max() <= 2 * (expected - exact).abs().max() + 1e-2
    found.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in network.parameters())
    trainer = make_trainer(generator(), Viewing(), LATENT, device="cpu", precision="bf16")
    assert trainer.step(x)["loss/d"] > 0


def test_frozen_weights_pass_gradients_on():
    network, x = Viewing().requires_grad_(False), images(3, (3, 8, 8)).requires_grad_()
    (expected,) = torch.autograd.grad(network(x).sum(), x)
    with FastCPU():
        out = network(x)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], expected)
    with FastCPU(), torch.no_grad():
        assert not network(x).requires_grad
    with FastCPU(), torch.inference_mode():
        torch.testing.assert_close(network(x), out.detach())


def test_an_output_without_a_gradient():
    conv = nn.Conv2d(3, 4, 3, padding=1)
    with FastCPU():
        used, unused = conv(images(2, (3, 6, 6))).chunk(2, dim=1)
        loss = used.flatten(1).sum()
        F.conv2d(unused, torch.randn(1, 2, 3, 3))
    loss.backward()
    assert conv.weight.grad is not None


def test_transforms_and_tracing_see_torch():
    network, x = discriminator().double().eval(), images(3, (3, 8, 8), dtype=torch.float64)

    def inside(x):
        with FastCPU():
            return network(x)

    torch.testing.assert_close(torch.func.jacrev(inside)(x), torch.func.jacrev(network)(x))
    per_sample = torch.func.vmap(torch.func.grad(lambda one: inside(one[None]).sum()))(x)
    torch.testing.assert_close(per_sample, torch.func.jacrev(lambda x: network(x).sum())(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's about itself
        torch.testing.assert_close(torch.func.jvp(inside, (x,), (x,)), torch.func.jvp(network, (x,), (x,)))
        with FastCPU():
            traced = torch.jit.trace(network[2], torch.ones(2, 4, 4, 4, dtype=torch.float64))
    assert "permute" not in str(traced.inlined_graph)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (discriminator(), True),
        (Viewing(), True),
        (nn.Sequential(spectral_norm(nn.Conv2d(3, 4, 3))), True),
        (nn.Sequential(nn.Conv1d(3, 4, 3)), True),
        (dense_discriminator(), False),
        (nn.Sequential(nn.Flatten(), spectral_norm(nn.Linear(4, 2))), False),
        (None, False),
    ],
    ids=["layers", "functional", "parametrized", "series", "dense", "dense and parametrized", "none"],
)
def test_which_networks_are_heavy(network, expected):
    assert is_heavy(network) is expected
    assert is_heavy(dense_generator(), network) is expected


def test_light_networks_never_enter_the_context(monkeypatch):
    entered = []
    monkeypatch.setattr(FastCPU, "__enter__", lambda self: entered.append(self) or super(FastCPU, self).__enter__())
    trainer = make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu")
    trainer.step(images(6))
    trainer.model.encode(images(2))
    trainer.model.sample(2)
    assert entered == []
    trainer = make_trainer(dense_generator(shape=(3, 8, 8)), discriminator(), LATENT, device="cpu")
    trainer.model.sample(2)
    assert entered == []
    trainer.step(images(6, (3, 8, 8)))
    assert len(entered) == 3  # D on real images, on fakes, and for G


def test_sampling_and_encoding_are_fast_and_their_results_contiguous():
    model = ig.InfoGAN(generator(), discriminator(), LATENT)
    seen = []
    for part in (model.generator[-3], model.discriminator[1]):
        part.register_forward_hook(lambda *seen_by: seen.append(is_channels_last(seen_by[2])))
    made = model.sample(3, seed=0)
    made.view(3, -1)
    model.encode(made)
    model.generate(model.latent.sample(3)).view(3, -1)
    assert seen == [True] * 3
    patches = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1), nn.Conv2d(4, 2, 3))
    ig.InfoGAN(generator(), patches, LATENT, tap="1").discriminate(made).logits.view(3, -1)

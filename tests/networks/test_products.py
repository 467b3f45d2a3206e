"""Large products by oneDNN: torch's numbers and derivatives, in the layout that weights and their gradients have."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infogan_lib.networks import products
from infogan_lib.networks.fast_cpu import FastCPU, is_heavy
from infogan_lib.networks.products import LARGE_WEIGHT, linear, product
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer

pytestmark = pytest.mark.skipif(not products._HAS_ONEDNN, reason="torch was built without oneDNN")

N, K, M = 64, 300, 280
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.t().contiguous().t(),
    "cut": lambda x: x.repeat(1, 2)[:, ::2],
}


@pytest.fixture
def calls(monkeypatch):
    """The shapes of the products that were oneDNN's."""
    seen, forward = [], products._Product.forward
    monkeypatch.setattr(products._Product, "forward", lambda a, b: seen.append((*a.shape, b.shape[1])) or forward(a, b))
    return seen


def matrices(*, layout=LAYOUTS["contiguous"]) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    shapes = (N, K), (K, M)
    return [layout(torch.randn(shape, generator=rng) / 10).detach().requires_grad_() for shape in shapes]


def derivatives(function, inputs):
    out = function(*inputs)
    first = torch.autograd.grad(out.pow(3).sum(), inputs, create_graph=True)
    return [out, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_values_and_both_derivatives_are_those_of_float64(layout, calls):
    inputs = matrices(layout=layout)
    found = derivatives(product, inputs)
    expected = derivatives(torch.matmul, [x.detach().double().requires_grad_() for x in inputs])
    assert len(calls) == 9  # 1, 2 of its gradient, and of those 2 each beside 2 of the value
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("bias", [None, torch.randn(M)])
def test_linear_layers_are_such_products_and_their_gradients_lie_as_the_weights(bias, calls):
    x, w = matrices()
    w = w.detach().t().contiguous().requires_grad_()
    torch.testing.assert_close(linear(x, w, bias), F.linear(x, w, bias))
    gradients = torch.autograd.grad(linear(x, w, bias).sum(), (x, w))
    assert len(calls) == 4
    assert all(gradient.is_contiguous() for gradient in gradients)


def test_only_the_gradients_that_are_asked_for_are_computed(calls):
    x, w = matrices()
    for inputs in ([x], [w], None):
        out = product(x, w.view(K, M)).sum()
        calls.clear()
        out.backward(inputs=inputs)
        assert len(calls) == (2 if inputs is None else 1)
        out = product(x * 1, w * 1).sum()
        calls.clear()
        torch.autograd.grad(out, inputs or (x, w), create_graph=True)
        assert len(calls) == (2 if inputs is None else 1)
    (gradient,) = torch.autograd.grad(product(x, w).sum(), x)
    torch.testing.assert_close(gradient, w.sum(1).expand(N, K))
    (gradient,) = torch.autograd.grad(product(x, w.detach()).sum(), x)
    torch.testing.assert_close(gradient, w.sum(1).expand(N, K))


def test_what_is_small_or_of_another_kind_is_left_to_torch(calls):
    x, w = (each.detach() for each in matrices())
    for a, b in ((x[:2], w), (x.double(), w.double()), (x.bfloat16(), w.bfloat16()), (x.to_sparse(), w)):
        assert torch.equal(product(a, b).to_dense(), (a @ b).to_dense())
    for more in (x.expand(2, N, K), x[0]):
        assert torch.equal(linear(more, w.t()), F.linear(more, w.t()))
    with torch.autocast("cpu", torch.bfloat16):
        assert product(x, w).dtype == torch.bfloat16
    assert calls == []
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        product(x, w[1:])


def test_transforms_see_torch():
    x, w = (each.detach() for each in matrices())
    torch.testing.assert_close(
        torch.func.vmap(product, (None, 2))(x, torch.stack([w, -w], dim=2)), torch.stack([x @ w, -x @ w])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's about itself
        for tangents in ((x + 1, w - 1), (torch.zeros_like(x), w - 1)):
            found, expected = (torch.func.jvp(f, (x, w), tangents) for f in (product, torch.matmul))
            torch.testing.assert_close(found, expected)
        one = torch.func.jvp(lambda x: product(x, w), (x,), (x + 1,))
    torch.testing.assert_close(one, (x @ w, (x + 1) @ w))
    torch.testing.assert_close(torch.func.grad(lambda w: product(x, w).sum())(w), x.sum(0)[:, None].expand(K, M))


def test_networks_of_large_layers_train_with_them(calls):
    assert is_heavy(nn.Linear(256, LARGE_WEIGHT // 256))
    assert not is_heavy(nn.Linear(255, LARGE_WEIGHT // 256))
    wide = nn.Sequential(nn.Linear(LATENT.width, 512), nn.ReLU(), nn.Linear(512, 192), nn.Unflatten(1, (3, 8, 8)))
    trainer = make_trainer(wide, dense_discriminator((3, 8, 8)), LATENT, device="cpu")
    trainer.step(images(64, (3, 8, 8)))
    assert calls == [(64, 512, 192), (64, 192, 512), (192, 64, 512)]
    assert all(p.is_contiguous() for p in wide.parameters())
    calls.clear()
    make_trainer(dense_generator(), dense_discriminator(), LATENT, device="cpu").step(images(64))
    assert calls == []


def test_convolutions_that_are_products_are_such_too(calls):
    conv, up = nn.Conv2d(16, 256, 4), nn.ConvTranspose2d(256, 16, 4)
    x = torch.randn(64, 16, 4, 4)
    with FastCPU():
        found = conv(x), up(found := conv(x))
    assert set(calls) == {(64, 256, 256)}
    torch.testing.assert_close(found[0], conv(x))
    torch.testing.assert_close(found[1], up(conv(x)), rtol=1e-4, atol=1e-5)

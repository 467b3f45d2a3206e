"""Convolutions to and from an image's few channels: torch's values and derivatives, and by which way they were made."""

import warnings

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch import nn

from infogan_lib.networks import thin
from infogan_lib.networks.fast_cpu import FastCPU
from infogan_lib.networks.layout import is_channels_last

WEIGHTS = {  # kernel, stride, padding
    "DCGAN": (4, 2, 1),
    "patches": (2, 2, 0),
    "wide": (8, 4, 2),
    "uneven": ((4, 2), 2, (1, 0)),
}


@pytest.fixture
def made(monkeypatch):
    """The shapes of the images that were made."""
    seen, forward = [], thin._ToFew.forward
    monkeypatch.setattr(thin._ToFew, "forward", lambda *args: seen.append(forward(*args)) or seen[-1])
    return seen


def layers(channels: int, *settings, bias: bool = True) -> list[tuple[nn.Module, torch.Tensor]]:
    """G's last and D's first layer, each with what it takes."""
    torch.manual_seed(0)
    last, first = nn.ConvTranspose2d(6, channels, *settings, bias=bias), nn.Conv2d(channels, 6, *settings, bias=bias)
    with torch.no_grad():
        maps = torch.randn(3, 6, 3, 4)
        shape = last(maps).shape
    return [(last.double(), maps.double()), (first.double(), torch.randn(shape).double())]


def values_and_derivatives(layer, x):
    inputs = [x, *layer.parameters()]
    out = layer(x)
    first = torch.autograd.grad(out.pow(3).sum(), inputs, create_graph=True)
    return [out, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)]


@pytest.mark.parametrize("settings", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_both_layers_have_torchs_values_and_derivatives(settings, channels, bias, made):
    for layer, x in layers(channels, *settings, bias=bias):
        x.requires_grad_()
        expected = values_and_derivatives(layer, x)
        assert made == []
        with FastCPU():
            found = values_and_derivatives(layer, x)
        assert made
        made.clear()
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_which_layers_are_thin(made):
    x = torch.randn(2, 8, 3, 3, requires_grad=True)
    with FastCPU():
        nn.ConvTranspose2d(8, 5, 4, 2, 1)(x)  # not few
        nn.ConvTranspose2d(8, 3, 3, 2, 1)(x)  # to 5 x 5
        nn.ConvTranspose2d(8, 3, 4, (2, 1), 1)(x)  # not as much wider as higher
        nn.ConvTranspose2d(8, 3, 3, 1, 1)(x)  # no larger
        nn.Conv2d(3, 8, 3, 2, 1)(images := torch.randn(2, 3, 7, 7, requires_grad=True)).sum().backward()
        nn.Conv2d(3, 8, 4, 2, 1)(images).sum().backward()  # 7 is no multiple of 2
        nn.Conv2d(3, 8, 2, 2, padding="valid")(images).sum().backward()
        assert made == []
        nn.ConvTranspose2d(8, 3, 4, 2, 1)(x)
        with torch.no_grad():
            nn.ConvTranspose2d(8, 1, 4, 2, 1)(x)
        nn.Conv2d(3, 8, 4, 2, 1)(images[..., :6, :6]).sum().backward()
    assert [tuple(image.shape) for image in made] == [(2, 3, 6, 6), (2, 1, 6, 6), (2, 3, 6, 6)]


def test_images_without_a_gradient_are_torchs(monkeypatch):
    monkeypatch.setattr(thin._FromFew, "forward", None)
    plain = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
    for x in (plain, plain.clone().requires_grad_()):
        with FastCPU(), torch.set_grad_enabled(not x.requires_grad):
            nn.Conv2d(3, 8, 4, 2, 1)(x)


def test_only_the_gradients_that_are_asked_for_are_computed(monkeypatch):
    calls, weight_gradient = [], thin.conv2d_weight
    monkeypatch.setattr(thin, "conv2d_weight", lambda *args: calls.append(1) or weight_gradient(*args))
    for layer, x in layers(1, 4, 2, 1):
        x.requires_grad_()
        with FastCPU():
            out = layer(x).sum()
        out.backward(inputs=[x], retain_graph=True)
        assert calls == []
        out.backward(inputs=[layer.weight])
        assert calls == [1]
        assert layer.bias.grad is None
        calls.clear()


@pytest.mark.parametrize("channels", [1, 3])
def test_layouts_and_precisions_are_kept(channels):
    for layer, x in layers(channels, 4, 2, 1):
        with torch.autocast("cpu", torch.bfloat16), FastCPU():
            assert layer(x.requires_grad_()).dtype == torch.float64
        layer, x = layer.float(), x.detach().float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            expected = layer(x)
            with FastCPU():
                found = layer(x), layer(x.bfloat16())
        for one in found:
            assert one.dtype == expected.dtype == torch.bfloat16
            torch.testing.assert_close(one, expected, rtol=0.05, atol=0.05)
        gradients = torch.autograd.grad(found[0].float().sum(), (x, layer.weight, layer.bias))
        assert all(gradient.dtype == torch.float32 for gradient in gradients)
        with FastCPU():
            maps = layer(x) if isinstance(layer, nn.Conv2d) else torch.autograd.grad(layer(x).square().sum(), x)[0]
        assert is_channels_last(maps)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("which", [0, 1], ids=["last of G", "first of D"])
def test_transforms_see_torch(channels, which):
    layer, x = layers(channels, 4, 2, 1)[which]
    inputs = x, layer.weight.detach(), layer.bias.detach()
    others = tuple(part + 1 for part in inputs)

    def plain(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    def fast(*inputs):
        with FastCPU():
            return plain(*inputs)

    def results(function):
        yield from (torch.func.jacrev(function, argument)(*inputs) for argument in range(3))
        for dims in ((0, None, None), (0, 0, 0)):
            pairs = zip(inputs, dims, strict=True)
            stacked = [part if dim is None else torch.stack([part, -part]) for part, dim in pairs]
            yield torch.func.vmap(function, dims)(*stacked)
            yield torch.func.vmap(torch.func.grad(lambda *parts: function(*parts).sum()), dims)(*stacked)
        yield torch.func.jvp(function, inputs, others)
        with fwAD.dual_level():
            given = x.clone().requires_grad_(), *inputs[1:]
            dual = fwAD.unpack_dual(function(*map(fwAD.make_dual, given, others)))
        yield tuple(dual)
        yield torch.func.jvp(lambda x: function(x, *inputs[1:]), (x,), (x + 1,))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's about itself
        for found, expected in zip(results(fast), results(plain), strict=True):
            torch.testing.assert_close(found, expected)

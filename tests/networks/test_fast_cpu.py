"""Convolutions in their fastest form on a CPU: the same numbers, gradients and training, whatever the network does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from fast_cpu_networks import Viewing, discriminator, generator
from infogan_lib.networks.fast_cpu import (
    FastCPU,
    _convolution,
    _transposed_convolution,
)
from infogan_lib.networks.layout import is_channels_last
from infogan_lib.networks.subpixel import is_subpixel, subpixel_convolution
from toys import LATENT, images, make_trainer

CONVS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_products_equal_the_convolutions(dims, transposed, bias):
    conv = CONVS[dims][transposed](5, 7, 4, stride=2, bias=bias).double()
    x = torch.randn(3, 5, *[1 if transposed else 4] * dims, dtype=torch.float64, requires_grad=True)
    expected = conv(x)
    expected.square().sum().backward()
    gradients = [t.grad.clone() for t in (x, *conv.parameters())]
    x.grad = None
    conv.zero_grad()
    with FastCPU():
        found = conv(x)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for t, gradient in zip((x, *conv.parameters()), gradients, strict=True):
        torch.testing.assert_close(t.grad, gradient, rtol=1e-11, atol=1e-11)
    assert (_transposed_convolution if transposed else _convolution)(x, conv.weight, conv.bias, 2) is not None


OTHERS = {
    "dilation": (nn.Conv2d(4, 2, 2, dilation=2), (2, 4, 3, 3)),
    "groups": (nn.Conv2d(4, 2, 4, groups=2), (2, 4, 4, 4)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 6, 6)),
    "transposed groups": (nn.ConvTranspose2d(4, 2, 4, groups=2), (2, 4, 1, 1)),
    "transposed dilation": (nn.ConvTranspose2d(4, 2, 4, dilation=2), (2, 4, 3, 3)),
    "without a batch": (nn.Conv2d(3, 2, 4), (3, 4, 4)),
    "kernel smaller than a series": (nn.Conv1d(3, 2, 3), (2, 3, 4)),
    "kernel smaller than a volume": (nn.Conv3d(3, 2, 3), (2, 3, 4, 4, 4)),
    "transposed of a series": (nn.ConvTranspose1d(4, 2, 4), (2, 4, 2)),
}


@pytest.mark.parametrize(("conv", "shape"), OTHERS.values(), ids=OTHERS)
def test_everything_else_is_left_to_torch(conv, shape):
    x = torch.randn(shape)
    with FastCPU():
        found = conv(x)
    assert torch.equal(found, conv(x))
    transposed = isinstance(conv, nn.modules.conv._ConvTransposeNd)
    fast = _transposed_convolution if transposed else _convolution
    extra = (conv.output_padding,) if transposed else ()
    tail = (conv.groups, conv.dilation) if extra else (conv.dilation, conv.groups)
    assert fast(x, conv.weight, conv.bias, conv.stride, conv.padding, *extra, *tail) is None


MAPS = {
    "kernel smaller than the input": (nn.Conv2d(3, 2, 3), (2, 3, 4, 4)),
    "padding": (nn.Conv2d(3, 2, 4, padding=1), (2, 3, 4, 4)),
    "same padding": (nn.Conv2d(3, 2, 3, padding="same"), (2, 3, 3, 3)),
    "reflected padding": (nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), (2, 3, 5, 5)),
    "circular padding": (nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"), (2, 3, 5, 5)),
    "one channel": (nn.Conv2d(1, 5, 4, 2, 1), (3, 1, 6, 8)),
    "no bias": (nn.Conv2d(3, 5, 4, 2, 1, bias=False), (3, 3, 6, 8)),
    "1 x 1": (nn.Conv2d(3, 5, 1), (3, 3, 2, 2)),
    "uneven": (nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0)), (3, 3, 5, 4)),
    "transposed padding": (nn.ConvTranspose2d(4, 2, 4, padding=1), (2, 4, 1, 1)),
    "transposed output padding": (nn.ConvTranspose2d(4, 2, 4, stride=2, output_padding=1), (2, 4, 1, 1)),
    "transposed of a map": (nn.ConvTranspose2d(4, 2, 4), (2, 4, 2, 2)),
    "transposed to an image": (nn.ConvTranspose2d(4, 1, 4, 2, 1), (3, 4, 3, 2)),
    "transposed uneven": (nn.ConvTranspose2d(4, 3, (3, 4), (1, 2), (0, 1), bias=False), (3, 4, 3, 2)),
}


LAYOUTS = {
    "contiguous": torch.Tensor.contiguous,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every other column": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "width first": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "expanded": lambda x: x[:1].expand_as(x),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("conv", "shape"), MAPS.values(), ids=MAPS)
def test_maps_of_any_layout_give_the_values_and_both_gradients_of_torch(conv, shape, layout):
    conv = conv.double()
    x = layout(torch.randn(shape, dtype=torch.float64)).detach().requires_grad_()
    inputs = [x, *conv.parameters()]

    def values_and_gradients():
        out = conv(x)
        first = torch.autograd.grad(out.pow(3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        with torch.no_grad():
            without_graph = conv(x)
        return [out, without_graph, *first, *second]

    expected = values_and_gradients()
    with FastCPU():
        found = values_and_gradients()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_keyword_calls_and_wrong_shapes_behave_as_in_torch():
    x, w = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 4, 4)
    with FastCPU():
        torch.testing.assert_close(F.conv2d(input=x, weight=w, padding=0), F.conv2d(x, w))
        with pytest.raises(RuntimeError, match="channels"):
            F.conv2d(x, torch.randn(5, 2, 4, 4))


SUBPIXEL = {  # kernel, stride, padding, output padding
    "DCGAN": ((4, 4), 2, (1, 1), (0, 0)),
    "patches": ((2, 2), 2, (0, 0), (0, 0)),
    "five": ((5, 5), 2, (2, 2), (1, 1)),
    "three": ((3, 3), 2, (1, 1), (1, 1)),
    "wide": ((8, 6), 4, (2, 1), (0, 0)),
    "stride three": ((7, 5), 3, (2, 1), (0, 0)),
}


@pytest.mark.parametrize(("kernel", "stride", "padding", "extra"), SUBPIXEL.values(), ids=SUBPIXEL)
@pytest.mark.parametrize("bias", [None, torch.randn(2, dtype=torch.float64)])
def test_subpixel_convolutions_are_transposed_ones(kernel, stride, padding, extra, bias):
    x, w = torch.randn(2, 3, 3, 4, dtype=torch.float64), torch.randn(3, 2, *kernel, dtype=torch.float64)
    assert is_subpixel(w.shape[2:], (stride, stride), padding, extra)
    expected = F.conv_transpose2d(x, w, bias, stride, padding, extra)
    assert expected.shape[2:] == (stride * 3, stride * 4)
    torch.testing.assert_close(subpixel_convolution(x, w, bias, stride, padding), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("network", [Viewing(), discriminator()], ids=["views", "layers"])
def test_second_derivatives_of_networks_are_right(network):
    network = network.double().eval()
    weights = [p.detach().clone().requires_grad_() for p in network.parameters()]

    def inside(x, *weights):
        named = dict(zip(dict(network.named_parameters()), weights, strict=True))
        with FastCPU():
            return torch.func.functional_call(network, named, (x,))

    inputs = (torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True), *weights)
    assert gradcheck(inside, inputs, fast_mode=True)
    assert gradgradcheck(inside, inputs, fast_mode=True)


@pytest.mark.parametrize("network", [Viewing(), discriminator()], ids=["views", "layers"])
def test_a_gradient_penalty_reaches_the_weights_as_in_torch(network):
    network = network.double()

    def penalty():
        x = torch.ones(3, 3, 8, 8, dtype=torch.float64).cumsum(3).sin().requires_grad_()
        (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        network.zero_grad()
        gradient.square().sum().backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    expected = penalty()
    with FastCPU():
        found = penalty()
    assert max(gradient.abs().max() for gradient in expected) > 1e-3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_views_of_activations():
    conv, x = nn.Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 6, 6)
    expected = conv(x)
    with FastCPU():
        found = conv(x)
        assert is_channels_last(found)
        for view in (
            lambda h: h.view(2, -1),
            lambda h: h.view((2, -1)),
            lambda h: h.view(size=(2, 144)),
            lambda h: h.view(torch.Size([8, 36])),
            lambda h: h.view_as(torch.empty(2, 72, 2)),
            lambda h: h.flatten(1),
            lambda h: torch.flatten(h, 1),
            lambda h: h.reshape(-1),
        ):
            torch.testing.assert_close(view(found), view(expected))
        assert found.view(2, 4, 36).data_ptr() == found.data_ptr()  # a view where it can be one
        assert found.detach().view(torch.int32).dtype == torch.int32
        with pytest.raises(RuntimeError, match="invalid"):
            found.view(2, 5)


def flattening() -> nn.Module:
    maps = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(4, 6, 4, 2, 1), nn.LeakyReLU(0.1))
    return nn.Sequential(*maps, nn.Flatten(), nn.Linear(24, 1))


def from_a_point() -> nn.Module:
    first = nn.Sequential(nn.ConvTranspose2d(LATENT.width, 6, 2), nn.BatchNorm2d(6), nn.ReLU())
    return nn.Sequential(*first, *generator()[4:])


@pytest.mark.parametrize("g", [generator, from_a_point])
@pytest.mark.parametrize("d", [discriminator, flattening])
def test_activations_and_their_gradients_lie_with_the_channels_last_and_weights_do_not(g, d):
    trainer = make_trainer(g(), d(), LATENT, device="cpu")
    seen = {"activations": [], "gradients": []}
    for part in (*trainer.model.generator, *trainer.model.discriminator):
        if isinstance(part, (nn.ReLU, nn.LeakyReLU)):
            part.register_forward_hook(lambda *seen_by: seen["activations"].append(seen_by[2]))
            part.register_full_backward_hook(lambda *seen_by: seen["gradients"].append(seen_by[2][0]))
    trainer.step(images(5, (3, 8, 8)))
    for kind in seen.values():
        maps = [x for x in kind if x.ndim == 4 and x.shape[2:] != (1, 1) and len(x) == 5]
        assert len(maps) >= 6
        assert all(map(is_channels_last, maps))
    assert all(p.is_contiguous() for p in trainer.model.parameters())
    trainer.step(images(5, (3, 8, 8)))
    states = [s for o in trainer.optimizers.values() for s in o.state.values()]
    assert all(moment.is_contiguous() for state in states for moment in state.values())
    network = discriminator()
    with FastCPU():
        network(images(2, (3, 8, 8))).sum().backward()
    assert all(p.grad.is_contiguous() for p in network.parameters())


def test_a_single_channel_is_seen_as_channels_last():
    conv, x = nn.Conv2d(1, 4, 4, 2, 1), torch.randn(2, 1, 6, 6, requires_grad=True)
    for given in (x, x.repeat(1, 2, 1, 1)[:, :1], torch.randn(2, 1, 6, 12)[..., ::2]):
        with FastCPU():
            found = conv(given)
        assert is_channels_last(found)
        torch.testing.assert_close(found, conv(given))
    with FastCPU():
        (gradient,) = torch.autograd.grad(conv(x).square().sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(conv(x).square().sum(), x)[0])

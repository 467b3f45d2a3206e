"""BatchNorm of all processes' rows is torch's own where there is one process, with gradients of every order."""

import pytest
import torch
from torch import nn
from torch.autograd import gradgradcheck

from infogan_lib.distributed.batch_layers import BatchLayers
from infogan_lib.distributed.processes import Processes

SHAPES = [(6, 3), (6, 3, 5), (6, 3, 4, 5)]


def over_processes(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with BatchLayers(Processes(), len(x)):
        return layer(x)


def make_layer(shape: tuple[int, ...], **options: bool) -> nn.Module:
    layer = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](shape[1], **options).double()
    if layer.weight is not None:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer


def make_images(shape: tuple[int, ...], channels_last: bool = False) -> torch.Tensor:
    x = 3 + 2 * torch.randn(shape, dtype=torch.float64)
    return x.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format).requires_grad_()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("shape", "channels_last"), [*((shape, False) for shape in SHAPES), (SHAPES[-1], True)], ids=str
)
def test_batchnorm_of_one_process_is_torchs_own(shape, channels_last, affine):
    torch.manual_seed(0)
    layer, x = make_layer(shape, affine=affine), make_images(shape, channels_last)
    buffers = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    wanted = layer(x)
    gradient = torch.randn_like(wanted)
    inputs = [x, *layer.parameters()]
    wanted_gradients = torch.autograd.grad(wanted, inputs, gradient)
    wanted_buffers = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.load_state_dict({**layer.state_dict(), **buffers})
    got = over_processes(layer, x)
    assert got.stride() == wanted.stride()
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.autograd.grad(got, inputs, gradient), wanted_gradients, rtol=0, atol=1e-13)
    torch.testing.assert_close(dict(layer.named_buffers()), wanted_buffers, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_batchnorm_has_gradients_of_the_second_order(shape):
    torch.manual_seed(0)
    layer, x = make_layer(shape), make_images(shape)

    def normalized(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    def over(x, weight, bias):
        with BatchLayers(Processes(), len(x)):
            return normalized(x, weight, bias)

    assert gradgradcheck(over, [x, layer.weight, layer.bias])


def test_gradients_are_exact_where_means_are_large_beside_deviations():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(4)
    x, gradient = 1000 + 0.1 * torch.randn(64, 4, 8, 8), torch.randn(64, 4, 8, 8)
    wanted = torch.autograd.grad(layer(x), layer.parameters(), gradient)
    got = torch.autograd.grad(over_processes(layer, x), layer.parameters(), gradient)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-3)

"""Convolutions computed as matrix products: the same numbers and gradients, and only where they are the same."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infogan_lib.training.dense import _convolution, _transposed, dense_convolutions

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
    with dense_convolutions():
        found = conv(x)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for t, gradient in zip((x, *conv.parameters()), gradients, strict=True):
        torch.testing.assert_close(t.grad, gradient, rtol=1e-11, atol=1e-11)
    assert (_transposed if transposed else _convolution)(x, conv.weight, conv.bias, 2) is not None


OTHERS = {
    "kernel smaller than the input": (nn.Conv2d(3, 2, 3), (2, 3, 4, 4)),
    "padding": (nn.Conv2d(3, 2, 4, padding=1), (2, 3, 4, 4)),
    "same padding": (nn.Conv2d(3, 2, 3, padding="same"), (2, 3, 3, 3)),
    "dilation": (nn.Conv2d(4, 2, 2, dilation=2), (2, 4, 3, 3)),
    "groups": (nn.Conv2d(4, 2, 4, groups=2), (2, 4, 4, 4)),
    "transposed groups": (nn.ConvTranspose2d(4, 2, 4, groups=2), (2, 4, 1, 1)),
    "transposed padding": (nn.ConvTranspose2d(4, 2, 4, padding=1), (2, 4, 1, 1)),
    "transposed output padding": (nn.ConvTranspose2d(4, 2, 4, stride=2, output_padding=1), (2, 4, 1, 1)),
    "transposed of a map": (nn.ConvTranspose2d(4, 2, 4), (2, 4, 2, 2)),
    "without a batch": (nn.Conv2d(3, 2, 4), (3, 4, 4)),
}


@pytest.mark.parametrize(("conv", "shape"), OTHERS.values(), ids=OTHERS)
def test_everything_else_is_left_to_torch(conv, shape):
    x = torch.randn(shape)
    with dense_convolutions():
        found = conv(x)
    assert torch.equal(found, conv(x))
    dense = _transposed if isinstance(conv, nn.ConvTranspose2d) else _convolution
    extra = (conv.output_padding,) if isinstance(conv, nn.ConvTranspose2d) else ()
    tail = (conv.groups, conv.dilation) if extra else (conv.dilation, conv.groups)
    assert dense(x, conv.weight, conv.bias, conv.stride, conv.padding, *extra, *tail) is None


def test_keyword_calls_and_wrong_shapes_behave_as_in_torch():
    x, w = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 4, 4)
    with dense_convolutions():
        torch.testing.assert_close(F.conv2d(input=x, weight=w, padding=0), F.conv2d(x, w))
        with pytest.raises(RuntimeError, match="channels"):
            F.conv2d(x, torch.randn(5, 2, 4, 4))

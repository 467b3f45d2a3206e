"""Products of large float32 matrices on a CPU, by the library that is fast on every make of processor.

torch computes these products with MKL, which leaves half of an AMD processor's vector units idle, and those of bfloat16
with oneDNN. Here both go to oneDNN: 210 GFLOP/s instead of 94 on one core of an AMD EPYC (Zen 5).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from typing_extensions import override


def product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product a @ b of (N, K) and (K, M), with gradients of every order."""
    return _Product.apply(a, b) if _gains(a, b) else a @ b


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, where (N, K) and (M, K) are large as such a product."""
    if input.ndim != 2 or weight.ndim != 2 or not _gains(input, weight.t()):
        return F.linear(input, weight, bias)
    result = _Product.apply(input, weight.t())
    return result if bias is None else result + bias


def _gains(a: Tensor, b: Tensor) -> bool:
    """Whether a product is so large that the way to oneDNN is short beside it, and of a kind that is known there."""
    if a.shape[1] != b.shape[0] or len(a) * b.numel() < _LARGE or not _HAS_ONEDNN or torch.is_autocast_enabled("cpu"):
        return False
    return all(
        x.dtype == torch.float32 and x.device.type == "cpu" and x.layout == torch.strided and type(x) in _KINDS
        for x in (a, b)
    )


class _Product(Function):
    """a @ b, whose derivatives are such products again."""

    @staticmethod
    @override
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, Tensor | None]:
        (a, b), (gradient,) = ctx.saved_tensors, gradients
        of_a, of_b = wanted(ctx)
        return _product_like(a, gradient, b.t()) if of_a else None, _product_like(b, a.t(), gradient) if of_b else None

    @staticmethod
    @override
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (a, b), (of_a, of_b) = ctx.saved_tensors, tangents
        if of_a is None or of_b is None:
            return a @ of_b if of_a is None else of_a @ b
        return of_a @ b + a @ of_b

    @staticmethod
    @override
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        a, b = (x if dim is None else x.movedim(dim, 0) for x, dim in zip(inputs, in_dims, strict=True))
        return a @ b, 0


def wanted(ctx: Any) -> Sequence[bool]:
    """Whose gradients the backward pass under way is for; `needs_input_grad` tells whose any pass might be for."""
    try:
        return [node is not None and torch._C._will_engine_execute_node(node) for node, _ in ctx.next_functions]
    except (AttributeError, RuntimeError):  # it is not told of a leaf in `torch.autograd.grad`
        return ctx.needs_input_grad


def _product_like(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a @ b in the layout of x, so that a gradient lies as the weight that it is added to."""
    return product(b.t(), a.t()).t() if x.t().is_contiguous() else product(a, b)


LARGE_WEIGHT = 2**16
"""The entries of a weight from which on a batch makes a large product of it."""

_LARGE = 2**22  # N * K * M
_KINDS = (Tensor, nn.Parameter)
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

"""What the last operations of a network say about its output: read off the graph, or measured.

The range that an output can have decides how it is read: a D that ends in a Sigmoid returns probabilities, a G that
ends in a Tanh makes images in [-1, 1], and a Q that ends in an exponential has no log-scale to offer.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Interval = tuple[float, float]

_ALL: Interval = (-math.inf, math.inf)
_POSITIVE: Interval = (0.0, math.inf)
_NEGATIVE: Interval = (-math.inf, 0.0)


class Operation(NamedTuple):
    """The operation that made a number.

    Attributes:
        name: As in torch, "Sigmoid"; the name of its node in the graph for one that is not known here.
        reach: The values that it can return; None if that is not known.
        is_shifted: Whether constants were added or multiplied after it, so that `reach` is that of before.
    """

    name: str
    reach: Interval | None
    is_shifted: bool = False


_REACH: dict[str, tuple[str, Interval]] = {
    "tanh": ("Tanh", (-1.0, 1.0)),
    "hardsigmoid": ("Hardsigmoid", (0.0, 1.0)),
    "sigmoid": ("Sigmoid", (0.0, 1.0)),
    "logsigmoid": ("LogSigmoid", _NEGATIVE),
    "logsoftmax": ("LogSoftmax", _NEGATIVE),
    "softmax": ("Softmax", (0.0, 1.0)),
    "softplus": ("Softplus", _POSITIVE),
    "relu": ("ReLU", _POSITIVE),
    "threshold": ("ReLU", _POSITIVE),
    "exp": ("exp", _POSITIVE),
    "sqrt": ("sqrt", _POSITIVE),
    "abs": ("abs", _POSITIVE),
} | dict.fromkeys(
    ("addmm", "addmv", "addbmm", "baddbmm", "mm", "mv", "bmm", "dot", "linear", "convolution", "mkldnnlinear"),
    ("a linear layer", _ALL),
)

_PICKING = ("Select", "Slice", "Split", "Narrow", "Index")

_RESHAPING = (
    *("View", "Reshape", "Unsafe", "Squeeze", "Unsqueeze", "Alias", "Permute", "Transpose", "ToCopy", "Clone"),
    *("TBackward", *_PICKING),
)

_POOLING = (
    *("Mean", "AvgPool", "AdaptiveAvgPool", "MaxPool", "AdaptiveMaxPool", "Upsample"),
    *("MaxBackward", "MinBackward", "Amax", "Amin", "Gather"),
)
"""Operations whose results lie within the values that they read, of several columns."""

_SHIFTING = ("Add", "Sub", "Rsub", "Mul", "Div", "Neg", "Sum", "Logsumexp")


def final_operation(output: Tensor) -> Operation:
    """The operation that made an output, behind any reshaping, pooling, shifting and scaling, and clamping.

    A clamp to one side of zero, such as ``clamp(0, 1)``, is itself that operation where it bounds a linear layer.
    """
    return _operation(output.grad_fn)


def column_operations(output: Tensor) -> list[Operation]:
    """The operation that made each column of an output (N, *) when it is flattened to (N, R)."""
    flat = output.flatten(1)
    operations = _columns(flat.grad_fn)
    return operations * flat.shape[1] if len(operations) == 1 else operations


def reachable_interval(output: Tensor) -> Interval | None:
    """The range of a network's output where its last operations tell: a Tanh, Sigmoid or clamp, also shifted or scaled.

    None where it is not bounded, or not known.
    """
    node: Any = output.grad_fn
    clamped, shifted = _ALL, False
    while _named(node, ("Clamp", *_RESHAPING, *_POOLING, *_SHIFTING)):
        if _named(node, ("Clamp",)) and not shifted:
            low, high = _clamp_bounds(node)
            clamped = max(low, clamped[0]), min(high, clamped[1])
        shifted = shifted or _named(node, _SHIFTING)
        node = _only_input(node)
    low, high = _bounds(node)
    if shifted:
        scale, shift = _affine_fit(getattr(node, "_saved_result", None), output.detach())
        low, high = sorted((scale * low + shift, scale * high + shift)) if scale else _ALL
    low, high = max(low, clamped[0]), min(high, clamped[1])
    return (round(low, 3) + 0.0, round(high, 3) + 0.0) if math.isfinite(low) and math.isfinite(high) else None


@torch.no_grad()
def probed_outputs(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """A network's outputs for random images like the given ones, from small values to very large ones.

    They are those for the given batch alone if the network does not take random images.
    """
    rng, n = torch.Generator().manual_seed(0), len(images)
    random = torch.rand(-(-8 // n) * n, *images.shape[1:], generator=rng) * 2 - 1
    scaled = torch.cat([random * scale for scale in (1, -1, 10, -10, 1000, -1000)]).to(images)
    try:
        return torch.cat([network(batch) for batch in scaled.split(n)])
    except Exception:  # it may read its input as an index
        return network(images)


def measured_interval(outputs: Tensor) -> Interval:
    """The lowest and highest finite number of an output."""
    finite = outputs[outputs.isfinite()].double()
    return (finite.min().item(), finite.max().item()) if finite.numel() else _ALL


def measured_range(network: Callable[[Tensor], Tensor], inputs: Tensor) -> Interval | None:
    """(0, 1) or (-1, 1) where a network's outputs for inputs up to very large ones fill it and do not leave it."""
    ends = torch.tensor(measured_interval(probed_outputs(network, inputs)))
    ranges: tuple[Interval, ...] = ((0.0, 1.0), (-1.0, 1.0))
    return next((range_ for range_ in ranges if torch.allclose(ends, torch.tensor(range_), rtol=0, atol=2e-3)), None)


def _operation(node: Any) -> Operation:
    shifted = False
    while node is not None:
        known = _REACH.get(_kind(node))
        if known is not None:
            return Operation(*known, shifted)
        if _named(node, _SHIFTING):
            if _named(node, ("Div",)) and node.next_functions[0][0] is None:
                return Operation(node.name(), None)  # divided by, not into
            shifted = True
            inputs = _inputs(node)
            if len(inputs) > 1:
                unbounded = _named(node, ("Add", "Sub")) and any(_operation(child).reach == _ALL for child in inputs)
                return Operation("a sum of layers", _ALL) if unbounded else Operation(node.name(), None)
            node = _only_input(node)
        elif _named(node, ("Clamp",)):
            inside = _clamped(_operation(_only_input(node)), node)
            return inside._replace(is_shifted=inside.is_shifted or shifted)
        elif _named(node, (*_RESHAPING, *_POOLING)):
            node = _only_input(node)
        else:
            return Operation(node.name(), None, shifted)
    return Operation("nothing", None, shifted)


def _columns(node: Any) -> list[Operation]:
    """The operation of each column, or one for all of them."""
    if _named(node, ("Clamp",)):
        return [_clamped(operation, node) for operation in _columns(_only_input(node))]
    if _named(node, _RESHAPING):
        inside = _columns(_only_input(node))
        is_mixed = _named(node, _PICKING) and len(set(inside)) > 1
        return [Operation(node.name(), None)] if is_mixed else inside
    is_joined = _named(node, ("Cat",)) or (_named(node, ("Stack",)) and getattr(node, "_saved_dim", None) == 1)
    if not is_joined:
        return [_operation(node)]
    columns: list[Operation] = []
    for child, index in node.next_functions:
        if child is None:
            return [Operation(node.name(), None)]
        operations, shape = _columns(child), child._input_metadata[index].shape
        width = math.prod(shape[1:])
        columns += operations * width if len(operations) == 1 else operations
    return columns


def _kind(node: Any) -> str:
    """A node's name without what autograd adds: "sigmoid" of "SigmoidBackward0"."""
    return node.name().partition("Backward")[0].rpartition(":")[2].lstrip("_").lower()


def _named(node: Any, names: tuple[str, ...]) -> bool:
    return node is not None and node.name().lstrip("_").startswith(names) and _kind(node) not in _REACH


def _inputs(node: Any) -> list[Any]:
    return [child for child, _ in node.next_functions if child is not None]


def _only_input(node: Any) -> Any:
    """What a node reads; None where it reads nothing with a graph, or several things."""
    inputs = _inputs(node)
    return inputs[0] if len(inputs) == 1 else None


def _clamped(inside: Operation, clamp: Any) -> Operation:
    """An operation behind a clamp, which counts where it leaves a linear layer one side of zero."""
    low, high = _clamp_bounds(clamp)
    return Operation("clamp", (low, high)) if inside.reach == _ALL and (low >= 0 or high <= 0) else inside


def _clamp_bounds(node: Any) -> Interval:
    """The ends of a clamp; infinite where it has none, or Tensors in their place."""
    return (
        _number(getattr(node, "_saved_min", None), -math.inf),
        _number(getattr(node, "_saved_max", None), math.inf),
    )


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise


def _bounds(node: Any) -> Interval:
    if node is not None and _kind(node) == "hardtanh":
        return float(node._saved_min_val), float(node._saved_max_val)
    bounded = node is not None and _kind(node) in ("tanh", "sigmoid", "hardsigmoid")
    return _REACH[_kind(node)][1] if bounded else _ALL


def _affine_fit(x: Any, y: Tensor) -> tuple[float, float]:
    """The a and b of y = a x + b; zeros where that does not hold."""
    if not isinstance(x, Tensor) or x.numel() != y.numel():
        return 0.0, 0.0
    x, y = x.detach().flatten().double(), y.flatten().double()
    spread = x - x.mean()
    scale = (spread * y).sum() / spread.square().sum().clamp(min=1e-12)
    shift = y.mean() - scale * x.mean()
    fits = torch.allclose(scale * x + shift, y, rtol=1e-3, atol=1e-3 * float(scale.abs()))
    return (scale.item(), shift.item()) if fits else (0.0, 0.0)

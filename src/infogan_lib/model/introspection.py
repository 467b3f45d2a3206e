"""What can be read off a module or off the graph of its output, without changing either."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn


def reached(output: Tensor) -> set[int]:
    """The ids of all parameters that an output's graph leads to."""
    found: set[int] = set()
    seen, queue = set(), [output.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        queue.extend(next_node for next_node, _ in node.next_functions)
    return found


def final_activation(output: Tensor) -> Literal["tanh", "sigmoid", "softmax"] | None:
    """The activation that made this output, read off its graph behind any reshaping, clamping or averaging."""
    node = output.grad_fn
    while node is not None and node.name().startswith(_RESHAPING):
        node = node.next_functions[0][0]
    name = node.name() if node is not None else ""
    for activation in ("tanh", "sigmoid", "softmax"):
        if name.lower().startswith(f"{activation}backward"):
            return activation
    return None


_RESHAPING = (
    *("View", "Reshape", "Unsafe", "Squeeze", "Unsqueeze", "Alias", "Permute", "Transpose", "ToCopy", "Clone"),
    *("Select", "Slice", "Split", "Narrow", "Index", "Clamp", "Mean"),
)


def placement(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and floating dtype of a module's first parameter or buffer; CPU and the default without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()


@contextmanager
def dry_run(*modules: nn.Module) -> Iterator[None]:
    """Run modules in eval mode, with a graph, and leave their modes and torch's random state as they were."""
    on_cuda = [device for device in (placement(module)[0] for module in modules) if device.type == "cuda"]
    used = {torch.cuda.current_device() if device.index is None else device.index for device in on_cuda}
    with (
        torch.enable_grad(),
        torch.random.fork_rng(devices=sorted(used)),
        eval_mode(*modules),
    ):
        yield


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Put modules into eval mode and give every submodule its own mode back."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def has_batch_norm(model: nn.Module) -> bool:
    """Whether any of its layers looks at a batch as a whole, and so needs more than one sample."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())

"""What can be read off a module or off the graph of its output, without changing either."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from infogan_lib._checks import describe, join_names
from infogan_lib.data.rng import preserve_rng

Part = Literal["generator", "trunk", "d_head", "q_head"]


class SharedNames(NamedTuple):
    """The names of D's parameters that Q reads through: those that also make the validity, and those that do not."""

    trunk: frozenset[str]
    q_only: frozenset[str]


def parameters_read_by_q(discriminator: nn.Module, logits: Tensor, q_outputs: Tensor) -> SharedNames:
    """Which of D's parameters Q's outputs depend on, read off the graphs of one forward pass."""
    names = {id(parameter): name for name, parameter in discriminator.named_parameters()}
    judging, reading = (
        frozenset(names[i] for i in reachable_parameters(output) if i in names) for output in (logits, q_outputs)
    )
    return SharedNames(trunk=reading & judging, q_only=reading - judging)


def group_parameters(
    generator: nn.Module, discriminator: nn.Module, q: nn.Module | None, shared: SharedNames, *, frozen: bool = False
) -> dict[Part, list[nn.Parameter]]:
    """All trainable parameters by part, and with `frozen` the others as well; see `InfoGAN.parameter_groups`."""

    def wanted(parameter: nn.Parameter) -> bool:
        return parameter.requires_grad or (frozen and parameter.is_floating_point())

    of_d = [(name, p) for name, p in discriminator.named_parameters() if wanted(p)]
    of_q = [] if q is None else [p for p in q.parameters() if wanted(p)]
    return {
        "generator": [p for p in generator.parameters() if wanted(p)],
        "trunk": [p for name, p in of_d if name in shared.trunk],
        "d_head": [p for name, p in of_d if name not in shared.trunk | shared.q_only],
        "q_head": of_q + [p for name, p in of_d if name in shared.q_only],
    }


def reachable_parameters(output: Tensor) -> set[int]:
    """The ids of all parameters that an output's graph leads to."""
    ids: set[int] = set()
    visited, queue = set(), [output.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            ids.add(id(variable))
        queue.extend(next_node for next_node, _ in node.next_functions)
    return ids


def describe_output(value: object) -> str:
    """What a network returned, in an error message: shapes, and names where it has some."""
    if isinstance(value, Tensor):
        return f"a Tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of " + join_names(value)
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of " + (", ".join(map(describe_output, value)) or "nothing")
    return describe(value)


def apply_reader(name: str, reader: Callable[[Any], Any] | None, returned: Any, network: str) -> Any:
    """What a function of the user's makes of what a network returned, in a dry run; that itself without a function.

    Raises ValueError, calling the function and the network by these names, if it fails.
    """
    try:
        return returned if reader is None else reader(returned)
    except Exception as error:  # whatever a user's function raises belongs in the message
        raise ValueError(
            f"{name} failed on {describe_output(returned)}, which {network} returned: {type(error).__name__}: {error}"
        ) from error


def device_and_dtype(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and dtype of a module's first floating parameter or buffer; CPU and torch's default without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64; MPS does not, nor does every XPU."""
    if device.type == "xpu":
        return bool(torch.xpu.get_device_capability(device).get("has_fp64", False))
    return device.type != "mps"


def widest_float(device: torch.device) -> torch.dtype:
    """The floating type with the most digits that a device computes in."""
    return torch.float64 if has_float64(device) else torch.float32


@contextmanager
def dry_run(*modules: nn.Module | None) -> Iterator[None]:
    """Run modules in eval mode, with a graph and as written; modes and random states are restored afterwards."""
    with ExitStack() as stack:
        for device in {device_and_dtype(module)[0] for module in modules if module is not None}:
            stack.enter_context(preserve_rng(device))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(eval_mode(*modules))
        stack.enter_context(eager())
        yield


def eager() -> AbstractContextManager[object]:
    """Run compiled modules as they are written: their operations are seen, and nothing is compiled for one batch."""
    # Importing the compiler takes a second; without it there are no compiled modules.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def eval_mode(*modules: nn.Module | None) -> AbstractContextManager[None]:
    """Run modules in eval mode; afterwards every submodule is in its own mode again."""
    return set_mode(*modules, training=False)


@contextmanager
def restored_buffers(module: nn.Module) -> Iterator[None]:
    """Restore all buffers afterwards: some layers count their calls or track statistics, in eval mode too."""
    before = [(m, name, b, b.clone()) for m in module.modules() for name, b in m._buffers.items() if b is not None]
    try:
        yield
    finally:
        for owner, name, buffer, copy in before:
            owner._buffers[name] = buffer
            if not torch.equal(buffer, copy):  # one that shares its memory cannot be written to
                with torch.no_grad():
                    buffer.copy_(copy)


@contextmanager
def set_mode(*modules: nn.Module | None, training: bool) -> Iterator[None]:
    """Run modules in training or in eval mode; afterwards every submodule is in its own mode again."""
    modes = [(part, part.training) for module in modules if module is not None for part in module.modules()]
    try:
        try:
            for part, _ in modes:
                part.training = training
            yield
        finally:
            _restore_modes(modes)
    finally:  # again, as an interrupt may have ended the first
        _restore_modes(modes)


def _restore_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    for part, was_training in modes:
        part.training = was_training


def train_unfrozen(module: nn.Module) -> None:
    """Put a module into training mode, except for its frozen parts: those whose parameters require no gradients."""
    parameters = [*module.parameters()]
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return
    module.training = True
    for child in module.children():
        train_unfrozen(child)


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a module has BatchNorm layers, which need more than one sample in training."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())

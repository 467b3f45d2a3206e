"""The training step as a graph: which steps share one, which tensors they write, and what cannot be captured.

Latents, both updates, the average and the row of metrics are in the graph. The copy for a rollback, schedules of rates
and the transfer of the row are not: they run before and after it, as in a plain step. On CUDA it is a CUDA graph, and
on the CPU a graph of operators.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Optimizer, RMSprop
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib._warnings import warn
from infogan_lib.data.labels import Batch, batch_of, tensors_of
from infogan_lib.data.rng import RandomStreams
from infogan_lib.networks.tap import FeatureHook
from infogan_lib.regularizers.base import is_function
from infogan_lib.step.cpu_graph import CpuCapture
from infogan_lib.step.graph import Capture, CaptureError, CudaCapture, Graphs
from infogan_lib.step.metrics import Row

if TYPE_CHECKING:
    from infogan_lib.step.step import InfoGANStep


class StepKind(NamedTuple):
    """What decides what a step does, besides the batch and the tensors that it writes. Steps of a kind share a graph.

    Attributes:
        batch: Shape and dtype of each tensor of the batch.
        updates: Whether G is updated, and which priors follow the real images.
        terms: The settings of the losses, of the loss scale, of the augmentations, and of the regularizers that the
            step has, with the functions that these call.
        frozen_parts: Which parameters require gradients.
        layers: The plain attributes of all modules, such as their mode and a rate of Dropout, what their `forward` is,
            and their hooks and those of their parameters.
        optimizers: The settings of the optimizers, without the rates that schedules change, and their hooks.
    """

    batch: tuple[Any, ...]
    updates: tuple[Any, ...]
    terms: tuple[Any, ...]
    frozen_parts: tuple[bool, ...]
    layers: tuple[Any, ...]
    optimizers: tuple[Any, ...]


class StepGraphs:
    """The graphs of a trainer's steps; one that cannot be captured is an error (True) or a plain step ("auto")."""

    def __init__(self, step: "InfoGANStep", capture: Capture, choice: Literal[True, "auto"]) -> None:
        self._step, self._choice = step, choice
        self._optimizers = [*step.d_optimizers, *step.g_optimizers]
        self._failure: CaptureError | None = None
        self._modules: list[nn.Module] = []
        self._plain: list[tuple[dict[str, Any], str]] = []  # the plain attributes, and what they were
        self._values: list[Any] = []
        self._found: tuple[Any, ...] = ()
        self._sizes: list[int] = []
        self._find_modules()
        device = next(step.model.parameters()).device
        # Fused optimizers of CUDA read rates in float32.
        dtype = torch.float32 if device.type == "cuda" else torch.float64
        scheduled = [id(group) for scheduler in step.schedulers for group in scheduler.optimizer.param_groups]
        self._rates = {
            number: torch.zeros((), dtype=dtype, device=device)
            for number, group in enumerate(self._groups)
            if id(group) in scheduled and not isinstance(group["lr"], Tensor)
        }
        self._graphs = Graphs(capture, self._state, self._capturing)

    @property
    def captured(self) -> int:
        """How many graphs were captured."""
        return self._graphs.captured

    def __call__(self, compute: Callable[[Any], Row], real: Batch) -> Row:
        """The row of a step on a batch, computed or replayed. Raises CaptureError if the step cannot be captured."""
        groups = self._groups
        if self._failure is not None:
            raise self._failure
        for number, rate in self._rates.items():
            rate.fill_(groups[number]["lr"])
        return self._graphs(lambda tensors: compute(batch_of(tensors)), tensors_of(real), self._kind(real))

    def look_again(self) -> None:
        """Drop the graphs if a module of the model has been put in the place of another one."""
        before = self._modules
        self._find_modules()
        if [*map(id, before)] != [*map(id, self._modules)]:
            self._graphs.drop()

    def _find_modules(self) -> None:
        self._modules = [*self._step.model.modules(), *self._step.networks.modules()]
        self._find_attributes()

    def _find_attributes(self) -> None:
        attributes = [*map(vars, self._modules)]
        self._sizes = [*map(len, attributes)]
        self._plain = [(items, name) for items in attributes for name, v in items.items() if isinstance(v, _TRACKED)]

    def _attributes(self) -> tuple[Any, ...]:
        """The plain attributes of all modules, also those that they have got since the last step."""
        if [*map(len, map(vars, self._modules))] != self._sizes:
            self._find_attributes()
        values = [attributes.get(name) for attributes, name in self._plain]
        if len(values) != len(self._values) or not all(map(is_, values, self._values)):
            self._values, self._found = values, tuple(map(_plain, values))
        return self._found

    def give_up(self, error: CaptureError) -> None:
        """Say why no step is captured from now on. Raises RuntimeError if that was asked for."""
        self._failure = error
        _refuse(self._choice, RuntimeError, str(error), error)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all optimizers; those of one that has loaded a state are others."""
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def _kind(self, real: Batch) -> StepKind:
        step = self._step
        trains_g = (step.count + 1) % step.d_steps == 0
        settings = [
            (name, value)
            for number, group in enumerate(self._groups)
            for name, value in group.items()
            if isinstance(value, _TRACKED) and not (name == "lr" and number in self._rates)
        ]
        return StepKind(
            tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(real)),
            (trains_g, *step.model.priors.which_are_due(step.count)),
            (
                *_settings(step.adversarial),
                *_settings(step.precision.scaler),
                *map(_settings, step.augmentations),
                *((id(r), _settings(r)) for r in step.due),
            ),
            tuple(p.requires_grad for m in self._modules for p in m._parameters.values() if p is not None),
            (self._attributes(), *map(_calls, self._modules)),
            (*settings, *(hook for optimizer in self._optimizers for hook in _hooks_of(optimizer))),
        )

    def _state(self) -> list[Tensor]:
        """All tensors that a step reads or writes where they are."""
        step = self._step
        held: list[Any] = [t for m in self._modules for t in (*m._parameters.values(), *m._buffers.values())]
        states = [state for o in self._optimizers for state in o.state.values() if isinstance(state, dict)]
        for part in (*states, *self._groups, vars(step.precision.scaler), *(vars(term) for term in step.regularizers)):
            held += part.values()
        return [tensor for tensor in held if isinstance(tensor, Tensor)]

    @contextmanager
    def _capturing(self) -> Iterator[None]:
        """Optimizers as they are captured: with rates that are tensors where schedules change them."""
        groups = self._groups
        before = [{name: group[name] for name in ("lr", "capturable") if name in group} for group in groups]
        try:
            for number, rate in self._rates.items():
                groups[number]["lr"] = rate
            for group in groups:
                if "capturable" in group:
                    group["capturable"] = True
            yield
        finally:
            for group, settings in zip(groups, before, strict=True):
                group.update(settings)


def step_graphs(step: "InfoGANStep", streams: RandomStreams) -> StepGraphs | None:
    """The graphs of a trainer's steps; None where there are none, with a warning if they were wanted.

    Raises ValueError if they are asked for where steps cannot be captured.
    """
    choice = step.engine.graph
    if choice is False:
        return None
    device = next(step.model.parameters()).device
    if (reason := _obstacle(step, device)) is not None:
        _refuse(choice, ValueError, reason)
        return None
    rngs = [streams[name] for name in streams.state_dict()]
    return StepGraphs(step, CpuCapture(rngs) if device.type == "cpu" else CudaCapture(device, rngs), choice)


def _obstacle(step: "InfoGANStep", device: torch.device) -> str | None:
    """Why steps cannot be captured, as far as it is known before there is one; None where they can."""
    if device.type not in ("cuda", "cpu"):
        return f"the device is {str(device)!r}, neither CUDA nor the CPU"
    if step.processes.world_size > 1:
        return "several processes train together"
    if step.engine.compile:
        return "engine.compile is True, and compiled networks are not captured"
    scheduled = [scheduler.optimizer for scheduler in step.schedulers]
    for optimizer in (*step.d_optimizers, *step.g_optimizers):
        if not _is_capturable(optimizer):
            how = "capturable=True or fused=True" if device.type == "cuda" else "fused=True"
            return f"{describe(optimizer)} counts steps on the host; make it with {how}"
        if optimizer in scheduled and isinstance(optimizer, (SGD, RMSprop, Adadelta)) and not _is_fused(optimizer):
            return f"{describe(optimizer)} reads a schedule's rates on the host; make it with fused=True, or take Adam"
        if step.precision.scaler.is_enabled() and not getattr(optimizer, "_step_supports_amp_scaling", False):
            return f"{describe(optimizer)} waits for the device in fp16; make it with fused=True"
    return None


def _is_capturable(optimizer: Optimizer) -> bool:
    """Whether an optimizer says so, or is one of torch's that keeps all it changes on the device."""
    groups = optimizer.param_groups
    is_of_torch = type(optimizer).__module__.startswith("torch.optim.")
    on_device = type(optimizer) is SGD or _is_fused(optimizer)
    return all(group.get("capturable") for group in groups) or (is_of_torch and on_device)


def _is_fused(optimizer: Optimizer) -> bool:
    return all(group.get("fused") for group in optimizer.param_groups)


def _refuse(choice: object, error: type[Exception], reason: str, cause: Exception | None = None) -> None:
    """Raise an error that says why steps are not captured, or warn where that is left to the library."""
    if choice is True:
        raise error(f"engine.graph must be False or 'auto' here, but got True: {reason}") from cause
    warn(f"engine.graph is 'auto', and steps are not captured as graphs: {reason}")


def _calls(module: nn.Module) -> tuple[Any, ...]:
    """What a call of a module runs: its `forward`, which may be replaced, and its hooks, without the tap's."""
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    of_others = (hook for kind in hooks for hook in kind.values() if not isinstance(hook, FeatureHook))
    of_parameters = (hook for p in module._parameters.values() if p is not None for hook in _hooks_of(p))
    return (getattr(module.forward, "__func__", module.forward), *of_others, *of_parameters)


def _hooks_of(part: object) -> list[Any]:
    """The hooks of a parameter or an optimizer."""
    names = "_backward_hooks", "_post_accumulate_grad_hooks", "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"
    return [hook for name in names for hook in (getattr(part, name, None) or {}).values()]


_PLAIN = (bool, int, float, str, np.generic, type(None))
_TRACKED = (*_PLAIN, tuple)


def _plain(value: Any) -> Any:
    """An attribute's value; the class of one that is not plain, which may be another object in each step."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value if isinstance(value, _PLAIN) else type(value)


class _Same:
    """An object by its identity, which no other one has as long as this is kept."""

    def __init__(self, value: object) -> None:
        self.value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    @override
    def __hash__(self) -> int:
        return id(self.value)


def _settings(part: object, depth: int = 3) -> tuple[Any, ...]:
    """The names and values of an object's plain attributes, and of the functions and their settings among the others.

    The library's own objects keep what changes in a step apart.
    """
    is_own = type(part).__module__.startswith("infogan_lib.")
    items = enumerate(part) if isinstance(part, (list, tuple)) else getattr(part, "__dict__", {}).items()
    found: list[Any] = []
    for name, value in items:
        if is_own and str(name).startswith("_"):
            continue
        if isinstance(value, _PLAIN):
            found.append((name, value))
        elif depth > 0 and is_function(value):
            found.append((name, _Same(value), *_settings(value, depth - 1)))
        elif depth > 0 and isinstance(value, (list, tuple)):
            found.append((name, *_settings(value, depth - 1)))
    return tuple(found)

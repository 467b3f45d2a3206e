"""Copies of all that a step changes, so that it can be rolled back."""

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infogan_lib.checkpoints.state import Stateful, clone


class Snapshot:
    """Copies of all that a step changes, in memory that is kept from step to step.

    Args:
        modules: Modules whose buffers are copied.
        optimizers: Optimizers that are copied with what they update.
        parts: Anything else with a state.
    """

    def __init__(
        self, modules: Sequence[nn.Module], optimizers: Sequence[Optimizer] = (), parts: Sequence[Stateful] = ()
    ) -> None:
        self._optimizers, self._parts = optimizers, parts
        self._with_buffers = [m for module in modules for m in module.modules() if m._buffers]
        self._with_extra_state = [m for module in modules for m in module.modules() if _has_extra_state(m)]
        # One that has a state beside `state` and `param_groups` restores it by itself.
        self._with_own_state = [o for o in optimizers if type(o).state_dict is not Optimizer.state_dict]
        updated = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        averages = [p for module in modules for p in module.parameters() if optimizers and not p.requires_grad]
        self._parameters = list({id(p): p for p in [*updated, *averages]}.values())
        self._tensors: list[Tensor] = []
        self._memory: list[Tensor] = []  # what each of them is held in
        self._copies: list[tuple[list[Tensor], list[Tensor]]] = []  # grouped by device and dtype, as torch copies them
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        self._states: list[tuple[dict[Any, Any], list[dict[str, Any]]]] = []
        self._extra_states: list[Any] = []
        self._own_states: list[Any] = []
        self._part_states: list[Any] = []

    @torch.no_grad()
    def take(self) -> None:
        """Copy everything."""
        self._buffers = [(m, name, b) for m in self._with_buffers for name, b in m._buffers.items() if b is not None]
        self._states = [
            (
                {p: _copy_moments(state) for p, state in optimizer.state.items()},
                [_copy_group(group) for group in optimizer.param_groups],
            )
            for optimizer in self._optimizers
        ]
        self._extra_states = [clone(module.get_extra_state()) for module in self._with_extra_state]
        self._own_states = [clone(optimizer.state_dict()) for optimizer in self._with_own_state]
        self._part_states = [clone(part.state_dict()) for part in self._parts]
        # An expanded tensor shares its memory with itself; nothing can write into it, so a reference is enough.
        tensors = [*(buffer for _, _, buffer in self._buffers if not _is_expanded(buffer)), *self._parameters]
        for states, _ in self._states:
            moments = [state for state in states.values() if isinstance(state, dict)]
            tensors += [value for state in moments for value in state.values() if isinstance(value, Tensor)]
        has_these = len(tensors) == len(self._tensors) and all(map(is_, tensors, self._tensors))
        if has_these and not any(map(_has_moved, tensors, self._memory)):
            for group, copies in self._copies:
                torch._foreach_copy_(copies, group)  # pyright: ignore[reportPrivateImportUsage]
            return
        kinds: dict[Any, list[Tensor]] = {}
        self._memory = [tensor.detach() for tensor in tensors]
        for tensor in self._memory:
            kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        self._tensors, self._copies = tensors, [(group, [t.clone() for t in group]) for group in kinds.values()]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore everything."""
        for group, copies in self._copies:
            torch._foreach_copy_(group, copies)  # pyright: ignore[reportPrivateImportUsage]
        for tensor, memory in zip(self._tensors, self._memory, strict=True):
            if _has_moved(tensor, memory):
                tensor.data = memory
        for module, name, buffer in self._buffers:
            module._buffers[name] = buffer  # also where a forward pass has replaced it
        for optimizer, (states, groups) in zip(self._optimizers, self._states, strict=True):
            optimizer.state.clear()
            optimizer.state.update(states)
            for group, copy in zip(optimizer.param_groups, groups, strict=True):
                group.update(copy)
        for module, state in zip(self._with_extra_state, self._extra_states, strict=True):
            module.set_extra_state(clone(state))
        for optimizer, state in zip(self._with_own_state, self._own_states, strict=True):
            optimizer.load_state_dict(clone(state))
        for part, state in zip(self._parts, self._part_states, strict=True):
            part.load_state_dict(state)


def _has_extra_state(module: nn.Module) -> bool:
    own, base = type(module), nn.Module
    return own.get_extra_state is not base.get_extra_state and own.set_extra_state is not base.set_extra_state


def _has_moved(tensor: Tensor, memory: Tensor) -> bool:
    """Whether a tensor is held elsewhere now, as after ``parameter.data = ...``."""
    return tensor.data_ptr() != memory.data_ptr()


def _copy_moments(state: Any) -> Any:
    """What an optimizer keeps of a parameter; tensors by name are the same ones, as they are copied with all others."""
    if not isinstance(state, dict):
        return state
    return {name: value if isinstance(value, Tensor) else clone(value) for name, value in state.items()}


def _copy_group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group with what a scheduler or the optimizer may change in it."""
    return {name: value if name == "params" else clone(value) for name, value in group.items()}


def _is_expanded(tensor: Tensor) -> bool:
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))

"""Copies of all that a step changes, so that it can be rolled back."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Restorable(Protocol):
    """Anything with a state that a step changes."""

    def state_dict(self) -> Any:
        """Its state."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore a state."""
        ...


class Snapshot:
    """Copies of all that a step changes, in memory that is kept from step to step.

    Args:
        modules: modules whose buffers are copied.
        optimizers: optimizers that are copied with what they update.
        parts: anything else with a state.
    """

    def __init__(
        self, modules: Sequence[nn.Module], optimizers: Sequence[Optimizer] = (), parts: Sequence[Restorable] = ()
    ) -> None:
        self._optimizers, self._parts = optimizers, parts
        self._with_buffers = [m for module in modules for m in module.modules() if m._buffers]
        updated = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        averages = [p for module in modules for p in module.parameters() if optimizers and not p.requires_grad]
        self._parameters = list({id(p): p for p in [*updated, *averages]}.values())
        self._tensors: list[Tensor] = []
        self._copies: list[tuple[list[Tensor], list[Tensor]]] = []  # grouped by device and dtype, as torch copies them
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        self._states: list[tuple[dict[Any, dict[str, Any]], list[dict[str, Any]]]] = []
        self._part_states: list[Any] = []

    @torch.no_grad()
    def take(self) -> None:
        """Copy everything."""
        self._buffers = [(m, name, b) for m in self._with_buffers for name, b in m._buffers.items() if b is not None]
        self._states = [
            (
                {p: dict(state) for p, state in optimizer.state.items()},
                [_copy_group(group) for group in optimizer.param_groups],
            )
            for optimizer in self._optimizers
        ]
        self._part_states = [part.state_dict() for part in self._parts]
        # An expanded tensor shares its memory with itself; nothing can write into it, so a reference is enough.
        tensors = [*(buffer for _, _, buffer in self._buffers if not _is_expanded(buffer)), *self._parameters]
        for states, _ in self._states:
            tensors += [v for state in states.values() for v in state.values() if isinstance(v, Tensor)]
        if len(tensors) == len(self._tensors) and all(a is b for a, b in zip(tensors, self._tensors, strict=True)):
            for group, copies in self._copies:
                torch._foreach_copy_(copies, group)  # pyright: ignore[reportPrivateImportUsage]
            return
        kinds: dict[Any, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor.detach())
        self._tensors, self._copies = tensors, [(group, [t.clone() for t in group]) for group in kinds.values()]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore everything."""
        for group, copies in self._copies:
            torch._foreach_copy_(group, copies)  # pyright: ignore[reportPrivateImportUsage]
        for module, name, buffer in self._buffers:
            module._buffers[name] = buffer  # also where a forward pass has replaced it
        for optimizer, (states, groups) in zip(self._optimizers, self._states, strict=True):
            optimizer.state.clear()
            optimizer.state.update(states)
            for group, copy in zip(optimizer.param_groups, groups, strict=True):
                group.update(copy)
        for part, state in zip(self._parts, self._part_states, strict=True):
            part.load_state_dict(state)


def _copy_group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group with what a scheduler may change in it."""
    copy = dict(group)
    return copy | {name: value.clone() for name, value in copy.items() if isinstance(value, Tensor)}


def _is_expanded(tensor: Tensor) -> bool:
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))

"""Undoing a step: what it changes is copied before, and put back where it cannot be finished.

D is updated before G's loss is known, and BatchNorm takes in every forward pass. A step that has to stop in between
would leave D a step ahead, and its running statistics spoiled by whatever was not finite.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Undo:
    """Copies of tensors and optimisers, in memory that is kept from step to step."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._groups: list[tuple[list[Tensor], list[Tensor]]] = []  # of one kind each, which torch copies in one go
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        self._optimizers: list[tuple[Optimizer, dict[Any, dict[str, Any]]]] = []

    @torch.no_grad()
    def remember(self, model: nn.Module, parameters: Iterable[Tensor], optimizers: Sequence[Optimizer]) -> None:
        """Copy the model's buffers, these parameters, and the optimisers' state."""
        modules = model.modules()
        self._buffers = [(m, name, b) for m in modules for name, b in m._buffers.items() if b is not None]
        self._optimizers = [(o, {p: dict(state) for p, state in o.state.items()}) for o in optimizers]
        # What was expanded shares its memory with itself; nothing can write into it, so putting it back is enough.
        tensors = [*(buffer for _, _, buffer in self._buffers if not _is_expanded(buffer)), *parameters]
        for _, states in self._optimizers:
            tensors += [v for state in states.values() for v in state.values() if isinstance(v, Tensor)]
        if len(tensors) != len(self._tensors) or any(a is not b for a, b in zip(tensors, self._tensors, strict=True)):
            kinds: dict[Any, list[Tensor]] = {}
            for tensor in tensors:
                kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
            self._tensors, self._groups = tensors, [(group, [t.clone() for t in group]) for group in kinds.values()]
        else:
            for group, copies in self._groups:
                torch._foreach_copy_(copies, group)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def __call__(self) -> None:
        """Put everything back to what was remembered."""
        for group, copies in self._groups:
            torch._foreach_copy_(group, copies)  # pyright: ignore[reportPrivateImportUsage]
        for module, name, buffer in self._buffers:
            module._buffers[name] = buffer  # also where a forward pass put another tensor in its place
        for optimizer, states in self._optimizers:
            optimizer.state.clear()
            for parameter, state in states.items():
                optimizer.state[parameter] = state


def _is_expanded(tensor: Tensor) -> bool:
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))

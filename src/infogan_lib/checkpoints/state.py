"""The whole state of a run, put together of its parts, and put back all or nothing.

A part has `state_dict` and `load_state_dict`, as torch's modules and optimisers do. Loading checks names, shapes and
kinds before anything is changed; should a part still refuse, all parts are put back to what they were.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from infogan_lib.checkpoints.compare import check_names
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.safe_torch import Plain, plain


class Stateful(Protocol):
    """A part of a run's state."""

    def state_dict(self) -> Any:
        """The part's state."""
        ...

    def load_state_dict(self, state: Any, /) -> None:
        """Become what a state was taken of."""
        ...


class CheckedPart(ABC):
    """A part that can say whether a saved state fits before anything is changed."""

    @abstractmethod
    def check(self, path: Path, state: Any) -> None:
        """Raise CheckpointError unless the state fits; `path` is where it comes from."""


class RunState:
    """Named parts as one state.

    Args:
        **parts: the parts; each is named in a checkpoint as it is here.
    """

    def __init__(self, **parts: Stateful) -> None:
        self._parts = parts

    def state_dict(self) -> Plain:
        """All parts' states as plain data on the CPU. It may share memory with them, so it is to be written at once."""
        return plain({name: part.state_dict() for name, part in self._parts.items()})

    def load(self, path: Path, state: Any) -> None:
        """Put every part back to a saved state.

        Args:
            path: where the state comes from, for messages.
            state: as `state_dict` gave it.

        Raises:
            CheckpointError: a part missing, unknown or not fitting; everything is then as it was before.
        """
        check_names(path, "state", state, self._parts)
        for name, part in self._parts.items():
            if isinstance(part, CheckedPart):
                part.check(path, state[name])
        before = _copied(self.state_dict())
        done: list[str] = []
        try:
            for name, part in self._parts.items():
                done.append(name)
                part.load_state_dict(state[name])
        except Exception as error:
            for name in done:
                self._parts[name].load_state_dict(before[name])
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(path, f"its {done[-1]} does not fit this trainer or its data: {error}") from error


def _copied(state: Any) -> Any:
    """A copy whose tensors share nothing with the parts they came from."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(map(_copied, state))
    return state


class OptimizerState(CheckedPart):
    """The optimisers, in their order, D's first.

    Args:
        optimizers: all that a run has.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers

    def state_dict(self) -> list[dict[str, Any]]:
        """Each optimiser's state."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    @override
    def check(self, path: Path, state: Any) -> None:
        """Raise CheckpointError unless there are as many optimisers, with as many parameters in their groups."""
        sizes = [_group_sizes(optimizer.state_dict()) for optimizer in self._optimizers]
        try:
            saved = [_group_sizes(each) for each in state]
        except (TypeError, KeyError, IndexError) as error:
            raise CheckpointError(path, "it holds no state of optimisers") from error
        if saved != sizes:
            raise CheckpointError(
                path,
                f"its optimisers hold groups of {saved} parameters, and those of this trainer {sizes}; use the same "
                "optimisers and the same frozen parameters",
            )

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Take over moments and settings, each tensor in the precision it was saved in."""
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for number, of in state["state"].items():
                mine = optimizer.state[parameters[number]]
                for key, value in of.items():
                    # torch casts what it loads to the parameter's dtype; a moment kept in another one would change.
                    if isinstance(value, Tensor) and mine[key].dtype != value.dtype:
                        mine[key] = value.to(mine[key].device)

    def with_own_settings(self, path: Path, state: dict[str, Any]) -> dict[str, Any]:
        """A run's state in which the optimisers keep the rates they have now, for a branch that changes them."""
        self.check(path, state.get("optimizers"))
        kept = []
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            own = optimizer.state_dict()["param_groups"]
            kept.append({"state": saved["state"], "param_groups": own})
        return state | {"optimizers": kept}


def _group_sizes(state: dict[str, Any]) -> list[int]:
    return [len(group["params"]) for group in state["param_groups"]]


class ListState:
    """Several parts of one kind, in their order.

    Args:
        parts: the parts; their classes tell them apart.
    """

    def __init__(self, parts: Sequence[Stateful]) -> None:
        self._parts = parts
        self._names = [type(part).__name__ for part in parts]

    def state_dict(self) -> list[list[Any]]:
        """The name and the state of each."""
        return [[name, part.state_dict()] for name, part in zip(self._names, self._parts, strict=True)]

    def load_state_dict(self, states: Sequence[Sequence[Any]]) -> None:
        """Give each its state back."""
        saved = [name for name, _ in states]
        if saved != self._names:
            here = self._names or "none"
            raise ValueError(
                f"it was saved with {saved or 'none'}, and here are {here}; give the same, in the same order"
            )
        for part, (_, state) in zip(self._parts, states, strict=True):
            part.load_state_dict(state)

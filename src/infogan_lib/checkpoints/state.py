"""The whole state of a run, made of its parts, and loaded all or nothing.

A part has `state_dict` and `load_state_dict`, as torch's modules and optimizers do. Names, shapes and kinds are checked
before anything is changed; if a part still refuses its state, all parts are restored to what they were.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from infogan_lib.checkpoints.compare import check_names
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.tensor_file import to_plain_data


class Stateful(Protocol):
    """A part of a run's state."""

    def state_dict(self) -> Any:
        """The part's state."""
        ...

    def load_state_dict(self, state: Any, /) -> None:
        """Restore a state that `state_dict` returned."""
        ...


class Checkable(ABC):
    """A part that can tell whether a saved state fits before anything is changed."""

    @abstractmethod
    def check(self, path: Path, state: Any) -> None:
        """Check that a state fits.

        Args:
            path: where it was saved, for messages.
            state: the saved state.

        Raises:
            CheckpointError: it does not.
        """


class CompositeState:
    """Named parts as one state.

    Args:
        **parts: the parts; their names are those in a checkpoint.
    """

    def __init__(self, **parts: Stateful) -> None:
        self._parts = parts

    def state_dict(self) -> Any:
        """The states of all parts as plain data on the CPU, which may share memory with them: write it at once."""
        return to_plain_data({name: part.state_dict() for name, part in self._parts.items()})

    def load(self, path: Path, state: Any) -> None:
        """Restore a saved state.

        Args:
            path: where it was saved, for messages.
            state: as `state_dict` returned it.

        Raises:
            CheckpointError: a part that is missing, unknown or does not fit; nothing is changed then.
        """
        check_names(path, "state", state, self._parts)
        for name, part in self._parts.items():
            if isinstance(part, Checkable):
                part.check(path, state[name])
        before = _clone(self.state_dict())
        loaded: list[str] = []
        try:
            for name, part in self._parts.items():
                loaded.append(name)
                part.load_state_dict(state[name])
        except Exception as error:
            for name in loaded:
                self._parts[name].load_state_dict(before[name])
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(path, f"its {loaded[-1]} does not fit this trainer or its data: {error}") from error


def _clone(state: Any) -> Any:
    """A copy whose tensors share no memory with the original."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _clone(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(map(_clone, state))
    return state


class OptimizerState(Checkable):
    """The states of several optimizers.

    Args:
        optimizers: the optimizers, D's first.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    @override
    def check(self, path: Path, state: Any) -> None:
        """Check the numbers of optimizers and of parameters in their groups, and the shapes that torch does not check.

        Args:
            path: where the state was saved, for messages.
            state: the saved state.

        Raises:
            CheckpointError: a number or shape that differs.
        """
        own_sizes = [_group_sizes(optimizer.state_dict()) for optimizer in self._optimizers]
        try:
            saved_sizes = [_group_sizes(saved) for saved in state]
            misfits = [
                f"{key!r} of shape {tuple(value.shape)} for a parameter of shape {tuple(parameter.shape)}"
                for optimizer, saved in zip(self._optimizers, state, strict=False)
                for parameter, key, value in _fused_tensors(optimizer, saved["state"])
                if value.shape != (parameter.shape if key != "step" else ())
            ]
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(path, "it does not hold the state of optimizers") from error
        if saved_sizes != own_sizes:
            raise CheckpointError(
                path,
                f"its optimizers hold groups of {saved_sizes} parameters, but those of this trainer {own_sizes}; use "
                "the same optimizers and the same frozen parameters",
            )
        if misfits:
            raise CheckpointError(path, f"its optimizers do not fit: {misfits[0]}; it is damaged")

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Load moments and settings, each tensor in the dtype it was saved in."""
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)
            parameters = _parameters(optimizer)
            for number, moments in state["state"].items():
                own = optimizer.state[parameters[number]]
                for key, value in moments.items():
                    # torch casts what it loads to the parameter's dtype; a moment kept in another one would change.
                    if isinstance(value, Tensor) and own[key].dtype != value.dtype:
                        own[key] = value.to(own[key].device)

    def with_current_param_groups(self, path: Path, state: dict[str, Any]) -> dict[str, Any]:
        """A run's state with the optimizers' current settings, for a branch that changes their rates.

        Args:
            path: where the state was saved, for messages.
            state: the state of the whole run.

        Raises:
            CheckpointError: the state of other optimizers.
        """
        self.check(path, state.get("optimizers"))
        states = [
            {"state": saved["state"], "param_groups": optimizer.state_dict()["param_groups"]}
            for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True)
        ]
        return state | {"optimizers": states}


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """The parameters of an optimizer by their number in its state."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _group_sizes(state: dict[str, Any]) -> list[int]:
    return [len(group["params"]) for group in state["param_groups"]]


def _fused_tensors(
    optimizer: Optimizer, state: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[nn.Parameter, str, Tensor]]:
    """Parameter, name and saved value of every tensor that a fused kernel will read without a look at its shape."""
    if any(group.get("fused") for group in optimizer.param_groups):
        parameters = _parameters(optimizer)
        for number, moments in state.items():
            for key, value in moments.items():
                if isinstance(value, Tensor) and number in range(len(parameters)):
                    yield parameters[number], key, value


class StateList:
    """Several parts of one kind, in order.

    Args:
        parts: the parts, told apart by their classes.
    """

    def __init__(self, parts: Sequence[Stateful]) -> None:
        self._parts = parts
        self._names = [type(part).__name__ for part in parts]

    def state_dict(self) -> list[list[Any]]:
        """The class name and the state of each."""
        return [[name, part.state_dict()] for name, part in zip(self._names, self._parts, strict=True)]

    def load_state_dict(self, states: Sequence[Sequence[Any]]) -> None:
        """Restore the state of each.

        Args:
            states: as `state_dict` returned them.

        Raises:
            ValueError: the states of other parts, or in another order.
        """
        saved = [name for name, _ in states]
        if saved != self._names:
            raise ValueError(
                f"it was saved with {saved or 'none'}, but here are {self._names or 'none'}; give the same, in the "
                "same order"
            )
        for part, (_, state) in zip(self._parts, states, strict=True):
            part.load_state_dict(state)

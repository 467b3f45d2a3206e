"""The whole state of a run, made of its parts, and loaded all or nothing.

A part has `state_dict` and `load_state_dict`, as torch's modules and optimizers do. Names, shapes and kinds are checked
before anything is changed; if a part still refuses its state, all parts are restored to what they were.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib._schema import Described, Items, Kind, ListOf, Plain, Text
from infogan_lib._warnings import warn
from infogan_lib.checkpoints.compare import check_names, check_tensors
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.optimizer_schema import OUTLINE, misfits, optimizer_schema, plain_groups, scheduler_schema
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
        """Check that a state fits. Raises CheckpointError, with the path where it was saved."""


class CompositeState:
    """Named parts as one state; their names are those in a checkpoint."""

    def __init__(self, **parts: Stateful) -> None:
        self._parts = parts

    def state_dict(self) -> Any:
        """The states of all parts as plain data on the CPU, which may share memory with them: write it at once."""
        return to_plain_data({name: part.state_dict() for name, part in self._parts.items()})

    def load(self, path: Path, state: Any) -> None:
        """Restore a saved state.

        Raises CheckpointError for a part that is missing, unknown or does not fit; nothing is changed then.
        """
        check_names(path, "state", state, self._parts)
        for name, part in self._parts.items():
            _check_part(path, name, part, state[name])
        before = clone(self.state_dict())
        loaded: list[str] = []
        try:
            for name, part in self._parts.items():
                loaded.append(name)
                part.load_state_dict(state[name])
        except BaseException as error:
            for name in loaded:
                with suppress(Exception):  # what refuses one state may refuse any
                    self._parts[name].load_state_dict(before[name])
            if isinstance(error, CheckpointError) or not isinstance(error, Exception):
                raise
            raise CheckpointError(path, f"its {loaded[-1]} does not fit this trainer or its data: {error}") from error


def _check_part(path: Path, name: str, part: Stateful, state: Any) -> None:
    """Check all that can be known of a part's saved state before it is loaded."""
    if isinstance(part, Checkable):
        part.check(path, state)
    if isinstance(part, Described):
        check_schema(path, name, state, part.schema)
    if isinstance(part, nn.Module):
        own = part.state_dict()
        check_names(path, name, state, own)
        check_tensors(path, name, state, own)


def check_schema(path: Path, name: str, saved: Any, schema: Kind) -> None:
    """Check saved data against its description. Raises CheckpointError."""
    try:
        schema.check(saved, name)
    except ValueError as error:
        raise CheckpointError(path, f"its state does not fit: {error}; it is damaged or forged") from error


def clone(state: Any) -> Any:
    """A copy of dicts, lists and tuples in each other whose tensors share no memory with the original.

    A dict stays of its class, such as the Counter of a scheduler's milestones; any other object is the same one.
    """
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        copied = copy(state)
        for key, value in state.items():
            copied[key] = clone(value)
        return copied
    return type(state)(map(clone, state)) if type(state) in (list, tuple) else state


@contextmanager
def _refused_where_it_does_not_fit(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CheckpointError(
            path,
            f"{error}, so nothing was saved, as it could not be resumed; something other than the training step has "
            f"written to the {what}, such as a callback. Earlier checkpoints are still there",
        ) from error


class OptimizerState(Checkable):
    """The states of several optimizers, D's first."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers
        self._groups: list[Any] = [None] * len(optimizers)  # those that a run which is resumed will have

    def watch(self, *, is_on: bool) -> None:
        """Remember the settings before a call of `fit`, whose callbacks may change them; or forget them after it."""
        self._groups = [plain_groups(optimizer) if is_on else None for optimizer in self._optimizers]

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    @override
    def check(self, path: Path, state: Any) -> None:
        """Check the numbers of parameters, and every moment and setting, before torch loads them unseen."""
        self._check_sizes(path, state)
        for number, (optimizer, saved) in enumerate(zip(self._optimizers, state, strict=True)):
            schema = optimizer_schema(optimizer)
            for parameter, name, value in misfits(optimizer, saved["state"], schema):
                raise CheckpointError(
                    path,
                    f"its optimizers do not fit: {name!r} of shape {tuple(value.shape)} for a parameter of shape "
                    f"{tuple(parameter.shape)}; it is damaged or forged",
                )
            check_schema(path, f"optimizers[{number}]", saved, schema)

    def check_savable(self, path: Path, states: Sequence[dict[str, Any]]) -> None:
        """Check that what `state_dict` returned can be loaded again, and trained with.

        Raises CheckpointError for a moment that is NaN, or a setting that `check` would refuse.
        """
        for number, (optimizer, groups, state) in enumerate(zip(self._optimizers, self._groups, states, strict=True)):
            name = f"optimizers[{number}]"
            with _refused_where_it_does_not_fit(path, "optimizer"):
                optimizer_schema(optimizer, groups).check(state, name)
                for key, moments in state["state"].items():
                    for moment, value in moments.items() if isinstance(moments, dict) else ():
                        if isinstance(value, Tensor) and value.is_floating_point() and value.isnan().any():
                            raise ValueError(f"{name}.state.{key}.{moment} must be finite, but holds NaN")

    def _check_sizes(self, path: Path, state: Any) -> None:
        if not isinstance(state, (list, tuple)):
            raise CheckpointError(path, f"it does not hold the state of optimizers, but {describe(state)}")
        for number, saved in enumerate(state):
            check_schema(path, f"optimizers[{number}]", saved, OUTLINE)
        own_sizes = [_group_sizes(optimizer.state_dict()) for optimizer in self._optimizers]
        saved_sizes = [_group_sizes(saved) for saved in state]
        if saved_sizes != own_sizes:
            raise CheckpointError(
                path,
                f"its optimizers hold groups of {saved_sizes} parameters, but those of this trainer {own_sizes}; use "
                "the same optimizers and the same frozen parameters",
            )

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Load moments and settings, each tensor in the dtype it was saved in, and laid out in memory as its parameter.

        Fused optimizers go through parameters and moments in the order of memory, and files keep none.
        """
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(clone(state))  # torch keeps the tensors, and the next step changes them
            for number, parameter in enumerate(_parameters(optimizer)):
                own, saved = optimizer.state.get(parameter), state["state"].get(number)
                if isinstance(own, dict) and isinstance(saved, dict):
                    # torch casts what it loads to the parameter's dtype; a moment kept in another one would change.
                    kept = {key: _in_dtype_of(own[key], value) for key, value in saved.items() if key in own}
                    own.update({key: _laid_out_as(parameter, value) for key, value in kept.items()})

    def with_current_param_groups(self, path: Path, state: dict[str, Any]) -> dict[str, Any]:
        """A run's state with the optimizers' current settings, for a branch that changes their rates.

        Raises CheckpointError for the state of other optimizers.
        """
        self._check_sizes(path, state.get("optimizers"))
        states = [
            saved | {"param_groups": optimizer.state_dict()["param_groups"]}
            for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True)
        ]
        return state | {"optimizers": states}


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """The parameters of an optimizer by their number in its state."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _in_dtype_of(own: Any, saved: Any) -> Any:
    """What an optimizer has loaded, with tensors in the dtypes that they were saved in, also in lists and dicts."""
    if isinstance(own, Tensor) and isinstance(saved, Tensor):
        return own if own.dtype == saved.dtype else saved.to(own.device)
    if type(own) is dict and isinstance(saved, dict) and own.keys() == saved.keys():
        return {key: _in_dtype_of(value, saved[key]) for key, value in own.items()}
    if type(own) in (list, tuple) and isinstance(saved, type(own)) and len(own) == len(saved):
        return type(own)(map(_in_dtype_of, own, saved))
    return own


def _laid_out_as(parameter: Tensor, moment: Any) -> Any:
    """A moment of a parameter's shape in the order of memory that the optimizer made it in, such as channels_last."""
    if not isinstance(moment, Tensor) or moment.shape != parameter.shape or moment.is_sparse:
        return moment
    arranged = torch.empty_like(parameter, dtype=moment.dtype)
    return moment if moment.stride() == arranged.stride() else arranged.copy_(moment)


def _group_sizes(state: dict[str, Any]) -> list[int]:
    return [len(group["params"]) for group in state["param_groups"]]


class StateList(Checkable):
    """Several parts of one kind, in order, told apart by their classes.

    Attributes:
        parts: The parts.
    """

    def __init__(self, parts: Sequence[Stateful]) -> None:
        self.parts = parts
        self._names = [type(part).__name__ for part in parts]
        self._schemas: list[Kind] = [Plain()] * len(parts)

    def watch(self, *, is_on: bool) -> None:
        """Remember what fits the parts before a call of `fit`, whose callbacks may change them; or forget it after."""
        self._schemas = [_schema_of(part) if is_on else Plain() for part in self.parts]

    def check_savable(self, path: Path, states: Sequence[Sequence[Any]]) -> None:
        """Check that what `state_dict` returned fits the parts of a run that is resumed. Raises CheckpointError."""
        for schema, (name, state) in zip(self._schemas, states, strict=True):
            with _refused_where_it_does_not_fit(path, name):
                schema.check(state, name)

    def state_dict(self) -> list[list[Any]]:
        """The class name and the state of each."""
        return [[name, part.state_dict()] for name, part in zip(self._names, self.parts, strict=True)]

    @override
    def check(self, path: Path, state: Any) -> None:
        """Check the classes of the parts, and the state of each as far as it is known what fits."""
        check_schema(path, "parts", state, ListOf(Items((Text(), Plain()))))
        saved = [name for name, _ in state]
        if saved != self._names:
            raise CheckpointError(
                path,
                f"its state does not fit: it was saved with {saved or 'none'}, but here are {self._names or 'none'}; "
                "give the same, in the same order",
            )
        for part, (name, own) in zip(self.parts, state, strict=True):
            check_schema(path, name, own, _schema_of(part))

    def load_state_dict(self, states: Sequence[Sequence[Any]]) -> None:
        """Restore the state of each, as `state_dict` returned them and `check` has seen them."""
        for part, (_, state) in zip(self.parts, states, strict=True):
            part.load_state_dict(clone(state))  # which the part may keep and change, and CyclicLR takes apart

    def take_over(self, before: "StateList") -> None:
        """Give parts that were made anew, as by a notebook's cell, the states of those of their classes before.

        Where a state cannot be taken over, a warning says so.
        """
        left = [part for part in before.parts if not any(part is own for own in self.parts)]
        for part in self.parts:
            match = next((old for old in left if type(old).__name__ == type(part).__name__), None)
            if match is not None and not any(part is old for old in before.parts):
                left.remove(match)
                try:
                    part.load_state_dict(clone(to_plain_data(match.state_dict())))
                except Exception as error:
                    warn(f"the callback {type(part).__name__} begins anew, as its state was not taken over: {error!r}")


def _schema_of(part: Stateful) -> Kind:
    """The description of a part's state: its own, that of torch's schedulers, or none for a user's object."""
    return part.schema if isinstance(part, Described) else scheduler_schema(part)

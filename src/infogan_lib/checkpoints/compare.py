"""Whether what was saved fits what it is to be loaded into: by name, shape and dtype, before anything is changed."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from infogan_lib._checks import join_names
from infogan_lib.checkpoints.disk import CheckpointError


def check_names(path: Path, what: str, saved: Any, wanted: Collection[Any]) -> None:
    """A saved dict with exactly these names.

    Raises:
        CheckpointError: one that is missing, or one too many.
    """
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            path, f"its {what} should hold {join_names(map(str, wanted))}, but is {type(saved).__name__}"
        )
    missing, unknown = _apart(saved, wanted)
    if missing or unknown:
        raise CheckpointError(path, f"its {what} does not fit: {_differences(missing, unknown)}")


def check_tensors(path: Path, whose: str, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Saved tensors that fit a module's own, name by name.

    Raises:
        CheckpointError: a name, a shape or a dtype that differs; the message gives the first of them.
    """
    missing, unknown = _apart(saved, own)
    if missing or unknown:
        raise CheckpointError(
            path, f"it was saved with another {whose}: {_differences(missing, unknown)}; build the one that was saved"
        )
    for name, mine in own.items():
        theirs = saved[name]
        if not isinstance(mine, Tensor):
            continue
        if not isinstance(theirs, Tensor) or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
            raise CheckpointError(
                path,
                f"it was saved with another {whose}: {name!r} is {_kind(theirs)} in it, but {_kind(mine)} here; build "
                "the one that was saved",
            )


def _apart(saved: Mapping[Any, Any], wanted: Collection[Any]) -> tuple[list[str], list[str]]:
    return [str(n) for n in wanted if n not in saved], [str(n) for n in saved if n not in wanted]


def _differences(missing: list[str], unknown: list[str]) -> str:
    found = [f"{_some(missing)} not in it" if missing else "", f"{_some(unknown)} unknown here" if unknown else ""]
    return " and ".join(part for part in found if part)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{join_names(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def versions(state: Mapping[str, Any]) -> dict[str, Any]:
    """What `nn.Module.state_dict` noted of each module."""
    return {name: dict(of) for name, of in getattr(state, "_metadata", {}).items()}


def with_versions(tensors: Mapping[str, Any], noted: Any) -> OrderedDict[str, Any]:
    """Tensors by name as `nn.Module.load_state_dict` wants them."""
    state: OrderedDict[str, Any] = OrderedDict(tensors)
    if isinstance(noted, Mapping):
        state._metadata = OrderedDict(noted)  # type: ignore[attr-defined]
    return state

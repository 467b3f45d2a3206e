"""Whether a saved state fits what it is loaded into: by name, shape and dtype, before anything is changed."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy

from infogan_lib._checks import join_names
from infogan_lib._schema import Record
from infogan_lib._warnings import warn
from infogan_lib.checkpoints.disk import CheckpointError


def check_names(path: Path, name: str, saved: Any, expected: Collection[Any]) -> None:
    """Check that a saved dict has exactly the expected keys.

    Args:
        path: Where it was saved, for messages.
        name: What it is called in messages.
        saved: The saved dict.
        expected: Its keys.

    Raises:
        CheckpointError: a key that is missing, or one too many.
    """
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            path, f"its {name} should hold {join_names(map(str, expected))}, but is {type(saved).__name__}"
        )
    missing, unknown = _difference(saved, expected)
    if missing or unknown:
        raise CheckpointError(path, f"its {name} does not fit: {_describe_difference(missing, unknown)}")


def known_fields(path: Path, name: str, saved: Mapping[str, Any], schema: Record) -> dict[str, Any]:
    """The fields of a description among saved ones, so that older and newer files can be read.

    An optional field may be missing. A field that is not known here is ignored with a warning, unless the file
    lists it under "required". Raises CheckpointError for that, and for a field that is missing.
    """
    known, required = schema.fields, saved.get("required", [])
    missing = [field for field in known if field not in saved and field not in schema.optional]
    unknown = [field for field in saved if field not in known and field != "required"]
    unreadable = [field for field in required if field not in known] if isinstance(required, list) else [str(required)]
    if missing:
        raise CheckpointError(path, f"its {name} does not fit: {_describe_difference(missing, [])}")
    if unreadable:
        raise CheckpointError(
            path,
            f"its {name} needs {join_names(map(str, unreadable))}, unknown to this version of infogan-lib; use the "
            "version that wrote it, or a newer one",
        )
    if unknown:
        warn(f"{path}: its {name} holds {join_names(unknown)}, unknown to this version of infogan-lib and ignored")
    return {field: saved[field] for field in known if field in saved}


def check_tensors(path: Path, owner: str, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Check that saved tensors fit a module's own, name by name.

    Args:
        path: Where they were saved, for messages.
        owner: What the module is called in messages.
        saved: The saved tensors.
        own: The module's state dict.

    Raises:
        CheckpointError: a name, a shape or a dtype that differs; the message gives the first of them.
    """
    missing, unknown = _difference(saved, own)
    if missing or unknown:
        raise CheckpointError(
            path,
            f"it was saved with another {owner}: {_describe_difference(missing, unknown)}; build the one that was "
            "saved",
        )
    for name, value in own.items():
        other = saved[name]
        if not isinstance(value, Tensor):
            continue
        if is_lazy(value):
            raise CheckpointError(
                path, f"{name!r} of the {owner} is lazy and has no shape yet; run it on a batch first"
            )
        if not isinstance(other, Tensor) or other.shape != value.shape or other.dtype != value.dtype:
            raise CheckpointError(
                path,
                f"it was saved with another {owner}: {name!r} is {_describe_type(other)} in it, but "
                f"{_describe_type(value)} here; build the one that was saved",
            )


_WRAPPERS = {"_orig_mod", "module"}
"""The names under which torch.compile and (Distributed)DataParallel hold the module that they wrap."""


def without_wrappers(name: str) -> str:
    """The name of a tensor or layer as it is in the module that torch.compile or DataParallel wraps."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def renamed_like(saved: Mapping[str, Any], own: Collection[str]) -> dict[str, Any]:
    """Saved values under a module's own names, where the names differ by wrappers such as torch.compile's only.

    They stay as they were saved where the names fit already, or do not fit so either.
    """
    if set(saved) == set(own):
        return dict(saved)
    names = {without_wrappers(name): name for name in own}
    values = {without_wrappers(name): value for name, value in saved.items()}
    if set(names) != set(values) or len(names) != len(own) or len(values) != len(saved):
        return dict(saved)
    return {names[name]: value for name, value in values.items()}


def _difference(saved: Mapping[Any, Any], expected: Collection[Any]) -> tuple[list[str], list[str]]:
    """The expected names that are missing, and the saved ones that are not expected."""
    return [str(n) for n in expected if n not in saved], [str(n) for n in saved if n not in expected]


def _describe_difference(missing: list[str], unknown: list[str]) -> str:
    parts = [
        f"{_first_names(missing)} not in it" if missing else "",
        f"{_first_names(unknown)} unknown here" if unknown else "",
    ]
    return " and ".join(part for part in parts if part)


def _first_names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{join_names(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"


def _describe_type(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def module_versions(state: Mapping[str, Any]) -> dict[str, Any]:
    """What `nn.Module.state_dict` notes of each module, such as its version."""
    return {name: dict(metadata) for name, metadata in getattr(state, "_metadata", {}).items()}


def with_module_versions(tensors: Mapping[str, Any], versions: Any) -> OrderedDict[str, Any]:
    """Tensors by name as `nn.Module.load_state_dict` expects them, with what `module_versions` returned."""
    state: OrderedDict[str, Any] = OrderedDict(tensors)
    if isinstance(versions, Mapping):
        state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]
    return state

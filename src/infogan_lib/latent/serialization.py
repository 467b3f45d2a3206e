"""Frozen dataclasses as plain JSON data and back, without import paths.

A part is written as its class name and its fields. It is read back as a subclass of a given base that the program
has already defined: text can choose among those, and can import nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from infogan_lib._checks import describe, join_names
from infogan_lib.losses.information import InformationLoss


def to_plain(part: object) -> dict[str, Any]:
    """A dataclass as its kind and its fields, information losses among them included."""
    if not is_dataclass(part):
        raise TypeError(f"{type(part).__name__} must be a dataclass to be written as JSON")
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    plain = {k: to_plain(v) if isinstance(v, InformationLoss) else v for k, v in values.items()}
    return {"kind": type(part).__name__, **plain}


def from_plain(base: type, data: Any, name: str) -> Any:
    """The subclass of `base` that `to_plain` described; `name` is what errors call it.

    Raises:
        ValueError: a kind that has not been defined, or settings that it refuses.
    """
    kinds = _subclasses(base)
    kind = kinds.get(str(data.get("kind"))) if isinstance(data, dict) else None
    if kind is None:
        raise ValueError(
            f"{name}: the kind must be one of {join_names(sorted(kinds))}, but got {describe(data)}; "
            "import the module that defines yours first"
        )
    given = {k: v for k, v in data.items() if k != "kind"}
    losses = {k: from_plain(InformationLoss, v, f"{name}.{k}") for k, v in given.items() if isinstance(v, dict)}
    try:
        return kind(**(given | losses))
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def read_object(text: str, what: str) -> dict[str, Any]:
    """JSON text as an object with no name twice.

    Raises:
        ValueError: anything else, saying that it is not the JSON of `what`.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except (TypeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not the JSON of {what}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"the JSON of {what} is an object of names, but got {describe(found)}")
    return found


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name!r} stands twice in the JSON")
        found[name] = value
    return found


def _subclasses(base: type) -> dict[str, type]:
    """All concrete subclasses by name; of two with one name, the one defined last."""
    found: dict[str, type] = {}
    for kind in base.__subclasses__():
        found |= _subclasses(kind)
        if not getattr(kind, "__abstractmethods__", None) and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    return found

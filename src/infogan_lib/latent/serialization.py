"""Frozen dataclasses as JSON data and back, without import paths.

An object is written as the name of its class and its fields. It is read as a subclass of a given base that the program
has already defined: the text can choose among those, and can import nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from infogan_lib._checks import describe, join_names, shorten
from infogan_lib.losses.information import InformationLoss

LATER = "later"
"""A key in the metadata of a dataclass's field that saved models did not always have."""


def to_dict(instance: object) -> dict[str, Any]:
    """A dataclass as its kind and fields; a field that is an information loss becomes a dictionary, too.

    Fields that are `LATER` are left out where they have their default, so that older versions read what they can.
    Raises TypeError for anything but a dataclass.
    """
    if not is_dataclass(instance):
        raise TypeError(f"{type(instance).__name__} must be a dataclass to be written as JSON")
    values = {field.name: getattr(instance, field.name) for field in fields(instance)}
    for field in fields(instance):
        if field.metadata.get(LATER) and values[field.name] == field.default:
            del values[field.name]
    plain = {k: to_dict(v) if isinstance(v, InformationLoss) else v for k, v in values.items()}
    return {"kind": type(instance).__name__, **plain}


def from_dict(base: type, data: Any, name: str) -> Any:
    """The object that `to_dict` described, of a subclass of `base`; errors call it `name`.

    Raises ValueError if the kind is not defined, or refuses the fields.
    """
    kinds = _subclasses(base)
    kind = kinds.get(str(data.get("kind"))) if isinstance(data, dict) else None
    if kind is None:
        raise ValueError(
            f"{name}: the kind must be one of {join_names(sorted(kinds))}, but got {describe(data)}; "
            "import the module that defines yours first"
        )
    values = {k: v for k, v in data.items() if k != "kind"}
    losses = {k: from_dict(InformationLoss, v, f"{name}.{k}") for k, v in values.items() if isinstance(v, dict)}
    try:
        return kind(**(values | losses))
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def parse_object(text: str, what: str) -> dict[str, Any]:
    """Parse JSON text, which should describe `what`, as an object without duplicate names. Raises ValueError."""
    if not isinstance(text, str):
        raise TypeError(f"the JSON of {what} must be a string, but got {describe(text)}")
    try:
        data = json.loads(text, object_pairs_hook=_reject_duplicates)
    except (TypeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not the JSON of {what}: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"the JSON of {what} is an object of names, but got {describe(data)}")
    return data


def _reject_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the name {shorten(name)} appears twice in the JSON")
        result[name] = value
    return result


def _subclasses(base: type) -> dict[str, type]:
    """All concrete subclasses by name; of two with the same name, the one defined last."""
    result: dict[str, type] = {}
    for kind in base.__subclasses__():
        result |= _subclasses(kind)
        if not getattr(kind, "__abstractmethods__", None) and not kind.__name__.startswith("_"):
            result[kind.__name__] = kind
    return result

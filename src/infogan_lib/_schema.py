"""Descriptions of saved data: the type and the bounds of every field, checked before anything is built from it.

A checksum finds damage, not forgery, so a file with right checksums may hold anything. What a file may hold is
described by values of the classes below, as in

    Record({"epoch": Int(), "names": ListOf(Text()), "scale": Nullable(Float(low=0))})

and the same description checks the file and generates the forgeries of the tests (`tests/stress/forged_files.py`).
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from infogan_lib._checks import can_compute, describe, join_names

MAX_EXACT_INT = 2**53
"""The largest whole number in a saved file: larger ones are not exact in JSON's other readers."""

MAX_STEPS = 10**10 - 1
"""The largest number of steps, epochs or batches: checkpoints have ten digits in their names."""


MAX_DEPTH = 64
"""The most lists and dicts inside one another in a saved state."""


class Kind(ABC):
    """What a value may be."""

    @abstractmethod
    def check(self, value: Any, name: str) -> None:
        """Check a value, called `name` in messages. Raises ValueError naming the innermost field that is wrong."""


class Described(ABC):
    """A part of a saved state that describes what its `state_dict` may hold."""

    @property
    @abstractmethod
    def schema(self) -> Kind:
        """The description, for a state that this object can load."""


def _require(condition: bool, wanted: str, value: Any, name: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}")


@dataclass(frozen=True)
class Int(Kind):
    """A whole number within bounds."""

    low: int = 0
    high: int = MAX_EXACT_INT

    @override
    def check(self, value: Any, name: str) -> None:
        wanted = f"a whole number from {self.low} to {self.high:,}"
        _require(type(value) is int and self.low <= value <= self.high, wanted, value, name)


@dataclass(frozen=True)
class Float(Kind):
    """A finite number within bounds; whole numbers are taken too. With `infinite`, infinity is a number as well."""

    low: float = -math.inf
    high: float = math.inf
    infinite: bool = False

    @override
    def check(self, value: Any, name: str) -> None:
        bounds = "" if (self.low, self.high) == (-math.inf, math.inf) else f" from {self.low:g} to {self.high:g}"
        wanted = f"a {'number' if self.infinite else 'finite number'}{bounds}"
        is_number = type(value) is float or (type(value) is int and abs(value) <= MAX_EXACT_INT)
        _require(is_number and (self.infinite or math.isfinite(value)), wanted, value, name)
        _require(self.low <= value <= self.high, wanted, value, name)


@dataclass(frozen=True)
class Text(Kind):
    """A string of at most so many characters; with a pattern, one that matches it as a whole."""

    longest: int = 2**20
    pattern: str | None = None

    @override
    def check(self, value: Any, name: str) -> None:
        wanted = f"text of at most {self.longest:,} characters"
        _require(isinstance(value, str) and len(value) <= self.longest, wanted, value, name)
        if self.pattern is not None:
            _require(re.fullmatch(self.pattern, value) is not None, f"text like {self.pattern}", value, name)


@dataclass(frozen=True)
class OneOf(Kind):
    """One of several values, of the same type."""

    options: tuple[Any, ...]

    @override
    def check(self, value: Any, name: str) -> None:
        is_one = any(_is_same(value, option) for option in self.options)
        wanted = " or ".join(map(repr, self.options)) if len(self.options) < 3 else f"one of {self.options!r}"
        _require(is_one, wanted, value, name)


def _is_same(value: Any, option: Any) -> bool:
    """Whether a value is an option, and each item of it too: a tensor among numbers cannot be compared with one."""
    if type(value) is not type(option):
        return False
    if isinstance(option, (list, tuple)):
        return len(value) == len(option) and all(map(_is_same, value, option))
    return bool(value == option)


@dataclass(frozen=True)
class Nullable(Kind):
    """None, or a value."""

    kind: Kind

    @override
    def check(self, value: Any, name: str) -> None:
        if value is not None:
            self.kind.check(value, name)


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of values of one kind."""

    item: Kind
    shortest: int = 0
    longest: int | None = None

    @override
    def check(self, value: Any, name: str) -> None:
        wanted = "a list" if self.longest is None else f"a list of {self.shortest} to {self.longest:,} items"
        is_list = isinstance(value, (list, tuple)) and len(value) >= self.shortest
        _require(is_list and (self.longest is None or len(value) <= self.longest), wanted, value, name)
        for i, item in enumerate(value):
            self.item.check(item, f"{name}[{i}]")


@dataclass(frozen=True)
class Items(Kind):
    """A list or tuple whose items have a kind each."""

    items: tuple[Kind, ...]

    @override
    def check(self, value: Any, name: str) -> None:
        is_list = isinstance(value, (list, tuple)) and len(value) == len(self.items)
        _require(is_list, f"a list of {len(self.items)} items", value, name)
        for i, (kind, item) in enumerate(zip(self.items, value, strict=True)):
            kind.check(item, f"{name}[{i}]")


@dataclass(frozen=True)
class MapOf(Kind):
    """A dict of values of one kind, by text (or by what `key` describes)."""

    value: Kind
    key: Kind = Text()

    @override
    def check(self, value: Any, name: str) -> None:
        _require(isinstance(value, Mapping), "a dict of names", value, name)
        for key, item in value.items():
            self.key.check(key, f"a name in {name}")
            self.value.check(item, f"{name}[{key!r}]")


@dataclass(frozen=True)
class Record(Kind):
    """A dict with a kind for each name. Those in `optional` may be missing; if it `is_open`, there may be others."""

    fields: Mapping[Any, Kind]
    optional: frozenset[Any] = frozenset()
    is_open: bool = False

    @override
    def check(self, value: Any, name: str) -> None:
        wanted = f"a dict of {join_names(self.fields)}"
        _require(isinstance(value, Mapping), wanted, value, name)
        missing = [key for key in self.fields if key not in value and key not in self.optional]
        unknown = [] if self.is_open else [str(key) for key in value if key not in self.fields]
        if missing or unknown:
            verb = "not in it" if missing else "unknown here"
            raise ValueError(f"{name} must be {wanted}, but {join_names((missing or unknown)[:3])} is {verb}")
        for key, kind in self.fields.items():
            if key in value:
                kind.check(value[key], f"{name}.{key}")


@dataclass(frozen=True)
class Array(Kind):
    """A tensor of one dtype, None for floats of any, and shape, in which None stands for any length of a side.

    No value is below `low` or above `high`, where these are given; with minus infinity as `low` any but NaN is fine.
    """

    dtype: torch.dtype | None
    shape: Sequence[int | None]
    low: float | None = None
    high: float | None = None

    @override
    def check(self, value: Any, name: str) -> None:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        dtype = "floats" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        wanted = f"a tensor of {dtype} and shape ({sizes})"
        if not isinstance(value, torch.Tensor):
            _require(False, wanted, value, name)
        is_dtype = can_compute(value.dtype) if self.dtype is None else value.dtype == self.dtype
        if not is_dtype or not self.fits(value):
            raise ValueError(f"{name} must be {wanted}, but got {value.dtype} and shape {tuple(value.shape)}")
        if self.low is not None and not bool((value >= self.low).all()):
            least = "" if self.low == -math.inf else f" of at least {self.low:,}"
            raise ValueError(f"{name} must hold numbers{least}, but holds {'NaN' if value.isnan().any() else 'others'}")
        if self.high is not None and not bool((value <= self.high).all()):
            raise ValueError(f"{name} must hold numbers of at most {self.high:,}, but holds others")

    def fits(self, value: torch.Tensor) -> bool:
        """Whether a tensor has the shape."""
        sizes = zip(self.shape, value.shape, strict=False)
        return value.ndim == len(self.shape) and all(size in (None, other) for size, other in sizes)


@dataclass(frozen=True)
class Plain(Kind):
    """Plain data and tensors of any form: what a user's own object keeps. Only its depth is bounded."""

    deepest: int = MAX_DEPTH

    @override
    def check(self, value: Any, name: str) -> None:
        level = [value]
        for _ in range(self.deepest):
            level = [
                item
                for container in level
                if isinstance(container, (Mapping, list, tuple))
                for item in (container.values() if isinstance(container, Mapping) else container)
            ]
            if not level:
                return
        raise ValueError(f"{name} must be nested at most {self.deepest} deep, but is deeper")


def similar(own: Any) -> Kind:
    """The kind of values built like a given one: the same names, lengths and types, with other numbers."""
    if isinstance(own, Mapping):
        return Record({key: similar(value) for key, value in own.items()})
    if isinstance(own, (list, tuple)):
        return Items(tuple(map(similar, own)))
    if isinstance(own, torch.Tensor):
        return Array(own.dtype, tuple(own.shape))
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        return Float(infinite=not math.isfinite(own))
    return Plain() if own is None else OneOf((own,))

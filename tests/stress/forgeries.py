"""Forgeries of saved data, generated from its description: every field, one at a time, lost or with a wrong value."""

from collections.abc import Iterator
from itertools import islice
from math import inf, nextafter
from typing import Any, NamedTuple

import torch

from infogan_lib._schema import (
    MAX_EXACT_INT,
    Array,
    Float,
    Int,
    Items,
    Kind,
    ListOf,
    MapOf,
    Nullable,
    OneOf,
    Plain,
    Record,
    Text,
)

HUGE, NAN, MISSING = 10**4000, float("nan"), object()

ALWAYS_WRONG: list[Any] = [3.5, "words", [], {}, [[[]]], {"a": {}}, True, torch.zeros(3, 2, dtype=torch.complex64)]


class Forgery(NamedTuple):
    """A place in a file, and what is put there; `MISSING` to take it away."""

    path: tuple[Any, ...]
    value: Any
    must_be_refused: bool = True

    def apply(self, state: Any) -> Any:
        """A copy of the state with the forgery in it."""
        if not self.path:
            return self.value
        key, *rest = self.path
        state = {} if state is None else state  # a record that is absent is there with the forgery alone
        inner = Forgery(tuple(rest), self.value)
        if isinstance(state, (list, tuple)):
            return type(state)(inner.apply(item) if i == key else item for i, item in enumerate(state))
        if not rest and self.value is MISSING:
            return {name: item for name, item in state.items() if name != key}
        return {**state, key: inner.apply(state.get(key))}

    def __str__(self) -> str:
        value = "missing" if self.value is MISSING else repr(self.value)[:40] if self.value is not HUGE else "10**4000"
        return f"{'.'.join(map(str, self.path))} = {value}"


def forgeries(kind: Kind, value: Any, path: tuple[Any, ...] = ()) -> Iterator[Forgery]:
    """All forgeries of a value that its description knows of.

    Args:
        kind: The description.
        value: An honest value.
        path: Where it is.
    """
    if isinstance(kind, Nullable):
        if value is None:
            value = _example(kind.kind)
        yield from (forgery for forgery in forgeries(kind.kind, value, path) if forgery.value is not None)
        return
    if isinstance(kind, Plain):
        yield from (Forgery(path, wrong, False) for wrong in [None, *ALWAYS_WRONG, HUGE])
        return
    yield from (Forgery(path, wrong) for wrong in _wrong_values(kind, value) if not _is_right(kind, wrong))
    if isinstance(kind, Record):
        for name, field in kind.fields.items():
            yield Forgery((*path, name), MISSING, name not in kind.optional)
            if name in value or isinstance(field, Nullable):
                yield from forgeries(field, value.get(name), (*path, name))
        yield Forgery((*path, "stranger"), 1, not kind.is_open)
    elif isinstance(kind, MapOf):
        yield Forgery((*path, 7), next(iter(value.values()), 0))
        for name in islice(value, 2):
            yield from forgeries(kind.value, value[name], (*path, name))
    elif isinstance(kind, Items):
        for i, item in enumerate(kind.items):
            yield from forgeries(item, value[i], (*path, i))
    elif isinstance(kind, ListOf) and len(value) > 0:
        yield from forgeries(kind.item, value[0], (*path, 0))


def _wrong_values(kind: Kind, value: Any) -> list[Any]:
    wrong = [None, *ALWAYS_WRONG]
    if isinstance(kind, Int):
        wrong += [kind.low - 1, kind.high + 1, -(2**70), 2**70, HUGE, -HUGE, NAN, float("inf"), str(value)]
    elif isinstance(kind, Float):
        wrong += [NAN, HUGE, -HUGE, str(value), nextafter(kind.low, -inf), nextafter(kind.high, inf)]
        wrong += [] if kind.infinite else [float("inf"), -float("inf")]
    elif isinstance(kind, Text):
        wrong += [7, HUGE, NAN, "x" * (kind.longest + 1)]
        wrong += ["" if kind.pattern is None else "../" * (kind.longest // 3)]
    elif isinstance(kind, OneOf):
        wrong += [7, -1, HUGE, NAN, str(value) + "x"]
    elif isinstance(kind, ListOf):
        wrong += [7, HUGE, NAN, "abcd", *([[value[0]] * (kind.longest + 1)] if kind.longest and len(value) else [])]
    elif isinstance(kind, Items):
        wrong += [7, HUGE, list(value)[:-1], [*value, 0], {str(i): v for i, v in enumerate(value)}]
    elif isinstance(kind, (MapOf, Record)):
        wrong += [7, HUGE, NAN, "abcd", list(value.items())]
    elif isinstance(kind, Array) and isinstance(value, torch.Tensor):
        wrong += [
            7,
            HUGE,
            NAN,
            value.tolist(),
            value[None],
            value.to(torch.int16),
            value.bool(),
            value.to(torch.complex64),
        ]
        wrong += [value[..., :-1], torch.cat([value, value], -1)] if value.ndim and None not in kind.shape else []
        wrong += [torch.full_like(value, kind.low - 1)] if kind.low and not value.dtype.is_floating_point else []
        wrong += [torch.full_like(value, -7)] if kind.low is not None and kind.low >= 0 else []
        wrong += [torch.full_like(value, NAN)] if kind.low is not None and value.is_floating_point() else []
        wrong += [torch.full_like(value, kind.high + 1)] if kind.high and value.dtype == torch.int64 else []
    return wrong


def _is_right(kind: Kind, value: Any) -> bool:
    """Whether one of the values that are wrong almost anywhere is right here."""
    if isinstance(kind, Float):
        return type(value) in (int, float) and abs(value) < MAX_EXACT_INT and kind.low <= value <= kind.high
    if isinstance(kind, Text):
        return isinstance(value, str) and kind.pattern is None and len(value) <= kind.longest
    if isinstance(kind, OneOf):
        return any(type(value) is type(option) and value == option for option in kind.options)
    if isinstance(kind, ListOf):
        return value == [] and kind.shortest == 0
    if isinstance(kind, MapOf):
        return isinstance(value, dict) and all(_is_right(kind.value, item) for item in value.values())
    if isinstance(kind, Record):
        is_known = isinstance(value, dict) and (kind.is_open or set(value) <= set(kind.fields))
        return is_known and set(kind.fields) - set(value) <= kind.optional
    return isinstance(kind, Array) and isinstance(value, torch.Tensor) and value.numel() == 0 and None in kind.shape


def _example(kind: Kind) -> Any:
    """An honest value of a kind, for a field that is None in the honest file."""
    if isinstance(kind, Items):
        return [_example(item) for item in kind.items]
    if isinstance(kind, OneOf):
        return kind.options[0]
    if isinstance(kind, Record):
        return {name: _example(field) for name, field in kind.fields.items()}
    return {Int: 1, Float: 0.5, Text: "a" * 64, ListOf: [], MapOf: {}}[type(kind)]

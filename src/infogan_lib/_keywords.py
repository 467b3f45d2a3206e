"""Keyword arguments that a function or a settings object does not have: errors that name what is meant."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from infogan_lib._checks import join_names

_Class = TypeVar("_Class", bound=type)


def refuse_unknown(
    function: str, given: Iterable[str], known: Iterable[str], advice: Mapping[str, str] | None = None
) -> None:
    """Refuse keyword arguments that a function does not have. Raises TypeError.

    Args:
        function: The name of the function or class.
        given: The names of the arguments that it was given by keyword.
        known: The names of its parameters.
        advice: What to do instead, by the names of arguments that are often mistaken.
    """
    known = list(known)
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]}=?" if close else f"there are {join_names(known)}"
            raise TypeError(
                f"{function} got an unexpected keyword argument {name!r}; {(advice or {}).get(name, guess)}"
            )


def explains_arguments(**advice: str) -> Callable[[_Class], _Class]:
    """A decorator of settings objects, whose constructors then refuse unknown arguments as `refuse_unknown` does."""

    def decorate(kind: _Class) -> _Class:
        construct: Callable[..., None] = kind.__init__
        _, *known = signature(construct).parameters

        @wraps(construct)
        def checked(self: Any, *values: Any, **settings: Any) -> None:
            refuse_unknown(kind.__name__, settings, known, advice)
            construct(self, *values, **settings)

        kind.__init__ = checked
        return kind

    return decorate

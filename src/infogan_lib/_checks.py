"""Checks of plain arguments, so that every refusal reads alike: received, expected, what to change."""

import math
import operator
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def describe(value: object) -> str:
    """A short account of a value for an error message: its repr, cut short, and its type."""
    text = repr(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"


def check_int(name: str, value: object, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`, or raise naming the argument."""
    if not isinstance(value, bool):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
        else:
            if number >= minimum:
                return number
            raise ValueError(f"{name} must be a whole number of at least {minimum}, but got {describe(value)}")
    raise TypeError(f"{name} must be a whole number of at least {minimum}, but got {describe(value)}")


def check_float(name: str, value: object, *, minimum: float | None = None, above: float | None = None) -> float:
    """Return `value` as a finite float within the bounds, or raise naming the argument."""
    wanted = "a finite number"
    if minimum is not None:
        wanted += f" of at least {minimum:g}"
    if above is not None:
        wanted += f" above {above:g}"
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name} must be {wanted}, but got {describe(value)}") from error
    too_small = minimum is not None and number < minimum
    too_small = too_small or (above is not None and number <= above)
    if not math.isfinite(number) or too_small:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}")
    return number


def check_pair(name: str, value: object, wanted: str) -> tuple[float, float]:
    """Return `value` as two finite floats, or raise naming the argument; `wanted` says what they should be."""
    try:
        first, second = (check_float(name, part) for part in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}") from error
    return first, second


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False, or raise naming the argument."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but got {describe(value)}")
    return value


def check_choice(name: str, value: object, options: Collection[str]) -> str:
    """Return `value` if it is one of `options`, or raise listing them."""
    if isinstance(value, str) and value in options:
        return value
    raise ValueError(f"{name} must be one of {join_names(options)}, but got {describe(value)}")


def join_names(names: Iterable[str]) -> str:
    """Names as they stand in a message: 'a', 'b' and 'c'."""
    quoted = [repr(name) for name in names]
    if len(quoted) < 2:
        return "".join(quoted) or "nothing"
    return ", ".join(quoted[:-1]) + f" and {quoted[-1]}"


@contextmanager
def require_eval(what: str, package: str = "scikit-learn") -> Iterator[None]:
    """Around an import: say what needs the package and how it is installed.

    Raises:
        ImportError: the package is not installed; the message has its pip command.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{what} needs {package}: pip install 'infogan-lib[eval]'") from error


def require(name: str = "gradio") -> Any:
    """A module of the extra `explore`: gradio, and what comes with it.

    Raises:
        ImportError: it is not installed; the message names the command.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"the explorer needs {name}: pip install 'infogan-lib[explore]'") from error

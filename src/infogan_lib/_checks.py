"""Checks of arguments and optional packages, with errors of one style: expected, received, what to change."""

import math
import operator
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def describe(value: object) -> str:
    """The repr of a value, shortened, and its type, for an error message."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = "a number of thousands of digits"
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"


def check_int(name: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """Return `value` as an int within the bounds, or raise an error that names the argument."""
    message = f"{name} must be a whole number of at least {minimum}, but got {describe(value)}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None:
        raise TypeError(message)
    if number < minimum:
        raise ValueError(message)
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be a whole number of at most {maximum:,}, but got {describe(value)}")
    return number


def check_float(name: str, value: object, *, minimum: float | None = None, above: float | None = None) -> float:
    """Return `value` as a finite float within the bounds, or raise an error that names the argument."""
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
    too_small = (minimum is not None and number < minimum) or (above is not None and number <= above)
    if not math.isfinite(number) or too_small:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}")
    return number


def check_pair(name: str, value: object, wanted: str) -> tuple[float, float]:
    """Return `value` as two finite floats, or raise an error that names the argument and describes what is `wanted`."""
    try:
        first, second = (check_float(name, number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {wanted}, but got {describe(value)}") from error
    return first, second


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False, or raise an error that names the argument."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but got {describe(value)}")
    return value


def check_choice(name: str, value: object, options: Collection[str]) -> str:
    """Return `value` if it is one of `options`, or raise an error that lists them."""
    if isinstance(value, str) and value in options:
        return value
    raise ValueError(f"{name} must be one of {join_names(options)}, but got {describe(value)}")


def join_names(names: Iterable[str]) -> str:
    """Names as a list in an error message: 'a', 'b' and 'c'."""
    quoted = [repr(name) for name in names]
    if len(quoted) < 2:
        return "".join(quoted) or "nothing"
    return ", ".join(quoted[:-1]) + f" and {quoted[-1]}"


@contextmanager
def require_eval(feature: str, package: str = "scikit-learn") -> Iterator[None]:
    """Context of an import from the extra ``eval``.

    Args:
        feature: The function that needs the package.
        package: Its name on PyPI.

    Raises:
        ImportError: The package is not installed; the message has the pip command.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{feature} needs {package}: pip install 'infogan-lib[eval]'") from error


def require(module: str = "gradio") -> Any:
    """Import a module of the extra ``explore``: gradio, or one that comes with it.

    Raises:
        ImportError: The module is not installed; the message has the pip command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"the explorer needs {module}: pip install 'infogan-lib[explore]'") from error


def check_instance(name: str, value: Any, *kinds: type) -> Any:
    """Return `value` if it is None or of one of the types, or raise naming the argument."""
    if value is not None and not isinstance(value, kinds):
        hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) else ""
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be of type {wanted}, but got {describe(value)}{hint}")
    return value

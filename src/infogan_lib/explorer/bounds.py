"""Numbers as a page sends them, judged before anything is made of them."""

from typing import Any

from infogan_lib._checks import describe


class ControlError(ValueError):
    """A control was given a value that it does not have; the message is one line for the page."""


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number from `low` to `high`, which a page may send as a float.

    Raises:
        ControlError: anything else.
    """
    given = number(name, value, low, high)
    if given != round(given):
        raise ControlError(f"{name} must be a whole number from {low} to {high}, but got {describe(value)}")
    return round(given)


def number(name: str, value: Any, low: float, high: float) -> float:
    """A finite number from `low` to `high`.

    Raises:
        ControlError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ControlError(f"{name} must be a number from {low:g} to {high:g}, but got {describe(value)}")
    return float(value)

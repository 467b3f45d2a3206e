"""Values and names as error messages show them: short, whatever they are."""

from collections.abc import Iterable
from contextlib import suppress

from torch import Tensor

MAX_NAME = 200
"""The most characters of a name."""

_MAX_NAMES = 100


def shorten(value: object, most: int = 60) -> str:
    """The repr of a value in so many characters, for an error message."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        text = "a number of thousands of digits"
    except Exception:  # an object whose repr fails, or a list that is nested too deep for one
        text = "something"
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(text: object, most: int = 400) -> str:
    """A text without line breaks, cut after so many characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[:most]}..."


def describe(value: object) -> str:
    """The repr of a value, shortened, and its type, for an error message; shape and dtype of a Tensor."""
    if isinstance(value, Tensor) and not value.is_nested:  # those have no shape
        with suppress(RuntimeError):  # of a lazy module's parameter
            return f"a Tensor of shape {tuple(value.shape)} and {value.dtype}"
    return f"{shorten(value)} ({type(value).__name__})"


def join_names(names: Iterable[str]) -> str:
    """Names as a list in an error message: 'a', 'b' and 'c'. Of very many the first ones."""
    all_names = list(names)
    quoted = [shorten(name, MAX_NAME + 2) for name in all_names[:_MAX_NAMES]]
    if len(all_names) > _MAX_NAMES:
        quoted.append(f"{len(all_names) - _MAX_NAMES:,} more")
    if len(quoted) < 2:
        return "".join(quoted) or "nothing"
    return ", ".join(quoted[:-1]) + f" and {quoted[-1]}"

"""Names of variables in a latent: text that can be drawn, saved and given as a keyword, each of them once."""

from collections.abc import Mapping
from typing import Any

from infogan_lib._checks import check_name, describe, join_names
from infogan_lib.latent.base import LatentVariable


def check_variable(name: object, variable: object) -> None:
    """Check a named variable.

    Raises TypeError for a name that is no string or something that is no variable, and ValueError for a name that is
    blank, too long, has control characters or is one of Python's own.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"a name in a LatentSpec must be a non-empty string, but got {describe(name)}")
    check_name("a name in a LatentSpec", name)
    if name.startswith("__") and name.endswith("__"):
        raise ValueError(f"a name in a LatentSpec must not be one of Python's own, but got {describe(name)}")
    if not isinstance(variable, LatentVariable):
        hint = f"; did you mean {variable.__name__}(...)?" if isinstance(variable, type) else ""
        raise TypeError(f"{name} must be a latent variable such as Categorical(10), but got {describe(variable)}{hint}")


def check_unique(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Check that no name is in both. Raises ValueError."""
    duplicates = [name for name in first if name in second]
    if duplicates:
        raise ValueError(f"the name {join_names(duplicates)} is used twice in the latent; rename one of them")


def name_and_dim(argument: str, value: object) -> tuple[str, int]:
    """A variable's name and the dimension to vary: the first one, or that of a pair such as ``("style", 1)``.

    Raises TypeError for anything else.
    """
    name, dim = value if isinstance(value, tuple) and len(value) == 2 else (value, 0)
    if not isinstance(name, str):
        raise TypeError(f'{argument} must be a name or a pair such as ("style", 1), but got {describe(value)}')
    return name, dim

"""Names of categories: "7" for the category of a code that became the sevens."""

from collections.abc import Mapping, Sequence
from typing import Any

from infogan_lib._checks import check_items, check_name, describe, join_names, names_by_number
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec

CategoryNames = tuple[str | None, ...]
"""One name per category of a code, None for a category without one."""

LabelNames = Sequence[str] | Mapping[int, str]
"""One name per label, in order or by number."""


def check_category_names(latent: LatentSpec, code: str, names: Any) -> CategoryNames:
    """Return names for the categories of a code if they are valid.

    Args:
        latent: The spec that the code belongs to.
        code: Name of a categorical code.
        names: One different string per category, None for a category without a name; or a dict of them by number,
            such as {0: "zero", 1: "one"}, where those left out have no name; or a dict of any of these by the code.

    Raises:
        KeyError: There is no code of that name.
        TypeError: The code has no categories, or a name is no string.
        ValueError: There are too few or too many names, or one appears twice.
    """
    variable = latent[code]
    if not isinstance(variable, Categorical):
        raise TypeError(f"only the categories of a Categorical have names, and {code!r} is {variable!r}")
    if isinstance(names, Mapping) and set(names) == {code}:
        names = names[code]
    if isinstance(names, Mapping):
        names = names_by_number(f"names of {code!r}", names, variable.k)
    if isinstance(names, (set, frozenset)):
        raise TypeError(f"names of {code!r} must be in order, in a list, but got {describe(names)}")
    is_one = names is None or isinstance(names, str)
    result = (names,) if is_one else tuple(check_items("names", names, "strings in a list"))
    strings = [name for name in result if name is not None]
    if not all(isinstance(name, str) for name in strings):
        raise TypeError(f"names must be strings, or None for a category without one, but got {describe(names)}")
    for name in strings:
        check_name(f"one of the names of {code!r}", name)
    if len(result) != variable.k or len(set(strings)) != len(strings):
        raise ValueError(f"{code!r} needs {variable.k} different names, one per category, but got {describe(names)}")
    return result


def has_categories(latent: LatentSpec) -> bool:
    """Whether a spec has a categorical code."""
    return any(isinstance(variable, Categorical) for variable in latent.codes.values())


def categorical_code(latent: LatentSpec, code: str | None) -> str:
    """The name of a categorical code: the given one, or the only one of the spec.

    Args:
        latent: The spec.
        code: Name of a categorical code, or None.

    Raises:
        KeyError: There is no code of that name.
        TypeError: The code has no categories.
        ValueError: No name is given, and the spec does not have exactly one categorical code.
    """
    categorical = [name for name, variable in latent.codes.items() if isinstance(variable, Categorical)]
    if code is not None:
        if not isinstance(code, str) or code not in categorical:
            variable = latent[code]  # raises for a name that is not in the latent
            raise TypeError(f"code {code!r} is {variable!r}, which has no categories to name")
        return code
    if len(categorical) != 1:
        raise ValueError(f"give the code to name as code=, as there is not exactly one: {join_names(categorical)}")
    return categorical[0]

"""Names of categories: "7" for whichever category of a code became the sevens."""

from collections.abc import Iterable, Mapping
from typing import Any

from infogan_lib._checks import describe, join_names
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec

Names = tuple[str | None, ...]


def checked_names(latent: LatentSpec, code: str, names: Any) -> Names:
    """Names for the categories of a code, one each, None for a category without one.

    Raises:
        KeyError: no code of that name.
        TypeError: a code without categories, or names that are no strings.
        ValueError: too few or too many names, or one that is given twice.
    """
    variable = latent[code]
    if not isinstance(variable, Categorical):
        raise TypeError(f"only the categories of a Categorical have names, and {code!r} is {variable!r}")
    found = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (names,)
    given = [name for name in found if name is not None]
    if not all(isinstance(name, str) for name in given):
        raise TypeError(f"names must be strings, or None for a category without one, but got {describe(names)}")
    if len(found) != variable.k or len(set(given)) != len(given):
        raise ValueError(f"{code!r} needs {variable.k} different names, one a category, but got {describe(names)}")
    return found


def categorical_code(latent: LatentSpec, code: str | None) -> str:
    """The name of a categorical code: the one given, or the only one there is.

    Raises:
        KeyError: no code of that name.
        TypeError: a code without categories.
        ValueError: none given where there is not exactly one.
    """
    categorical = [name for name, variable in latent.codes.items() if isinstance(variable, Categorical)]
    if code is not None:
        if code not in categorical:
            raise TypeError(f"{code!r} is {latent[code]!r}, which has no categories to name")
        return code
    if len(categorical) != 1:
        raise ValueError(f"say which code to name by code=, as there is not just one: {join_names(categorical)}")
    return categorical[0]


def numbered(latent: LatentSpec, names: Mapping[str, Names], codes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of codes, with the names of categories replaced by their numbers.

    Raises:
        ValueError: a name that no category of the code has.
    """
    return {code: _number(latent, names, code, value) for code, value in codes.items()}


def _number(latent: LatentSpec, names: Mapping[str, Names], code: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_number(latent, names, code, part) for part in value]
    if not isinstance(value, str) or code not in latent:
        return value
    known = names.get(code, ())
    if value in known:
        return known.index(value)
    there = join_names(name for name in known if name) if known else "no names yet; model.set_category_names gives them"
    raise ValueError(f"{code!r} has no category named {value!r}; it has {there}")

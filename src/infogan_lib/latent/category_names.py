"""Values of codes as a user gives them, ``digit=7`` or ``codes={"digit": "seven"}``, and names of categories."""

from collections.abc import Mapping, Sequence
from typing import Any

from infogan_lib._checks import check_items, check_name, describe, join_names, names_by_number, shorten
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


def categorical_names(latent: LatentSpec) -> list[str]:
    """The names of a spec's categorical codes, in order."""
    return [name for name, variable in latent.codes.items() if isinstance(variable, Categorical)]


def only_categorical_code(latent: LatentSpec) -> str | None:
    """The name of a spec's one categorical code, None if there are several or none."""
    names = categorical_names(latent)
    return names[0] if len(names) == 1 else None


def categorical_code(latent: LatentSpec, code: str | None) -> str:
    """The name of a categorical code: the given one, or the only one of the spec if None.

    Raises:
        KeyError: There is no code of that name.
        TypeError: The code has no categories.
        ValueError: No name is given, and the spec does not have exactly one categorical code.
    """
    categorical = categorical_names(latent)
    if code is not None:
        if not isinstance(code, str) or code not in categorical:
            variable = latent[code]  # raises for a name that is not in the latent
            raise TypeError(f"code {code!r} is {variable!r}, which has no categories to name")
        return code
    if (only := only_categorical_code(latent)) is None:
        raise ValueError(f"give the code to name as code=, as there is not exactly one: {join_names(categorical)}")
    return only


RESERVED_NAMES = frozenset({"codes", "dim", "high", "low", "n", "rng", "seed", "steps"})
"""Arguments of `InfoGAN.sample` and `InfoGAN.traverse`: a code of such a name is set by ``codes={...}`` only."""


_DEEPEST = 3


def code_values(
    latent: LatentSpec,
    category_names: Mapping[str, CategoryNames],
    codes: Mapping[str, Any] | None,
    keywords: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Values by name, given as one mapping or as keywords, with category names replaced by the categories' indices.

    Raises:
        TypeError: `codes` is no mapping.
        ValueError: A code is given both ways, a keyword is one of `RESERVED_NAMES`, or no category of a code has a
            given name.
    """
    codes, keywords = {} if codes is None else codes, keywords or {}
    if not isinstance(codes, Mapping):
        raise TypeError(f"codes must be a mapping of names to values such as {{'digit': 7}}, but got {describe(codes)}")
    reserved = [name for name in keywords if name in RESERVED_NAMES and name in latent]
    if reserved:
        raise ValueError(
            f"{join_names(reserved)} cannot be set by keyword, as InfoGAN.sample or traverse has an argument of that "
            f"name; give codes={{{reserved[0]!r}: ...}} instead"
        )
    duplicates = [name for name in keywords if name in codes]
    if duplicates:
        raise ValueError(f"{join_names(duplicates)} is given in codes= and as a keyword; leave one of them out")
    return {name: _to_indices(latent, category_names, name, value) for name, value in {**codes, **keywords}.items()}


def _to_indices(
    latent: LatentSpec, category_names: Mapping[str, CategoryNames], code: str, value: Any, depth: int = 0
) -> Any:
    if isinstance(value, (list, tuple)):
        if depth > _DEEPEST:
            raise ValueError(f"{code} must be numbers or names in a list of at most {_DEEPEST} levels")
        return [_to_indices(latent, category_names, code, item, depth + 1) for item in value]
    if not isinstance(value, str) or code not in latent:
        return value
    names = category_names.get(code, ())
    if value in names:
        return names.index(value)
    available = join_names(filter(None, names)) if names else "no names yet; model.set_category_names sets them"
    raise ValueError(f"{code!r} has no category named {shorten(value)}; it has {available}")

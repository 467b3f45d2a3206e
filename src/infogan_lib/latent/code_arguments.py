"""Values of codes as a user gives them: ``digit=7``, ``codes={"digit": 7}`` or ``digit="seven"``."""

from collections.abc import Mapping
from typing import Any

from infogan_lib._checks import describe, join_names, shorten
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec

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

"""The runs of a sweep: combinations of settings, what tables and folders call them, and seeds."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from infogan_lib._checks import check_int, check_items, check_name, describe
from infogan_lib.experiments.worker import COLUMNS, Job

_MAX_RUNS = 10_000
"""The most runs of a sweep, each of which is a process and a folder."""


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """The seeds, each once."""
    given = check_items("seeds", seeds, "whole numbers in a list, such as range(3)", _MAX_RUNS)
    found = list(dict.fromkeys(check_int("one of seeds", seed, minimum=0) for seed in given))
    if not found:
        raise ValueError("seeds must be at least one whole number, but got none")
    return found


def combinations(grid: Any, num_seeds: int) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The combinations of settings: what tables call the values, and the values."""
    if grid is not None and not isinstance(grid, Mapping):
        raise TypeError(f"grid must be a mapping of settings to their values, but got {describe(grid)}")
    named: list[list[tuple[str, str, Any]]] = []
    runs = num_seeds
    for name, values in (grid or {}).items():
        if check_name("a setting of grid", name) in COLUMNS:
            raise ValueError(f"grid: a setting must not be named {name!r}, as a column of the tables is")
        if not isinstance(values, (Mapping, Sequence)) or isinstance(values, (str, bytes)) or len(values) == 0:
            raise ValueError(
                f"grid: {name!r} must have values in a list, or a dict by name, but got {describe(values)}"
            )
        runs *= len(values)
        if runs > _MAX_RUNS:
            raise ValueError(f"grid and seeds must make at most {_MAX_RUNS:,} runs, but with {name!r} make {runs:,}")
        pairs = values.items() if isinstance(values, Mapping) else [(_label(name, value), value) for value in values]
        named.append([(name, check_name(f"a name in grid[{name!r}]", label), value) for label, value in pairs])
    return [
        ({name: label for name, label, _ in combination}, {name: value for name, _, value in combination})
        for combination in itertools.product(*named)
    ]


def folder_name(labels: Mapping[str, str], seed: int) -> str:
    """The name of a run's folder; where a label had to be shortened or changed, with a part of its hash."""
    text = ",".join([*(f"{name}={label}" for name, label in labels.items()), f"seed={seed}"])
    name = re.sub(r"[^\w.,=+-]+", "_", text)[:120]
    return name if name == text else f"{name}-{sha256(text.encode()).hexdigest()[:8]}"


def check_apart(jobs: Sequence[Job]) -> None:
    """Check that no two runs share a folder, also where names do not differ by their case."""
    labels = dict[str, Mapping[str, str]]()
    for job in jobs:
        other = labels.setdefault(job.folder.name.casefold(), job.labels)
        if other is not job.labels:
            raise ValueError(
                f"grid: {dict(other)} and {dict(job.labels)} have one folder, {job.folder.name}; give the values in a "
                "dict by name, with names that differ"
            )


def _label(name: str, value: object) -> str:
    """What tables call a value: its text, which must be the same in every process."""
    text = value if isinstance(value, str) else repr(value)
    if re.search(r" at 0x[0-9a-f]+", text) or len(text) > 200:
        raise ValueError(
            f"grid: a value of {name!r} has no short name of its own, {describe(value)}; give the values in a dict by "
            f"name, such as {{{name!r}: {{'first': ...}}}}"
        )
    return text

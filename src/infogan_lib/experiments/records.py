"""Runs as their folders tell of them: settings, metrics and history."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infogan_lib.checkpoints.run_folder import latest_metadata
from infogan_lib.checkpoints.segments import from_manifest
from infogan_lib.experiments.run_metrics import RESULT, training_metrics
from infogan_lib.recipes import RunError
from infogan_lib.training.history import History

_RECIPE, _LINES = "recipe.json", "metrics.jsonl"

_SETTINGS = {"recipe", "width", "seed", "device", "batch_size", "all_digits", "data"}
"""What a flat result.json, as `infogan train` and the examples write it, holds beside metrics."""


@dataclass(frozen=True)
class RunRecord:
    """A run that was read from its folder.

    Attributes:
        folder: The folder.
        settings: Settings by name, as text.
        metrics: Metrics of the finished run, and means of its last steps.
        history: Metrics by step.
    """

    folder: Path
    settings: dict[str, str]
    metrics: dict[str, float]
    history: History

    @property
    def seed(self) -> str:
        """The seed as text, "" if it is not known."""
        return self.settings.get("seed", "")


def find_runs(folder: Path) -> list[Path]:
    """A run's folder, or those of the runs in it, such as the runs of a sweep.

    Raises:
        RunError: If there is neither.
    """
    if _is_run(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_run(path)] if folder.is_dir() else []
    if not inside:
        raise RunError(f"{folder}: neither a run nor a folder of runs; a run has checkpoints/, {RESULT} or {_LINES}")
    return inside


def read_run(folder: Path) -> RunRecord:
    """Read what the folder of a run holds: checkpoints, result.json, recipe.json, metrics.jsonl, as far as there.

    Raises:
        RunError: If one of the files cannot be read.
    """
    settings, metrics, history = dict[str, str](), dict[str, float](), History()
    found = latest_metadata(folder)
    if found is not None:
        path, metadata = found
        settings |= dict(flatten(metadata.get("settings", {})))
        history.restore(from_manifest(path, metadata), path)
    elif (folder / _LINES).exists():
        for line in (folder / _LINES).read_text(encoding="utf-8").splitlines():
            row = _parse(folder / _LINES, line)
            step = row.pop("step")
            history.record(step, {name: math.nan if value is None else value for name, value in row.items()})
    for name in (_RECIPE, RESULT):
        if not (folder / name).exists():
            continue
        content = _parse(folder / name, (folder / name).read_text(encoding="utf-8"))
        if "metrics" in content:
            settings |= dict(flatten({**content.get("settings", {}), "seed": content.get("seed", "")}))
            metrics |= content["metrics"]
            continue
        is_number = {key: isinstance(value, (int, float)) for key, value in content.items()}
        settings |= {key: str(value) for key, value in content.items() if key in _SETTINGS | {"name"}}
        if name == RESULT:
            metrics |= {key: value for key, value in content.items() if is_number[key] and key not in _SETTINGS}
    return RunRecord(folder, settings, training_metrics(history) | metrics, history)


def flatten(settings: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as names with dots and text.

    The items of a list are told apart by their "name" or number; the only item of an inner list stands for the list.

    Args:
        settings: Settings as a checkpoint keeps them.
        prefix: Name of the part that they are of, with a dot at its end.
    """
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if not (name == "name" and prefix):
                yield from flatten(value, f"{prefix}{name}.")
    elif isinstance(settings, Sequence) and settings and all(isinstance(item, Mapping) for item in settings):
        for i, item in enumerate(settings):
            own = item.get("name", i)
            is_only = len(settings) == 1 and "name" not in item and prefix.count(".") > 1
            yield from flatten(item, f"{prefix[:-1].rpartition('.')[0]}." if is_only else f"{prefix}{own}.")
    else:
        yield prefix.rstrip("."), settings if isinstance(settings, str) else str(settings)


def differing(records: Sequence[RunRecord]) -> list[str]:
    """Names of the settings that are not the same in all runs, other than the seed."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    return [name for name in names if name != "seed" and len({record.settings.get(name) for record in records}) > 1]


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("checkpoints", RESULT, _LINES))


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: cannot be read: it holds no names")
    return content

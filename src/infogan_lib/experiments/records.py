"""Runs as their folders tell of them: settings, metrics and history."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infogan_lib._checks import describe
from infogan_lib._schema import MAX_STEPS, Int
from infogan_lib.checkpoints.disk import CheckpointError
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
        try:
            history.restore(from_manifest(path, metadata), path)
        except CheckpointError as error:
            raise RunError(str(error)) from error
    elif (folder / _LINES).exists():
        _record_lines(history, folder / _LINES)
    for name in (_RECIPE, RESULT):
        path = folder / name
        if not path.exists():
            continue
        content = _parse(path, _read(path))
        if "metrics" in content:
            own = {part: _names(path, part, content.get(part, {})) for part in ("settings", "metrics")}
            settings |= dict(flatten({**own["settings"], "seed": content.get("seed", "")}))
            metrics |= {key: _number(path, key, value) for key, value in own["metrics"].items()}
            continue
        settings |= {key: str(value) for key, value in content.items() if key in _SETTINGS | {"name"}}
        if name == RESULT:
            numbers = {key: value for key, value in content.items() if isinstance(value, (int, float))}
            metrics |= {key: _number(path, key, value) for key, value in numbers.items() if key not in _SETTINGS}
    return RunRecord(folder, settings, training_metrics(history) | metrics, history)


def _record_lines(history: History, path: Path) -> None:
    """Record the metrics in a log; a run that was killed may have left half a line at its end."""
    for line in _read(path).splitlines(keepends=True):
        try:
            row = _parse(path, line)
        except RunError:
            if line.endswith("\n"):
                raise
            break
        step = row.pop("step", None)
        try:
            Int(high=MAX_STEPS).check(step, "step")
        except ValueError as error:
            raise RunError(f"{path}: cannot be read: {error}") from error
        history.record(step, {name: _number(path, name, value) for name, value in row.items()})


def _number(path: Path, name: str, value: Any) -> float:
    """The value of a metric; None, as JSON has no NaN, is one."""
    try:
        if value is None or isinstance(value, (int, float)):
            return math.nan if value is None else float(value)
    except OverflowError:
        pass
    raise RunError(f"{path}: cannot be read: {name} must be a number, but got {describe(value)}")


def _names(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RunError(f"{path}: cannot be read: {name} must be an object of names, but got {describe(value)}")
    return value


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


def _read(path: Path) -> str:
    if not path.is_file():  # opening a pipe would wait for its other end
        raise RunError(f"{path}: cannot be read: it is no file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: cannot be read: it holds no names")
    return content

"""Runs as their folders tell of them: settings, metrics and history."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from infogan_lib._checks import MAX_NAME, describe, one_line, shorten
from infogan_lib._schema import MAX_EXACT_INT, MAX_STEPS, Int, ListOf, MapOf, Plain, Record, Text
from infogan_lib.checkpoints.disk import CheckpointError, is_folder, open_regular
from infogan_lib.checkpoints.json_file import parse_json, read_object
from infogan_lib.checkpoints.run_folder import latest_metadata
from infogan_lib.checkpoints.segments import from_manifest
from infogan_lib.experiments.run_metrics import RESULT, training_metrics
from infogan_lib.history.history import History
from infogan_lib.recipes import RunError

_RECIPE, _LINES = "recipe.json", "metrics.jsonl"

_LONGEST_LINE, _LONGEST_SETTING, _MAX_METRICS = 2**20, 1000, 10_000

_MAX_LOOKED_AT = 10**7
"""The most metrics that are looked at, all lines together that go back, so that no log takes hours."""

_RESULT = Record(
    {"metrics": MapOf(Plain()), "settings": MapOf(Plain()), "seed": Plain(), "symptoms": ListOf(Text())},
    optional=frozenset({"settings", "seed", "symptoms"}),
    is_open=True,
)
"""What a result.json holds that a run of `infogan train` or of a sweep has written."""

_ROW = Record({"step": Int(0, MAX_STEPS)}, is_open=True)

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
        symptoms: What the monitor of the run saw; None if the run does not say.
    """

    folder: Path
    settings: dict[str, str]
    metrics: dict[str, float]
    history: History
    symptoms: list[str] | None = None

    @property
    def seed(self) -> str:
        """The seed as text, "" if it is not known."""
        return self.settings.get("seed", "")


def find_runs(folder: Path) -> list[Path]:
    """A run's folder, or those of the runs in it, such as the runs of a sweep. Raises RunError if there is neither."""
    if _is_run(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_run(path)] if is_folder(folder) else []
    if not inside:
        raise RunError(f"{folder}: neither a run nor a folder of runs; a run has checkpoints/, {RESULT} or {_LINES}")
    return inside


def read_run(folder: Path) -> RunRecord:
    """Read what the folder of a run holds: checkpoints, result.json, recipe.json, metrics.jsonl, as far as there.

    Raises RunError if one of the files cannot be read.
    """
    settings, metrics, history, symptoms = dict[str, str](), dict[str, float](), History(), None
    found = latest_metadata(folder)
    if found is not None:
        path, metadata, _, held = found
        settings |= _flat_settings(path, metadata.get("settings", {}))
        try:
            history.restore(from_manifest(path, metadata), path, held)
        except CheckpointError as error:
            raise RunError(str(error)) from error
    elif (folder / _LINES).exists():
        _read_lines(folder / _LINES, history)
    for name in (_RECIPE, RESULT):
        path = folder / name
        if not path.exists():
            continue
        content = read_result(path)
        if "metrics" in content:
            settings |= _flat_settings(path, {**content.get("settings", {}), "seed": content.get("seed", "")})
            metrics |= content["metrics"]
            symptoms = content.get("symptoms")
            continue
        settings |= {key: _as_text(value) for key, value in content.items() if key in _SETTINGS | {"name"}}
        if name == RESULT:
            metrics |= {key: value for key, value in content.items() if _is_number(value) and key not in _SETTINGS}
    return RunRecord(folder, settings, training_metrics(history) | metrics, history, symptoms)


def read_result(path: Path) -> dict[str, Any]:
    """The content of a result.json, or of a recipe.json. Raises RunError if it is anything else."""
    try:
        content = read_object(path, follow=True)
        if "metrics" in content:
            _RESULT.check(content, "it")
            _check_metrics(content["metrics"])
        _check_count(content)
    except (CheckpointError, ValueError) as error:
        raise _unreadable(path, error) from error
    return content


def _flat_settings(path: Path, settings: Any) -> dict[str, str]:
    """Settings from a file as `flatten` gives them. Raises RunError for too many, or for those nested too deep."""
    try:
        MapOf(Plain()).check(settings, "settings")
        found = list(islice(flatten(settings), _MAX_METRICS + 1))
        _check_count(found, "settings")
    except ValueError as error:
        raise _unreadable(path, error) from error
    return dict(found)


def flatten(settings: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings, as a checkpoint keeps them, as text by names with dots; a prefix ends in a dot.

    The items of a list are told apart by their "name" or number; the only item of an inner list stands for the list.
    """
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if not (name == "name" and prefix):
                yield from flatten(value, f"{prefix}{_as_text(name)}.")
    elif isinstance(settings, Sequence) and settings and all(isinstance(item, Mapping) for item in settings):
        for i, item in enumerate(settings):
            own = _as_text(item.get("name", i))
            is_only = len(settings) == 1 and "name" not in item and prefix.count(".") > 1
            yield from flatten(item, f"{prefix[:-1].rpartition('.')[0]}." if is_only else f"{prefix}{own}.")
    else:
        yield _as_text(prefix.rstrip(".")), _as_text(settings)


def differing(records: Sequence[RunRecord]) -> list[str]:
    """Names of the settings that are not the same in all runs, other than the seed."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    return [name for name in names if name != "seed" and len({record.settings.get(name) for record in records}) > 1]


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("checkpoints", RESULT, _LINES))


def _read_lines(path: Path, history: History) -> None:
    """Record the lines of a log of metrics: a step and numbers, null for NaN.

    A line takes the place of those before it of its step and later ones, which a run has left that was begun again.
    """
    names, last, looked_at = set[str](), -1, 0
    try:
        file, _ = open_regular(path, follow=True)
        with file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                try:
                    row = parse_json(path, line)
                except CheckpointError:
                    if line.endswith(b"\n") or len(line) == _LONGEST_LINE:
                        raise
                    break  # a run that was killed may have left half a line at its end
                try:
                    _ROW.check(row, "it")
                    step = row.pop("step")
                    metrics = {name: math.nan if value is None else value for name, value in row.items()}
                    if step <= last:
                        looked_at += len(names)
                        if looked_at > _MAX_LOOKED_AT:
                            raise ValueError("its steps go back too often")
                        history.truncate(step - 1)
                    history.record(step, _check_metrics(metrics))
                    last = step
                    names.update(metrics)
                    _check_count(names)
                except ValueError as error:
                    raise CheckpointError(path, f"line {number}: {error}") from error
    except (CheckpointError, OSError) as error:
        raise _unreadable(path, error) from error


def _check_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Return metrics that are numbers by name, or raise a ValueError that names the one that is not."""
    _check_count(metrics)
    for name, value in metrics.items():
        if not _is_number(value) or not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"its metric {shorten(name)} must be a number, but is {describe(value)}")
    return metrics


def _check_count(names: Collection[Any], kind: str = "metrics") -> None:
    """Check that there are not too many metrics, or others, for a page."""
    if len(names) > _MAX_METRICS:
        raise ValueError(f"it must hold at most {_MAX_METRICS:,} {kind}, but holds more")


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= MAX_EXACT_INT)


def _as_text(value: object) -> str:
    """A setting as a page shows it."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SETTING else f"{text[:_LONGEST_SETTING]}..."


def _unreadable(path: Path, error: Exception) -> RunError:
    reason = error.reason if isinstance(error, CheckpointError) else str(error)
    return RunError(f"{path}: cannot be read: {one_line(reason)}")

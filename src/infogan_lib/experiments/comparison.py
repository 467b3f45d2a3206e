"""One page on several runs: the settings that differ, metrics with their spread over seeds, and curves."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from infogan_lib._checks import check_items, check_path, check_text
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.experiments.records import RunRecord, differing, find_runs, read_run
from infogan_lib.experiments.spread import Spread, number
from infogan_lib.viz import html
from infogan_lib.viz.curves import plot_runs

_MAX_CURVES = 12
"""The most metrics that have curves."""

_MAX_LABEL = 40
"""The most characters of the settings that name a group; where there are more, a folder of the group names it."""

_FIRST = ("accuracy", "purity", "nmi", "digits", "labels_found")
"""Metrics that stand in front of all others."""


def compare(
    runs: Iterable[str | os.PathLike[str]],
    path: str | os.PathLike[str] = "comparison.html",
    *,
    title: str = "Runs side by side",
) -> Path:
    """Write one HTML page on several runs, which needs no network. Needs matplotlib.

    Runs that differ in nothing but their seeds are one group, whose metrics have a mean, a spread and a worst value.

    Args:
        runs: Folders of runs, with checkpoints, result.json or metrics.jsonl in them; or folders of such folders, such
            as the one of a sweep.
        path: Path of the page. Its folder is created if missing, and an existing file is replaced.
        title: Title of the page.

    Returns:
        The path of the page.

    Raises:
        RunError: If a folder holds no run, or one of its files cannot be read.
        TypeError: If `runs` are no paths.
        ValueError: If there are no runs.
        ImportError: If matplotlib is not installed.
        OSError: If the page cannot be written.
    """
    if isinstance(runs, (str, bytes, os.PathLike)):
        runs = [os.fsdecode(runs)]
    runs = check_items("runs", runs, "folders in a list, such as ['runs/a', 'runs/b']")
    out, title = check_path("path", path), check_text("title", title, lines=True)
    folders = [found for run in runs for found in find_runs(check_path("one of runs", run))]
    if not folders:
        raise ValueError("runs must be at least one folder, but got none")
    records = [read_run(folder) for folder in dict.fromkeys(folders)]
    settings = differing(records)
    groups = _grouped(records, settings)
    seeds = sum(len(group) for group in groups.values())
    lead = f"{seeds} runs in {len(groups)} group{'s'[: len(groups) != 1]}; those of a group differ in their seeds only."
    parts = [html.heading(title, lead, level=1)]
    parts += [*_settings(records, groups, settings), *_metrics(groups), *_each_run(groups), *_curves(groups)]
    write_whole(out, html.page(title, parts).encode(errors="backslashreplace"))
    return out


def _grouped(records: Sequence[RunRecord], settings: Sequence[str]) -> dict[str, list[RunRecord]]:
    """The runs that share the settings that differ elsewhere, by a short name of the group."""
    by_settings: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        by_settings.setdefault(tuple(record.settings.get(name, "") for name in settings), []).append(record)
    last_parts = [".".join(name.split(".")[-2:]) for name in settings]
    groups: dict[str, list[RunRecord]] = {}
    for i, (values, group) in enumerate(by_settings.items()):
        letter = chr(ord("A") + i) if i < 26 else str(i + 1)
        name = ", ".join(f"{part} {value}" for part, value in zip(last_parts, values, strict=True))
        if not 0 < len(name) <= _MAX_LABEL:
            name = group[0].folder.name
        groups[f"{letter}: {name}"] = group
    return groups


def _settings(records: Sequence[RunRecord], groups: dict[str, list[RunRecord]], settings: Sequence[str]) -> list[str]:
    same = len({name for record in records for name in record.settings}) - len(settings)
    text = f"{same} other settings are the same in all runs." if settings else "No settings but the seeds differ."
    parts = [html.heading("Settings that differ", text)]
    rows = [[name, *(group[0].settings.get(name, "not known") for group in groups.values())] for name in settings]
    if rows:
        parts.append(html.table(rows, header=["setting", *groups], caption="Settings by group of runs"))
    return parts


def _metrics(groups: dict[str, list[RunRecord]]) -> list[str]:
    rows = []
    for metric in _names(groups):
        row = [metric]
        for group in groups.values():
            values = [record.metrics[metric] for record in group if metric in record.metrics]
            row.append(str(Spread.of(metric, values)) if values else "")
        rows.append(row)
    lead = "Mean ± standard deviation over the seeds, and the worst seed. Losses and bounds: the last 100 steps."
    return [
        html.heading("Metrics", lead),
        html.table(
            rows, header=["metric", *groups], numeric=range(1, len(groups) + 1), caption="Metrics by group of runs"
        ),
    ]


def _each_run(groups: dict[str, list[RunRecord]]) -> list[str]:
    names = _names(groups)[:6]
    rows = [
        [label.partition(":")[0], record.folder.name, record.seed]
        + [number(record.metrics[name]) if name in record.metrics else "" for name in names]
        for label, group in groups.items()
        for record in group
    ]
    header = ["group", "run", "seed", *names]
    table = html.table(rows, header=header, numeric=range(2, len(header)), caption="Each run")
    return [html.heading("Runs"), table]


def _curves(groups: dict[str, list[RunRecord]]) -> list[str]:
    runs = [(label, record.history) for label, group in groups.items() for record in group]
    recorded = dict.fromkeys(name for _, history in runs for name in history)
    shown = [name for name in recorded if name.startswith(("bound/", "mse/", "eval/"))]
    shown += [name for name in ("loss/d", "loss/g", "d_real") if name in recorded]
    if not shown:
        return []
    lead = "One line for each run, a running mean; runs of a group share a color."
    figures = [html.figure(plot_runs(runs, name), f"{name} by step", caption=name) for name in shown[:_MAX_CURVES]]
    return [html.heading("Curves", lead), html.side_by_side(figures)]


def _names(groups: dict[str, list[RunRecord]]) -> list[str]:
    """Names of all metrics, those of `_FIRST` in front."""
    names = dict.fromkeys(name for group in groups.values() for record in group for name in record.metrics)
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))

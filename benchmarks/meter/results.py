"""The file of results, one line of JSON per run, and its tables."""

import json
import os
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

COLUMNS: dict[str, tuple[str, str, bool]] = {
    "accuracy": ("accuracy", ".1%", True),
    "class_accuracy": ("class mean", ".1%", True),
    "classes": ("classes", ".1f", True),
    "asked": ("asked", ".1%", True),
    "asked_worst": ("worst class", ".1%", True),
    "frechet": ("Frechet", ".1f", False),
    "kernel": ("kernel", ".3f", False),
    "precision": ("precision", ".2f", True),
    "recall": ("recall", ".2f", True),
    "density": ("density", ".2f", True),
    "coverage": ("coverage", ".2f", True),
    "noise": ("noise", ".2f", True),
    "style": ("style", ".2f", True),
    "style_change": ("style's change", ".2f", True),
    "bound": ("bound", ".2f", True),
    "minutes": ("minutes", ".1f", False),
    "cpu_minutes": ("CPU minutes", ".1f", False),
}
"""Header, format, and whether the smallest value is the worst, by figure."""


def append_record(path: Path, record: Record) -> None:
    """Append a line in one write, so that processes can share the file.

    Args:
        path: The file; its folder is made.
        record: The run's key, settings and figures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        broken = size > 0 and file.read(1) != b"\n"  # a line that was cut off
        os.write(file.fileno(), (b"\n" if broken else b"") + json.dumps(record).encode() + b"\n")


def read_records(path: Path) -> list[Record]:
    """Read the lines of a file; none if there is no file. A line that was cut off is skipped.

    Returns:
        The last record of each key, in the order of the keys' first lines.
    """
    records: dict[str, Record] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "key" in record:
                records[record["key"]] = record
    return list(records.values())


def table(records: Iterable[Record]) -> str:
    """A Markdown table: mean, standard deviation and worst of each figure, a row for each configuration.

    The row "real images" has the figures of one half of the real images against the other.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        group = tuple(record[name] for name in ("data", "select", "networks", "label", "steps", "batch_size"))
        group += (record["channels"], record["init"], tuple(record["settings"]))
        groups.setdefault(group, []).append(record)
    header = ["data", "networks", "settings", "runs", *(column[0] for column in COLUMNS.values())]
    lines = [header, ["---"] * len(header)]
    last = None
    for (data, select, networks, label, steps, batch_size, channels, init, settings), group in groups.items():
        done = [record for record in group if "error" not in record]
        if done and (data, select) != last:
            last = (data, select)
            ceiling = done[0]["ceiling"]
            cells = [format(ceiling[name], COLUMNS[name][1]) if name in ceiling else "" for name in COLUMNS]
            source = "all" if not done[0]["held_out"] else "test" if select == "test" else "held back"
            lines.append([data, f"real images ({source}, {done[0]['samples']:,})", "", "", *cells])
        details = [*settings, f"{steps} steps", f"batch {batch_size}"]
        details += [f"{channels} channels", f"init {init}"] if channels else []
        runs = str(len(group)) + (f", {len(group) - len(done)} failed" if len(done) < len(group) else "")
        cells = [summary([record[name] for record in done], *COLUMNS[name][1:]) for name in COLUMNS]
        lines.append([data, networks, ", ".join([*([label] if label else []), *details]), runs, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(values: list[float | None], form: str, low_is_worst: bool) -> str:
    """Mean, standard deviation and worst of some values, such as "97.0% ± 0.3% (96.5%)"."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean, worst = format(statistics.mean(known), form), format((min if low_is_worst else max)(known), form)
    return mean if len(known) == 1 else f"{mean} ± {format(statistics.stdev(known), form)} ({worst})"

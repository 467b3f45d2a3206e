"""A sweep: the same training over several seeds and settings, each run in a process of its own.

A run that was interrupted resumes, as every run with checkpoints does, and a finished one is not trained again: a sweep
that was stopped, even by a kill, is finished by the same program started once more.
"""

import csv
import io
import logging
import math
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from infogan_lib._checks import (
    check_function,
    check_int,
    check_path,
    describe,
    join_names,
    shorten,
)
from infogan_lib.checkpoints.disk import makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.together import write_together
from infogan_lib.distributed.launch import launched_size
from infogan_lib.experiments.grid import check_apart, check_seeds, combinations, folder_name
from infogan_lib.experiments.records import read_result
from infogan_lib.experiments.run_metrics import RESULT
from infogan_lib.experiments.spread import Spread
from infogan_lib.experiments.worker import COLUMNS, ERROR, Job, check_training, run_job
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.recipes import RunError
from infogan_lib.recipes.recipe import Recipe

if TYPE_CHECKING:
    from pandas import DataFrame

_log = logging.getLogger(__name__)

_SECONDS_TO_SAVE = 60.0
"""The time that a run has to save when the sweep is stopped."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep measured.

    Attributes:
        folder: Folder of the sweep, with ``runs.csv`` and ``summary.csv``.
        runs: A row for each run: its folder, settings, seed, metrics, and "error", which is "" for a finished run.
        settings: Names of the settings that vary.
    """

    folder: Path
    runs: list[dict[str, Any]]
    settings: tuple[str, ...]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        known = COLUMNS.union(self.settings)
        return list(dict.fromkeys(name for row in self.runs for name in row if name not in known))

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of the runs that were not finished."""
        return [row for row in self.runs if row["error"]]

    def spread(self, metric: str) -> dict[tuple[str, ...], Spread]:
        """Mean, standard deviation and worst value of a metric over the seeds, by the values of the settings.

        Args:
            metric: Name of the metric.

        Raises:
            KeyError: If no run has that metric.
        """
        if metric not in self.metrics:
            raise KeyError(f"no run has a metric {shorten(metric)}; there are {join_names(self.metrics)}")
        values: dict[tuple[str, ...], list[float]] = {}
        for row in self.runs:
            if metric in row:
                values.setdefault(tuple(row[name] for name in self.settings), []).append(row[metric])
        return {point: Spread.of(metric, found) for point, found in values.items()}

    def to_frame(self) -> "DataFrame":
        """The runs as a pandas DataFrame.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"to_frame needs pandas: pip install pandas; {self.folder}/runs.csv is there") from error
        return pandas.DataFrame(self.runs)

    def __str__(self) -> str:
        """A table of all metrics for each combination of settings."""
        lines = []
        spreads = {metric: self.spread(metric) for metric in self.metrics}
        for point in dict.fromkeys(tuple(row[name] for name in self.settings) for row in self.runs):
            lines.append(", ".join(f"{name} = {value}" for name, value in zip(self.settings, point, strict=True)))
            lines += [f"  {metric:<24} {found[point]}" for metric, found in spreads.items() if point in found]
        lines += [f"failed: {row['run']}: {row['error']}" for row in self.failed]
        return "\n".join(line for line in lines if line)


def sweep(
    make_recipe: Callable[..., Recipe],
    data: Any,
    *,
    out: str | os.PathLike[str],
    seeds: Iterable[int] = range(3),
    grid: Mapping[str, Sequence[Any] | Mapping[str, Any]] | None = None,
    test: Any = None,
    evaluate: Callable[[InfoGAN], Mapping[str, float]] | None = None,
    processes: int = 1,
) -> SweepResult:
    """Train a recipe for every seed and every combination of settings, each run in a process of its own.

    Functions must be importable by other processes: defined in a file, and the call of `sweep` in a script below
    ``if __name__ == "__main__":``. Ctrl-C saves the runs and stops; the same call resumes. A finished run is not
    trained again: to repeat it, remove its folder. With another `test` or `evaluate` it is only measured again.

    Args:
        make_recipe: Function ``(seed=..., **settings) -> Recipe``, such as
            ``functools.partial(recipes.get, "default")``.
        data: Images as for `fit`, (images, labels), or a function without arguments that returns either, which each
            run calls for itself. Tensors and arrays are resized to the recipe's size.
        out: Folder of the sweep. Each run has a folder in it, from which it resumes.
        seeds: Seeds of the runs.
        grid: Values of each setting, all of whose combinations are trained, ``{"width": [0.5, 1.0]}``; a mapping gives
            values names, ``{"optimizers": {"slow": Optimizers(g=1e-4)}}``. None for the recipe as it is.
        test: Images and labels, or a function that returns them, for accuracy, purity and NMI of the categories.
        evaluate: Function ``model -> {name: number}`` of further metrics.
        processes: Number of runs at a time, which share the CPU's threads, or a GPU's memory.

    Returns:
        The result. ``out/runs.csv`` has a row for each run, ``out/summary.csv`` the mean, standard deviation and worst
        value of each metric over the seeds. Losses, bounds and squared errors are means over the last 100 steps.

    Raises:
        TypeError: If an argument has the wrong type, or a function that other processes cannot import.
        ValueError: If there are no seeds, a setting has no values, two runs have one name, a run of that name was
            trained with something else, or torchrun has started several processes that are each to train several
            runs at a time.
        KeyboardInterrupt: If the sweep was stopped; its runs are saved.
        CheckpointError: If the sweep's folder cannot be written to, or another process has been writing into it for a
            minute; what is trained is saved.
    """
    if not callable(make_recipe):
        raise TypeError(
            f"make_recipe must be a function (seed=..., **settings) -> Recipe, but got {describe(make_recipe)}"
        )
    if not callable(data) and not _is_images(data) and not _is_labeled(data):
        raise TypeError(
            f"data must be images, (images, labels) or a function that returns them, but got {describe(data)}"
        )
    if test is not None and not callable(test) and not _is_labeled(test):
        raise TypeError(f"test must be (images, labels), or a function that returns them, but got {describe(test)}")
    if evaluate is not None:
        check_function("evaluate", evaluate, "a function of a model that returns {name: number}", 1)
    folder, count = check_path("out", out), check_int("processes", processes, minimum=1, maximum=1024)
    if count > 1 and launched_size() > 1:
        raise ValueError(
            f"processes must be 1 in a program that torchrun has started, whose {launched_size()} processes share each "
            f"run, but got {count}; start the program without torchrun to train several runs at a time"
        )
    all_seeds = check_seeds(seeds)
    points = combinations(grid, len(all_seeds))
    threads = None if count == 1 else max(1, (os.cpu_count() or 1) // count)
    for name, function in {"make_recipe": make_recipe, "data": data, "test": test, "evaluate": evaluate}.items():
        _check_importable(name, function)
    jobs = [
        Job(folder / folder_name(labels, seed), make_recipe, data, test, evaluate, seed, settings, labels, threads)
        for labels, settings in points
        for seed in all_seeds
    ]
    check_apart(jobs)
    for job in jobs:
        check_training(job.folder, job.training)
    with os_errors_as_checkpoint_errors(folder, "making the folder of the sweep"):
        makedirs_synced(folder)
    statuses = _run_all([job for job in jobs if not _is_finished(job)], count)
    result = SweepResult(folder, [_row(job, statuses.get(job.folder, 0)) for job in jobs], tuple(points[0][0]))
    _write_tables(result)
    return result


def _is_labeled(data: Any) -> bool:
    """Whether data is a pair of images and labels."""
    return isinstance(data, tuple) and len(data) == 2 and _is_images(data[0])


def _is_images(data: Any) -> bool:
    return isinstance(data, (Tensor, np.ndarray, Dataset))


def _check_importable(name: str, value: Any) -> None:
    """Check that another process can import a function."""
    if not callable(value):
        return
    inner = getattr(value, "func", value)  # of a functools.partial
    by_hand = getattr(inner, "__module__", "") == "__main__" and not hasattr(sys.modules["__main__"], "__file__")
    try:
        pickle.dumps(value)
    except Exception as error:
        reason: object = error
    else:
        reason = "it was defined at a prompt or in a notebook" if by_hand else None
    if reason is not None:
        raise TypeError(
            f"{name} must be a function that other processes can import, such as one defined in a .py file, but got "
            f"{describe(value)}: {reason}"
        )


def _run_all(jobs: Sequence[Job], count: int) -> dict[Path, int]:
    """Run jobs in processes of their own, so many at a time. When this one is stopped, they save and stop.

    Returns the exit statuses by folder.
    """
    context = multiprocessing.get_context("spawn")
    waiting, running, statuses = list(jobs), dict[Any, Job](), dict[Path, int]()
    try:
        while waiting or running:
            while waiting and len(running) < count:
                job = waiting.pop(0)
                if _is_finished(job):  # by another sweep, meanwhile
                    continue
                process = context.Process(target=run_job, args=(job,), name=job.folder.name)
                process.start()
                running[process] = job
            if running:  # nothing would end this otherwise
                connection.wait([process.sentinel for process in running])
            for process in [process for process in running if not process.is_alive()]:
                job = running.pop(process)
                if process.exitcode == 128 + signal.SIGINT:
                    raise KeyboardInterrupt
                statuses[job.folder] = process.exitcode or 0
                state = "finished" if process.exitcode == 0 else f"ended with exit status {process.exitcode}"
                _log.info("%s %s", job.folder, state)
        return statuses
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_SECONDS_TO_SAVE)
            process.kill()


def _result(job: Job) -> dict[str, float] | None:
    """The metrics of a run; None if it has no result, or not of all that is to be measured. Raises RunError."""
    path = job.folder / RESULT
    content = read_result(path) if path.exists() else {"measuring": None}
    if content.get("measuring", job.measuring) != job.measuring:
        return None
    if "metrics" not in content:
        raise RunError(f"{path}: it holds no metrics")
    if (seed := content.get("seed", job.seed)) != job.seed:
        raise RunError(f"{path}: it is of seed {shorten(seed)}")
    return content["metrics"]


def _is_finished(job: Job) -> bool:
    """Whether a run has a result, of all that is to be measured; or one that cannot be read."""
    try:
        return _result(job) is not None
    except RunError:
        return True


def _row(job: Job, status: int = 0) -> dict[str, Any]:
    """The row of a run, whose process has ended with a status if it has been run now."""
    row: dict[str, Any] = {"run": job.folder.name, **job.labels, "seed": job.seed}
    try:
        metrics = _result(job)
    except RunError as unreadable:
        return row | {"error": f"{unreadable}; remove it to train the run again"}
    if metrics is not None:
        return row | metrics | row | {"error": ""}
    error = job.folder / ERROR
    lines = error.read_text(encoding="utf-8", errors="replace").strip().splitlines() if error.is_file() else []
    is_signal = status < 0 or status > 128  # the numbers that `fit` ends with are those of a shell
    stopped = "stopped; the same sweep resumes it"
    failed = f"its process ended with exit status {status}, and what it wrote on stderr says why"
    return row | {"error": lines[-1] if lines else stopped if status == 0 or is_signal else failed}


def _write_tables(result: SweepResult) -> None:
    columns = ["run", *result.settings, "seed", *result.metrics, "error"]
    runs, summary = io.StringIO(), io.StringIO()
    writer = csv.DictWriter(runs, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.runs)
    table = csv.writer(summary, lineterminator="\n")
    table.writerow([*result.settings, "metric", "runs", "mean", "sd", "worst"])
    for metric in result.metrics:
        for point, found in result.spread(metric).items():
            sd = "" if math.isnan(found.sd) else found.sd
            table.writerow([*point, metric, found.runs, found.mean, sd, found.worst])
    files = {"runs.csv": runs.getvalue(), "summary.csv": summary.getvalue()}
    with os_errors_as_checkpoint_errors(result.folder, "writing the tables of the sweep, whose runs are saved,"):
        write_together(result.folder, {name: text.encode(errors="backslashreplace") for name, text in files.items()})

"""One run of a sweep, in a process of its own."""

import json
import logging
import math
import multiprocessing
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass
from functools import cached_property, partial
from hashlib import sha256
from inspect import ismethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import check_mapping, check_name, one_line, shorten
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.checkpoints.json_file import read_object
from infogan_lib.checkpoints.lock import FolderInUseError
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.data.batch_images import to_tensor
from infogan_lib.experiments.run_metrics import RESULT, label_metrics, training_metrics
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.recipes import available, save_run
from infogan_lib.recipes.recipe import Recipe

_log = logging.getLogger(__name__)

ERROR = "error.txt"
"""The file that a run leaves that failed: why."""

JOB = "job.json"
"""The file of what a run trains, by which another one under its name is noticed."""

COLUMNS = frozenset({"run", "seed", "error"})
"""The columns of the tables beside settings and metrics."""

_SECONDS_BETWEEN_TRIES, _SECONDS_BETWEEN_WARNINGS = 1.0, 600.0

_WORDS = 500
"""The most characters of the words for a value; those of a longer one end in a hash."""


@dataclass(frozen=True)
class Job:
    """A run to train.

    Attributes:
        folder: Folder of the run.
        make_recipe: Function of the seed and the settings that builds the recipe.
        data: Images, a pair of images and labels, or a function that returns either.
        test: Images and labels that the categories are compared with, or a function that returns them; None for none.
        evaluate: Function of the model that returns further metrics.
        seed: Seed of the run.
        settings: Arguments of `make_recipe`.
        labels: Settings as the tables show them.
        threads: Number of threads; None for torch's own.
    """

    folder: Path
    make_recipe: Callable[..., Recipe]
    data: Any
    test: Any
    evaluate: Callable[[InfoGAN], Mapping[str, float]] | None
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None

    @cached_property
    def training(self) -> str:
        """What is trained, in words that are the same in every process."""
        return f"{_in_words(partial(self.make_recipe, **self.settings))} on {_in_words(self.data)}"

    @cached_property
    def measuring(self) -> str:
        """Likewise, what is measured."""
        return _in_words([self.test, self.evaluate])


def check_training(folder: Path, training: str) -> None:
    """Check that a run's folder holds no run of something else than `training`, in words.

    Raises:
        CheckpointError: Its file of what it trains cannot be read.
        ValueError: It does.
    """
    path, before = folder / JOB, training
    try:
        if path.exists():
            before = read_object(path).get("training")
        if not isinstance(before, str):
            raise CheckpointError(path, "it does not say what was trained")
    except CheckpointError as error:
        raise CheckpointError(
            path, f"{error.reason}; remove it if the folder's run is of {shorten(training, 500)}"
        ) from error
    if before != training:
        raise ValueError(
            f"{folder} was trained with {shorten(before, 500)}, and is now to be trained with "
            f"{shorten(training, 500)}; give another out, remove the folder to train it again, or {JOB} in it to keep "
            "it"
        )


def write_training(folder: Path, training: str) -> None:
    """Write what a run trains into its folder, for `check_training`."""
    write_whole(folder / JOB, (json.dumps({"training": training}) + "\n").encode())


def _in_words(value: Any, inside: tuple[int, ...] = ()) -> str:
    """What a value is, in words that are the same in every process, and others for other contents; `inside` objects."""
    if id(value) in inside:
        return "..."
    within = partial(_in_words, inside=(*inside, id(value)))
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().contiguous() if isinstance(value, Tensor) else np.ascontiguousarray(value)
        data = array.view(-1).view(torch.uint8).numpy() if isinstance(array, Tensor) else array
        return f"{array.dtype} {tuple(array.shape)} {sha256(data.tobytes()).hexdigest()}"
    if isinstance(value, partial):
        given = [*map(within, value.args), *(f"{name}={within(v)}" for name, v in value.keywords.items())]
        text = f"{within(value.func)}({', '.join(given)})"
    elif isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(within, value))}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{within(name)}: {within(v)}' for name, v in value.items())}}}"
    elif isinstance(value, (set, frozenset)):  # whose order differs from process to process
        text = f"{{{', '.join(sorted(map(within, value)))}}}"
    elif ismethod(value):
        text = f"{within(value.__self__)}.{value.__name__}"
    else:
        text = getattr(value, "__qualname__", None) or repr(value)
        if (is_dataclass(value) or " at 0x" in text) and hasattr(value, "__dict__") and not isinstance(value, type):
            text = f"{type(value).__qualname__}({within(vars(value))})"
    text = re.sub(" at 0x[0-9a-f]+", "", text)
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}... ({sha256(text.encode()).hexdigest()})"


def run_job(job: Job) -> None:
    """Train a run to its end and write its metrics; an error is left in its folder and raised."""
    _stop_with_the_parent()
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    job.folder.mkdir(parents=True, exist_ok=True)
    error_file = job.folder / ERROR
    try:
        error_file.unlink(missing_ok=True)
        write_training(job.folder, job.training)
        metrics = _train(job)
        content = {"seed": job.seed, "settings": dict(job.labels), "metrics": metrics, "measuring": job.measuring}
        write_whole(job.folder / RESULT, (json.dumps(content) + "\n").encode())
    except Exception as error:
        # The last line is the one that the tables show, and notes come after the error in a traceback.
        text = f"{traceback.format_exc()}\n{type(error).__name__}: {one_line(error)}\n"
        with suppress(OSError):  # a disk that is full is what may have raised
            write_whole(error_file, text.encode(errors="backslashreplace"))
        raise


def _train(job: Job) -> dict[str, float]:
    recipe = job.make_recipe(seed=job.seed, **job.settings)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"make_recipe must return a Recipe, but returned {type(recipe).__name__}")
    data = job.data() if callable(job.data) else job.data
    images, labels = data if isinstance(data, tuple) else (data, None)
    images = to_tensor(images)
    if isinstance(images, Tensor):
        images = recipe.images(images)
        recipe = recipe.for_images(len(images))
    trainer = recipe.trainer()
    fit = partial(
        trainer.fit,
        (images, labels) if trainer.model.latent.labels else images,
        epochs=recipe.epochs,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        callbacks=recipe.callbacks(images),
        progress=False,
        checkpoints=job.folder,
    )
    _when_free(fit)
    metrics = training_metrics(trainer.history)
    if job.test is not None:
        test: Any = job.test() if callable(job.test) else job.test
        test_images, test_labels = test
        metrics |= label_metrics(trainer.model, recipe.images(to_tensor(test_images)), test_labels)
    if job.evaluate is not None:
        metrics |= _evaluated(job, job.evaluate(trainer.model))
    if recipe.name in available():
        save_run(job.folder, recipe, trainer.model)
    return metrics


def _when_free(fit: Callable[[], object]) -> None:
    """Train, once no other process does: that of another sweep, or of one that was killed and saves its run."""
    told = -math.inf
    while True:
        try:
            fit()
            return
        except FolderInUseError as error:
            if (now := time.monotonic()) > told + _SECONDS_BETWEEN_WARNINGS:
                _log.warning("%s; waiting until it ends, and Ctrl-C stops this sweep", error)
                told = now
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _evaluated(job: Job, found: Any) -> dict[str, float]:
    """What `evaluate` returned, as metrics."""
    metrics = dict(check_mapping("the result of evaluate", found))
    for name in metrics:
        if check_name("a metric of evaluate", name) in COLUMNS | job.labels.keys():
            raise ValueError(f"evaluate: a metric must not be named {name!r}, as a column of the tables is")
    return {name: float(value) for name, value in metrics.items()}


def _stop_with_the_parent() -> None:
    """Save and stop when the process that runs the sweep dies, as a second sweep would find the run in use."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()

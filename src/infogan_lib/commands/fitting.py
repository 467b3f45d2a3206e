"""The training of a recipe in a folder, as programs do it: with progress, metrics and symptoms of collapse."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override

from infogan_lib.checkpoints import CheckpointError
from infogan_lib.checkpoints.disk import has_one_name
from infogan_lib.evaluation import CollapseMonitor, Symptom
from infogan_lib.evaluation.symptoms import summarize
from infogan_lib.recipes import Recipe
from infogan_lib.training.callbacks import Callback, JSONLLogger
from infogan_lib.training.progress import ProgressBar
from infogan_lib.training.trainer import InfoGANTrainer

_LINE_EVERY = 50
"""The steps from one line of progress to the next, where there is no terminal."""


def fit_recipe(
    recipe: Recipe,
    trainer: InfoGANTrainer,
    data: Any,
    out: Path,
    *,
    callbacks: Sequence[Callback] = (),
) -> CollapseMonitor:
    """Train as a recipe says, or resume what is in the folder; progress is a bar on a terminal, else lines on stdout.

    The folder `out` gets the checkpoints, and the metrics as metrics.jsonl. Returns the monitor of the run.

    Raises CheckpointError if that file is a link, or no file: a folder of another's must not have others written into.
    """
    log = out / "metrics.jsonl"
    if os.path.lexists(log) and not has_one_name(log.lstat()):
        raise CheckpointError(
            log, "the log of a run is written to and cut off, so it must be a file of its own, not a link"
        )
    if trainer.distributed.is_main:
        say(f"recipe '{recipe.name}' on {trainer.device}, seed {recipe.seed}, output in {out}/")
    monitor = CollapseMonitor(on_symptom=_print_symptom)
    trainer.fit(
        data,
        epochs=recipe.epochs,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        callbacks=[
            _ResumeMessage(),
            JSONLLogger(log),
            *recipe.callbacks(data),
            *callbacks,
            ProgressBar(every=_LINE_EVERY, file=None if sys.stderr and sys.stderr.isatty() else sys.stdout),
            monitor,
        ],
        checkpoints=out,
    )
    return monitor


def run_facts(recipe: Recipe, trainer: InfoGANTrainer, monitor: CollapseMonitor) -> dict[str, Any]:
    """What a run was and how long it took, for result.json; the time is that of its steps, over all sessions."""
    minutes = recipe.batch_size * (1 / trainer.history["images_per_second"]).sum() / 60
    return {
        "recipe": recipe.name,
        "width": recipe.width,
        "seed": recipe.seed,
        "device": str(trainer.device),
        "steps": trainer.steps,
        "batch_size": recipe.batch_size,
        "minutes": round(minutes, 2),
        "images_per_second": round(trainer.steps * recipe.batch_size / minutes / 60, 1),
        "symptoms": summarize(monitor.symptoms),
    }


class _ResumeMessage(Callback):
    """Prints where a run starts that is not at its beginning."""

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if trainer.steps:
            complete = total_steps is not None and trainer.steps >= total_steps
            action = "it is complete" if complete else "resuming"
            say(f"the run in this folder is at step {trainer.steps}: {action}")


def _print_symptom(symptom: Symptom) -> None:
    say(f"! {symptom}")


def say(text: str) -> None:
    """Print a line; a terminal or a pipe that was closed ends no training."""
    with suppress(OSError, ValueError):
        print(text, flush=True)

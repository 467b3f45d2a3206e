"""What a training prints where its output is no terminal."""

import time
from collections.abc import Mapping

from typing_extensions import override

from infogan_lib.evaluation import Symptom
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.display import metrics_text
from infogan_lib.training.trainer import InfoGANTrainer


class ProgressLines(Callback):
    """Prints a line of progress at regular steps.

    Args:
        every: Number of steps between two lines.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        self.total, self.start, self.start_time = total_steps or 0, trainer.steps, time.monotonic()

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        done = trainer.steps - self.start
        if done % self.every and trainer.steps != self.total:
            return
        seconds = int((time.monotonic() - self.start_time) / done * (self.total - trainer.steps))
        print(
            f"step {trainer.steps}/{self.total}  {seconds // 60}:{seconds % 60:02} left  {metrics_text(metrics)}  "
            f"{metrics['images_per_second']:.0f} images/s",
            flush=True,
        )


class ResumeMessage(Callback):
    """Prints where a run starts that is not at its beginning."""

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if trainer.steps:
            complete = total_steps is not None and trainer.steps >= total_steps
            action = "it is complete" if complete else "resuming"
            print(f"the run in this folder is at step {trainer.steps}: {action}", flush=True)


def print_symptom(symptom: Symptom) -> None:
    """Print a symptom of collapse on a line of its own."""
    print(f"! {symptom}", flush=True)

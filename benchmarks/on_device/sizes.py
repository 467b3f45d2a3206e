"""The sizes of the stages: whole on a device, tiny in a rehearsal on the CPU."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infogan_lib import Engine, InfoGANTrainer, recipes

ROOT = Path(__file__).resolve().parents[2]
LABS = ("lab28-normalnll", "lab64-frontend", "lab64-conditions", "lab64-mse", "dcgan-tutorial", "paper")


class UnfinishedError(Exception):
    """The time of this call is over; the stage resumes in the next one."""


@dataclass(frozen=True)
class Sizes:
    """How large the stages are, and until when they may run.

    Args:
        device: The device.
        out: The folder of results.
        until: The moment of `time.monotonic` at which the call ends.
        is_rehearsal: Whether everything is tiny, to show that it runs.
    """

    device: torch.device
    out: Path
    until: float
    is_rehearsal: bool

    def of(self, whole: Any, tiny: Any) -> Any:
        """One of two settings."""
        return tiny if self.is_rehearsal else whole

    @property
    def seconds_left(self) -> float:
        """What is left of this call."""
        return self.until - time.monotonic()

    def check_time(self) -> None:
        """Raise `UnfinishedError` if the call's time is over."""
        if self.seconds_left <= 0:
            raise UnfinishedError

    def trainer(self, recipe: recipes.Recipe, *, engine: dict[str, Any] | None = None, **others: Any) -> InfoGANTrainer:
        """The trainer of a recipe on the device, with settings of `Engine` and of the trainer."""
        return recipe.trainer(engine=Engine(self.device, **(engine or {})), **others)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def random_bytes(trainer: InfoGANTrainer, n: int) -> Tensor:
    """Random images in bytes, on the CPU."""
    rng = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, *trainer.model.image_shape), dtype=torch.uint8, generator=rng)


def execute(sizes: Sizes, command: list[str]) -> None:
    """Run a program of the project, and end it where the call's time is over; it saves, and resumes next time."""
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    with (sizes.out / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, stdout=log, stderr=log
        )
        try:
            status = process.wait(max(1.0, sizes.seconds_left))
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(60)
            raise UnfinishedError from None
    if status != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {status}; see {sizes.out / 'log.txt'}")

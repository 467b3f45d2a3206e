"""Makes 10,000 steps with checkpoints, a log and worker processes, and prints open files, threads and memory: none may
grow, except for the history of metrics in memory.

    python tests/stress/long_run.py
"""

import gc
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from small_run import Augmented, trainer

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.training.callbacks import JSONLLogger


class Usage(NamedTuple):
    """What the process uses after a step."""

    step: int
    files: int
    threads: int
    mib: float


class Watch(ig.Callback):
    """Records the usage every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.usages = every, list[Usage]()

    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            gc.collect()
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            files = len(list(Path("/proc/self/fd").iterdir()))
            mib = int(status["VmRSS"].split()[0]) / 1024
            self.usages.append(Usage(trainer.steps, files, int(status["Threads"]), mib))


def watch(steps: int, every: int, num_workers: int) -> list[Usage]:
    """The usage of a long run.

    Args:
        steps: The length of the run.
        every: Record the usage every so many steps.
        num_workers: The number of worker processes.
    """
    torch.set_num_threads(1)
    watch = Watch(every)
    with tempfile.TemporaryDirectory() as scratch:
        trainer().fit(
            Augmented(),
            steps=steps,
            batch_size=12,
            num_workers=num_workers,
            callbacks=[JSONLLogger(Path(scratch) / "metrics.jsonl"), watch],
            checkpoints=Checkpoints(scratch, every=100),
        )
    return watch.usages


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # where there is one core
    print(f"{'step':>6}{'files':>7}{'threads':>9}{'MiB':>8}")
    for usage in watch(10_000, 1_000, num_workers=2):
        print(f"{usage.step:>6}{usage.files:>7}{usage.threads:>9}{usage.mib:>8.0f}")

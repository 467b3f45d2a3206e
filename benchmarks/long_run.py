"""Makes 10,000 steps with checkpoints, log and worker processes, and prints open files, threads, child processes and
memory on the way: none may grow, but for the history of figures in memory.

    python benchmarks/long_run.py
"""

import gc
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

import infogan_lib as ig
from small_run import Augmented, trainer


class Use(NamedTuple):
    """What the process holds after a step."""

    step: int
    files: int
    threads: int
    mib: float


class Watch(ig.Callback):
    """Takes stock every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.uses = every, list[Use]()

    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            gc.collect()
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            files = len(list(Path("/proc/self/fd").iterdir()))
            mib = int(status["VmRSS"].split()[0]) / 1024
            self.uses.append(Use(trainer.steps, files, int(status["Threads"]), mib))


def watch(steps: int, every: int, workers: int) -> list[Use]:
    """What a long run holds, now and then."""
    torch.set_num_threads(1)
    watch = Watch(every)
    with tempfile.TemporaryDirectory() as scratch:
        trainer().fit(
            Augmented(),
            steps=steps,
            batch_size=12,
            num_workers=workers,
            callbacks=[ig.JSONLLogger(Path(scratch) / "metrics.jsonl"), watch],
            run_dir=scratch,
            checkpoint_every=100,
        )
    return watch.uses


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(f"{'step':>6}{'files':>7}{'threads':>9}{'MiB':>8}")
    for use in watch(10_000, 1_000, workers=2):
        print(f"{use.step:>6}{use.files:>7}{use.threads:>9}{use.mib:>8.0f}")

"""How much of the time of the CPU example goes into saving, with its networks and a checkpoint every 500 steps; and
what a save costs after many steps, whose metrics are simulated.

python benchmarks/saving_time.py
python benchmarks/saving_time.py --steps 1e4 1e6 1e7    a table of saves after so many steps; 2 GB of disk
"""

import argparse
import statistics
import tempfile
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.recipes.architectures import paper_discriminator, paper_generator
from infogan_lib.resume.session import FitSession


class Clock(ig.Callback):
    """Records when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        self.ends.append(time.perf_counter())


def measure(steps: int, saves: int) -> tuple[float, list[float], float]:
    """The median seconds of a step, the seconds of each save, and a checkpoint's size in MiB."""
    latent = ig.LatentSpec(z=ig.Noise(62), digit=ig.Categorical(10), style=ig.Uniform(2, weight=0.05))
    trainer = ig.InfoGANTrainer(
        paper_generator(latent.width, channels=32, hidden=256),
        paper_discriminator(channels=32, hidden=256, norm=False),
        latent,
        ema_decay=0.995,
        engine=ig.Engine("cpu"),
    )
    images = torch.randint(0, 256, (1280, 1, 28, 28), dtype=torch.uint8)
    clock, spent, real = Clock(), list[float](), FitSession.save

    def save(self: FitSession) -> Path | None:
        started = time.perf_counter()
        path = real(self)
        spent.append(time.perf_counter() - started)
        return path

    FitSession.save = save
    try:
        with tempfile.TemporaryDirectory(dir=".") as scratch:
            trainer.fit(images, steps=steps, callbacks=[clock], checkpoints=Checkpoints(scratch, every=steps // saves))
            size = max(path.stat().st_size for path in Path(scratch).rglob("state-*")) / 2**20
    finally:
        FitSession.save = real
    laps = [later - sooner for sooner, later in zip(clock.ends, clock.ends[1:], strict=False)]
    return statistics.median(laps), spent, size


class Saves(NamedTuple):
    """Saves of 500 steps each, after many steps with the same metrics."""

    steps: int
    metrics: int
    seconds: list[float]
    mib: list[float]  # written by each save
    load_seconds: float
    read_seconds: float  # of all values of a metric, for the first time
    files: int
    total_mib: float


def vectors() -> ig.InfoGANTrainer:
    """A trainer whose networks weigh nothing beside the history."""
    latent = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(2))
    generator = nn.Sequential(nn.Linear(latent.width, 8), nn.ReLU(), nn.Linear(8, 8))
    discriminator = nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    return ig.InfoGANTrainer(generator, discriminator, latent, engine=ig.Engine("cpu"), ema_decay=0.9)


def measure_history(steps: int, saves: int = 20) -> Saves:
    """Save after many steps.

    Args:
        steps: The number of steps before the saves.
        saves: The number of saves.
    """
    trainer, rng = vectors(), np.random.default_rng(0)
    trainer.step(torch.rand(16, 8))
    names = list(trainer.history)
    seconds, mib, chunk = list[float](), list[float](), 50_000  # a segment of about the size at which merging ends
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch)
        for first in range(2, steps + 1, chunk):
            last = min(first + chunk - 1, steps)
            for name in names:  # as `record` does, a step at a time
                values, numbers = trainer.history._values, trainer.history._steps
                values.setdefault(name, array("d")).frombytes(rng.random(last - first + 1).tobytes())
                numbers.setdefault(name, array("q")).frombytes(np.arange(first, last + 1).tobytes())
            trainer.save_checkpoint(folder)
        for save in range(saves):
            for step in range(steps + 500 * save + 1, steps + 500 * save + 501):
                trainer.history.record(step, dict.fromkeys(names, 0.5))
            before, started = _sizes(folder), time.perf_counter()
            trainer.save_checkpoint(folder)
            seconds.append(time.perf_counter() - started)
            mib.append(sum(size for path, size in _sizes(folder).items() if path not in before) / 2**20)
        again, started = vectors(), time.perf_counter()
        again.load_checkpoint(folder)
        load_seconds, started = time.perf_counter() - started, time.perf_counter()
        assert len(again.history[names[0]]) == steps + 500 * saves
        sizes = _sizes(folder)
        read_seconds = time.perf_counter() - started
    total = sum(sizes.values()) / 2**20
    return Saves(steps, len(names), seconds, mib, load_seconds, read_seconds, len(sizes), total)


def _sizes(folder: Path) -> dict[Path, int]:
    files = {path: path.stat() for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"}
    return {path: status.st_size for path, status in files.items()}


def print_history(steps: list[int]) -> None:
    """Print a table of saves after numbers of steps."""
    print(
        "| steps | a save writes, MiB | takes, ms | loading, s | first reading of a metric, s | files | in all, MiB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for number in steps:
        saves = measure_history(number)
        print(
            f"| {number:,} | {statistics.median(saves.mib):.2f} (at most {max(saves.mib):.2f}) "
            f"| {statistics.median(saves.seconds) * 1e3:.0f} (at most {max(saves.seconds) * 1e3:.0f}) "
            f"| {saves.load_seconds:.2f} | {saves.read_seconds:.2f} | {saves.files} | {saves.total_mib:,.1f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps, to see whether it runs")
    parser.add_argument("--steps", type=float, nargs="+", help="measure saves after so many steps instead")
    options = parser.parse_args()
    quick = options.quick
    if options.steps or quick:
        print_history([round(number) for number in options.steps or [1e3, 1e4]])
    if options.steps:
        raise SystemExit
    step, spent, size = measure(4, 2) if quick else measure(60, 12)
    share = statistics.median(spent) / (500 * step + statistics.median(spent))
    print(f"a step {step * 1e3:.0f} ms; a save of {size:.0f} MiB {statistics.median(spent) * 1e3:.0f} ms")
    print(f"({min(spent) * 1e3:.0f} to {max(spent) * 1e3:.0f} ms, {len(spent)} saves)")
    print(f"with a save every 500 steps, saving takes {share:.2%} of the time")

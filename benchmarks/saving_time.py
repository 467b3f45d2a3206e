"""How much of the time of the CPU example goes into saving, with its networks and a checkpoint every 500 steps.

python benchmarks/saving_time.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.recipes.architectures import paper_discriminator, paper_generator
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.training.resume import FitSession


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
        regularizers=[RealImageInformation("digit", weight=2.0)],
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps, to see whether it runs")
    quick = parser.parse_args().quick
    step, spent, size = measure(4, 2) if quick else measure(60, 12)
    share = statistics.median(spent) / (500 * step + statistics.median(spent))
    print(f"a step {step * 1e3:.0f} ms; a save of {size:.0f} MiB {statistics.median(spent) * 1e3:.0f} ms")
    print(f"({min(spent) * 1e3:.0f} to {max(spent) * 1e3:.0f} ms, {len(spent)} saves)")
    print(f"with a save every 500 steps, saving takes {share:.2%} of the time")

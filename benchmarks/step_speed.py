"""CPU time of the trainer's step against textbook loops, and of sampling and encoding with and without `FastCPU`.

One thread and one process. Loops that are compared run in turn, a few steps of each, so that a slow moment of the
machine falls on all alike. Times are the process's CPU time, which leaves out what other programs take; each row gives
the median over the rounds, and the median, lowest and highest ratio to the first row of its table. Peak memory is
measured in a process of its own for each loop.

    python benchmarks/step_speed.py            # the figures of the README
    python benchmarks/step_speed.py --quick    # a short form that only shows that everything runs
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from infogan_lib import Engine, InfoGAN, InfoGANTrainer, Optimizers, recipes
from infogan_lib.step.precision import PrecisionName
from textbook import (
    LATENT,
    POINTS,
    PointsLoop,
    QHead28,
    TextbookLoop,
    TextbookLoop64,
    d_head,
    generator,
    points_networks,
    trunk,
)

Loop = Callable[[int], None]

BATCH = 128
BATCH_64 = 100
BATCH_POINTS = 32
CHUNK = 512  # images sampled or encoded at once
WIDTH_64 = 0.25

LOOPS = ("textbook", "trainer", "graph")
"""The loops whose memory is measured."""

ENGINES: tuple[tuple[str, PrecisionName, bool], ...] = (
    ("trainer, fp32", "fp32", False),
    ("trainer, bf16", "bf16", False),
    ("trainer, fp32, graph", "fp32", True),
    ("trainer, bf16, graph", "bf16", True),
)
"""The title, the precision, and whether steps are captured."""

UNCOUNTED = 5
"""The number of steps at least before any is counted, after which steps that are captured have been."""


def trainer_28(precision: PrecisionName = "fp32", part: int = 1, *, graph: bool = False) -> InfoGANTrainer:
    """The same networks, rates and terms as the textbook loop's."""
    discriminator = nn.Sequential(trunk(part), d_head(part))
    return InfoGANTrainer(
        InfoGAN(generator(part), discriminator, LATENT, tap="0", q_head=QHead28(part)),
        regularizers=(),
        information_trains=["generator", "q_head"],
        optimizers=Optimizers(g=1e-4, d=1e-4),
        engine=Engine("cpu", precision=precision, graph=graph),
    )


def trainer_64(precision: PrecisionName, *, graph: bool = False) -> InfoGANTrainer:
    return recipes.get("lab64-frontend", width=WIDTH_64).trainer(engine=Engine("cpu", precision=precision, graph=graph))


def trainer_points(*, graph: bool = False) -> InfoGANTrainer:
    made, hidden, head, q = points_networks()
    return InfoGANTrainer(
        InfoGAN(made, nn.Sequential(hidden, head), POINTS, tap="0", q_head=q),
        regularizers=(),
        information_trains=["generator", "q_head"],
        optimizers=Optimizers(g=1e-3, d=2e-4),
        engine=Engine("cpu", graph=graph),
    )


def repeat(call: Callable[[], object]) -> Loop:
    def loop(steps: int) -> None:
        for _ in range(steps):
            call()

    return loop


def fitting(trainer: InfoGANTrainer, images: Tensor, batch_size: int) -> Loop:
    return lambda steps: void(trainer.fit(images, steps=steps, batch_size=batch_size, progress=False))


def bare_step(trainer: InfoGANTrainer, real: Tensor) -> Loop:
    """The step function alone, on one batch that lies ready."""
    trainer.model.train()
    step = trainer._step
    return repeat(lambda: step.read(step.launch(real, trainer._draw)))


def void(_: object) -> None:
    """Throw a result away."""


def compare(title: str, per_step: int, loops: dict[str, Loop], rounds: int, steps: int) -> None:
    """Print a table: CPU time a step of each loop, images a second, and how much faster than the first loop."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for counted in [False] + [True] * rounds:
        for name, run in loops.items():
            started = time.process_time()
            run(steps if counted else max(steps, UNCOUNTED))
            if counted:
                seconds[name].append((time.process_time() - started) / steps)
    print(title)
    base = next(iter(loops))
    for name, taken in seconds.items():
        ratios = [b / s for b, s in zip(seconds[base], taken, strict=True)]
        median, ratio = statistics.median(taken), statistics.median(ratios)
        print(
            f"  {name:<28}{median * 1e3:>9.2f} ms {per_step / median:>8.0f} images/s   "
            f"{ratio:5.2f}x  ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def without_fast_cpu(model: InfoGAN, call: Callable[[], object]) -> Callable[[], object]:
    def plain() -> None:
        kept = model._generator_is_heavy, model._discriminator_is_heavy
        model._generator_is_heavy = model._discriminator_is_heavy = False
        try:
            call()
        finally:
            model._generator_is_heavy, model._discriminator_is_heavy = kept

    return plain


def training_tables(images: Tensor, quick: bool) -> None:
    """The textbook loops against the trainer."""
    as_float = images.float() / 255
    loops = {"textbook loop": repeat(TextbookLoop(as_float, BATCH).step)}
    loops |= {title: fitting(trainer_28(name, graph=graph), images, BATCH) for title, name, graph in ENGINES}
    compare(f"lab 28's network, batch {BATCH}", BATCH, loops, *((2, 1) if quick else (11, 2)))

    large = torch.rand(2 * BATCH_64 if quick else 1000, 1, 64, 64) * 2 - 1
    loops = {"textbook loop": repeat(TextbookLoop64(large, BATCH_64, WIDTH_64).step)}
    loops |= {title: fitting(trainer_64(name, graph=graph), large, BATCH_64) for title, name, graph in ENGINES}
    title = f"lab64-frontend at {WIDTH_64} of its width, batch {BATCH_64}"
    compare(title, BATCH_64, loops, *((1, 1) if quick else (9, 1)))

    part = trainer_28(part=4)
    loops = {"bare step": bare_step(part, as_float[:BATCH])}
    loops["trainer"] = fitting(trainer_28(part=4), images, BATCH)
    loops["trainer, graph"] = fitting(trainer_28(part=4, graph=True), images, BATCH)
    title = "lab 28's network at a quarter of its width: the trainer against its own step function"
    compare(title, BATCH, loops, *((2, 2) if quick else (11, 10)))

    points = torch.randn(4096, 2)
    loops = {"textbook loop": repeat(PointsLoop(points, BATCH_POINTS).step)}
    loops["step"] = bare_step(trainer_points(), points[:BATCH_POINTS])
    loops["trainer"] = fitting(trainer_points(), points, BATCH_POINTS)
    loops["trainer, graph"] = fitting(trainer_points(graph=True), points, BATCH_POINTS)
    title = f"points in the plane, G 16-64-2, D 2-64-1, batch {BATCH_POINTS}: overhead"
    compare(title, BATCH_POINTS, loops, *((2, 5) if quick else (11, 100)))


def inference_tables(images: Tensor, quick: bool) -> None:
    """Sampling and encoding, with the context `FastCPU` and without."""
    rounds, n = (2, 64) if quick else (9, CHUNK)
    model = trainer_28().model.eval()
    for name, call in (("sample", lambda: model.sample(n)), ("encode", lambda: model.encode(images[:n]))):
        loops = {"without FastCPU": repeat(without_fast_cpu(model, call)), "as it is": repeat(call)}
        compare(f"lab 28's network: {name}, {n} images", n, loops, rounds, 1)


def peak_memory(which: str) -> float:
    """By how many MiB a process of its own grows while it runs one loop."""
    command = [sys.executable, __file__, "--memory-of", which]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_own_memory(which: str, images: Tensor) -> None:
    """Print by how much this process grows while running a loop, at its peak."""
    if which == "textbook":
        run = repeat(TextbookLoop(images.float() / 255, BATCH).step)
    else:
        run = fitting(trainer_28(graph=which == "graph"), images, BATCH)
    before = peak_resident()
    run(UNCOUNTED + 1)
    print(peak_resident() - before)


def peak_resident() -> float:
    """The largest resident size of this process so far, in MiB (Linux; getrusage would count the parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a check that everything runs")
    parser.add_argument("--memory-of", choices=LOOPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4096, 1, 28, 28), dtype=torch.uint8)
    if options.memory_of:
        measure_own_memory(options.memory_of, images)
        return
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, 1 thread")
    training_tables(images, options.quick)
    inference_tables(images, options.quick)
    print("peak memory of the steps")
    for which in LOOPS:
        print(f"  {which:<28}{peak_memory(which):>8.0f} MiB")


if __name__ == "__main__":
    main()

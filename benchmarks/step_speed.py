"""CPU time of the trainer's step against textbook loops, and of sampling and encoding with and without `FastCPU`.

One thread. Each loop has a process of its own, as in use: what the C library keeps of freed memory depends on all that
a process did before. Loops that are compared run in turn, a few steps of each, so that a slow moment of the machine
falls on all alike. Times are CPU time, which leaves out what other programs take; each row gives the median over the
rounds, the median, lowest and highest ratio to the first row of its table, and by how much the process grew at its
peak, data and networks included.

    python benchmarks/step_speed.py            # the figures of the README
    python benchmarks/step_speed.py --quick    # a short form that only shows that everything runs
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

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
Make = Callable[[], Loop]

BATCH = 128
BATCH_64 = 100
BATCH_POINTS = 32
CHUNK = 512  # images sampled or encoded at once
WIDTH_64 = 0.25

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


class Worker:
    """A process that makes one loop and runs it on request; left as a context, it ends.

    Args:
        make: Makes the loop, in the process.
    """

    def __init__(self, make: Make) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["infogan_lib"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(make, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def run(self, steps: int) -> tuple[float, float]:
        """Run some steps: their CPU time in seconds, and by how many MiB the process has grown at its peak."""
        self.pipe.send(steps)
        return self.pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join()


def serve(make: Make, pipe: Connection) -> None:
    """What a worker's process does until the other end of its pipe is closed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = peak_resident()
    loop = make()
    while True:
        try:
            steps = pipe.recv()
        except EOFError:
            return
        started = time.process_time()
        loop(steps)
        pipe.send((time.process_time() - started, peak_resident() - before))


def compare(title: str, per_step: int, loops: dict[str, Make], rounds: int, steps: int) -> None:
    """Print a table: each loop's CPU time a step, images a second, how much faster than the first, peak memory."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    memory: dict[str, float] = {}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(make)) for name, make in loops.items()}
        for counted in [False] + [True] * rounds:
            for name, worker in workers.items():
                taken, memory[name] = worker.run(steps if counted else max(steps, UNCOUNTED))
                if counted:
                    seconds[name].append(taken / steps)
    print(title)
    base = next(iter(loops))
    for name, taken in seconds.items():
        ratios = [b / s for b, s in zip(seconds[base], taken, strict=True)]
        median, ratio = statistics.median(taken), statistics.median(ratios)
        print(
            f"  {name:<22}{median * 1e3:>9.2f} ms {per_step / median:>8.0f} images/s   "
            f"{ratio:5.2f}x  ({min(ratios):.2f} to {max(ratios):.2f}) {memory[name]:>6.0f} MiB",
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


def images_28() -> Tensor:
    """4,096 images (4096, 1, 28, 28) of noise, uint8."""
    return torch.randint(0, 256, (4096, 1, 28, 28), dtype=torch.uint8)


def images_64() -> Tensor:
    """1,000 images (1000, 1, 64, 64) of noise in [-1, 1]."""
    return torch.rand(1000, 1, 64, 64) * 2 - 1


def points() -> Tensor:
    """4,096 points of the plane, (4096, 2)."""
    return torch.randn(4096, 2)


def textbook_28() -> Loop:
    return repeat(TextbookLoop(images_28().float() / 255, BATCH).step)


def textbook_64() -> Loop:
    return repeat(TextbookLoop64(images_64(), BATCH_64, WIDTH_64).step)


def textbook_points() -> Loop:
    return repeat(PointsLoop(points(), BATCH_POINTS).step)


def fit_28(precision: PrecisionName = "fp32", part: int = 1, *, graph: bool = False) -> Loop:
    return fitting(trainer_28(precision, part, graph=graph), images_28(), BATCH)


def fit_64(precision: PrecisionName, *, graph: bool) -> Loop:
    return fitting(trainer_64(precision, graph=graph), images_64(), BATCH_64)


def fit_points(*, graph: bool = False) -> Loop:
    return fitting(trainer_points(graph=graph), points(), BATCH_POINTS)


def bare_28(part: int) -> Loop:
    return bare_step(trainer_28(part=part), images_28()[:BATCH].float() / 255)


def bare_points() -> Loop:
    return bare_step(trainer_points(), points()[:BATCH_POINTS])


def infer_28(what: str, n: int, *, fast: bool) -> Loop:
    """Sampling or encoding n images, with the context `FastCPU` or without."""
    model = trainer_28().model.eval()
    images = images_28()[:n]

    def call() -> object:
        return model.sample(n) if what == "sample" else model.encode(images)

    return repeat(call if fast else without_fast_cpu(model, call))


def print_tables(quick: bool) -> None:
    """Every table: training, what is spent beside the arithmetic, sampling and encoding."""
    loops: dict[str, Make] = {"textbook loop": textbook_28}
    loops |= {title: partial(fit_28, name, graph=graph) for title, name, graph in ENGINES}
    compare(f"lab 28's network, batch {BATCH}", BATCH, loops, *((2, 1) if quick else (11, 2)))

    loops = {"textbook loop": textbook_64}
    loops |= {title: partial(fit_64, name, graph=graph) for title, name, graph in ENGINES}
    title = f"lab64-frontend at {WIDTH_64} of its width, batch {BATCH_64}"
    compare(title, BATCH_64, loops, *((1, 1) if quick else (9, 1)))

    loops = {"bare step": partial(bare_28, 4), "trainer": partial(fit_28, part=4)}
    loops["trainer, graph"] = partial(fit_28, part=4, graph=True)
    title = "lab 28's network at a quarter of its width: the trainer against its own step function"
    compare(title, BATCH, loops, *((2, 2) if quick else (11, 10)))

    loops = {"textbook loop": textbook_points, "step": bare_points, "trainer": fit_points}
    loops["trainer, graph"] = partial(fit_points, graph=True)
    title = f"points in the plane, G 16-64-2, D 2-64-1, batch {BATCH_POINTS}: overhead"
    compare(title, BATCH_POINTS, loops, *((2, 5) if quick else (11, 100)))

    rounds, n = (2, 64) if quick else (9, CHUNK)
    for what in ("sample", "encode"):
        loops = {"without FastCPU": partial(infer_28, what, n, fast=False)}
        loops["as it is"] = partial(infer_28, what, n, fast=True)
        compare(f"lab 28's network: {what}, {n} images", n, loops, rounds, 1)


def peak_resident() -> float:
    """The largest resident size of this process so far, in MiB (Linux; getrusage would count the parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a check that everything runs")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, 1 thread")
    print_tables(options.quick)


if __name__ == "__main__":
    main()

"""Images per second of the trainer against the textbook loop, on lab 28's network at batch 128.

Everything runs alternately in one process, a few steps of each in turn, so that a slow moment of the machine falls on
all alike; each table row is the median over the rounds, with the lowest and highest ratio. Peak memory is measured in a
process of its own for each loop.

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

from infogan_lib import InfoGANTrainer
from textbook import LATENT, QHead28, TextbookLoop, d_head, generator, trunk

BATCH = 128


def our_trainer(precision: str, part: int = 1) -> InfoGANTrainer:
    """The same networks, rates and terms as the textbook loop's."""
    return InfoGANTrainer(
        generator(part),
        nn.Sequential(trunk(part), d_head(part)),
        LATENT,
        tap="0",
        q_head=QHead28(part),
        information_trains=["generator", "q_head"],
        lr_g=1e-4,
        lr_d=1e-4,
        precision=precision,  # type: ignore[arg-type]
        device="cpu",
    )


def trainer_steps(images: Tensor, precision: str, part: int = 1) -> Callable[[int], None]:
    trainer = our_trainer(precision, part)
    return lambda steps: void(trainer.fit(images, steps=steps, batch_size=BATCH))


def bare_steps(images: Tensor, part: int) -> Callable[[int], None]:
    """The step function alone, on one batch that lies ready."""
    trainer = our_trainer("fp32", part)
    trainer.model.train()
    real = images[:BATCH].float() / 255
    return lambda steps: void([trainer._step(real, trainer._draw) for _ in range(steps)])


def textbook_steps(images: Tensor, part: int = 1) -> Callable[[int], None]:
    loop = TextbookLoop(images.float() / 255, BATCH, part)
    return lambda steps: void([loop.step() for _ in range(steps)])


def void(_: object) -> None:
    """Throw a result away."""


def compare(loops: dict[str, Callable[[int], None]], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds a step of each loop, a round at a time, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for counted in [False] + [True] * rounds:
        for name, run in loops.items():
            started = time.perf_counter()
            run(steps)
            if counted:
                seconds[name].append((time.perf_counter() - started) / steps)
    return seconds


def print_ratios(seconds: dict[str, list[float]]) -> None:
    base, *others = seconds
    for name in (base, *others):
        ratios = [b / s for b, s in zip(seconds[base], seconds[name], strict=True)]
        median = statistics.median(ratios)
        rate = BATCH / statistics.median(seconds[name])
        print(f"  {name:<28}{rate:>8.0f} images/s   {median:5.2f}x  ({min(ratios):.2f} to {max(ratios):.2f})")


def peak_memory(which: str) -> float:
    """By how many MiB a process of its own grows while it runs one loop."""
    command = [sys.executable, __file__, "--memory-of", which]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_own_memory(which: str, images: Tensor) -> None:
    """Print by how much this process grows while running a loop, at its peak."""
    run = textbook_steps(images) if which == "textbook" else trainer_steps(images, "fp32")
    before = peak_resident()
    run(4)
    print(peak_resident() - before)


def peak_resident() -> float:
    """The largest resident size of this process so far, in MiB (Linux; getrusage would count the parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a check that everything runs")
    parser.add_argument("--memory-of", choices=["textbook", "trainer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4096, 1, 28, 28), dtype=torch.uint8)
    if options.memory_of:
        measure_own_memory(options.memory_of, images)
        return
    rounds, steps = (2, 1) if options.quick else (15, 3)
    print(f"lab 28's network, batch {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    loops = {"textbook loop": textbook_steps(images)}
    loops |= {f"trainer, {precision}": trainer_steps(images, precision) for precision in ("fp32", "bf16")}
    print_ratios(compare(loops, rounds, steps))

    print("a quarter of its width: the trainer against its own step function")
    small = {"bare step": bare_steps(images, 4), "trainer": trainer_steps(images, "fp32", 4)}
    print_ratios(compare(small, rounds, 2 if options.quick else 30))

    print("peak memory of the steps")
    for which in ("textbook", "trainer"):
        print(f"  {which:<28}{peak_memory(which):>8.0f} MiB")


if __name__ == "__main__":
    main()

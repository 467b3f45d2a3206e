"""What training on several processes costs: collectives, bytes and the time in them per step, and weak scaling.

Processes of one thread each, through gloo. Weak scaling gives two processes twice the batch of one, so that ideal is
twice the images per second. Cores that share memory and clock rarely do twice as much as one, so two processes that
know nothing of each other run too: what they do together is what the machine has to give. One process, two apart and
two together run in turn, and the median of the rounds counts.

    python benchmarks/distributed.py            # the figures of docs/distributed.md
    python benchmarks/distributed.py --quick    # a short form that only shows that everything runs
"""

import argparse
import ast
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from infogan_lib import Engine, InfoGANTrainer, LatentSpec, Noise, Uniform, recipes
from infogan_lib.distributed import processes as process_module

LATENT = LatentSpec(z=Noise(120), style=Uniform(8))
LIBRARY = Path(__file__).parents[1] / "src" / "infogan_lib"
OF_FEATURE = (
    "distributed/*.py",
    "data/shared_source.py",
    "data/sharded*.py",
    "training/ending.py",
    "step/replicas.py",
)
"""The files that are of several processes only."""
ELEMENT_BYTES, GPUS = 4, 128


def pair_256(channels: int) -> tuple[nn.Module, nn.Module]:
    """G and D of 256-pixel images, each of about 30 million parameters at 1024 channels."""
    widths = [channels, channels, channels // 2, channels // 4, channels // 8, channels // 16]
    up: list[nn.Module] = [nn.Unflatten(1, (LATENT.width, 1, 1)), nn.ConvTranspose2d(LATENT.width, channels, 4)]
    down: list[nn.Module] = [nn.Conv2d(3, widths[-1], 4, 2, 1), nn.LeakyReLU(0.2)]
    for a, b in pairwise(widths):
        up += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1)]
    for a, b in pairwise(widths[::-1]):
        down += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
    up += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*up), nn.Sequential(*down, nn.Flatten(), nn.Linear(16 * channels, 1))


def trainer_of(what: str, quick: bool) -> tuple[InfoGANTrainer, tuple[int, ...], int]:
    """A trainer, the shape of its images, and its images per process."""
    torch.manual_seed(0)
    if what.startswith("MNIST"):
        trainer = recipes.get("default", width=0.1 if quick else 0.5).trainer(engine=Engine("cpu"))
        return trainer, trainer.model.image_shape, 8 if quick else int(what.split()[1])
    g, d = pair_256(32 if quick else 1024)
    return InfoGANTrainer(g, d, LATENT, engine=Engine("cpu")), (3, 256, 256), 2


class Meter:
    """The collectives of this process: how many, their bytes and the seconds in them."""

    def __init__(self) -> None:
        self.calls, self.bytes, self.seconds = 0, 0, 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A context in which collectives are counted."""
        reduce, gather = distributed.all_reduce, process_module.all_gather
        distributed.all_reduce, process_module.all_gather = self._counted(reduce), self._counted(gather)
        try:
            yield
        finally:
            distributed.all_reduce, process_module.all_gather = reduce, gather

    def _counted(self, collective: Callable[..., Any]) -> Callable[..., Any]:
        def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = collective(tensor, *args, **kwargs)
            self.seconds += time.perf_counter() - started
            self.calls += 1
            self.bytes += tensor.numel() * tensor.element_size()
            return result

        return call


def work(what: str, steps: int, quick: bool) -> dict[str, Any]:
    """Train, and measure it in each process."""
    torch.set_num_threads(1)
    trainer, shape, per_process = trainer_of(what, quick)
    images = torch.rand(per_process * trainer.distributed.world_size, *shape) * 2 - 1
    trainer.model.train()
    trainer.step(images)  # compares the first batch, and allocates
    meter, started = Meter(), time.perf_counter()
    with meter.counting():
        for _ in range(steps):
            trainer.step(images)
    seconds = (time.perf_counter() - started) / steps
    with tempfile.TemporaryDirectory() as folder:
        # All processes save together, and process 0 writes.
        shared = trainer.distributed.exchange(folder)[0]
        started = time.perf_counter()
        trainer.save_checkpoint(Path(shared) / "saved")
        saving = time.perf_counter() - started
    return {
        "parameters": [sum(p.numel() for p in n.parameters()) for n in (trainer.model.generator, trainer.model)],
        "rows": per_process,
        "images_per_second": len(images) / seconds,
        "seconds": seconds,
        "collectives": meter.calls / steps,
        "bytes": meter.bytes / steps,
        "seconds_in_collectives": meter.seconds / steps,
        "seconds_to_save": saving,
        "latency": latency() if trainer.distributed.world_size > 1 else 0.0,
    }


def latency(repeats: int = 200) -> float:
    """The seconds that a message of four bytes takes, after some computing as in a step."""
    number, matrix, seconds = torch.zeros(1), torch.randn(300, 300), 0.0
    for _ in range(repeats):
        for _ in range(5):
            torch.mm(matrix, matrix)
        started = time.perf_counter()
        distributed.all_reduce(number)
        seconds += time.perf_counter() - started
    return seconds / repeats


def measure(world_size: int, what: str, steps: int, quick: bool) -> dict[str, Any]:
    """What process 0 measures, of so many processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world_size)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured"
        arguments = ["--work", what, "--steps", str(steps), "--out", str(out), *(["--quick"] if quick else [])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run([*torchrun, __file__, *arguments], env=environment, check=True, capture_output=True)
        return json.loads(out.read_text())


def measure_apart(what: str, steps: int, quick: bool) -> float:
    """The images per second of two processes that train at the same time, each for itself."""
    with ThreadPoolExecutor(2) as pool:
        measured = pool.map(lambda _: measure(1, what, steps, quick), range(2))
        return sum(one["images_per_second"] for one in measured)


def report(what: str, steps: int, rounds: int, quick: bool) -> None:
    """Print the figures of one pair of networks."""
    speeds: dict[str, list[float]] = {"one": [], "two apart": []}
    two: dict[str, Any] = {}
    for _ in range(rounds):
        one = measure(1, what, steps, quick)["images_per_second"]
        apart = measure_apart(what, steps, quick)
        two = measure(2, what, steps, quick)
        speeds["one"].append(two["images_per_second"] / one)
        speeds["two apart"].append(two["images_per_second"] / apart)
    g, model = two["parameters"]
    sizes = f"{g / 1e6:.2f} M parameters in G, {(model - g) / 1e6:.2f} M in D and Q"
    print(f"{what}: {sizes}, {two['rows']} images per process")
    print(f"  a step of two processes: {two['collectives']:.0f} collectives of {two['bytes'] / 1e6:.2f} MB together,")
    print(f"    {1e3 * two['seconds_in_collectives']:.0f} of {1e3 * two['seconds']:.0f} ms in them, waiting included")
    print(f"    a message of four bytes takes {1e3 * two['latency']:.2f} ms on this machine")
    for name, ratios in speeds.items():
        spread = f"(lowest {min(ratios):.2f}, highest {max(ratios):.2f})"
        print(f"  images per second, two together over {name}: {statistics.median(ratios):.2f} {spread}")
    print(f"  time to save: {two['seconds_to_save']:.2f} s")


def estimate(parameters: float = 60e6, step_seconds: float = 0.15, launches: int = 30) -> None:
    """Print what 16 nodes of 8 GPUs should reach, on assumptions that are said; nothing of it is measured.

    A ring moves 2 (W - 1) / W of the bytes through each GPU; every other collective costs its latency alone.
    """
    bytes_moved = 2 * (GPUS - 1) / GPUS * parameters * ELEMENT_BYTES
    print(f"On paper: 16 x 8 GPUs, 30 M parameters in G and in D, {1e3 * step_seconds:.0f} ms of computing a step")
    print(f"  float32 gradients without overlap, {launches} small collectives of 75 us each for BatchNorm and outputs")
    for name, bandwidth in {"NVLink everywhere": 200e9, "400 Gb/s a GPU": 40e9, "100 Gb/s a GPU": 10e9}.items():
        cost = bytes_moved / bandwidth + launches * 75e-6
        print(f"  {name:<18} {1e3 * cost:5.1f} ms in collectives, {step_seconds / (step_seconds + cost):.0%} efficient")


def lines_of_code() -> tuple[int, int]:
    """The lines of code of the feature: in files of its own, and in others where they name the processes."""
    own = {path for pattern in OF_FEATURE for path in LIBRARY.glob(pattern)}
    others = {*LIBRARY.rglob("*.py")} - own
    named = re.compile(r"\b(_?processes|Processes|distributed|on_all_processes|called_here)\b")
    calls = sum(bool(named.search(line)) for path in others for line in code_lines(path))
    return sum(len(code_lines(path)) for path in own), calls


def code_lines(path: Path) -> list[str]:
    """The lines of a file that hold code: no blank ones, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    documented = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    return [
        line
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in documented
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.work:
        figures = work(options.work, options.steps, options.quick)
        if os.environ["RANK"] == "0":
            options.out.write_text(json.dumps(figures))
    else:
        for what, steps, rounds in [("MNIST 64", 20, 5), ("MNIST 256", 10, 3), ("256 pixels", 2, 2)]:
            report(what, min(steps, 2) if options.quick else steps, 1 if options.quick else rounds, options.quick)
        estimate()
        print("Lines of code: {} in files of its own, {} elsewhere that name processes".format(*lines_of_code()))

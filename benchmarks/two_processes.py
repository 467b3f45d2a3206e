"""Two processes on one device: the numbers of one process, and what a step costs; a stage of `gpu.py`.

Where there are several CUDA devices each process has its own, through NCCL. NCCL refuses two processes on one device,
and so does the library, as it is slower than one process; here both share it through gloo, to show that rows, gradients
and statistics of BatchNorm on a device reach the other process.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from infogan_lib import Engine, recipes
from infogan_lib.distributed import Processes
from on_device.checks import double_trainer
from on_device.sizes import Sizes, execute, random_bytes

_TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")


def two_processes(sizes: Sizes) -> dict[str, Any]:
    """The largest relative difference of two processes from one in float64, and milliseconds of a step of each."""
    found = {}
    for name, launcher in (("one", ()), ("two", _TORCHRUN)):
        out = sizes.out / f"{name}.json"
        settings = [str(sizes.of(1.0, 0.05)), str(sizes.of(100, 2))]
        execute(sizes, [*launcher, "benchmarks/two_processes.py", str(sizes.device), *settings, str(out)])
        found[name] = json.loads(out.read_text())
    one, two = found["one"]["numbers"], found["two"]["numbers"]
    differences = [abs(a - b) / (1 + abs(a)) for a, b in zip(one, two, strict=True)]
    return {
        "processes": [found[name]["processes"] for name in found],
        "backend": found["two"]["backend"],
        "largest difference": max(differences),
        "ms a step": {name: found[name]["ms a step"] for name in found},
    }


def numbers(device: torch.device) -> list[float]:
    """All metrics of three steps in float64, and the norms of the weights after them."""
    trainer = double_trainer("default", 0.05, device)
    rng = torch.Generator().manual_seed(0)
    low, high = trainer.model.display_range
    images = low + (high - low) * torch.rand(48, *trainer.model.image_shape, dtype=torch.float64, generator=rng)
    history = trainer.fit(images, steps=3, batch_size=15)
    metrics = [float(value) for name in history if name != "images_per_second" for value in history[name]]
    return metrics + [float(parameter.detach().norm()) for parameter in trainer.model.parameters()]


def milliseconds(device: torch.device, width: float, steps: int) -> float:
    """The mean time of a step of the default recipe, after two that are not counted."""
    recipe = recipes.get("default", width=width)
    trainer = recipe.trainer(engine=Engine(device))
    data, batch = random_bytes(trainer, 4 * recipe.batch_size), recipe.batch_size
    trainer.fit(data, steps=2, batch_size=batch)
    started = time.perf_counter()
    trainer.fit(data, steps=steps, batch_size=batch)  # it ends once the last step was read from the device
    return 1e3 * (time.perf_counter() - started) / steps


def share_a_device() -> None:
    """Let the processes that torchrun has started train on the same CUDA device."""
    distributed.init_process_group("gloo")
    Processes.check_device = lambda self, device: None


def main() -> None:
    name, width, steps, out = sys.argv[1:]
    device = torch.device(name)
    is_launched = distributed.is_torchelastic_launched()
    if is_launched and device.type == "cuda" and torch.cuda.device_count() == 1:
        share_a_device()
    found: dict[str, Any] = {"numbers": numbers(device), "ms a step": milliseconds(device, float(width), int(steps))}
    found["processes"] = distributed.get_world_size() if distributed.is_initialized() else 1
    found["backend"] = distributed.get_backend() if distributed.is_initialized() else None
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()

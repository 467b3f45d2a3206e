"""What must hold on a device: what it is, the CPU's numbers in float64, memory that does not grow, its own tests."""

import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib import Engine, InfoGANTrainer, recipes
from on_device.sizes import ROOT, Sizes, random_bytes

NAMES = ("lab28-normalnll", "lab64-mse", "dcgan-tutorial", "default", "paper")


def environment(sizes: Sizes) -> dict[str, Any]:
    """The device, the versions, and its ceilings: TFLOP/s of a product, TB/s of a copy, microseconds of a launch."""
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
    }
    device, is_cuda = sizes.device, sizes.device.type == "cuda"
    if is_cuda:
        found |= {"name": torch.cuda.get_device_name(device), "cudnn": torch.backends.cudnn.version()}
        query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,memory.total"
        smi = subprocess.run(
            ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True
        )
        found["nvidia-smi"] = smi.stdout.strip()
    else:
        found["name"] = platform.processor() or "cpu"
    side = sizes.of(8192, 256)
    for kind in ("fp32", "tf32", "bf16"):
        with tf32(kind == "tf32"):
            x = torch.randn(side, side, device=device, dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
            found[f"TFLOP/s {kind}"] = 2 * side**3 / seconds(sizes, lambda x=x: x @ x, 10) / 1e12
    a, b = (torch.empty(sizes.of(2**28, 2**20), device=device) for _ in range(2))
    found["TB/s copy"] = 2 * a.nbytes / seconds(sizes, lambda: b.copy_(a), 10) / 1e12
    one = torch.zeros(1, device=device)
    found["us a launch"] = seconds(sizes, lambda: one.add_(1), sizes.of(2000, 100)) * 1e6
    found["us an item()"] = seconds(sizes, one.item, sizes.of(500, 50)) * 1e6
    return found


class tf32:  # noqa: N801 - a context, named as what it sets
    """Whether float32 products and convolutions may use TF32."""

    def __init__(self, is_allowed: bool) -> None:
        self._is_allowed = is_allowed

    def __enter__(self) -> None:
        self._before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if self._is_allowed else "highest")
        torch.backends.cudnn.allow_tf32 = self._is_allowed

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision(self._before[0])
        torch.backends.cudnn.allow_tf32 = self._before[1]


def seconds(sizes: Sizes, call: Any, count: int) -> float:
    """The least mean time of a call over three rounds, after one that is not counted."""
    best = float("inf")
    for _ in range(4):
        sizes.synchronize()
        started, best_before = time.perf_counter(), best
        for _ in range(count):
            call()
        sizes.synchronize()
        best = min(best_before, (time.perf_counter() - started) / count)
    return best


def equality(sizes: Sizes) -> dict[str, float]:
    """The largest relative difference of metrics and weights after three float64 steps on the CPU and on the device."""
    return {name: difference_from_cpu(name, sizes.device) for name in NAMES[: sizes.of(None, 1)]}


def difference_from_cpu(name: str, device: torch.device, width: float = 0.05) -> float:
    """The largest difference of a recipe's metrics and weights after three steps, as a share of their size."""
    pair = [double_trainer(name, width, where) for where in (torch.device("cpu"), device)]
    worst = 0.0
    for step in range(3):
        rng = torch.Generator().manual_seed(step)
        low, high = pair[0].model.display_range
        real = low + (high - low) * torch.rand(16, *pair[0].model.image_shape, dtype=torch.float64, generator=rng)
        latents = pair[0].model.latent.sample(16, rng=rng, dtype=torch.float64)
        for trainer in pair:
            vars(trainer)["_draw"] = _drawing(latents.to(trainer.device))
        cpu, other = (trainer.step(real) for trainer in pair)
        worst = max([worst, *(abs(cpu[key] - other[key]) / (1 + abs(cpu[key])) for key in cpu)])
    for first, second in zip(*(trainer.model.parameters() for trainer in pair), strict=True):
        worst = max(worst, ((first - second.cpu()).abs().max() / (1 + first.abs().max())).item())
    return worst


def _drawing(latents: Tensor) -> Callable[[int], Tensor]:
    return lambda n: latents


def double_trainer(name: str, width: float, device: torch.device) -> InfoGANTrainer:
    """The trainer of a recipe in float64, without regularizers."""
    recipe = recipes.get(name, width=width)
    for part in (recipe.generator, recipe.discriminator, recipe.q_head, recipe.q_network):
        if isinstance(part, nn.Module):
            part.double()
    # Terms with draws of their own see other numbers on each device, and rates that fall hide nothing.
    return recipe.trainer(engine=Engine(device, precision="fp32"), regularizers=())


def memory(sizes: Sizes) -> dict[str, Any]:
    """Bytes allocated after 100 and after 2,000 steps, and the peak of each."""
    recipe = recipes.get("default", width=sizes.of(1.0, 0.05))
    trainer, few, many = sizes.trainer(recipe), sizes.of(100, 2), sizes.of(2000, 4)
    data, found = random_bytes(trainer, sizes.of(4096, 64)), {}
    for steps in (few, many):
        trainer.fit(data, steps=steps - trainer.steps, batch_size=sizes.of(128, 32))
        if sizes.device.type == "cuda":
            found[f"after {steps}"] = torch.cuda.memory_allocated(sizes.device)
            found[f"peak until {steps}"] = torch.cuda.max_memory_allocated(sizes.device)
    if sizes.device.type == "cuda":
        found["growth"] = found[f"after {many}"] - found[f"after {few}"]
    return found | {"steps": trainer.steps}


def tests(sizes: Sizes) -> dict[str, Any]:
    """The project's tests that need CUDA."""
    if importlib.util.find_spec("pytest") is None or importlib.util.find_spec("hypothesis") is None:
        return {"skipped": "pytest and hypothesis are not installed here"}
    what = sizes.of(["tests"], ["tests/step/test_precision.py"])
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-W", "default", "-p", "no:cacheprovider", *what]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
        capture_output=True,
        text=True,
        timeout=max(60.0, sizes.seconds_left),
        check=False,
    )
    (sizes.out / "tests.txt").write_text(done.stdout + done.stderr)
    return {"exit status": done.returncode, "summary": done.stdout.strip().splitlines()[-1:]}

"""What a step costs: launches, waits of the host, images a second, and the share of the device's own ceiling."""

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from infogan_lib import Engine, InfoGAN, InfoGANTrainer, Optimizers, recipes
from on_device.checks import tf32
from on_device.sizes import Sizes, random_bytes
from textbook import LATENT, QHead28, TextbookLoop, d_head, generator, trunk

PRECISIONS = {
    "fp32": {"precision": "fp32", "tf32": False},
    "TF32": {"precision": "fp32", "tf32": True},
    "bf16": {"precision": "bf16"},
}
SWITCHES: dict[str, dict[str, Any]] = {
    "cudnn.benchmark": {"benchmark": True, "memory_format": torch.contiguous_format},
    "channels_last": {"benchmark": False, "memory_format": torch.channels_last},
    "cudnn.benchmark, channels_last": {"benchmark": True, "memory_format": torch.channels_last},
}
_WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize", "cudaMemcpy")
_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch")


def engines(sizes: Sizes) -> dict[str, dict[str, Any]]:
    """The engines to compare: each precision, as plain steps and as CUDA graphs, which a rehearsal leaves out."""
    graph = {"graph": True if sizes.device.type == "cuda" else "auto"}
    return PRECISIONS | {f"{title}, graph": engine | graph for title, engine in PRECISIONS.items()}


def launches(sizes: Sizes, name: str) -> dict[str, Any]:
    """Launches and waits of a step by the profiler, and how long the device was busy."""
    found, steps = {}, 10
    for title, engine in engines(sizes).items():
        recipe = recipes.get(name, width=sizes.of(1.0, 0.05))
        trainer = sizes.trainer(recipe, engine=engine)
        data, batch = random_bytes(trainer, sizes.of(4096, 64)), sizes.of(recipe.batch_size, 32)
        trainer.fit(data, steps=sizes.of(20, 5), batch_size=batch)  # by then steps are captured
        sizes.synchronize()
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (sizes.device.type == "cuda")
        started = time.perf_counter()
        with profile(activities=kinds) as profiler:
            trainer.fit(data, steps=steps, batch_size=batch)
            sizes.synchronize()
        wall = time.perf_counter() - started
        events = profiler.events() or []
        calls = Counter(event.name for event in events)
        on_device = [event for event in events if event.device_type.name == "CUDA"]
        found[title] = {
            "launches": sum(calls[name] for name in _LAUNCHES) / steps,
            "waits": {name: calls[name] / steps for name in _WAITS if calls[name]},
            "kernels and copies": len(on_device) / steps,
            "device busy": sum(event.device_time for event in on_device) / 1e6 / wall,
        }
        key = "self_device_time_total" if on_device else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=key, row_limit=30, max_name_column_width=70)
        (sizes.out / f"profile_{name}_{title}.txt").write_text(table)
    return found


def speed(sizes: Sizes, batch: int, ceilings: dict[str, Any]) -> dict[str, Any]:
    """Images a second of lab 28's network: the textbook loop with its DataLoader and without, and the trainer."""
    n, width = sizes.of(batch, 16), sizes.of(1, 16)
    found = {}
    for title in ("fp32", "TF32"):
        for loader in (True, False):
            with tf32(title == "TF32"):
                rate = _rate(sizes, Textbook(sizes, n, width, loader=loader), n)
            found[f"textbook loop, {title}, {'DataLoader' if loader else 'images on the device'}"] = rate
    flops = 0
    for title, engine in engines(sizes).items():
        trainer = lab28(sizes, width, engine)
        data = random_bytes(trainer, sizes.of(max(8192, 2 * n), 64))
        rate = _rate(sizes, lambda steps, t=trainer, d=data: t.fit(d, steps=steps, batch_size=n), n)
        if "graph" not in engine:  # all precisions have as many, and none is seen in a replay
            with FlopCounterMode(display=False) as counter:
                trainer.step(data[:n])
            flops = counter.get_total_flops()
        ceiling = ceilings.get(f"TFLOP/s {title.split(',')[0].lower()}")
        share = {"share of the product's TFLOP/s": flops * rate["images/s"] / n / 1e12 / ceiling} if ceiling else {}
        found[f"trainer, {title}"] = rate | {"GFLOP a step": flops / 1e9} | share
    for title, settings in SWITCHES.items():  # torch's own, which a program sets
        with torch.backends.cudnn.flags(enabled=True, benchmark=settings["benchmark"]):
            trainer = lab28(sizes, width, PRECISIONS["bf16"], settings["memory_format"])
            data = random_bytes(trainer, sizes.of(max(8192, 2 * n), 64))
            found[f"trainer, bf16, {title}"] = _rate(
                sizes, lambda steps, t=trainer, d=data: t.fit(d, steps=steps, batch_size=n), n
            )
    return found


def lab28(
    sizes: Sizes, width: int, engine: dict[str, Any], memory_format: torch.memory_format = torch.contiguous_format
) -> InfoGANTrainer:
    """The trainer with the networks, rates and terms of the textbook loop; see `step_speed.trainer_28`."""
    made, discriminator = generator(width), nn.Sequential(trunk(width), d_head(width))
    for network in (made, discriminator):
        network.to(memory_format=memory_format)  # type: ignore - torch does not declare it
    model = InfoGAN(made, discriminator, LATENT, tap="0", q_head=QHead28(width))
    recipe_like: dict[str, Any] = {"regularizers": (), "information_trains": ["generator", "q_head"]}
    return InfoGANTrainer(
        model, optimizers=Optimizers(g=1e-4, d=1e-4), engine=Engine(sizes.device, **engine), **recipe_like
    )


def _rate(sizes: Sizes, run: Callable[[int], object], batch: int) -> dict[str, Any]:
    steps, times = sizes.of(30, 1), []
    is_cuda = sizes.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(sizes.device)
    for _ in range(sizes.of(6, 2)):
        sizes.synchronize()
        started = time.perf_counter()
        run(steps)
        sizes.synchronize()
        times.append((time.perf_counter() - started) / steps)
    median = statistics.median(times[1:])
    peak = {"peak MiB": torch.cuda.max_memory_allocated(sizes.device) / 2**20} if is_cuda else {}
    return {"ms a step": median * 1e3, "fastest": min(times[1:]) * 1e3, "images/s": batch / median} | peak


class Textbook:
    """The published loop on a device; `textbook.TextbookLoop` as it is, given its batches there."""

    def __init__(self, sizes: Sizes, batch: int, part: int, *, loader: bool) -> None:
        self._device = sizes.device
        images = torch.rand(sizes.of(max(8192, 2 * batch), 64), 1, 28, 28)
        with self._device:
            self._loop = TextbookLoop(images, batch, part)
        self._batches = self._from_loader(images, batch) if loader else self._from_device(images, batch)

    def _from_loader(self, images: Tensor, batch: int) -> Any:
        source = DataLoader(TensorDataset(images), batch, shuffle=True, drop_last=True)
        return (real.to(self._device) for _ in itertools.count() for (real,) in source)

    def _from_device(self, images: Tensor, batch: int) -> Any:
        return itertools.cycle(images.to(self._device).split(batch)[: len(images) // batch])

    def __call__(self, steps: int) -> None:
        """Make steps."""
        for _ in range(steps):
            self._loop.batches = iter([next(self._batches)])
            with self._device:
                self._loop.step()

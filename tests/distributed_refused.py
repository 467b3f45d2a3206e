"""What several processes cannot share, as functions that all of them run."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from typing_extensions import override

import infogan_lib as ig
from distributed_cases import CASES, build
from distributed_faults import fit_or_error, rank
from distributed_streams import Shards
from toys import LATENT, dense_discriminator, dense_generator, images, make_trainer


class MinibatchStd(nn.Module):
    @override
    def forward(self, x: Tensor) -> Tensor:
        return x * x.std(0, keepdim=True)


def other_seeds() -> str:
    return fit_or_error(images(40, dtype=torch.float64), seed=rank())


def other_lengths() -> str:
    return fit_or_error(images(40 + 10 * rank(), dtype=torch.float64))


def other_images() -> str:
    return fit_or_error(images(40, dtype=torch.float64, seed=rank()))


def dealt_out() -> None:
    dataset = TensorDataset(images(40))
    sampler = DistributedSampler(dataset, num_replicas=2, rank=rank())
    make_trainer().fit(DataLoader(dataset, 4, sampler=sampler), steps=2)


def dealt_out_stream() -> None:
    """A loader as Accelerate makes it of a stream, where each process reads all and keeps a part."""
    stream = type("IterableDatasetShard", (Shards,), {})(8, 8, processes=1)
    stream.num_processes = 2  # type: ignore[attr-defined]
    make_trainer().fit(DataLoader(stream, 4), steps=2)


def dispatched() -> None:
    """A loader of that name, as which Accelerate's process 0 reads and sends to those who wait for it."""
    loader = type("DataLoaderDispatcher", (DataLoader,), {})(TensorDataset(images(40)), 4)
    make_trainer().fit(loader, steps=2)


def fully_sharded() -> None:
    """A network of which one layer's weights are spread over the processes."""
    d = dense_discriminator()
    fully_shard(d[1], mesh=init_device_mesh("cpu", (2,)))
    make_trainer(discriminator=d)


def other_networks() -> str:
    trainer = make_trainer(discriminator=dense_discriminator(norm=rank() == 0))
    return str(trainer)


def other_activations() -> None:
    d = dense_discriminator()
    make_trainer(discriminator=nn.Sequential(*(nn.ELU() if isinstance(x, nn.LeakyReLU) and rank() else x for x in d)))


def other_sources() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doubled.py"
        path.write_text(f"from torch import nn\n\n\nclass Doubled(nn.Sequential):\n    factor = {2 + rank()}\n")
        with mock.patch.object(sys, "path", [folder, *sys.path]):
            doubled = importlib.import_module("doubled")
        make_trainer(discriminator=doubled.Doubled(*dense_discriminator()))


def other_versions() -> None:
    with mock.patch.object(torch, "__version__", f"2.{13 + rank()}.0"):
        make_trainer()


def other_targets() -> None:
    make_trainer().fit(images(40), steps=2 + rank(), batch_size=8)


def other_callbacks() -> None:
    """Callbacks for process 0 alone, as a program for DistributedDataParallel gives them."""
    make_trainer().fit(images(40), steps=6, batch_size=8, callbacks=[ig.Callback()] if rank() == 0 else [])


class Steps(ig.Callback):
    """Makes a step of its own, in process 0 alone."""

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        trainer.step(images(8))


class Saves(ig.Callback):
    """Saves the trainer, in process 0 alone."""

    @override
    def on_fit_start(self, trainer: ig.InfoGANTrainer, total_steps: int | None) -> None:
        trainer.save_checkpoint(Path(tempfile.gettempdir()) / "saved_by_one_process")


def steps_alone() -> None:
    make_trainer().fit(images(40), steps=6, batch_size=8, callbacks=[Steps()])


def saves_alone() -> None:
    make_trainer().fit(images(40), steps=6, batch_size=8, callbacks=[Saves()])


def wrapped() -> None:
    make_trainer(discriminator=DistributedDataParallel(dense_discriminator()))


def compiled() -> None:
    make_trainer(compile=True)


def minibatch_std() -> None:
    d = dense_discriminator()
    make_trainer(discriminator=nn.Sequential(d[:2], MinibatchStd(), d[2:])).fit(images(40), steps=2, batch_size=8)


def statistics_of_rows() -> None:
    """A layer that looks at other rows in its running statistics alone."""
    norm = nn.Sequential(nn.Unflatten(1, (4, 4)), nn.InstanceNorm1d(4, track_running_stats=True), nn.Flatten())
    d = dense_discriminator()
    make_trainer(discriminator=nn.Sequential(d[:3], norm, d[3:])).fit(images(40), steps=2, batch_size=8)


def gradient_of_batch() -> None:
    """A layer that looks at other rows in the backward pass alone."""

    class Normalizes(nn.Module):
        @override
        def forward(self, x: Tensor) -> Tensor:
            y = x * 1
            if y.requires_grad:
                y.register_hook(lambda gradient: gradient / gradient.norm())
            return y

    g = dense_generator()
    make_trainer(nn.Sequential(g[:3], Normalizes(), g[3:])).fit(images(40), steps=2, batch_size=8)


def random_layer() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 0.1 * torch.randn_like(x)

    g = dense_generator()
    make_trainer(nn.Sequential(g[:3], Noisy(), g[3:])).fit(images(40), steps=2, batch_size=8)


class Recomputed(nn.Module):
    """A BatchNorm whose activations are not kept, but computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Tanh())

    @override
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.layers, x, use_reentrant=False)


def recomputed() -> None:
    g = dense_generator()
    make_trainer(nn.Sequential(g[:3], Recomputed(), g[3:])).fit(images(40), steps=2, batch_size=8)


def few_rows() -> None:
    networks = dense_generator_without_norm(), dense_discriminator(norm=False)
    make_trainer(*networks, accumulation_steps=3).fit(images(40), steps=2, batch_size=4)


def dense_generator_without_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(LATENT.width, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))


def changed_weight() -> None:
    """A callback that changes a weight of process 0 alone."""

    class Changes(ig.Callback):
        def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
            if trainer.steps == 3:
                with torch.no_grad():
                    next(trainer.model.generator.parameters()).add_(1)

    trainer, data, fit = build(CASES["default"] | {"steps": 3})
    trainer.fit(data, **fit, callbacks=[Changes()])
    trainer.fit(data, **fit)

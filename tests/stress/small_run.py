"""A small run that the stress tests share: tiny networks with BatchNorm and dropout on generated data.

As a program it trains in a folder, as a user's script would: python tests/stress/small_run.py FOLDER
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import infogan_lib as ig
from infogan_lib import Checkpoints
from infogan_lib.checkpoints.run_folder import Checkpoint, latest_checkpoint
from infogan_lib.checkpoints.segments import from_manifest
from infogan_lib.training.callbacks import JSONLLogger

LATENT = ig.LatentSpec(z=ig.Noise(5), digit=ig.Categorical(4), style=ig.Uniform(2, weight=0.5))
MAX_BYTES = 2**30


@dataclass(frozen=True)
class Kind:
    """The settings that vary between runs."""

    ema: bool = True
    accumulation_steps: int = 1
    precision: Any = "fp32"
    data: str = "tensor"
    num_workers: int = 0
    joint_batches: bool = False
    calls: int = 1  # of fit; each but the first begins with a checkpoint of the step at which the one before ended
    keep: int = 2


def trainer(kind: Kind = Kind()) -> ig.InfoGANTrainer:
    torch.manual_seed(0)
    generator = nn.Sequential(
        *(nn.Linear(LATENT.width, 32), nn.BatchNorm1d(32), nn.ReLU()),
        *(nn.Linear(32, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.LeakyReLU(0.1)),
        *(nn.Dropout(0.2), nn.Linear(32, 1)),
    )
    return ig.InfoGANTrainer(
        generator,
        discriminator,
        LATENT,
        ema_decay=0.9 if kind.ema else None,
        engine=ig.Engine("cpu", precision=kind.precision, accumulation_steps=kind.accumulation_steps),
        joint_batches=kind.joint_batches,
        seed=7,
    )


def images() -> Tensor:
    return torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Augmented(Dataset[Tensor]):
    """Items that draw from torch's global generator, as a user's augmentation does."""

    def __init__(self) -> None:
        self._images = images()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        return (self._images[index] + 0.1 * torch.randn(1, 8, 8)).clamp(-1, 1)


def data(kind: Kind) -> Any:
    if kind.data == "loader":
        return DataLoader(Augmented(), batch_size=12, shuffle=True, drop_last=True, num_workers=kind.num_workers)
    return Augmented() if kind.data == "dataset" else images()


def train(kind: Kind, folder: Path, *, steps: int = 60, callbacks: Sequence[ig.Callback] = (), **options: Any) -> None:
    """Train a run, or the rest of one that was interrupted.

    Args:
        kind: The settings.
        folder: The run's folder.
        steps: The length of the run, in all calls of fit. A batch has twelve images, so that 60 steps end in the middle
            of an epoch.
        callbacks: Called after the log's.
        **options: Settings of `Checkpoints`.
    """
    num_workers = kind.num_workers if kind.data == "dataset" else 0  # a loader brings its own
    trained, log = trainer(kind), JSONLLogger(folder / "metrics.jsonl")
    settings: dict[str, Any] = {"keep": kind.keep} | options
    for _ in range(kind.calls):
        trained.fit(
            data(kind),
            steps=steps // kind.calls,
            batch_size=12,
            num_workers=num_workers,
            callbacks=[log, *callbacks],
            checkpoints=Checkpoints(folder, **settings),
        )


def last_checkpoint(folder: Path) -> Checkpoint | None:
    return latest_checkpoint(folder, max_bytes=MAX_BYTES)


def last_state(folder: Path) -> dict[str, Any] | None:
    """The comparable state of the last checkpoint."""
    checkpoint = last_checkpoint(folder)
    return None if checkpoint is None else comparable(checkpoint)


def comparable(checkpoint: Checkpoint) -> dict[str, Any]:
    """A run's state and history without its speed, which no run repeats."""
    recorded = ig.History()
    recorded.restore(from_manifest(checkpoint.path, checkpoint.metadata), checkpoint.path)
    history = recorded.state_dict()
    for part in ("values", "steps"):
        history[part] = {name: values for name, values in history[part].items() if name != "images_per_second"}
    return checkpoint.state | {"history": history}


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """The run's log, without its speed."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


def same(a: Any, b: Any) -> bool:
    """Whether two states are bitwise equal."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


class Slow(ig.Callback):
    """Makes a step last long enough for a signal to arrive during it."""

    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        time.sleep(0.01)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    trainer().fit(
        images(),
        steps=100_000,
        batch_size=12,
        callbacks=[JSONLLogger(folder / "metrics.jsonl"), Slow()],
        checkpoints=Checkpoints(folder, every=1_000),
    )

"""Random programs of several calls of `fit`, in which callbacks, data, schedulers, optimizers and augmentations fail at
random moments. Each failed call is made again, by the same trainer or by a new process's, until the program has ended:
as it ends without the failures, bit by bit.

    python tests/stress/random_programs.py --programs 200
"""

import argparse
import logging
import random
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from small_run import LATENT
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

import infogan_lib as ig
from infogan_lib.callbacks import JSONLLogger

PLACES = ("start", "end", "step", "epoch", "state", "schedule", "optimizer", "augment", "item")


class FailureError(Exception):
    """A failure that was asked for."""


class Failure(NamedTuple):
    """A failure at the n-th passage of a place, and whether the program is then started again."""

    place: str
    passage: int
    error: type[BaseException]
    restarts: bool


class Failures:
    """The failures that are still to come, one after the other."""

    def __init__(self) -> None:
        self.current: Failure | None = None
        self._left = 0

    def arm(self, failure: Failure | None) -> None:
        """Have a failure come next; None for none."""
        self.current, self._left = failure, failure.passage if failure else 0

    def pass_by(self, place: str) -> None:
        """Fail, if it is time."""
        if self.current is not None and self.current.place == place and self._left > 0:
            self._left -= 1
            if self._left == 0:
                raise self.current.error(place)


FAILURES = Failures()


class Fails(ig.Callback):
    """Fails, and keeps a state."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_fit_start(self, trainer: Any, total_steps: int | None) -> None:
        FAILURES.pass_by("start")

    def on_fit_end(self, trainer: Any) -> None:
        FAILURES.pass_by("end")

    def on_step_end(self, trainer: Any, metrics: Any) -> None:
        self.losses.append(metrics["loss/d"])
        FAILURES.pass_by("step")

    def on_epoch_end(self, trainer: Any) -> None:
        FAILURES.pass_by("epoch")

    def state_dict(self) -> dict[str, Any]:
        FAILURES.pass_by("state")
        return {"losses": list(self.losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses = list(state["losses"])


class FailingSchedule(StepLR):
    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        FAILURES.pass_by("schedule")


class FailingAdam(torch.optim.Adam):
    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        FAILURES.pass_by("optimizer")
        return result


class Items(Dataset[Tensor]):
    """Images that draw from two global generators."""

    def __len__(self) -> int:
        return 21

    def __getitem__(self, index: int) -> Tensor:
        FAILURES.pass_by("item")
        return torch.full((1, 8, 8), index / 21 - 0.5) + 0.1 * torch.randn(1, 8, 8) + 0.01 * random.random()


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    FAILURES.pass_by("augment")
    return images + 0.01 * torch.randn(images.shape, generator=rng) + 0.01 * torch.randn_like(images)


def data_of(kind: str) -> Any:
    if kind == "tensor":
        return torch.rand(21, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    if kind == "loader":
        return DataLoader(Items(), batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3))
    return Items()


def new_trainer() -> ig.InfoGANTrainer:
    torch.manual_seed(0)
    random.seed(0)
    layers = nn.Linear(LATENT.width, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64)
    return ig.InfoGANTrainer(
        nn.Sequential(*layers, nn.Unflatten(1, (1, 8, 8)), nn.Tanh()),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.1), nn.Dropout(0.3), nn.Linear(16, 1)),
        LATENT,
        regularizers=(),
        ema_decay=0.9,
        augment=augment,
        engine=ig.Engine("cpu"),
        optimizers=ig.Optimizers(
            g=lambda p: FailingAdam(p, lr=1e-3),
            d=lambda p: FailingAdam(p, lr=1e-3),
            scheduler=lambda optimizer: FailingSchedule(optimizer, 3, 0.9),
        ),
    )


class Call(NamedTuple):
    """A call of `fit`."""

    target: dict[str, Any]
    every: int
    keep: int


def _make_calls(folder: Path, calls: list[Call], kind: str, failures: Iterator[Failure | None]) -> list[Any] | None:
    """Run a program; None where a failure ended its process."""
    t, data, callbacks = new_trainer(), data_of(kind), [Fails()]
    for target, every, keep in calls:
        callbacks = [Fails(), JSONLLogger(folder / "log.jsonl")]
        while True:
            FAILURES.arm(next(failures))
            saved = ig.Checkpoints(folder, every=every, keep=keep)
            try:
                t.fit(data, batch_size=8, progress=False, callbacks=callbacks, checkpoints=saved, **target)
                break
            except (FailureError, KeyboardInterrupt):
                if FAILURES.current is not None and FAILURES.current.restarts:
                    return None
    FAILURES.arm(None)
    moments = [v for o in t.optimizers.values() for state in o.state.values() for v in state.values()]
    counts = [t.steps, t.epochs, *t.history.epochs, *(scheduler.last_epoch for scheduler in t.schedulers)]
    metrics = [t.history[name] for name in t.history if name != "images_per_second"]
    log = [line.partition(b",")[0] for line in (folder / "log.jsonl").read_bytes().splitlines()]
    streams = [t.streams["latents"].get_state(), torch.get_rng_state()]
    return [*t.model.state_dict().values(), *moments, *streams, *metrics, counts, log, callbacks[0].losses]


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else bool(a == b)


def try_program(seed: int) -> bool:
    """Whether a program ends with its failures as without them."""
    rng = random.Random(seed)
    kind = rng.choice(["tensor", "items", "loader"])
    lengths = [{"steps": rng.randint(1, 8)} if rng.random() < 0.6 else {"epochs": rng.randint(1, 3)} for _ in range(3)]
    calls = [Call(length, rng.randint(1, 4), rng.randint(1, 2)) for length in lengths[: rng.randint(1, 3)]]
    errors: list[type[BaseException]] = [FailureError, FailureError, KeyboardInterrupt]
    last = calls[0].target.get("steps", 6)  # at the end of a call there is most to be done
    failures: list[Failure | None] = [
        Failure(rng.choice(PLACES), rng.choice([last, rng.randint(1, 9)]), rng.choice(errors), rng.random() < 0.5)
        for _ in range(rng.randint(1, 5))
    ]

    def endless(first: list[Failure | None]) -> Iterator[Failure | None]:
        yield from first
        while True:
            yield None

    with tempfile.TemporaryDirectory() as name:
        whole = _make_calls(Path(name) / "whole", calls, kind, endless([]))
        ended, coming = None, endless(failures)
        while ended is None:
            ended = _make_calls(Path(name) / "failing", calls, kind, coming)
    return whole is not None and len(whole) == len(ended) and all(map(_is_same, whole, ended))


def try_programs(count: int, first: int = 0) -> list[int]:
    """The seeds of those that end otherwise with their failures than without them."""
    logging.getLogger("infogan_lib").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [seed for seed in range(first, first + count) if not try_program(seed)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200)
    torch.set_num_threads(1)
    programs = parser.parse_args().programs
    different = try_programs(programs)
    print(f"{programs} programs, {len(different)} that end otherwise than without the failures: {different}")

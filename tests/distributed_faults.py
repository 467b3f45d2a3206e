"""What goes wrong in one of several processes, as functions that all of them run."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from typing_extensions import override

import infogan_lib as ig
from distributed_cases import CASES, SGD, Result, build, dropping_discriminator, result_of
from infogan_lib import callbacks
from infogan_lib.viz import write_report
from toys import dense_discriminator, dense_generator, images, make_trainer


def rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


class Signals(ig.Callback):
    """Sends a signal to one of the processes after a step."""

    on_all_processes = True

    def __init__(self, rank: int, step: int, number: int = signal.SIGTERM) -> None:
        self.rank, self.step, self.number = rank, step, number

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        if trainer.steps == self.step and trainer.distributed.rank == self.rank:
            os.kill(os.getpid(), self.number)


class Recorder(ig.Callback):
    """The steps that it was called at, and where."""

    def __init__(self, everywhere: bool = False) -> None:
        self.on_all_processes, self.calls = everywhere, []

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        self.calls.append((trainer.distributed.rank, trainer.steps, metrics["loss/d"]))


class Failing(ig.Callback):
    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        if trainer.steps == 3:
            raise OSError("the disk is full")


class Stopping(ig.Callback):
    """Stops at step 7, and needs the model at step 8 or always."""

    def __init__(self, *, late: bool = False) -> None:
        self.late = late

    @override
    def needs_model(self, step: int) -> bool:
        return step == 8 or not self.late

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        if trainer.steps == 7:
            trainer.stop()


class Broken(Dataset):
    """Images of which one cannot be read."""

    @override
    def __getitem__(self, index: int) -> Tensor:
        if index == 7:
            raise OSError("picture 7 is damaged")
        return images(60, dtype=torch.float64)[index]

    def __len__(self) -> int:
        return 60


class EndedWithItsWorkers(Dataset):
    """Images that cannot be read in process 1 from the 20th on, when process 0 receives a signal."""

    def __init__(self) -> None:
        self.reads = 0

    @override
    def __getitem__(self, index: int) -> Tensor:
        self.reads += 1
        if self.reads == 20 and rank() == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.reads == 20 and rank() == 1:
            raise OSError("a worker was killed")
        return images(60, dtype=torch.float64)[index]

    def __len__(self) -> int:
        return 60


def run(name: str, folder: Path, stop_in: int | None = None, stop_at: int = 5, every: int = 4, **changes: Any) -> Any:
    """Train with checkpoints up to step 12, and be ended by a signal to one of the processes if that is given."""
    trainer, data, fit = build(CASES[name] | {"steps": 12} | changes)
    called = [] if stop_in is None else [Signals(stop_in, stop_at)]
    try:
        trainer.fit(data, **fit, checkpoints=ig.Checkpoints(folder, every=every), callbacks=called)
    except SystemExit as exit:
        return trainer.steps, exit.code
    return result_of(trainer)


def ended_with_its_workers(folder: Path) -> tuple[int, Any, list[str]]:
    trainer, _, fit = build(CASES["default"] | {"steps": 12})
    try:
        trainer.fit(EndedWithItsWorkers(), **fit, checkpoints=folder)
    except SystemExit as exit:
        return trainer.steps, exit.code, sorted(path.name for path in (folder / "checkpoints").iterdir())
    return 0, 0, []


def steps_with(*called: ig.Callback) -> tuple[int, Any]:
    """The steps made in 12, the calls of the last callback."""
    trainer, data, fit = build(CASES["default"] | {"steps": 12})
    trainer.fit(data, **fit, callbacks=called)
    return trainer.steps, getattr(called[-1], "calls", None)


def write_log(path: Path) -> None:
    trainer, data, fit = build(CASES["default"] | {"steps": 12})
    trainer.fit(data, **fit, callbacks=[callbacks.JSONLLogger(path)])


def fit_or_error(data: Any, **settings: Any) -> str:
    """Twenty steps on data in float64."""
    trainer = make_trainer(dense_generator().double(), dense_discriminator().double(), **settings)
    trainer.fit(data, steps=20, batch_size=8)
    return "trained"


def failing_callback() -> Any:
    trainer, data, fit = build(CASES["default"] | {"steps": 12})
    trainer.fit(data, **fit, callbacks=[Failing()])


def broken_data() -> str:
    return fit_or_error(Broken())


def broken_iterable() -> str:
    def batches():
        for i in range(9):
            if i == 4:
                raise OSError("the connection was lost")
            yield images(8, dtype=torch.float64, seed=i)

    return fit_or_error(batches())


def failing_layer(as_own_loop: bool) -> str:
    """A layer that fails in process 1 alone, while process 0 waits for its rows."""

    class Fails(nn.Module):
        calls = 0

        @override
        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 12 and rank() == 1:
                raise MemoryError("this device is full")
            return x

    trainer = make_trainer(discriminator=nn.Sequential(Fails(), *dense_discriminator()))
    if not as_own_loop:
        trainer.fit(images(40), steps=20, batch_size=8)
    for _ in range(20):
        trainer.model.train()
        trainer.step(images(8))
    return "trained"


def killed_in_a_step() -> str:
    """A layer that ends process 1 at once."""

    class Ends(nn.Module):
        @override
        def forward(self, x: Tensor) -> Tensor:
            if self.training and rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return x

    trainer = make_trainer(discriminator=nn.Sequential(Ends(), *dense_discriminator()))
    trainer.fit(images(40), steps=20, batch_size=8)
    return "trained"


def not_finite_here() -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
    """A loss that is not finite for the rows of the last process."""

    class Bad(nn.Module):
        bad = False

        def forward(self, x: Tensor) -> Tensor:
            last = rank() == torch.distributed.get_world_size() - 1
            return x * float("nan") if self.bad and self.training and last else x

    bad = Bad()
    trainer = make_trainer(discriminator=nn.Sequential(bad, *dense_discriminator()))
    trainer.model.train()
    batch = images(9)
    trainer.step(batch)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    bad.bad = True
    try:
        trainer.step(batch)
    except ig.NonFiniteLossError as error:
        after = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        return str(error), before, after
    return None, {}, {}


def other_initial_weights() -> Result:
    """Weights and dropout from another seed in each process."""
    torch.manual_seed(rank())
    trainer = make_trainer(dense_generator(), dropping_discriminator())
    trainer.model.train()
    for seed in range(2):
        trainer.step(images(8, seed=seed))
    return result_of(trainer)


def drawing_callback() -> Result:
    """A callback that draws from the generator that dropout draws from."""

    class Draws(ig.Callback):
        @override
        def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
            torch.rand(3)

    trainer, data, fit = build(CASES["dropout"] | {"steps": 6})
    trainer.fit(data, **fit, callbacks=[Draws()])
    return result_of(trainer)


def own_loop(batches: list[Tensor]) -> list[dict[str, float]]:
    trainer, _, _ = build(CASES["default regularizers"])
    trainer.model.train()
    return [trainer.step(batch) for batch in batches]


def save_and_load(folder: Path) -> list[Result]:
    trainer, data, fit = build(CASES["Adam"] | {"steps": 4})
    trainer.fit(data, **fit)
    trainer.save_checkpoint(folder)
    other, _, _ = build(CASES["Adam"] | {"steps": 4})
    other.load_checkpoint(folder)
    return [result_of(trainer), result_of(other)]


def in_bf16(steps: int) -> tuple[Result, set[torch.dtype]]:
    """What a training in bfloat16 makes, and the dtypes of what a layer of G makes."""
    torch.manual_seed(0)
    g, dtypes = dense_generator(), set[torch.dtype]()
    g[0].register_forward_hook(lambda layer, inputs, output: dtypes.add(output.dtype))
    rates = dict.fromkeys(("lr_g", "lr_d", "lr_q"), 0.05)
    trainer = make_trainer(g, dense_discriminator(), precision="bf16", **SGD, **rates)
    dtypes.clear()
    if steps:
        trainer.fit(images(60), steps=steps, batch_size=11)
    return result_of(trainer), dtypes


def averaged() -> list[Tensor]:
    """Tensors of two dtypes and layouts, averaged over the processes."""
    tensors = [torch.full((2, 3), rank(), dtype=torch.float32).t(), torch.full((4,), 2.0 * rank(), dtype=torch.float64)]
    make_trainer().distributed.average(tensors)
    return tensors


def encoded(count: int, broken: int | None = None) -> list[Tensor]:
    """What Q reads from images in batches of four, of which one has a value that is not finite if that is given."""
    trainer = make_trainer()
    batch = images(count)
    if broken is not None:
        batch[broken, 0, 0, 0] = float("nan")
    posteriors = trainer.model.encode(batch, batch_size=4, distributed=trainer.distributed)
    return [posteriors["digit"].probs, posteriors["style"].mean]


def encoded_of_rank() -> list[Tensor]:
    return encoded(8 + rank())


def encoded_of_another_shape() -> None:
    trainer = make_trainer()
    trainer.model.encode(images(8, (1, 4, 4 + rank())), distributed=trainer.distributed)


def encoded_by_one() -> Tensor | None:
    """One process encodes while the other does not."""
    model = make_trainer().model
    return model.encode(images(8))["digit"].probs if rank() == 0 else None


def reported(folder: Path) -> str:
    """A report that every process writes into the same file."""
    trainer = make_trainer(seed=0)
    return write_report(trainer.model, images(40), out=folder / "report.html").path.read_text()

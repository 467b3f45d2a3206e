"""The training loop: batches, steps, callbacks, checkpoints and signals."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from torch import Tensor

from infogan_lib.training.callbacks import Callback
from infogan_lib.training.guard import NonFiniteLossError
from infogan_lib.training.resume import Run
from infogan_lib.training.signals import StopSignals, undisturbed_by_workers

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


def run_fit(
    trainer: "InfoGANTrainer",
    run: Run,
    callbacks: Sequence[Callback],
    check: Callable[[Tensor], None] | None,
    *,
    more_steps: int | None = None,
    more_epochs: int | None = None,
) -> None:
    """Resume a run where there is one to resume, and train to the end of this call of `fit`.

    Args:
        trainer: makes the steps.
        run: the run, with its stream of batches.
        callbacks: called in order.
        check: looks at the first batch of every epoch; None if there is nothing to look at.
        more_steps: the steps of this call; None to count epochs.
        more_epochs: the epochs of this call; None to count steps.
    """
    if not run.resume():
        return
    step, epoch = run.begin()
    last_step = None if more_steps is None else step + more_steps
    last_epoch = None if more_epochs is None else epoch + more_epochs
    stream, total = run.stream, last_step
    if last_epoch is not None and stream.source.expected is not None:
        total = trainer.steps - stream.position.offset + stream.source.expected * (last_epoch - trainer.epochs)
    trainer.model.train()
    with ExitStack() as ending:
        for callback in callbacks:
            ending.callback(callback.on_fit_end, trainer)
            callback.on_fit_start(trainer, total)
        run.save()
        stop = ending.enter_context(StopSignals(saves=run.saves))
        FitLoop(trainer, callbacks, run, stop, check).until(last_step, last_epoch)


class FitLoop:
    """Launches steps and reads each one step late, so that the device never waits for the host.

    The loop catches up, so that the model is as of the step last read, before anything that looks at the model: a
    callback that needs it, a checkpoint, the end of an epoch, a signal, the end of the fit.

    Args:
        trainer: launches, reads and counts the steps.
        callbacks: called in order.
        run: gives the batches and writes the checkpoints.
        stop: notes signals.
        check: looks at the first batch of every epoch; None if there is nothing to look at.
    """

    def __init__(
        self,
        trainer: "InfoGANTrainer",
        callbacks: Sequence[Callback],
        run: Run,
        stop: StopSignals,
        check: Callable[[Tensor], None] | None,
    ) -> None:
        self._trainer, self._stream, self._callbacks = trainer, run.stream, callbacks
        self._run, self._stop, self._check = run, stop, check
        self._lap = time.perf_counter()
        self._speeds: deque[float] = deque()  # of the steps that were launched and not read

    def until(self, last_step: int | None, last_epoch: int | None) -> None:
        """Train until this many steps or epochs have been made in all, and save the end.

        Raises:
            KeyboardInterrupt, SystemExit: a signal came; the step was finished and saved.
        """
        trainer, run = self._trainer, self._run
        try:
            while trainer.epochs < last_epoch if last_epoch is not None else trainer.launched < (last_step or 0):
                images = self._next_batch()
                with undisturbed_by_workers():
                    self._train_on(images)
            self._catch_up()
        except BaseException:
            self._settle()
            raise
        run.finish()
        self._check_signals()

    def _train_on(self, images: Tensor | None) -> None:
        """Make a step on a batch, or end an epoch; then save if it is time or a signal came."""
        trainer, stream = self._trainer, self._stream
        if images is not None:
            self._step(images)
        elif stream.position.offset == 0:
            raise ValueError(
                f"data gave no batch in epoch {trainer.epochs}; an iterator that is used up cannot begin again: "
                "give a list, a DataLoader or another iterable that can"
            )
        if images is None or stream.at_end():
            self._catch_up()
            stream.end_pass()
            trainer.history.epochs.append(trainer.steps)
            for callback in self._callbacks:
                callback.on_epoch_end(trainer)
        self._check_signals()
        if self._run.due(trainer.launched):
            self._catch_up()
            self._run.save()

    def _next_batch(self) -> Tensor | None:
        is_first = self._stream.at_pass_start
        try:
            images = self._stream.take()
        except Exception:  # a signal to the whole group may end a loader's workers before it is noticed here
            if self._stop.came(within=0.5):
                with undisturbed_by_workers():
                    self._check_signals()
            raise
        if images is not None and is_first and self._check is not None:
            self._check(images)
        return images

    def _step(self, images: Tensor) -> None:
        trainer = self._trainer
        try:
            trainer.launch(images)
        except BaseException:
            self._stream.push_back()
            self._catch_up()  # what went wrong may be that the step before was not finite
            raise
        now = time.perf_counter()
        self._speeds.append(len(images) / (now - self._lap))
        self._lap = now
        while trainer.steps < trainer.launched - 1:
            self._read()
        if any(callback.needs_model(trainer.launched) for callback in self._callbacks):
            self._catch_up()

    def _read(self) -> None:
        """Read the earliest step that was launched and not read, and report it."""
        trainer = self._trainer
        pending = trainer.launched - trainer.steps
        try:
            metrics = trainer.read()
        except BaseException:
            self._stream.push_back(pending)
            raise
        speed = {"images_per_second": self._speeds.popleft()}
        trainer.history.record(trainer.steps, speed)
        for callback in self._callbacks:
            callback.on_step_end(trainer, metrics | speed)

    def _catch_up(self) -> None:
        while self._trainer.steps < self._trainer.launched:
            self._read()

    def _settle(self) -> None:
        """Read what is left after an error, for the history alone; a step that was not finite is rolled back."""
        trainer = self._trainer
        while trainer.steps < trainer.launched:
            pending = trainer.launched - trainer.steps
            try:
                trainer.read()
            except (NonFiniteLossError, ValueError):
                self._stream.push_back(pending)

    def _check_signals(self) -> None:
        if self._stop.received is None:
            return
        self._catch_up()
        path = self._run.save()
        where = f"saved in {path}; the same command resumes from there" if path else "nothing is saved without run_dir"
        self._stop.end(f"after step {self._trainer.steps}; {where}")

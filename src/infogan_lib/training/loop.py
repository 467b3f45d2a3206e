"""The loop of a fit: batches, steps, callbacks, checkpoints, and an ear for signals."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from infogan_lib.data.stream import DataStream
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.resume import Run
from infogan_lib.training.signals import StopSignals, undisturbed_by_workers

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


class FitLoop:
    """Steps until an end, saved on the way.

    Args:
        trainer: makes the steps and counts them.
        stream: gives the batches.
        callbacks: are told, in order.
        run: saves.
        stop: takes note of signals.
        check: looks at the first batch of every pass; None for nothing to look at.
    """

    def __init__(
        self,
        trainer: "InfoGANTrainer",
        stream: DataStream,
        callbacks: Sequence[Callback],
        run: Run,
        stop: StopSignals,
        check: Callable[[Tensor], None] | None,
    ) -> None:
        self._trainer, self._stream, self._callbacks = trainer, stream, callbacks
        self._run, self._stop, self._check = run, stop, check
        self._lap = time.perf_counter()

    def until(self, last_step: int | None, last_epoch: int | None) -> None:
        """Train until as many steps or epochs have been made in all, and save the end.

        Raises:
            KeyboardInterrupt, SystemExit: a signal came; the step was finished and saved.
        """
        trainer, run = self._trainer, self._run
        while trainer.epochs < last_epoch if last_epoch is not None else trainer.steps < (last_step or 0):
            images = self._next_batch()
            with undisturbed_by_workers():
                self._take_in(images)
        run.finish()
        self._heed_signals()

    def _take_in(self, images: Tensor | None) -> None:
        """Make a step on a batch, or end a pass; then save, if it is time or a signal came."""
        trainer, stream = self._trainer, self._stream
        if images is not None:
            self._step(images)
        elif stream.position.offset == 0:
            raise ValueError(
                f"data gave no batch in epoch {trainer.epochs}; an iterator that is used up cannot begin again: "
                "give a list, a DataLoader or another iterable that can"
            )
        if images is None or stream.at_end():
            stream.end_pass()
            trainer.history.epochs.append(trainer.steps)
            for callback in self._callbacks:
                callback.on_epoch_end(trainer)
        self._heed_signals()
        if self._run.due(trainer.steps):
            self._run.save()

    def _next_batch(self) -> Tensor | None:
        is_first = self._stream.at_pass_start
        try:
            images = self._stream.take()
        except Exception:  # a signal to the whole group may end a loader's workers before it is noticed here
            if self._stop.came(within=0.5):
                with undisturbed_by_workers():
                    self._heed_signals()
            raise
        if images is not None and is_first and self._check is not None:
            self._check(images)
        return images

    def _step(self, images: Tensor) -> None:
        trainer = self._trainer
        try:
            metrics = trainer.step(images)
        except BaseException:
            self._stream.give_back()
            raise
        now = time.perf_counter()
        speed = {"images_per_second": len(images) / (now - self._lap)}
        self._lap = now
        trainer.history.record(trainer.steps, speed)
        for callback in self._callbacks:
            callback.on_step_end(trainer, metrics | speed)

    def _heed_signals(self) -> None:
        if self._stop.received is None:
            return
        path = self._run.save()
        where = f"saved in {path}; the same command goes on from there" if path else "nothing is saved without run_dir"
        self._stop.end(f"after step {self._trainer.steps}; {where}")

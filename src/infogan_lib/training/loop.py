"""The training loop: batches, steps, callbacks, checkpoints and signal handling."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from infogan_lib.data.labels import Batch
from infogan_lib.data.stream import Target
from infogan_lib.networks.introspection import train_unfrozen
from infogan_lib.resume.session import FitSession
from infogan_lib.training.callbacks import Callback, call, called_here
from infogan_lib.training.ending import Ending
from infogan_lib.training.signals import StopSignals, defer_sigchld

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


def run_fit(
    trainer: "InfoGANTrainer",
    session: FitSession,
    callbacks: Sequence[Callback],
    check: Callable[[Batch], None] | None,
    target: Target,
) -> None:
    """Resume a run where there is one, and train to the end of this call of `fit`.

    The first batch of every epoch is checked, unless `check` is None.
    """
    if not session.resume(target):
        return
    session.check_replicas()
    last_step, last_epoch = session.begin(target)
    stream, total = session.stream, last_step
    if last_epoch is not None and (per_epoch := stream.source.estimated_batches) is not None:
        total = trainer.steps - stream.position.batch_index + per_epoch * (last_epoch - trainer.epochs)
    train_unfrozen(trainer.model)
    # A stop is kept that a callback asked for at the step at which another one raised.
    trainer.is_stopping = session.is_over or (session.goes_on and trainer.is_stopping)
    with ExitStack() as stack:
        for callback in called_here(callbacks, trainer.distributed):
            stack.callback(call, callback, trainer.distributed, lambda called: called.on_fit_end(trainer))
            call(callback, trainer.distributed, lambda called: called.on_fit_start(trainer, total))
        if not session.is_over:  # whose end is saved below, and as such
            session.warn_of_attributes()
            session.save()
        stop = stack.enter_context(StopSignals(saves=session.saves))
        FitLoop(trainer, callbacks, session, stop, check).run(last_step, last_epoch)
    stream.check_data()


class FitLoop:
    """Launches steps, and reads each one step late where a device would else wait for the host; on a CPU at once.

    The loop catches up, so that the model is as of the step last read, before anything that looks at the model: a
    callback that needs it, a checkpoint, the end of an epoch, a signal, the end of the fit.
    """

    def __init__(
        self,
        trainer: "InfoGANTrainer",
        callbacks: Sequence[Callback],
        session: FitSession,
        stop: StopSignals,
        check: Callable[[Batch], None] | None,
    ) -> None:
        self._trainer, self._stream, self._callbacks = trainer, session.stream, callbacks
        self._session, self._stop, self._check = session, stop, check
        self._ending = Ending(trainer, stop)
        self._untrained = session.stream.taken - trainer.launched  # more batches than steps, before the first
        self._callback_raised = False
        self._reported = trainer.steps  # the last step that the callbacks know of
        self._lap = time.perf_counter()
        self._speeds: dict[int, float] = {}  # of the steps that were launched and not read
        self._called = called_here(callbacks, trainer.distributed)
        self._max_pending = 0 if trainer.device.type == "cpu" else 1  # a CPU has made what was launched

    def run(self, last_step: int | None, last_epoch: int | None) -> None:
        """Train until so many steps or epochs were made, counted from the beginning of the run, and save the end.

        Raises:
            KeyboardInterrupt: SIGINT was received in a notebook, or nothing is saved; the step was finished.
            SystemExit: A signal was received; the step was finished and saved.
        """
        trainer, session = self._trainer, self._session
        try:
            self._ending.agree()
            if self._stream.at_epoch_end and self._stream.position.batch_index > 0:  # an error came before its end
                self._end_epoch()
            while not self._ending.is_stopping and (
                trainer.epochs < last_epoch if last_epoch is not None else trainer.launched < (last_step or 0)
            ):
                batch = self._next_batch()
                with defer_sigchld():
                    self._train_on(batch)
            self._catch_up()
        except BaseException:
            self._settle()
            raise
        session.finish()
        self._ending.agree()
        if self._ending.signal is not None:
            self._exit()

    def _train_on(self, batch: Batch | None) -> None:
        """Make a step on a batch, or end an epoch; then save if a checkpoint is due or a signal was received."""
        trainer, stream = self._trainer, self._stream
        if batch is not None:
            self._step(batch)
        elif stream.position.batch_index == 0:
            raise ValueError(
                f"data gave no batch in epoch {trainer.epochs}; an iterator that is used up cannot begin again: "
                "give a list, a DataLoader or another iterable that can"
            )
        if batch is None or stream.at_epoch_end:
            self._catch_up()
            self._end_epoch()
        self._check_signals()
        if self._session.is_due(trainer.launched):
            self._catch_up()
            if not self._ending.is_stopping:  # the end is saved in any case, and as such
                self._session.save()

    def _next_batch(self) -> Batch | None:
        is_first = self._stream.at_epoch_start
        try:
            batch = self._stream.next_batch()
        except Exception as error:  # a signal to the whole group may end a loader's workers before it is received here
            self._trainer.distributed.report(error)
            self._stop.wait(0.5)
            self._ending.agree()
            with defer_sigchld():
                self._check_signals()
            raise
        if batch is not None and is_first and self._check is not None:
            try:
                self._check(batch)
            except ValueError:
                self._untrained += not self._stream.source.random_access  # it cannot be made anew, so it is dropped
                raise
        return batch

    def _step(self, batch: Batch) -> None:
        trainer = self._trainer
        try:
            trainer.launch(batch)
        except BaseException:
            self._read_launched()  # the cause may be that the step before was not finite
            raise
        now = time.perf_counter()
        self._speeds[trainer.launched] = len(batch) / max(now - self._lap, 1e-9)  # a clock may stand still
        self._lap = now
        self._catch_up(pending=self._max_pending)
        if any(callback.needs_model(trainer.launched) for callback in self._callbacks):
            self._catch_up()

    def _read(self) -> None:
        """Read the earliest step that was launched and not read, and report it."""
        trainer = self._trainer
        metrics = trainer.read()
        speed = {"images_per_second": self._speeds.pop(trainer.steps)} if trainer.steps in self._speeds else {}
        trainer.history.record(trainer.steps, speed)
        self._report_step(metrics | speed)

    def _report_step(self, metrics: Mapping[str, float]) -> None:
        self._reported = self._trainer.steps
        self._report(lambda callback: callback.on_step_end(self._trainer, metrics))

    def _end_epoch(self) -> None:
        trainer, epochs = self._trainer, self._trainer.epochs
        try:
            trainer.history.record_epoch(trainer.steps)
            self._stream.end_epoch()
        except BaseException:
            if trainer.epochs == epochs:
                trainer.history.remove_epoch(trainer.steps)
            raise
        self._report(lambda callback: callback.on_epoch_end(trainer))
        self._ending.agree()

    def _report(self, method: Callable[[Callback], None]) -> None:
        """Call every callback, so that none misses a step because another raised; then raise the first error."""
        errors: list[BaseException] = []
        for callback in self._called:
            try:
                call(callback, self._trainer.distributed, method)
            except BaseException as error:
                errors.append(error)
        if errors:
            self._callback_raised = True
            raise errors[0]

    def _catch_up(self, *, pending: int = 0) -> None:
        """Read steps until so many are pending; where one ends the fit, drop those after it."""
        while self._trainer.steps < self._trainer.launched - pending:
            self._read()
            self._ending.agree()
            if self._ending.is_stopping:
                self._drop_launched()

    def _read_launched(self) -> None:
        """Read all steps after an error, which other processes may not have, so that there is nothing to agree on."""
        while self._trainer.steps < self._trainer.launched and not self._trainer.is_stopping:
            self._read()

    def _settle(self) -> None:
        """After an error: report the steps that were made, and return the batches of those that were not.

        Where a callback raised, the step after the one that it raised at is rolled back.
        """
        trainer = self._trainer
        try:
            if not self._callback_raised:
                with suppress(Exception):  # the error that came first is the one to raise
                    if self._reported < trainer.steps:  # an interrupt came between a step and its report
                        history, before = trainer.history, trainer.steps - 1
                        values = {name: history.since(name, before) for name in history}
                        self._report_step({name: float(value[-1]) for name, value in values.items() if len(value)})
                    self._read_launched()
        finally:
            self._drop_launched()

    def _drop_launched(self) -> None:
        """Roll back the steps that were launched and not read, and return the batches of those that were not made."""
        self._trainer.discard()
        self._stream.push_back(self._stream.taken - self._trainer.launched - self._untrained)

    def _check_signals(self) -> None:
        """Obey a signal now, unless the fit is ending: then its end is saved first."""
        if self._ending.signal is not None:
            self._catch_up()
            if not self._ending.is_stopping:
                self._exit()

    def _exit(self) -> None:
        """Save, and end as the signal that was received demands."""
        path = self._session.save()
        where = f"saved in {path}; the same command resumes from there" if path else "nothing is saved: no checkpoints="
        self._stop.exit(f"after step {self._trainer.steps}; {where}")

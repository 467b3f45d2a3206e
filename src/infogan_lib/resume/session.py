"""Resumable fits: what is loaded before a fit, and saved during it.

A run is the work of one program with one trainer in one folder, which may call `fit` several times. Its checkpoints
record where each of these calls began. The same program, started again, skips the calls that were completed and resumes
the one that was interrupted. A call that made neither a step nor a checkpoint is not recorded.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infogan_lib._warnings import warn
from infogan_lib.checkpoints.disk import CheckpointError, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.run_folder import Checkpoint, RunFolder, read_checkpoint
from infogan_lib.checkpoints.segments import from_manifest
from infogan_lib.checkpoints.state import CompositeState, Stateful, StateList
from infogan_lib.data.stream import DataStream, Target
from infogan_lib.distributed import Processes
from infogan_lib.model.fingerprint import warn_if_changed
from infogan_lib.resume.branch import Branch
from infogan_lib.resume.checkpoint_settings import Checkpoints
from infogan_lib.resume.fit_calls import find_call
from infogan_lib.resume.ledger import FIT_PARTS, RunLedger, without_fit_parts
from infogan_lib.step.replicas import tensors_in

_log = logging.getLogger(__name__)


class FitSession:
    """One call of `fit`: a context that holds the run folder, if there is one.

    Callbacks are those that have a state. Of several processes, process 0 holds the folder and writes for all.

    Attributes:
        is_over: Whether this is the run's last call, which `trainer.stop()` has ended: it is loaded, and makes no step.
        goes_on: Whether this call goes on where an error ended it in this trainer.
    """

    def __init__(
        self,
        ledger: RunLedger,
        settings: Checkpoints | None,
        stream: DataStream,
        callbacks: Sequence[Stateful],
        processes: Processes,
    ) -> None:
        self._processes = processes
        self._ledger, self._settings, self.stream = ledger, settings, stream
        self._callbacks = StateList(callbacks)
        self._state = CompositeState(**ledger.parts, data=stream, callbacks=self._callbacks)
        self._folder: RunFolder | None = None
        self._index: int | None = None  # of this call of `fit` in the run; None until `resume` has succeeded
        self._is_completed = False
        self.is_over = self.goes_on = self._is_ending = False
        self._first_step = 0
        self._loaded: Checkpoint | None = None
        self._unrecorded: tuple[dict[str, Any], int] | None = None  # what to restore if this call makes nothing

    @property
    def saves(self) -> bool:
        """Whether there is a run folder."""
        return self._folder is not None

    def __enter__(self) -> "FitSession":
        ledger, settings = self._ledger, self._settings
        path = None if settings is None else settings.path
        if settings is None or path is None:
            return self
        folder = RunFolder(path, keep=settings.keep, max_bytes=ledger.max_bytes, check=ledger.check_state)
        try:
            self._folder = folder
            self._processes.from_main(lambda: self._hold(folder))
            return self
        except BaseException:
            folder.release()
            raise

    def _hold(self, folder: RunFolder) -> None:
        """Hold the folder until the end of this call of `fit`."""
        folder.__enter__()
        expected, free = 4 * self._ledger.size, shutil.disk_usage(folder.folder).free  # weights, moments, an average
        if free < 2 * expected:
            warn(
                f"{folder.folder} has {free:,} bytes free, and a checkpoint of this run may take {expected:,}; "
                "free some space, or saving may fail",
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._record_end(error)
        finally:
            self.close()
            self._ledger.end_call()

    def close(self) -> None:
        """Release the folder, if it is held; again where an interrupt came before this was done."""
        if self._folder is not None:
            self._folder.release()

    def _record_end(self, error: BaseException | None) -> None:
        ledger = self._ledger
        newest = None if self._folder is None else self._folder.current
        if self._index is None:
            pass  # it could not begin, and may be called again
        elif self._is_completed and (error is None or newest is None):
            ledger.completed_fits = self._index + 1
        elif self._folder is not None and newest is not None:
            ledger.interrupted = self._name(), self.stream.snapshot(), newest, self._callbacks
            if isinstance(error, Exception):
                error.add_note(f"The last checkpoint of the run is {newest}.")
        elif self._unrecorded is not None and ledger.step() == self._first_step:
            position, ledger.completed_fits = self._unrecorded
            ledger.position.load_state_dict(position)
        else:
            ledger.completed_fits = len(ledger.position.fit_starts)  # it cannot be resumed

    def _name(self) -> str:
        """The folder's real path; empty without one."""
        return "" if self._folder is None else os.path.realpath(self._folder.folder)

    def resume(self, target: Target) -> bool:
        """Load the state to resume from, if there is one, which CheckpointError refuses if this call cannot resume it.

        Returns False if this call of `fit` was completed before, and is to be skipped.
        """
        ledger, position, name = self._ledger, self._ledger.position, self._name()
        ledger.begin_call()
        if ledger.interrupted is not None and ledger.interrupted[0] != name:
            ledger.interrupted, ledger.completed_fits = None, len(position.fit_starts)  # this is another fit
        checkpoint = self._processes.from_main(self._find_checkpoint)
        before = (position.state_dict(), ledger.completed_fits)
        # Calls without a folder, or in another one, are no calls of the run that begins or is found in this one.
        is_first = self._folder is not None and name not in ledger.folders
        completed = 0 if is_first else ledger.completed_fits
        if checkpoint is not None:
            index = self._load(checkpoint, completed, target)
        elif is_first:
            position.forget_fits()
            ledger.pending, index = None, 0
        elif ledger.interrupted is not None:
            self.goes_on, (_, snapshot, newest, callbacks) = True, ledger.interrupted
            self.stream.restore(snapshot)
            self._callbacks.take_over(callbacks)
            if self._folder is not None:
                self._folder.current = newest
            index = completed
            self.is_over = index in position.stopped_fits and target == position.fit_target
        else:
            index = self._continue(completed, target)
        ledger.interrupted = None
        self._index, self._first_step = completed if index is None else index, ledger.step()
        self._unrecorded = before if self._index == len(position.fit_starts) else None
        self._is_completed = index is None and not self.is_over
        if index is None:
            is_over = position.last_fit_is_over(ledger.step())
            more = "" if is_over else "; a later call was interrupted, and is resumed when the program makes it"
            _log.warning(
                "this call of fit was completed before (the run is at step %d); skipped%s", ledger.step(), more
            )
        return not self._is_completed

    def _continue(self, completed: int, target: Target) -> int | None:
        """The index of this call in the run that the trainer is in; a call that is pending is resumed in its turn."""
        ledger, starts = self._ledger, self._ledger.position.fit_starts
        run = Path(self._name()) if ledger.pending is None else ledger.pending.path
        position = ledger.position
        index = find_call(run, starts, position.fit_target, position.stopped_fits, completed, target)
        if ledger.pending is not None and completed == len(starts) - 1:
            self._restore(ledger.pending)  # what the program has done since the calls before it is part of this one
            self.is_over = index is None
        return index

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Load all that a checkpoint of the run in this folder holds."""
        ledger, path = self._ledger, checkpoint.path
        if (extra := ledger.step() - checkpoint.step) != 0:
            _log.warning(
                "the run resumes at step %d; %d steps made since it was loaded are dropped", checkpoint.step, extra
            )
        self._state.load(path, checkpoint.state)
        ledger.history.restore(from_manifest(path, checkpoint.metadata), path, checkpoint.held)
        ledger.pending, self._loaded = None, checkpoint
        if self._folder is not None and path.parent == self._folder.checkpoints:
            self._folder.current = path

    def _find_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to load; None if there is none, or the trainer is ahead of all."""
        ledger, folder = self._ledger, self._folder
        resume, path = (self._settings.resume, self._settings.start) if self._settings else ("auto", None)
        newest_step = None if folder is None else folder.newest_step()
        if ledger.interrupted is not None:
            return None  # the trainer is where it was interrupted
        is_own = folder is not None and self._name() in ledger.folders
        if folder is not None and newest_step is not None and path is not None and not is_own:
            latest = folder.latest()
            if latest is not None and latest.metadata.get("parent_path") == os.path.realpath(path):
                return latest  # this branch was begun before, whatever has become of the run that it began from
        start = None if path is None else read_checkpoint(path, max_bytes=ledger.max_bytes, check=ledger.check_state)
        if folder is None or newest_step is None:
            return start
        if start is not None and newest_step >= start.step and not is_own:
            latest = folder.latest()
            if latest is not None and start.identity in (latest.metadata.get("parent_checkpoint"), latest.identity):
                return latest  # this branch was begun before
        if newest_step > (start.step if start is not None else ledger.step()) and (is_own or start is not None):
            raise CheckpointError(
                folder.folder,
                f"it holds a checkpoint of step {newest_step}, newer than the one to resume from; give another folder, "
                "or move the newer checkpoints away",
            )
        if start is not None and not is_own:
            raise CheckpointError(
                folder.folder,
                f"it holds another run at step {newest_step}, which would be lost; give the run that begins from "
                f"{start.path} another folder",
            )
        if start is not None or is_own:
            return start
        if resume is False:
            raise CheckpointError(
                folder.folder,
                f"it holds a run at step {newest_step}; resume it with resume='auto', or begin a new run in another "
                "folder",
            )
        if ledger.has_stepped:
            raise CheckpointError(
                folder.folder,
                f"it holds a run at step {newest_step}, and this trainer has made steps of its own, which loading "
                "would lose; use a new trainer to resume that run, or another folder for this one",
            )
        return folder.latest()

    def _load(self, checkpoint: Checkpoint, completed: int, target: Target) -> int | None:
        """Load a checkpoint; returns the index of this call in the run, or None if it was completed before."""
        ledger, path, state = self._ledger, checkpoint.path, checkpoint.state
        is_inside = self._folder is not None and path.parent == self._folder.checkpoints
        differences = ledger.check(path, checkpoint.metadata, allow_branch=not is_inside)
        segments = from_manifest(path, checkpoint.metadata)
        try:
            position, _, _ = (state[name] for name in ("position", *FIT_PARTS))
        except (TypeError, LookupError) as error:
            raise CheckpointError(path, f"its state is not that of a run: {error!r}") from error
        ledger.check_counts(path, checkpoint.metadata, state)
        try:
            self.stream.check_reach(position["batch_index"], checkpoint.step)
        except ValueError as error:
            raise CheckpointError(path, f"its state does not fit: position.{error}; it is damaged or forged") from error
        starts, last = position["fit_starts"], len(position["fit_starts"]) - 1
        if last < 0:
            raise CheckpointError(path, "its state does not fit: fit_starts is empty; it is damaged or forged")
        # A run that begins from another one takes the place of the call that was under way there.
        fit_target, stopped = Target(*position["fit_target"]), position["stopped_fits"]
        index = find_call(path, starts, fit_target, stopped, min(completed, last), target) if is_inside else last
        branch = None if is_inside else Branch(ledger, self.stream, self._callbacks, path, differences)
        if branch is not None:
            state = branch.adapt(ledger.on_own_device(path, checkpoint.metadata, state))
        if index is None and completed < last:
            # A later call of fit was interrupted, and its data is not this call's.
            CompositeState(**ledger.parts).load(path, without_fit_parts(state))
            ledger.pending = checkpoint
        else:
            self._state.load(path, state)
            ledger.pending, self.is_over, self._loaded = None, index is None, checkpoint
        ledger.history.restore(segments, path, checkpoint.held)
        warn_if_changed(path, checkpoint.metadata.get("fingerprint"), ledger.fingerprint(2))
        if self._folder is not None and is_inside:
            self._folder.current, ledger.parent_checkpoint = path, checkpoint.metadata.get("parent_checkpoint")
            ledger.parent_path = checkpoint.metadata.get("parent_path")
            ledger.branch_differences = checkpoint.metadata.get("branch_differences", [])
            ledger.folders.add(self._name())
            return index
        if branch is not None:
            branch.finish(checkpoint.step)
            ledger.branch_differences = branch.differences
            if branch.differences:
                told = "; ".join(branch.differences)
                warn(f"a new run begins from {path} with other settings: {told}")
        ledger.parent_checkpoint = checkpoint.identity
        ledger.parent_path = os.path.realpath(self._settings.start or path) if self._settings else None
        ledger.position.keep_last_fit()
        return 0

    def warn_of_attributes(self) -> None:
        """Warn of what callbacks had changed before, and have not changed again at the beginning of this call."""
        if self._loaded is not None:
            self._ledger.warn_of_attributes(self._loaded.path, self._loaded.metadata)
            self._loaded = None

    def begin(self, target: Target) -> tuple[int | None, int | None]:
        """The step or epoch at which this call of `fit` ends, counted from where it first began."""
        assert self._index is not None
        return target.end(self._ledger.position.begin_fit(self._index, self._ledger.step(), target))

    def save(self) -> Path | None:
        """Write a checkpoint of now, if there is a folder for it; returns the checkpoint's folder.

        Raises:
            NonFiniteLossError: A weight is not finite; nothing was written or removed.
            CheckpointError: An error of the disk, or an optimizer that could not be loaded again; likewise.
        """
        if self._folder is None:
            return None
        if self.stream.is_ahead and self._folder.current is not None and not self._is_ending:
            return self._folder.current  # a state of the data from before the batches to be taken again does not exist
        self.check_replicas()
        self._folder.current = self._processes.from_main(self._write)
        self._ledger.folders.add(self._name())
        return self._folder.current

    def check_replicas(self) -> None:
        """Check that all processes hold the same weights, optimizers and streams, bit by bit. Raises ProcessError."""
        if self._processes.world_size > 1:
            parts = {name: part for name, part in self._ledger.parts.items() if name != "global_rng"}
            self._processes.check_replicas(dict(tensors_in(CompositeState(**parts).state_dict())))

    def _write(self) -> Path:
        assert self._folder is not None
        self._ledger.check_weights(self._ledger.step())
        path = self._folder.path(self._ledger.step())
        if self._folder.current == path:
            self._folder.rotate()
            return path
        with os_errors_as_checkpoint_errors(self._folder.folder, "saving"):  # a callback may write files too
            state = self._state.state_dict()
        if state["step"]["count"] > self._ledger.step():
            raise RuntimeError("a callback launched a step in on_fit_start; read() or discard() it there")
        self._ledger.check_savable(path, state)
        self._folder.check_held()
        self._folder.save(self._ledger.step(), self._ledger.metadata(self._folder.segments), state)
        return path

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after a step."""
        return self.saves and self._settings is not None and step % self._settings.every == 0

    def finish(self) -> None:
        """Write the last checkpoint of a completed fit, once its weights are known to be finite."""
        assert self._index is not None
        self._ledger.check_weights(self._ledger.step())
        self._ledger.position.end_fit(self._index, self._ledger.step())
        self._is_ending = True
        self.save()
        self._is_completed = True

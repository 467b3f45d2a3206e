"""Resumable fits: what is loaded before a fit, and saved during it.

A run is the work of one program with one trainer, which may call `fit` several times. Its checkpoints record where each
of these calls began. The same program, started again, skips the calls that were completed and resumes the one that was
interrupted.
"""

import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from infogan_lib._version import __version__
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from infogan_lib.checkpoints.disk import CheckpointError, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.holding import hold_for_writing
from infogan_lib.checkpoints.run_folder import (
    KIND,
    TRAINER_STATE,
    Checkpoint,
    RunFolder,
    is_run_folder,
    read_checkpoint,
    remove_unnamed_segments,
)
from infogan_lib.checkpoints.segments import from_manifest, make_segment_folder
from infogan_lib.checkpoints.state import CompositeState, OptimizerState, Stateful, StateList
from infogan_lib.data.stream import DataStream, Position
from infogan_lib.training.checkpoint_settings import Checkpoints
from infogan_lib.training.config import check_config
from infogan_lib.training.history import History

_log = logging.getLogger(__name__)

_FORMAT = 2
"""The version of a run's state and settings; 0.1 wrote none, which is 1."""

_FIT_PARTS = ("data", "callbacks")
"""The parts of a run's state that belong to one call of `fit`."""


class RunLedger:
    """A trainer's record of its fits and their folders.

    Args:
        parts: The trainer's own state, by name.
        position: The part with the position in the data.
        optimizers: The part with the optimizers.
        history: The metrics so far, which are saved beside the state.
        settings: The settings that a resumed run must share.
        step: Returns the number of steps made.
        size: The bytes of weights and buffers, which limit the size of a checkpoint that is read.

    Attributes:
        completed_fits: The number of calls of `fit` that were completed, in this program or an earlier one.
        has_stepped: Whether the trainer has made steps of its own or loaded a state.
        folders: The run folders that the trainer has worked in.
        interrupted: The folder of the call that was interrupted in this process, and a snapshot of its stream.
        pending: The checkpoint of a later call that was interrupted, and its data and callbacks.
        parent_checkpoint: The id of the checkpoint that the run began from, if it is a branch.
    """

    def __init__(
        self,
        parts: Mapping[str, Stateful],
        position: Position,
        optimizers: OptimizerState,
        history: History,
        settings: dict[str, Any],
        step: Callable[[], int],
        size: int,
    ) -> None:
        self.parts, self.position, self.settings, self.step = parts, position, settings, step
        self.size, self.max_bytes = size, 64 * size + 2**30
        self.optimizers, self.history = optimizers, history
        self.completed_fits = 0
        self.has_stepped = False
        self.folders: set[str] = set()
        self.interrupted: tuple[str, dict[str, Any]] | None = None
        self.pending: tuple[Path, dict[str, Any]] | None = None
        self.parent_checkpoint: str | None = None

    def metadata(self, segments: Path) -> dict[str, Any]:
        """The metadata of a checkpoint of now, for its manifest; the history is written into a folder of segments."""
        now = {"step": self.step(), "epoch": self.position.epochs, "library": __version__, "torch": torch.__version__}
        identity = {"id": secrets.token_hex(8), "parent_checkpoint": self.parent_checkpoint}
        return (
            now | identity | {"run_format": _FORMAT, "settings": self.settings, "history": self.history.seal(segments)}
        )

    def check(self, path: Path, metadata: Mapping[str, Any], *, allow_branch: bool = False) -> bool:
        """Check that a checkpoint can be resumed.

        Args:
            path: The checkpoint, for messages.
            metadata: Its metadata.
            allow_branch: Whether a new run begins from it, which may have other rates and losses.

        Returns:
            Whether its settings are the trainer's.

        Raises:
            CheckpointError: Another version of the library, or settings that differ.
        """
        if (run_format := metadata.get("run_format", 1)) != _FORMAT:
            age = "an older" if isinstance(run_format, int) and run_format < _FORMAT else "another"
            raise CheckpointError(
                path,
                f"it was written by infogan-lib {metadata.get('library')}, {age} version, whose runs cannot be resumed "
                "by this one; finish the run with that version, or begin a new run in another folder",
            )
        is_same = check_config(path, metadata.get("settings"), self.settings, allow_branch=allow_branch)
        if metadata.get("torch") != torch.__version__:
            warnings.warn(
                f"{path} was saved with torch {metadata.get('torch')}, and this is {torch.__version__}: the run "
                "resumes, but not necessarily bitwise as it would have continued",
                stacklevel=5,
            )
        return is_same

    def save(self, folder: Path) -> None:
        """Write the trainer's own state into a folder."""
        with os_errors_as_checkpoint_errors(folder, "making the folder"):
            makedirs_synced(folder)
        state = CompositeState(**self.parts).state_dict()
        with hold_for_writing(folder) as is_alone:
            metadata = self.metadata(make_segment_folder(folder))
            write_bundle(folder, TRAINER_STATE, metadata, state, max_bytes=self.max_bytes, sweep=is_alone)
            if is_alone:
                remove_unnamed_segments(folder)

    def load(self, folder: Path) -> None:
        """Load the state in a folder, written by `save` or by a fit.

        Args:
            folder: The folder, or a run folder or checkpoint.

        Raises:
            CheckpointError: A state that is damaged or does not fit; the trainer is as it was.
        """
        if is_run_folder(folder):
            folder, metadata, state = read_checkpoint(folder, max_bytes=self.max_bytes)
        else:
            metadata, state = read_bundle(folder, TRAINER_STATE, KIND, max_bytes=self.max_bytes)
        self.check(folder, metadata)
        segments = from_manifest(folder, metadata)
        CompositeState(**self.parts).load(folder, _without_fit_parts(state))
        self.history.restore(segments, folder)
        self.has_stepped = True
        self.completed_fits = len(self.position.fit_starts)
        self.interrupted = self.pending = None


class FitSession:
    """One call of `fit`: a context that holds the run folder, if there is one.

    Args:
        ledger: The trainer's record of its fits.
        settings: Where to save, and what to resume from; None to save nothing.
        stream: The data of the fit.
        callbacks: The callbacks that have a state.
    """

    def __init__(
        self, ledger: RunLedger, settings: Checkpoints | None, stream: DataStream, callbacks: Sequence[Stateful]
    ) -> None:
        self._ledger, self._settings, self.stream = ledger, settings, stream
        self._callbacks = StateList(callbacks)
        self._state = CompositeState(**ledger.parts, data=stream, callbacks=self._callbacks)
        self._folder: RunFolder | None = None
        self._newest: Path | None = None  # the checkpoint last saved or loaded in the folder
        self._index: int | None = None  # of this call of `fit` in the run; None until `resume` has succeeded
        self._is_completed = False
        self._exit_stack = ExitStack()

    @property
    def saves(self) -> bool:
        """Whether there is a run folder."""
        return self._folder is not None

    def __enter__(self) -> "FitSession":
        ledger, settings = self._ledger, self._settings
        path = None if settings is None else settings.path
        if settings is None or path is None:
            return self
        with ExitStack() as stack:
            self._folder = stack.enter_context(RunFolder(path, keep=settings.keep, max_bytes=ledger.max_bytes))
            expected, free = 4 * ledger.size, shutil.disk_usage(path).free  # weights, two moments, an average
            if free < 2 * expected:
                warnings.warn(
                    f"{path} has {free:,} bytes free, and a checkpoint of this run may take {expected:,}; "
                    "free some space, or saving may fail",
                    stacklevel=4,
                )
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        ledger = self._ledger
        if self._index is None:
            pass  # it could not begin, and may be called again
        elif self._is_completed:
            ledger.completed_fits = self._index + 1
        elif self._folder is None or self._newest is None:
            ledger.completed_fits = len(ledger.position.fit_starts)  # it cannot be resumed
        else:
            ledger.interrupted = os.path.realpath(self._folder.folder), self.stream.snapshot()
            if isinstance(error, Exception):
                error.add_note(f"The last checkpoint of the run is {self._newest}.")
        self._exit_stack.close()

    def resume(self) -> bool:
        """Load the state to resume from, if there is one.

        Returns:
            False if this call of `fit` was completed before, and is to be skipped.
        """
        ledger = self._ledger
        folder = None if self._folder is None else os.path.realpath(self._folder.folder)
        if ledger.interrupted is not None and ledger.interrupted[0] != folder:
            ledger.interrupted, ledger.completed_fits = None, len(ledger.position.fit_starts)  # this is another fit
        checkpoint = self._find_checkpoint()
        if checkpoint is not None:
            self._load(checkpoint)
        elif ledger.interrupted is not None:
            self.stream.restore(ledger.interrupted[1])
            self._newest = self._folder.newest() if self._folder is not None else None
        elif ledger.pending is not None and ledger.completed_fits == len(ledger.position.fit_starts) - 1:
            path, state = ledger.pending
            CompositeState(data=self.stream, callbacks=self._callbacks).load(path, state)
            self._newest, ledger.pending = path, None
        ledger.interrupted = None
        if folder is not None:
            ledger.folders.add(folder)
        self._index = ledger.completed_fits
        self._is_completed = self._index < len(ledger.position.fit_starts) - 1
        if self._is_completed:
            _log.warning("this call of fit was completed before (the run is at step %d); skipped", ledger.step())
        return not self._is_completed

    def _find_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to load; None if there is none, or the trainer is ahead of all."""
        ledger, folder = self._ledger, self._folder
        resume, path = (self._settings.resume, self._settings.start) if self._settings else ("auto", None)
        newest_step = None if folder is None else folder.newest_step()
        start = None if path is None else read_checkpoint(path, max_bytes=ledger.max_bytes)
        if folder is None or newest_step is None:
            return start
        is_own = os.path.realpath(folder.folder) in ledger.folders
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

    def _load(self, checkpoint: Checkpoint) -> None:
        ledger, path, state = self._ledger, checkpoint.path, checkpoint.state
        is_inside = self._folder is not None and path.parent == self._folder.checkpoints
        is_same = ledger.check(path, checkpoint.metadata, allow_branch=not is_inside)
        segments = from_manifest(path, checkpoint.metadata)
        try:
            index = len(state["position"]["fit_starts"]) - 1
            fit_state = {name: state[name] for name in _FIT_PARTS}
        except (TypeError, KeyError) as error:
            raise CheckpointError(path, f"its state is not that of a run: {error!r}") from error
        if not is_same:
            state = ledger.optimizers.with_current_param_groups(path, state)
        is_branch = self._settings is not None and self._settings.start is not None
        if index > ledger.completed_fits and not is_branch:
            # A later call of fit was interrupted, and its data is not this call's.
            CompositeState(**ledger.parts).load(path, _without_fit_parts(state))
            ledger.pending = path, fit_state
        else:
            self._state.load(path, state)
            ledger.completed_fits, self._newest = index, path if is_inside else None
        ledger.history.restore(segments, path)
        ledger.parent_checkpoint = checkpoint.metadata.get("parent_checkpoint") if is_inside else checkpoint.identity

    def begin(self) -> tuple[int, int]:
        """The step and the epoch at which this call of `fit` began: now, unless it is resumed."""
        assert self._index is not None
        return self._ledger.position.begin_fit(self._index, self._ledger.step())

    def save(self) -> Path | None:
        """Write a checkpoint of now, if there is a folder for it.

        Returns:
            The checkpoint's folder.
        """
        if self._folder is None:
            return None
        if self._newest == self._folder.path(self._ledger.step()):
            self._folder.rotate()
            return self._newest
        with os_errors_as_checkpoint_errors(self._folder.folder, "saving"):  # a callback may write files too
            state = self._state.state_dict()
        self._newest = self._folder.save(self._ledger.step(), self._ledger.metadata(self._folder.segments), state)
        return self._newest

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after a step."""
        return self.saves and self._settings is not None and step % self._settings.every == 0

    def finish(self) -> None:
        """Write the last checkpoint of a completed fit."""
        self.save()
        self._is_completed = True


def _without_fit_parts(state: Any) -> Any:
    """A run's state without the parts that belong to one call of `fit`."""
    return {name: part for name, part in state.items() if name not in _FIT_PARTS} if isinstance(state, dict) else state

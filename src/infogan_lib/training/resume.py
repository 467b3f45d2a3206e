"""A fit that can be left and gone on with: what is loaded before it, and saved while it lasts.

A run is one program's work on one trainer, which may call `fit` several times. Its checkpoints say which of these calls
they belong to. The same program, started again, passes over the calls that were completed and goes on in the middle of
the one that was not.
"""

import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from infogan_lib._checks import check_int, describe
from infogan_lib._version import __version__
from infogan_lib.checkpoints.bundle import read_bundle, write_bundle
from infogan_lib.checkpoints.disk import CheckpointError, makedirs_synced, os_errors_as_checkpoint_errors
from infogan_lib.checkpoints.run_folder import KIND, Checkpoint, RunFolder, read_checkpoint
from infogan_lib.checkpoints.state import CompositeState, OptimizerState, Stateful, StateList
from infogan_lib.data.stream import DataStream, Position
from infogan_lib.training.config import check_config

Resume = Literal["auto", False] | str | os.PathLike[str]

_log = logging.getLogger(__name__)

_STATE = "trainer state"

_OF_A_FIT = ("data", "callbacks")


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a fit is saved, and what it resumes from.

    Args:
        folder: the run's folder, for one trainer at a time; None to save nothing and only begin from `resume`.
        every: save after every so many steps.
        keep: how many of the newest checkpoints stay.
        resume: "auto" to resume from what is in the folder; False to refuse a folder that holds a run; or a run folder
            or checkpoint from which a run in the folder begins, with other rates and losses if you like.

    Raises:
        TypeError: a setting of another type.
        ValueError: a number below 1, or neither a folder nor a checkpoint to begin from.
    """

    folder: str | os.PathLike[str] | None
    _: KW_ONLY
    every: int = 500
    keep: int = 2
    resume: Resume = "auto"

    def __post_init__(self) -> None:
        if self.folder is not None and (not isinstance(self.folder, (str, os.PathLike)) or not os.fspath(self.folder)):
            raise TypeError(f"checkpoints must name a folder, but got {describe(self.folder)}")
        check_int("every", self.every, minimum=1)
        check_int("keep", self.keep, minimum=1)
        if self.resume is not False and not isinstance(self.resume, (str, os.PathLike)):
            raise TypeError(
                f"resume must be 'auto', False or the path of a checkpoint, but got {describe(self.resume)}"
            )
        if self.folder is None and self.start is None:
            raise ValueError("without a folder nothing is saved; give one, or resume= a checkpoint to begin from")

    @property
    def path(self) -> Path | None:
        """The folder as an absolute path."""
        return None if self.folder is None else Path(self.folder).expanduser().absolute()

    @property
    def start(self) -> Path | None:
        """The checkpoint or run folder to begin from, if one was named."""
        return None if self.resume in ("auto", False) else Path(self.resume).expanduser()


def as_checkpoints(value: object) -> Checkpoints | None:
    """The `checkpoints` argument of `fit`: settings, a folder, or None.

    Raises:
        TypeError: anything else.
    """
    if value is None or isinstance(value, Checkpoints):
        return value
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"checkpoints must be a folder or Checkpoints(...), but got {describe(value)}")
    return Checkpoints(value)


class Runs:
    """What a trainer remembers of its fits and their folders.

    Args:
        parts: the trainer's own state, by name.
        position: the part that says where the run stands.
        optimizers: the part that holds the optimisers.
        settings: what the run was set up with.
        step: tells how many steps have been made.
        size: the bytes of weights and buffers, by which a saved state is measured.
    """

    def __init__(
        self,
        parts: Mapping[str, Stateful],
        position: Position,
        optimizers: OptimizerState,
        settings: dict[str, Any],
        step: Callable[[], int],
        size: int,
    ) -> None:
        self.parts, self.position, self.settings, self.step = parts, position, settings, step
        self.size, self.largest = size, 64 * size + 2**30
        self.optimizers = optimizers
        self.finished = 0
        self.has_stepped = False
        self.folders: set[str] = set()
        self.left: tuple[str, dict[str, Any]] | None = None  # the folder and the stream of a fit that was cut off here
        self.waiting: tuple[Path, dict[str, Any]] | None = None  # data and callbacks of a later fit that was cut off
        self.origin: str | None = None  # the checkpoint that the run began from, if it branched

    def about(self) -> dict[str, Any]:
        """What a manifest says of the state."""
        now = {"step": self.step(), "epoch": self.position.epochs, "library": __version__, "torch": torch.__version__}
        return now | {"id": secrets.token_hex(8), "origin": self.origin, "settings": self.settings}

    def check(self, path: Path, about: Mapping[str, Any], *, branches: bool = False) -> bool:
        """Raise CheckpointError unless a checkpoint may be gone on with; whether its settings are the same."""
        same = check_config(path, about.get("settings"), self.settings, branches=branches)
        if about.get("torch") != torch.__version__:
            warnings.warn(
                f"{path} was saved with torch {about.get('torch')}, and this is {torch.__version__}: the run goes on, "
                "but not necessarily to the last bit as it would have",
                stacklevel=5,
            )
        return same

    def save(self, folder: Path) -> None:
        """Write the trainer's own state into a folder."""
        with os_errors_as_checkpoint_errors(folder, "making the folder"):
            makedirs_synced(folder)
        write_bundle(folder, _STATE, self.about(), CompositeState(**self.parts).state_dict(), max_bytes=self.largest)

    def load(self, folder: Path) -> None:
        """Take over the state in a folder, be it of `save` or of a run."""
        if (folder / "checkpoints").is_dir():
            folder, about, state = read_checkpoint(folder, max_bytes=self.largest)
        else:
            about, state = read_bundle(folder, _STATE, KIND, max_bytes=self.largest)
        self.check(folder, about)
        own = {name: of for name, of in state.items() if name not in _OF_A_FIT} if isinstance(state, dict) else state
        CompositeState(**self.parts).load(folder, own)
        self.has_stepped = True
        self.finished = len(self.position.fits)
        self.left = self.waiting = None


class Run:
    """One fit: a context that holds the run folder, if there is one.

    Args:
        runs: what the trainer remembers.
        options: where to save and what to go on from.
        stream: the fit's data.
        callbacks: those with a state of their own.
    """

    def __init__(
        self, runs: Runs, options: Checkpoints | None, stream: DataStream, callbacks: Sequence[Stateful]
    ) -> None:
        self._runs, self._options, self.stream = runs, options, stream
        self._callbacks = StateList(callbacks)
        self._state = CompositeState(**runs.parts, data=stream, callbacks=self._callbacks)
        self._folder: RunFolder | None = None
        self._last: Path | None = None
        self._done = False
        self._held = ExitStack()

    @property
    def saves(self) -> bool:
        """Whether there is a run folder."""
        return self._folder is not None

    def __enter__(self) -> "Run":
        runs, options = self._runs, self._options
        path = None if options is None else options.path
        if options is None or path is None:
            return self
        with ExitStack() as opening:
            folder = RunFolder(path, keep=options.keep, max_bytes=runs.largest)
            self._folder = opening.enter_context(folder)
            expected, free = 4 * runs.size, shutil.disk_usage(path).free  # weights, two moments, an average
            if free < 2 * expected:
                warnings.warn(
                    f"{path} has {free:,} bytes free, and a checkpoint of this run may take {expected:,}; "
                    "free some space, or it may not be possible to save it",
                    stacklevel=4,
                )
            self._held = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        runs = self._runs
        if self._done:
            runs.finished += 1
        elif self._folder is None or self._last is None:
            runs.finished = len(runs.position.fits)  # it will not be gone on with
        else:
            runs.left = os.path.realpath(self._folder.folder), self.stream.left()
            if isinstance(error, Exception):
                error.add_note(f"The last checkpoint of the run is {self._last}.")
        self._held.close()

    def resume(self) -> bool:
        """Load what there is to go on from. False if this call of `fit` was completed in the run before."""
        runs = self._runs
        where = None if self._folder is None else os.path.realpath(self._folder.folder)
        if runs.left is not None and runs.left[0] != where:
            runs.left, runs.finished = None, len(runs.position.fits)  # another fit is asked for
        found = self._found()
        if found is not None:
            self._load(found)
        elif runs.left is not None:
            self.stream.take_over(runs.left[1])
            self._last = self._folder.newest() if self._folder is not None else None
        elif runs.waiting is not None and runs.finished == len(runs.position.fits) - 1:
            path, state = runs.waiting
            CompositeState(data=self.stream, callbacks=self._callbacks).load(path, state)
            self._last, runs.waiting = path, None
        runs.left = None
        if where is not None:
            runs.folders.add(where)
        self._done = runs.finished < len(runs.position.fits) - 1
        if self._done:
            _log.warning("this call of fit was completed before (the run is at step %d); passed over", runs.step())
        return not self._done

    def _found(self) -> Checkpoint | None:
        runs, folder = self._runs, self._folder
        resume = self._options.resume if self._options else "auto"
        begin_from = self._options.start if self._options else None
        newest = None if folder is None else folder.newest_step()
        start = None if begin_from is None else read_checkpoint(begin_from, max_bytes=runs.largest)
        if folder is None or newest is None:
            return start
        own = os.path.realpath(folder.folder) in runs.folders
        if start is not None and newest >= start.step:
            latest = folder.latest()
            if latest is not None and start.identity in (latest.metadata.get("origin"), latest.identity) and not own:
                return latest  # this branch was begun before
        if newest > (start.step if start is not None else runs.step()) and (own or start is not None):
            raise CheckpointError(
                folder.folder,
                f"it holds a checkpoint of step {newest}, after the one to go on from; give another folder, or move "
                "the newer checkpoints away",
            )
        if start is not None or own:
            return start
        if resume is False:
            raise CheckpointError(
                folder.folder,
                f"it holds a run at step {newest}; go on with it by resume='auto', or begin anew in another folder",
            )
        if runs.has_stepped:
            raise CheckpointError(
                folder.folder,
                f"it holds a run at step {newest}, and this trainer has made steps of its own, which loading would "
                "lose; use a new trainer to go on with that run, or another folder for this one",
            )
        return folder.latest()

    def _load(self, found: Checkpoint) -> None:
        runs, state = self._runs, found.state
        inside = self._folder is not None and found.path.parent == self._folder.checkpoints
        same = runs.check(found.path, found.metadata, branches=not inside)
        try:
            belongs_to = len(state["position"]["fits"]) - 1
            rest = {name: state[name] for name in _OF_A_FIT}
        except (TypeError, KeyError) as error:
            raise CheckpointError(found.path, f"its state is not that of a run: {error!r}") from error
        if not same:
            state = runs.optimizers.with_current_param_groups(found.path, state)
        takes_its_place = self._options is not None and self._options.start is not None
        if belongs_to > runs.finished and not takes_its_place:
            # A later call of fit was under way, and its data is not this call's.
            CompositeState(**runs.parts).load(found.path, {name: of for name, of in state.items() if name not in rest})
            runs.waiting = found.path, rest
        else:
            self._state.load(found.path, state)
            runs.finished, self._last = belongs_to, found.path if inside else None
        runs.origin = found.metadata.get("origin") if inside else found.identity

    def begin(self) -> tuple[int, int]:
        """The step and the epoch at which this call of `fit` began: now, unless it is resumed."""
        return self._runs.position.begin_fit(self._runs.finished, self._runs.step())

    def save(self) -> Path | None:
        """Write a checkpoint of now, if there is a folder for it."""
        if self._folder is None:
            return None
        if self._last == self._folder.path(self._runs.step()):
            self._folder.rotate()
            return self._last
        with os_errors_as_checkpoint_errors(
            self._folder.folder, "saving"
        ):  # also where a callback writes what is its own
            state = self._state.state_dict()
        self._last = self._folder.save(self._runs.step(), self._runs.about(), state)
        return self._last

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after a step."""
        return self.saves and self._options is not None and step % self._options.every == 0

    def finish(self) -> None:
        """Write the last checkpoint of a fit that was completed."""
        self.save()
        self._done = True

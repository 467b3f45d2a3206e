"""The checkpoints of a run: written aside and moved into place, so that each is whole or not there.

    RUN/lock
    RUN/checkpoints/step_0000000500/    a sealed folder: manifest.json and state-....pt

A checkpoint is written into a hidden folder beside the others, file by file, each synced; then the folder is renamed
and its parent synced. The latest checkpoint is the newest whose hashes agree. What a dead writer left behind is
removed by the next one, which holds the lock and so is alone.
"""

import os
import re
import secrets
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from infogan_lib.checkpoints.disk import (
    CheckpointError,
    faults_named,
    make_folder,
    remove_folder,
    suppressed_faults,
    sync_folder,
)
from infogan_lib.checkpoints.lock import RunLock
from infogan_lib.checkpoints.manifest import seal, unseal, verify
from infogan_lib.checkpoints.safe_torch import Plain

KIND = "checkpoint"

_NAME = re.compile(r"step_(\d{10,})")

_HIDDEN = (".saving-", ".removing-")


class Checkpoint(NamedTuple):
    """A checkpoint that was read: where it lies, what its manifest says, and its state."""

    path: Path
    about: dict[str, Any]
    state: Any

    @property
    def step(self) -> int:
        """How many steps had been made."""
        return int(self.about.get("step", -1))

    @property
    def identity(self) -> str:
        """What tells it from all others."""
        return str(self.about.get("id"))


class RunFolder:
    """A run's folder, held by this process alone for as long as the context lasts.

    Args:
        folder: it is made where there is none.
        keep: how many checkpoints to keep. The newest one that verifies is kept beside them if none of them does.
        largest: the most bytes that a state of this run may have.

    Raises:
        CheckpointError: a folder that cannot be written to, or in which another trainer is at work.
    """

    def __init__(self, folder: Path, *, keep: int, largest: int) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self._keep, self._largest = keep, largest
        self._open = ExitStack()

    def __enter__(self) -> "RunFolder":
        with ExitStack() as opening, faults_named(self.folder, "making the run folder"):
            make_folder(self.checkpoints)
            opening.enter_context(RunLock(self.folder))
            for entry in self.checkpoints.iterdir():
                if entry.name.startswith(_HIDDEN):
                    with suppressed_faults():
                        remove_folder(entry)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint, damaged or not; None if there is none."""
        return max((step for step, _ in _found(self.checkpoints)), default=None)

    def newest(self) -> Path | None:
        """The newest checkpoint, damaged or not; None if there is none."""
        return next((path for _, path in _found(self.checkpoints)), None)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, or None if there is none at all; see `latest_checkpoint`."""
        return latest_checkpoint(self.folder, largest=self._largest)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies, or would."""
        return self.checkpoints / f"step_{step:010d}"

    def save(self, step: int, about: dict[str, Any], state: Plain) -> Path:
        """Write the checkpoint of a step, in place of one that is there, and remove those no longer kept.

        Raises:
            CheckpointError: a fault of the disk; what was saved before is still there.
        """
        path = self.path(step)
        self._write(path, about, state)
        self.rotate()
        return path

    def _write(self, path: Path, about: dict[str, Any], state: Plain) -> None:
        aside = self.checkpoints / f".saving-{secrets.token_hex(6)}"
        try:
            with faults_named(path, "saving"):
                aside.mkdir()
                seal(aside, KIND, about, state, largest=self._largest)
                if os.path.lexists(path):
                    remove_folder(path)  # it is damaged, or of a branch that was left
                aside.rename(path)
                sync_folder(self.checkpoints)
        except BaseException:
            with suppressed_faults():
                remove_folder(aside)
            raise

    def rotate(self) -> None:
        """Remove all but the newest, once one of those that stay is known to be good."""
        good = False
        for i, (_, path) in enumerate(_found(self.checkpoints)):
            if i >= self._keep and good:
                try:
                    remove_folder(path)
                except OSError as error:  # the new one is safe, so training goes on
                    warnings.warn(f"the old checkpoint {path} could not be removed: {error}", stacklevel=2)
            elif not good:
                good = _is_good(path)


def latest_checkpoint(run: Path, *, largest: int) -> Checkpoint | None:
    """The newest checkpoint of a run that verifies; a damaged one before it is named in a warning.

    Raises:
        CheckpointError: there are checkpoints, and none of them can be used.
    """
    damage = None
    for _, path in _found(run / "checkpoints"):
        try:
            if path.is_symlink():
                raise CheckpointError(path, "it is a symbolic link, which is not followed here")
            return read_checkpoint(path, largest=largest)
        except CheckpointError as error:
            warnings.warn(f"{error}; an earlier one is looked for", stacklevel=2)
            damage = error
    if damage is not None:
        raise CheckpointError(
            run,
            f"none of its checkpoints can be used ({damage}); nothing was changed. To begin anew, move the folder "
            "away or give another run_dir",
        )
    return None


def read_checkpoint(path: Path, *, largest: int) -> Checkpoint:
    """A checkpoint, or the latest one of a run folder.

    Raises:
        CheckpointError: it is damaged, or no checkpoint at all.
    """
    if (path / "checkpoints").is_dir():
        found = latest_checkpoint(path, largest=largest)
        if found is None:
            raise CheckpointError(path, "this run has no checkpoint yet")
        return found
    if not path.is_dir():
        raise CheckpointError(path, "there is no such folder; resume takes a run folder or one of its checkpoints")
    about, state = unseal(path, KIND, largest=largest)
    return Checkpoint(path, about, state)


def _found(checkpoints: Path) -> list[tuple[int, Path]]:
    """Checkpoints by step, newest first, unread."""
    if not checkpoints.is_dir():
        return []
    with faults_named(checkpoints, "listing the checkpoints"):
        names = [(_NAME.fullmatch(entry.name), entry) for entry in checkpoints.iterdir()]
    return sorted(((int(match[1]), entry) for match, entry in names if match), reverse=True)


def _is_good(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        verify(path, KIND)
    except CheckpointError:
        return False
    return True

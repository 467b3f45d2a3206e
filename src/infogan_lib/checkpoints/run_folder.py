"""The checkpoints of a run.

    RUN/lock
    RUN/checkpoints/step_0000000500/    a bundle: manifest.json and state-....safetensors
    RUN/history/                        the segments that the manifests name (`segments`)

Each appears as a whole or not at all (`disk.atomic_folder`). The latest checkpoint is the newest whose checksums agree.
What a process that died has left behind is removed by the next one, which holds the lock and so is alone.
"""

import re
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from infogan_lib.checkpoints.bundle import MANIFEST, read_bundle, read_metadata, verify_bundle, write_bundle
from infogan_lib.checkpoints.disk import (
    CheckpointError,
    atomic_folder,
    makedirs_synced,
    os_errors_as_checkpoint_errors,
    remove_folder,
    remove_leftovers,
)
from infogan_lib.checkpoints.lock import RunLock
from infogan_lib.checkpoints.segments import FOLDER, make_segment_folder, remove_unnamed

KIND, TRAINER_STATE = "checkpoint", "trainer state"

_NAME = re.compile(r"step_(\d{10,})")


class Checkpoint(NamedTuple):
    """A checkpoint that was read: its folder, its metadata and its state."""

    path: Path
    metadata: dict[str, Any]
    state: Any

    @property
    def step(self) -> int:
        """The number of steps that had been made."""
        return int(self.metadata.get("step", -1))

    @property
    def identity(self) -> str:
        """An id that no other checkpoint has."""
        return str(self.metadata.get("id"))


class RunFolder:
    """The folder of a run, held by this process alone while the context lasts.

    Args:
        folder: made where there is none.
        keep: how many checkpoints to keep. Where none of them verifies, the newest one that does is kept as well.
        max_bytes: the largest state of this run.

    Raises:
        CheckpointError: a folder that cannot be written to, or that another trainer holds.
    """

    def __init__(self, folder: Path, *, keep: int, max_bytes: int) -> None:
        self.folder = folder
        self.checkpoints, self.segments = folder / "checkpoints", folder / FOLDER
        self._keep, self._max_bytes = keep, max_bytes
        self._exit_stack = ExitStack()

    def __enter__(self) -> "RunFolder":
        with ExitStack() as stack, os_errors_as_checkpoint_errors(self.folder, "making the run folder"):
            makedirs_synced(self.checkpoints)
            stack.enter_context(RunLock(self.folder))
            remove_leftovers(self.checkpoints)
            make_segment_folder(self.folder)
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exit_stack.close()

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint, damaged or not; None if there is none."""
        return max((step for step, _ in _list_checkpoints(self.checkpoints)), default=None)

    def newest(self) -> Path | None:
        """The newest checkpoint, damaged or not; None if there is none."""
        return next((path for _, path in _list_checkpoints(self.checkpoints)), None)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies, or None if there is none at all; see `latest_checkpoint`."""
        return latest_checkpoint(self.folder, max_bytes=self._max_bytes)

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint, whether it exists or not."""
        return self.checkpoints / f"step_{step:010d}"

    def save(self, step: int, metadata: dict[str, Any], state: Any) -> Path:
        """Write the checkpoint of a step, in place of an old one, and remove those that are no longer kept.

        Args:
            step: the step.
            metadata: JSON data for the manifest.
            state: plain data and tensors, as `to_plain_data` returns them.

        Returns:
            The checkpoint's folder.

        Raises:
            CheckpointError: an error of the disk. Older checkpoints are still there.
        """
        path = self.path(step)  # one that is there is damaged, or of a branch that was abandoned
        with os_errors_as_checkpoint_errors(path, "saving"), atomic_folder(path) as draft:
            write_bundle(draft, KIND, metadata, state, max_bytes=self._max_bytes)
        self.rotate()
        return path

    def rotate(self) -> None:
        """Remove all but the newest, once one of those that stay is known to be good, and segments that none names."""
        good = False
        for i, (_, path) in enumerate(_list_checkpoints(self.checkpoints)):
            if i >= self._keep and good:
                try:
                    remove_folder(path)
                except OSError as error:  # the new one is safe, so training continues
                    warnings.warn(f"the old checkpoint {path} could not be removed: {error}", stacklevel=2)
            elif not good:
                good = _is_good(path)
        remove_unnamed_segments(self.folder)


def latest_checkpoint(run: Path, *, max_bytes: int) -> Checkpoint | None:
    """The newest checkpoint of a run that verifies; damaged ones are named in warnings.

    Args:
        run: the run's folder.
        max_bytes: the largest state that is accepted.

    Returns:
        The checkpoint, or None if the run has none at all.

    Raises:
        CheckpointError: there are checkpoints, but none can be used.
    """
    damage = None
    for _, path in _list_checkpoints(run / "checkpoints"):
        try:
            if path.is_symlink():
                raise CheckpointError(path, "it is a symbolic link, and links are not followed here")
            return Checkpoint(path, *read_bundle(path, KIND, max_bytes=max_bytes))
        except CheckpointError as error:
            warnings.warn(f"{error}; trying an earlier one", stacklevel=2)
            damage = error
    if damage is not None:
        raise CheckpointError(
            run,
            f"none of its checkpoints can be used ({damage}); nothing was changed. To start again, move the folder "
            "away or give another one",
        )
    return None


def read_checkpoint(path: Path, *, max_bytes: int) -> Checkpoint:
    """A checkpoint, or the latest one of a run folder.

    Args:
        path: the checkpoint's folder, or the run's.
        max_bytes: the largest state that is accepted.

    Raises:
        CheckpointError: it is damaged, or not a checkpoint at all.
    """
    if is_run_folder(path):
        checkpoint = latest_checkpoint(path, max_bytes=max_bytes)
        if checkpoint is None:
            raise CheckpointError(path, "this run has no checkpoint yet")
        return checkpoint
    if not path.is_dir():
        raise CheckpointError(path, "there is no such folder; resume takes a run folder or one of its checkpoints")
    return Checkpoint(path, *read_bundle(path, KIND, max_bytes=max_bytes))


def remove_unnamed_segments(run: Path) -> None:
    """Remove the segments of the history that no checkpoint names.

    Args:
        run: a run folder, or the folder of a trainer's state.
    """
    manifests = [path for _, path in _list_checkpoints(run / "checkpoints")]
    if (run / MANIFEST).exists():
        manifests.append(run)
    with suppress(CheckpointError):  # one of them is damaged, and nobody knows what it names
        remove_unnamed(run / FOLDER, [read_metadata(path, KIND, TRAINER_STATE) for path in manifests])


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run's; a checkpoint is none, whatever else is in it."""
    return (path / "checkpoints").is_dir() and not (path / MANIFEST).exists()


def _list_checkpoints(checkpoints: Path) -> list[tuple[int, Path]]:
    """Steps and folders of checkpoints, newest first, unread."""
    if not checkpoints.is_dir():
        return []
    with os_errors_as_checkpoint_errors(checkpoints, "listing the checkpoints"):
        names = [(_NAME.fullmatch(entry.name), entry) for entry in checkpoints.iterdir()]
    return sorted(((int(match[1]), entry) for match, entry in names if match), reverse=True)


def _is_good(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        verify_bundle(path, KIND)
    except CheckpointError:
        return False
    return True

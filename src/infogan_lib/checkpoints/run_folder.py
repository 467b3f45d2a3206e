"""The checkpoints of a run.

    RUN/lock
    RUN/checkpoints/step_0000000500/    a bundle: manifest.json and state-....safetensors
    RUN/history/                        the segments that the manifests name (`segments`)

Each appears as a whole or not at all (`disk.atomic_folder`). The latest checkpoint is the newest whose checksums agree
and whose name is that of the step in it. What a process that died has left behind is removed by the next one, which
holds the lock and so is alone.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from infogan_lib._schema import MAX_STEPS
from infogan_lib._warnings import warn
from infogan_lib.checkpoints.bundle import (
    MANIFEST,
    bundle_kind,
    check_replaceable,
    read_bundle,
    read_metadata,
    verify_bundle,
    write_bundle,
)
from infogan_lib.checkpoints.disk import (
    CheckpointError,
    atomic_folder,
    is_folder,
    makedirs_synced,
    os_errors_as_checkpoint_errors,
    remove_folder,
    remove_leftovers,
)
from infogan_lib.checkpoints.lock import RunLock
from infogan_lib.checkpoints.segments import FOLDER, hold, make_segment_folder, remove_unnamed

KIND, TRAINER_STATE = "checkpoint", "trainer state"

_STEP_NAME = re.compile("step_([0-9]{10})")

Check = Callable[[Path, Any], None]
"""Raises CheckpointError for a state, read from a path, that should not be used."""


class Checkpoint(NamedTuple):
    """A checkpoint that was read: its folder, its metadata, its state, and its newest segments by digest."""

    path: Path
    metadata: dict[str, Any]
    state: Any
    held: dict[str, bytes]

    @property
    def step(self) -> int:
        """The number of steps that had been made."""
        step = self.metadata.get("step")
        return step if type(step) is int else -1

    @property
    def identity(self) -> str:
        """An id that no other checkpoint has."""
        return str(self.metadata.get("id"))


class RunFolder:
    """The folder of a run, held by this process alone while the context lasts; it is made where there is none.

    Args:
        folder: The folder.
        keep: How many checkpoints to keep. Where none of them verifies, the newest one that does is kept as well; and
            so is the one that was last saved or loaded.
        max_bytes: The largest state of this run.
        check: Checks a state beyond its checksums.

    Attributes:
        current: The checkpoint that was last saved or loaded here.

    Raises:
        CheckpointError: a folder that cannot be written to, that another trainer holds, or that is a part of a run.
    """

    def __init__(self, folder: Path, *, keep: int, max_bytes: int, check: Check | None = None) -> None:
        self.folder = folder
        self.checkpoints, self.segments = folder / "checkpoints", folder / FOLDER
        self._keep, self._max_bytes, self._check = keep, max_bytes, check
        self.current: Path | None = None
        self._lock = RunLock(folder)

    def __enter__(self) -> "RunFolder":
        _check_is_no_part(self.folder)
        try:
            with os_errors_as_checkpoint_errors(self.folder, "making the run folder"):
                makedirs_synced(self.checkpoints)
                self._lock.__enter__()
                remove_leftovers(self.checkpoints)
                make_segment_folder(self.folder)
        except BaseException:
            self.release()
            raise
        return self

    def release(self) -> None:
        """Release the folder, if it is held."""
        self._lock.release()

    def __exit__(self, *error: object) -> None:
        self.release()

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint that verifies; of the newest one where none does, None if there is none."""
        checkpoints = _list_steps(self.checkpoints)
        steps = (step for step, path in checkpoints if _is_good(path))
        return next(steps, checkpoints[0][0] if checkpoints else None)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that can be used, or None if there is none at all; see `latest_checkpoint`."""
        checkpoint = latest_checkpoint(self.folder, max_bytes=self._max_bytes, check=self._check)
        self.current = None if checkpoint is None else checkpoint.path
        return checkpoint

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint, whether it exists or not."""
        return self.checkpoints / f"step_{step:010d}"

    def check_held(self) -> None:
        """Check that this process still holds the folder, without which it must not write anything into it."""
        self._lock.check()

    def save(self, step: int, metadata: dict[str, Any], state: Any) -> Path:
        """Write the checkpoint of a step, in place of an old one, and remove those that are no longer kept.

        Returns the checkpoint's folder. Raises CheckpointError for an error of the disk, a folder that this process no
        longer holds, or more steps than a name has digits for. Older checkpoints are then still there.
        """
        self.check_held()
        if step > MAX_STEPS:
            raise CheckpointError(self.folder, f"a run has at most {MAX_STEPS:,} steps; begin another one from it")
        path = self.path(step)
        # One that is there is damaged, or of the call of `fit` before, and then perhaps all that there is of the run.
        is_good = _is_good(path)
        with os_errors_as_checkpoint_errors(path, "saving"):
            for entry in path.iterdir() if is_good else ():
                if entry.name != MANIFEST and not entry.name.startswith("state-"):
                    remove_folder(entry)
            with nullcontext(path) if is_good else atomic_folder(path) as draft:
                write_bundle(draft, KIND, metadata, state, max_bytes=self._max_bytes)
        self.current = path
        self.rotate()
        return path

    def rotate(self) -> None:
        """Remove old checkpoints, and the segments that none of the others names.

        All but the newest and the one last saved or loaded are old, once one of those that stay is known to be good.
        """
        self.check_held()
        good = False
        for i, (_, path) in enumerate(_list_steps(self.checkpoints)):
            if i >= self._keep and good:
                if path == self.current:
                    continue
                try:
                    remove_folder(path)
                except OSError as error:  # the new one is safe, so training continues
                    warn(f"the old checkpoint {path} could not be removed: {error}")
            elif not good:
                good = _is_good(path)
        remove_unnamed_segments(self.folder)


def latest_checkpoint(run: Path, *, max_bytes: int, check: Check | None = None) -> Checkpoint | None:
    """The newest checkpoint of a run that can be used; those that cannot are named in warnings.

    None if the run has none at all; CheckpointError if it has some, but none can be used.
    """
    damage = None
    for path in _newest_first(run):
        try:
            if os.path.islink(path):  # noqa: PTH114 - which raises nothing
                raise CheckpointError(path, "it is a symbolic link, and links are not followed here")
            return _read(path, max_bytes, check)
        except CheckpointError as error:
            damage = error
            if os.path.lexists(path):
                warn(f"{error}; trying an earlier one")
    if damage is not None:
        raise CheckpointError(
            run,
            f"none of its checkpoints can be used ({damage}); nothing was changed. To start again, move the folder "
            "away or give another one",
        )
    return None


def read_checkpoint(path: Path, *, max_bytes: int, check: Check | None = None) -> Checkpoint:
    """A checkpoint, or the latest one of a run folder. Raises CheckpointError if it is damaged, or none at all."""
    if is_run_folder(path):
        checkpoint = latest_checkpoint(path, max_bytes=max_bytes, check=check)
        if checkpoint is None:
            raise CheckpointError(path, "this run has no checkpoint yet")
        return checkpoint
    if not is_folder(path):
        raise CheckpointError(path, "there is no such folder; resume takes a run folder or one of its checkpoints")
    return _read(path, max_bytes, check)


def read_with_history(path: Path, *kinds: str, max_bytes: int) -> Checkpoint:
    """A checkpoint or a trainer's state, with its newest segments. Raises CheckpointError if it is damaged.

    A run that goes on removes an old checkpoint first and then its segments, so these are read first.
    """
    while True:
        named = read_metadata(path, *kinds)
        held = hold(path, named)
        metadata, state = read_bundle(path, *kinds, max_bytes=max_bytes)
        if metadata == named:
            return Checkpoint(path, metadata, state, held)


def _read(path: Path, max_bytes: int, check: Check | None) -> Checkpoint:
    checkpoint = read_with_history(path, KIND, max_bytes=max_bytes)
    _check_name(path, checkpoint.metadata)
    if check is not None:
        check(path, checkpoint.state)
    return checkpoint


def _check_name(path: Path, metadata: dict[str, Any]) -> None:
    match = _STEP_NAME.fullmatch(path.name)
    if match is not None and metadata.get("step") != int(match[1]):
        raise CheckpointError(
            path,
            f"it holds step {metadata.get('step')}, so it was renamed or copied; a copy must not have the name of "
            "another step",
        )


def latest_metadata(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run with a readable manifest, without its state; None if there is none."""
    for path in _newest_first(run):
        with suppress(CheckpointError):
            metadata = read_metadata(path, KIND)
            held = hold(path, metadata)
            if os.path.lexists(path):
                return Checkpoint(path, metadata, None, held)
    return None


def _newest_first(run: Path) -> Iterator[Path]:
    """The checkpoints of a run, listed anew where the one last given is gone, as a run that goes on removes them."""
    left = _list_steps(run / "checkpoints")
    while left:
        _, path = left.pop(0)
        yield path
        if not os.path.lexists(path):
            left = _list_steps(run / "checkpoints")


def remove_unnamed_segments(run: Path) -> None:
    """Remove the segments of the history, in a run folder or that of a trainer's state, that no checkpoint names."""
    manifests = [path for _, path in _list_steps(run / "checkpoints")]
    if bundle_kind(run) is not None:
        manifests.append(run)
    with suppress(CheckpointError):  # one of them is damaged, and nobody knows what it names
        remove_unnamed(run / FOLDER, [read_metadata(path, KIND, TRAINER_STATE) for path in manifests])


def check_free(folder: Path, kind: str) -> None:
    """Check that saving into a folder overwrites nothing but a bundle of the same kind, damaged or not.

    The folder may not exist yet. Raises CheckpointError for that of a run, and one that holds something else that was
    saved, or cannot be read.
    """
    if _list_steps(folder / "checkpoints"):
        raise CheckpointError(folder, f"this is a run folder; give the {kind} a folder of its own")
    if _list_steps(folder):
        raise CheckpointError(folder, f"these are the checkpoints of a run; give the {kind} a folder of its own")
    check_replaceable(folder, kind)
    _check_is_no_step(folder, f"give the {kind} a folder of its own")


def _check_is_no_step(folder: Path, advice: str) -> None:
    """Check that a folder has not the place of a run's checkpoint, which may be removed with older ones."""
    if folder.absolute().parent.name == "checkpoints" and _STEP_NAME.fullmatch(folder.name):
        raise CheckpointError(folder, f"this is the place of a run's checkpoint, and there is none in it; {advice}")


def _check_is_no_part(folder: Path) -> None:
    """Check that a folder is not part of another run, where a second run would begin by mistake."""
    if _list_steps(folder / "checkpoints"):
        return
    kind = bundle_kind(folder)
    if kind is not None:
        advice = (
            "it holds a saved model; give the run a folder of its own"
            if kind == "model"
            else "to begin a run from a checkpoint, give Checkpoints(another_folder, resume=this_one)"
        )
        raise CheckpointError(folder, f"this is no run folder but something that was saved; {advice}")
    if _list_steps(folder):
        raise CheckpointError(folder, f"these are the checkpoints of a run; give the run's folder, {folder.parent}")
    _check_is_no_step(folder, f"give the run's folder, {folder.absolute().parents[1]}")


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run's; a checkpoint is none, whatever else is in it."""
    return is_folder(path / "checkpoints") and bundle_kind(path) is None


def _list_steps(checkpoints: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the checkpoints in a folder of checkpoints, newest first, unread."""
    if not is_folder(checkpoints):
        return []
    with os_errors_as_checkpoint_errors(checkpoints, "listing the checkpoints"):
        names = [(_STEP_NAME.fullmatch(entry.name), entry) for entry in checkpoints.iterdir()]
    return sorted(((int(match[1]), entry) for match, entry in names if match), reverse=True)


def _is_good(path: Path) -> bool:
    if os.path.islink(path):  # noqa: PTH114 - which raises nothing
        return False
    try:
        _check_name(path, verify_bundle(path, KIND))
    except CheckpointError:
        return False
    return True

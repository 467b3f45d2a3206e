"""Files that belong together: all of them are written aside before the first is renamed into place.

A full disk, an interrupt or an error therefore leaves all files as they were. What remains are the microseconds between
two renames, in which only the death of the process leaves some files new and others old: an interrupt waits for the
last. A pipe or device cannot be replaced, and is written into.
"""

import errno
import os
import signal
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from infogan_lib.checkpoints.disk import fsync_dir, makedirs_synced, write_aside
from infogan_lib.checkpoints.lock import hold_for_writing

_DRAFT, _SINGLE_DRAFT = ".together-", ".whole-"  # the first are removed by whoever holds the folder

_ABANDONED = 3600.0
"""The seconds after which nobody writes a draft of a single file any more."""


def write_together(folder: Path, files: Mapping[str, bytes], *, stale: Iterable[str] = ()) -> None:
    """Write files by their paths in a folder, one process at a time; the folder is made, existing files are replaced.

    Those of `stale` are removed, as they belong to what is replaced.

    Raises:
        OSError: A file cannot be written; the others are then as they were.
        CheckpointError: Another process has been writing into the folder for a minute.
    """
    makedirs_synced(folder)
    paths = {folder / name: data for name, data in files.items()}
    with hold_for_writing(folder) as is_alone:
        if is_alone:
            for parent in {folder, *(path.parent for path in paths)}:
                _remove(parent.glob(f"{_DRAFT}*"))  # of processes that died
        _write(paths, _DRAFT, [folder / name for name in stale])


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears as a whole or not at all, and the folder that it is in; an existing one is replaced.

    No lock is needed, as the last of several writers wins. Raises OSError if the file cannot be written; an existing
    one is then as it was. What processes that died have left beside it for an hour is removed.
    """
    _write({path: data}, _SINGLE_DRAFT)
    with suppress(OSError):  # of a folder that cannot be listed, or drafts that are gone meanwhile
        folder, since = Path(os.path.realpath(path)).parent, time.time() - _ABANDONED
        _remove(draft for draft in folder.glob(f"{_SINGLE_DRAFT}*") if draft.lstat().st_mtime < since)


def _write(files: Mapping[Path, bytes], prefix: str, stale: Iterable[Path] = ()) -> None:
    drafts, streams = list[tuple[Path, Path]](), dict[Path, bytes]()
    try:
        for path, data in files.items():
            target = Path(os.path.realpath(path))  # a link stays, and what it leads to is replaced
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is in its place", str(path))
            if path.exists() and not target.is_file():  # also /dev/stdout, which leads to a pipe without a path
                streams[path] = data
                continue
            makedirs_synced(target.parent)
            mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
            with _errors_that_name(path):
                drafts.append((target, write_aside(target, data, prefix, mode)))
        for path, data in streams.items():
            with _errors_that_name(path):
                path.write_bytes(data)
        with _interrupts_wait():
            for path in stale:  # first: a death on the way must not leave them beside the new ones
                path.unlink(missing_ok=True)
            for target, draft in drafts:
                draft.replace(target)
            for parent in {target.parent for target, _ in drafts}:
                fsync_dir(parent)
    except BaseException:
        _remove(draft for _, draft in drafts)
        raise


@contextmanager
def _errors_that_name(path: Path) -> Iterator[None]:
    """An error of the disk with the path: a full one names no file, and others the hidden one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back Ctrl-C until the context ends."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            signal.raise_signal(signal.SIGINT)


def _remove(drafts: Iterable[Path]) -> None:
    for draft in drafts:
        with suppress(OSError):
            draft.unlink()

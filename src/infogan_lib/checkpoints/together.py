"""Files that belong together: all of them are written aside before the first is renamed into place.

A full disk, an interrupt or an error so leaves all files as they were. What remains are the microseconds between two
renames, in which only the death of the process leaves some files new and others old: an interrupt waits for the last.
"""

import errno
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from infogan_lib.checkpoints.disk import fsync_dir, makedirs_synced, write_aside
from infogan_lib.checkpoints.holding import hold_for_writing

_DRAFT = ".together-"


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, one process at a time; those that exist are replaced.

    Args:
        folder: The folder, made where there is none.
        files: The contents by path in the folder.

    Raises:
        OSError: A file cannot be written; the others are then as they were.
        CheckpointError: Another process has been writing into the folder for a minute.
    """
    makedirs_synced(folder)
    with hold_for_writing(folder) as is_alone:
        if is_alone:
            for leftover in folder.glob(f"{_DRAFT}*"):  # of processes that died
                leftover.unlink()
        drafts: dict[Path, Path] = {}
        try:
            for name, data in files.items():
                path = folder / name
                makedirs_synced(path.parent)
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder is in its place", str(path))
                drafts[path] = write_aside(path, data, _DRAFT)
            with _interrupts_wait():
                for path, draft in drafts.items():
                    draft.replace(path)
        except BaseException:
            _remove(drafts.values())
            raise
        for parent in {path.parent for path in drafts}:
            fsync_dir(parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write one file and the folder that it is in; see `write_together`."""
    write_together(path.parent, {path.name: data})


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """A context at whose end an interrupt is raised that came within it."""
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

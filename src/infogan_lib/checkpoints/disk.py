"""Files that are on the disk when a call returns, and faults of the disk in words.

A write counts once the file, and the folder that names it, have been synced (fsync(2)): then it survives the death of
the process, and as far as the disk keeps its word, of the machine.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)

_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link is followed, no pipe waited for


class CheckpointError(RuntimeError):
    """A checkpoint or saved model cannot be written, or cannot be used.

    Attributes:
        path: the file or folder.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextmanager
def faults_named(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a `CheckpointError` that says what was being done, why it failed and what may help."""
    try:
        yield
    except OSError as error:
        reason = f"{doing} failed: {error.strerror or error}"
        if error.errno in _ADVICE:
            reason += f"; {_ADVICE[error.errno]}"
        named = error.filename if isinstance(error.filename, str) and "/." not in error.filename else path
        raise CheckpointError(named, reason) from error


_ADVICE = {
    errno.ENOSPC: "the disk is full, so free some space or choose a folder on another disk",
    getattr(errno, "EDQUOT", -1): "your quota is used up, so free some space or choose a folder on another disk",
    errno.EACCES: "permission is denied, so choose a folder that you may write to, or change its rights",
    errno.EPERM: "permission is denied, so choose a folder that you may write to, or change its rights",
    errno.EROFS: "the file system is read-only, so choose a folder elsewhere",
    errno.EIO: "the disk reported an error of its own, so check it before you trust what is on it",
    errno.ELOOP: "it is a symbolic link, which is not followed here",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "a file is in its place",
}


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each synced into the one that names it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    sync_folder(folder.parent)


def write_synced(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file under its name in one piece: as a whole, synced, or not at all. The folder is left to sync."""
    draft = path.with_name(f".writing-{secrets.token_hex(6)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            for part in parts:
                _write_all(descriptor, memoryview(part))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(path)
    except BaseException:
        with suppressed_faults():
            draft.unlink()
        raise


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data[:_CHUNK]) :]


_CHUNK = 1 << 26


def sync_folder(folder: Path) -> None:
    """Make the names in a folder lasting. Windows has no such call, and needs none for what is promised there."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)


def open_plain(path: Path) -> tuple[BufferedReader, int]:
    """A regular file opened for reading, and its size in bytes. Links, pipes and devices are refused, not opened.

    Raises:
        CheckpointError: no such file, or something else in its place.
    """
    with faults_named(path, "reading"):
        try:
            descriptor = os.open(path, os.O_RDONLY | _BINARY | _AS_IT_IS)
        except FileNotFoundError:
            raise CheckpointError(path, "this file is missing") from None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise CheckpointError(path, "this is no regular file")
        return os.fdopen(descriptor, "rb"), found.st_size


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a death on the way leaves a hidden leftover and never half a folder under its name."""
    if not folder.name.startswith("."):
        away = folder.with_name(f".removing-{secrets.token_hex(6)}")
        folder.rename(away)
        folder = away
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
    else:
        shutil.rmtree(folder)


@contextmanager
def suppressed_faults() -> Iterator[None]:
    """For tidying up after a failure that is being reported already."""
    with suppress(OSError):
        yield

"""The commit protocol: what is on the disk when a call returns is whole, or what was there before.

A file or folder is written aside under a hidden name, synced (fsync(2)), renamed into place, and the folder that names
it is synced as well. It then survives the death of the process and, as far as the disk keeps its word, of the machine.
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

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""The flags of `os.open` with which no link is followed and no pipe waited for."""

_DRAFT_FILE, _DRAFT_FOLDER, _REMOVED = ".writing-", ".saving-", ".removing-"


class CheckpointError(RuntimeError):
    """A checkpoint or saved model cannot be written, or cannot be used.

    Attributes:
        path: The file or folder.
        reason: What is wrong with it, and what to do.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextmanager
def os_errors_as_checkpoint_errors(path: Path, action: str) -> Iterator[None]:
    """Turn an `OSError` into a `CheckpointError` that says what action failed, why, and what may help.

    The path is for errors that name none.
    """
    try:
        yield
    except OSError as error:
        reason = f"{action} failed: {error.strerror or error}"
        if error.errno in _ADVICE:
            reason += f"; {_ADVICE[error.errno]}"
        is_ours = isinstance(error.filename, str) and "/." not in error.filename
        raise CheckpointError(error.filename if is_ours else path, reason) from error


_ADVICE = {
    errno.ENOSPC: "the disk is full, so free some space or choose a folder on another disk",
    getattr(errno, "EDQUOT", -1): "your quota is used up, so free some space or choose a folder on another disk",
    errno.EACCES: "permission is denied, so choose a folder that you may write to, or change its permissions",
    errno.EPERM: "permission is denied, so choose a folder that you may write to, or change its permissions",
    errno.EROFS: "the file system is read-only, so choose a folder elsewhere",
    errno.EIO: "the disk reported an error, so check it before you trust what is on it",
    errno.ELOOP: "it is a symbolic link, and links are not followed here",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EEXIST: "a file is in its place",
}


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder. Raises CheckpointError where that cannot be seen, as without permission."""
    with os_errors_as_checkpoint_errors(path, "looking at it"):
        try:
            return stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def makedirs_synced(folder: Path) -> None:
    """Make a folder and its missing parents, and sync each new name."""
    if folder.is_dir():
        return
    makedirs_synced(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    fsync_dir(folder.parent)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a synced file that appears under its name as a whole or not at all; one that exists is replaced.

    The folder is not synced; call `fsync_dir` once all its files are written.
    """
    draft = write_aside(path, data)
    try:
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_aside(path: Path, data: bytes, prefix: str = _DRAFT_FILE, mode: int | None = None) -> Path:
    """Write a synced file under a hidden name beside the path that it is for, and return its path.

    The permissions are those of a new file if `mode` is None.
    """
    draft = path.with_name(f"{prefix}{secrets.token_hex(6)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666 if mode is None else mode)
        try:
            _write_all(descriptor, memoryview(data))
            if mode is not None:
                with suppress(OSError):  # of a file system without permissions
                    draft.chmod(mode)  # the umask has taken some away
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    return draft


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data[:_CHUNK]) :]


_CHUNK = 1 << 26


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, which appears under its name once the context ends without an error.

    Yields a hidden folder beside it; what is written into that must be synced. One that exists is removed at the end.
    """
    draft = path.with_name(f"{_DRAFT_FOLDER}{secrets.token_hex(6)}")
    try:
        draft.mkdir()
        yield draft
        if os.path.lexists(path):
            remove_folder(path)
        draft.rename(path)
        fsync_dir(path.parent)
    except BaseException:
        with suppress(OSError):
            remove_folder(draft)
        raise


def fsync_dir(folder: Path) -> None:
    """Sync the names in a folder. Windows has no such call, and needs none for what is promised here."""
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


def has_one_name(status: os.stat_result) -> bool:
    """Whether this is a regular file under one name, so that writing into it changes no other; a link is none."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def open_regular(path: Path, *, follow: bool = False) -> tuple[BufferedReader, int]:
    """Open a regular file for reading, and return it with its size in bytes. Links, pipes and devices are refused.

    The one link that is followed is that of the Hugging Face hub's cache, from a snapshot to its own blobs; every link
    is with `follow`, for files that decide nothing but what is shown. Raises CheckpointError.
    """
    with os_errors_as_checkpoint_errors(path, "reading"):
        try:
            flags = NO_FOLLOW & ~getattr(os, "O_NOFOLLOW", 0) if follow else NO_FOLLOW
            descriptor = os.open(_hub_blob(path), os.O_RDONLY | _BINARY | flags)
        except FileNotFoundError:
            raise CheckpointError(path, "this file is missing") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise CheckpointError(path, "this is not a regular file")
        return os.fdopen(descriptor, "rb"), status.st_size


def _hub_blob(path: Path) -> Path:
    """The blob that a link in a snapshot of the hub's cache names; any other path as it is.

    The cache has REPOSITORY/snapshots/REVISION/FILE as a link to REPOSITORY/blobs/HASH, written by huggingface_hub.
    """
    revision = next((folder for folder in path.parents if folder.parent.name == "snapshots"), None)
    if revision is None or not path.is_symlink():
        return path
    target, blobs = (Path(os.path.normpath(p)) for p in (path.parent / path.readlink(), revision.parents[1] / "blobs"))
    return target if target.parent == blobs and not blobs.is_symlink() else path


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a death on the way leaves a hidden leftover, never half a folder under its name."""
    if not folder.name.startswith("."):
        hidden = folder.with_name(f"{_REMOVED}{secrets.token_hex(6)}")
        folder.rename(hidden)
        folder = hidden
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that died has left half written or half removed in a folder."""
    for entry in folder.iterdir():
        if entry.name.startswith((_DRAFT_FILE, _DRAFT_FOLDER, _REMOVED)):
            with suppress(OSError):
                remove_folder(entry)

"""One process at a time in a folder, by locks that die with the process that holds them.

A run holds RUN/checkpoints from its beginning to its end. What is locked is this directory itself, by whatever path or
link it is reached and whatever becomes of the file RUN/lock. That file says who holds the folder. It is locked as well,
for systems that cannot lock a directory (Windows, some network file systems).

A model is saved into its folder in a moment, so that another process waits, and its model then replaces the first one's
whole. Readers do not wait; they find the old model or the new one (`bundle`).
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infogan_lib.checkpoints.disk import (
    NO_FOLLOW,
    CheckpointError,
    has_one_name,
    makedirs_synced,
    os_errors_as_checkpoint_errors,
)

if os.name == "nt":
    import msvcrt

    def _acquire(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

    def _release(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a fork that has not closed it yet


_IN_USE = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""The errors of a lock that another process holds."""

_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""The errors of a file system that cannot lock a directory."""

_MAX_WAIT = 60.0
"""The seconds to wait for another process that is saving."""

_OWNER, _MAX_OWNER_BYTES = b"process ", 500
"""How the text in a lock file begins, and its greatest length."""


class FolderInUseError(CheckpointError):
    """Another process holds the folder of a run."""


_Identity = tuple[int, int]
"""The device and the number of a file, which are the same by whatever path it is reached."""

_held: dict[_Identity, list[int]] = {}
"""The open descriptors of each lock that this process holds, by the directory that it is of."""

_mutex = threading.Lock()


def _close_in_fork() -> None:
    """Close the files in a forked worker, which would hold the locks beyond its parent's death."""
    for descriptors in _held.values():
        _close(descriptors)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_fork)


class RunLock:
    """Holds a run folder while the context lasts. The operating system frees it when the process ends, however it ends.

    RUN/checkpoints is made where there is none. Raises CheckpointError, which says which process holds the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path, self._directory = folder, folder / "lock", folder / "checkpoints"
        self._identity: _Identity = (-1, -1)
        self._file_identity: _Identity | None = None  # where the lock file is what keeps others out
        self._descriptors: list[int] = []
        self._process = -1

    def __enter__(self) -> "RunLock":
        try:
            with _mutex, os_errors_as_checkpoint_errors(self._directory, "locking the run folder"):
                makedirs_synced(self._directory)
                self._lock()
        except BaseException:
            self.release()  # also where an interrupt came between two lines
            raise
        return self

    def check(self) -> None:
        """Check that the folder is still held: by this process, and under the path that it was locked by.

        Raises:
            CheckpointError: this process is a fork of the one that holds it, or the folder was moved or replaced.
        """
        if os.getpid() != self._process:
            raise CheckpointError(
                self._folder,
                f"process {self._process} is using it, and this is a fork of that process; only the process that "
                "called fit can train and save, so end the fork with os._exit",
            )
        is_same = _leads_to(self._directory, self._identity)
        if not is_same or (self._file_identity is not None and not _leads_to(self._path, self._file_identity)):
            raise CheckpointError(
                self._directory if not is_same else self._path,
                "it was moved, removed or replaced during the run, so that another trainer may be using what is there "
                "now; restore it and run the same command again, or give another folder",
            )

    def _lock(self) -> None:
        self._process = os.getpid()
        if os.name == "nt":  # where a directory cannot be opened
            self._identity = _identity(self._directory.stat())
        else:
            self._descriptors.append(os.open(self._directory, os.O_RDONLY))
            self._identity = _identity(os.fstat(self._descriptors[0]))
        if self._identity in _held:
            raise CheckpointError(
                self._folder, "another trainer of this process is using it; give each trainer a folder of its own"
            )
        _held[self._identity] = self._descriptors  # before anything is locked, so that `release` finds it
        is_locked = os.name != "nt" and self._lock_directory()
        self._lock_file()
        self._file_identity = None if is_locked else _identity(os.fstat(self._descriptors[-1]))

    def _lock_directory(self) -> bool:
        """Lock the directory, unless its file system cannot; returns whether it is locked."""
        try:
            self._take(self._descriptors[0])
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return False
        return True

    def _lock_file(self) -> None:
        """Lock the lock file and write into it who holds the folder; a file that is no lock is never written into."""
        with os_errors_as_checkpoint_errors(self._path, "locking the run folder"):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
            self._descriptors.append(descriptor)
            if not has_one_name(os.fstat(descriptor)):  # it would be another file that is emptied
                raise CheckpointError(self._path, "this is not a lock but a link or a device; remove it")
            self._take(descriptor)
            text = os.read(descriptor, _MAX_OWNER_BYTES + 1)
            if text and (len(text) > _MAX_OWNER_BYTES or not text.startswith(_OWNER)):
                raise CheckpointError(self._path, "this is not a lock but another file; move it away")
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())

    def _take(self, descriptor: int) -> None:
        try:
            _acquire(descriptor)
        except OSError as error:
            if error.errno not in _IN_USE:
                raise
            raise FolderInUseError(
                self._folder, f"{self._owner()} is using it; wait until it ends, stop it, or give another folder"
            ) from error

    def _owner(self) -> str:
        """Who holds the folder, as the lock file beside the locked directory says."""
        text = b""
        with suppress(OSError):
            descriptor = os.open(Path(os.path.realpath(self._directory)).with_name("lock"), os.O_RDONLY | NO_FOLLOW)
            try:
                text = os.read(descriptor, _MAX_OWNER_BYTES)
            finally:
                os.close(descriptor)
        return text.decode(errors="replace").strip() if text.startswith(_OWNER) else "another process"

    def release(self) -> None:
        """Release the folder, if it is held. Where an interrupt ended this, it can be called again."""
        try:
            self._let_go()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        with _mutex:
            if os.getpid() == self._process and _held.get(self._identity) is self._descriptors:  # not in a fork
                for descriptor in self._descriptors:
                    with suppress(OSError):
                        _release(descriptor)
                del _held[self._identity]
            _close(self._descriptors)

    def __exit__(self, *error: object) -> None:
        self.release()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _leads_to(path: Path, identity: _Identity) -> bool:
    try:
        return _identity(path.stat()) == identity
    except OSError:
        return False


def _close(descriptors: list[int]) -> None:
    """Close all of them, each once."""
    while descriptors:
        with suppress(OSError):
            os.close(descriptors.pop())


@contextmanager
def hold_for_writing(folder: Path) -> Iterator[bool]:
    """Hold an existing folder for writing. The operating system frees it when the process ends, however it ends.

    Yields whether it is held; False where a folder cannot be locked (Windows, some network file systems). Raises
    CheckpointError if another process has held it for a minute, or for an error of the disk.
    """
    if os.name == "nt":
        yield False
        return
    with os_errors_as_checkpoint_errors(folder, "opening the folder"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os_errors_as_checkpoint_errors(folder, "locking the folder"):
            is_held = _wait_for(descriptor, folder)
        yield is_held
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> bool:
    deadline = time.monotonic() + _MAX_WAIT
    while True:
        try:
            _acquire(descriptor)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if error.errno not in _IN_USE:
                raise
        else:
            return True
        if time.monotonic() > deadline:
            raise CheckpointError(
                folder,
                f"another process has been saving into it for {_MAX_WAIT:.0f} seconds; wait until it ends, stop it, or "
                "give another folder",
            )
        time.sleep(0.002)

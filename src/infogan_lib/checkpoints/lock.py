"""One process at a time in a run folder: a lock that dies with the process that holds it."""

import errno
import os
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

from infogan_lib.checkpoints.disk import NO_FOLLOW, CheckpointError, os_errors_as_checkpoint_errors

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


_held: dict[str, int] = {}

_mutex = threading.Lock()


def _close_in_fork() -> None:
    """Close the files in a forked worker, which would hold the locks beyond its parent's death."""
    for descriptor in _held.values():
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_fork)


class RunLock:
    """Holds RUN/lock while the context lasts. The operating system frees it when the process ends, however it ends.

    Args:
        folder: the run's folder.

    Raises:
        CheckpointError: another trainer holds it; the message says which process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "lock"
        self._name = os.path.realpath(self._path)

    def __enter__(self) -> "RunLock":
        with _mutex:
            if self._name in _held:
                raise CheckpointError(
                    self._folder, "another trainer of this process is using it; give each trainer a folder of its own"
                )
            with os_errors_as_checkpoint_errors(self._path, "locking the run folder"):
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:  # it would be another file that is emptied
                    raise CheckpointError(self._path, "this is not a lock but a link or a device; remove it")
                self._take(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            _held[self._name] = descriptor
        return self

    def _take(self, descriptor: int) -> None:
        with os_errors_as_checkpoint_errors(self._path, "locking the run folder"):
            try:
                _acquire(descriptor)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    raise
                owner = "another process"
                with suppress(OSError):
                    owner = os.read(descriptor, 200).decode(errors="replace").strip() or owner
                raise CheckpointError(
                    self._folder, f"{owner} is using it; wait until it ends, stop it, or give another folder"
                ) from error
            os.ftruncate(descriptor, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())

    def __exit__(self, *error: object) -> None:
        with _mutex:
            descriptor = _held.pop(self._name)
            with suppress(OSError):
                _release(descriptor)
            os.close(descriptor)

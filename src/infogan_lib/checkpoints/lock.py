"""One process at a time in a run folder: a lock that dies with the process that holds it."""

import errno
import os
import socket
import threading
import time
from pathlib import Path

from infogan_lib.checkpoints.disk import CheckpointError, faults_named, suppressed_faults

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
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a fork that has not yet let go of it


_held_here: dict[str, int] = {}

_taking = threading.Lock()


def _let_go_in_a_fork() -> None:
    """Worker processes inherit the open file, and would keep the lock after their parent's death."""
    for descriptor in _held_here.values():
        with suppressed_faults():
            os.close(descriptor)
    _held_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_a_fork)


class RunLock:
    """Holds RUN/lock for as long as the context lasts. The operating system frees it when the process ends, however.

    Raises:
        CheckpointError: another trainer works in the folder; the message says which process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "lock"
        self._name = os.path.realpath(self._path)

    def __enter__(self) -> "RunLock":
        with _taking:
            if self._name in _held_here:
                raise CheckpointError(
                    self._folder, "another trainer of this process is at work in it; give each its own"
                )
            with faults_named(self._path, "locking the run folder"):
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._take(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            _held_here[self._name] = descriptor
        return self

    def _take(self, descriptor: int) -> None:
        with faults_named(self._path, "locking the run folder"):
            try:
                _acquire(descriptor)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    raise
                owner = "another process"
                with suppressed_faults():
                    owner = os.read(descriptor, 200).decode(errors="replace").strip() or owner
                raise CheckpointError(
                    self._folder, f"{owner} is at work in it; wait for its end, stop it, or give another run_dir"
                ) from error
            os.ftruncate(descriptor, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())

    def __exit__(self, *error: object) -> None:
        with _taking:
            descriptor = _held_here.pop(self._name)
            with suppressed_faults():
                _release(descriptor)
            os.close(descriptor)

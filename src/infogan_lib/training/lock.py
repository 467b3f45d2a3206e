"""One process at a time in a run folder: a lock that dies with the process that holds it."""

import os
import socket
import time
from pathlib import Path

from infogan_lib.storage import CheckpointError
from infogan_lib.storage.disk import faults_named, suppressed_faults

if os.name == "nt":
    import msvcrt

    def _acquire(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        # A record lock: workers forked from this process do not keep it alive, as they would an flock.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held_here: set[str] = set()


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
        # The system's lock belongs to the process, so a second trainer in it has to be told by a list.
        if self._name in _held_here:
            raise CheckpointError(self._folder, "another trainer of this process is at work in it; give each its own")
        with faults_named(self._path, "locking the run folder"):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise
        _held_here.add(self._name)
        return self

    def _take(self) -> None:
        owner = "another process"
        try:
            _acquire(self._descriptor)
        except OSError as error:
            with suppressed_faults():
                owner = os.read(self._descriptor, 200).decode(errors="replace").strip() or owner
            raise CheckpointError(
                self._folder, f"{owner} is at work in it; wait for its end, stop it, or give another run_dir"
            ) from error
        with faults_named(self._path, "locking the run folder"):
            os.ftruncate(self._descriptor, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())

    def __exit__(self, *error: object) -> None:
        _held_here.discard(self._name)
        os.close(self._descriptor)

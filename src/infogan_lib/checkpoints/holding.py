"""One process at a time writes into a folder: another one waits, and its model then replaces the first one's whole.

Readers do not wait; they find the old model or the new one (`bundle`).
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infogan_lib.checkpoints.disk import CheckpointError, os_errors_as_checkpoint_errors

_MAX_WAIT = 60.0
"""The seconds to wait for another process."""

_BUSY = (errno.EAGAIN, errno.EACCES)

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL)
"""The errors of network file systems that have no locks, or none for a folder."""


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
            is_held = _acquire(descriptor, folder)
        yield is_held
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> bool:
    import fcntl

    deadline = time.monotonic() + _MAX_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if error.errno not in _BUSY:
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

"""The memory that an operation takes at its peak, for tests of what is made to do harm."""

import ctypes
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextmanager
def bounded_memory(mib: float) -> Iterator[None]:
    """Assert that what is done inside takes at most so many MiB more than the process has, whatever it had before.

    Linux counts all memory of the process; elsewhere Python counts its own and numpy's, without torch's.
    """
    try:
        before = _restart_peak()
    except OSError:
        tracemalloc.start()
        try:
            yield
            grown = float(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    else:
        yield
        grown = _peak() - before
    assert grown <= mib * 2**20, f"{grown / 2**20:.0f} MiB were taken"


def _restart_peak() -> float:
    """Set the peak of this process to what it has now, and return that.

    What was freed goes back to the system first, where the C library can (glibc), or what is taken next is not new.
    """
    with _CLEAR.open("w") as clear:
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if give_back is not None:
            give_back(0)
        clear.write("5")
    return _peak()


def _peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    if found is None:
        raise OSError(f"{_STATUS} has no peak")
    return 1024 * float(found[1])

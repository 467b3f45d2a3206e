"""What a process that fails leaves for the others, who may be waiting for it in the middle of a step."""

from contextlib import suppress
from datetime import timedelta
from threading import Thread

import torch
from torch import distributed

_PATIENCE_SECONDS = 5

_TAG = 2**31 - 25  # of a message that is never sent


class Notices:
    """A notice for each process, in the store in which the processes have met.

    The name is one that these processes agree on, and no earlier ones have used.
    """

    def __init__(self, rank: int, world_size: int, name: str) -> None:
        self._rank, self._world_size = rank, world_size
        met_in = distributed.distributed_c10d._get_default_store()  # torch has no public name for it
        prefix = f"infogan_lib/notices/{name}"
        self._store = distributed.PrefixStore(prefix, met_in)  # pyright: ignore[reportPrivateImportUsage]

    def post(self, message: str) -> None:
        """Leave a notice."""
        with suppress(RuntimeError):
            self._store.set(str(self._rank), message)

    def remove(self) -> None:
        """Remove this process's own notice."""
        with suppress(RuntimeError):
            self._store.delete_key(str(self._rank))

    def read(self) -> tuple[int, str] | None:
        """The first notice of another process, after its rank; None without one, or where the store does not answer."""
        found: list[tuple[int, str]] = []
        thread = Thread(
            target=self._read, args=(found,), daemon=True
        )  # a store of a machine that is gone never answers
        thread.start()
        thread.join(_PATIENCE_SECONDS)
        return found[0] if found else None

    def _read(self, found: list[tuple[int, str]]) -> None:
        with suppress(RuntimeError):
            for rank in range(self._world_size):
                if rank != self._rank and self._store.check([str(rank)]):
                    found.append((rank, self._store.get(str(rank)).decode()))
                    return


def hang_up(rank: int) -> None:
    """Close this process's connections of the default group, so that nobody waits for it any longer.

    Gloo closes all of them when a message has not come in time, and only then or when the process ends.
    """
    default = distributed.group.WORLD
    with suppress(RuntimeError):
        if default is not None:
            nobody = default.recv([torch.empty(1)], int(rank == 0), _TAG)
            nobody.wait(timedelta(milliseconds=1))

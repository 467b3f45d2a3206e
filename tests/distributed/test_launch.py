"""How launched processes meet in a store that earlier ones have used."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch import distributed

from infogan_lib.distributed.launch import agree_on_name

LONG, SHORT = timedelta(seconds=20), timedelta(milliseconds=200)


def meet(store, ranks=(0, 1, 2), late=()):
    """The name that each process has, of which some come later."""
    start = threading.Event()

    def join(rank):
        if rank in late:
            start.wait()
        return agree_on_name(store, rank, 3, LONG)

    with ThreadPoolExecutor(3) as pool:
        names = [pool.submit(join, rank) for rank in ranks]
        time.sleep(0.1)
        start.set()
        return [name.result() for name in names]


@pytest.mark.parametrize("late", [(), (0,), (1,), (1, 2)])
def test_processes_that_start_again_agree_on_another_name(late):
    store = distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    names = [meet(store, late=late) for _ in range(3)]
    assert all(len(set(own)) == 1 for own in names)
    assert len({own[0] for own in names}) == 3


def test_those_who_died_before_they_met_are_not_waited_for():
    store = distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    with pytest.raises(RuntimeError, match="process 2 has waited for process 0"):
        agree_on_name(store, 2, 3, SHORT)
    with pytest.raises(RuntimeError, match="waited 0:00:00.200000 for 3 processes, but those of rank 1, 2 have not"):
        agree_on_name(store, 0, 3, SHORT)
    assert len(set(meet(store, late=(2,)))) == 1

"""The process group of processes that a launcher such as `torchrun` has started.

`torchrun` starts all processes again when one has died, but keeps the store in which they find each other. There the
new ones would read the addresses of the old ones, which do not answer, and would wait for ever or die in turn. So the
processes first agree on a name that no earlier ones have used, and meet under it.
"""

import atexit
import importlib
import os
import time
import weakref
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import torch
from torch import distributed

from infogan_lib._messages import shorten

_LAUNCHED_WITH = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_MEETING_TIME = timedelta(minutes=10)
"""How long the first process waits for the last one to be started."""

_PAUSE_SECONDS = 0.02


def init_group() -> bool:
    """Make a process group, which ends with the program, if a launcher has started this process as one of several.

    Returns whether there is a group now. Raises RuntimeError for a launcher that has not said all that a process group
    needs, or not in numbers, or a process that does not come.
    """
    size = launched_size()
    if size <= 1:
        return False
    if missing := [name for name in _LAUNCHED_WITH if name not in os.environ]:
        raise RuntimeError(
            f"WORLD_SIZE={size} says that this is one of {size} processes, but {', '.join(missing)} is not set; "
            "start the program with torchrun, or unset WORLD_SIZE to train in one process"
        )
    for name, most in (("RANK", size - 1), ("MASTER_PORT", 65535)):
        value = os.environ[name]
        if not value.isdecimal() or len(value) > 9 or int(value) > most:
            raise RuntimeError(f"{name} must be a whole number from 0 to {most}, but is {shorten(value)}")
    importlib.import_module("torch._dynamo")  # an optimizer imports it, and it keeps a group that is there before it
    on_cuda = torch.cuda.is_available() and distributed.is_nccl_available()
    meet = distributed.rendezvous  # pyright: ignore[reportPrivateImportUsage]
    store, rank, world_size = next(meet("env://", timeout=_MEETING_TIME))
    name = agree_on_name(store, rank, world_size)
    named = distributed.PrefixStore(name, store)  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
        store=named,
        rank=rank,
        world_size=world_size,
    )
    atexit.register(_end)
    return True


def launched_size() -> int:
    """The number of processes that a launcher says it has started; 1 without one."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() and len(size) < 10 else 1


def agree_on_name(store: Any, rank: int, world_size: int, timeout: timedelta = _MEETING_TIME) -> str:
    """A name that these processes agree on, and no others that have left anything in the store.

    Each process asks with a word that nobody has used, so that only process 0 of now can have answered it. The count of
    restarts that torchrun gives will not do, as each machine counts its own.

    Raises RuntimeError, with their ranks, if not all of them have come in time.
    """
    own, deadline = uuid4().hex, time.monotonic() + timeout.total_seconds()
    if rank != 0:
        store.set(f"infogan_lib/question/{rank}", own)
        try:
            store.wait([f"infogan_lib/answer/{own}"], timeout)
        except RuntimeError as error:
            raise RuntimeError(
                f"process {rank} has waited for process 0 for {timeout}; is it running, and MASTER_ADDR reached?"
            ) from error
        name = store.get(f"infogan_lib/answer/{own}").decode()
        store.set(f"infogan_lib/{name}/{rank}", "here")
        return name
    missing = set(range(1, world_size))
    while missing:
        for other in missing:
            if store.check([f"infogan_lib/question/{other}"]):
                question = store.get(f"infogan_lib/question/{other}").decode()
                store.set(f"infogan_lib/answer/{question}", own)
        missing = {other for other in missing if not store.check([f"infogan_lib/{own}/{other}"])}
        if missing and time.monotonic() > deadline:
            ranks = ", ".join(map(str, sorted(missing)))
            raise RuntimeError(
                f"process 0 has waited {timeout} for {world_size} processes, but those of rank {ranks} have not come"
            )
        time.sleep(_PAUSE_SECONDS if missing else 0)
    return own


def host_group() -> "distributed.ProcessGroup":
    """The group for messages between the hosts, with the timeout of the default group; made once."""
    default = distributed.group.WORLD
    assert default is not None
    if default not in _host_groups:
        group = distributed.new_group(timeout=_timeout(default), backend="gloo")
        _host_groups[default] = group  # type: ignore[assignment]
        atexit.register(_leave, weakref.ref(default))
    return _host_groups[default]


_host_groups: "WeakKeyDictionary[distributed.ProcessGroup, distributed.ProcessGroup]" = WeakKeyDictionary()
"""Those of each default group. Nothing else of the library holds a group, so that gloo's threads end with it: one that
lives until Python ends, and then has a tensor to free, ends the program with SIGABRT.
"""


def _timeout(group: "distributed.ProcessGroup") -> timedelta | None:
    """The timeout of a group with gloo; None, which is torch's own, of another one."""
    try:
        return group._get_backend(torch.device("cpu")).options._timeout  # torch has no public name for it
    except (AttributeError, RuntimeError):
        return None


def _leave(default: "weakref.ref[distributed.ProcessGroup]") -> None:
    """Leave the hosts' group of a default group, before Python ends."""
    key = default()
    group = None if key is None else _host_groups.pop(key, None)
    if group is not None and distributed.is_initialized():
        with suppress(ValueError):  # the program has destroyed it, and has made other groups
            distributed.destroy_process_group(group)


def _end() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()

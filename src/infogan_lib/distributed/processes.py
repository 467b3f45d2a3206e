"""The processes that train together: those of `torchrun`, or of a process group that the program has made.

Messages between the hosts (settings, signals, errors, batches) go through gloo; what the networks compute goes through
the default group, which is NCCL for CUDA.
"""

import hashlib
import json
import os
import pickle
import socket
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import torch
from torch import Tensor, distributed, nn

from infogan_lib.distributed.launch import host_group, init_group
from infogan_lib.distributed.notices import Notices, hang_up

_Result = TypeVar("_Result")

# The name from torch 2.13 on, and the one before.
all_gather: Any = getattr(distributed, "all_gather_single", getattr(distributed, "all_gather_into_tensor", None))

_LAST_WORDS = timedelta(seconds=10)
"""How long a process that fails waits for the others to ask it something; then it hangs up, and leaves a notice."""


class ProcessError(RuntimeError):
    """Another process has failed, or the processes do not agree."""


class _Failure(NamedTuple):
    """What a process that failed gives in place of what the others wait for."""

    message: str


class Processes:
    """The processes that train together. Of one process alone every method is the identity.

    Attributes:
        rank: The number of this process, from 0.
        world_size: The number of processes.
    """

    def __init__(
        self, rank: int = 0, world_size: int = 1, host_group: "distributed.ProcessGroup | None" = None
    ) -> None:
        self.rank, self.world_size = rank, world_size
        self._held_host_group = None if host_group is None else weakref.ref(host_group)
        self._last_error: BaseException | None = None  # the one that the others know of
        self._notices: Notices | None = None
        self._called_alone = ""  # what process 0 calls and the others do not
        if world_size > 1:
            self._notices = Notices(rank, world_size, self.exchange(uuid4().hex)[0])

    @property
    def _host_group(self) -> "distributed.ProcessGroup | None":
        group = None if self._held_host_group is None else self._held_host_group()
        if group is None and self._held_host_group is not None:
            raise RuntimeError("the process group of this trainer was destroyed; make a new trainer after that")
        return group

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints, rank 0."""
        return self.rank == 0

    def rows(self, count: int, rank: int | None = None) -> slice:
        """The rows of a batch that are a process's own, this one's by default; as `torch.tensor_split` splits it."""
        rank = self.rank if rank is None else rank
        size, larger = divmod(count, self.world_size)
        start = rank * size + min(rank, larger)
        return slice(start, start + size + (rank < larger))

    def row_count(self, count: int, rank: int | None = None) -> int:
        """The number of these rows."""
        rows = self.rows(count, rank)
        return rows.stop - rows.start

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of parameters over the processes."""
        self.average(parameter.grad for parameter in parameters if parameter.grad is not None)

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors over the processes in place, as one flat tensor for each dtype."""
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors if self.world_size > 1 else ():
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
        for alike in by_dtype.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            self.all_reduce(flat)
            flat /= self.world_size
            pieces = flat.split([tensor.numel() for tensor in alike])
            for tensor, piece in zip(alike, pieces, strict=True):
                tensor.copy_(piece.view_as(tensor))

    def all_reduce(self, tensor: Tensor) -> None:
        """Make a tensor the sum of those of all processes, in place."""
        if self.world_size > 1:
            with self._connection(), _until_released(tensor):
                distributed.all_reduce(tensor)

    def all_gather(self, whole: Tensor, own: Tensor) -> None:
        """Write the tensors of all processes, which are of one size, one after the other into `whole`."""
        if self.world_size == 1:
            whole.copy_(own)
            return
        with self._connection(), _until_released(whole, own):
            all_gather(whole, own)

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """A context in which an error of the connection says why the others are gone, as far as they have told."""
        if self._called_alone:
            raise RuntimeError(
                f"{self._called_alone} is called in process 0 alone, and the other processes do not answer there; for "
                "steps, checkpoints and encode(distributed=) of its own give it on_all_processes = True"
            )
        try:
            yield
        except RuntimeError as error:
            notice = None if self._notices is None else self._notices.read()
            if notice is not None:
                raise ProcessError(f"process {notice[0]} has failed: {notice[1]}") from error
            raise ProcessError(
                "another process has ended, or has not answered in time, and has left no word; if nobody has killed "
                f"it, see that all make the same trainers and calls of fit and step: {error}"
            ) from error

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """A context of process 0, in which a message to the others is an error.

        The name is that of what process 0 calls there, for the message; empty for what all call.
        """
        self._called_alone = name
        try:
            yield
        finally:
            self._called_alone = ""

    def exchange(self, value: _Result) -> list[_Result]:
        """What each process gives, in the order of their ranks. Raises ProcessError if one of them has failed."""
        if self.world_size == 1:
            return [value]
        with self._connection():
            given = self._all_gather_objects(value)
        for rank, failure in enumerate(given):
            if isinstance(failure, _Failure) and rank != self.rank:
                raise ProcessError(f"process {rank} has failed: {failure.message}")
        return given

    def _all_gather_objects(self, value: Any, timeout: timedelta | None = None) -> list[Any]:
        data = _as_bytes(value)
        sizes = [int(size) for size in self._all_gather(torch.tensor([len(data)]), timeout)]
        padded = torch.cat([data, data.new_zeros(max(sizes) - len(data))])
        gathered = self._all_gather(padded, timeout)
        return [pickle.loads(part[:n].numpy().tobytes()) for part, n in zip(gathered, sizes, strict=True)]

    def _all_gather(self, own: Tensor, timeout: timedelta | None) -> Tensor:
        given = own.new_empty(self.world_size * len(own))
        with _until_released(given, own):
            work = all_gather(given, own, group=self._host_group, async_op=True)
            assert work is not None
            if timeout is None:
                work.wait()
            else:
                work.wait(timeout)
            del work
        return given.view(self.world_size, -1)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context in which an error of this process reaches the others, in place of what they wait for next."""
        try:
            yield
        except BaseException as error:
            self.report(error)
            raise

    def report(self, error: BaseException) -> None:
        """Tell the other processes of an error, once; not of one that they have told, or have as well.

        Those who do not ask in time are in the middle of a step: they find a notice when this process has hung up.
        """
        if self._notices is not None and error is not self._last_error and not isinstance(error, ProcessError):
            self._last_error = error
            message = f"{type(error).__name__}: {error}"
            self._notices.post(message)
            try:
                self._all_gather_objects(_Failure(message), _LAST_WORDS)
            except Exception:
                hang_up(self.rank)
            else:
                self._notices.remove()

    def from_main(self, make: Callable[[], _Result]) -> _Result:
        """What process 0 makes, or the error that it raises, for all of them."""
        if self.world_size == 1:
            return make()
        made, error = None, None
        if self.is_main:
            try:
                made = make()
            except Exception as raised:
                error = raised
        shown = error if error is None or _survives_pickling(error) else ProcessError(f"process 0: {error!r}")
        (data,) = self.send([_as_bytes((made, shown))] if self.is_main else None, 0)
        if not self.is_main:
            made, shown = pickle.loads(data.numpy().tobytes())
        if shown is not None:
            raise shown if error is None else error
        return made  # type: ignore[return-value]

    def send(self, tensors: list[Tensor] | None, source: int) -> list[Tensor]:
        """The tensors of one process for all of them, on the CPU; those of the others are not looked at."""
        own = [tensor.detach().cpu().contiguous() for tensor in tensors or []] if self.rank == source else []
        kinds = self.exchange([(tensor.dtype, tuple(tensor.shape)) for tensor in own])[source]
        sent = own if self.rank == source else [torch.empty(shape, dtype=dtype) for dtype, shape in kinds]
        for tensor in sent:
            data = tensor.view(-1).view(torch.uint8)
            with self._connection(), _until_released(data):
                distributed.broadcast(data, source, group=self._host_group)
        return sent

    @torch.no_grad()
    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the values that tensors have in process 0."""
        if self.world_size > 1:
            held = list(tensors)
            for tensor, value in zip(held, self.send(held, 0), strict=True):
                tensor.copy_(value)

    def check_replicas(self, tensors: Mapping[str, Tensor]) -> None:
        """Check that all processes hold the same tensors, bit by bit. Raises ProcessError."""
        digests = self.exchange({name: digest(tensor) for name, tensor in tensors.items()})
        for rank, others in enumerate(digests):
            for name, expected in digests[0].items():
                if others.get(name) != expected:
                    raise ProcessError(
                        f"process {rank} and process 0 hold different values of {name!r}: something has changed it in "
                        "one of them alone, such as a callback, or a layer with a buffer of the rows that it has seen"
                    )

    def check_settings(self, what: str, settings: Mapping[str, Any]) -> None:
        """Check that all processes have the same settings, JSON data. Raises ProcessError."""
        if self.world_size == 1:
            return
        given = self.exchange(json.loads(json.dumps(settings, default=str)))
        for rank, others in enumerate(given):
            for name in [*given[0], *others]:
                first, other = given[0].get(name), others.get(name)
                if first != other:
                    raise ProcessError(
                        f"all processes must have the same {what}, but {name!r} is {first!r} in process 0 and "
                        f"{other!r} in process {rank}; give them the same"
                    )

    def check_device(self, device: torch.device) -> None:
        """Check that no other process trains on the same accelerator. Raises ProcessError."""
        places = self.exchange((socket.gethostname(), str(device)))
        if self.world_size > 1 and device.type != "cpu" and len(set(places)) < len(places):
            raise ProcessError(
                f"each process needs a device of its own, but several are on {device} of the same machine; leave the "
                "device out or give Engine('cuda'), start at most one process per device, and set LOCAL_RANK or call "
                "torch.cuda.set_device where it is not torchrun that starts them"
            )


def join() -> Processes:
    """The processes of the program's process group, or of the launcher that started it; else this process alone.

    A group that is made here ends with the program. The CUDA device becomes that of LOCAL_RANK. Raises RuntimeError for
    a launcher that has not said all that a process group needs, or a process that does not come.
    """
    if not distributed.is_available() or not (distributed.is_initialized() or init_group()):
        return Processes()
    size = distributed.get_world_size()
    if size == 1:
        return Processes()
    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return Processes(distributed.get_rank(), size, host_group())


@contextmanager
def _until_released(*tensors: Tensor) -> Iterator[None]:
    """A context of a collective operation, after which gloo's threads hold these tensors no more.

    They let go of them a little after the operation is over, and enter Python for that. If the process forks at that
    moment, as a DataLoader does to start its workers, then before Python 3.12 the child waits forever for a lock.
    """
    hosts = [tensor for tensor in tensors if tensor.device.type == "cpu"]
    before = [_holders(tensor) for tensor in hosts]
    yield
    deadline = time.monotonic() + 1
    for tensor, count in zip(hosts, before, strict=True):
        while _holders(tensor) > count and time.monotonic() < deadline:
            time.sleep(0)


def _holders(tensor: Tensor) -> int:
    """How many references there are to a tensor outside of Python."""
    return tensor._use_count()  # pyright: ignore[reportAttributeAccessIssue]  # torch has no stub for it


def _as_bytes(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)


def _survives_pickling(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def digest(tensor: Tensor) -> str:
    """The SHA-256 of a tensor's values."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return hashlib.sha256(data).hexdigest()

"""A function of tensors whose work is captured once, on CUDA as a CUDA graph, and then launched as a whole.

A step of a small network is hundreds of kernels, many of which take less time than their launch. A graph launches all
of them at once. It reads and writes the memory that was there when it was captured, and none of its Python runs again.
So all that a call depends on is one of three things:

- its inputs, which are copied into those of the graph;
- its state, which is written in place; if a tensor of it is another one, or lies elsewhere, all graphs are dropped;
- its kind: each kind of call has a graph of its own, captured after a few plain calls of this kind, which count.

Source: CUDA Graphs, https://docs.pytorch.org/docs/stable/notes/cuda.html; and torch/cuda/graphs.py of torch 2.13.
"""

import random
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from operator import is_
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor

from infogan_lib.data.rng import device_rng, preserve_rng
from infogan_lib.step.metrics import Row

WARM_UP = 3
"""The number of plain calls of a kind before it is captured: moments are made, and libraries choose their kernels."""

MOST_KINDS = 32
"""The number of kinds of call after which it is no use to capture more of them."""

_Made = TypeVar("_Made")


class CaptureError(RuntimeError):
    """Why a call cannot be captured; what it has changed is to be restored."""


class Capture(Protocol):
    """How the work of functions is captured."""

    def warm_up(self, function: Callable[[], _Made], *, is_last: bool) -> _Made:
        """Call a function that will be captured, after the last such call."""
        ...

    def capture(self, function: Callable[[], Row]) -> tuple[Callable[[], None], Row]:
        """What does the work of a function on the same memory, and the function's row, which that writes anew.

        A capture does no work itself. Raises an error if the function cannot be captured.
        """
        ...


class CudaCapture:
    """Capture on a CUDA device, of functions that draw from these generators and the device's global one."""

    def __init__(self, device: torch.device, rngs: Sequence[torch.Generator]) -> None:
        self._device = device
        self._rngs = [rng for rng in (*rngs, device_rng(device)) if rng is not None]
        # Handles and workspaces of libraries belong to a stream, so warm-up and capture have the same one.
        self._stream = torch.cuda.Stream(device)
        self._alive = WeakSet[torch.cuda.CUDAGraph]()

    def warm_up(self, function: Callable[[], _Made], *, is_last: bool) -> _Made:
        """Call a function that will be captured, after the last such call.

        Raises CaptureError if it waits for the device, which in a capture torch would not recover from.
        """
        computing, mode = torch.cuda.current_stream(self._device), torch.cuda.get_sync_debug_mode()
        self._stream.wait_stream(computing)
        with warnings.catch_warnings(record=is_last) as caught, torch.cuda.stream(self._stream):
            try:
                if is_last:
                    warnings.simplefilter("always")
                    torch.cuda.set_sync_debug_mode("warn")
                made = function()
            finally:
                if is_last:  # setting it warns
                    torch.cuda.set_sync_debug_mode(mode)
                computing.wait_stream(self._stream)
        for warning in caught or ():
            if "called a synchronizing" in str(warning.message):
                raise CaptureError(f"it waits for the device in line {warning.lineno} of {warning.filename}")
            if "Synchronization debug mode" not in str(warning.message):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return made

    def capture(self, function: Callable[[], Row]) -> tuple[Callable[[], None], Row]:
        """See `Capture`."""
        graph = torch.cuda.CUDAGraph()
        # Graphs can share memory, as a row is copied before the next graph is launched. It ends with the last of them.
        pool = next((other.pool() for other in self._alive), None) or torch.cuda.graph_pool_handle()
        # The end of an invalid capture does not leave its stream. A DataLoader's thread may go on pinning memory.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            for rng in self._rngs:
                graph.register_generator_state(rng)
            torch.clear_autocast_cache()  # it would hold casts that no replay renews
            try:
                with torch.cuda.graph(graph, pool, self._stream, capture_error_mode="thread_local"):
                    made = function()
            except BaseException:
                self._recover(pool)
                raise
            finally:
                torch.clear_autocast_cache()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        self._alive.add(graph)
        return graph.replay, made

    def _recover(self, pool: Any) -> None:
        """End what the end of an invalid capture leaves: generators and an allocator that take it to be under way."""
        try:
            torch._C._cuda_endAllocateToPool(self._device.index, pool)
        except RuntimeError:
            return  # the capture was valid, and has ended
        torch._C._cuda_releasePool(self._device.index, pool)
        for rng in self._rngs:
            with suppress(RuntimeError):
                rng.graphsafe_set_state(rng.clone_state())


class _Graph(NamedTuple):
    inputs: list[Tensor]
    replay: Callable[[], None]
    row: Row


class Graphs:
    """The graphs of a function.

    Args:
        capture: How work is captured.
        state: Returns the tensors of the state, as they are now.
        capturing: The context of a capture.

    Attributes:
        captured: How many graphs were captured.
    """

    def __init__(
        self,
        capture: Capture,
        state: Callable[[], list[Tensor]],
        capturing: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._capture, self._find_state, self._capturing = capture, state, capturing
        self._state: list[Tensor] = []
        self._memory: list[Tensor] = []  # kept, so that no other tensor can come to lie there
        self._addresses: list[int] = []
        self._made: dict[Any, int | _Graph] = {}  # by kind, the number of plain calls until there is a graph
        self._kinds, self.captured = 0, 0
        self._last_kind: Any = ()

    def __call__(self, function: Callable[[list[Tensor]], Row], inputs: list[Tensor], kind: Any) -> Row:
        """Call a function, or launch the graph of its kind: all else that decides what it does, as a named tuple.

        Returns the row, which the next call may write anew. Raises CaptureError if the function cannot be captured.
        """
        if not self._has(state := self._find_state()):
            self._made.clear()
            self._state, self._memory = state, [tensor.detach() for tensor in state]
            self._addresses = [tensor.data_ptr() for tensor in state]
        made = self._made.get(kind, 0)
        if made == 0:
            self._count(kind)
        if isinstance(made, int) and made < WARM_UP:
            row = self._capture.warm_up(lambda: function(inputs), is_last=made == WARM_UP - 1)
            self._made[kind] = made + 1
            return row
        graph = self._captured(function, inputs) if isinstance(made, int) else made
        self._made[kind] = graph
        for own, given in zip(graph.inputs, inputs, strict=True):
            own.copy_(given)
        graph.replay()
        torch.autograd.graph.increment_version(self._state)  # as operators do that write into them
        return graph.row

    def drop(self) -> None:
        """Drop all graphs, as after a change that neither a kind nor a state tells."""
        self._made.clear()

    def _captured(self, function: Callable[[list[Tensor]], Row], inputs: list[Tensor]) -> _Graph:
        inputs, draws = [tensor.clone() for tensor in inputs], _host_rng()
        raised: list[Exception] = []

        def noting_errors() -> Row:
            try:
                return function(inputs)
            except Exception as error:
                raised.append(error)
                raise

        try:
            with preserve_rng(torch.device("cpu")), self._capturing():
                replay, row = self._capture.capture(noting_errors)
                has_drawn = _host_rng() != draws
        except BaseException as error:
            self._made.clear()  # other graphs may draw from generators that are not the trainer's any more
            if not isinstance(error, Exception):
                raise
            cause = (*raised, error)[0]  # the end of an invalid capture raises an error of its own
            raise CaptureError(f"{type(cause).__name__}: {cause}") from cause
        if has_drawn:
            raise CaptureError("it draws from a generator of the host: random, numpy.random or torch's on the CPU")
        self.captured += 1
        return _Graph(inputs, replay, row)

    def _has(self, state: list[Tensor]) -> bool:
        """Whether the state is the one that the graphs read and write, which no ``parameter.data = ...`` has moved."""
        has_these = len(state) == len(self._state) and all(map(is_, state, self._state))
        return has_these and list(map(Tensor.data_ptr, state)) == self._addresses

    def _count(self, kind: Any) -> None:
        if self._kinds == MOST_KINDS:
            changed = [name for name, a, b in zip(kind._fields, kind, self._last_kind, strict=True) if a != b]
            what = " and ".join(changed) or "tensors, which it should write into and not replace,"
            raise CaptureError(f"its {what} changed more than {MOST_KINDS} times")
        self._kinds, self._last_kind = self._kinds + 1, kind


def _host_rng() -> tuple[Any, ...]:
    """The states of the global generators of the host."""
    return torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002

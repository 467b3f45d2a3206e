"""A function of tensors on the CPU, recorded as the operators that it calls, which then run without the rest of it.

A step of a small network spends most of its time between operators: in modules, in autograd and in optimizers. What is
recorded is a `torch.fx.Graph` of operators. They read and write tensors that were there before (weights, moments,
inputs) where these lie, and make all others anew in each run. So a run does what the function does, bit by bit, if
nothing in the function depends on values but through operators; what reads values is refused.

Source: torch.fx, https://docs.pytorch.org/docs/stable/fx.html; and torch/utils/_python_dispatch.py of torch 2.13.
"""

import keyword
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.fx.node import base_types
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves, tree_map
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib.step.metrics import Row

_Made = TypeVar("_Made")

_READS = ("numpy", "tolist", "__array__", "__dlpack__", "data_ptr")
"""Methods of a tensor that read its memory without an operator."""

_DEPENDS_ON_VALUES = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_MASKS = (torch.bool, torch.uint8)


class CpuCapture:
    """Capture on the CPU, of functions that draw from these generators and torch's global one."""

    def __init__(self, rngs: Sequence[torch.Generator]) -> None:
        self._rngs = [*rngs, torch.default_generator]

    def warm_up(self, function: Callable[[], _Made], *, is_last: bool) -> _Made:
        """See `Capture`; a recording needs no preparation."""
        return function()

    def capture(self, function: Callable[[], Row]) -> tuple[Callable[[], None], Row]:
        """See `Capture`. Raises RuntimeError if the function reads values, or if a shape in it depends on them."""
        states, recording = [rng.get_state() for rng in self._rngs], _Recording()
        try:
            with _NoReads(), recording:
                row = function()
        finally:  # a capture does no work
            recording.undo()
            for rng, state in zip(self._rngs, states, strict=True):
                rng.set_state(state)
        run = recording.compile(row.tensor)

        def replay() -> None:
            # Below autograd and autocast, as they were recorded; in the grad mode that a run sets, and leaves here.
            with torch._C._AutoDispatchBelowAutograd(), torch.no_grad(), torch.autocast("cpu", enabled=False):
                row.tensor.copy_(run())

        return replay, row


class _NoReads(TorchFunctionMode):
    """Refuses to read values without an operator. Raises RuntimeError."""

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := getattr(func, "__name__", "")) in _READS:
            raise RuntimeError(f"it reads values by Tensor.{name}, which a run of the recorded step would not do")
        return func(*args, **kwargs or {})


class _Recording(TorchDispatchMode):
    """Records operators as a graph.

    Tensors are known by their place, as autograd returns what it has saved as other objects. Memory that an operator
    has made may be freed before the recording ends, and its key must not be that of other memory then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._graph, self._has_grad = fx.Graph(), False
        self._constants: dict[fx.Node, Any] = {}
        self._nodes: dict[Any, fx.Node] = {}  # by the place of a tensor
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # memory that was there before, and its copy, by key
        self._made: dict[int, StorageWeakRef] = {}  # memory that an operator has made, by key

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        _check_operator(func, tensors)
        for tensor in tensors:
            if (key := _memory_key(tensor)) not in self._made and key not in self._before:
                memory = torch.empty(0, dtype=torch.uint8, device="cpu").set_(tensor.untyped_storage())
                self._before[key] = memory, memory.clone()
        arguments = tree_map(self._reference, (args, kwargs))
        made = func(*args, **kwargs)
        results = made if isinstance(made, (tuple, list)) else (made,)
        is_new = [isinstance(x, Tensor) and _memory_key(x) not in self._before for x in results]
        if func.is_view and not any(is_new):
            return made  # what was there before, and needs no operator
        if (has_grad := torch.is_grad_enabled()) != self._has_grad:
            self._graph.call_function(torch._C._set_grad_enabled, (has_grad,))
            self._has_grad = has_grad
        node = self._call(func, *arguments)
        for i, result in enumerate(results):
            if is_new[i] and (place := _place(result)) not in self._nodes:
                is_only = result is made
                self._nodes[place] = node if is_only else self._graph.call_function(operator.getitem, (node, i))
                # As long as there is a weak reference, no other memory has this key.
                self._made.setdefault(_memory_key(result), StorageWeakRef(result.untyped_storage()))
        return made

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        if keyword.iskeyword(func._overloadname):  # such as aten.random_.from, which cannot be written in Python
            return self._graph.call_function(_apply, (self._constant(func, id(func)), *args), kwargs)
        return self._graph.call_function(func, args, kwargs)

    def undo(self) -> None:
        """Restore the memory that was there before."""
        for memory, copy in self._before.values():
            memory.copy_(copy)

    def compile(self, result: Tensor) -> Callable[[], Tensor]:
        """A function that calls the recorded operators, and returns the tensor that is in place of `result`."""
        self._graph.output(self._reference(result))
        self._graph.eliminate_dead_code(lambda node: not _only_looks(node))
        forward = fx.GraphModule(nn.Module(), self._graph).forward
        return partial(forward, *(self._constants[node] for node in self._graph.nodes if node.op == "placeholder"))

    def _reference(self, value: Any) -> Any:
        """What stands in the graph for an argument of an operator."""
        if not isinstance(value, Tensor):
            return value if value is None or isinstance(value, base_types) else self._constant(value, id(value))
        place = _place(value)
        if place not in self._nodes and _memory_key(value) not in self._made:
            return self._constant(value.detach(), place)
        return self._nodes[place]

    def _constant(self, value: Any, key: Any) -> fx.Node:
        if key not in self._nodes:
            with self._graph.inserting_before():
                self._nodes[key] = self._graph.placeholder(f"constant_{len(self._constants)}")
            self._constants[self._nodes[key]] = value
        return self._nodes[key]


def _check_operator(func: Any, tensors: Sequence[Tensor]) -> None:
    """Check that an operator does the same in each run. Raises RuntimeError."""
    is_lookup = func is torch.ops.aten.index.Tensor and not any(t.dtype in _MASKS for t in tensors[1:])
    if not is_lookup and not _DEPENDS_ON_VALUES.isdisjoint(func.tags):
        raise RuntimeError(f"it reads values by {func}, which no recorded step does")
    if torch.Tag.inplace_view in func.tags:
        raise RuntimeError(f"it changes the shape of a tensor in place by {func}")
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or is_traceable_wrapper_subclass(tensor):
            raise RuntimeError(f"it uses {describe(tensor)}, which is no strided tensor on the CPU")


def _apply(func: Callable[..., _Made], *args: Any, **kwargs: Any) -> _Made:
    return func(*args, **kwargs)


def _only_looks(node: fx.Node) -> bool:
    return node.target is operator.getitem or bool(getattr(node.target, "is_view", False))


def _memory_key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor lies and how it is read."""
    how = tensor.dtype, tensor.is_conj(), tensor.is_neg()
    return _memory_key(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), *how

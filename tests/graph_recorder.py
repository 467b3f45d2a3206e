"""A CUDA graph in Python: operators are recorded with the tensors that they were called on, and run on them again.

As in a capture on a device, the work is not done while it is recorded, values cannot be read, generators must be
registered, and no Python code runs in a replay.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from infogan_lib.step.graph import CudaCapture
from infogan_lib.step.step_graphs import StepGraphs

REFUSED = ("_local_scalar_dense", "nonzero", "equal", "masked_select")


class Recorder(TorchDispatchMode):
    """Records operators, and undoes at its end what they have done.

    Args:
        rngs: The generators that may be drawn from.
    """

    def __init__(self, rngs: Sequence[torch.Generator]) -> None:
        super().__init__()
        self._rngs = [*rngs, torch.default_generator]
        self._calls: list[tuple[Any, ...]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._made: set[int] = set()

    def __enter__(self):
        self._states = [rng.get_state() for rng in self._rngs]
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        for memory, copy in self._before.values():
            memory.copy_(copy)
        for rng, state in zip(self._rngs, self._states, strict=True):
            rng.set_state(state)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.__name__.split(".")[0]
        leaves, registered = tree_leaves((args, kwargs)), {rng._cdata for rng in self._rngs}
        if name in REFUSED:
            raise RuntimeError("operation not permitted when stream is capturing")
        if any(isinstance(x, torch.Generator) and x._cdata not in registered for x in leaves):
            raise RuntimeError("a generator that is not registered")
        for x in leaves:
            if isinstance(x, Tensor) and (key := x.untyped_storage()._cdata) not in self._made | {*self._before}:
                memory = torch.empty(0, dtype=torch.uint8, device=x.device).set_(x.untyped_storage())
                self._before[key] = memory, memory.clone()
        made = func(*args, **kwargs)
        if all(result.alias_info is None for result in func._schema.returns):
            results = [x for x in tree_leaves(made) if isinstance(x, Tensor)]
            self._made |= {x.untyped_storage()._cdata for x in results}
        else:
            results = []  # a view, or what was written in place
        # A replay on a device does not count in the versions of tensors, and `.data` has a version of its own.
        self._calls.append((func, *tree_map_only(Tensor, lambda x: x.data, (args, kwargs, results))))
        return made

    @torch.no_grad()
    def replay(self) -> None:
        """Do the work on the same memory."""
        for func, args, kwargs, results in self._calls:
            made = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
            for result, value in zip(results, made if results else [], strict=True):
                result.copy_(value)


class RecordingCapture(CudaCapture):
    """Captures by a `Recorder`.

    Args:
        rngs: The generators that captured functions draw from.
    """

    def __init__(self, rngs: Sequence[torch.Generator]) -> None:
        self._rngs = rngs
        self.replays = 0

    def warm_up(self, function: Callable[[], Any], *, is_last: bool) -> Any:
        """Call the function."""
        return function()

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Record the function."""
        recorder = Recorder(self._rngs)
        with recorder:
            made = function()

        def replay() -> None:
            self.replays += 1
            recorder.replay()

        return replay, made


def record_graphs(trainer: Any, choice: Any = True) -> RecordingCapture:
    """Let a trainer capture its steps by a `Recorder`."""
    capture = RecordingCapture([trainer.streams[name] for name in trainer.streams.state_dict()])
    trainer._step.graphs = StepGraphs(trainer._step, capture, choice)
    return capture

"""The tensors of a module that must be finite: weights, running statistics of normalizations, and learned priors.

Other buffers may hold anything, such as a mask of -inf.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import can_compute
from infogan_lib.checkpoints.compare import without_wrappers
from infogan_lib.checkpoints.disk import CheckpointError
from infogan_lib.model.priors import LearnedPriors
from infogan_lib.step.metrics import total_norm


class FiniteWeights:
    """The weights, running statistics and learned priors of several modules."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._weights = [p for module in modules for p in module.parameters() if p.is_floating_point()]
        parts = [(f"{name}.", part) for module in modules for name, part in module.named_modules()]
        self._norms = [(name, part) for name, part in parts if isinstance(part, nn.modules.batchnorm._NormBase)]
        self._priors = [(name, part) for name, part in parts if isinstance(part, LearnedPriors)]

    @torch.no_grad()
    def norm(self) -> Tensor:
        """The norm of all as one vector: not finite if one of them is not, or if some are very large."""
        return total_norm([*self._weights, *(statistic for _, statistic in self._statistics())])

    def first_not_finite(self) -> str | None:
        """The name of the first that is not finite now."""
        return _first_not_finite(self._named())

    def check_state(self, path: Path, states: Iterable[Any]) -> None:
        """Check that saved weights, tensors by name for each module, are finite. Raises CheckpointError."""
        names = {without_wrappers(name) for name, _ in self._named()}
        for tensors in states:
            named = tensors.items() if isinstance(tensors, Mapping) else ()
            known = [(n, t) for n, t in named if isinstance(t, Tensor) and without_wrappers(str(n)) in names]
            weights = ((n, t) for n, t in known if can_compute(t.dtype))  # another dtype is refused as such
            if (name := _first_not_finite(weights)) is not None:
                raise CheckpointError(
                    path, f"its weight {name!r} is NaN or infinite; resume from an earlier checkpoint"
                )

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for module in self._modules:
            yield from ((name, p) for name, p in module.named_parameters() if p.is_floating_point())
        yield from self._statistics()

    def _statistics(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._norms:
            if module.running_mean is not None and module.running_var is not None:
                yield prefix + "running_mean", module.running_mean
                yield prefix + "running_var", module.running_var
        for prefix, priors in self._priors:
            yield from ((prefix + name, prior) for name, prior in priors.named_buffers())


def _first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    return next((name for name, tensor in tensors if not tensor.isfinite().all()), None)

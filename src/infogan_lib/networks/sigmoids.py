"""The logits of a discriminator that ends in a Sigmoid: what that Sigmoid receives.

Taken from there they are exact, while the logarithm of a probability that was rounded to 1 is not.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from infogan_lib.losses.information import at_least_float32

_IN_PLACE = frozenset({torch.sigmoid_, Tensor.sigmoid_})

_SIGMOIDS = frozenset({torch.sigmoid, torch.special.expit, Tensor.sigmoid}) | _IN_PLACE


class SigmoidCall(NamedTuple):
    """One of the Sigmoids of a forward pass: its number in the order of calls, and how many calls there are."""

    number: int
    calls: int


class RecordSigmoids(TorchFunctionMode):
    """Appends to a list what each Sigmoid in a forward pass receives and returns: a pair (logits, probabilities)."""

    def __init__(self, calls: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.calls = calls

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in _SIGMOIDS:
            return func(*args, **(kwargs or {}))
        operand = args[0] if args else (kwargs or {})["input"]
        logits = operand.clone() if func in _IN_PLACE else operand
        probabilities = func(*args, **(kwargs or {}))
        self.calls.append((logits, probabilities))
        return probabilities


def find_call(calls: Sequence[tuple[Tensor, Tensor]], validity: Tensor) -> SigmoidCall | None:
    """Which Sigmoid of a dry run made D's output, by its place in memory; None if D computed on from there."""
    for number, (_, probabilities) in reversed(list(enumerate(calls))):
        if probabilities.numel() == validity.numel() and probabilities.data_ptr() == validity.data_ptr():
            return SigmoidCall(number, len(calls))
    return None


def logits_of(validity: Tensor, calls: Sequence[tuple[Tensor, Tensor]], call: SigmoidCall | None) -> Tensor:
    """The logits of the probabilities that D returned, in their shape.

    They are what `call`, one of the Sigmoids of this forward pass, received. Where it is not known, or this pass has
    another number of calls, the Sigmoid is inverted.
    """
    if call is not None and call.calls == len(calls):
        logits = calls[call.number][0]
        if logits.numel() == validity.numel():
            return logits.reshape(validity.shape)
    p = at_least_float32(validity)
    p = p.clamp(torch.finfo(p.dtype).tiny, 1 - torch.finfo(p.dtype).eps / 2)
    return p.log() - (-p).log1p()

"""What a callback may be told of."""

from collections.abc import Iterable, Mapping
from typing import Any

from infogan_lib._checks import describe

Trainer = Any
"""An `InfoGANTrainer`, which is built above this module; annotate it so in a callback of yours."""


class Callback:
    """What `InfoGANTrainer.fit` tells of; subclass it and override what you need."""

    def on_fit_start(self, trainer: Trainer, total_steps: int | None) -> None:
        """Before the first step. `total_steps` is what `trainer.steps` will be at the end, where that is known."""

    def on_step_end(self, trainer: Trainer, figures: Mapping[str, float]) -> None:
        """After every step, with its figures; `trainer.steps` counts it already."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After every whole epoch; `trainer.epochs` counts it already."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last step, also when an error ended the run."""

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints keep of the callback: tensors, numbers, strings, and lists, tuples and dicts of them."""
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Go on from what `state_dict` gave; called before `on_fit_start`."""


def stateful_among(callbacks: Iterable[Callback]) -> list[Callback]:
    """Those with a state of their own, which checkpoints keep.

    Raises:
        TypeError: something that is no callback.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be Callback objects, but got {describe(callback)}")
    return [callback for callback in callbacks if type(callback).state_dict is not Callback.state_dict]

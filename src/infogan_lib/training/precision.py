"""Numeric precision of the forward passes: float32, or mixed with bfloat16 or float16."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from infogan_lib._checks import choice

PrecisionName = Literal["fp32", "bf16", "fp16"]


class Precision:
    """Autocasting, and loss scaling where float16 needs it. Weights and losses stay in their own precision.

    Args:
        name: "fp32" leaves everything as it is (a float64 model stays float64); "bf16" and "fp16" run the
            networks under `torch.autocast`, the latter with a `torch.amp.GradScaler`.
        device: where the networks run.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        choice("precision", name, ("fp32", "bf16", "fp16"))
        self.name = name
        self._device = device.type
        self._dtype = torch.float16 if name == "fp16" else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    @contextmanager
    def forward(self) -> Iterator[None]:
        """The context of a forward pass: autocasting."""
        with torch.autocast(self._device, self._dtype, enabled=self.name != "fp32"):
            yield

    def backward(self, loss: Tensor, inputs: list[torch.nn.Parameter], *, keeps_graph: bool = False) -> None:
        """Add the gradient of a loss to these parameters and to no others."""
        if inputs:
            self.scaler.scale(loss).backward(inputs=inputs, retain_graph=keeps_graph)

    def step(self, optimizers: list[Optimizer]) -> None:
        """Step the optimisers with the unscaled gradients, skipping one whose scaled gradients overflowed."""
        for optimizer in optimizers:
            self.scaler.step(optimizer)

    def reset(self) -> None:
        """Forget a step that was cut off; the scale stays."""
        if self.scaler.is_enabled():
            state = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self._device, enabled=True)
            self.scaler.load_state_dict(state)

    def adapt(self) -> None:
        """Choose the next loss scale from whether gradients overflowed since the last choice."""
        self.scaler.update()


def chosen_device(device: torch.device | str) -> torch.device:
    """The device asked for; for "auto" CUDA where there is one, else the CPU.

    Raises:
        ValueError: no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device must be 'auto' or a device of this machine such as 'cpu', but got {device!r}: {error}"
        ) from error
    return found

"""Where and how the networks run: device, precision, and micro-batches of a step."""

from dataclasses import dataclass
from typing import Literal

import torch

from infogan_lib._checks import check_choice, check_int, describe
from infogan_lib.training.precision import PrecisionName


@dataclass(frozen=True)
class Engine:
    """Where and how the networks run.

    Args:
        device: "auto" for CUDA where there is one, else the CPU; or any torch device.
        precision: "fp32", or the networks under autocast with "bf16" or "fp16"; "auto" for "bf16" where the device
            computes in it, else "fp32".
        accumulation_steps: micro-batches per step, to save memory. Their gradients add up to the whole batch's, except
            through layers and terms that look at a batch (BatchNorm, `RealImageInformation`, `ModeSeeking`), which see
            one micro-batch at a time.

    Raises:
        TypeError: a setting of another type.
        ValueError: an unknown precision, or fewer than one micro-batch.
    """

    device: torch.device | str | Literal["auto"] = "auto"
    precision: PrecisionName | Literal["auto"] = "fp32"
    accumulation_steps: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.device, (str, torch.device)):
            raise TypeError(
                f"engine.device must be 'auto' or a torch device such as 'cpu', but got {describe(self.device)}"
            )
        check_choice("engine.precision", self.precision, ("fp32", "bf16", "fp16", "auto"))
        steps = check_int("engine.accumulation_steps", self.accumulation_steps, minimum=1)
        object.__setattr__(self, "accumulation_steps", steps)

    def torch_device(self) -> torch.device:
        """The requested device, with its index; for "auto" CUDA where there is one, else the CPU.

        Raises:
            ValueError: no such device on this machine.
        """
        wanted = self.device
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            return torch.empty(0, device=torch.device(wanted)).device
        except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"engine.device must be 'auto' or a device of this machine such as 'cpu', but got {wanted!r}: {error}"
            ) from error

    def precision_on(self, device: torch.device) -> PrecisionName:
        """The precision on a device: as given, or for "auto" what the device computes in."""
        if self.precision != "auto":
            return self.precision
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        return "bf16" if device.type == "cpu" and cpu_computes_bf16() else "fp32"


def cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16 products; elsewhere they are slower than in float32."""
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private in torch 2.13
    return any(getattr(torch.cpu, name, lambda: False)() for name in features)

"""Where and how the networks run: device, precision, TF32, and micro-batches of a step."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from infogan_lib._checks import check_bool, check_choice, check_int, describe, shorten
from infogan_lib._keywords import explains_arguments
from infogan_lib.networks.introspection import has_float64
from infogan_lib.step.precision import PrecisionName


@explains_arguments(**dict.fromkeys(("amp", "autocast", "dtype"), 'did you mean precision="bf16"?'))
@dataclass(frozen=True)
class Engine:
    """Where and how the networks run.

    Args:
        device: "auto" for the accelerator that `torch.accelerator` names (CUDA, XPU or MPS), else the CPU; or any torch
            device. With `torchrun`, "auto" and "cuda" are each process's own CUDA device.
        precision: "fp32", or the networks under autocast with "bf16" or "fp16"; "auto" for "bf16" where the device
            computes in it, else "fp32".
        tf32: Whether CUDA may round the factors of float32 convolutions and products to TF32 (10 bits of mantissa) in
            training steps. None leaves torch's own settings, by which convolutions do and products do not.
        compile: Whether `torch.compile` compiles G, D and Q in training steps, which takes minutes at first. The
            modules and the names of their weights stay as they are.
        accumulation_steps: Micro-batches per step, to save memory. Their gradients add up to the whole batch's, except
            through layers and terms that look at a batch (BatchNorm, `RealImageInformation`, `ModeSeeking`), which see
            one micro-batch at a time.
        sync_batchnorm: Whether BatchNorm normalizes by the mean and variance of the rows of all processes, as on one
            process. False is another training, in which each process normalizes its rows by their own, as under
            DistributedDataParallel.
        graph: Whether steps are captured, and then run without their Python: on CUDA as CUDA graphs, on the CPU as
            lists of operators, which is worth it for small networks. "auto" for plain steps, with a warning that says
            why, where they cannot be captured. Python code in a step, such as your augmentation, runs only in captures.

    Raises:
        TypeError: a setting of another type.
        ValueError: an unknown precision, or fewer than one micro-batch.
    """

    device: torch.device | str | Literal["auto"] = "auto"
    precision: PrecisionName | Literal["auto"] = "fp32"
    accumulation_steps: int = 1
    tf32: bool | None = None
    compile: bool = False
    sync_batchnorm: bool = True
    graph: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        if not isinstance(self.device, (str, torch.device)):
            raise TypeError(
                f"engine.device must be 'auto' or a torch device such as 'cpu', but got {describe(self.device)}"
            )
        check_choice("engine.precision", self.precision, ("fp32", "bf16", "fp16", "auto"))
        if self.tf32 is not None:
            check_bool("engine.tf32", self.tf32)
        check_bool("engine.compile", self.compile)
        check_bool("engine.sync_batchnorm", self.sync_batchnorm)
        if not isinstance(self.graph, bool) and not (isinstance(self.graph, str) and self.graph == "auto"):
            raise TypeError(f"engine.graph must be False, True or 'auto', but got {describe(self.graph)}")
        steps = check_int("engine.accumulation_steps", self.accumulation_steps, minimum=1)
        object.__setattr__(self, "accumulation_steps", steps)

    def torch_device(self) -> torch.device:
        """The requested device, with its index; for "auto" the accelerator of this machine, else the CPU.

        Raises:
            ValueError: no such device on this machine.
        """
        wanted = self.device
        if wanted == "auto":
            wanted = torch.accelerator.current_accelerator(check_available=True) or "cpu"
        try:
            device = torch.empty(0, device=torch.device(wanted)).device
            if device.type == "meta" and self.device != "auto":
                raise TypeError("its tensors hold no values")
            return device
        except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"engine.device must be 'auto' or a device of this machine such as 'cpu', but got "
                f"{shorten(wanted)}: {str(error)[:200]}"
            ) from error

    def precision_on(self, device: torch.device) -> PrecisionName:
        """The precision on a device: as given, or for "auto" what the device computes in."""
        if self.precision != "auto":
            return self.precision
        if device.type in ("cuda", "xpu"):
            computes_bf16 = getattr(torch, device.type).is_bf16_supported(including_emulation=False)
            return "bf16" if computes_bf16 else "fp32"
        return "bf16" if device.type == "cpu" and cpu_computes_bf16() else "fp32"

    def check_dtypes(self, model: nn.Module, device: torch.device) -> None:
        """Check that a device computes in the dtypes of a model.

        Raises:
            ValueError: a float64 weight or buffer, on a device without float64.
        """
        if has_float64(device):
            return
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.dtype == torch.float64:
                raise ValueError(
                    f"engine.device must compute in float64, as {name!r} is, but got {str(device)!r}, which does not; "
                    "convert the networks with .float(), or give Engine('cpu')"
                )


def cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16 products; elsewhere they are slower than in float32."""
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private in torch 2.13
    return any(getattr(torch.cpu, name, lambda: False)() for name in features)

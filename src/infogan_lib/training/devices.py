"""The device that training runs on."""

import torch


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

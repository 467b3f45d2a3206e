"""A pytest plugin that puts a false CUDA device into a CPU build of torch.

    PYTHONPATH=tests pytest -p false_cuda -m cuda
    PYTHONPATH=tests INFOGAN_TEST_DEVICE=cuda pytest -p false_cuda tests/step tests/training

From then on `torch.cuda.is_available()` is true, and the library's CUDA path runs: its branches, autocast, GradScaler,
pinned memory. Refused as on CUDA: tensors of two devices in one operator. `WAITS` counts every wait of the host by the
line of the library that it is in. A copy to pinned memory that was not waited for holds NaN until the host has waited.

It must come before torch is imported, which looks for CUDA once; the device cannot be removed from the process again.
What it cannot show: numbers, speed, memory, streams, capture.
"""

import contextlib
import ctypes
import importlib
import os
import sys
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from false_cuda.build import NAME, build, torch_libraries

LIBRARY = str(Path(__file__).parents[2] / "src" / "infogan_lib")

WAITS: Counter[tuple[str, str]] = Counter()
"""How often the host has waited, by the kind of wait and by the innermost lines of the library."""


def launches() -> int:
    """How many operators ran on the device since `reset`; views are none."""
    return sum(_device.launches().values())


def reset() -> None:
    """Forget all waits and launches."""
    WAITS.clear()
    _device.reset()


def _note(kind: str, operator: str) -> None:
    frame, lines = sys._getframe(1), []
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARY):
            lines.append(f"{os.path.relpath(frame.f_code.co_filename, LIBRARY)}:{frame.f_lineno}")
        frame = frame.f_back
    WAITS[kind, " < ".join(lines[:3]) or operator] += 1
    if _debugging and kind not in ("event", "synchronize"):
        warnings.warn("called a synchronizing CUDA operation", stacklevel=2)


_debugging: list[str] = []


def _set_sync_debug_mode(mode: str) -> None:
    _debugging[:] = [mode] if mode == "warn" else []


def _load():
    if "torch" in sys.modules:
        raise RuntimeError("the false CUDA device must be loaded before torch: pytest -p false_cuda")
    path = build()
    for name in ("torch_global_deps", "c10", "torch_cpu", "torch", "torch_python"):
        ctypes.CDLL(str(torch_libraries() / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(path.parent))
    importlib.import_module("torch")
    device = importlib.import_module(NAME)
    device.install()
    return device


def _synchronize(*_: object) -> None:
    _device.finish_copies()
    _note("synchronize", "torch.cuda")


class _Event:
    """The events of a device whose only stream is up to date at once, except for copies to pinned memory."""

    def __init__(self, **_: object) -> None:
        pass

    def record(self, stream: object = None) -> None:
        """Nothing: a wait finishes all copies."""

    def wait(self, stream: object = None) -> None:
        """Nothing: there is one stream."""

    def query(self) -> bool:
        """Whether all work before the event is done."""
        return False

    def synchronize(self) -> None:
        """Wait for all work before the event."""
        _device.finish_copies()
        _note("event", "torch.cuda.Event")


class _Stream:
    """The streams of a device that computes at once, in any stream."""

    def __init__(self, device: object = None, **_: object) -> None:
        self.device = device

    def wait_stream(self, stream: object) -> None:
        """Nothing: all work is done."""

    def synchronize(self) -> None:
        """Wait for all work."""
        _synchronize()


def _start() -> None:
    """What torch's Python code asks of CUDA, answered for one device."""
    import torch

    cuda, private = torch.cuda, torch._C
    answers = {"_cuda_getDevice": 0, "_cuda_getDeviceCount": 1, "_cuda_getCurrentRawStream": 0, "_cuda_init": None}
    answers |= {"_cuda_isCurrentStreamCapturing": False, "_cuda_exchangeDevice": 0, "_cuda_maybeExchangeDevice": 0}
    for name, answer in answers.items():
        setattr(private, name, lambda *_, answer=answer: answer)
    properties = SimpleNamespace(major=9, minor=0, multi_processor_count=132, name="false", total_memory=8 * 2**30)
    answers = {"is_available": True, "init": None, "_lazy_init": None, "current_device": 0, "device_count": 1}
    answers |= {"get_device_properties": properties, "get_device_capability": (9, 0), "get_device_name": "false"}
    answers |= {"is_bf16_supported": True, "set_device": None, "get_sync_debug_mode": 0}
    answers |= {"_exchange_device": 0, "_maybe_exchange_device": 0}
    answers |= {"memory_reserved": 0, "memory_allocated": 0, "max_memory_allocated": 0}
    answers |= {"mem_get_info": (4 * 2**30, 8 * 2**30)}
    for name, answer in answers.items():
        setattr(cuda, name, lambda *_, answer=answer, **__: answer)
    cuda._initialized, cuda.default_generators = True, (_device.default_rng(),)
    cuda._lazy_call = lambda call, **_: call()
    cuda.set_sync_debug_mode = _set_sync_debug_mode
    cuda.synchronize, cuda.Event, cuda.Stream = _synchronize, _Event, _Stream
    cuda.current_stream, cuda.stream = _Stream, lambda stream: contextlib.nullcontext()
    torch.Tensor.record_stream = lambda tensor, stream: None
    clone = torch.storage._StorageBase.clone

    def clone_storage(storage):
        if storage.device.type != "cuda":
            return clone(storage)
        return torch.empty(0, dtype=torch.uint8, device="cuda").set_(storage).clone().untyped_storage()

    torch.storage._StorageBase.clone = torch.UntypedStorage.clone = clone_storage
    _device.on_wait(_note)


_device = _load()
_start()

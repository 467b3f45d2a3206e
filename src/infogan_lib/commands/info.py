"""``infogan info``: versions and devices, for reports of bugs. Asks no network."""

import argparse
import os
import platform
import sys
from importlib import metadata
from typing import Any

import torch

from infogan_lib._version import __version__

PACKAGES = (
    "numpy",
    "matplotlib",
    "pillow",
    "scipy",
    "scikit-learn",
    "tqdm",
    "tensorboard",
    "pandas",
    "onnx",
    "onnxruntime",
    "huggingface_hub",
    "safetensors",
)
"""The packages of the extras."""


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser("info", help="print versions and devices, for reports of bugs")
    parser.set_defaults(run_command=show)


def show(options: argparse.Namespace) -> None:
    """Print a line for each fact."""
    facts = collect()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def collect() -> dict[str, str]:
    """Versions of this library, torch, Python and the packages of the extras, the system, and the devices."""
    return {
        "infogan-lib": __version__,
        "torch": torch.__version__,
        "Python": sys.version.split()[0],
        "system": platform.platform(),
        "CPU": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "accelerator": _accelerator(),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _accelerator() -> str:
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return "none"
    count = torch.accelerator.device_count()
    if device.type != "cuda":
        return f"{device.type}, {count} devices"
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
    return f"CUDA {torch.version.cuda}: {names}"

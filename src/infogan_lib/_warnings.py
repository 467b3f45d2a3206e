"""Warnings that point at the line of the user's program that called the library."""

import contextlib
import os
import sys
import warnings
from pathlib import Path

import torch

_INSIDE = (f"{Path(__file__).parent}{os.sep}", f"{Path(torch.__file__).parent}{os.sep}", contextlib.__file__)
"""Where the files are whose frames are passed over; Python 3.12 has `skip_file_prefixes` for this."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is neither of the library nor of what calls it back, torch and contextlib."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)

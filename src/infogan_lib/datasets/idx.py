"""MNIST's files, and those of other data sets in their format, gzipped or raw.

Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*, which describes the IDX format.
"""

import gzip
import os
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import check_choice, check_path

_MAX_BYTES, _CHUNK = 2**34, 2**24

PREFIXES = {"train": "train", "test": "t10k"}


class DataFileError(ValueError):
    """A missing or damaged data file."""


def mnist(folder: str | os.PathLike[str], split: Literal["train", "test"] = "train") -> tuple[Tensor, Tensor]:
    """MNIST, or another data set in its format, such as Fashion-MNIST.

    Args:
        folder: The folder with `train-images-idx3-ubyte.gz` and the three other files, gzipped or raw.
        split: "train" or "test".

    Returns:
        Images (N, 1, H, W) as uint8, and labels (N,) as int64.

    Raises:
        DataFileError: A file is missing or damaged.
    """
    folder, prefix = check_path("folder", folder), PREFIXES[check_choice("split", split, ("train", "test"))]
    images = read_idx(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
    labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1)
    if len(images) != len(labels):
        raise DataFileError(f"{folder} has {len(images)} {split} images, but {len(labels)} labels for them")
    return images.unsqueeze(1), labels.long()


def read_idx(folder: Path, name: str, *, dimensions: int) -> Tensor:
    """Read an IDX file of unsigned bytes.

    Args:
        folder: The folder of the file.
        name: The name of the file, without ".gz".
        dimensions: The number of dimensions that it should have.

    Returns:
        A uint8 tensor of the shape that the file's header gives.

    Raises:
        DataFileError: The file is missing or damaged.
    """
    path, content = unpacked(folder, name)
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataFileError(f"{path} is damaged: not an IDX file of bytes with {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if 0 in shape:
        raise DataFileError(f"{path} holds nothing: its header says {shape}")
    if len(content) != header + prod(shape):
        raise DataFileError(f"{path} is damaged: {len(content):,} bytes, but its header says {header + prod(shape):,}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())


def unpacked(folder: Path, name: str) -> tuple[Path, bytes]:
    """The path of a file that may be gzipped, and its content unpacked, as far as its header announces it.

    Raises:
        DataFileError: The file is missing or damaged.
    """
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise DataFileError(f"no file {name}.gz or {name} in {folder}; it must be the folder of MNIST's four files")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return path, _read(file)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataFileError(f"{path} is damaged: {error or 'it does not fit into memory'}") from error


def _read(file: BinaryIO | gzip.GzipFile) -> bytes:
    """The content of a file up to a byte more than its header announces: a small gzip file may unpack to terabytes."""
    content = bytearray(file.read(4))
    content += file.read(4 * content[-1] if len(content) == 4 else 0)
    sides = struct.unpack(f">{len(content) // 4 - 1}I", content[4 : len(content) // 4 * 4]) if len(content) > 4 else ()
    end = len(content) + min(prod(sides), _MAX_BYTES) + 1
    while len(content) < end and (part := file.read(min(_CHUNK, end - len(content)))):
        content += part
    return bytes(content)

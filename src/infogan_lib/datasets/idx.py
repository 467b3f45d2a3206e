"""MNIST's files, and those of other data sets in their format, gzipped or raw.

Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*, which describes the IDX format.
"""

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import check_choice, check_path

PREFIXES = {"train": "train", "test": "t10k"}

_CHUNK = 1 << 20


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
    """Read an IDX file of unsigned bytes, as a uint8 tensor of the shape that its header gives.

    The file has the `name`, or that with ".gz". Raises DataFileError if it is missing or damaged.
    """
    length = 4 + 4 * dimensions
    with open_unpacked(folder, name) as (path, file):
        header = file.read(length)
        if len(header) < length or header[:4] != bytes([0, 0, 8, dimensions]):
            raise DataFileError(f"{path} is damaged: not an IDX file of bytes with {dimensions} dimensions")
        shape = struct.unpack(f">{dimensions}I", header[4:])
        if 0 in shape:
            raise DataFileError(f"{path} holds nothing: its header says {shape}")
        most = _memory() // 2
        content = _read_up_to(file, min(prod(shape), most) + 1)  # a small file may unpack to more than the memory holds
    if len(content) > most:
        raise DataFileError(
            f"{path} holds {prod(shape):,} bytes, which do not fit into the memory of this machine beside what trains "
            "on them; take fewer, or write a Dataset that reads each image when it is asked for"
        )
    if len(content) != prod(shape):
        count = "more" if len(content) > prod(shape) else f"{length + len(content):,}"
        raise DataFileError(f"{path} is damaged: {count} bytes, but its header says {length + prod(shape):,}")
    return torch.from_numpy(np.frombuffer(content, np.uint8).reshape(shape))


def _memory() -> int:
    """The bytes of memory of this machine, or more than any has where the system does not tell (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**62


def _read_up_to(file: IO[bytes], count: int) -> bytearray:
    """At most so many bytes of a file, in memory that grows with what there is and not with what was asked for."""
    content = bytearray()
    while len(content) < count and (part := file.read(min(_CHUNK, count - len(content)))):
        content += part
    return content


@contextmanager
def open_unpacked(folder: Path, name: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a file of the `name`, or that with ".gz", which is unpacked as it is read. Yields its path and the file.

    Raises DataFileError if it is missing or damaged.
    """
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise DataFileError(f"no file {name}.gz or {name} in {folder}; it must be the folder of MNIST's four files")
    packed = path.suffix == ".gz"
    try:
        with path.open("rb") as opened, gzip.GzipFile(fileobj=opened) if packed else opened as file:
            yield path, cast(IO[bytes], file)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataFileError(f"{path} is damaged: {error or 'it does not fit into memory'}") from error

"""MNIST from its four IDX files, gzipped or raw, checked before use."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BUNDLED = Path(__file__).parent / "data" / "mnist"

# Of the unpacked files, so that they hold for gzipped and raw copies alike.
MD5_OF_MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataFileError(ValueError):
    """A data file that is missing or damaged."""


def load_mnist(folder: Path = BUNDLED) -> dict[str, tuple[Tensor, Tensor]]:
    """Images (N, 1, H, W) and labels (N,), both uint8, under "train" and "test".

    The bundled files must be MNIST to the byte. Other folders may hold any data set in MNIST's format and names.

    Raises:
        DataFileError: naming the file that is missing or damaged, and how.
    """
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
        labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1)
        if len(images) != len(labels):
            raise DataFileError(f"{folder} has {len(images)} {split} images, but {len(labels)} labels for them")
        splits[split] = (images.unsqueeze(1), labels)
    return splits


def read_idx(folder: Path, name: str, *, dimensions: int) -> Tensor:
    """One IDX file of unsigned bytes as a tensor."""
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise DataFileError(f"no file {name}.gz or {name} in {folder}; --data must name the folder of the four files")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(f"{path} is damaged: {error}") from error
    if folder == BUNDLED and hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5_OF_MNIST[name]:
        raise DataFileError(f"{path} is damaged: its content is not MNIST's (MD5 of the unpacked file)")
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataFileError(f"{path} is damaged: it is no IDX file of bytes with {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise DataFileError(f"{path} is damaged: {len(content)} bytes, but its header speaks of {expected}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())

"""Read MNIST from its four IDX files, gzipped or raw, and check them."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BUNDLED = Path(__file__).parent / "data" / "mnist"

# Of the unpacked files, so that they apply to gzipped and raw copies alike.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataFileError(ValueError):
    """A missing or damaged data file."""


def load_mnist(folder: Path = BUNDLED) -> dict[str, tuple[Tensor, Tensor]]:
    """Load MNIST, or another data set in its format.

    Args:
        folder: Folder of the four files. The bundled ones must be MNIST byte for byte; others may hold any data set in
            MNIST's format and file names.

    Returns:
        Images (N, 1, H, W) and labels (N,), both uint8, under "train" and "test".

    Raises:
        DataFileError: If a file is missing or damaged.
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
    """Read an IDX file of unsigned bytes.

    Args:
        folder: Folder of the file.
        name: Name of the file, without ".gz".
        dimensions: Number of dimensions it should have.

    Returns:
        A uint8 tensor of the shape that the file's header gives.

    Raises:
        DataFileError: If the file is missing or damaged.
    """
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise DataFileError(f"no file {name}.gz or {name} in {folder}; --data must name the folder of the four files")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(f"{path} is damaged: {error}") from error
    if folder == BUNDLED and hashlib.md5(content, usedforsecurity=False).hexdigest() != MNIST_MD5[name]:
        raise DataFileError(f"{path} is damaged: its content is not MNIST's (MD5 of the unpacked file)")
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataFileError(f"{path} is damaged: not an IDX file of bytes with {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise DataFileError(f"{path} is damaged: {len(content)} bytes, but its header says {expected}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())

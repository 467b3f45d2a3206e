"""The MNIST files that lie beside the examples, checked byte for byte."""

import hashlib
import struct
from pathlib import Path

from torch import Tensor

from infogan_lib.datasets import DataFileError, mnist

BUNDLED = Path(__file__).parent / "data" / "mnist"

# Of the unpacked files, so that they apply to gzipped and raw copies alike.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def load_mnist(folder: Path = BUNDLED) -> dict[str, tuple[Tensor, Tensor]]:
    """Load MNIST, or another data set in its format.

    Args:
        folder: Folder of the four files. The bundled ones must be MNIST byte for byte; others may hold any data set in
            MNIST's format and file names.

    Returns:
        Images (N, 1, H, W) as uint8 and labels (N,) as int64, under "train" and "test".

    Raises:
        DataFileError: If a file is missing or damaged.
    """
    data = {"train": mnist(folder), "test": mnist(folder, "test")}
    if folder == BUNDLED:
        parts = [part for images, labels in data.values() for part in (images.squeeze(1), labels.byte())]
        for (name, md5), part in zip(MNIST_MD5.items(), parts, strict=True):
            content = struct.pack(f">4B{part.ndim}I", 0, 0, 8, part.ndim, *part.shape) + part.numpy().tobytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                raise DataFileError(
                    f"{folder / name} is damaged: its content is not MNIST's (MD5 of the unpacked file)"
                )
    return data

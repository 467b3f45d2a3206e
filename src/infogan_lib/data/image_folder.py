"""A folder of pictures as a data set. Needs Pillow (extra `viz`)."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from infogan_lib._checks import check_choice, check_int, check_name, check_path, describe, importing, one_line
from infogan_lib._warnings import warn

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""The endings of files that are read."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded, whatever a file's ending says: Pillow reads many more, and runs Ghostscript for some."""

_NAMED = 5

_LARGE, _large_pictures = 2**24, Lock()
"""From how many pixels on pictures are decoded one at a time, as each may need a gigabyte."""


class ImageFolder(Dataset[Tensor | tuple[Tensor, int]]):
    """The pictures in a folder, as bytes of one size.

    Each sub-folder is a class, with all that is below it, and items are (image, label); without sub-folders items are
    images. A picture is scaled to cover the size and cropped at its center; one of 16 bits keeps the upper eight. All
    files are read once when the data set is made, so that a damaged one is found before training.

    Args:
        folder: The folder. Files of other endings than pictures have, and what begins with a dot, are left out.
        size: Height and width of the images; one number for both.
        mode: "RGB", or "L" for grayscale.

    Attributes:
        files: The pictures in order.
        classes: The names of the sub-folders in order; empty without sub-folders.
        labels: The class of each picture, as an index into `classes`; empty without sub-folders.
        unreadable: Files that could not be read, which are left out with a warning.

    Shape:
        An image is a uint8 Tensor (3, H, W), or (1, H, W) in mode "L".

    Raises:
        ImportError: Pillow is not installed.
        FileNotFoundError: there is no such folder.
        ValueError: no picture that can be read, or pictures both in sub-folders and beside them.
    """

    def __init__(self, folder: str | os.PathLike[str], size: int | Sequence[int], *, mode: str = "RGB") -> None:
        with importing("ImageFolder", "pillow", "viz"):
            import PIL.Image  # noqa: F401 - what reads the files
        root = check_path("folder", folder)
        self._size, self._mode = _height_and_width(size), check_choice("mode", mode, ("RGB", "L"))
        if not root.is_dir():
            raise FileNotFoundError(f"folder must be a folder of pictures, but there is none at {root}")
        beside = _pictures([path for path in root.iterdir() if path.is_file()])
        found = {
            path.name: _pictures(path.rglob("*")) for path in sorted(root.iterdir()) if path.is_dir() and _shown(path)
        }
        found = {check_name("the name of a sub-folder", name): files for name, files in found.items() if files}
        if beside and found:
            raise ValueError(
                f"{root} holds pictures both in sub-folders, such as {next(iter(found))!r}, and beside them, such as "
                f"{beside[0].name!r}; move them all into sub-folders, one per class, or all out of them"
            )
        files = beside or [path for files in found.values() for path in files]
        self.unreadable = self._find_unreadable(files, root)
        bad = set(self.unreadable)
        self.files = [path for path in files if path not in bad]
        if not self.files:
            count = f"none of its {len(files)} pictures can be read" if files else "it holds no pictures"
            raise ValueError(f"folder must hold pictures that can be read, but {root}: {count}")
        read = {name: [path for path in of_class if path not in bad] for name, of_class in found.items()}
        self.classes = [name for name, of_class in read.items() if of_class]
        self.labels = [label for label, name in enumerate(self.classes) for _ in read[name]]

    def _find_unreadable(self, files: Sequence[Path], root: Path) -> list[Path]:
        with ThreadPoolExecutor() as pool:
            errors = dict(zip(files, pool.map(self._error_of, files), strict=True))
        bad = {path: error for path, error in errors.items() if error is not None}
        if bad:
            named = "; ".join(f"{path.relative_to(root)}: {error}" for path, error in list(bad.items())[:_NAMED])
            more = f"; and {len(bad) - _NAMED} more, see .unreadable" if len(bad) > _NAMED else ""
            warn(f"{len(bad)} of {len(files)} pictures in {root} cannot be read and are left out: {named}{more}")
        return list(bad)

    def _error_of(self, path: Path) -> str | None:
        """Why a file cannot be read; None where it can."""
        try:
            self._read(path)
        except Exception as error:  # the decoders of Pillow raise errors of many kinds
            return _reason(error)
        return None

    def _read(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps

        height, width = self._size
        with Image.open(path, formats=_FORMATS) as opened, _turn_of(opened):
            picture = _as_bytes(ImageOps.exif_transpose(opened)).convert(self._mode)
            pixels = np.array(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))
        return torch.from_numpy(pixels).reshape(height, width, -1).permute(2, 0, 1).contiguous()

    def __len__(self) -> int:
        return len(self.files)

    @override
    def __getitem__(self, index: int) -> Tensor | tuple[Tensor, int]:
        try:
            image = self._read(self.files[index])
        except Exception as error:  # the decoders of Pillow raise errors of many kinds
            raise OSError(f"{self.files[index]} could be read before, and cannot be now: {_reason(error)}") from error
        return (image, self.labels[index]) if self.labels else image


def _height_and_width(size: object) -> tuple[int, int]:
    sides = list(size) if isinstance(size, Sequence) and not isinstance(size, (str, bytes)) else [size, size]
    if len(sides) != 2:
        raise ValueError(f"size must be a whole number or (height, width), but got {describe(size)}")
    height, width = (check_int("size", side, minimum=1, maximum=2**16) for side in sides)
    return height, width


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if _shown(path) and path.suffix.lower() in SUFFIXES and path.is_file())


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error, 200)}"


def _turn_of(picture: "Image") -> AbstractContextManager[Any]:
    """What to hold while a picture is decoded.

    Raises ValueError for more pixels than Pillow warns of: a small file may unpack to gigabytes.
    """
    from PIL import Image

    count, most = picture.width * picture.height, Image.MAX_IMAGE_PIXELS
    if most is not None and count > most:
        raise ValueError(f"it has {count:,} pixels, more than PIL.Image.MAX_IMAGE_PIXELS = {most:,}, which you may set")
    return _large_pictures if count >= _LARGE else nullcontext()


def _as_bytes(picture: "Image") -> "Image":
    """A picture with pixels of 8 bits; Pillow's own conversion would clip deeper ones to white.

    Raises ValueError for floats, whose range is not known, and for more than 16 bits.
    """
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floats of no known range")
    if picture.mode.startswith("I"):
        pixels = np.array(picture)
        if pixels.min() < 0 or pixels.max() >= 2**16:
            raise ValueError(f"its pixels are from {pixels.min():,} to {pixels.max():,}, and at most 16 bits are read")
        return Image.fromarray((pixels >> 8).astype(np.uint8))
    return picture

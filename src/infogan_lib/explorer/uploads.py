"""An uploaded picture as an image of the model's shape and range.

Nothing in the file is trusted. Its length is limited, its format is recognized by the first bytes, and its size in
pixels is read from the header and limited, all before anything is decoded. Needs Pillow.
"""

import io
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import describe
from infogan_lib.data.pixels import PixelRange

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 2**20
"""The longest file that is accepted."""

MAX_PIXELS = 25_000_000
"""The most pixels of a picture."""

MIN_SIDE = 4
"""The fewest pixels along a side of a picture."""

Fit = Literal["crop", "pad", "stretch"]
"""How a picture gets the model's shape: cropped to its center, padded with a border, or stretched."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"

_OTHER_FORMATS = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
}


class UploadError(ValueError):
    """An upload cannot be used; the message is one line for the page."""


def make_room(folder: Path, max_bytes: int) -> None:
    """Remove the oldest files in a folder until those that are left have at most `max_bytes` in all."""
    files = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another request may have removed it
            status = path.stat()
            if path.is_file():
                files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            return
        with suppress(OSError):
            path.unlink()
            total -= size


def image_tensor(
    data: bytes,
    image_shape: tuple[int, ...],
    pixel_range: PixelRange,
    *,
    fit: Fit = "crop",
    invert: bool = False,
) -> Tensor:
    """Turn the bytes of a PNG or JPEG file into an image for `InfoGAN.encode`.

    Transparent pixels become white, 16 bits become 8, and the rotation in a photo's EXIF data is applied.

    Args:
        data: Bytes of the file.
        image_shape: Shape of the image, (1 or 3, H, W). Colors are averaged to gray, gray is repeated to colors.
        pixel_range: Values of black and white.
        fit: How the picture gets the shape (H, W).
        invert: Whether to swap black and white, for dark strokes on paper if the model knows light ones on black.

    Returns:
        The image, shape (1, C, H, W), in `pixel_range`.

    Raises:
        UploadError: If the file is no PNG or JPEG, damaged, animated, too large or too small, or `fit` is unknown.
    """
    if fit not in get_args(Fit):
        raise UploadError(f"fit must be 'crop', 'pad' or 'stretch', but got {describe(fit)}")
    picture = open_picture(data, "L" if image_shape[0] == 1 else "RGB")
    pixels = np.asarray(_resize(picture, (image_shape[2], image_shape[1]), fit), dtype=np.float32) / 255
    unit = torch.from_numpy(1 - pixels if invert else pixels)
    unit = unit[None] if unit.ndim == 2 else unit.permute(2, 0, 1)
    low, high = pixel_range
    return (unit * (high - low) + low)[None].contiguous()


def open_picture(data: Any, mode: Literal["L", "RGB"]) -> "Image.Image":
    """Decode a PNG or JPEG file into gray ("L") or color ("RGB"). Raises `UploadError` as `image_tensor` does."""
    from PIL import ImageOps
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    _check_bytes(data)
    try:
        # The two decoders themselves: Image.open would try others too, and warn about sizes that are refused here.
        reader = PngImageFile if data.startswith(_PNG) else JpegImageFile
        with reader(io.BytesIO(data)) as picture:
            _check_size(*picture.size)
            if getattr(picture, "is_animated", False):
                raise UploadError("this picture is animated; upload a single frame of it as PNG or JPEG")
            picture.load()
            return _to_opaque_8_bit(ImageOps.exif_transpose(picture)).convert(mode)
    except UploadError:
        raise
    except Exception:
        # Decoders raise errors of many types for damaged files; for the user they all mean the same.
        raise UploadError("this picture is damaged or incomplete; save it anew as PNG or JPEG") from None


def _check_bytes(data: Any) -> None:
    if not isinstance(data, bytes) or not data:
        raise UploadError("this file is empty; upload a picture as PNG or JPEG")
    if len(data) > MAX_BYTES:
        raise UploadError(f"this file has {len(data) / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} MiB are read")
    if data.startswith((_PNG, _JPEG)):
        return
    kind = next((name for start, name in _OTHER_FORMATS.items() if data.startswith(start)), None)
    if kind is None and b"<svg" in data[:1000].lower():
        kind = "an SVG"
    raise UploadError(f"this file is {kind or 'not a known kind of picture'}; upload it as PNG or JPEG")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UploadError(f"this picture has {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    if min(width, height) < MIN_SIDE:
        raise UploadError(f"this picture has {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed")


def _to_opaque_8_bit(picture: "Image.Image") -> "Image.Image":
    """Scale 16 bits to 8, and put transparent pixels on white."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray((np.asarray(picture).astype(np.float32) / 257).clip(0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba)
    return picture


def _resize(picture: "Image.Image", size: tuple[int, int], fit: Fit) -> "Image.Image":
    from PIL import Image, ImageOps

    smooth = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(picture, size, smooth)
    if fit == "pad":
        # Not ImageOps.pad, which shrinks a narrow strip to no pixels.
        scale = min(size[0] / picture.width, size[1] / picture.height)
        small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), smooth)
        background = Image.new(picture.mode, size, _edge_color(picture))
        background.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
        return background
    return picture.resize(size, smooth)


def _edge_color(picture: "Image.Image") -> Any:
    """The mean of the outermost pixels."""
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    mean = edge.mean(axis=0).round().astype(int)
    return int(mean) if mean.ndim == 0 else tuple(mean.tolist())

"""A picture that somebody uploads, as an image of the model's shape and range.

Nothing in the bytes is trusted. Their number is bounded, then the kind is told from the first of them, then the size in
pixels is read from the header and bounded; only what passes is decoded. Needs Pillow.
"""

import io
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from infogan_lib._checks import describe
from infogan_lib.data.pixels import PixelRange

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 2**20
"""The largest file that is read."""

MAX_PIXELS = 25_000_000
"""The most pixels that are decoded."""

MIN_SIDE = 4
"""The fewest pixels along a side in which there is anything to see."""

Fit = Literal["crop", "pad", "stretch"]
"""How a picture of another shape becomes the model's: its middle, all of it with a border, or pulled to fit."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"

_OTHERS = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
}


class UploadError(ValueError):
    """A picture that cannot be read; the message is one line for the page."""


def image_tensor(
    data: bytes,
    image_shape: tuple[int, ...],
    pixel_range: PixelRange,
    *,
    fit: Fit = "crop",
    invert: bool = False,
) -> Tensor:
    """The bytes of a PNG or JPEG file as one image for `InfoGAN.encode`.

    Transparent places become white; 16 bits become 8; a rotation noted by a camera is carried out.

    Args:
        data: the file.
        image_shape: (1 or 3, H, W); colours are averaged into grey, grey stands for all colours.
        pixel_range: what black and white are.
        fit: how it gets the shape (H, W).
        invert: swap black and white, for dark strokes on paper where the model knows light ones on black.

    Returns:
        Shape (1, C, H, W), in `pixel_range`.

    Raises:
        UploadError: no PNG or JPEG, damaged, animated, too large or too small; `fit` is none of the three.
    """
    if fit not in get_args(Fit):
        raise UploadError(f"fit must be 'crop', 'pad' or 'stretch', but got {describe(fit)}")
    picture = decoded(data, "L" if image_shape[0] == 1 else "RGB")
    pixels = np.asarray(_fitted(picture, (image_shape[2], image_shape[1]), fit), dtype=np.float32) / 255
    unit = torch.from_numpy(1 - pixels if invert else pixels)
    unit = unit[None] if unit.ndim == 2 else unit.permute(2, 0, 1)
    low, high = pixel_range
    return (unit * (high - low) + low)[None].contiguous()


def decoded(data: Any, mode: Literal["L", "RGB"]) -> "Image.Image":
    """The bytes of a PNG or JPEG file as a picture in grey or colour.

    Raises:
        UploadError: as `image_tensor`.
    """
    from PIL import ImageOps
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    _check_bytes(data)
    try:
        # The decoders themselves: Image.open would try others too, and warn of sizes that are refused here.
        reader = PngImageFile if data.startswith(_PNG) else JpegImageFile
        with reader(io.BytesIO(data)) as picture:
            _check_size(*picture.size)
            if getattr(picture, "is_animated", False):
                raise UploadError("this picture is animated; upload a single frame of it as PNG or JPEG")
            picture.load()
            return _opaque(ImageOps.exif_transpose(picture)).convert(mode)
    except UploadError:
        raise
    except Exception:
        # Decoders meet damaged files with errors of every kind, and all of them mean the same to whoever uploaded it.
        raise UploadError("this picture is damaged or incomplete; save it anew as PNG or JPEG") from None


def _check_bytes(data: Any) -> None:
    if not isinstance(data, bytes) or not data:
        raise UploadError("this file is empty; upload a picture as PNG or JPEG")
    if len(data) > MAX_BYTES:
        raise UploadError(f"this file has {len(data) / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} MiB are read")
    if data.startswith((_PNG, _JPEG)):
        return
    kind = next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
    if kind is None and b"<svg" in data[:1000].lower():
        kind = "an SVG"
    raise UploadError(f"this file is {kind or 'no picture that is known here'}; upload it as PNG or JPEG")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UploadError(f"this picture has {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    if min(width, height) < MIN_SIDE:
        raise UploadError(f"this picture has {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed")


def _opaque(picture: "Image.Image") -> "Image.Image":
    """In a mode that turns into grey or colour as it looks: 16 bits scaled to 8, transparency on white."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray((np.asarray(picture).astype(np.float32) / 257).clip(0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(ground, layered)
    return picture


def _fitted(picture: "Image.Image", size: tuple[int, int], fit: Fit) -> "Image.Image":
    from PIL import Image, ImageOps

    smooth = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(picture, size, smooth)
    if fit == "pad":
        scale = min(size[0] / picture.width, size[1] / picture.height)
        small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), smooth)
        ground = Image.new(picture.mode, size, _border(picture))
        ground.paste(small, ((size[0] - small.width) // 2, (size[1] - small.height) // 2))
        return ground
    return picture.resize(size, smooth)


def _border(picture: "Image.Image") -> Any:
    """The mean of the outermost pixels: what a picture is continued with."""
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    mean = edge.mean(axis=0).round().astype(int)
    return int(mean) if mean.ndim == 0 else tuple(mean.tolist())

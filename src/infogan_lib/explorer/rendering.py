"""Images of a model as one picture: a labeled grid, at a size that suits a screen. Needs Pillow."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib.data.pixels import PixelRange, as_unit
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.viz.grids import tile

if TYPE_CHECKING:
    from PIL import Image

GAP = 4
"""Pixels between two images."""

_TARGET_SIDE, _MAX_SIDE, _MAX_SCALE = 720, 1600, 10

_MAX_BATCH, _MAX_BATCH_VALUES = 256, 2**24

_FONT_SIZE, _TOP_MARGIN = 14, 26


def tile_size(image_shape: Sequence[int], columns: int, rows: int) -> tuple[int, int]:
    """Height and width of each image of a grid: the model's times a whole number, or smaller in a large grid."""
    height, width = image_shape[-2:]
    longest = max(columns * width, rows * height)
    if longest > _MAX_SIDE:
        return max(1, height * _MAX_SIDE // longest), max(1, width * _MAX_SIDE // longest)
    scale = max(1, min(_MAX_SCALE, _TARGET_SIDE // longest))
    return height * scale, width * scale


def decode_pixels(model: InfoGAN, latents: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The model's images for latents (N, L) as bytes (N, height, width, C), in batches that fit in memory."""
    batch_size = max(1, min(_MAX_BATCH, _MAX_BATCH_VALUES // math.prod(model.image_shape)))
    batches = latents.split(batch_size)
    return np.concatenate([to_pixels(model.decode(batch), model.display_range, size) for batch in batches])


def to_pixels(images: Tensor, pixel_range: PixelRange, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Floating-point images (N, C, H, W) as bytes (N, height, width, C), pixels repeated or averaged; NaN is black."""
    unit = F.interpolate(as_unit(images.nan_to_num(pixel_range[0]), pixel_range), size, mode="area")
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def draw_grid(
    pixels: NDArray[np.uint8],
    columns: int,
    *,
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> "Image.Image":
    """Draw images (N, height, width, 1 or 3) row by row, with labels above the columns and left of the rows."""
    from PIL import Image, ImageDraw, ImageFont

    height, width, channels = pixels.shape[1:]
    font = ImageFont.load_default(_FONT_SIZE)
    left = max((int(font.getlength(label)) + 2 * GAP for label in row_labels), default=0)
    left, top = min(left, 2 * _TARGET_SIDE // 5), _TOP_MARGIN if column_labels else 0
    canvas = np.pad(tile(pixels, columns, gap=GAP), ((top, 0), (left, 0), (0, 0)), constant_values=255)
    picture = Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)
    draw = ImageDraw.Draw(picture)
    color = 68 if channels == 1 else (68, 68, 68)
    for i, label in enumerate(column_labels):
        middle = left + i * (width + GAP) + width / 2
        draw.text((middle, top / 2), _shorten(label, font, width + GAP), fill=color, font=font, anchor="mm")
    for i, label in enumerate(row_labels):
        middle = top + i * (height + GAP) + height / 2
        draw.text((left - 2 * GAP, middle), _shorten(label, font, left), fill=color, font=font, anchor="rm")
    return picture


def encode_png(picture: "Image.Image") -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _shorten(label: str, font, max_width: int) -> str:
    label = " ".join(label.split())[:80]
    if font.getlength(label) <= max_width:
        return label
    while len(label) > 1 and font.getlength(label + "…") > max_width:
        label = label[:-1]
    return label + "…"

"""Images of a model as one picture: side by side, with labels, as large as a screen shows well. Needs Pillow."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib.data.pixels import as_unit
from infogan_lib.model.infogan import InfoGAN

if TYPE_CHECKING:
    from PIL import Image

GAP = 4
"""Pixels between two images."""

_WANTED, _LARGEST = 720, 1600

_LARGEST_SCALE = 10

_AT_ONCE = 2**24

_FONT, _MARGIN = 14, 26


def tile_size(image_shape: Sequence[int], columns: int, rows: int) -> tuple[int, int]:
    """The height and width that each image of a grid is shown at: whole multiples, or smaller where it must be."""
    height, width = image_shape[-2:]
    longest = max(columns * width, rows * height)
    if longest > _LARGEST:
        return max(1, height * _LARGEST // longest), max(1, width * _LARGEST // longest)
    scale = max(1, min(_LARGEST_SCALE, _WANTED // longest))
    return height * scale, width * scale


def rendered(model: InfoGAN, latents: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A model's images for latents (N, L) as bytes (N, height, width, C), rendered in parts that fit in memory."""
    at_once = max(1, min(MAX_PART, _AT_ONCE // max(1, int(np.prod(model.image_shape)))))
    parts = [as_bytes(model.decode(part), model.display_range, size) for part in latents.split(at_once)]
    return np.concatenate(parts)


MAX_PART = 256
"""The most images that are rendered in one go."""


def as_bytes(images: Tensor, pixel_range: tuple[float, float], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Floating images (N, C, H, W) in `pixel_range` as bytes (N, height, width, C), pixels repeated or averaged."""
    unit = as_unit(images.detach().float().nan_to_num(pixel_range[0]), pixel_range)
    height, width = size
    larger = height >= unit.shape[2] and width >= unit.shape[3]
    if size != tuple(unit.shape[2:]) and not larger:
        unit = torch.nn.functional.interpolate(unit, size, mode="area")
    pixels = (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    if larger:
        pixels = pixels.repeat(height // pixels.shape[1], axis=1).repeat(width // pixels.shape[2], axis=2)
    return pixels


def sheet(
    pixels: NDArray[np.uint8],
    columns: int,
    *,
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> "Image.Image":
    """Images (N, height, width, 1 or 3) row by row on white, with labels above the columns and left of the rows."""
    from PIL import Image, ImageDraw, ImageFont

    n, height, width, channels = pixels.shape
    rows = -(-n // columns)
    font = ImageFont.load_default(_FONT)
    left = max((int(font.getlength(label)) + 2 * GAP for label in row_labels), default=0)
    left, top = min(left, 2 * _WANTED // 5), _MARGIN if column_labels else 0
    canvas = np.full(
        (top + rows * (height + GAP) - GAP, left + columns * (width + GAP) - GAP, channels), 255, dtype=np.uint8
    )
    for i, image in enumerate(pixels):
        y, x = top + (i // columns) * (height + GAP), left + (i % columns) * (width + GAP)
        canvas[y : y + height, x : x + width] = image
    picture = Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)
    draw = ImageDraw.Draw(picture)
    ink = 68 if channels == 1 else (68, 68, 68)
    for i, label in enumerate(column_labels):
        middle = left + i * (width + GAP) + width / 2
        draw.text((middle, top / 2), _cut(label, font, width + GAP), fill=ink, font=font, anchor="mm")
    for i, label in enumerate(row_labels):
        middle = top + i * (height + GAP) + height / 2
        draw.text((left - 2 * GAP, middle), _cut(label, font, left), fill=ink, font=font, anchor="rm")
    return picture


def png(picture: "Image.Image") -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _cut(label: str, font, room: int) -> str:
    label = " ".join(label.split())[:80]
    if font.getlength(label) <= room:
        return label
    while len(label) > 1 and font.getlength(label + "…") > room:
        label = label[:-1]
    return label + "…"

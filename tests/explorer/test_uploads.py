"""Uploaded pictures: any PNG or JPEG becomes an image of the model's shape, and any other file a one-line error."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from explorer_toys import PICTURE, bare_png, colors, png
from infogan_lib.explorer.uploads import MAX_BYTES, UploadError, image_tensor


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 16, 10)], ids=str)
@pytest.mark.parametrize(
    "data",
    [
        png(colors()),
        png(colors(), "JPEG"),
        png(Image.fromarray(colors()).convert("L")),
        png(Image.fromarray(colors()).convert("1")),
        png(Image.fromarray(colors()).convert("P")),
        png(Image.fromarray(colors()).convert("CMYK"), "JPEG"),
        png(Image.fromarray(colors()).convert("RGBA")),
        png(Image.fromarray(colors()).convert("LA")),
        png((np.arange(2400).reshape(40, 60) * 27).astype(np.uint16)),
        png(colors(4, 4)),
        png(colors(4, 900)),
    ],
    ids=["rgb", "jpeg", "gray", "bilevel", "palette", "cmyk", "alpha", "gray-alpha", "16-bit", "small", "strip"],
)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_any_png_or_jpeg_gets_the_shape_and_range_of_the_model(data, shape, fit):
    image = image_tensor(data, shape, (-1.0, 1.0), fit=fit)
    assert image.shape == (1, *shape)
    assert image.dtype == torch.float32
    assert image.min() >= -1
    assert image.max() <= 1
    assert image.std() > 0.001


def test_pixels_keep_their_values():
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
    image = image_tensor(png(ramp), (1, 8, 8), (-1.0, 1.0))
    torch.testing.assert_close(image[0, 0], torch.from_numpy(ramp) / 127.5 - 1)
    torch.testing.assert_close(image_tensor(png(ramp), (1, 8, 8), (-1.0, 1.0), invert=True), -image)
    wide = (ramp.astype(np.uint16) * 257).reshape(8, 8)
    torch.testing.assert_close(image_tensor(png(wide), (1, 8, 8), (-1.0, 1.0)), image)
    torch.testing.assert_close(image_tensor(png(ramp), (3, 8, 8), (0.0, 1.0))[0, 2], (image[0, 0] + 1) / 2)


def test_transparency_is_white_and_exif_rotation_is_applied():
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[2:4, 2:4, 3] = 255
    image = image_tensor(png(clear), (1, 8, 8), (0.0, 1.0))[0, 0]
    assert image[0, 0] == 1
    assert image[2, 2] == 0
    lying = Image.fromarray(np.repeat(np.linspace(0, 255, 16).astype(np.uint8)[None], 16, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image_tensor(png(lying, "JPEG", exif=exif), (1, 16, 16), (0.0, 1.0))[0, 0]
    assert turned[-1].mean() > turned[0].mean() + 0.8


def test_crop_pad_and_stretch():
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, :10] = 255
    assert image_tensor(png(wide), (1, 10, 10), (0.0, 1.0)).max() == 0
    padded = image_tensor(png(wide), (1, 10, 10), (0.0, 1.0), fit="pad")[0, 0]
    assert padded[5, 0] == 1
    assert 0.2 < padded[0, 0] < 0.5  # the border's mean
    assert image_tensor(png(wide), (1, 10, 10), (0.0, 1.0), fit="stretch")[0, 0, 5, 0] == 1


HOSTILE = {
    "empty": (b"", "this file is empty"),
    "none": (None, "this file is empty"),
    "text": (b"hello", "not a known kind of picture"),
    "truncated png": (PICTURE[:300], "damaged or incomplete"),
    "truncated jpeg": (png(colors(), "JPEG")[:400], "damaged or incomplete"),
    "header only": (PICTURE[:33], "damaged or incomplete"),
    "signature only": (PICTURE[:8], "damaged or incomplete"),
    "flipped": (PICTURE[:60] + bytes(255 - b for b in PICTURE[60:200]) + PICTURE[200:], "damaged or incomplete"),
    "too few data": (bare_png(1000, 1000), "damaged or incomplete"),
    "50,000 square": (bare_png(50_000, 50_000), "50000 x 50000 pixels; at most 25,000,000 are read"),
    "2**31 wide": (bare_png(2**31 - 1, 1), "pixels; at most|damaged"),
    "12,000 square": (bare_png(12_000, 12_000), "12000 x 12000 pixels; at most 25,000,000 are read"),
    "no pixels": (bare_png(0, 0), "0 x 0 pixels; at least 4 x 4|damaged"),
    "one pixel": (png(colors(1, 1)), "1 x 1 pixels; at least 4 x 4 are needed"),
    "gif": (png(Image.fromarray(colors()), "GIF"), "a GIF; upload it as PNG or JPEG"),
    "moving gif": (
        png(Image.fromarray(colors()), "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "a GIF; upload it as PNG or JPEG",
    ),
    "moving png": (
        png(Image.fromarray(colors()), save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "this picture is animated",
    ),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG; upload it as PNG or JPEG"),
    "too long": (PICTURE + bytes(MAX_BYTES), "this file has 20 MiB; at most 20 MiB are read"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE)
def test_broken_and_hostile_uploads_are_one_line_errors(data, message):
    with pytest.raises(UploadError, match=message) as raised:
        image_tensor(data, (1, 8, 8), (-1.0, 1.0))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 120


def test_an_unknown_fit_is_refused():
    with pytest.raises(UploadError, match="fit must be 'crop', 'pad' or 'stretch', but got 'zoom'"):
        image_tensor(PICTURE, (1, 8, 8), (-1.0, 1.0), fit="zoom")


@given(st.binary(max_size=80), st.integers(0, len(PICTURE)), st.booleans())
def test_damaged_files_are_refused_or_decoded(noise, at, jpeg):
    base = png(colors(), "JPEG") if jpeg else PICTURE
    damaged = base[:at] + noise + base[at + len(noise) :]
    try:
        image = image_tensor(damaged, (1, 8, 8), (-1.0, 1.0))
    except UploadError:
        return
    assert image.shape == (1, 1, 8, 8)

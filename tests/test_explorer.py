"""The explorer without a browser: controls, pictures, uploads, run folders, and the page's server where Gradio is."""

import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from custom_code import Angle
from infogan_lib import Bernoulli, Categorical, Gaussian, InfoGAN, LatentSpec, Noise, Uniform, recipes
from infogan_lib.explorer import __main__ as command
from infogan_lib.explorer import explore
from infogan_lib.explorer.bounds import ControlError
from infogan_lib.explorer.controls import Bits, Choice, Sliders, controls_of
from infogan_lib.explorer.controls import Path as Along
from infogan_lib.explorer.look import figure, problem, table
from infogan_lib.explorer.server import Guarded
from infogan_lib.explorer.sheets import as_bytes, sheet, tile_size
from infogan_lib.explorer.uploads import MAX_BYTES, UploadError, image_tensor
from infogan_lib.explorer.views import MAX_IMAGES, MAX_SEED, NOISE_ROWS, Explorer, latents
from infogan_lib.recipes.runs import RunError, load_run
from toys import LATENT, dense_discriminator, dense_generator

# Gradio counts refused requests by means that pandas 3 calls deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning"),
]

SRC = Path(__file__).parent.parent / "src"
ALL = LatentSpec(
    z=Noise(5),
    digit=Categorical(4),
    style=Uniform(2, low=-1, high=3),
    tilt=Gaussian(1),
    bits=Bernoulli(3),
    hand=Angle(),
)
VALUES = {"digit": 2, "style": [0.5, 3.0], "tilt": [-2.0], "bits": [0, 2], "hand": 0.25}
SETTINGS = {"seed": 0, "one_noise": False}


def toy(latent=LATENT, shape=(1, 8, 8), seed=0):
    torch.manual_seed(seed)
    return InfoGAN(dense_generator(latent.width, shape), dense_discriminator(shape), latent)


def png(pixels, kind="PNG", **settings):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def colours(height=40, width=60):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def bare_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


# --- controls and the generator's input


def test_every_code_has_a_control_of_its_kind():
    controls = controls_of(ALL)
    assert {name: type(control) for name, control in controls.items()} == {
        "digit": Choice,
        "style": Sliders,
        "tilt": Sliders,
        "bits": Bits,
        "hand": Along,
    }
    assert (controls["style"].low, controls["style"].high) == (-1, 3)
    assert (controls["tilt"].low, controls["tilt"].high) == (-2, 2)
    assert controls["bits"].axes == ["bits[0]", "bits[1]", "bits[2]"]
    assert controls["tilt"].axes == ["tilt"]


def test_categories_are_called_by_their_names_and_shown_in_their_order():
    control = controls_of(LATENT, {"digit": ("7", None, "10", "2")})["digit"]
    assert control.labels == ("7", "(1)", "10", "2")
    assert [control.labels[i] for i in control.order] == ["2", "7", "10", "(1)"]
    assert [stop.label for stop in control.stops(5)] == ["2", "7", "10", "(1)"]
    assert control.default == 3


def test_latents_hold_exactly_what_was_set():
    rows = latents(ALL, controls_of(ALL), VALUES, count=6, seed=3)
    parts = ALL.split(rows)
    assert rows.shape == (6, ALL.width)
    assert torch.equal(parts["digit"], torch.tensor([0.0, 0, 1, 0]).expand(6, 4))
    assert torch.equal(parts["style"], torch.tensor([0.5, 3.0]).expand(6, 2))
    assert torch.equal(parts["bits"], torch.tensor([1.0, 0, 1]).expand(6, 3))
    torch.testing.assert_close(parts["hand"], torch.tensor([0.0, 1.0]).expand(6, 2), atol=1e-6, rtol=0)
    assert len(parts["z"].unique(dim=0)) == 6


def test_a_seed_stands_for_the_same_noises_whatever_the_count():
    controls = controls_of(ALL)
    many, few = (latents(ALL, controls, VALUES, count=n, seed=3) for n in (64, 5))
    assert torch.equal(many[:5], few)
    one = latents(ALL, controls, VALUES, count=5, seed=3, one_noise=True)
    assert torch.equal(one, many[:1].expand(5, -1))
    assert not torch.equal(latents(ALL, controls, VALUES, count=5, seed=4), few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digit": 4}, "digit must be a number from 0 to 3, but got 4"),
        ({"digit": 1.5}, "digit must be a whole number"),
        ({"digit": None}, "digit must be a number"),
        ({"digit": True}, "digit must be a number"),
        ({"style": [0, 3.1]}, r"style\[1\] must be a number from -1 to 3"),
        ({"style": [float("nan"), 0]}, r"style\[0\] must be a number"),
        ({"style": [float("inf"), 0]}, r"style\[0\] must be a number"),
        ({"style": [0]}, "style takes 2 numbers"),
        ({"style": "ab"}, "style takes 2 numbers"),
        ({"bits": [3]}, "bits must be a number from 0 to 2"),
        ({"bits": [0] * 10**6}, "bits takes a list of the bits that are on"),
        ({"bits": 1}, "bits takes a list"),
        ({"hand": -0.1}, "hand must be a number from 0 to 1"),
        ({"count": 65}, "the number of images must be a number from 1 to 64, but got 65"),
        ({"count": 0}, "the number of images"),
        ({"count": 10**30}, "the number of images"),
        ({"seed": -1}, "the seed must be a number from 0"),
        ({"seed": 2**64}, "the seed"),
        ({"seed": "1"}, "the seed"),
    ],
)
def test_what_a_control_does_not_have_is_refused(change, message):
    with pytest.raises(ControlError, match=message) as raised:
        settings = {"count": 1, "seed": 0} | {k: v for k, v in change.items() if k in ("count", "seed")}
        latents(ALL, controls_of(ALL), VALUES | change, **settings)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_a_missing_control_is_named():
    with pytest.raises(ControlError, match="no value was given for digit"):
        latents(LATENT, controls_of(LATENT), {"style": [0, 0]}, count=1, seed=0)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(st.fixed_dictionaries(dict.fromkeys(ALL.codes, anything)), anything, anything)
def test_no_value_from_a_page_does_more_than_be_refused(values, count, seed):
    try:
        rows = latents(ALL, controls_of(ALL), values, count=count, seed=seed)
    except ControlError:
        return
    assert rows.shape[1] == ALL.width
    assert 1 <= len(rows) <= MAX_IMAGES
    assert rows.isfinite().all()


# --- pictures


def shown(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png)))


def test_the_grid_shows_the_model_s_own_images():
    model = toy()
    explorer = Explorer(model)
    values = explorer.defaults | {"digit": 3}
    picture = explorer.images(values, count=4, **SETTINGS)
    rows = latents(LATENT, explorer.controls, values, count=4, seed=0)
    expected = as_bytes(model.decode(rows), (-1.0, 1.0), tile_size((1, 8, 8), 2, 2))
    tile = expected.shape[1]
    pixels = shown(picture)
    assert pixels.shape == (picture.height, picture.width) == (2 * tile + 4, 2 * tile + 4)
    assert np.array_equal(pixels[:tile, :tile], expected[0, :, :, 0])
    assert np.array_equal(pixels[-tile:, -tile:], expected[3, :, :, 0])
    assert "digit 3; style 0, 0" in picture.caption


def test_codes_noise_and_seed_change_the_picture():
    explorer = Explorer(toy())
    base = explorer.images(explorer.defaults, count=4, **SETTINGS)
    moved = explorer.images(explorer.defaults | {"style": [0.5, 0]}, count=4, **SETTINGS)
    reseeded = explorer.images(explorer.defaults, count=4, seed=1, one_noise=False)
    again = explorer.images(explorer.defaults, count=4, **SETTINGS)
    assert again.png == base.png
    assert len({base.png, moved.png, reseeded.png}) == 3
    alike = explorer.images(explorer.defaults, count=4, seed=0, one_noise=True)
    tile = (alike.width - 4) // 2
    assert np.array_equal(shown(alike)[:tile, :tile], shown(alike)[-tile:, -tile:])
    assert "all alike" in alike.caption


def test_a_sweep_moves_one_code_a_side_and_nothing_else(monkeypatch):
    explorer = Explorer(toy(ALL))
    seen = []
    original = type(explorer)._pixels
    monkeypatch.setattr(Explorer, "_pixels", lambda self, rows, n: (seen.append((rows, n)), original(self, rows, n))[1])
    explorer.sweep(VALUES, seed=0, across="style[1]", down="style[0]", steps=5)
    explorer.sweep(VALUES, seed=0, across="digit", down="bits[1]", steps=5)
    explorer.sweep(VALUES, seed=0, across="hand", down=NOISE_ROWS, steps=5)
    assert "digit 2" not in explorer.sweep(VALUES, seed=0, across="digit", down=NOISE_ROWS, steps=5).caption
    both, discrete, noise = [rows.unflatten(0, (-1, n)) for rows, n in seen[:3]]
    styles = ALL.slices["style"].start
    ends = torch.linspace(-1, 3, 5)
    assert torch.equal(both[:, :, styles + 1], ends.expand(5, 5))
    assert torch.equal(both[:, :, styles], ends[:, None].expand(5, 5))
    others = [i for i in range(ALL.width) if i not in (styles, styles + 1)]
    assert len(both[:, :, others].flatten(0, 1).unique(dim=0)) == 1
    assert discrete.shape[:2] == (2, 4)
    assert torch.equal(discrete[0, :, ALL.slices["digit"]], torch.eye(4))
    assert noise.shape[:2] == (5, 5)
    z = noise[:, :, ALL.slices["z"]]
    assert len(z[:, 0].unique(dim=0)) == 5
    assert torch.equal(z, z[:, :1].expand_as(z))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 17}, "the number of steps must be a number from 2 to 16"),
        ({"steps": 10**9}, "the number of steps"),
        ({"across": "nothing"}, "the columns can show 'digit'.* but got 'nothing'"),
        ({"across": ["digit"]}, "the columns can show"),
        ({"down": None}, "the rows can show"),
        ({"down": "digit"}, "digit runs along the columns already; choose another for the rows"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(change, message):
    settings = {"seed": 0, "across": "digit", "down": NOISE_ROWS, "steps": 4} | change
    explorer = Explorer(toy())
    with pytest.raises(ControlError, match=message):
        explorer.sweep(explorer.defaults, **settings)


def test_many_categories_and_large_images_stay_within_bounds():
    latent = LatentSpec(z=Noise(2), kind=Categorical(500))
    explorer = Explorer(toy(latent, (3, 300, 200)))
    picture = explorer.sweep(explorer.defaults, seed=0, across="kind", down=NOISE_ROWS, steps=2)
    assert max(picture.width, picture.height) < 2000
    assert "the first 32 of 500" in picture.caption
    assert explorer.images(explorer.defaults, count=64, **SETTINGS).height < 2000


def test_looking_leaves_the_model_as_it_was():
    model = toy().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer = Explorer(model)
    reading = explorer.read(png(colours()))
    explorer.beside(reading, explorer.defaults | reading.values, **SETTINGS)
    explorer.sweep(explorer.defaults, seed=0, across="digit", down="style[0]", steps=3)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_threads_that_look_at_once_get_what_each_would_get_alone():
    explorer = Explorer(toy().train())
    alone = [explorer.images(explorer.defaults, count=9, seed=seed, one_noise=False).png for seed in range(8)]
    found = {}

    def look(seed):
        found[seed] = explorer.images(explorer.defaults, count=9, seed=seed, one_noise=False).png

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(8)] == alone


def test_models_without_pictures_or_codes_are_refused():
    with pytest.raises(ValueError, match=r"shows images \(1 or 3, H, W\), but this model makes \(6,\)"):
        Explorer(InfoGAN(dense_generator(shape=(6,)), dense_discriminator((6,)), LATENT))
    with pytest.raises(ValueError, match=r"this model makes \(2, 4, 4\)"):
        Explorer(toy(shape=(2, 4, 4)))
    with pytest.raises(TypeError, match=r"shows an InfoGAN, but got .*; give trainer.model"):
        Explorer("model")


def test_labels_stand_on_the_sheet_and_never_widen_it():
    pixels = np.zeros((4, 30, 30, 1), dtype=np.uint8)
    plain = sheet(pixels, 2)
    labelled = sheet(pixels, 2, column_labels=["a", "a very long name\nof two lines <b>&"], row_labels=["x", "y"])
    assert labelled.height == plain.height + 26
    assert plain.width < labelled.width < plain.width + 40
    assert np.asarray(labelled)[:26].min() < 200


# --- uploads


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 16, 10)], ids=str)
@pytest.mark.parametrize(
    "data",
    [
        png(colours()),
        png(colours(), "JPEG"),
        png(Image.fromarray(colours()).convert("L")),
        png(Image.fromarray(colours()).convert("1")),
        png(Image.fromarray(colours()).convert("P")),
        png(Image.fromarray(colours()).convert("CMYK"), "JPEG"),
        png(Image.fromarray(colours()).convert("RGBA")),
        png(Image.fromarray(colours()).convert("LA")),
        png((np.arange(2400).reshape(40, 60) * 27).astype(np.uint16)),
        png(colours(4, 4)),
        png(colours(4, 900)),
    ],
    ids=["rgb", "jpeg", "grey", "bilevel", "palette", "cmyk", "alpha", "grey-alpha", "16-bit", "small", "strip"],
)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_any_png_or_jpeg_gets_the_model_s_shape_and_range(data, shape, fit):
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


def test_transparency_is_white_and_a_camera_s_rotation_is_carried_out():
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


def test_what_crop_and_pad_keep():
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, :10] = 255
    assert image_tensor(png(wide), (1, 10, 10), (0.0, 1.0)).max() == 0
    padded = image_tensor(png(wide), (1, 10, 10), (0.0, 1.0), fit="pad")[0, 0]
    assert padded[5, 0] == 1
    assert 0.2 < padded[0, 0] < 0.5  # the border's mean
    assert image_tensor(png(wide), (1, 10, 10), (0.0, 1.0), fit="stretch")[0, 0, 5, 0] == 1


PICTURE = png(colours())
HOSTILE = {
    "empty": (b"", "this file is empty"),
    "none": (None, "this file is empty"),
    "text": (b"hello", "no picture that is known here"),
    "truncated png": (PICTURE[:300], "damaged or incomplete"),
    "truncated jpeg": (png(colours(), "JPEG")[:400], "damaged or incomplete"),
    "header only": (PICTURE[:33], "damaged or incomplete"),
    "signature only": (PICTURE[:8], "damaged or incomplete"),
    "flipped": (PICTURE[:60] + bytes(255 - b for b in PICTURE[60:200]) + PICTURE[200:], "damaged or incomplete"),
    "too few data": (bare_png(1000, 1000), "damaged or incomplete"),
    "50,000 square": (bare_png(50_000, 50_000), "50000 x 50000 pixels; at most 25,000,000 are read"),
    "2**31 wide": (bare_png(2**31 - 1, 1), "pixels; at most|damaged"),
    "12,000 square": (bare_png(12_000, 12_000), "12000 x 12000 pixels; at most 25,000,000 are read"),
    "no pixels": (bare_png(0, 0), "0 x 0 pixels; at least 4 x 4|damaged"),
    "one pixel": (png(colours(1, 1)), "1 x 1 pixels; at least 4 x 4 are needed"),
    "gif": (png(Image.fromarray(colours()), "GIF"), "a GIF; upload it as PNG or JPEG"),
    "moving gif": (
        png(Image.fromarray(colours()), "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "a GIF; upload it as PNG or JPEG",
    ),
    "moving png": (
        png(Image.fromarray(colours()), save_all=True, append_images=[Image.new("RGB", (60, 40))]),
        "this picture is animated",
    ),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG; upload it as PNG or JPEG"),
    "too long": (PICTURE + bytes(MAX_BYTES), "this file has 20 MiB; at most 20 MiB are read"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE)
def test_broken_and_hostile_uploads_are_refused_in_one_line(data, message):
    with pytest.raises(UploadError, match=message) as raised:
        image_tensor(data, (1, 8, 8), (-1.0, 1.0))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 120


def test_a_fit_that_is_none_is_refused():
    with pytest.raises(UploadError, match="fit must be 'crop', 'pad' or 'stretch', but got 'zoom'"):
        image_tensor(PICTURE, (1, 8, 8), (-1.0, 1.0), fit="zoom")


@given(st.binary(max_size=80), st.integers(0, len(PICTURE)), st.booleans())
def test_damage_anywhere_is_refused_or_read(noise, at, jpeg):
    base = png(colours(), "JPEG") if jpeg else PICTURE
    damaged = base[:at] + noise + base[at + len(noise) :]
    try:
        image = image_tensor(damaged, (1, 8, 8), (-1.0, 1.0))
    except UploadError:
        return
    assert image.shape == (1, 1, 8, 8)


def test_codes_read_are_what_encode_says():
    model = toy(ALL, (3, 8, 8))
    model.set_category_names("digit", ["a", "b", "c", None])
    explorer = Explorer(model)
    reading = explorer.read(PICTURE)
    posteriors = model.encode(reading.image)
    probabilities = posteriors["digit"].probs[0]
    assert reading.values["digit"] == probabilities.argmax()
    assert reading.told["digit"][0].label == ["a", "b", "c", "(3)"][probabilities.argmax()]
    assert sum(line.share for line in reading.told["digit"]) == pytest.approx(1, abs=1e-5)
    mean = posteriors["style"].mean[0]
    assert reading.values["style"] == pytest.approx(mean.clamp(-1, 3).tolist())
    assert reading.told["style"][0].text.startswith(f"{mean[0]:+.2f} ± ")
    assert reading.values["bits"] == posteriors["bits"].mean[0].ge(0.5).nonzero().flatten().tolist()
    assert "hand" not in reading.values  # an angle is told, but has no place on its sweep
    assert len(reading.told["hand"]) == 1
    picture = explorer.beside(reading, explorer.defaults | reading.values, **SETTINGS)
    assert "Left, your picture as the model sees it" in picture.caption
    tile = tile_size((3, 8, 8), 6, 1)[0]
    assert np.array_equal(shown(picture)[26 : 26 + tile, :tile], as_bytes(reading.image, (-1, 1), (tile, tile))[0])


def test_values_beyond_a_slider_end_at_it_and_say_so():
    control = controls_of(LATENT)["style"]
    posterior = torch.distributions.Independent(torch.distributions.Normal(torch.tensor([[4.0, 0.1]]), 0.5), 1)
    assert control.read(posterior) == pytest.approx([1.0, 0.1])
    assert control.told(posterior)[0].text == "+4.00 ± 0.50, beyond the slider's -1 to 1"


def test_names_and_messages_are_text_in_the_page_not_html():
    model = toy()
    model.set_category_names("digit", ["<script>alert(1)</script>", "b", "c", "d"])
    explorer = Explorer(model)
    page = figure(explorer.images(explorer.defaults | {"digit": 0}, count=1, **SETTINGS))
    page += table(explorer.read(PICTURE)) + problem("<script>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


# --- run folders and the command


def finished_run(folder, name="default", width=0.1, **changes):
    recipe = recipes.get(name, width=width, seed=3)
    trainer = recipe.trainer(device="cpu")
    trainer.model.save(folder / "model")
    result = {"recipe": name, "width": width, "seed": 3} | changes
    (folder / "result.json").write_text(json.dumps(result))
    return trainer.model


@pytest.mark.parametrize("name", recipes.available())
def test_the_model_of_a_run_of_every_recipe(tmp_path, name):
    model = finished_run(tmp_path, name, width=0.05)
    loaded = load_run(tmp_path)
    assert loaded.image_shape == model.image_shape
    assert torch.equal(loaded.sample(2, seed=0), model.sample(2, seed=0))
    explorer = Explorer(loaded)
    assert set(explorer.read(PICTURE).told) == set(model.latent.codes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "result.json").unlink(), "not a finished run, as it has no result.json"),
        (lambda f: (f / "result.json").write_text("{"), r"result.json: cannot be read"),
        (lambda f: (f / "result.json").write_bytes(b"\xff\xfe"), r"result.json: cannot be read"),
        (lambda f: (f / "result.json").write_text("[]"), "does not say recipe, width, seed"),
        (lambda f: (f / "result.json").write_text('{"recipe": "paper"}'), "does not say width, seed"),
        (lambda f: (f / "result.json").write_text('{"recipe": "x", "width": 1, "seed": 0}'), "no recipe 'x'"),
        (lambda f: (f / "result.json").write_text('{"recipe": [], "width": 1, "seed": 0}'), "no networks can be built"),
        (
            lambda f: (f / "result.json").write_text('{"recipe": "default", "width": "a", "seed": 0}'),
            "no networks can be built",
        ),
        (
            lambda f: (f / "result.json").write_text('{"recipe": "default", "width": 0.2, "seed": 0}'),
            "generator",
        ),
        (lambda f: next((f / "model").iterdir()).unlink(), "model"),
        (lambda f: [p.write_bytes(p.read_bytes()[:-9]) for p in (f / "model").iterdir()], "model"),
    ],
)
def test_a_folder_that_is_no_run_is_one_line(tmp_path, damage, message, capsys):
    finished_run(tmp_path)
    damage(tmp_path)
    with pytest.raises(RunError, match=message) as raised:
        load_run(tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(SystemExit) as ended:
        command.main([str(tmp_path), "--no-open"])
    assert ended.value.code.startswith("explorer: ")
    assert str(tmp_path) in ended.value.code


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--port", "--open", "--no-open", "run"))
    with pytest.raises(SystemExit) as ended:
        command.main(["nowhere", "--port", "70000"])
    assert ended.value.code == 2
    assert "a port is a number from 0 to 65535, but got '70000'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        command.main(["nowhere"])
    assert ended.value.code == "explorer: nowhere: no such folder; give the --out folder of a finished run"


def test_without_gradio_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"the explorer needs gradio: pip install 'infogan-lib\[explore\]'"):
        explore(toy())


# --- the page's server


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'infogan-lib[explore]'")
    with explore(toy(ALL), port=0, open_browser=False, block=False) as running:
        yield running


def ask(url, data=None, **headers):
    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return answer.status, answer.headers, answer.read()


def show(page, digit=1, style=(0.0, 0.0), tilt=0.0, bits=(), hand=0.0, **settings):
    wanted = {"seed": 0, "one": False, "count": 4, "across": "digit", "down": NOISE_ROWS, "steps": 4} | settings
    return call(page, "show", [None, None, digit, *style, tilt, list(bits), hand, *wanted.values()])


def call(page, name, data):
    """What an endpoint answers, or PageError with what it says instead."""
    event = json.loads(ask(f"{page.url}gradio_api/call/{name}", {"data": data})[2])["event_id"]
    answer = ask(f"{page.url}gradio_api/call/{name}/{event}")[2].decode()
    lines = [line.partition(": ")[2] for line in answer.split("\n\n")[-2].splitlines()]
    if lines[0] != "complete":
        raise PageError(lines[1])
    return json.loads(lines[1])


class PageError(Exception):
    pass


def test_the_page_asks_for_nothing_elsewhere_and_answers_nobody_else(page):
    _, headers, body = ask(page.url)
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert b"InfoGAN explorer" in body
    assert b"googleapis" not in body
    assert b'<script src="http' not in body
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(page.url, Host="example.com")
    assert page.url.startswith("http://127.0.0.1:")


def test_moving_a_control_through_the_api_gives_another_picture(page):
    first, second = show(page, digit=1), show(page, digit=2)
    assert "data:image/png;base64," in first[0]
    assert first[0] != second[0]
    assert show(page, digit=1) == first


@pytest.mark.parametrize(
    "change",
    [
        {"digit": 99},
        {"digit": "1"},
        {"style": (5.0, 0.0)},
        {"style": (None, 0.0)},
        {"tilt": 1e300},
        {"bits": [7]},
        {"count": 10**9},
        {"count": -1},
        {"count": None},
        {"steps": 10**9, "across": "x"},
        {"seed": -5},
        {"seed": 10**40},
    ],
    ids=str,
)
def test_numbers_out_of_range_through_the_api_leave_the_page_standing(page, change, capsys):
    try:
        picture, message = show(page, **change)
    except PageError:
        pass
    else:
        assert 'role="alert"' in message
        assert "data:image" not in str(picture)
    assert "data:image/png" in show(page)[0]
    capsys.readouterr()


def test_requests_without_end_are_refused(page):
    host, _, port = page.url.removeprefix("http://").rstrip("/").partition(":")
    ask_for = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=20) as long:
        long.sendall(ask_for + b"Content-Length: 999999999999\r\n\r\n")
        assert long.recv(100).startswith(b"HTTP/1.1 413")
    assert "data:image/png" in show(page)[0]


def uploaded(page, data, name="picture.png"):
    part = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = part + data + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return json.loads(ask(f"{page.url}gradio_api/upload", body, **headers)[2])[0]


def read(page, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    controls = [1, 0.0, 0.0, 0.0, [], 0.0, 0, False, 4, "digit", NOISE_ROWS, 4]
    return call(page, "read", [file, "crop", False, None, None, *controls])


def test_an_upload_is_read_and_a_broken_one_is_a_message(page):
    _, _, told, digit, *_, picture, message = read(page, uploaded(page, PICTURE))
    assert "digit" in told
    assert digit in range(4)
    assert "data:image/png" in picture
    assert message == ""
    *_, message = read(page, uploaded(page, bare_png(50_000, 50_000)))
    assert "50000 x 50000 pixels" in message


def test_neither_addresses_nor_files_of_the_machine_are_read_as_uploads(page, tmp_path, capsys):
    (tmp_path / "private.png").write_bytes(PICTURE)
    for path in ("http://127.0.0.1:9/x.png", "https://example.com/x.png", "/etc/passwd", str(tmp_path / "private.png")):
        with pytest.raises(PageError, match="this file was not uploaded; choose a file on the page"):
            read(page, path)
        with pytest.raises(urllib.error.HTTPError, match="40[0-9]"):
            ask(f"{page.url}gradio_api/file={path}")
    assert capsys.readouterr() == ("", "")


def test_a_busy_port_is_named_and_a_closed_page_frees_it(tmp_path, page):
    finished_run(tmp_path)
    port = int(page.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(SystemExit) as ended:
        command.main([str(tmp_path), "--no-open", "--port", str(port)])
    assert ended.value.code.startswith(f"explorer: port {port}: Address already in use; choose another by --port")
    with explore(toy(), port=0, open_browser=False, block=False) as other:
        freed = int(other.url.rstrip("/").rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", freed))
    other.close()


def test_ctrl_c_ends_the_command_quietly(tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'infogan-lib[explore]'")
    finished_run(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "infogan_lib.explorer", str(tmp_path), "--no-open", "--port", "0"]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        url = said.split(" is at ")[1].split()[0]
        assert ask(url)[0] == 200
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert out == err == ""


def test_the_guard_cuts_a_body_that_is_longer_than_it_said():
    received = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            received.append(len(message["body"]))

    async def receive():
        return {"type": "http.request", "body": bytes(40), "more_body": True}

    async def send(message):
        raise AssertionError(message)

    scope = {"type": "http", "headers": [(b"host", b"localhost:1"), (b"transfer-encoding", b"chunked")]}
    with pytest.raises(StopIteration):
        Guarded(app, largest=100)(scope, receive, send).__await__().send(None)
    assert received == [40, 40]


def test_seeds_of_the_page_are_whole_numbers_that_javascript_knows():
    assert MAX_SEED < 2**53

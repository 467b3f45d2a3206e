"""Views of the explorer: the pictures of a model and their captions."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from explorer_toys import ALL, PICTURE, VALUES, colors, png, toy
from infogan_lib import Categorical, InfoGAN, LatentSpec, Noise
from infogan_lib.explorer import views
from infogan_lib.explorer.controls import ControlError
from infogan_lib.explorer.rendering import decode_pixels, draw_grid, tile_size, to_pixels
from infogan_lib.explorer.style import picture_html, problem_html, readout_html
from infogan_lib.explorer.views import NOISE_ROWS, Explorer
from toys import LATENT, dense_discriminator, dense_generator

SETTINGS = {"seed": 0, "shared_noise": False}


def pixels_of(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png)))


def test_samples_are_the_images_of_the_model():
    model = toy()
    explorer = Explorer(model)
    values = explorer.defaults | {"digit": 3}
    picture = explorer.sample(values, count=4, **SETTINGS)
    rows = explorer.latents(values, count=4, seed=0)
    expected = to_pixels(model.decode(rows), (-1.0, 1.0), tile_size((1, 8, 8), 2, 2))
    tile = expected.shape[1]
    pixels = pixels_of(picture)
    assert pixels.shape == (picture.height, picture.width) == (2 * tile + 4, 2 * tile + 4)
    assert np.array_equal(pixels[:tile, :tile], expected[0, :, :, 0])
    assert np.array_equal(pixels[-tile:, -tile:], expected[3, :, :, 0])
    assert "digit 3; style 0, 0" in picture.caption


def test_codes_noise_and_seed_change_the_picture():
    explorer = Explorer(toy())
    base = explorer.sample(explorer.defaults, count=4, **SETTINGS)
    changed = explorer.sample(explorer.defaults | {"style": [0.5, 0]}, count=4, **SETTINGS)
    reseeded = explorer.sample(explorer.defaults, count=4, seed=1, shared_noise=False)
    again = explorer.sample(explorer.defaults, count=4, **SETTINGS)
    assert again.png == base.png
    assert len({base.png, changed.png, reseeded.png}) == 3
    alike = explorer.sample(explorer.defaults, count=4, seed=0, shared_noise=True)
    tile = (alike.width - 4) // 2
    assert np.array_equal(pixels_of(alike)[:tile, :tile], pixels_of(alike)[-tile:, -tile:])
    assert "all alike" in alike.caption


def test_a_traversal_varies_one_code_per_side_and_nothing_else(monkeypatch):
    explorer = Explorer(toy(ALL))
    calls = []

    def record(model, latents, size):
        calls.append(latents)
        return decode_pixels(model, latents, size)

    monkeypatch.setattr(views, "decode_pixels", record)
    explorer.traverse(VALUES, seed=0, across="style[1]", down="style[0]", steps=5)
    explorer.traverse(VALUES, seed=0, across="digit", down="bits[1]", steps=5)
    explorer.traverse(VALUES, seed=0, across="hand", down=NOISE_ROWS, steps=5)
    assert "digit 2" not in explorer.traverse(VALUES, seed=0, across="digit", down=NOISE_ROWS, steps=5).caption
    both, discrete, noise = [latents.unflatten(0, (-1, n)) for latents, n in zip(calls, (5, 4, 5), strict=False)]
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
def test_invalid_traversals_are_refused(change, message):
    settings = {"seed": 0, "across": "digit", "down": NOISE_ROWS, "steps": 4} | change
    explorer = Explorer(toy())
    with pytest.raises(ControlError, match=message):
        explorer.traverse(explorer.defaults, **settings)


@pytest.mark.slow
def test_many_categories_and_large_images_stay_within_bounds():
    latent = LatentSpec(z=Noise(2), kind=Categorical(500))
    explorer = Explorer(toy(latent, (3, 300, 200)))
    picture = explorer.traverse(explorer.defaults, seed=0, across="kind", down=NOISE_ROWS, steps=2)
    assert max(picture.width, picture.height) < 2000
    assert "the first 32 of 500" in picture.caption
    assert explorer.sample(explorer.defaults, count=64, **SETTINGS).height < 2000


def test_exploring_leaves_the_model_unchanged():
    model = toy().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explorer = Explorer(model)
    encoding = explorer.encode(png(colors()))
    explorer.compare(encoding, explorer.defaults | encoding.values, **SETTINGS)
    explorer.traverse(explorer.defaults, seed=0, across="digit", down="style[0]", steps=3)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_concurrent_threads_get_the_same_pictures_as_one():
    explorer = Explorer(toy().train())
    alone = [explorer.sample(explorer.defaults, count=9, seed=seed, shared_noise=False).png for seed in range(8)]
    pictures = {}

    def sample(seed):
        pictures[seed] = explorer.sample(explorer.defaults, count=9, seed=seed, shared_noise=False).png

    threads = [threading.Thread(target=sample, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pictures[seed] for seed in range(8)] == alone


def test_models_without_pictures_or_codes_are_refused():
    with pytest.raises(ValueError, match=r"shows images \(1 or 3, H, W\), but this model makes \(6,\)"):
        Explorer(InfoGAN(dense_generator(shape=(6,)), dense_discriminator((6,)), LATENT))
    with pytest.raises(ValueError, match=r"this model makes \(2, 4, 4\)"):
        Explorer(toy(shape=(2, 4, 4)))
    with pytest.raises(TypeError, match=r"shows an InfoGAN, but got .*; give trainer.model"):
        Explorer("model")


def test_labels_are_drawn_and_do_not_widen_the_columns():
    pixels = np.zeros((4, 30, 30, 1), dtype=np.uint8)
    plain = draw_grid(pixels, 2)
    labeled = draw_grid(pixels, 2, column_labels=["a", "a very long name\nof two lines <b>&"], row_labels=["x", "y"])
    assert labeled.height == plain.height + 26
    assert plain.width < labeled.width < plain.width + 40
    assert np.asarray(labeled)[:26].min() < 200


def test_predictions_are_those_of_encode():
    model = toy(ALL, (3, 8, 8))
    model.set_category_names("digit", ["a", "b", "c", None])
    explorer = Explorer(model)
    encoding = explorer.encode(PICTURE)
    posteriors = model.encode(encoding.image)
    probabilities = posteriors["digit"].probs[0]
    assert encoding.values["digit"] == probabilities.argmax()
    assert encoding.predictions["digit"].readouts[0].label == ["a", "b", "c", "(3)"][probabilities.argmax()]
    assert sum(line.probability for line in encoding.predictions["digit"].readouts) == pytest.approx(1, abs=1e-5)
    mean = posteriors["style"].mean[0]
    assert encoding.values["style"] == pytest.approx(mean.clamp(-1, 3).tolist())
    assert encoding.predictions["style"].readouts[0].text.startswith(f"{mean[0]:+.2f} ± ")
    assert encoding.values["bits"] == posteriors["bits"].mean[0].ge(0.5).nonzero().flatten().tolist()
    assert "hand" not in encoding.values  # an angle is shown, but has no position on its traversal
    assert len(encoding.predictions["hand"].readouts) == 1
    picture = explorer.compare(encoding, explorer.defaults | encoding.values, **SETTINGS)
    assert "Left, your picture as the model sees it" in picture.caption
    tile = tile_size((3, 8, 8), 6, 1)[0]
    first = pixels_of(picture)[26 : 26 + tile, :tile]
    assert np.array_equal(first, to_pixels(encoding.image, (-1, 1), (tile, tile))[0])


def test_names_and_messages_are_escaped():
    model = toy()
    model.set_category_names("digit", ["<script>alert(1)</script>", "b", "c", "d"])
    explorer = Explorer(model)
    page = picture_html(explorer.sample(explorer.defaults | {"digit": 0}, count=1, **SETTINGS))
    page += readout_html(explorer.encode(PICTURE)) + problem_html("<script>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page

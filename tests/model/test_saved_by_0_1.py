"""Models that version 0.1 saved are loaded, with the samples and Q outputs that they had there.

data/saved_by_0_1 was made with version 0.1.0 and torch 2.13 on a CPU, in its own tests' folder:

    torch.manual_seed(0)
    x, expected = images(32), {}

    def save(name, trainer):
        trainer.fit(x, steps=4, batch_size=8)
        trainer.model.set_names("digit", ["a", "b", None, "d"])
        trainer.model.save(out / name)
        expected[name] = {"sample": trainer.model.sample(4, seed=0), "encode": trainer.model.encode_raw(x[:4])}

    parts = dense_generator(), dense_discriminator(), LATENT
    save("default", InfoGANTrainer(*parts, device="cpu", ema_decay=0.9, pixel_range=(-1, 1)))
    save("head", InfoGANTrainer(dense_generator(), dense_discriminator(norm=False), LATENT, device="cpu", tap="1",
                                q_head=nn.Linear(16, 8)))
    save("network", InfoGANTrainer(..., q_network=nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), ema_decay=0.5))
    save("tuple", InfoGANTrainer(dense_generator(), TupleDiscriminator(), LATENT, device="cpu"))
    torch.save(expected, out / "expected.pt")
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from infogan_lib import InfoGAN, Tap
from infogan_lib.checkpoints import read_bundle, write_bundle
from infogan_lib.networks.ema import ema_decay
from toys import LATENT, PartsGenerator, TupleDiscriminator, dense_discriminator, dense_generator, images

DATA = Path(__file__).parent / "data" / "saved_by_0_1"

NETWORKS = {
    "default": lambda: {"discriminator": dense_discriminator()},
    "head": lambda: {"discriminator": dense_discriminator(norm=False), "q_head": nn.Linear(16, 8)},
    "network": lambda: {
        "discriminator": dense_discriminator(),
        "q_network": nn.Sequential(nn.Flatten(), nn.Linear(16, 8)),
    },
    "tuple": lambda: {"discriminator": TupleDiscriminator()},
}

DECAYS = {"default": 0.9, "head": None, "network": 0.5, "tuple": None}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_of_0_1_is_the_model_that_was_saved(name):
    expected = torch.load(DATA / "expected.pt", weights_only=True)[name]
    model = InfoGAN.load(DATA / name, generator=dense_generator(), **NETWORKS[name]())
    torch.testing.assert_close(
        model.sample(4, rng=torch.Generator().manual_seed(0)), expected["sample"], rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(model.q_outputs(images(32)[:4]), expected["encode"], rtol=1e-6, atol=1e-6)
    assert model.category_names == {"digit": ("a", "b", None, "d")}
    assert model.latent == LATENT
    assert model.pixel_range == (-1, 1)
    assert ema_decay(model.ema_generator) == DECAYS[name]
    assert model.discriminator_adapter.tap == {"default": Tap("4", "input"), "head": Tap("1")}.get(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_of_0_1_is_saved_in_the_format_of_today(name, tmp_path):
    old = InfoGAN.load(DATA / name, generator=dense_generator(), **NETWORKS[name]())
    old.save(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["format"] == 2
    new = InfoGAN.load(tmp_path, generator=dense_generator(), **NETWORKS[name]())
    assert torch.equal(new.sample(4, seed=0), old.sample(4, seed=0))
    assert torch.equal(new.q_outputs(images(4)), old.q_outputs(images(4)))


def rewritten(folder, metadata):
    """The model in a folder with other metadata."""
    state = read_bundle(folder, "model", max_bytes=1 << 24)[1]
    write_bundle(folder, "model", metadata, state, max_bytes=1 << 24)


def saved(folder, generator=None):
    torch.manual_seed(0)
    model = InfoGAN(generator or dense_generator(), dense_discriminator(), LATENT)
    model.save(folder)
    return model, read_bundle(folder, "model", max_bytes=1 << 24)[0]


def load(folder, generator=None):
    return InfoGAN.load(folder, generator=generator or dense_generator(), discriminator=dense_discriminator())


def test_the_name_that_0_1_gave_to_separate_arguments_is_understood(tmp_path):
    model, metadata = saved(tmp_path, PartsGenerator())
    assert metadata["generator_input"] == "separate"
    rewritten(tmp_path, metadata | {"generator_input": "parts"})
    assert torch.equal(load(tmp_path, PartsGenerator()).sample(2, seed=0), model.sample(2, seed=0))


def test_a_file_may_lack_all_fields_that_have_a_default(tmp_path):
    model, metadata = saved(tmp_path)
    rewritten(tmp_path, {name: metadata[name] for name in ("latent", "image_shape")})
    loaded = load(tmp_path)
    assert torch.equal(loaded.sample(2, seed=0), model.sample(2, seed=0))
    assert torch.equal(loaded.q_outputs(images(2)), model.q_outputs(images(2)))


def test_a_field_of_a_later_version_is_named_and_ignored(tmp_path):
    model, metadata = saved(tmp_path)
    rewritten(tmp_path, metadata | {"palette": ["red"]})
    with pytest.warns(UserWarning, match="its plan holds 'palette', unknown to this version .* and ignored"):
        loaded = load(tmp_path)
    assert torch.equal(loaded.sample(2, seed=0), model.sample(2, seed=0))


def test_a_field_that_a_later_version_requires_is_an_error(tmp_path):
    metadata = saved(tmp_path)[1]
    rewritten(tmp_path, metadata | {"palette": ["red"], "required": ["latent", "palette"]})
    with pytest.raises(RuntimeError, match="its plan needs 'palette', unknown to this version"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": [1, 4, 5]}, r"images have shape \(1, 4, 5\), but those here \(1, 4, 4\)"),
        ({"tap": ["7", "output"]}, "no layer '7' to tap"),
        ({"tap": 3}, "plan cannot be read"),
        ({"latent": "{}"}, "plan cannot be read"),
        ({"latent": None}, "plan cannot be read"),
        ({"pixel_range": [1, -1]}, "pixel_range must be"),
        ({"category_names": {"digit": ["a"]}}, "'digit' needs 4 different names"),
        ({"category_names": []}, "plan cannot be read"),
        ({"generator_input": "4d"}, "generator_input must be one of"),
        ({"q": {}}, r"its Q is \{\}, but what was given is"),
        ({"ema_decay": "much"}, "ema_decay must be a finite number"),
    ],
)
def test_a_plan_that_does_not_fit_is_named(tmp_path, changes, message):
    metadata = saved(tmp_path)[1]
    rewritten(tmp_path, metadata | changes)
    with pytest.raises(RuntimeError, match=message):
        load(tmp_path)


def test_the_data_of_0_1_is_what_it_was(tmp_path):
    """A changed byte in it is loaded, so the tests above compare what 0.1 wrote."""
    shutil.copytree(DATA / "head", tmp_path / "head")
    state = next((tmp_path / "head").glob("state-*.pt"))
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(RuntimeError, match=r"SHA-256.*damaged"):
        InfoGAN.load(tmp_path / "head", generator=dense_generator(), **NETWORKS["head"]())

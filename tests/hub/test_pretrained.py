"""Models as folders and as repositories: what comes back, on the cache of links too, and what is refused."""

import hashlib
import json
import re
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from torch import nn

from export_toys import IndexGenerator, with_moved_average
from infogan_lib import Categorical, CheckpointError, InfoGAN, LatentSpec, Noise, Uniform, recipes
from infogan_lib.hub import PretrainedGenerator, folder, from_pretrained, push_to_hub, save_pretrained
from toys import LATENT, TupleDiscriminator, dense_discriminator, dense_generator, images

safetensors = pytest.importorskip("safetensors.torch", reason="pip install 'infogan-lib[hub]'")
huggingface_hub = pytest.importorskip("huggingface_hub", reason="pip install 'infogan-lib[hub]'")
pytestmark = pytest.mark.cpu


def model():
    torch.manual_seed(0)
    made = with_moved_average(InfoGAN(dense_generator(), dense_discriminator(), LATENT))
    made.set_category_names("digit", ["zero", None, "two", "three"])
    with torch.no_grad():
        made(LATENT.sample(8))  # running statistics of their own
    return made


def networks(seed=1):
    torch.manual_seed(seed)
    return {"generator": dense_generator(), "discriminator": dense_discriminator()}


def assert_same(loaded, saved):
    assert torch.equal(loaded.sample(5, seed=0, digit="two"), saved.sample(5, seed=0, digit="two"))
    assert torch.equal(loaded.q_outputs(images(5)), saved.q_outputs(images(5)))
    assert (loaded.category_names, loaded.pixel_range) == (saved.category_names, saved.pixel_range)
    own = saved.state_dict()
    assert {name: value for name, value in loaded.state_dict().items() if not torch.equal(value, own[name])} == {}


def test_a_folder_gives_the_model_back(tmp_path):
    saved = model()
    assert save_pretrained(saved, tmp_path / "mine") == tmp_path / "mine"
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors", "samples.png"]
    assert set(safetensors.load_file(tmp_path / "mine/model.safetensors")) == set(saved.state_dict())
    assert_same(from_pretrained(tmp_path / "mine", **networks()), saved)


def test_samples_need_no_discriminator(tmp_path):
    saved = model()
    save_pretrained(saved, tmp_path)
    loaded = from_pretrained(tmp_path, generator=networks()["generator"])
    assert isinstance(loaded, PretrainedGenerator)
    assert torch.equal(loaded.sample(5, seed=0, digit="two"), saved.sample(5, seed=0, digit="two"))
    assert not torch.equal(saved.generate(LATENT.sample(4)), saved(LATENT.sample(4)))  # the average is another one
    own = InfoGAN(IndexGenerator(), TupleDiscriminator(), LATENT)
    save_pretrained(own, tmp_path)
    assert torch.equal(from_pretrained(tmp_path, generator=IndexGenerator()).sample(5, seed=0), own.sample(5, seed=0))


def test_a_learned_prior_comes_along(tmp_path):
    latent = LatentSpec(z=Noise(5), digit=Categorical(4, learn_probs_after=0), rest=Noise(2))
    saved = InfoGAN(dense_generator(), dense_discriminator(), latent)
    saved.priors.follow(torch.tensor([1.0, 0, 0, 0]), 0)
    save_pretrained(saved, tmp_path)
    loaded = from_pretrained(tmp_path, generator=dense_generator())
    assert torch.equal(loaded.priors["digit"], saved.priors["digit"])
    assert torch.equal(loaded.sample(64, seed=0), saved.sample(64, seed=0))


def test_a_model_of_a_recipe_needs_no_networks(tmp_path):
    recipe = recipes.get("default", width=1 / 16, seed=3)
    saved = recipe.model()
    save_pretrained(saved, tmp_path, recipe=recipe)
    loaded = from_pretrained(tmp_path)
    assert torch.equal(loaded.sample(3, seed=0), saved.sample(3, seed=0))
    x = images(3, (1, 28, 28)) / 2 + 0.5
    assert torch.equal(loaded.q_outputs(x), saved.q_outputs(x))
    save_pretrained(saved, tmp_path)
    with pytest.raises(ValueError, match="was saved without a recipe, .* give generator= for samples"):
        from_pretrained(tmp_path)


def test_a_repository_of_the_hub_gives_the_model_back(hub):
    saved = model()
    address = push_to_hub(saved, "me/digits", metrics={"accuracy": 0.875}, token="hf_of_a_test")
    assert "me/digits/commit" in address
    assert set(hub.tokens) == {"Bearer hf_of_a_test"}
    files = hub.repositories["me/digits"]
    assert {"README.md", "config.json", "model.safetensors", "samples.png"} <= set(files)
    card = files["README.md"].decode()
    assert "from_pretrained('me/digits'" in card
    assert "| accuracy | 0.875 |" in card
    assert_same(from_pretrained("me/digits", **networks()), saved)
    assert from_pretrained("me/digits", generator=networks()["generator"], revision="main").image_shape == (1, 4, 4)


def test_the_cache_of_the_hub_is_read_although_it_consists_of_links(hub, tmp_path):
    saved = model()
    push_to_hub(saved, "me/digits", token="hf_x")
    snapshot = Path(huggingface_hub.snapshot_download("me/digits"))
    assert (snapshot / "model.safetensors").is_symlink()
    assert_same(from_pretrained(snapshot, **networks()), saved)
    # A model that `save` wrote, uploaded by hand.
    saved.save(tmp_path / "saved")
    huggingface_hub.HfApi(token="hf_x").create_repo("me/saved")
    huggingface_hub.HfApi(token="hf_x").upload_folder(repo_id="me/saved", folder_path=tmp_path / "saved")
    assert_same(InfoGAN.load(huggingface_hub.snapshot_download("me/saved"), **networks()), saved)


def test_links_that_leave_the_cache_are_refused(tmp_path):
    save_pretrained(model(), tmp_path / "real")
    secret = tmp_path / "real/model.safetensors"
    for snapshot in (tmp_path / "plain", tmp_path / "models--me--it/snapshots/abc"):
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_bytes((tmp_path / "real/config.json").read_bytes())
        (snapshot / "model.safetensors").symlink_to(secret)
        with pytest.raises(CheckpointError, match="symbolic link"):
            from_pretrained(snapshot, **networks())
    blobs = tmp_path / "models--me--it/blobs"
    blobs.mkdir()
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to("../../blobs/one")
    (blobs / "one").symlink_to(secret)
    with pytest.raises(CheckpointError, match="symbolic link"):
        from_pretrained(snapshot, **networks())
    (blobs / "one").unlink()
    (blobs / "one").write_bytes(secret.read_bytes())
    from_pretrained(snapshot, **networks())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.joinpath("model.safetensors").write_bytes(b"x"), "is not the file that config.json was written"),
        (lambda f: f.joinpath("model.safetensors").unlink(), "model.safetensors: this file is missing"),
        (lambda f: f.joinpath("config.json").unlink(), "config.json: this file is missing"),
        (lambda f: f.joinpath("config.json").write_text("{"), "config.json: it is no JSON"),
        (lambda f: f.joinpath("config.json").write_text("[1]"), "it must be an object of names"),
        (
            lambda f: f.joinpath("config.json").write_text('{"model_type": "bert"}'),
            "was not written by save_pretrained",
        ),
        (lambda f: edit(f, format=99), "its format is 99, and this version reads 1"),
        (lambda f: edit(f, image_shape="big"), "image_shape"),
        (lambda f: edit(f, recipe={"name": "default", "width": 1, "seed": -1}), "recipe"),
        (lambda f: edit(f, latent='{"z": {"kind": "Noise", "dim": 7, "distribution": "gaussian"}}'), "does not fit"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    save_pretrained(model(), tmp_path)
    change(tmp_path)
    for given in (networks(), {"generator": networks()["generator"]}):
        with pytest.raises(CheckpointError, match=message):
            from_pretrained(tmp_path, **given)


def edit(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    assert set(fields) <= set(config)
    (folder / "config.json").write_text(json.dumps(config | fields))


def test_weights_of_more_sides_than_torch_computes_with_are_refused(tmp_path):
    save_pretrained(model(), tmp_path)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    name = next(name for name in header if name.endswith("num_batches_tracked"))
    header[name]["shape"] = [1] * 65
    text = json.dumps(header).encode()
    forged = len(text).to_bytes(8, "little") + text + data[start:]
    path.write_bytes(forged)
    edit(tmp_path, weights_sha256=hashlib.sha256(forged).hexdigest())
    for given in (networks(), {"generator": networks()["generator"]}):
        with pytest.raises(CheckpointError, match="one of its tensors has more than 64 sides"):
            from_pretrained(tmp_path, **given)


def test_a_config_may_be_edited(tmp_path):
    save_pretrained(model(), tmp_path)
    edit(tmp_path, category_names={"digit": ["a", "b", "c", "d"]})
    loaded = from_pretrained(tmp_path, **networks())
    assert loaded.category_names == {"digit": ("a", "b", "c", "d")}


def test_networks_of_other_layers_are_refused_and_left_as_they_were(tmp_path):
    save_pretrained(model(), tmp_path)
    other = dense_generator()
    other[0] = nn.Linear(11, 17)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    for given in ({"generator": other}, {"generator": other, "discriminator": dense_discriminator()}):
        with pytest.raises(CheckpointError, match="saved with another generator: '0.weight'"):
            from_pretrained(tmp_path, **given)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    with pytest.warns(UserWarning, match="'generator' does not compute what it computed"):
        from_pretrained(tmp_path, generator=nn.Sequential(*dense_generator()[:2], nn.GELU(), *dense_generator()[3:]))
    with pytest.raises(ValueError, match="discriminator is given without generator"):
        from_pretrained(tmp_path, discriminator=dense_discriminator())
    with pytest.raises(ValueError, match="q_head is given without discriminator"):
        from_pretrained(tmp_path, generator=dense_generator(), q_head=nn.Linear(3, 8))


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    save_pretrained(model(), tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"from_pretrained needs huggingface_hub: pip install 'infogan-lib\[hub\]'"):
        from_pretrained("me/digits")
    from_pretrained(tmp_path, **networks())
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"from_pretrained needs safetensors.*infogan-lib\[hub\]"):
        from_pretrained(tmp_path, **networks())


def test_the_card_is_ones_own_where_one_is_given(tmp_path):
    save_pretrained(model(), tmp_path, card="# Mine\n")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    assert not (tmp_path / "samples.png").exists()
    (tmp_path / "README.md").unlink()
    sounds = InfoGAN(dense_generator(11, (1, 8)), dense_discriminator((1, 8)), LATENT)
    save_pretrained(sounds, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "samples.png" not in text
    assert "| digit | `Categorical(4)` |" in text


def test_a_model_that_is_saved_while_another_is_read_is_read_instead(tmp_path, monkeypatch):
    first, second = model(), model()
    second.set_category_names("digit", ["a", "b", "two", "d"])
    with torch.no_grad():
        next(second.generator.parameters()).mul_(2)
    save_pretrained(first, tmp_path, card="x")
    opened = folder.open_regular

    def open_late(path, **settings):
        if path.name == "model.safetensors":
            monkeypatch.setattr(folder, "open_regular", opened)
            save_pretrained(second, tmp_path, card="x")
        return opened(path, **settings)

    monkeypatch.setattr(folder, "open_regular", open_late)
    assert_same(from_pretrained(tmp_path, **networks()), second)


def test_a_model_is_read_between_the_two_files_of_a_save(tmp_path, monkeypatch):
    first, second = model(), model()
    with torch.no_grad():
        next(second.generator.parameters()).mul_(2)
    save_pretrained(first, tmp_path, card="x")
    old = (tmp_path / "config.json").read_bytes()
    save_pretrained(second, tmp_path, card="x")
    new = (tmp_path / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(old)
    monkeypatch.setattr(time, "sleep", lambda seconds: (tmp_path / "config.json").write_bytes(new))
    assert_same(from_pretrained(tmp_path, **networks()), second)


def test_a_folder_that_is_replaced_again_and_again_is_given_up(tmp_path, monkeypatch):
    save_pretrained(model(), tmp_path, card="x")
    path, read, times = tmp_path / "config.json", folder.read_config, []

    def read_another(where):
        times.append(where)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": str(len(times))}))
        return read(where)

    read_another(tmp_path)
    monkeypatch.setattr(folder, "read_config", read_another)
    with pytest.raises(CheckpointError, match="was replaced 10 times while it was read"):
        from_pretrained(tmp_path, **networks())


def test_a_config_cannot_ask_for_more_memory_than_its_weights(tmp_path):
    recipe = recipes.get("default", width=1 / 16)
    save_pretrained(recipe.model(), tmp_path, recipe=recipe, card="x")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"recipe": {"name": "default", "width": 16, "seed": 0}}))
    with pytest.raises(CheckpointError, match="recipe 'default' of width 16 has .* weights, more than the .* bytes"):
        from_pretrained(tmp_path)
    path.write_text(json.dumps(config))
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.truncate(2**36)
    with pytest.raises(CheckpointError, match=r"it has 68,719,476,736 bytes, and these networks need at most"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("token", ["hf_secret\n", " hf_secret", "hf_secret\x1b", b"hf_secret", ["hf_secret"]])
def test_a_token_is_in_no_message(token):
    for call in (
        lambda: push_to_hub(model(), "me/it", token=token),
        lambda: from_pretrained("me/it", generator=dense_generator(), token=token),
    ):
        with pytest.raises((TypeError, ValueError), match="token must be a token of the hub") as refused:
            call()
        assert "secret" not in str(refused.value)


def test_a_relative_path_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in ("./nowhere", "../nowhere"):
        with pytest.raises(CheckpointError, match="source must be a folder, or a repository"):
            from_pretrained(source, generator=dense_generator())


def test_blobs_that_lie_elsewhere_are_refused(tmp_path):
    save_pretrained(model(), tmp_path / "elsewhere", card="x")
    snapshot = tmp_path / "models--me--it/snapshots/abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--me--it/blobs").symlink_to(tmp_path / "elsewhere")
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    with pytest.raises(CheckpointError, match="symbolic link"):
        from_pretrained(snapshot, generator=dense_generator())


def test_names_are_text_in_the_card(tmp_path):
    names = ["a](http://x.invalid/) ![b", "<script>alert(1)</script>", "a|b", "`x`"]
    latent = LatentSpec({"z": Noise(5), "class": Categorical(4), "*[x](y)*": Uniform(2)})
    made = InfoGAN(dense_generator(), dense_discriminator(), latent)
    made.set_category_names("class", names)
    saved = save_pretrained(made, tmp_path / "a`<b>`", metrics={"[a](b)<i>": 1.0})
    card = (saved / "README.md").read_text()
    text = re.sub(r"```.*?```|`[^`]*`", "", card, flags=re.DOTALL)
    assert len(re.findall(r"(?<!\\)!\[", text)) == ("![" in card)  # the picture of samples alone
    assert not re.findall(r"(?<!\\)\]\((?!samples\.png)", text)
    assert "<" not in text
    assert r"\*\[x\]\(y\)\*" in text
    assert "class=0" not in card  # which Python could not run


def test_no_more_memory_is_asked_for_than_the_weights_need(tmp_path):
    save_pretrained(model(), tmp_path, card="x")
    tracemalloc.start()
    from_pretrained(tmp_path, generator=dense_generator())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "README.md"])
def test_nothing_is_saved_through_a_link(tmp_path, name):
    target, saved = tmp_path / "elsewhere", tmp_path / "model"
    saved.mkdir()
    (saved / name).symlink_to(target)
    with pytest.raises(CheckpointError, match=f"{name}: this is not a regular file"):
        save_pretrained(model(), saved, card="text")
    assert not target.exists()
    assert [path.name for path in saved.iterdir()] == [name]

"""Run folders: a model is loaded into the networks of its recipe, and every fault is one line."""

import json
import os
import sys

import pytest
import torch

from infogan_lib import CheckpointError, Engine, recipes
from infogan_lib.recipes import Recipe, RunError, load_run, save_run
from infogan_lib.recipes import recipe as recipe_module


def saved_run(folder, **overrides):
    recipe = recipes.get("default", width=0.1, seed=3, **overrides)
    model = recipe.trainer(engine=Engine("cpu")).model
    save_run(folder, recipe, model)
    return model


def old_run(folder, **changes):
    """A folder as examples/mnist.py wrote it before there was a recipe.json."""
    model = saved_run(folder)
    (folder / "recipe.json").unlink()
    result = {"recipe": "default", "width": 0.1, "seed": 3, "accuracy": 0.9} | changes
    (folder / "result.json").write_text(json.dumps(result))
    return model


@pytest.mark.parametrize("make", [saved_run, old_run])
def test_a_run_is_loaded_as_it_was_saved(tmp_path, make):
    model = make(tmp_path)
    loaded = load_run(tmp_path)
    assert {name: tuple(p.shape) for name, p in loaded.state_dict().items()} == {
        name: tuple(p.shape) for name, p in model.state_dict().items()
    }
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert torch.equal(loaded.sample(2, seed=0), model.sample(2, seed=0))


def test_the_file_has_the_arguments_of_get(tmp_path):
    saved_run(tmp_path / "new" / "folder")
    content = json.loads((tmp_path / "new" / "folder" / "recipe.json").read_text())
    assert content == {"format": 1, "name": "default", "width": 0.1, "seed": 3}


def test_the_recipe_counts_not_the_result_of_an_example(tmp_path):
    model = saved_run(tmp_path)
    (tmp_path / "result.json").write_text('{"recipe": "paper", "width": 9, "seed": 0}')
    assert torch.equal(load_run(tmp_path).sample(2, seed=0), model.sample(2, seed=0))


def test_a_run_that_is_saved_again_replaces_the_first(tmp_path):
    saved_run(tmp_path)
    recipe = recipes.get("lab28-normalnll", width=1 / 64)
    model = recipe.model()
    save_run(tmp_path, recipe, model)
    assert torch.equal(load_run(tmp_path).sample(2, seed=0), model.sample(2, seed=0))


def test_a_recipe_that_get_does_not_know_is_refused(tmp_path):
    parts = recipes.get("default", width=0.1)
    by_hand = Recipe(
        generator=parts.generator, discriminator=parts.discriminator, latent=parts.latent, image_size=28, batch_size=4
    )
    with pytest.raises(ValueError, match="the recipe is named '', which recipes.get does not know.*or use model.save"):
        save_run(tmp_path / "run", by_hand, by_hand.model())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("make", [saved_run, old_run])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        ("[]", "{name}, width, seed missing"),
        ('{"{name}": "paper"}', "width, seed missing"),
        ('{"{name}": "x", "width": 1, "seed": 0}', "no recipe 'x'"),
        ('{"{name}": [], "width": 1, "seed": 0}', "no networks can be built"),
        ('{"{name}": "default", "width": "a", "seed": 0}', "no networks can be built"),
        ('{"{name}": "default", "width": 0.2, "seed": 0}', "generator"),
    ],
)
def test_a_file_that_is_wrong_is_a_one_line_error(tmp_path, make, content, message):
    make(tmp_path)
    file, name = ("recipe.json", "name") if make is saved_run else ("result.json", "recipe")
    if isinstance(content, str):
        content = content.replace("{name}", name).encode()
        if make is saved_run:
            content = content.replace(b"}", b', "format": 1}')
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RunError, match=message.replace("{name}", name)) as raised:
        load_run(tmp_path)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("number", ["2", "null", '"1"'])
def test_another_format_is_refused(tmp_path, number):
    saved_run(tmp_path)
    (tmp_path / "recipe.json").write_text(f'{{"format": {number}, "name": "default", "width": 0.1, "seed": 3}}')
    with pytest.raises(RunError, match="recipe.json: format .* is not known, only 1; load it with the version"):
        load_run(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RunError, match="nowhere: no such folder"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a finished run, as it has no recipe.json; let the run finish first"):
        load_run(tmp_path)


def test_an_error_of_the_disk_names_the_file(tmp_path):
    (tmp_path / "recipe.json").mkdir()
    with pytest.raises(CheckpointError, match="recipe.json: saving failed"):
        saved_run(tmp_path)


def test_a_recipe_cannot_ask_for_more_memory_than_its_model(tmp_path):
    saved_run(tmp_path)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": 16}))
    with pytest.raises(RunError, match=r"recipe.json: its recipe 'default' of width 16 has .* weights, more than"):
        load_run(tmp_path)


def test_a_recipe_of_the_users_is_built_once(tmp_path, monkeypatch):
    built = []

    def mine(width):
        built.append(width)
        return recipes.get("default", width=width)

    monkeypatch.setattr(recipe_module, "_RECIPES", recipe_module._RECIPES | {"mine": mine})
    recipe = recipes.get("mine", width=0.1)
    save_run(tmp_path, recipe, recipe.model())
    built.clear()
    load_run(tmp_path)
    assert built == [0.1]
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": 16}))
    with pytest.raises(RunError, match="its recipe 'mine' of width 16 has .* weights, more than"):
        load_run(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    saved_run(tmp_path)
    (tmp_path / "recipe.json").unlink()
    os.mkfifo(tmp_path / "recipe.json")
    with pytest.raises(RunError, match="not a regular file"):
        load_run(tmp_path)

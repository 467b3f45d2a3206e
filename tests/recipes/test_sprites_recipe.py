"""The sprites recipe: the layers and settings of its paper, counted by hand."""

import math

import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from infogan_lib import Engine, InfoGAN, recipes
from infogan_lib.recipes.sprites import sprites as sprites_recipe
from sprites_data import Sprites

CPU = Engine("cpu")
SPRITES = Sprites()


def conv(before, after):
    return 16 * before * after + after


def linear(before, after):
    return before * after + after


def test_the_layers_are_the_papers():
    """From the paper's table, layer by layer; each BatchNorm has two numbers a channel."""
    groups = sprites_recipe().trainer(engine=CPU).model.parameter_groups()
    norms = 2 * (128 + 1024 + 64 + 32 + 32)
    up = conv(64, 64) + conv(64, 32) + conv(32, 32) + conv(32, 1)
    down = conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64)
    assert {part: sum(p.numel() for p in found) for part, found in groups.items()} == {
        "generator": linear(10, 128) + linear(128, 1024) + up + norms,
        "trunk": down + linear(1024, 128),
        "d_head": linear(128, 1),
        "q_head": linear(128, 128) + linear(128, 5),
    }


def test_the_settings_are_the_papers():
    recipe = recipes.get("sprites", width=1 / 16)
    trainer = recipe.trainer(engine=CPU)
    optimizers = trainer.optimizers
    assert {name: o.defaults["lr"] for name, o in optimizers.items()} == {"d": 2e-3, "g": 1e-3, "q": 2e-3}
    assert all(o.defaults["betas"][0] == 0.5 for o in optimizers.values())
    assert (recipe.batch_size, recipe.epochs, recipe.image_size) == (64, 28, 64)
    assert recipe.trainer_kwargs == {"g_steps": 2}
    assert trainer.model.output_range == (0.0, 1.0)
    latent = recipe.latent.sample(1000)
    assert latent.shape == (1000, 10)
    assert latent.abs().max() <= 1
    assert latent.abs().mean() == pytest.approx(0.5, abs=0.02)


def test_the_information_loss_is_half_the_squared_error():
    code = sprites_recipe(1 / 16).latent["code"]
    outputs, value = torch.randn(7, 5), torch.rand(7, 5) * 2 - 1
    constant = 2.5 * math.log(2 * math.pi)
    torch.testing.assert_close(code.nll(outputs, value), 0.5 * (outputs - value).square().sum(1) + constant)
    assert code.weight == 0.05
    assert torch.equal(code.posterior(outputs).mean, outputs)


def test_every_layer_of_d_and_q_is_under_spectral_norm():
    recipe = recipes.get("sprites", width=1 / 8)
    layers = [*recipe.discriminator[0], *recipe.discriminator[1], *recipe.q_head]
    weighted = [layer for layer in layers if hasattr(layer, "weight")]
    assert len(weighted) == 8
    assert all(is_parametrized(layer, "weight") for layer in weighted)
    recipe.trainer(engine=CPU).fit(SPRITES, steps=10, batch_size=8)
    for layer in weighted:
        assert torch.linalg.matrix_norm(layer.eval().weight.flatten(1), 2).item() == pytest.approx(1, abs=0.15)
        assert layer.parametrizations.weight.original.std() > 0
    assert not any(is_parametrized(layer) for layer in recipe.generator)


@pytest.mark.slow
def test_two_steps_resuming_and_loading(tmp_path):
    def run(folder=None, steps=2):
        recipe = recipes.get("sprites", width=1 / 16, seed=3)
        trainer = recipe.trainer(engine=CPU)
        trainer.fit(SPRITES, steps=steps, batch_size=4, checkpoints=folder)
        return trainer

    whole = run()
    run(tmp_path, steps=1)
    again = run(tmp_path)
    assert again.steps == 2
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    whole.model.save(tmp_path / "model")
    parts = recipes.get("sprites", width=1 / 16)
    loaded = InfoGAN.load(
        tmp_path / "model", generator=parts.generator, discriminator=parts.discriminator, q_head=parts.q_head
    )
    images = torch.stack(SPRITES.__getitems__([0, 5000]))
    assert torch.equal(loaded.encode(images)["code"].mean, whole.model.encode(images)["code"].mean)
    assert loaded.sample(2, seed=0).shape == (2, 1, 64, 64)

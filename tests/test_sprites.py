"""Sprites: their geometry against closed forms, the grid, and the recipe that learns them, counted by hand."""

import json
import math

import matplotlib.image
import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.data import DataLoader

import sprites as sprites_example
from infogan_lib import InfoGAN, recipes
from infogan_lib.recipes.sprites import sprites as sprites_recipe
from sprites_data import SIDE, Sprites

SPRITES = Sprites()
SQUARE, ELLIPSE, HEART = range(3)
# In pixels at scale 1. The heart's tip is sqrt(2) r below its square's centre, and its centroid above that by sqrt(2) r
# times (pi/2 + 2/3) / (4 + pi); from tip to centroid it is 16.4.
HEART_R = 16.4 / math.sqrt(2) / (1 + (math.pi / 2 + 2 / 3) / (4 + math.pi))
AREAS = {SQUARE: 2 * 16.4**2, ELLIPSE: math.pi * 16.4 * 8.2, HEART: (4 + math.pi) * HEART_R**2}


def grid(**fixed):
    """All combinations of what is not fixed, (N, 5); positions are in the middle unless asked for."""
    ranges = dict(zip(SPRITES.names, map(range, SPRITES.sizes), strict=True)) | {"x": [16], "y": [16]}
    given = {name: [values] if isinstance(values, int) else values for name, values in fixed.items()}
    return torch.cartesian_prod(*(torch.tensor(list(values)) for values in (ranges | given).values()))


def moments(images):
    """Areas (N,), centroids (N, 2) as x to the right and y down, and second central moments (N, 2, 2), in pixels."""
    weight = images[:, 0].double() / 255
    area = weight.sum((1, 2))
    place = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="xy"), dim=-1).double()
    centroid = torch.einsum("nij,ijk->nk", weight, place) / area[:, None]
    offset = place - centroid[:, None, None]
    return area, centroid, torch.einsum("nij,nijk,nijl->nkl", weight, offset, offset) / area[:, None, None]


@pytest.mark.parametrize("shape", AREAS)
def test_areas_are_the_closed_forms_and_grow_with_the_square_of_the_scale(shape):
    area = moments(SPRITES.images(grid(shape=shape)))[0].view(6, 40)
    closed = AREAS[shape] * torch.linspace(0.5, 1, 6, dtype=torch.float64) ** 2
    torch.testing.assert_close(area.mean(1), closed, rtol=0.025, atol=0)
    assert (area.mean(1) / closed).mean().item() == pytest.approx(1, abs=0.01)
    assert (area / closed[:, None] - 1).abs().max() < 0.15


@pytest.mark.parametrize("shape", AREAS)
def test_the_centroid_is_where_the_position_says(shape):
    factors = grid(shape=shape, scale=[0, 5], orientation=[0, 13], x=range(32), y=[0, 9, 31])
    _, centroid, _ = moments(SPRITES.images(factors))
    torch.testing.assert_close(centroid, 16.0 + factors[:, 3:].double(), rtol=0, atol=0.35)
    moved = centroid.view(4, 32, 3, 2).diff(dim=1)
    torch.testing.assert_close(moved, torch.tensor([1.0, 0.0]).double().expand_as(moved), rtol=0, atol=1e-9)


def test_positions_only_move_the_sprite():
    middle = SPRITES.images(torch.tensor([[HEART, 5, 7, 16, 16]]))
    moved = SPRITES.images(torch.tensor([[HEART, 5, 7, 20, 3]]))
    assert torch.equal(moved, middle.roll((-13, 4), (2, 3)))


def test_an_ellipse_lies_along_its_orientation():
    *_, second = moments(SPRITES.images(grid(shape=ELLIPSE, scale=[2, 5])))
    angle = 0.5 * torch.atan2(-2 * second[:, 0, 1], second[:, 0, 0] - second[:, 1, 1])  # y points down
    wanted = torch.arange(40).repeat(2) * math.pi / 20
    away = (angle - wanted + math.pi / 2).remainder(math.pi) - math.pi / 2
    assert away.abs().max() < math.radians(1.5)
    axes = torch.linalg.eigvalsh(second[40:]).sqrt() * 2
    torch.testing.assert_close(axes, torch.tensor([8.2, 16.4]).double().expand_as(axes), rtol=0.02, atol=0)


def test_ten_orientations_are_a_quarter_of_a_turn_anticlockwise():
    sprites = SPRITES.images(grid())[:, 0, 16:49, 16:49].view(3, 6, 40, 33, 33)
    assert torch.equal(sprites.roll(-10, 2), sprites.rot90(1, (3, 4)))


def test_a_heart_points_down_and_turns_with_its_orientation():
    hearts = SPRITES.images(grid(shape=HEART, scale=5)).float()[..., 16:49, 16:49]
    upright = hearts[:1]
    assert torch.equal(upright, upright.flip(3))
    wide = (upright > 0).sum(3).flatten()
    assert wide[-1] <= 3
    assert wide.argmax() < 16
    turn = torch.arange(40) * math.pi / 20
    onto = torch.stack([turn.cos(), -turn.sin(), 0 * turn, turn.sin(), turn.cos(), 0 * turn], dim=1).view(40, 2, 3)
    places = F.affine_grid(onto, [40, 1, 33, 33], align_corners=True)
    turned = F.grid_sample(upright.expand(40, -1, -1, -1), places, align_corners=True)
    differ = (turned.flatten(1)[:, None] - hearts.flatten(1)).abs().mean(2)
    assert torch.equal(differ.argmin(1), torch.arange(40))


def test_scales_and_orientations_differ_but_for_the_shapes_own_symmetry():
    outlines = SPRITES.images(grid()).flatten(1).view(3, 6, 40, -1)
    for shape, period in ((SQUARE, 10), (ELLIPSE, 20), (HEART, 40)):
        assert torch.equal(outlines[shape], outlines[shape, :, :period].repeat(1, 40 // period, 1)), shape
    assert len(outlines.flatten(0, 2).unique(dim=0)) == 6 * (10 + 20 + 40)
    assert not torch.equal(outlines[HEART, 5, 0], outlines[HEART, 5, 39])


def test_every_position_gives_another_image():
    factors = grid(shape=SQUARE, scale=0, orientation=3, x=range(32), y=range(32))
    assert len(SPRITES.images(factors).flatten(1).unique(dim=0)) == 1024


def test_no_sprite_is_empty_or_cut_off():
    inside = SPRITES.images(grid()).flatten(1).count_nonzero(1)
    assert inside.min() > 80
    corners = SPRITES.images(grid(x=[0, 31], y=[0, 31])).flatten(1).count_nonzero(1).view(-1, 4)
    assert torch.equal(corners, inside[:, None].expand(-1, 4))
    largest = SPRITES.images(grid(scale=5))
    *_, y, x = (largest.nonzero() - 32).T
    assert 16 < (x**2 + y**2).double().sqrt().max() <= 16.4
    edges = SPRITES.images(grid(x=[0, 31], y=[0, 31], scale=5))[:, 0].any(0)
    assert edges[0].any()
    assert edges[-1].any()
    assert edges[:, 0].any()
    assert edges[:, -1].any()


def test_indices_and_factors_are_each_others_inverse():
    assert len(SPRITES) == 737_280
    index = torch.arange(len(SPRITES))
    factors = SPRITES.factors_of(index)
    assert factors.shape == (737_280, 5)
    assert torch.equal(SPRITES.index_of(factors), index)
    assert (factors.amin(0).tolist(), factors.amax(0).tolist()) == ([0] * 5, [2, 5, 39, 31, 31])
    assert SPRITES.factors_of(1 + 32 * (2 + 32 * (3 + 40 * (4 + 6 * 2)))).tolist() == [2, 4, 3, 2, 1]


def test_batches_are_the_single_images():
    wanted = [0, 17, 400_000, 737_279, 17]
    batch = SPRITES.__getitems__(wanted)
    for index, image in zip(wanted, batch, strict=True):
        assert (image.shape, image.dtype) == ((1, 64, 64), torch.uint8)
        assert image.unique().tolist() == [0, 255]
        assert torch.equal(image, SPRITES[index])
        assert torch.equal(image, SPRITES.images(SPRITES.factors_of(index)[None])[0])
    assert torch.equal(next(iter(DataLoader(SPRITES, sampler=wanted, batch_size=5))), torch.stack(batch))
    assert SPRITES.images(torch.empty(0, 5, dtype=torch.int64)).shape == (0, 1, 64, 64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SPRITES[737_280], IndexError, "from 0 to 737279, but got 737280"),
        (lambda: SPRITES[-1], IndexError, "but got -1"),
        (lambda: SPRITES.__getitems__([3, 800_000]), IndexError, "but got 800000"),
        (
            lambda: SPRITES.images(torch.tensor([[0, 0, 0, 0, 0], [3, 0, 0, 0, 0]])),
            ValueError,
            "'shape' .* 2, but got 3",
        ),
        (lambda: SPRITES.images(torch.tensor([[0, 0, 40, 0, 0]])), ValueError, "'orientation' .* 0 to 39, but got 40"),
        (lambda: SPRITES.images(torch.tensor([[0, 0, 0, 0, -1]])), ValueError, "'y' must be from 0 to 31, but got -1"),
        (lambda: SPRITES.index_of(torch.tensor([[0, 6, 0, 0, 0]])), ValueError, "'scale' .* 0 to 5, but got 6"),
        (lambda: SPRITES.images(torch.zeros(2, 4, dtype=torch.int64)), ValueError, r"\(N, 5\), but got \(2, 4\)"),
        (lambda: SPRITES.images(torch.zeros(5, dtype=torch.int64)), ValueError, r"\(N, 5\), but got \(5,\)"),
        (lambda: SPRITES.images(torch.zeros(2, 5)), TypeError, "whole numbers such as int64, but got torch.float32"),
        (lambda: SPRITES.images([[0] * 5]), TypeError, "whole numbers such as int64, but got list"),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def conv(before, after):
    return 16 * before * after + after


def linear(before, after):
    return before * after + after


def test_the_layers_are_the_papers():
    """From the paper's table, layer by layer; each BatchNorm has two numbers a channel."""
    groups = sprites_recipe().trainer(device="cpu").model.parameter_groups()
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
    trainer = recipe.trainer(device="cpu")
    optimizers = trainer._step.d_optimizers + trainer._step.g_optimizers
    assert [o.defaults["lr"] for o in optimizers] == [2e-3, 1e-3, 2e-3]
    assert all(o.defaults["betas"][0] == 0.5 for o in optimizers)
    assert (recipe.batch_size, recipe.epochs, trainer._step.g_steps, recipe.image_size) == (64, 28, 2, 64)
    assert trainer.model.output_range == (0.0, 1.0)
    latent = recipe.latent.sample(1000)
    assert latent.shape == (1000, 10)
    assert latent.abs().max() <= 1
    assert latent.abs().mean() == pytest.approx(0.5, abs=0.02)


def test_the_information_loss_is_half_the_squared_error():
    code = sprites_recipe(1 / 16).latent["code"]
    raw, value = torch.randn(7, 5), torch.rand(7, 5) * 2 - 1
    constant = 2.5 * math.log(2 * math.pi)
    torch.testing.assert_close(code.nll(raw, value), 0.5 * (raw - value).square().sum(1) + constant)
    assert code.weight == 0.05
    assert torch.equal(code.posterior(raw).mean, raw)


def test_every_layer_of_d_and_q_is_under_spectral_norm():
    recipe = recipes.get("sprites", width=1 / 8)
    layers = [*recipe.discriminator[0], *recipe.discriminator[1], *recipe.q_head]
    weighted = [layer for layer in layers if hasattr(layer, "weight")]
    assert len(weighted) == 8
    assert all(is_parametrized(layer, "weight") for layer in weighted)
    recipe.trainer(device="cpu").fit(SPRITES, steps=10, batch_size=8)
    for layer in weighted:
        assert torch.linalg.matrix_norm(layer.eval().weight.flatten(1), 2).item() == pytest.approx(1, abs=0.15)
        assert layer.parametrizations.weight.original.std() > 0
    assert not any(is_parametrized(layer) for layer in recipe.generator)


def test_two_steps_and_going_on(tmp_path):
    def run(run_dir=None, steps=2):
        recipe = recipes.get("sprites", width=1 / 16, seed=3)
        trainer = recipe.trainer(device="cpu")
        trainer.fit(SPRITES, steps=steps, batch_size=4, checkpoints=run_dir)
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


def test_the_example_leaves_pictures_and_a_table(tmp_path, monkeypatch, capsys):
    arguments = ["--steps", "2", "--width", "0.0625", "--samples", "400", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["sprites.py", *arguments])
    sprites_example.main()
    said = capsys.readouterr().out
    for name in ["sprites", "curves", *(f"code_{dim}" for dim in range(5))]:
        assert matplotlib.image.imread(tmp_path / f"{name}.png").std() > 0.01, name
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"FactorVAE", "BetaVAE", "mig", "sap", "modularity", "explicitness"} <= set(result["scores"])
    for name, score in result["scores"].items():
        assert 0 <= score <= 1, name
        assert f"{name}  {score:.3f}" in said
    assert "2 steps in" in said

"""Sprites: their geometry against closed forms, the factor grid, and the example."""

import json
import math

import matplotlib.image
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

import sprites as sprites_example
from infogan_lib.recipes import load_run
from sprites_data import SIDE, Sprites

SPRITES = Sprites()
SQUARE, ELLIPSE, HEART = range(3)
# In pixels at scale 1. The heart's tip is sqrt(2) r below its square's centre, and its centroid above that by sqrt(2) r
# times (pi/2 + 2/3) / (4 + pi); from tip to centroid it is 16.4.
HEART_R = 16.4 / math.sqrt(2) / (1 + (math.pi / 2 + 2 / 3) / (4 + math.pi))
AREAS = {SQUARE: 2 * 16.4**2, ELLIPSE: math.pi * 16.4 * 8.2, HEART: (4 + math.pi) * HEART_R**2}


def grid(**fixed):
    """All combinations of what is not fixed, (N, 5); positions are in the middle unless given."""
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


@pytest.mark.slow
def test_the_example_leaves_pictures_and_a_table(tmp_path, monkeypatch, capsys):
    arguments = ["--steps", "2", "--width", "0.0625", "--samples", "400", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["sprites.py", *arguments])
    sprites_example.main()
    output = capsys.readouterr().out
    for name in ["sprites", "curves", *(f"code_{dim}" for dim in range(5))]:
        assert matplotlib.image.imread(tmp_path / f"{name}.png").std() > 0.01, name
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"FactorVAE", "BetaVAE", "mig", "sap", "modularity", "explicitness"} <= set(result["scores"])
    for name, score in result["scores"].items():
        assert 0 <= score <= 1, name
        assert f"{name}  {score:.3f}" in output
    assert "2 steps in" in output
    assert load_run(tmp_path).image_shape == (1, 64, 64)

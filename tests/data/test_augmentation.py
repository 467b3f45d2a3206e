"""Augmentations: each against a loop written by hand, its gradient, and what it must leave as it was."""

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from infogan_lib.data import (
    Brightness,
    Compose,
    Contrast,
    Cutout,
    RandomAffine,
    Saturation,
    Translation,
)
from toys import images

ALL = [
    Translation(0.3),
    Cutout(0.4, value=0.2),
    Brightness(0.3),
    Contrast(0.5),
    Saturation(0.7),
    RandomAffine(),
    Compose([Translation(0.2), Saturation(0.5), Cutout(0.3)]),
]
ANY_SIDES = [*ALL[:5], ALL[6]]  # all but RandomAffine, which is for images alone
SHAPES = [(3, 6, 7), (1, 8, 8), (2, 11), (2, 3, 4, 5)]  # images, sound and volumes
CASES = [(a, shape) for a in ANY_SIDES for shape in SHAPES] + [(ALL[5], (3, 6, 7)), (ALL[5], (1, 8, 8))]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def double(n, shape):
    return images(n, shape, dtype=torch.float64)


def test_translation_by_hand():
    x = double(20, (2, 6, 9))
    result, source = Translation(0.3)(x, rng(1)), rng(1)
    down = torch.randint(-2, 3, (20, 1), generator=source).flatten().tolist()
    right = torch.randint(-3, 4, (20, 1), generator=source).flatten().tolist()
    assert set(down) == set(range(-2, 3))
    assert set(right) == set(range(-3, 4))
    for n, (i, j) in enumerate(zip(down, right, strict=True)):
        for row in range(6):
            for column in range(9):
                from_row, from_column = min(max(row - i, 0), 5), min(max(column - j, 0), 8)
                assert torch.equal(result[n, :, row, column], x[n, :, from_row, from_column])


def test_cutout_by_hand():
    x = double(20, (2, 6, 9))
    result, source = Cutout(0.3, value=0.25)(x, rng(1)), rng(1)
    rows = torch.randint(0, 6, (20, 1), generator=source).flatten().tolist()
    columns = torch.randint(0, 9, (20, 1), generator=source).flatten().tolist()
    for n, (i, j) in enumerate(zip(rows, columns, strict=True)):
        expected = x[n].clone()
        expected[:, max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 2] = 0.25  # 2 rows and 3 columns
        assert torch.equal(result[n], expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [Brightness, Contrast, Saturation])
def test_changes_of_color_by_hand(kind, shape):
    x = double(5, shape)
    result = kind(0.6)(x, rng(1))
    draws = 0.6 * (2 * torch.rand(5, generator=rng(1), dtype=torch.float64) - 1)
    for image, new, u in zip(x, result, draws, strict=True):
        expected = {
            Brightness: image + u,
            Contrast: image.mean() + (1 + u) * (image - image.mean()),
            Saturation: image.mean(0) + (1 + u) * (image - image.mean(0)),
        }[kind]
        torch.testing.assert_close(new, expected, rtol=0, atol=1e-14)


def test_composition_applies_one_after_the_other_with_one_source_of_randomness():
    x, parts = double(5, (3, 6, 7)), [Translation(0.4), Brightness(0.2), Translation(0.4)]
    source, expected = rng(1), x
    for part in parts:
        expected = part(expected, source)
    assert torch.equal(Compose(parts)(x, rng(1)), expected)
    assert Compose([])(x, rng(1)) is x


@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_gradient_of_images(augment, shape):
    x = double(2, shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, rng(2)), x)
    assert torch.autograd.grad(augment(x, rng(2)).sum(), x)[0].abs().sum() > 0


STILL = [Translation(0), Cutout(0), Brightness(0), Contrast(0), Saturation(0), Compose([Translation(0), Contrast(0)])]


@pytest.mark.parametrize("augment", STILL)
@pytest.mark.parametrize("shape", SHAPES)
def test_at_strength_zero_it_is_the_identity(augment, shape):
    x = images(4, shape)
    assert torch.equal(augment(x, rng()), x)


@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_at_any_other_strength_it_changes_images_each_by_itself(augment, shape):
    x = images(1, shape).expand(30, *shape)
    result = augment(x, rng())
    if isinstance(augment, Saturation) and shape[0] == 1:
        assert torch.equal(result, x)
    else:
        assert len(result.flatten(1).unique(dim=0)) > 5


@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_is_a_function_of_its_source_of_randomness(augment, shape):
    x = images(4, shape)
    torch.manual_seed(1)
    first = augment(x, rng(1))
    torch.manual_seed(2)
    assert torch.equal(first, augment(x, rng(1)))
    if not (isinstance(augment, Saturation) and shape[0] == 1):
        assert not torch.equal(first, augment(x, rng(3)))


@pytest.mark.parametrize("augment", [Translation(1), Cutout(1), RandomAffine()])
def test_the_range_of_images_is_kept(augment):
    x = images(50, (2, 7, 7)) / 2
    result = augment(x, rng())
    assert result.min() >= x.min() - 1e-6
    assert result.max() <= x.max() + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_shape_and_dtype_are_kept_and_the_input_is_not_changed(augment, shape, dtype):
    if isinstance(augment, RandomAffine) and dtype in (torch.bfloat16, torch.float16):
        pytest.skip("torch has no grid_sample in half precision on the CPU")
    x = images(3, shape, dtype=torch.float64).to(dtype)
    before = x.clone()
    result = augment(x, rng())
    assert (result.shape, result.dtype, result.device) == (x.shape, dtype, x.device)
    assert torch.equal(x, before)


@pytest.mark.usefixtures("traced_generators")
@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_a_trace_on_fake_tensors_is_the_augmentation(augment, shape):
    """Tracing without values fails at anything that reads one on the host."""
    x, source = images(3, shape), rng(5)
    traced = make_fx(lambda x: augment(x, source), tracing_mode="fake")(x)
    source.manual_seed(6)
    first = traced(x)
    source.manual_seed(7)
    second = traced(x)
    assert torch.equal(first, augment(x, rng(6)))
    assert torch.equal(second, augment(x, rng(7)))


def test_equal_settings_are_equal_and_hashable():
    assert Compose([Translation(0.1)]) == Compose((Translation(0.1),))
    assert len({Cutout(0.5), Cutout(0.5), Cutout(0.4), RandomAffine(), RandomAffine()}) == 3


def test_affine_without_any_change_is_the_identity():
    x = images(3, (2, 7, 9))
    still = RandomAffine(degrees=0, scale=0, shear=0, shift=0)
    torch.testing.assert_close(still(x, torch.Generator()), x, atol=1e-5, rtol=0)


def test_affine_shifts_by_at_most_the_given_fraction():
    x = torch.zeros(64, 1, 33, 33)
    x[:, :, 16, 16] = 1
    shifted = RandomAffine(degrees=0, scale=0, shear=0, shift=0.1)(x, torch.Generator().manual_seed(0))
    columns = (shifted.sum(2) * torch.arange(33)).sum((1, 2)) / shifted.sum((1, 2, 3))
    assert (columns - 16).abs().max() <= 3.4
    assert (columns - 16).abs().max() > 2
    assert columns.unique().numel() > 50  # each image by itself


@pytest.mark.cuda
@pytest.mark.parametrize(("augment", "shape"), CASES, ids=str)
def test_on_cuda(augment, shape):
    x = images(4, shape).cuda().requires_grad_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(x, torch.Generator("cuda")).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert x.grad.isfinite().all()


VECTORS = torch.zeros(3, 8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Translation(-0.1), ValueError, "fraction must be a finite number of at least 0"),
        (lambda: Translation(1.5), ValueError, "fraction must be a finite number from 0 to 1, but got 1.5"),
        (lambda: Cutout(2), ValueError, "fraction must be a finite number from 0 to 1"),
        (lambda: Cutout(0.5, value="black"), TypeError, "value must be a finite number"),
        (lambda: Brightness(-1), ValueError, "amount must be a finite number of at least 0"),
        (lambda: Contrast(-1), ValueError, "amount must be a finite number of at least 0"),
        (lambda: Saturation("much"), TypeError, "amount must be a finite number of at least 0"),
        (lambda: Compose(Translation()), TypeError, "augmentations must be a sequence of functions"),
        (lambda: Compose([Translation]), TypeError, "one of them is <class"),
        (lambda: RandomAffine(degrees=-1), ValueError, "degrees must be a finite number of at least 0"),
        (lambda: RandomAffine()(VECTORS, rng()), ValueError, r"images \(N, C, H, W\)"),
        (lambda: Translation()(VECTORS, rng()), ValueError, r"images \(N, C, \*\) .* but got shape \(3, 8\)"),
        (lambda: Cutout()(VECTORS, rng()), ValueError, r"images \(N, C, \*\)"),
        (lambda: Saturation()(VECTORS, rng()), ValueError, r"images \(N, C, \*\)"),
    ],
)
def test_errors_name_the_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("augment", [Brightness(), Contrast(), Saturation(), RandomAffine()])
@pytest.mark.parametrize("images", [torch.zeros(2, 3, 4, 4, dtype=torch.uint8), np.zeros((2, 3, 4, 4)), None])
def test_images_that_are_no_floats_are_refused_by_name(augment, images):
    with pytest.raises(TypeError, match=rf"{type(augment).__name__} takes images \(N, \*\) of floats, .* but got"):
        augment(images, torch.Generator())


@pytest.mark.parametrize("augment", [Cutout(), Translation()])
def test_images_that_are_no_tensor_are_refused_by_name(augment):
    with pytest.raises(TypeError, match=rf"{type(augment).__name__} takes images .* in a Tensor, but got None"):
        augment(None, torch.Generator())


EMPTY = [torch.zeros(0, 1, 4, 4), torch.zeros(2, 0, 4, 4), torch.zeros(2, 1, 0, 4)]


@pytest.mark.parametrize("augment", [Cutout(), Translation(), Brightness(), Contrast(), Saturation(), RandomAffine()])
def test_nothing_but_images_and_a_torch_generator_is_taken(augment):
    kind = type(augment).__name__
    for empty in EMPTY:
        with pytest.raises(ValueError, match=f"{kind} takes images with at least one pixel, but got shape"):
            augment(empty, rng())
    images = torch.zeros(2, 1, 4, 4)
    for other in (images.to_sparse(), images.to("meta")):
        with pytest.raises(TypeError, match=f"the images of {kind} must be a dense Tensor"):
            augment(other, rng())
    for wrong in (5, "g", np.random.default_rng(0)):
        with pytest.raises(TypeError, match="rng must be a torch.Generator"):
            augment(images, wrong)


@pytest.mark.parametrize("value", [-1.0, 0.5, 256.0])
def test_bytes_are_cut_out_by_a_byte(value):
    shades = torch.full((2, 1, 4, 4), 9, dtype=torch.uint8)
    assert Cutout(1.0, 255)(shades, rng()).amax() == 255
    with pytest.raises(ValueError, match="value of Cutout must be 0 to 255 for images of bytes"):
        Cutout(1.0, value)(shades, rng())

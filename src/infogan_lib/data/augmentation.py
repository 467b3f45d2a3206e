r"""Random changes of images, as differentiable functions of images and a source of randomness.

An augmentation T makes another view of each image, T(x), with a draw of its own for each. Three uses share them: more
varied training data; views under which Q or D should not change its output; and T before D for real and generated
images alike, through which G gets its gradient,

.. math::
    L_D = E[\mathrm{real}(D(T(x)))] + E[\mathrm{fake}(D(T(\hat x)))], \qquad
    L_G = E[\mathrm{generator}(D(T(\hat x)))]

(Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020; Karras et al.,
*Training Generative Adversarial Networks with Limited Data*, NeurIPS 2020).

All are tensor operations of a fixed shape: they run on the images' device without waiting for it, keep shape, dtype and
device, and can be compiled or captured. At strength 0 each is the identity.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from infogan_lib._checks import can_compute, check_dense, check_float, check_rng, describe

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""A function (images, rng) -> images of the same shape; rng is on the images' device."""


@dataclass(frozen=True)
class Compose:
    """Several augmentations, one after the other.

    Args:
        augmentations: The augmentations, in the order in which they are applied.

    Raises:
        TypeError: Something that is no function.
    """

    augmentations: Sequence[Augmentation]

    def __post_init__(self) -> None:
        wanted = "augmentations must be a sequence of functions of images and a torch.Generator"
        if not isinstance(self.augmentations, Sequence):
            raise TypeError(f"{wanted}, but got {describe(self.augmentations)}")
        for augmentation in self.augmentations:
            if not callable(augmentation) or isinstance(augmentation, type):
                raise TypeError(f"{wanted}, but one of them is {describe(augmentation)}")
        object.__setattr__(self, "augmentations", tuple(self.augmentations))

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """The images under all augmentations in turn, same shape."""
        for augmentation in self.augmentations:
            images = augmentation(images, rng)
        return images


@dataclass(frozen=True)
class Translation:
    """Random shifts of images (N, C, H, W), sounds (N, C, T) or volumes (N, C, D, H, W), by whole pixels.

    Values that come in from outside are those at the edge, so an image keeps its range.

    Args:
        fraction: The largest shift to either side, as a fraction of the side, 0 to 1; rounded to whole pixels.

    Source: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020, who shift by up
    to 1/8 and fill with zeros.
    """

    fraction: float = 0.125

    def __post_init__(self) -> None:
        object.__setattr__(self, "fraction", _check_fraction(self.fraction))

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image with a shift of its own along every side, same shape.

        Raises:
            ValueError: Images without a spatial dimension.
        """
        _check_spatial("Translation", images, rng)
        for dim in range(2, images.ndim):
            size, most = images.shape[dim], _pixels(self.fraction, images.shape[dim])
            shift = torch.randint(-most, most + 1, (len(images), 1), generator=rng, device=images.device)
            source = (torch.arange(size, device=images.device) - shift).clamp(0, size - 1)
            images = images.gather(dim, _along(source, dim, images.ndim).expand_as(images))
        return images


@dataclass(frozen=True)
class Cutout:
    """A box of one value at a random place of images (N, C, H, W), sounds (N, C, T) or volumes (N, C, D, H, W).

    Args:
        fraction: The sides of the box, as a fraction of the image's, 0 to 1; rounded to whole pixels. The box is
            centered on a random pixel, so part of it may lie outside.
        value: The value inside. The default 0 is the middle of the range (-1, 1).

    Source: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020; DeVries and
    Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017.
    """

    fraction: float = 0.5
    value: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fraction", _check_fraction(self.fraction))
        object.__setattr__(self, "value", check_float("value", self.value))

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image with a box of its own, same shape.

        Raises:
            ValueError: Images without a spatial dimension, or of bytes where `value` is none.
        """
        _check_spatial("Cutout", images, rng)
        if not images.is_floating_point() and self.value not in range(256):
            raise ValueError(f"value of Cutout must be 0 to 255 for images of bytes, but got {self.value:g}")
        inside = torch.ones((), dtype=torch.bool, device=images.device)
        for dim in range(2, images.ndim):
            size, side = images.shape[dim], _pixels(self.fraction, images.shape[dim])
            center = torch.randint(0, size, (len(images), 1), generator=rng, device=images.device)
            offset = torch.arange(size, device=images.device) - center + side // 2
            inside = inside & _along((offset >= 0) & (offset < side), dim, images.ndim)
        return images.masked_fill(inside, self.value)


@dataclass(frozen=True)
class _Amount:
    amount: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", check_float("amount", self.amount, minimum=0))


@dataclass(frozen=True)
class Brightness(_Amount):
    """A random number added to each image. It may leave the images' range: a clamp would stop the gradient.

    Args:
        amount: The largest change to either side.

    Source: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020.
    """

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image (N, *) with a change of its own, same shape."""
        _check_floats("Brightness", images, rng)
        return images + _uniform(self.amount, images, rng)


@dataclass(frozen=True)
class Contrast(_Amount):
    """Each image's distance from its own mean times a random factor. It may leave the images' range.

    Args:
        amount: The largest change of the factor from 1 to either side.

    Source: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020.
    """

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image (N, *) with a factor of its own, same shape."""
        _check_floats("Contrast", images, rng)
        mean = images.mean(tuple(range(1, images.ndim)), keepdim=True)
        return images + _uniform(self.amount, images, rng) * (images - mean)


@dataclass(frozen=True)
class Saturation(_Amount):
    """Each pixel's distance from its mean over the channels times a random factor. It may leave the images' range.

    Images of one channel stay as they are.

    Args:
        amount: The largest change of the factor from 1 to either side.

    Source: Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training*, NeurIPS 2020.
    """

    amount: float = 1.0

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image (N, C, *) with a factor of its own, same shape.

        Raises:
            ValueError: Images without a spatial dimension.
        """
        _check_floats("Saturation", images, rng)
        _check_spatial("Saturation", images, rng)
        return images + _uniform(self.amount, images, rng) * (images - images.mean(1, keepdim=True))


@dataclass(frozen=True, kw_only=True)
class RandomAffine:
    """Small random rotations, scalings, shears and shifts of images (N, C, H, W), as one bilinear resampling.

    Args:
        degrees: The largest rotation to either side.
        scale: The largest relative change of size.
        shear: The largest shear to either side.
        shift: The largest shift, as a fraction of the image's side.
    """

    degrees: float = 22.5
    scale: float = 0.225
    shear: float = 0.3
    shift: float = 0.12

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, check_float(field.name, getattr(self, field.name), minimum=0))

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image under a warp of its own, same shape; values that come in from outside are those at the edge.

        Raises:
            ValueError: Images of another number of dimensions.
        """
        _check_floats("RandomAffine", images, rng)
        if images.ndim != 4:
            raise ValueError(f"RandomAffine takes images (N, C, H, W), but got shape {tuple(images.shape)}")
        u = torch.rand(6, len(images), generator=rng, device=images.device, dtype=torch.float32) * 2 - 1
        angle = u[0] * math.radians(self.degrees)
        wide, high = 1 + self.scale * u[1], 1 + self.scale * u[2]
        cos, sin, shear = angle.cos(), angle.sin(), self.shear * u[3]
        first = torch.stack([cos * wide, (shear - sin) * high, 2 * self.shift * u[4]], dim=1)
        second = torch.stack([sin * wide, cos * high, 2 * self.shift * u[5]], dim=1)
        warps = torch.stack([first, second], dim=1).to(images.dtype)
        grid = F.affine_grid(warps, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _check_fraction(fraction: object) -> float:
    result = check_float("fraction", fraction, minimum=0)
    if result > 1:
        raise ValueError(f"fraction must be a finite number from 0 to 1, but got {describe(fraction)}")
    return result


def _check_floats(name: str, images: object, rng: object) -> None:
    if not isinstance(images, Tensor) or not can_compute(images.dtype) or images.is_nested or images.ndim == 0:
        raise TypeError(
            f"{name} takes images (N, *) of floats, such as images.float() / 127.5 - 1 of bytes, but got "
            f"{describe(images)}"
        )
    _check_filled(name, images, rng)


def _check_spatial(name: str, images: Tensor, rng: object) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} takes images (N, C, *) in a Tensor, but got {describe(images)}")
    if images.ndim < 3:
        raise ValueError(f"{name} takes images (N, C, *) with at least one side, but got shape {tuple(images.shape)}")
    _check_filled(name, images, rng)


def _check_filled(name: str, images: Tensor, rng: object) -> None:
    check_dense(f"the images of {name}", images)
    check_rng("rng", rng)
    if images.numel() == 0:
        raise ValueError(f"{name} takes images with at least one pixel, but got shape {tuple(images.shape)}")


def _pixels(fraction: float, size: int) -> int:
    return int(fraction * size + 0.5)


def _along(values: Tensor, dim: int, ndim: int) -> Tensor:
    """Values (N, size) as a tensor of `ndim` dimensions, size 1 but in the batch and in `dim`."""
    return values.reshape(len(values), *(-1 if i == dim else 1 for i in range(1, ndim)))


def _uniform(amount: float, images: Tensor, rng: torch.Generator) -> Tensor:
    """One number for each image, uniform on (-amount, amount), shape (N, 1, ...)."""
    u = torch.rand(len(images), generator=rng, device=images.device, dtype=images.dtype)
    return (amount * (2 * u - 1)).reshape(-1, *(1 for _ in images.shape[1:]))

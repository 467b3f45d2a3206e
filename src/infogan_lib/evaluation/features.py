"""Features of a network that was made for other images: an Inception of torchmetrics, a backbone of timm, one's own.

A published number such as FID or KID is that of one network after one preprocessing, and depends on the resizing as
much as on the images (Parmar et al., *On Aliased Resizing and Surprising Subtleties in GAN Evaluation*, CVPR 2022). So
what is done to the images is part of the result.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infogan_lib._checks import check_bool, check_choice, check_function, check_int, check_pair, check_tensor, describe
from infogan_lib.data.pixels import PixelRange


class Features:
    """An extractor of features for `sample_quality`: prepares images as a network wants them, and calls it.

    Images are brought to `value_range`, resized with antialiasing, and normalized; gray ones become color.

        inception = torchmetrics.image.fid.FrechetInceptionDistance(feature=2048).inception
        fid = Features(inception, size=299, value_range=(0, 255), as_bytes=True)
        sample_quality(model, images, fid, name="Inception of torchmetrics, FID").frechet

    Args:
        network: Module or function from prepared images (n, 3, size, size) to features (n, *).
        size: Side of the images in pixels; None to leave it.
        value_range: Values of black and white before `mean` and `std`.
        mean: Mean of each channel, subtracted; None for none.
        std: Standard deviation of each channel, which is divided by; None for none.
        color: Whether gray images get three equal channels.
        as_bytes: Whether the network takes uint8, for which `value_range` must be (0, 255).
        resize: "bilinear" or "bicubic".
        preprocess: Function from images in [0, 1], shape (n, C, H, W), to what the network takes, in place of all of
            the above, such as a transform of timm.

    Attributes:
        preprocessing: What is done to the images, in words.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If arguments do not fit each other.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[Tensor], Tensor],
        *,
        size: int | None = None,
        value_range: PixelRange = (0.0, 1.0),
        mean: Any = None,
        std: Any = None,
        color: bool = True,
        as_bytes: bool = False,
        resize: str = "bilinear",
        preprocess: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.network = check_function("network", network, "a module or a function from images to features", 1)
        self._size = None if size is None else check_int("size", size, minimum=1, maximum=2**14)
        self._low, self._high = check_pair("value_range", value_range, "the values of black and white, such as (0, 1)")
        if self._low >= self._high:
            raise ValueError(f"value_range must begin with the lower value, but got {describe(value_range)}")
        self._mean, self._std = _per_channel("mean", mean), _per_channel("std", std)
        if self._std is not None and not (self._std > 0).all():
            raise ValueError(f"std must be above 0, but got {describe(std)}")
        self._color, self._as_bytes = check_bool("color", color), check_bool("as_bytes", as_bytes)
        if self._as_bytes and ((self._low, self._high) != (0, 255) or mean is not None or std is not None):
            raise ValueError("as_bytes needs value_range=(0, 255) and no mean or std, as bytes are whole numbers")
        self._resize = check_choice("resize", resize, ("bilinear", "bicubic"))
        if preprocess is not None:
            check_function("preprocess", preprocess, "a function from images to images", 1)
        self._preprocess = preprocess
        self.preprocessing = self._in_words()

    def _in_words(self) -> str:
        if self._preprocess is not None:
            return f"by {getattr(self._preprocess, '__qualname__', None) or self._preprocess!r}"
        parts = [f"values {self._low:g} to {self._high:g}" + (", uint8" if self._as_bytes else "")]
        if self._size is not None:
            parts.append(f"resized to {self._size} x {self._size}, {self._resize}, antialiased")
        for name, values in (("mean", self._mean), ("std", self._std)):
            if values is not None:
                parts.append(f"{name} {', '.join(f'{value:g}' for value in values.flatten().tolist())}")
        return "; ".join([*parts, "gray as three channels"] if self._color else parts)

    def __call__(self, images: Tensor) -> Tensor:
        """Features of images in [0, 1].

        Args:
            images: Shape (n, C, H, W).

        Returns:
            Features, shape (n, *).
        """
        return self.network(self.prepare(images))

    def prepare(self, images: Tensor) -> Tensor:
        """What the network is given.

        Args:
            images: Images in [0, 1], shape (n, C, H, W).

        Returns:
            Images, shape (n, C or 3, H or size, W or size).

        Raises:
            ValueError: If the images have another shape.
        """
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise ValueError(f"images must be a Tensor (n, C, H, W), but got {describe(images)}")
        if self._preprocess is not None:
            return check_tensor("what preprocess returns", self._preprocess(images))
        result = images.float()
        if self._size is not None and tuple(result.shape[2:]) != (self._size, self._size):
            sides = (self._size, self._size)
            result = F.interpolate(result, sides, mode=self._resize, antialias=True).clamp(0, 1)
        if self._color and result.shape[1] == 1:
            result = result.expand(-1, 3, -1, -1)
        result = self._low + (self._high - self._low) * result
        if self._as_bytes:
            return result.round().to(torch.uint8)
        if self._mean is not None:
            result = result - self._mean.to(result.device)
        return result if self._std is None else result / self._std.to(result.device)

    def of_range(self, pixel_range: PixelRange) -> Callable[[Tensor], Tensor]:
        """The extractor for images of a model's range, whose module is in eval mode while it runs.

        Args:
            pixel_range: Values of black and white.
        """
        low, high = pixel_range
        return _OfRange(self, low, high)


class _OfRange(nn.Module):
    """`Features` of images in another range; a module, so that a network that is one is put into eval mode."""

    def __init__(self, features: Features, low: float, high: float) -> None:
        super().__init__()
        self.features, self.low, self.high = features, low, high
        self.network = features.network if isinstance(features.network, nn.Module) else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.features(((images - self.low) / (self.high - self.low)).clamp(0, 1))


def _per_channel(name: str, value: Any) -> Tensor | None:
    """Numbers as a tensor (1, C, 1, 1), or None."""
    if value is None:
        return None
    try:
        given = torch.as_tensor(value)
        if given.is_complex() or given.is_meta or given.dtype == torch.bool:
            raise TypeError(f"no real numbers but {given.dtype} on {given.device}")
        numbers = given.to(torch.float32).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a number for each channel, but got {describe(value)}") from error
    if len(numbers) not in (1, 3) or not numbers.isfinite().all():
        raise ValueError(f"{name} must be 1 or 3 finite numbers, but got {describe(value)}")
    return numbers.reshape(1, -1, 1, 1)

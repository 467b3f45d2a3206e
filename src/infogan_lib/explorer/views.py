"""What the page shows of a model: samples, a traversal, and an uploaded picture next to samples with its codes.

Everything here takes plain values and returns plain pictures; it does not depend on the page.
"""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import describe, join_names
from infogan_lib.explorer.controls import (
    MAX_POINTS,
    Choice,
    Control,
    ControlError,
    Prediction,
    check_whole,
    make_controls,
)
from infogan_lib.explorer.rendering import decode_pixels, draw_grid, encode_png, tile_size, to_pixels
from infogan_lib.explorer.uploads import Fit, image_tensor
from infogan_lib.model.infogan import InfoGAN

MAX_IMAGES = 64
"""The most images of one grid, and the number of noise vectors that a seed stands for."""

MAX_SEED, MAX_STEPS = 2**31 - 1, 16

NOISE_ROWS = "new noise in each row"
"""The choice for the rows of a traversal that varies no second code."""

_COMPARED_SAMPLES, _MAX_DESCRIBED = 5, 8


@dataclass(frozen=True)
class Picture:
    """A PNG file to show, its size in pixels, the name to download it under, and a sentence on what it shows."""

    png: bytes
    width: int
    height: int
    name: str
    caption: str


@dataclass(frozen=True)
class Encoding:
    """An uploaded picture as the model sees it, shape (1, C, H, W), and what Q predicts for each code."""

    image: Tensor
    predictions: dict[str, Prediction]

    @property
    def values(self) -> dict[str, Any]:
        """The most likely value of each control that can be set from it, by name."""
        return {name: prediction.value for name, prediction in self.predictions.items() if prediction.value is not None}


class Explorer:
    """Makes the pictures of one model. Safe to call from several threads.

    The methods take the values of all controls by name, as they come from the page, and raise `ControlError` if one is
    invalid.

    Args:
        model: A model of images (1 or 3, H, W).

    Attributes:
        controls: Controls by code name.
        axes: Names of what a traversal can vary: "digit", "style[0]".
        defaults: Initial value of every control.
        has_noise: Whether the generator's input has anything but codes.

    Raises:
        TypeError: If `model` is no `InfoGAN`.
        ValueError: If the model makes no such images, or its latent has no codes.
    """

    def __init__(self, model: InfoGAN) -> None:
        if not isinstance(model, InfoGAN):
            raise TypeError(f"the explorer shows an InfoGAN, but got {describe(model)}; give trainer.model")
        if len(model.image_shape) != 3 or model.image_shape[0] not in (1, 3):
            raise ValueError(f"the explorer shows images (1 or 3, H, W), but this model makes {model.image_shape}")
        if not model.latent.codes:
            raise ValueError("this model's latent is all noise, so there is nothing to explore; add a code to it")
        self.model = model
        self.controls = make_controls(model.latent, model.category_names)
        self.axes = [axis for control in self.controls.values() for axis in control.axes]
        self.defaults: dict[str, Any] = {name: control.default for name, control in self.controls.items()}
        self.has_noise = len(self.controls) < len(model.latent)
        self._lock = threading.Lock()

    def latents(self, values: Mapping[str, Any], *, seed: int, count: int, shared_noise: bool = False) -> Tensor:
        """Latents with random noise and the codes that the controls set.

        Args:
            values: Values of all controls, by name.
            seed: Seed for the noise.
            count: Number of latents, 1 to `MAX_IMAGES`. The first ones are the same for every count.
            shared_noise: Whether all latents have the noise of the first one.

        Returns:
            The latents, shape (count, L).
        """
        count = check_whole("the number of images", count, 1, MAX_IMAGES)
        rng = torch.Generator().manual_seed(check_whole("the seed", seed, 0, MAX_SEED))
        latents = self.model.latent.sample(MAX_IMAGES, rng=rng, device="cpu")
        latents = latents[:1].repeat(count, 1) if shared_noise else latents[:count]
        for name, control in self.controls.items():
            if name not in values:
                raise ControlError(f"no value was given for {name}")
            latents[:, self.model.latent.slices[name]] = control.row(values[name]).to(latents)
        return latents

    def sample(self, values: Mapping[str, Any], *, seed: int, count: int, shared_noise: bool) -> Picture:
        """A grid of images with the same codes; arguments as for `latents`."""
        latents = self.latents(values, seed=seed, count=count, shared_noise=shared_noise)
        columns = int(np.ceil(np.sqrt(len(latents))))
        alike = len(latents) > 1 and (shared_noise or not self.has_noise)
        noise = "all alike: same noise, same codes" if alike else f"noise seed {int(seed)}"
        caption = f"{len(latents)} image{'s' if len(latents) > 1 else ''}, {noise}. {self._describe(values)}."
        return _picture(self._decode(latents, columns), columns, "images", caption)

    def traverse(
        self, values: Mapping[str, Any], *, seed: int, across: str, down: str, steps: int, shared_noise: bool = False
    ) -> Picture:
        """A grid in which one code varies along the columns, and another one or the noise down the rows.

        Args:
            values: Values of all controls, by name.
            seed: Seed for the noise.
            across: One of `axes`, along the columns.
            down: Another one of `axes`, or `NOISE_ROWS`.
            steps: 2 to `MAX_STEPS` values of a continuous code, or rows of noise.
            shared_noise: Whether to show a single row instead of rows of noise.
        """
        steps = check_whole("the number of steps", steps, 2, MAX_STEPS)
        control, dim = self._axis("the columns", across)
        if down == across:
            raise ControlError(f"{across} runs along the columns already; choose another for the rows")
        row_labels: list[str] = []
        if down == NOISE_ROWS:
            bases = self.latents(values, seed=seed, count=1 if shared_noise or not self.has_noise else steps)
        else:
            row_axis = self._axis("the rows", down)
            bases, row_labels = self._vary(self.latents(values, seed=seed, count=1)[0], *row_axis, steps)
        rows, labels = zip(*(self._vary(base, control, dim, steps) for base in bases), strict=True)
        part = ""
        if isinstance(control, Choice) and len(control.labels) > MAX_POINTS:
            part = f" (the first {MAX_POINTS} of {len(control.labels)})"
        below = f"{down} down the rows" if row_labels else f"new noise in each row, seed {int(seed)}"
        caption = f"{across} along the columns{part}, {below}. {self._describe(values, skip=(across, down))}."
        columns = len(labels[0])
        pixels = self._decode(torch.cat(rows), columns)
        return _picture(pixels, columns, "traversal", caption, column_labels=labels[0], row_labels=row_labels)

    def encode(self, data: bytes, *, fit: Fit = "crop", invert: bool = False) -> Encoding:
        """The codes of an uploaded picture; arguments and errors as for `image_tensor`."""
        with self._lock:
            image = image_tensor(data, self.model.image_shape, self.model.display_range, fit=fit, invert=invert)
            posteriors = self.model.encode(image)
        return Encoding(image, {name: control.predict(posteriors[name]) for name, control in self.controls.items()})

    def compare(self, encoding: Encoding, values: Mapping[str, Any], *, seed: int, shared_noise: bool) -> Picture:
        """An uploaded picture as the model sees it, next to samples with the codes of the controls.

        Args:
            encoding: The picture.
            values: Values of all controls, by name.
            seed: Seed for the noise.
            shared_noise: Whether to show a single sample.
        """
        count = 1 if shared_noise or not self.has_noise else _COMPARED_SAMPLES
        latents = self.latents(values, seed=seed, count=count)
        size = tile_size(self.model.image_shape, 1 + _COMPARED_SAMPLES, 1)
        with self._lock:
            samples = decode_pixels(self.model, latents, size)
        pixels = np.concatenate([to_pixels(encoding.image, self.model.display_range, size), samples])
        caption = f"Left, your picture as the model sees it. Then images with these codes: {self._describe(values)}."
        labels = ["yours", *(f"noise {number}" for number in range(1, count + 1))]
        return _picture(pixels, 1 + count, "picture", caption, column_labels=labels)

    def _decode(self, latents: Tensor, columns: int) -> NDArray[np.uint8]:
        size = tile_size(self.model.image_shape, columns, -(-len(latents) // columns))
        with self._lock:
            return decode_pixels(self.model, latents, size)

    def _axis(self, side: str, name: str) -> tuple[Control, int]:
        """The control and the dimension of one of `axes`."""
        for control in self.controls.values():
            if name in control.axes:
                return control, control.axes.index(name)
        raise ControlError(f"{side} can show {join_names(self.axes[:MAX_POINTS])}, but got {describe(name)}")

    def _vary(self, latent: Tensor, control: Control, dim: int, steps: int) -> tuple[Tensor, list[str]]:
        """Latents (points, L) that differ from `latent` in one dimension of a code, and the labels of the points."""
        columns = self.model.latent.slices[control.name]
        points = control.points(latent[columns], dim, steps)
        latents = latent.repeat(len(points), 1)
        latents[:, columns] = torch.stack([point.row for point in points]).to(latents)
        return latents, [point.label for point in points]

    def _describe(self, values: Mapping[str, Any], skip: Collection[str] = ()) -> str:
        """The values of the first codes as text, those in `skip` left out."""
        parts = []
        for name, control in list(self.controls.items())[:_MAX_DESCRIBED]:
            value = values[name]
            if isinstance(control, Choice):
                value = control.labels[int(value)]
            elif isinstance(value, (list, tuple)):
                value = ", ".join(f"{x:.3g}" for x in value[:_MAX_DESCRIBED]) or "none on"
            if name not in skip:
                parts.append(f"{name} {value}")
        return "; ".join(parts) or "No other code"


def _picture(pixels: NDArray[np.uint8], columns: int, name: str, caption: str, **labels: Any) -> Picture:
    grid = draw_grid(pixels, columns, **labels)
    return Picture(encode_png(grid), grid.width, grid.height, f"{name}.png", caption)

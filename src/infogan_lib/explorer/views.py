"""What the page shows of a model: a grid of images, a sweep, and an uploaded picture beside what its codes give.

Everything here takes plain values and gives plain pictures; it knows of no page.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import describe, join_names
from infogan_lib.explorer.bounds import ControlError, whole
from infogan_lib.explorer.controls import MAX_STOPS, Choice, Control, Stop, Told, controls_of
from infogan_lib.explorer.sheets import as_bytes, png, rendered, sheet, tile_size
from infogan_lib.explorer.uploads import Fit, image_tensor
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.infogan import InfoGAN

if TYPE_CHECKING:
    from PIL import Image

NOISE_ROWS = "new noise in each row"
"""The choice for the rows of a sweep that moves no second code."""

MAX_STEPS = 16

RERENDERED = 5
"""Images beside an uploaded picture."""


@dataclass(frozen=True)
class Picture:
    """What is shown: a PNG file, its size in pixels, the name to save it under, and a sentence on what it shows."""

    png: bytes
    width: int
    height: int
    name: str
    caption: str


@dataclass(frozen=True)
class Reading:
    """An uploaded picture as the model sees it, and what Q says of it.

    Attributes:
        image: shape (1, C, H, W), in the model's range.
        values: the likeliest value of each control that can be set from it, by name.
        told: what Q says of each code, line by line.
    """

    image: Tensor
    values: dict[str, Any]
    told: dict[str, list[Told]]


class Explorer:
    """The pictures of one model. Calls from several threads take turns.

    Args:
        model: one that makes images (1 or 3, H, W).

    Raises:
        TypeError: no `InfoGAN`.
        ValueError: a model that makes no such images, or one whose latent has no codes.
    """

    def __init__(self, model: InfoGAN) -> None:
        if not isinstance(model, InfoGAN):
            raise TypeError(f"the explorer shows an InfoGAN, but got {describe(model)}; give trainer.model")
        if len(model.image_shape) != 3 or model.image_shape[0] not in (1, 3):
            raise ValueError(f"the explorer shows images (1 or 3, H, W), but this model makes {model.image_shape}")
        if not model.latent.codes:
            raise ValueError("this model's latent is all noise, so there is nothing to explore; add a code to it")
        self.model = model
        self.controls: dict[str, Control] = controls_of(model.latent, model.category_names)
        self._turn = threading.Lock()

    @property
    def axes(self) -> list[str]:
        """What a sweep can move, by name: "digit", "style[0]"."""
        return [axis for control in self.controls.values() for axis in control.axes]

    @property
    def defaults(self) -> dict[str, Any]:
        """The value of every control at the start."""
        return {name: control.default for name, control in self.controls.items()}

    def images(self, values: Mapping[str, Any], *, seed: int, count: int, one_noise: bool) -> Picture:
        """A grid of 1 to 64 images with the same codes.

        Args:
            values: of every control, by name.
            seed: of the noise.
            count: how many.
            one_noise: the same noise for all; else each its own.

        Raises:
            ControlError: a value out of range.
        """
        rows = latents(self.model.latent, self.controls, values, count=count, seed=seed, one_noise=one_noise)
        columns = int(np.ceil(np.sqrt(len(rows))))
        alike = len(rows) > 1 and (one_noise or not self.has_noise)
        said = "all alike: one noise, the same codes" if alike else f"noise of seed {int(seed)}"
        caption = f"{len(rows)} image{'s' if len(rows) > 1 else ''}, {said}. {self._told(values)}."
        return _picture(self._pixels(rows, columns), columns, "images", caption)

    @property
    def has_noise(self) -> bool:
        """Whether anything but codes goes into the generator."""
        return len(self.controls) < len(self.model.latent)

    def sweep(
        self, values: Mapping[str, Any], *, seed: int, across: str, down: str, steps: int, one_noise: bool = False
    ) -> Picture:
        """One code along the columns, and another, or new noise, down the rows.

        Args:
            values, seed: as for `images`.
            across: one of `axes`.
            down: another one, or `NOISE_ROWS`.
            steps: 2 to `MAX_STEPS` values of a continuous code, or rows of noise.
            one_noise: the same noise in all rows, where a row is one of noise.

        Raises:
            ControlError: a value out of range, or codes that are not there or the same.
        """
        steps = whole("the number of steps", steps, 2, MAX_STEPS)
        control, dim = self._axis("the columns", across)
        columns = control.stops(steps)
        if down == across:
            raise ControlError(f"{across} runs along the columns already; choose another for the rows")
        if down == NOISE_ROWS:
            count = 1 if one_noise or not self.has_noise else steps
            starts = latents(self.model.latent, self.controls, values, count=count, seed=seed)
            cells = [(start, dict(values)) for start in starts]
            row_labels: list[str] = []
        else:
            start = latents(self.model.latent, self.controls, values, count=1, seed=seed)[0]
            second, second_dim = self._axis("the rows", down)
            row_stops = second.stops(steps)
            cells = [self._moved(start, values, second, second_dim, stop) for stop in row_stops]
            row_labels = [stop.label for stop in row_stops]
        rows = torch.stack([self._moved(*cell, control, dim, stop)[0] for cell in cells for stop in columns])
        below = f"{down} down the rows" if row_labels else f"noise of seed {int(seed)}, one a row"
        caption = f"{across} along the columns{_of_all(control)}, {below}. {self._told(values, moved=(across, down))}."
        labels = [stop.label for stop in columns]
        pixels = self._pixels(rows, len(columns))
        return _picture(pixels, len(columns), "sweep", caption, column_labels=labels, row_labels=row_labels)

    def read(self, data: bytes, *, fit: Fit = "crop", invert: bool = False) -> Reading:
        """The codes of an uploaded picture.

        Args:
            data: a PNG or JPEG file.
            fit, invert: as for `image_tensor`.

        Raises:
            UploadError: a picture that cannot be read.
        """
        with self._turn:
            image = image_tensor(data, self.model.image_shape, self.model.display_range, fit=fit, invert=invert)
            posteriors = self.model.encode(image)
        read = {name: control.read(posteriors[name]) for name, control in self.controls.items()}
        values = {name: value for name, value in read.items() if value is not None}
        return Reading(image, values, {name: c.told(posteriors[name]) for name, c in self.controls.items()})

    def beside(self, reading: Reading, values: Mapping[str, Any], *, seed: int, one_noise: bool) -> Picture:
        """An uploaded picture as the model sees it, and images with the codes of the controls.

        Args:
            reading: of the picture.
            values, seed, one_noise: as for `images`.
        """
        count = 1 if one_noise or not self.has_noise else RERENDERED
        rows = latents(self.model.latent, self.controls, values, count=count, seed=seed)
        size = tile_size(self.model.image_shape, 1 + RERENDERED, 1)
        with self._turn:
            pixels = rendered(self.model, rows, size)
        original = as_bytes(reading.image, self.model.display_range, size)
        caption = f"Left, your picture as the model sees it. Then images with these codes: {self._told(values)}."
        labels = ["yours", *(f"noise {number}" for number in range(1, count + 1))]
        return _picture(np.concatenate([original, pixels]), 1 + count, "picture", caption, column_labels=labels)

    def _pixels(self, rows: Tensor, columns: int) -> NDArray[np.uint8]:
        with self._turn:
            return rendered(self.model, rows, tile_size(self.model.image_shape, columns, -(-len(rows) // columns)))

    def _axis(self, where: str, name: str) -> tuple[Control, int]:
        for control in self.controls.values():
            if name in control.axes:
                return control, control.axes.index(name)
        raise ControlError(f"{where} can show {join_names(self.axes[:MAX_STOPS])}, but got {describe(name)}")

    def _moved(
        self, latent: Tensor, values: Mapping[str, Any], control: Control, dim: int, stop: Stop
    ) -> tuple[Tensor, dict[str, Any]]:
        moved = control.moved(values[control.name], dim, stop)
        latent = latent.clone()
        latent[self.model.latent.slices[control.name]] = control.row(moved).to(latent)
        return latent, {**values, control.name: moved}

    def _told(self, values: Mapping[str, Any], moved: tuple[str, ...] = ()) -> str:
        told = []
        for name, control in list(self.controls.items())[:8]:
            value = values[name]
            if name in moved:
                continue
            if isinstance(control, Choice):
                value = control.labels[int(value)]
            elif isinstance(value, (list, tuple)):
                value = ", ".join(f"{x:.3g}" for x in value[:8]) or "none on"
            told.append(f"{name} {value}")
        return "; ".join(told) or "No other code"


def _of_all(control: Control) -> str:
    if isinstance(control, Choice) and len(control.labels) > MAX_STOPS:
        return f" (the first {MAX_STOPS} of {len(control.labels)})"
    return ""


def _picture(pixels: NDArray[np.uint8], columns: int, name: str, caption: str, **labels: Any) -> Picture:
    drawn: Image.Image = sheet(pixels, columns, **labels)
    return Picture(png(drawn), drawn.width, drawn.height, f"{name}.png", caption)


MAX_IMAGES = 64
"""The most images of one grid, and the number of noises that a seed stands for."""

MAX_SEED = 2**31 - 1


def latents(
    latent: LatentSpec,
    controls: Mapping[str, Control],
    values: Mapping[str, Any],
    *,
    count: int,
    seed: int,
    one_noise: bool = False,
) -> Tensor:
    """The generator's input for values of all controls.

    Args:
        latent, controls: the spec, and `controls_of` it.
        values: of every control, by name.
        count: how many, 1 to `MAX_IMAGES`. The first ones are the same whatever the count.
        seed: of the noise.
        one_noise: the first noise for all of them.

    Returns:
        Shape (count, L).

    Raises:
        ControlError: a value that a control does not have, or a count or seed out of range.
    """
    count = whole("the number of images", count, 1, MAX_IMAGES)
    generator = torch.Generator().manual_seed(whole("the seed", seed, 0, MAX_SEED))
    drawn = latent.sample(MAX_IMAGES, rng=generator, device="cpu")
    rows = drawn[:1].repeat(count, 1) if one_noise else drawn[:count]
    for name, control in controls.items():
        if name not in values:
            raise ControlError(f"no value was given for {name}")
        rows[:, latent.slices[name]] = control.row(control.checked(values[name])).to(rows)
    return rows

"""A callback that writes grids of samples during training, and an animation of them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_int, check_path, check_seed, describe, one_line
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer
from infogan_lib.viz.grids import check_side, image_grid, require_matplotlib, save_png

if TYPE_CHECKING:
    from PIL import Image


class SampleGrid(Callback):
    """Writes a PNG of samples from fixed latents at regular steps: FOLDER/step_0000500.png. Needs matplotlib.

    The values of the first discrete code run along the columns; without a discrete code, samples are random.

    Args:
        folder: Folder for the pictures; created if missing.
        every: Number of steps between two pictures.
        rows: Number of rows, each with its own noise and other codes.
        seed: Seed for the latents.

    Attributes:
        latents: Latents of the pictures, shape (rows * columns, L); None before the first fit.
        columns: Number of columns; None before the first fit.
    """

    def __init__(self, folder: str | Path, *, every: int = 500, rows: int = 10, seed: int = 0) -> None:
        self.folder = check_path("folder", folder)
        self.every = check_int("every", every, minimum=1)
        self.rows = check_side("rows", rows)
        self.seed = check_seed(seed)
        self.latents: Tensor | None = None
        self.columns: int | None = None

    @override
    def needs_model(self, step: int) -> bool:
        return step % self.every == 0

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        require_matplotlib()
        self.latents, self.columns = fixed_latents(trainer.model.latent, self.rows, self.seed)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if self.latents is not None and self.columns is not None and trainer.steps % self.every == 0:
            model = trainer.model
            grid = image_grid(model.decode(self.latents), self.columns, pixel_range=model.display_range)
            save_png(grid, self.folder / f"step_{trainer.steps:07d}.png")


def fixed_latents(latent: LatentSpec, rows: int, seed: int) -> tuple[Tensor, int]:
    """Latents (rows * columns, L) of a grid of samples, on the CPU, and the number of columns.

    The values of the first discrete code run along the columns; without a discrete code, samples are random.
    """
    rng = torch.Generator().manual_seed(seed)
    code = next((name for name, code in latent.codes.items() if code.is_discrete), None)
    if code is None:
        return latent.sample(10 * rows, rng=rng, device="cpu"), 10
    return latent.grid(rows=rows, columns=code, rng=rng, device="cpu")


_MAX_SECONDS = 100
"""The longest time of a picture: the last one's, five times as long, is one of two bytes in a GIF file."""


def animate_folder(folder: str | Path, path: str | Path, *, seconds: float = 0.3) -> int:
    """Write an animated GIF of the pictures step_*.png in a folder, in the order of their steps.

    Args:
        folder: Folder that `SampleGrid` wrote to.
        path: Path of the GIF file; its folder is created if missing.
        seconds: Duration of each picture; the last one is shown five times as long.

    Returns:
        The number of pictures.

    Raises:
        ValueError: If there are no pictures, one cannot be read, their sizes differ, the path does not end as an
            animation does, or `seconds` is above 100.
        ImportError: If pillow is not installed.
    """
    seconds = check_float("seconds", seconds, above=0)
    if seconds > _MAX_SECONDS:
        raise ValueError(f"seconds must be at most {_MAX_SECONDS}, but got {seconds:g}")
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("animations need pillow: pip install 'infogan-lib[viz]'") from error
    folder, path = check_path("folder", folder), check_path("path", path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE_ALL:  # such as .psd, which is only read
        raise ValueError(f"path must end as an animation does, such as .gif, but got {describe(str(path))}")
    found = (file for file in folder.glob("step_*.png") if file.is_file())
    files = sorted(found, key=lambda file: (len(file.name), file.name))
    if not files:
        raise ValueError(f"there is no picture step_*.png in {folder}; SampleGrid writes them")
    frames = [_read_png(file) for file in files]
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"the pictures in {folder} have different sizes, {sorted(sizes)}; use one folder per run")
    milliseconds = round(1000 * seconds)
    durations = [milliseconds] * (len(frames) - 1) + [5 * milliseconds]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    write_whole(path, file.getvalue())
    return len(frames)


def _read_png(file: Path) -> "Image.Image":
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as picture:  # whatever it is named; Pillow runs Ghostscript for others
            return picture.convert("RGB")
    except Exception as error:  # the decoders of Pillow raise errors of many kinds
        raise ValueError(f"{file} is no picture that can be read: {one_line(error, 200)}; remove it") from error

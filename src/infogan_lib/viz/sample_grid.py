"""A callback that writes grids of samples while a run goes on."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_int
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer
from infogan_lib.viz.grids import image_grid, is_discrete, save_png


class SampleGrid(Callback):
    """Writes a PNG of samples from one fixed latent every so many steps: FOLDER/step_0000500.png. Needs matplotlib.

    The first code with finitely many values runs along the columns; without one, samples are drawn at random.

    Args:
        folder: where the pictures go; it is made.
        every: the number of steps between two pictures.
        rows: how many rows, each with its own noise and other codes.
        seed: of the fixed latent.
    """

    def __init__(self, folder: str | Path, *, every: int = 500, rows: int = 10, seed: int = 0) -> None:
        self.folder = Path(folder)
        self.every = check_int("every", every, minimum=1)
        self.rows = check_int("rows", rows, minimum=1)
        self.seed = check_int("seed", seed, minimum=0)
        self._fixed: tuple[Tensor, int] | None = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        latent, generator = trainer.model.latent, torch.Generator().manual_seed(self.seed)
        discrete = [name for name in latent if is_discrete(latent, name)]
        if discrete:
            self._fixed = latent.grid(rows=self.rows, columns=discrete[0], rng=generator, device="cpu")
        else:
            self._fixed = latent.sample(10 * self.rows, rng=generator, device="cpu"), 10

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0 and self._fixed is not None:
            latents, columns = self._fixed
            grid = image_grid(trainer.model.decode(latents), columns, pixel_range=trainer.model.display_range)
            save_png(grid, self.folder / f"step_{trainer.steps:07d}.png")


def animate_folder(folder: str | Path, path: str | Path, *, seconds: float = 0.3) -> int:
    """Make an animated GIF of the pictures step_*.png in a folder, in the order of their steps; the last one stays.

    Args:
        folder: where `SampleGrid` wrote them.
        path: the GIF file; its folder is made.
        seconds: how long each picture is shown; the last one five times as long.

    Returns:
        The number of pictures.

    Raises:
        ValueError: no picture there, or pictures of different sizes.
        ImportError: pillow is not installed.
    """
    seconds = check_float("seconds", seconds, above=0)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("animations need pillow: pip install 'infogan-lib[viz]'") from error
    files = sorted(Path(folder).glob("step_*.png"))
    if not files:
        raise ValueError(f"there is no picture step_*.png in {folder}; SampleGrid writes them")
    frames = [Image.open(file).convert("RGB") for file in files]
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"the pictures in {folder} have different sizes, {sorted(sizes)}; give each run a folder")
    milliseconds = round(1000 * seconds)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    durations = [milliseconds] * (len(frames) - 1) + [5 * milliseconds]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return len(frames)

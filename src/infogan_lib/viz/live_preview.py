"""A callback that draws samples and curves in a notebook, in place, while a model is trained."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int, check_seed
from infogan_lib._warnings import warn
from infogan_lib.history.display import history_html
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.progress import in_notebook
from infogan_lib.training.trainer import InfoGANTrainer
from infogan_lib.viz.grids import check_side, image_grid, png_bytes
from infogan_lib.viz.sample_grid import fixed_latents


class LivePreview(Callback):
    """Draws samples from fixed latents and the curves of losses and bounds below the cell, in place. Needs matplotlib.

    The values of the first discrete code run along the columns, as in `SampleGrid`. Outside a notebook it warns and
    draws nothing.

    Args:
        every: Number of steps between two pictures.
        rows: Number of rows, each with its own noise and other codes.
        seed: Seed for the latents.
    """

    def __init__(self, *, every: int = 100, rows: int = 4, seed: int = 0) -> None:
        self.every = check_int("every", every, minimum=1)
        self.rows = check_side("rows", rows)
        self.seed = check_seed(seed)
        self._latents: Tensor | None = None
        self._columns = 0
        self._output: Any = None  # the display that is updated; None outside a notebook

    @override
    def needs_model(self, step: int) -> bool:
        return self._output is not None and step % self.every == 0

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        if not in_notebook():
            self._output = None
            warn("LivePreview draws in a notebook only; SampleGrid writes pictures to a folder")
            return
        from IPython.display import display

        self._latents, self._columns = fixed_latents(trainer.model.latent, self.rows, self.seed)
        self._output = display(self._picture(trainer), display_id=True)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if self.needs_model(trainer.steps):
            self._output.update(self._picture(trainer))

    @override
    def on_fit_end(self, trainer: InfoGANTrainer) -> None:
        if self._output is not None and trainer.steps % self.every != 0:
            self._output.update(self._picture(trainer))

    def _picture(self, trainer: InfoGANTrainer) -> Any:
        from IPython.display import HTML

        assert self._latents is not None
        model, history = trainer.model, trainer.history
        grid = image_grid(model.decode(self._latents), self._columns, pixel_range=model.display_range)
        png = b64encode(png_bytes(grid)).decode("ascii")
        width = min(900, 3 * grid.shape[1])
        shown = [name for name in history if name in ("loss/d", "loss/g") or name.startswith(("bound/", "mse/"))]
        return HTML(
            f'<p>Samples after step {trainer.steps}</p><img alt="samples after step {trainer.steps}" width="{width}" '
            f'style="image-rendering:pixelated" src="data:image/png;base64,{png}">'
            + (history_html(history, names=shown) if shown else "")
        )

"""Callbacks that send metrics and pictures to TensorBoard, or to any tracker of experiments with a method `log`.

With several processes the main one alone writes, as with every callback that does not ask for more.
"""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from infogan_lib._checks import check_function, check_int, check_path, check_seed, describe, importing
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.data.pixels import is_showable
from infogan_lib.training.callbacks import Callback
from infogan_lib.training.trainer import InfoGANTrainer
from infogan_lib.viz.grids import check_side, image_grid
from infogan_lib.viz.sample_grid import fixed_latents


class _Tracking(Callback):
    """Reports metrics, and a grid of samples from fixed latents, at regular steps.

    Attributes:
        shows_images: Whether there are grids.
    """

    shows_images: bool

    def __init__(self, every: int, images_every: int, rows: int, seed: int) -> None:
        self.every = check_int("every", every, minimum=1)
        self.images_every = check_int("images_every", images_every, minimum=1)
        self.rows, self.seed = check_side("rows", rows), check_seed(seed)
        self._latents, self._columns = torch.empty(0), 1
        self._can_show = False

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the metrics of a step."""

    @abstractmethod
    def log_images(self, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a grid of samples, shape (H, W, 3)."""

    @override
    def needs_model(self, step: int) -> bool:
        return self.shows_images and step % self.images_every == 0

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        self._latents, self._columns = fixed_latents(trainer.model.latent, self.rows, self.seed)
        self._can_show = self.shows_images and is_showable(trainer.model.image_shape)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            self.log_metrics(metrics, trainer.steps)
        if self._can_show and trainer.steps % self.images_every == 0:
            model = trainer.model
            grid = image_grid(model.decode(self._latents), self._columns, pixel_range=model.display_range)
            self.log_images((255 * grid).round().astype(np.uint8), trainer.steps)


class TensorBoard(_Tracking):
    """Writes metrics, and samples from fixed latents, for TensorBoard. Needs tensorboard.

    A resumed run hides what was written after its checkpoint, so that no step is shown twice. Give every run a folder
    of its own: a new run in the folder of an old one hides the old one.

    Args:
        folder: Folder for the event files; created if missing.
        every: Number of steps between metrics.
        images_every: Number of steps between pictures.
        rows: Number of rows of a picture; the values of the first discrete code run along the columns.
        seed: Seed for the latents of the pictures.

    Raises:
        ImportError: If tensorboard is not installed.
    """

    shows_images = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int = 10,
        images_every: int = 500,
        rows: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(every, images_every, rows, seed)
        self.folder = check_path("folder", folder)
        with importing("TensorBoard", "tensorboard", "tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self._make_writer: Callable[..., Any] = SummaryWriter
        self._writer: Any = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        super().on_fit_start(trainer, total_steps)
        self._writer = self._make_writer(str(self.folder), purge_step=trainer.steps + 1)

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write a scalar for each metric."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    @override
    def log_images(self, pixels: NDArray[np.uint8], step: int) -> None:
        """Write the picture "samples"."""
        self._writer.add_image("samples", pixels, step, dataformats="HWC")

    @override
    def on_fit_end(self, trainer: InfoGANTrainer) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Tracker(_Tracking):
    """Sends metrics to anything with a method ``log(metrics, step=...)``: a run of Weights & Biases, of trackio, ...

        Tracker(wandb.init(project="digits"), image=wandb.Image)
        Tracker(trackio.init(project="digits"), image=trackio.Image)

    The run stays open at the end of `fit`, for what you log afterwards.

    Args:
        run: Object with ``log(metrics, step=...)``.
        every: Number of steps between metrics.
        image: Makes what the tracker shows out of a picture, an array (H, W, 3) of bytes; None for no pictures.
        images_every: Number of steps between pictures.
        rows: Number of rows of a picture; the values of the first discrete code run along the columns.
        seed: Seed for the latents of the pictures.
        record: File that keeps the last step sent, such as "runs/mine/tracker.txt", so that a run that is resumed,
            here and at the tracker, sends no step twice, unless the process is killed between the sending and the
            record; None to send all.

    Raises:
        TypeError: If `run` has no method `log`.
        ValueError: If the record is no number of a step, at the beginning of `fit`.
        OSError: If the record cannot be read or written.
    """

    def __init__(
        self,
        run: Any,
        *,
        every: int = 10,
        image: Callable[[NDArray[np.uint8]], Any] | None = None,
        images_every: int = 500,
        rows: int = 8,
        seed: int = 0,
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(every, images_every, rows, seed)
        if isinstance(run, type | torch.Tensor) or not callable(getattr(run, "log", None)):
            raise TypeError(f"run must be an object with log(metrics, step=...), but got {describe(run)}")
        if image is not None:
            check_function("image", image, "a function of a picture, such as wandb.Image, or None", 1)
        self.run, self.image = run, image
        self.shows_images = image is not None
        self.record = None if record is None else check_path("record", record)
        self._sent = 0  # the last step that the tracker has

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        super().on_fit_start(trainer, total_steps)
        self._sent = 0
        if self.record is None or not self.record.exists():
            return
        if not trainer.is_resumed:
            write_whole(self.record, b"0\n")  # it is of another run
        else:
            text = self.record.read_text(encoding="utf-8").strip()
            if not text.isdecimal():
                raise ValueError(f"{self.record} is no record of a Tracker: expected the number of a step")
            self._sent = int(text)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if trainer.steps <= self._sent:
            return
        try:
            super().on_step_end(trainer, metrics)
        finally:  # where a picture could not be sent, the metrics were
            if self.record is not None and (trainer.steps % self.every == 0 or self.needs_model(trainer.steps)):
                write_whole(self.record, f"{trainer.steps}\n".encode())  # a number that is cut off is another one

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Send the metrics as one dict."""
        self.run.log(dict(metrics), step=step)

    @override
    def log_images(self, pixels: NDArray[np.uint8], step: int) -> None:
        """Send the picture "samples"."""
        assert self.image is not None
        self.run.log({"samples": self.image(pixels)}, step=step)

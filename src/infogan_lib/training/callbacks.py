"""Callbacks that come with the library: a progress bar and a file of metrics."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from typing_extensions import override

from infogan_lib._checks import whole_number
from infogan_lib.training.trainer import Callback, InfoGANTrainer


class Progress(Callback):
    """A progress bar with losses, bounds and the time left; silent where the output is no terminal. Needs tqdm."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("Progress needs tqdm: pip install 'infogan-lib[progress]'") from error
        self._tqdm, self._bar = tqdm, None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        self._bar = self._tqdm(initial=trainer.steps, total=total_steps, unit="step", disable=None, leave=True)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, figures: Mapping[str, float]) -> None:
        assert self._bar is not None
        self._bar.set_postfix_str(summary(figures), refresh=False)
        self._bar.update(1)

    @override
    def on_fit_end(self, trainer: InfoGANTrainer) -> None:
        if self._bar is not None:
            self._bar.close()


class JSONLMetrics(Callback):
    """Writes a line of JSON per step: {"step": 1, "epoch": 0, "loss/d": ...}. Appends to what is there.

    A figure that is not finite is written as null.

    Args:
        path: the file; its folder is made.
        every: write every so many steps.
    """

    def __init__(self, path: str | Path, *, every: int = 1) -> None:
        self.path = Path(path)
        self.every = whole_number("every", every, minimum=1)
        self._file: TextIO | None = None

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.on_fit_end(trainer)
        self._file = self.path.open("a", encoding="utf-8")

    @override
    def on_step_end(self, trainer: InfoGANTrainer, figures: Mapping[str, float]) -> None:
        assert self._file is not None
        if trainer.steps % self.every == 0:
            line: dict[str, Any] = {"step": trainer.steps, "epoch": trainer.epochs, **figures}
            # JSON has no NaN or infinity; the gradient's norm is infinite where a float16 scale was too large.
            finite = {k: v if isinstance(v, int) or math.isfinite(v) else None for k, v in line.items()}
            self._file.write(json.dumps(finite, allow_nan=False) + "\n")

    @override
    def on_fit_end(self, trainer: InfoGANTrainer) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def summary(figures: Mapping[str, float]) -> str:
    """The figures that a person follows, on a part of a line."""
    shown = [f"{short} {figures[name]:.2f}" for name, short in (("loss/d", "D"), ("loss/g", "G")) if name in figures]
    shown += [
        f"{name.split('/', 1)[1]} {value:.2f}{' nats' if name.startswith('bound/') else ' mse'}"
        for name, value in figures.items()
        if name.startswith(("bound/", "mse/"))
    ]
    return "  ".join(shown)

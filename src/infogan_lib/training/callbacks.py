"""Callbacks that come with the library: a progress bar and a file of metrics."""

import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from typing_extensions import override

from infogan_lib._checks import whole_number
from infogan_lib.training.callback import Callback
from infogan_lib.training.trainer import InfoGANTrainer


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

    A figure that is not finite is written as null. A run that goes on from a checkpoint first takes away the lines of
    the steps after it.

    Args:
        path: the file; its folder is made.
        every: write every so many steps.

    Raises:
        OSError: a line that cannot be written, with the file's name.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1) -> None:
        self.path = Path(path)
        self.every = whole_number("every", every, minimum=1)
        self._file: TextIO | None = None
        self._start = self._lines = 0  # where this run's lines begin, in bytes, and how many there are
        self._resumes = False

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        self.on_fit_end(trainer)
        with _named(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            if self._resumes:
                self._cut()
            elif self._lines == 0:
                self._start = self.path.stat().st_size

    def _cut(self) -> None:
        """Take away what was written after the checkpoint that was loaded."""
        self._resumes = False
        with self.path.open("rb") as written:
            written.seek(self._start)
            kept = [line for line in islice(written, self._lines) if line.endswith(b"\n")]
        if len(kept) < self._lines:
            warnings.warn(
                f"{self.path} had {self._lines} lines of this run at the checkpoint and has {len(kept)} now; "
                "trainer.history has all figures",
                stacklevel=4,
            )
            self._lines = len(kept)
        size = self._start + sum(map(len, kept))
        if self.path.stat().st_size > size:
            os.truncate(self.path, size)

    @override
    def on_step_end(self, trainer: InfoGANTrainer, figures: Mapping[str, float]) -> None:
        assert self._file is not None
        if trainer.steps % self.every == 0:
            line: dict[str, Any] = {"step": trainer.steps, "epoch": trainer.epochs, **figures}
            # JSON has no NaN or infinity; the gradient's norm is infinite where a float16 scale was too large.
            finite = {k: v if isinstance(v, int) or math.isfinite(v) else None for k, v in line.items()}
            with _named(self.path):
                self._file.write(json.dumps(finite, allow_nan=False) + "\n")
            self._lines += 1

    @override
    def on_fit_end(self, trainer: InfoGANTrainer) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with _named(self.path):
                file.close()

    @override
    def state_dict(self) -> dict[str, int]:
        """How many lines the run has written, once they are on the disk."""
        if self._file is not None:
            with _named(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())
        return {"start": self._start, "lines": self._lines}

    @override
    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Remember how many there were; the rest is taken away when the fit starts."""
        self._start, self._lines, self._resumes = int(state["start"]), int(state["lines"]), True


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A fault of the disk with the name of the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write metrics: {error.strerror}", str(path)) from error


def summary(figures: Mapping[str, float]) -> str:
    """The figures that a person follows, on a part of a line."""
    shown = [f"{short} {figures[name]:.2f}" for name, short in (("loss/d", "D"), ("loss/g", "G")) if name in figures]
    shown += [
        f"{name.split('/', 1)[1]} {value:.2f}{' nats' if name.startswith('bound/') else ' mse'}"
        for name, value in figures.items()
        if name.startswith(("bound/", "mse/"))
    ]
    return "  ".join(shown)

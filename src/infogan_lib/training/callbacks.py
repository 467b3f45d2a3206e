"""Callbacks that come with the library: a progress bar and a file of metrics."""

import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from typing_extensions import override

from infogan_lib._checks import check_int, describe

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


class Callback:
    """What `InfoGANTrainer.fit` tells of; subclass it and override what you need."""

    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        """Before the first step. `total_steps` is what `trainer.steps` will be at the end, where that is known."""

    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        """After every step, with its metrics; `trainer.steps` counts it already."""

    def on_epoch_end(self, trainer: "InfoGANTrainer") -> None:
        """After every whole epoch; `trainer.epochs` counts it already."""

    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
        """After the last step, also when an error ended the run."""

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints keep of the callback: tensors, numbers, strings, and lists, tuples and dicts of them."""
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Go on from what `state_dict` gave; called before `on_fit_start`."""


def stateful_among(callbacks: Iterable[Callback]) -> list[Callback]:
    """Those with a state of their own, which checkpoints keep.

    Raises:
        TypeError: something that is no callback.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be Callback objects, but got {describe(callback)}")
    return [callback for callback in callbacks if type(callback).state_dict is not Callback.state_dict]


class ProgressBar(Callback):
    """A progress bar with losses, bounds and the time left; silent where the output is no terminal. Needs tqdm."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("ProgressBar needs tqdm: pip install 'infogan-lib[progress]'") from error
        self._tqdm, self._bar = tqdm, None

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        self._bar = self._tqdm(initial=trainer.steps, total=total_steps, unit="step", disable=None, leave=True)

    @override
    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        assert self._bar is not None
        self._bar.set_postfix_str(summary(metrics), refresh=False)
        self._bar.update(1)

    @override
    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
        if self._bar is not None:
            self._bar.close()


class JSONLLogger(Callback):
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
        self.every = check_int("every", every, minimum=1)
        self._file: TextIO | None = None
        self._start: int | None = None  # where this run's lines begin, in bytes; None before the first fit
        self._lines = self._step = 0  # how many lines there are of this run, and the step of the last
        self._resumes = False

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        self.on_fit_end(trainer)
        with _named(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            if self._resumes and self._start is not None:
                self._cut(self._start)
            elif self._start is None:
                self._start = self.path.stat().st_size
            self._resumes = False

    def _cut(self, start: int) -> None:
        """Take away what was written after the checkpoint that was loaded, if these are the lines of that run."""
        with self.path.open("rb") as written:
            written.seek(start)
            kept = [line for line in islice(written, self._lines) if line.endswith(b"\n")]
        if len(kept) == self._lines and (not kept or _step_of(kept[-1]) == self._step):
            os.truncate(self.path, start + sum(map(len, kept)))
            return
        warnings.warn(
            f"{self.path} is not the log that the run left, which had {self._lines} lines up to step {self._step}. New "
            "lines are added at its end; trainer.history has all figures",
            stacklevel=4,
        )
        self._start, self._lines = self.path.stat().st_size, 0

    @override
    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        assert self._file is not None
        if trainer.steps % self.every == 0:
            line: dict[str, Any] = {"step": trainer.steps, "epoch": trainer.epochs, **metrics}
            # JSON has no NaN or infinity; the gradient's norm is infinite where a float16 scale was too large.
            finite = {k: v if isinstance(v, int) or math.isfinite(v) else None for k, v in line.items()}
            with _named(self.path):
                self._file.write(json.dumps(finite, allow_nan=False) + "\n")
            self._lines, self._step = self._lines + 1, trainer.steps

    @override
    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
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
        start = -1 if self._start is None else self._start
        return {"start": start, "lines": self._lines, "step": self._step}

    @override
    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Remember how many there were; the rest is taken away when the fit starts."""
        start, self._lines, self._step = (int(state[name]) for name in ("start", "lines", "step"))
        self._start = None if start < 0 else start
        self._resumes = True


def _step_of(line: bytes) -> int | None:
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return None


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

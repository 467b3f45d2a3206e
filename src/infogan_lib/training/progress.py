"""How far a fit is: a bar in a terminal or a notebook, and a line now and then anywhere else."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from typing_extensions import override

from infogan_lib._checks import check_float, check_int, describe
from infogan_lib.history.display import metrics_text
from infogan_lib.training.callbacks import Callback

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer

_REDRAW_SECONDS = 0.1

_UNWRITABLE = suppress(OSError, ValueError)
"""A terminal that was closed, or cannot show a name of the user's, ends no training."""


class ProgressBar(Callback):
    """Shows the steps, the time left, and the losses and bounds; `fit` has one unless told otherwise.

    A bar of tqdm in a terminal or a notebook, in a notebook without ipywidgets as text. Elsewhere, and without tqdm,
    lines; a fit that is over before the first one shows nothing.

    Args:
        seconds: The time from one line to the next, where there is no bar.
        every: The steps from one line to the next, in place of a time; the last step then has a line always.
        file: Where it is shown, such as `sys.stdout`; None for stderr.

    Raises:
        TypeError: if `file` is no text file.
    """

    def __init__(self, *, seconds: float = 10.0, every: int | None = None, file: TextIO | None = None) -> None:
        self.seconds = check_float("seconds", seconds, above=0)
        self.every = None if every is None else check_int("every", every, minimum=1)
        if file is not None and not all(callable(getattr(file, name, None)) for name in ("write", "flush", "isatty")):
            raise TypeError(f"file must be a text file, such as sys.stdout, or None, but got {describe(file)}")
        self.file = file
        self._bar: Any = None
        self._total: int | None = None
        self._first = self._shown = 0  # the steps at the beginning, and those shown
        self._start = self._due = 0.0
        self._last: Mapping[str, float] = {}

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        file = self._file()
        tqdm, self._bar = _find_tqdm(file), None
        if tqdm is not None:
            with _UNWRITABLE:
                steps = {"initial": trainer.steps, "total": total_steps}
                self._bar = tqdm(**steps, unit="step", file=file, disable=False, leave=True, **_size(file))
        self._total, self._first, self._shown, self._last = total_steps, trainer.steps, trainer.steps, {}
        self._start = time.monotonic()
        self._due = self._start + (_REDRAW_SECONDS if self._bar is not None else self.seconds)

    @override
    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        self._last, now = metrics, time.monotonic()
        if self.every is not None and self._bar is None:
            is_due = (trainer.steps - self._first) % self.every == 0
        else:
            is_due = now >= self._due
        if is_due:
            self._due = now + (_REDRAW_SECONDS if self._bar is not None else self.seconds)
            with _UNWRITABLE:
                self._show(trainer.steps, now)

    @override
    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
        bar = self._bar
        with _UNWRITABLE:
            shows_last = bar is not None or self.every is not None or self._shown > self._first
            if trainer.steps > self._shown and shows_last:
                self._show(trainer.steps, time.monotonic())
            if bar is not None:
                bar.close()
        self._bar = None

    def _file(self) -> Any:
        """Where it is shown; stderr as it is now, which a program may have exchanged."""
        return sys.stderr if self.file is None else self.file

    def _show(self, steps: int, now: float) -> None:
        made, self._shown = steps - self._shown, steps
        if self._bar is not None:
            self._bar.set_postfix_str(metrics_text(self._last), refresh=False)
            self._bar.update(made)
            return
        parts = [f"step {steps}"]
        if self._total is not None:
            parts[0] += f"/{self._total}"
            parts += [f"{_clock((now - self._start) / (steps - self._first) * (self._total - steps))} left"]
        parts += [metrics_text(self._last)]
        if "images_per_second" in self._last:
            parts += [f"{self._last['images_per_second']:.0f} images/s"]
        print("  ".join(parts), file=self._file(), flush=True)


def with_progress(callbacks: Sequence[Callback], shown: bool) -> Sequence[Callback]:
    """Callbacks with a progress bar after them, so that what they print stays above it, unless there is one."""
    if not shown or any(isinstance(callback, ProgressBar) for callback in callbacks):
        return callbacks
    return [*callbacks, ProgressBar()]


def in_notebook() -> bool:
    """Whether the program runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def _find_tqdm(file: Any) -> Any:
    """The class of bars for where the program runs and what it writes to; None where lines are shown."""
    notebook = in_notebook()
    if find_spec("tqdm") is None or not (notebook or (file is not None and file.isatty())):
        return None
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm


def _size(file: Any) -> dict[str, int]:
    """The size of a terminal that claims to have none, as some containers do; empty to go by the terminal."""
    try:
        return {} if os.get_terminal_size(file.fileno()).columns else {"ncols": 80, "nrows": 24}
    except (OSError, ValueError, AttributeError):
        return {}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

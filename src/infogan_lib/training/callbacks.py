"""What `fit` calls after each step, and a file of metrics."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BufferedReader, FileIO
from itertools import chain, islice, pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from infogan_lib._checks import check_int, check_items, check_path, describe
from infogan_lib._schema import Described, Int, Kind, Record
from infogan_lib._warnings import warn
from infogan_lib.distributed import Processes

if TYPE_CHECKING:
    from infogan_lib.training.trainer import InfoGANTrainer


class Callback:
    """Called by `InfoGANTrainer.fit`; subclass it and override what you need.

    On a device a step is read when the next one was launched, so that it never waits for the host. `fit` catches up
    before a callback that needs the model; `trainer.steps` and `trainer.history` are always as of the step reported.

    Attributes:
        on_all_processes: Whether each of several processes calls it; by default process 0 alone does, as files and
            prints want it.
        begins_anew_in_branch: Whether a branch of a run does not take over the state, which is of this run alone, such
            as a place in a file.
    """

    on_all_processes: bool = False
    begins_anew_in_branch: bool = False

    def needs_model(self, step: int) -> bool:
        """Whether `on_step_end` needs the model as of this step, from 1; always, unless overridden.

        So does whatever looks at the model, changes what the next step depends on (rates, weights, what is frozen, the
        weight of a term), or draws from global random generators. Without it a device is at the next step by then and
        does not see the change, unless a checkpoint or the end of an epoch is between: a resumed run then differs.
        """
        return True

    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        """Before the first step; `total_steps` is the value of `trainer.steps` at the end, where that is known."""

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
        """Restore what `state_dict` returned; called before `on_fit_start`."""


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """The `callbacks` argument of `fit` as a tuple. Raises TypeError."""
    wanted = "callbacks must be Callback objects in a list, such as [ProgressBar()]"
    if isinstance(callbacks, Callback):
        raise TypeError(f"{wanted}, but got one by itself; give [{type(callbacks).__name__}(...)]")
    if isinstance(callbacks, type) and issubclass(callbacks, Callback):
        raise TypeError(f"{wanted}, but got a class; did you mean [{callbacks.__name__}()]?")
    if isinstance(callbacks, Mapping):
        raise TypeError(f"{wanted}, but got {describe(callbacks)}")
    result = tuple(check_items("callbacks", callbacks, wanted.removeprefix("callbacks must be ")))
    for callback in result:
        if not isinstance(callback, Callback):
            hint = f"; did you mean {callback.__name__}()?" if isinstance(callback, type) else ""
            raise TypeError(f"{wanted}, but one of them is {describe(callback)}{hint}")
    return result


def called_here(callbacks: Iterable[Callback], processes: Processes) -> list[Callback]:
    """Those that this one of several processes calls."""
    return [callback for callback in callbacks if processes.is_main or callback.on_all_processes]


def call(callback: Callback, processes: Processes, method: Callable[[Callback], None]) -> None:
    """Call a method of a callback, which must not wait for processes that do not call it."""
    with processes.alone("" if callback.on_all_processes else type(callback).__name__):
        method(callback)


def stateful_among(callbacks: Iterable[Callback]) -> list[Callback]:
    """Those with a state of their own, which checkpoints keep."""
    return [callback for callback in callbacks if type(callback).state_dict is not Callback.state_dict]


_BUFFER_BYTES, _LONGEST_LINE, _LINE = 2**13, 2**20, b'{"step": '


class JSONLLogger(Callback, Described):
    """Writes a line of JSON per step: {"step": 1, "epoch": 0, "loss/d": ...}. Appends to what is there.

    A metric that is not finite is written as null. A resumed run first removes the lines of the steps after its
    checkpoint, and no others: where the file is not as the run left it, a warning says so.

    Args:
        path: The file; its folder is made.
        every: The number of steps from one line to the next.

    Raises:
        OSError: a line that cannot be written, with the file's name.
    """

    begins_anew_in_branch = True

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1) -> None:
        self.path = check_path("path", path)
        self.every = check_int("every", every, minimum=1)
        self._file: FileIO | None = None
        self._unwritten = b""  # lines for the end of the file, also while a disk is full
        self._start: int | None = None  # where this run's lines begin, in bytes; None before the first fit
        self._lines = self._step = 0  # the number of this run's lines, and the step of the last one
        self._resumes = False

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        self.on_fit_end(trainer)
        with _errors_with_path(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            if self.path.is_file():  # a pipe has no lines to look at
                self._end_last_line()
                if self._resumes and self._start is not None:
                    self._cut(self._start)
            if self._start is None:
                self._start = self.path.stat().st_size
            self._resumes = False

    def _end_last_line(self) -> None:
        """Remove a line of metrics that a kill has cut off; any other last line without an end gets one."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = file.seek(max(0, size - 2**20))
            tail = file.read()
        last = tail[tail.rfind(b"\n") + 1 :]
        is_ours = last.startswith(_LINE) or _LINE.startswith(last)
        if last and is_ours and _step_of(last) is None:
            os.truncate(self.path, begin + len(tail) - len(last))
        elif last and self._file is not None:
            self._file.write(b"\n")

    def _cut(self, start: int) -> None:
        """Remove what was written after the checkpoint that was loaded, if these are the lines of that run."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, min(start, size) - 1))
            begins_line = start == 0 or (start <= size and file.read(1) == b"\n")
            count, end, last = 0, start, b""
            for last in takewhile(lambda line: line.endswith(b"\n"), islice(_lines_of(file), self._lines)):
                count, end = count + 1, end + len(last)
            is_whole = begins_line and count == self._lines and (not last or _step_of(last) == self._step)
            # Those after the checkpoint are of another run, or no log's, if their steps do not grow.
            steps = pairwise(chain([self._step], map(_step_of, _lines_of(file))))
            is_whole = is_whole and all(after is not None and after > (before or 0) for before, after in steps)
        if is_whole:
            os.truncate(self.path, end)
            return
        warn(
            f"{self.path} is not the log that the run left, which had {self._lines} lines up to step {self._step}. New "
            "lines are added at its end; trainer.history has all metrics",
        )
        self._start, self._lines = self.path.stat().st_size, 0

    @override
    def on_step_end(self, trainer: "InfoGANTrainer", metrics: Mapping[str, float]) -> None:
        if trainer.steps % self.every == 0:
            line: dict[str, Any] = {"step": trainer.steps, "epoch": trainer.epochs, **metrics}
            # JSON has no NaN or infinity; the gradient's norm is infinite where a float16 scale was too large.
            finite = {k: v if isinstance(v, int) or math.isfinite(v) else None for k, v in line.items()}
            self._unwritten += json.dumps(finite, allow_nan=False).encode() + b"\n"
            self._lines, self._step = self._lines + 1, trainer.steps
            if len(self._unwritten) >= _BUFFER_BYTES:
                self._write()

    @override
    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
        try:
            self._write()
        finally:
            if self._file is not None:
                file, self._file = self._file, None
                with _errors_with_path(self.path):
                    file.close()

    def _write(self) -> None:
        """Write the lines that are not in the file; those for which a disk has no room stay, and are written later."""
        if self._unwritten:
            with _errors_with_path(self.path), self._opened() as file:
                while self._unwritten:
                    self._unwritten = self._unwritten[file.write(self._unwritten) :]

    def _opened(self) -> AbstractContextManager[FileIO]:
        return self.path.open("ab", buffering=0) if self._file is None else nullcontext(self._file)

    @property
    @override
    def schema(self) -> Kind:
        """Where the run's lines begin (-1 before the first fit), their number, and the step of the last one."""
        return Record({"start": Int(low=-1), "lines": Int(), "step": Int()})

    @override
    def state_dict(self) -> dict[str, int]:
        """The number of lines that the run has written, once they are on the disk."""
        self._write()
        if self._file is not None and self.path.is_file():
            with _errors_with_path(self.path):
                os.fsync(self._file.fileno())
        start = -1 if self._start is None else self._start
        return {"start": start, "lines": self._lines, "step": self._step}

    @override
    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore that number; later lines are removed when the fit starts."""
        start, self._lines, self._step = (int(state[name]) for name in ("start", "lines", "step"))
        self._start = None if start < 0 else start
        self._resumes = True


def _lines_of(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a file, one at a time, and the parts of one that is longer than any of a log."""
    return iter(lambda: file.readline(_LONGEST_LINE), b"")


def _step_of(line: bytes) -> int | None:
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return step if type(step) is int else None


@contextmanager
def _errors_with_path(path: Path) -> Iterator[None]:
    """An error of the disk with the path of the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write metrics: {error.strerror}", str(path)) from error

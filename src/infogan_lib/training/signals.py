"""SIGINT, SIGTERM and SIGHUP in a run: the step is finished and saved, and then the program ends as it was asked."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

_log = logging.getLogger(__name__)

_REPEAT = 1.0
"""Seconds within which a second signal is the first again: `timeout` and schedulers send one to the group as well."""


class StopSignals:
    """Takes note of a signal instead of dying of it; a later one ends the process at once.

    Handlers are installed in the main thread only, not over a signal that is ignored or handled outside Python, and
    put back at the end.

    Args:
        saves: whether a checkpoint will be written. Without one only SIGINT is taken, to finish the step.

    Attributes:
        received: the signal that came, or None.
    """

    def __init__(self, *, saves: bool) -> None:
        names = ["SIGINT", "SIGTERM", "SIGHUP"] if saves else ["SIGINT"]
        self._signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self._saves = saves
        self._previous: dict[signal.Signals, Any] = {}
        self._first = 0.0
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for which in self._signals:
                previous = signal.getsignal(which)
                if previous not in (None, signal.SIG_IGN):
                    self._previous[which] = previous
                    signal.signal(which, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: BaseException | TracebackType | None) -> None:
        self._restore()

    def _restore(self) -> None:
        for which, previous in self._previous.items():
            signal.signal(which, previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._first = signal.Signals(number), time.monotonic()
            and_saving = " and saving" if self._saves else ""
            with suppress(OSError):  # nobody may be listening any more
                os.write(2, f"\nstopping after this step{and_saving}; once more stops at once\n".encode())
        elif time.monotonic() - self._first < _REPEAT:
            return
        elif _is_interactive() or not self._saves:
            raise KeyboardInterrupt
        else:
            os._exit(128 + number)

    def came(self, *, within: float) -> bool:
        """Whether a signal has come, or comes within so many seconds."""
        deadline = time.monotonic() + within
        while self.received is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.received is not None

    def end(self, message: str) -> None:
        """End the program as the signal that came asks for, once all is saved.

        Args:
            message: logged for the person at the terminal.

        Raises:
            KeyboardInterrupt: of SIGINT where nothing was saved, and in a notebook or at a prompt, where the trainer is
                of further use.
            SystemExit: otherwise, with 128 and the signal's number: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
        """
        which = self.received
        assert which is not None
        _log.warning("stopped by %s %s", which.name, message)
        previous = self._previous.get(which)
        self._restore()
        if callable(previous) and previous is not signal.default_int_handler:
            previous(which, None)  # a handler of the user's own
        if which == signal.SIGINT and (_is_interactive() or not self._saves):
            raise KeyboardInterrupt
        raise SystemExit(128 + which)


@contextmanager
def undisturbed_by_workers() -> Iterator[None]:
    """Hold back torch's handler of SIGCHLD, which raises in the middle of anything where a DataLoader's worker dies.

    The loader finds out by itself when the next batch is due.
    """
    number = getattr(signal, "SIGCHLD", None)
    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.getsignal(number) if number is not None and in_main else None
    if number is None or previous in (None, signal.SIG_DFL, signal.SIG_IGN):
        yield
        return
    signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, previous)


def _is_interactive() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)

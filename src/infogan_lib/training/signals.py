"""SIGINT, SIGTERM and SIGHUP during training: the step is finished and saved, and then the program ends."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)

_REPEAT_SECONDS = 1.0
"""A second signal within this time is taken for the first: `timeout` and schedulers signal a process and its group."""


class StopSignals:
    """Records a signal, so that the step can be finished; a second one ends the process immediately.

    Handlers are installed in the main thread only, and not over a signal that is ignored or handled outside Python. The
    previous handlers are restored at the end. Without checkpoints only SIGINT is handled, to finish the step.

    Attributes:
        received: The signal that was received, or None.
    """

    def __init__(self, *, saves: bool) -> None:
        names = ["SIGINT", "SIGTERM", "SIGHUP"] if saves else ["SIGINT"]
        self._signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self._saves = saves
        self._previous: dict[signal.Signals, Any] = {}
        self._received_at = 0.0
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                previous = signal.getsignal(number)
                if previous not in (None, signal.SIG_IGN):
                    self._previous[number] = previous
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), time.monotonic()
            and_saving = " and saving" if self._saves else ""
            with suppress(OSError):  # stderr may be closed
                os.write(2, f"\nstopping after this step{and_saving}; once more stops at once\n".encode())
        elif time.monotonic() - self._received_at < _REPEAT_SECONDS:
            return
        elif _is_interactive() or not self._saves:
            raise KeyboardInterrupt
        else:
            os._exit(128 + number)

    def wait(self, seconds: float) -> None:
        """Wait for a signal, unless one was received before."""
        deadline = time.monotonic() + seconds
        while self.received is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def exit(self, message: str) -> None:
        """End the program as the received signal asks, once all is saved; the message is logged after its name.

        Raises:
            KeyboardInterrupt: SIGINT where nothing was saved, and in a notebook or at a prompt, where the trainer can
                still be used.
            SystemExit: Otherwise, with 128 plus the signal's number: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
        """
        assert self.received is not None
        _log.warning("stopped by %s %s", self.received.name, message)
        previous = self._previous.get(self.received)
        self._restore_handlers()
        if callable(previous) and previous is not signal.default_int_handler:
            previous(self.received, None)  # a handler of the user's own
        if self.received == signal.SIGINT and (_is_interactive() or not self._saves):
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)


@contextmanager
def defer_sigchld() -> Iterator[None]:
    """Suspend torch's handler of SIGCHLD, which raises in the middle of a step when a worker of a DataLoader dies.

    The loader reports the dead worker when its next batch is due.
    """
    number = getattr(signal, "SIGCHLD", None)
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.getsignal(number) if number is not None and in_main_thread else None
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

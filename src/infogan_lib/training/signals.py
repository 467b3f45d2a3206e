"""SIGINT and SIGTERM while a run goes on: the step is finished and saved, and then the program ends as was asked."""

import logging
import os
import signal
import sys
import threading
from types import FrameType, TracebackType

_log = logging.getLogger(__name__)


class StopSignals:
    """Takes note of a signal instead of dying of it; a second one ends the process at once.

    Handlers are installed in the main thread only, not over a signal that is ignored or handled outside Python, and
    put back at the end.

    Args:
        terminate: whether to take SIGTERM as well as SIGINT.

    Attributes:
        received: the signal that came, or None.
    """

    def __init__(self, *, terminate: bool) -> None:
        self._signals = [signal.SIGINT, signal.SIGTERM] if terminate else [signal.SIGINT]
        self._previous: dict[signal.Signals, object] = {}
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
        for which, previous in self._previous.items():
            signal.signal(which, previous)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
        elif _is_interactive():
            raise KeyboardInterrupt
        else:
            os._exit(128 + number)

    def end(self, message: str) -> None:
        """End the program as the signal that came asks for, once all is saved.

        Args:
            message: logged for the person at the terminal.

        Raises:
            KeyboardInterrupt: of SIGINT in a notebook or at a prompt, where the trainer is of further use.
            SystemExit: otherwise, with 128 and the signal's number: 130 or 143.
        """
        assert self.received is not None
        _log.warning("stopped by %s %s", self.received.name, message)
        if self.received == signal.SIGINT and _is_interactive():
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)


def _is_interactive() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)

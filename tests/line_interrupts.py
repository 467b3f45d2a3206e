"""Interrupts at any line of some code, as a Ctrl-C may come."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def interrupted_at_line(number: int, is_within: Callable[[FrameType], bool]) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at a line, counted over the frames that are within; yields a list of it, empty before."""
    seen, count = [], iter(range(10**6))

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and next(count) == number:
            seen.append(frame.f_lineno)
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    def find(frame: FrameType, event: str, argument: Any) -> Any:
        return trace if is_within(frame) else None

    before = sys.gettrace()
    sys.settrace(find)
    try:
        yield seen
    finally:
        sys.settrace(before)

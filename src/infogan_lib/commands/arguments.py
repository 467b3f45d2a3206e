"""The parser of the command line, and types of its arguments. An argument that is none is one line on stderr."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from infogan_lib._checks import check_float, check_int, check_path, check_seed, shorten
from infogan_lib._schema import MAX_STEPS


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with its arguments, with exit status 2."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def one_line(text: object) -> str:
    """A message without line breaks, and no longer than a screen."""
    line = " ".join(str(text).split())
    return line if len(line) <= 1000 else f"{line[:1000]}..."


def positive_int(text: str) -> int:
    """A whole number of at least 1, such as a number of steps."""
    return _checked(text, int, lambda value: check_int("it", value, minimum=1, maximum=MAX_STEPS))


def seed(text: str) -> int:
    """A whole number of at least 0."""
    return _checked(text, int, check_seed)


def positive_float(text: str) -> float:
    """A finite number above 0."""
    return _checked(text, float, lambda value: check_float("it", value, above=0))


def path(text: str) -> Path:
    """The path of a file or folder; an empty one is none, as that of a variable that is not set."""
    try:
        return check_path("it", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _checked(text: str, kind: Callable[[str], Any], check: Callable[[Any], Any]) -> Any:
    try:
        number = kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number, but got {shorten(text)}") from error
    try:
        return check(number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error

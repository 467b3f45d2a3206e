"""The parser of the command line, what programs that train take, and types of arguments.

A wrong argument is one line on stderr.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from infogan_lib._checks import check_float, check_int, check_path, check_seed, one_line, shorten
from infogan_lib._schema import MAX_STEPS


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong with its arguments, with exit status 2."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message, SCREEN)}; see {self.prog} --help\n")


SCREEN = 1000
"""The most characters of a message on stderr."""


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


def add_training_arguments(parser: argparse.ArgumentParser, *, images: str = "the images") -> None:
    """Add what every recipe takes: width, length in steps or in passes over the `images`, seed and device."""
    parser.add_argument(
        "--width", type=positive_float, default=1.0, help="factor on the networks' channels (default: 1)"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive_int, help=f"passes over {images} (default: the recipe's length)")
    length.add_argument("--steps", type=positive_int, help="number of updates (default: the recipe's length)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of weights, latents and data order (default: 0)")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', ... (default: auto)")


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """Add the precision of the networks."""
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16", "fp16"],
        help="precision of the networks; 'bf16' is faster on CUDA and on CPUs that compute in it, which 'auto' finds "
        "out (default: the recipe's)",
    )


def recipe_overrides(options: argparse.Namespace) -> dict[str, Any]:
    """What `recipes.get` takes of `add_training_arguments`; a length only if one was given."""
    length = {name: value for name in ("epochs", "steps") if (value := getattr(options, name)) is not None}
    return {"width": options.width, "seed": options.seed, **length}

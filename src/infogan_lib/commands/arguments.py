"""Arguments of programs that train: ``infogan train``, and the examples."""

import argparse
from typing import Any


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, but got {text!r}")
    return int(text)


def add_training_arguments(parser: argparse.ArgumentParser, *, images: str = "the images") -> None:
    """Add what every recipe takes: width, length, seed and device.

    Args:
        parser: The parser of the program.
        images: What an epoch passes over, in words.
    """
    parser.add_argument("--width", type=float, default=1.0, help="factor on the networks' channels (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive_int, help=f"passes over {images} (default: the recipe's length)")
    length.add_argument("--steps", type=positive_int, help="number of updates (default: the recipe's length)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, latents and data order (default: 0)")
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

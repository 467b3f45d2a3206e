"""The explorer's command: python -m infogan_lib.explorer runs/mnist."""

import argparse
import sys
import webbrowser
from collections.abc import Sequence

from infogan_lib._checks import one_line, shorten
from infogan_lib.explorer.server import HOST, PORT, explore
from infogan_lib.recipes.runs import load_run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the given arguments, those of the program if None; see `serve`."""
    parser = argparse.ArgumentParser(
        prog="python -m infogan_lib.explorer",
        description=f"Open a page on {HOST} for changing the codes of a trained model and encoding pictures.",
    )
    add_arguments(parser)
    serve(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `serve` takes."""
    parser.add_argument("run", help="folder of a finished run, such as runs/mnist")
    parser.add_argument(
        "--port", type=port, default=PORT, help=f"port on {HOST}; 0 for any free port (default: {PORT})"
    )
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="open the page in the browser (default: yes)",
    )


def serve(options: argparse.Namespace) -> None:
    """Serve the page of a run's model until Ctrl-C; an error is one line on stderr, with exit status 1."""
    try:
        model = load_run(options.run)
    except (OSError, ValueError) as error:
        sys.exit(f"explorer: {one_line(error)}")
    try:
        page = explore(model, port=options.port, open_browser=False, block=False)
    except ValueError as error:
        sys.exit(f"explorer: {one_line(error)}")
    except OSError as error:
        reason = error.strerror or error
        sys.exit(f"explorer: port {options.port}: {reason}; choose another by --port, or --port 0 for any free port")
    print(f"the model of {options.run} is at {page.url}  (Ctrl-C to stop)", flush=True)  # noqa: T201
    if options.open:
        webbrowser.open(page.url)
    page.wait()


def port(text: str) -> int:
    """A port, from 0 to 65535, for argparse."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, but got {shorten(text)}")
    return int(text)


if __name__ == "__main__":
    main()

"""The command `infogan`, also ``python -m infogan_lib``: train, report, explore, export, compare, info.

An error of the user's is one line on stderr, with exit status 2 where the arguments cannot be read, else 1.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from infogan_lib._checks import one_line
from infogan_lib._version import __version__
from infogan_lib.checkpoints import CheckpointError
from infogan_lib.commands import info, reporting, training
from infogan_lib.commands.arguments import SCREEN, Parser, path
from infogan_lib.explorer import __main__ as explorer
from infogan_lib.export import ExportError, export_onnx
from infogan_lib.recipes import load_run
from infogan_lib.step import NonFiniteLossError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the given arguments, those of the program if None."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # for a path whose name is no text
    try:
        options.run_command(options)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 and the number of SIGINT, as shells have it
    except (CheckpointError, ExportError, NonFiniteLossError, ImportError, OSError, ValueError) as error:
        sys.exit(f"infogan: {one_line(error, SCREEN)}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="infogan", description="Train InfoGANs and look at what they learned.")
    parser.add_argument("--version", action="version", version=f"infogan-lib {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    training.add_to(commands)
    reporting.add_to(commands)
    explore = commands.add_parser("explore", help="open a page for moving the codes of a run's model by hand")
    explorer.add_arguments(explore)
    explore.set_defaults(run_command=explorer.serve)
    export = commands.add_parser("export", help="write a run's model as ONNX files, with a page that runs them")
    export.add_argument("run", type=path, help="folder of a finished run")
    export.add_argument("folder", type=path, help="new folder of the files")
    export.add_argument("--no-web", action="store_true", help="leave the page out")
    export.set_defaults(run_command=_export)
    compare = commands.add_parser("compare", help="write a page on several runs: settings, metrics, curves")
    compare.add_argument("runs", type=path, nargs="+", help="folders of runs, or of sweeps")
    compare.add_argument("--out", type=path, default=Path("comparison.html"), help="the page (default: %(default)s)")
    compare.set_defaults(run_command=_compare)
    info.add_to(commands)
    return parser


def _export(options: argparse.Namespace) -> None:
    print(export_onnx(load_run(options.run), options.folder, web=not options.no_web))


def _compare(options: argparse.Namespace) -> None:
    from infogan_lib.experiments import compare

    print(compare(options.runs, options.out))

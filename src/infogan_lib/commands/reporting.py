"""``infogan report``: the report of a finished run, written again or on other data."""

import argparse
from typing import Any

from infogan_lib import recipes
from infogan_lib._checks import shorten
from infogan_lib.commands.arguments import path
from infogan_lib.commands.data import load
from infogan_lib.experiments.records import read_run
from infogan_lib.recipes import RunError
from infogan_lib.recipes.runs import run_recipe
from infogan_lib.viz import write_report


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser("report", help="write what a run learned on one page, and as JSON")
    parser.add_argument("run", type=path, help="folder of a finished run")
    parser.add_argument("--data", help="as for train (default: 'digits', if the run was trained on them)")
    parser.add_argument("--out", type=path, help="the page (default: RUN/report.html)")
    parser.set_defaults(run_command=report)


def report(options: argparse.Namespace) -> None:
    """Load a run's model and write its report."""
    model, record = recipes.load_run(options.run), read_run(options.run)
    settings = record.settings
    name = options.data or settings.get("data")
    if name is None:
        raise RunError(f"{options.run}: it does not say what it was trained on; give --data")
    if name != "digits" and options.data is None:  # whoever sent the run could name any folder of this machine
        raise RunError(f"{options.run}: it was trained on {shorten(name)}; to read that folder, name it by --data")
    recipe = run_recipe(options.run)
    data = load(name, recipe)
    shown = {key: settings[key] for key in ("recipe", "width", "seed", "device", "precision") if key in settings}
    written = write_report(
        model,
        data.test,
        data.test_labels,
        options.out or options.run / "report.html",
        label_names=data.label_names,
        history=record.history,
        settings=shown | {"data": name},
        symptoms=record.symptoms,
        title=f"What the recipe '{recipe.name}' learned",
    )
    print(written)

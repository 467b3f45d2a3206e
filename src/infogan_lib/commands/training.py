"""``infogan train``: a recipe on data, into a folder with the model, the metrics and a report."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from typing_extensions import override

from infogan_lib import recipes
from infogan_lib._checks import check_path, require, shorten
from infogan_lib.callbacks import Callback, TensorBoard
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.commands.arguments import (
    add_precision_argument,
    add_training_arguments,
    path,
    positive_int,
    recipe_overrides,
)
from infogan_lib.commands.data import NamedData, load
from infogan_lib.commands.fitting import fit_recipe, say
from infogan_lib.evaluation.symptoms import summarize
from infogan_lib.experiments.run_metrics import RESULT, match_metrics, training_metrics
from infogan_lib.experiments.worker import check_training, write_training
from infogan_lib.latent.category_names import only_categorical_code
from infogan_lib.recipes import Recipe
from infogan_lib.step import Engine
from infogan_lib.training import InfoGANTrainer
from infogan_lib.viz import write_report
from infogan_lib.viz.grids import require_matplotlib


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser("train", help="train a recipe; the same command resumes a run that was stopped")
    parser.add_argument(
        "--recipe", default="default", help=f"one of {', '.join(recipes.available())} (default: %(default)s)"
    )
    parser.add_argument(
        "--data",
        default="digits",
        help="'digits' for scikit-learn's, a folder of MNIST's files, or a folder of pictures (default: %(default)s)",
    )
    parser.add_argument("--out", type=path, required=True, help="folder of the run")
    add_training_arguments(parser)
    parser.add_argument("--batch-size", type=positive_int, help="images of a step (default: the recipe's)")
    add_precision_argument(parser)
    parser.add_argument("--tensorboard", action="store_true", help="write event files into OUT/tensorboard")
    parser.set_defaults(run_command=train)


def train(options: argparse.Namespace) -> None:
    """Train, and write the model, the metrics and the report."""
    batch = {} if options.batch_size is None else {"batch_size": options.batch_size}
    recipe = recipes.get(options.recipe, **recipe_overrides(options), **batch)
    source = options.data if options.data == "digits" else os.path.realpath(check_path("--data", options.data))
    training = f"recipe {recipe.name!r} of width {recipe.width:g} on {source}"
    check_training(options.out, training)
    data = load(options.data, recipe)
    require_matplotlib()  # what the report needs raises before training, not after it
    require("scipy", extra="eval", feature="the report")
    if (count := data.num_images) < recipe.batch_size:
        raise ValueError(
            f"{shorten(options.data)} holds {count} images, fewer than one batch of {recipe.batch_size}; give "
            f"--batch-size {count} or less"
        )
    recipe = recipe.for_images(data.num_images)
    trainer = recipe.trainer(engine=Engine(options.device, precision=options.precision or recipe.engine.precision))
    callbacks: list[Callback] = [_TrainingRecord(options.out, training)]
    if options.tensorboard:
        callbacks.append(TensorBoard(options.out / "tensorboard"))
    monitor = fit_recipe(recipe, trainer, data.train, options.out, callbacks=callbacks)
    if trainer.distributed.is_main:
        _finish(options, recipe, trainer, data, summarize(monitor.symptoms))


class _TrainingRecord(Callback):
    """Writes what the run trains, once it begins, so that the same folder is not trained on something else."""

    def __init__(self, folder: Path, training: str) -> None:
        self._folder, self._training = folder, training

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_fit_start(self, trainer: InfoGANTrainer, total_steps: int | None) -> None:
        write_training(self._folder, self._training)


def _finish(
    options: argparse.Namespace, recipe: Recipe, trainer: InfoGANTrainer, data: NamedData, symptoms: list[str]
) -> None:
    model, metrics = trainer.model, training_metrics(trainer.history)
    if data.test_labels is not None and only_categorical_code(model.latent):
        match = model.name_categories(data.test, data.test_labels, names=data.label_names)
        metrics |= match_metrics(match)
        say(f"accuracy under the best matching: {match.accuracy:.1%}")
    recipes.save_run(options.out, recipe, model)
    settings = {"recipe": recipe.name, "width": recipe.width, "data": options.data, "device": str(trainer.device)}
    result = {"seed": recipe.seed, "settings": settings, "metrics": metrics, "symptoms": symptoms}
    write_whole(options.out / RESULT, (json.dumps(result) + "\n").encode())
    report = write_report(
        model,
        data.test,
        data.test_labels,
        options.out / "report.html",
        label_names=data.label_names,
        history=trainer.history,
        settings={**settings, "seed": recipe.seed, "steps": trainer.steps},
        symptoms=symptoms,
        title=f"What the recipe '{recipe.name}' learned",
    )
    say(f"{trainer.steps} steps; what was learned, on one page: {report}")

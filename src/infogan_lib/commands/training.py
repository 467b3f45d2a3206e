"""``infogan train``: a recipe on data, into a folder with the model, the metrics and a report."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from infogan_lib import recipes
from infogan_lib.callbacks import CollapseMonitor, JSONLLogger, ProgressBar, TensorBoard
from infogan_lib.checkpoints.disk import atomic_write
from infogan_lib.commands.arguments import positive_int
from infogan_lib.commands.data import NamedData, load
from infogan_lib.commands.progress import ProgressLines, ResumeMessage, print_symptom
from infogan_lib.experiments.run_metrics import RESULT, label_metrics, training_metrics
from infogan_lib.recipes import Recipe
from infogan_lib.training import Engine, InfoGANTrainer
from infogan_lib.viz import write_report


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = commands.add_parser("train", help="train a recipe; the same command resumes a run that was stopped")
    parser.add_argument("--recipe", default="default", help="name of a recipe (default: %(default)s)")
    parser.add_argument(
        "--data",
        default="digits",
        help="'digits' for scikit-learn's, a folder of MNIST's files, or a folder of pictures (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the networks' channels (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive_int, help="passes over the images (default: the recipe's length)")
    length.add_argument("--steps", type=positive_int, help="number of updates (default: the recipe's length)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, latents and data order (default: 0)")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', ... (default: auto)")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], help="default: the recipe's")
    parser.add_argument("--tensorboard", action="store_true", help="write event files into OUT/tensorboard")
    parser.set_defaults(run_command=train)


def train(options: argparse.Namespace) -> None:
    """Train, and write the model, the metrics and the report."""
    length = {name: value for name in ("epochs", "steps") if (value := getattr(options, name)) is not None}
    recipe = recipes.get(options.recipe, width=options.width, seed=options.seed, **length)
    data = load(options.data, recipe)
    recipe = recipe.for_images(data.num_images)
    trainer = recipe.trainer(engine=Engine(options.device, precision=options.precision or recipe.engine.precision))
    is_main, monitor = trainer.distributed.is_main, CollapseMonitor(on_symptom=print_symptom)
    if is_main:
        print(f"recipe '{recipe.name}' on {trainer.device}, seed {recipe.seed}, output in {options.out}/", flush=True)
    callbacks = [
        ResumeMessage(),
        ProgressBar() if sys.stderr.isatty() else ProgressLines(every=50),
        JSONLLogger(options.out / "metrics.jsonl"),
        monitor,
        *([TensorBoard(options.out / "tensorboard")] if options.tensorboard else []),
    ]
    trainer.fit(
        data.train,
        epochs=recipe.epochs,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        callbacks=callbacks,
        progress=False,
        checkpoints=options.out,
    )
    if is_main:
        _finish(options, recipe, trainer, data, [str(symptom) for symptom in monitor.symptoms])


def _finish(
    options: argparse.Namespace, recipe: Recipe, trainer: InfoGANTrainer, data: NamedData, symptoms: list[str]
) -> None:
    model, metrics = trainer.model, training_metrics(trainer.history)
    if data.test_labels is not None:
        metrics |= label_metrics(model, data.test, data.test_labels)
        if "accuracy" in metrics:
            model.name_categories(data.test, data.test_labels, names=data.label_names)
            print(f"accuracy under the best matching: {metrics['accuracy']:.1%}")
    recipes.save_run(options.out, recipe, model)
    settings = {"recipe": recipe.name, "width": recipe.width, "data": options.data, "device": str(trainer.device)}
    result = {"seed": recipe.seed, "settings": settings, "metrics": metrics, "symptoms": symptoms}
    atomic_write(options.out / RESULT, (json.dumps(result) + "\n").encode())
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
    print(f"{trainer.steps} steps; what was learned, on one page: {report}")

"""InfoGAN on MNIST: ten categories become the ten digits without labels, two continuous codes become style.

Run it without arguments. It trains on the MNIST files beside it, on CUDA if available and else on the CPU, and leaves
pictures, metrics, the model and a table of categories against digits in the output folder. If it is stopped at any
moment (Ctrl-C, kill, power), the same command resumes from the last checkpoint in that folder.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

import infogan_lib as ig
from infogan_lib import recipes
from infogan_lib.callbacks import CollapseMonitor, SampleGrid
from infogan_lib.checkpoints.together import write_whole
from infogan_lib.commands.arguments import add_precision_argument, add_training_arguments, recipe_overrides
from infogan_lib.commands.fitting import fit_recipe, run_facts
from infogan_lib.metrics import CategoryMatch
from infogan_lib.viz import (
    animate_folder,
    plot_categories,
    plot_epochs,
    plot_fixed_category,
    plot_fixed_noise,
    plot_grid,
    plot_history,
    plot_requests,
    plot_traversal,
    save_figure,
    write_report,
)
from mnist_files import BUNDLED, DataFileError, load_mnist


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recipe",
        choices=[name for name in recipes.available() if name != "sprites"],
        default="default",
        help="'default' finds the digits in minutes on a CPU, 'best' takes three times as long; 'paper' is the InfoGAN "
        "paper's; the others are the labs of a course, which at full size take hours on a CPU (default: default)",
    )
    parser.add_argument(
        "--all-digits",
        action="store_true",
        help="train a lab's networks under settings meant to find all ten digits, instead of the lab's own; "
        "docs/labs.md has the results",
    )
    add_training_arguments(parser, images="the 60,000 images")
    add_precision_argument(parser)
    parser.add_argument(
        "--data",
        type=Path,
        default=BUNDLED,
        help="folder with the four IDX files of MNIST or of a data set in its format, gzipped or raw "
        "(default: the files that come with this example)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/mnist"),
        help="folder of the run; a run that is in it already is resumed (default: runs/mnist)",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    try:
        data = load_mnist(options.data)
        overrides = recipes.all_digits(options.recipe) if options.all_digits else {}
        recipe = recipes.get(options.recipe, **recipe_overrides(options), **overrides)
        recipe = recipe.for_images(len(data["train"][0]))
        precision = options.precision or recipe.engine.precision
        trainer = recipe.trainer(engine=ig.Engine(options.device, precision=precision))
    except (DataFileError, ValueError) as error:
        sys.exit(f"mnist.py: {error}")

    train_images = recipe.images(data["train"][0])
    pictures = SampleGrid(options.out / "progress", every=250)
    try:
        monitor = fit_recipe(recipe, trainer, train_images, options.out, callbacks=[pictures])
    except (ig.CheckpointError, OSError) as error:
        sys.exit(f"mnist.py: {error}")
    if not trainer.distributed.is_main:
        return  # one of several processes draws the pictures

    model = trainer.model
    test_images, test_labels = recipe.images(data["test"][0]), data["test"][1]
    match = model.name_categories(test_images, test_labels)
    recipes.save_run(options.out, recipe, model)
    draw_pictures(trainer, train_images, options.out)
    print_table(match)
    result = summarize(trainer, recipe, match, monitor) | {"all_digits": options.all_digits}
    write_whole(options.out / "result.json", (json.dumps(result) + "\n").encode())
    report = write_report(
        model,
        test_images,
        test_labels,
        options.out / "report.html",
        history=trainer.history,
        settings={name.replace("_", " "): value for name, value in vars(options).items()},
        symptoms=monitor.symptoms,
        title=f"What the recipe '{recipe.name}' learned of MNIST",
    )
    minutes = result["minutes"]
    print(f"{trainer.steps} steps in {minutes:.1f} minutes; pictures, metrics and the model are in {options.out}/")
    print(f"what was learned, on one page: {report}")


def summarize(
    trainer: ig.InfoGANTrainer, recipe: recipes.Recipe, match: CategoryMatch, monitor: CollapseMonitor
) -> dict[str, Any]:
    """Collect the figures of a run for result.json; metrics of the training are means over its last 100 steps."""
    metrics = [name for name in trainer.history if name.startswith(("loss/", "d_", "bound/", "mse/"))]
    return {
        **run_facts(recipe, trainer, monitor),
        "accuracy": match.accuracy,
        "purity": match.purity,
        "nmi": match.nmi,
        "digits": len(match.recovered_labels),
        **{name: round(trainer.history[name][-100:].mean(), 4) for name in metrics},
    }


def draw_pictures(trainer: ig.InfoGANTrainer, images: Tensor, out: Path) -> None:
    """Draw training images, samples by category and by name, traversals of the styles, and the curves of the run."""
    model = trainer.model
    names = sorted(name for name in model.category_names["digit"] if name is not None)
    figures = {
        "training_images": plot_grid(images[:100], 10, pixel_range=(0, 255), title="Training images"),
        "categories": plot_categories(model, "digit", title="One category per column"),
        "fixed_category": plot_fixed_category(model, names[0]),
        "fixed_noise": plot_fixed_noise(model, rows=5),
        "digits_by_name": plot_requests(model, names),
        "curves": plot_history(trainer.history, entropy=model.latent.entropy),
    }
    if trainer.history.epochs:
        figures["epochs"] = plot_epochs(trainer.history, total=True)
    if "style" in model.latent:
        title = "One category per column, style 0"
        figures["categories_style_0"] = plot_categories(model, "digit", style=0.0, title=title)
        figures |= {f"style_{dim}": plot_traversal(model, "style", dim=dim, columns="digit") for dim in range(2)}
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png")
    if any((out / "progress").glob("step_*.png")):
        animate_folder(out / "progress", out / "progress.gif")


def print_table(match: CategoryMatch) -> None:
    """Print the number of test images by category (rows) and digit (columns)."""
    digits = match.labels.tolist()
    print("\ntest images by category and digit; * marks the digit matched to a category")
    print("category  " + "".join(f"{digit:>7}" for digit in digits) + "   purity")
    for category, (counts, purity) in enumerate(zip(match.contingency, match.category_purity, strict=True)):
        matched = match.label_per_category[category]
        cells = (f"{count}{'*' if digit == matched else ' '}" for digit, count in zip(digits, counts, strict=True))
        print(
            f"{category:>8}  " + "".join(f"{cell:>7}" for cell in cells) + (f"{purity:>9.1%}" if counts.any() else "")
        )
    if match.unmatched_labels:
        print(f"digits without a category: {', '.join(map(str, match.unmatched_labels))}")
    print(f"digits that are the most frequent one of their category: {len(match.recovered_labels)} of {len(digits)}")
    print(f"accuracy under the best matching: {match.accuracy:.1%} (no label was used in training)\n")


if __name__ == "__main__":
    main()

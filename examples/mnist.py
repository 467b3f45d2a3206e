"""InfoGAN on MNIST: ten categories become the ten digits without labels, two continuous codes become style.

Run it without arguments. It trains on the MNIST files beside it, on CUDA where there is one and else on the CPU, and
leaves pictures, metrics, the model and a table of categories against digits in the output folder. Stopped at any
moment (Ctrl-C, kill, power), the same command goes on from the last checkpoint in that folder.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

import infogan_lib as ig
from infogan_lib import recipes
from infogan_lib.evaluation import CollapseMonitor, Symptom
from infogan_lib.metrics import CategoryMatch
from infogan_lib.training.callbacks import summary
from infogan_lib.viz import (
    SampleGrid,
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


class Lines(ig.Callback):
    """Prints a line of progress now and then, for output that is no terminal."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_fit_start(self, trainer: ig.InfoGANTrainer, total_steps: int | None) -> None:
        if trainer.steps:
            done = total_steps is not None and trainer.steps >= total_steps
            what = "nothing is left to train" if done else "going on"
            print(f"the run in this folder is at step {trainer.steps}: {what}", flush=True)
        self.total, self.started, self.start = total_steps or 0, time.monotonic(), trainer.steps

    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        done = trainer.steps - self.start
        if done % self.every and trainer.steps != self.total:
            return
        left = int((time.monotonic() - self.started) / done * (self.total - trainer.steps))
        print(
            f"step {trainer.steps}/{self.total}  {left // 60}:{left % 60:02} left  {summary(metrics)}  "
            f"{metrics['images_per_second']:.0f} images/s",
            flush=True,
        )


def print_symptom(symptom: Symptom) -> None:
    """What the monitor has to say, on a line of its own."""
    print(f"! {symptom}", flush=True)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, but got {text!r}")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recipe",
        choices=[name for name in recipes.available() if name != "sprites"],
        default="default",
        help="'default' finds the digits in minutes on a CPU; 'paper' is the InfoGAN paper's; the others are the labs "
        "of a course, at full size, for which a CPU takes hours (default: default)",
    )
    parser.add_argument(
        "--all-digits",
        action="store_true",
        help="train a lab's networks under settings meant to bring out all ten digits, instead of the lab's own; "
        "docs/labs.md says where they did",
    )
    parser.add_argument("--width", type=float, default=1.0, help="factor on the networks' channels (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, help="passes over the 60,000 images (default: the recipe's)")
    length.add_argument("--steps", type=positive, help="updates of each network (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, latents and data order (default: 0)")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', ... (default: auto)")
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16"],
        default="fp32",
        help="of the networks' arithmetic; 'bf16' is faster on CUDA and on CPUs that support it (default: fp32)",
    )
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
        help="folder of the run; one that holds a run goes on with it (default: runs/mnist)",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    try:
        data = load_mnist(options.data)
        changes = recipes.all_digits(options.recipe) if options.all_digits else {}
        recipe = recipes.get(options.recipe, width=options.width, seed=options.seed, **changes)
        trainer = recipe.trainer(device=options.device, precision=options.precision)
    except (DataFileError, ValueError) as error:
        sys.exit(f"mnist.py: {error}")
    print(f"recipe '{options.recipe}' on {trainer.device}, seed {options.seed}, output in {options.out}/")

    if options.epochs is not None or options.steps is not None:
        recipe.epochs, recipe.steps = options.epochs, options.steps
    training = recipe.images(data["train"][0])
    progress = ig.ProgressBar() if sys.stderr.isatty() else Lines(every=50)
    metrics, pictures = ig.JSONLLogger(options.out / "metrics.jsonl"), SampleGrid(options.out / "progress", every=250)
    monitor = CollapseMonitor(on_symptom=print_symptom)
    try:
        trainer.fit(
            training,
            epochs=recipe.epochs,
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            callbacks=[progress, metrics, pictures, monitor],
            run_dir=options.out,
        )
    except (ig.CheckpointError, OSError) as error:
        sys.exit(f"mnist.py: {str(error).replace('run_dir', '--out')}")
    minutes = recipe.batch_size * (1 / trainer.history["images_per_second"]).sum() / 60

    images, labels = recipe.images(data["test"][0]), data["test"][1].long()
    match = trainer.model.name_categories(images, labels)
    trainer.model.save(options.out / "model")
    draw_pictures(trainer, training, options.out)
    print_table(match)
    result = {"recipe": options.recipe, "all_digits": options.all_digits, "width": options.width}
    result |= {"seed": options.seed, "device": str(trainer.device)}
    result |= {"steps": trainer.steps, "batch_size": recipe.batch_size, "minutes": round(minutes, 2)}
    result |= {"images_per_second": round(trainer.steps * recipe.batch_size / minutes / 60, 1)}
    result |= {"accuracy": match.accuracy, "purity": match.purity, "nmi": match.nmi}
    result |= {"digits": len(match.recovered_labels)}
    kept = [name for name in trainer.history if name.startswith(("loss/", "d_", "bound/", "mse/"))]
    result |= {name: round(trainer.history[name][-100:].mean(), 4) for name in kept}
    result |= {"symptoms": [str(symptom) for symptom in monitor.symptoms]}
    (options.out / "result.json").write_text(json.dumps(result) + "\n")
    report = write_report(
        trainer.model,
        images,
        labels,
        options.out / "report.html",
        history=trainer.history,
        settings={name.replace("_", " "): value for name, value in vars(options).items()},
        title=f"What the recipe '{options.recipe}' learned of MNIST",
    )
    print(f"{trainer.steps} steps in {minutes:.1f} minutes; pictures, metrics and the model are in {options.out}/")
    print(f"what was learned, on one page: {report}")


def draw_pictures(trainer: ig.InfoGANTrainer, images: Tensor, out: Path) -> None:
    """Training images, samples by category and by name, sweeps of the continuous codes, and the curves of the run."""
    model = trainer.model
    named = sorted(name for name in model.category_names["digit"] if name is not None)
    figures = {
        "training_images": plot_grid(images[:100], 10, pixel_range=(0, 255), title="Training images"),
        "categories": plot_categories(model, "digit", title="One category per column"),
        "fixed_condition": plot_fixed_category(model, named[0]),
        "fixed_noise": plot_fixed_noise(model),
        "asked_for": plot_requests(model, named),
        "curves": plot_history(trainer.history, entropy=model.latent.entropy),
    }
    if trainer.history.epochs:
        figures["epochs"] = plot_epochs(trainer.history, total=True)
    if "style" in model.latent:
        figures["categories_style_0"] = plot_categories(
            model, "digit", style=0.0, title="One category per column, style 0"
        )
        figures |= {f"style_{dim}": plot_traversal(model, "style", dim=dim, columns="digit") for dim in range(2)}
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png")
    if any((out / "progress").glob("step_*.png")):
        animate_folder(out / "progress", out / "progress.gif")


def print_table(match: CategoryMatch) -> None:
    """The test images, counted by category (rows) and digit (columns)."""
    digits = match.contingency.shape[1]
    print("\ntest images by category and digit; * marks the digit matched to a category")
    print("category  " + "".join(f"{digit:>7}" for digit in range(digits)) + "   purity")
    for category, (counts, purity) in enumerate(zip(match.contingency, match.category_purity, strict=True)):
        matched = match.label_per_category[category]
        cells = (f"{count}{'*' if digit == matched else ' '}" for digit, count in enumerate(counts))
        print(
            f"{category:>8}  " + "".join(f"{cell:>7}" for cell in cells) + (f"{purity:>9.1%}" if counts.any() else "")
        )
    if match.unmatched_labels:
        print(f"digits that no category stands for: {', '.join(map(str, match.unmatched_labels))}")
    print(f"digits that are the most frequent of their category: {len(match.recovered_labels)} of {digits}")
    print(f"accuracy under the best matching: {match.accuracy:.1%} (no label was used in training)\n")


if __name__ == "__main__":
    main()

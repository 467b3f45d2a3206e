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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import infogan_lib as ig
from infogan_lib.evaluation import CategoryMatch, match_categories
from infogan_lib.networks import paper_discriminator, paper_generator
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.viz import SampleGrid, category_figure, curves_figure, grid_figure, save_figure, sweep_figure
from mnist_files import BUNDLED, DataFileError, load_mnist


@dataclass(frozen=True)
class Recipe:
    """The sizes of the networks and of the run, and what helps the codes to become digits and styles.

    "paper" is the InfoGAN paper's: nothing but the bound. "small" finds the digits in minutes. It asks Q to be decided
    about real images as well, with a D without BatchNorm, so that Q sees real and generated images alike; it keeps the
    styles from crowding out the digits with a floor under Q's scale; and it shows the average of G's last weights.
    """

    channels: int
    hidden: int
    steps: int
    lr_d: float
    style: ig.Uniform
    about_real_images: bool
    ema_decay: float | None
    batch_size: int = 128


RECIPES = {
    "paper": Recipe(
        channels=64,
        hidden=1024,
        steps=5000,
        lr_d=2e-4,
        style=ig.Uniform(2),
        about_real_images=False,
        ema_decay=None,
    ),
    "small": Recipe(
        channels=32,
        hidden=256,
        steps=1400,
        lr_d=5e-4,
        style=ig.Uniform(2, weight=0.05, loss=ig.NormalNLL(log_scale_range=(-1.5, 0.5))),
        about_real_images=True,
        ema_decay=0.995,
    ),
}


class Lines(ig.Callback):
    """Prints a line of progress now and then, for output that is no terminal."""

    def __init__(self, every: int) -> None:
        self.every = every

    def on_fit_start(self, trainer: ig.InfoGANTrainer, total_steps: int | None) -> None:
        if trainer.steps:
            print(f"going on after step {trainer.steps}", flush=True)
        self.total, self.started, self.start = total_steps or 0, time.monotonic(), trainer.steps

    def on_step_end(self, trainer: ig.InfoGANTrainer, figures: Mapping[str, float]) -> None:
        done = trainer.steps - self.start
        if done % self.every and trainer.steps != self.total:
            return
        left = int((time.monotonic() - self.started) / done * (self.total - trainer.steps))
        print(
            f"step {trainer.steps}/{self.total}  {left // 60}:{left % 60:02} left  "
            f"D {figures['loss/d']:.2f}  G {figures['loss/g']:.2f}  "
            f"digit {figures['bound/digit']:.2f} of 2.30 nats  style {figures['bound/style']:.2f} nats  "
            f"{figures['images_per_second']:.0f} images/s",
            flush=True,
        )


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, but got {text!r}")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recipe",
        choices=["auto", *RECIPES],
        default="auto",
        help="'paper' is the InfoGAN paper's recipe at full size; 'small' has narrower networks, which a CPU trains in "
        "minutes, and asks Q to be decided about real images too; 'auto' takes 'paper' on CUDA and 'small' on a CPU "
        "(default: auto)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, help="passes over the 60,000 images (default: the recipe's steps)")
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
    except DataFileError as error:
        sys.exit(f"mnist.py: {error}")
    on_cuda = options.device.startswith("cuda") or (options.device == "auto" and torch.cuda.is_available())
    name = options.recipe if options.recipe != "auto" else "paper" if on_cuda else "small"
    recipe = RECIPES[name]

    torch.manual_seed(options.seed)
    latent = ig.LatentSpec(z=ig.Noise(62), digit=ig.Categorical(10), style=recipe.style)
    try:
        trainer = ig.InfoGANTrainer(
            paper_generator(latent.width, channels=recipe.channels, hidden=recipe.hidden),
            paper_discriminator(channels=recipe.channels, hidden=recipe.hidden, norm=not recipe.about_real_images),
            latent,
            lr_d=recipe.lr_d,
            ema_decay=recipe.ema_decay,
            regularizers=[RealImageInformation("digit", weight=2.0)] if recipe.about_real_images else [],
            device=options.device,
            precision=options.precision,
            seed=options.seed,
        )
    except ValueError as error:
        sys.exit(f"mnist.py: {error}")
    print(f"recipe '{name}' on {trainer.device}, seed {options.seed}, output in {options.out}/")

    progress = ig.Progress() if sys.stderr.isatty() else Lines(every=50)
    metrics, pictures = ig.JSONLMetrics(options.out / "metrics.jsonl"), SampleGrid(options.out / "progress", every=250)
    started = time.monotonic()
    try:
        trainer.fit(
            data["train"][0],
            epochs=options.epochs,
            steps=None if options.epochs is not None else options.steps or recipe.steps,
            batch_size=recipe.batch_size,
            callbacks=[progress, metrics, pictures],
            run_dir=options.out,
        )
    except (ig.CheckpointError, OSError) as error:
        sys.exit(f"mnist.py: {error}")
    minutes = (time.monotonic() - started) / 60

    draw_pictures(trainer, data["train"][0], options.out)
    images, labels = data["test"]
    match = match_categories(
        trainer.model.encode(images)["digit"].mode.argmax(1).cpu().numpy(),
        labels.numpy().astype(np.int64),
        category_count=10,
        label_count=10,
    )
    print_table(match)
    result = {"recipe": name, "seed": options.seed, "device": str(trainer.device), "steps": trainer.steps}
    result |= {"minutes": round(minutes, 2), "accuracy": match.accuracy, "purity": match.purity}
    (options.out / "result.json").write_text(json.dumps(result) + "\n")
    trainer.model.save(options.out / "model")
    print(f"{trainer.steps} steps, {minutes:.1f} minutes of them now; pictures, metrics and the model: {options.out}/")


def draw_pictures(trainer: ig.InfoGANTrainer, images: Tensor, out: Path) -> None:
    """Training images, samples by category, sweeps of both continuous codes, and the curves of the run."""
    model = trainer.model
    training = grid_figure(images[:100], 10, pixel_range=(0, 255), title="Training images")
    save_figure(training, out / "training_images.png")
    save_figure(category_figure(model, "digit", title="One category per column"), out / "categories.png")
    for dim in range(2):
        save_figure(sweep_figure(model, "style", dim=dim, columns="digit"), out / f"style_{dim}.png")
    save_figure(curves_figure(trainer.history, entropy=model.latent.entropy), out / "curves.png")


def print_table(match: CategoryMatch) -> None:
    """The test images, counted by category (rows) and digit (columns)."""
    print("\ntest images by category and digit; * marks the digit matched to a category")
    print("category  " + "".join(f"{digit:>7}" for digit in range(10)))
    for category, counts in enumerate(match.table):
        matched = match.label_of[category]
        cells = (f"{count}{'*' if digit == matched else ' '}" for digit, count in enumerate(counts))
        print(f"{category:>8}  " + "".join(f"{cell:>7}" for cell in cells))
    print(f"accuracy under the best matching: {match.accuracy:.1%} (no label was used in training)\n")


if __name__ == "__main__":
    main()

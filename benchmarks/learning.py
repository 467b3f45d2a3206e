"""What InfoGAN learns from labeled data sets that it sees without labels: a line of figures per run, and a table.

    python benchmarks/learning.py --data digits mnist --networks bn none sn --seeds 0 1 2 --jobs 2
    python benchmarks/learning.py --data mnist --set labels=100
    python benchmarks/learning.py --table runs/learning.jsonl

Every combination is a run in a process of its own, on one thread. Its line of JSON is appended to the file when it
ends; runs that are in the file already are skipped, so that the same command continues after it was stopped. What the
figures mean is written in benchmarks/meter/figures.py. Beside them are the figures of real images: one half of them
against the other, and as accuracy that of the meter's classifier, which is trained with labels, on images it was not
trained on.

With labels=N among the settings, the category is a `Label` that has the labels of N images, evenly many of each class;
accuracy is then that of category = label, without a matching. With starts=N Q begins by `PretrainQ`, in N starts.

Settings are to be chosen with --select train, the default, which measures on a sixth of the training images that is
held back. --select test trains on all training images and measures on the test images; it is for the final report.
"digits" has too few images for either: all of them are trained on and measured with.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib import (
    Callback,
    Categorical,
    InfoGAN,
    InfoGANTrainer,
    Label,
    LatentSpec,
    Noise,
    NonFiniteLossError,
    Uniform,
    recipes,
)
from infogan_lib.callbacks import PretrainQ
from infogan_lib.history.display import metrics_text
from meter.data import LabeledImages, Select, available, default_cache, load
from meter.figures import measure
from meter.networks import INITS, NETWORKS, make_pair
from meter.processes import run_processes
from meter.reference import reference
from meter.results import append_record, read_records, table
from meter.settings import PRESETS, read_settings

MODEL_KEYWORDS = {"q_head", "q_network", "tap"}
"""Settings that are arguments of `InfoGAN` instead of the trainer's."""

LABELS = "labels"
"""The setting that is the number of labels."""
STARTS = "starts"
"""The setting with which Q begins on real images alone, in so many starts."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Args:
        data: Name of the data set.
        select: "train" to measure on held-back training images, "test" to measure on the test images.
        networks: One of `NETWORKS`, or "recipe:NAME".
        seed: Seed of weights, latents and data order.
        steps: Number of steps.
        batch_size: Number of real images per step.
        channels: Channels of the networks; 0 for a recipe's own.
        init: Initial weights, one of `INITS`; empty for a recipe's own.
        settings: Presets and keywords as text.
        label: A word of the user's, such as the version of the library.
    """

    data: str
    select: Select
    networks: str
    seed: int
    steps: int
    batch_size: int
    channels: int
    init: str
    settings: tuple[str, ...]
    label: str

    @property
    def key(self) -> str:
        """What identifies the run in a file of results."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def title(self) -> str:
        """A short name for lines of progress."""
        return " ".join([self.data, self.networks, *self.settings, f"seed {self.seed}"])

    def load(self, folder: Path) -> LabeledImages:
        """Load the data at the size of the networks."""
        size = None
        if self.networks.startswith("recipe:"):
            size = recipes.get(self.networks.removeprefix("recipe:"), width=0.01).image_size
        return load(self.data, size, select=self.select, folder=folder)

    def training_data(self, data: LabeledImages) -> Tensor | tuple[Tensor, Tensor]:
        """The training images, with the first labels of each class where labels are wanted and -1 elsewhere."""
        if not (count := read_settings(self.settings).get(LABELS, 0)):
            return data.train
        labels = torch.full_like(data.train_labels, -1)
        for label in range(data.num_classes):
            of_class = (data.train_labels == label).nonzero()[:, 0]
            labels[of_class[: count // data.num_classes]] = label
        return data.train, labels

    def callbacks(self, data: LabeledImages) -> list[Callback]:
        """The callbacks: progress, and Q's starts, which a recipe may have by itself."""
        starts = read_settings(self.settings).get(STARTS)
        if self.networks.startswith("recipe:") and starts is None:
            recipe = recipes.get(self.networks.removeprefix("recipe:"), width=0.01, epochs=None, steps=self.steps)
            return [ProgressLines(self.title), *recipe.callbacks(data.train)]
        return [ProgressLines(self.title), *([PretrainQ(data.train, starts=starts)] if starts else [])]

    def trainer(self, data: LabeledImages) -> InfoGANTrainer:
        """Build the trainer."""
        settings = read_settings(self.settings)
        settings.pop(STARTS, None)
        if self.networks.startswith("recipe:"):
            return recipes.get(self.networks.removeprefix("recipe:"), seed=self.seed, **settings).trainer()
        category = (Label if settings.pop(LABELS, 0) else Categorical)(data.num_classes)
        latent = settings.pop("latent", LatentSpec(z=Noise(62), digit=category, style=Uniform(2, weight=0.1)))
        size, image_channels = data.train.shape[-1], data.train.shape[1]
        generator, discriminator = make_pair(
            self.networks,
            latent.width,
            size=size,
            image_channels=image_channels,
            channels=self.channels,
            init=self.init,
            seed=self.seed,
        )
        of_model = {name: settings.pop(name) for name in MODEL_KEYWORDS & settings.keys()}
        if of_model:
            model = InfoGAN(generator, discriminator, latent, seed=self.seed, **of_model)
            return InfoGANTrainer(model, seed=self.seed, **settings)
        return InfoGANTrainer(generator, discriminator, latent, seed=self.seed, **settings)


class ProgressLines(Callback):
    """Prints a line of progress every 30 seconds."""

    def __init__(self, title: str) -> None:
        self.title, self.last = title, time.monotonic()

    @override
    def needs_model(self, step: int) -> bool:
        return False

    @override
    def on_step_end(self, trainer: InfoGANTrainer, metrics: Mapping[str, float]) -> None:
        if time.monotonic() - self.last >= 30:
            self.last = time.monotonic()
            print(f"{self.title}: step {trainer.steps}  {metrics_text(metrics)}", flush=True)


def perform(run: Run, cache: Path) -> dict[str, Any]:
    """Train and measure.

    Returns:
        The record of the run: its key, its settings, and its figures or the error that ended it.
    """
    data = run.load(cache)
    real = reference(data, cache)
    record = {"key": run.key, **asdict(run)}
    trainer = run.trainer(data)
    started, cpu_started = time.monotonic(), time.process_time()
    try:
        images, callbacks = run.training_data(data), run.callbacks(data)
        trainer.fit(images, steps=run.steps, batch_size=run.batch_size, callbacks=callbacks, progress=False)
    except NonFiniteLossError as error:
        return record | {"error": f"{type(error).__name__}: {error}"}
    minutes, cpu_minutes = (time.monotonic() - started) / 60, (time.process_time() - cpu_started) / 60
    figures = measure(trainer.model, data, real)
    return record | {
        **figures,
        "minutes": minutes,
        "cpu_minutes": cpu_minutes,
        "measuring_seconds": time.monotonic() - started - 60 * minutes,
        "images_seen": run.steps * run.batch_size,
        "parameters": {
            name: sum(parameter.numel() for parameter in group)
            for name, group in trainer.model.parameter_groups().items()
        },
        "test_images": len(data.test),
        "held_out": data.held_out,
        "classifier_accuracy": real.classifier_accuracy,
        "ceiling": real.ceiling,
    }


def work(run: Run, out: Path, cache: Path) -> None:
    """Perform a run and append its record."""
    torch.set_num_threads(1)
    record = perform(run, cache)
    append_record(out, record)
    names = ("accuracy", "classes", "asked", "frechet", "recall", "noise", "style", "bound", "minutes")
    figures = "  ".join(f"{name} {record[name]:.3g}" for name in names if record.get(name) is not None)
    print(f"{run.title}: {record.get('error', figures)}", flush=True)


def perform_all(runs: list[Run], out: Path, cache: Path, *, jobs: int) -> list[Run]:
    """Perform runs in processes of their own, some at a time.

    Returns:
        The runs that failed.
    """
    command = [__file__, "--out", str(out), "--cache", str(cache), "--worker"]
    return [runs[index] for index in run_processes([[*command, run.key] for run in runs], jobs=jobs)]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="+", choices=available(), default=["digits"], help="data sets (default: digits)"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, help="pairs of networks (default: bn)")
    parser.add_argument(
        "--recipe",
        nargs="+",
        choices=recipes.available(),
        default=[],
        help="recipes of the library, besides or instead",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds (default: 0)")
    parser.add_argument("--steps", type=int, default=1400, help="steps (default: 1400)")
    parser.add_argument("--batch-size", type=int, default=128, help="images per step (default: 128)")
    parser.add_argument("--channels", type=int, default=32, help="channels next to the image (default: 32)")
    parser.add_argument("--init", choices=INITS, default="dcgan", help="initial weights (default: dcgan)")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=f"keywords of InfoGANTrainer or InfoGAN, or presets: {', '.join(PRESETS)}",
    )
    parser.add_argument("--label", default="", help="a word that tells these runs from others with the same options")
    parser.add_argument(
        "--select", choices=["train", "test"], default="train", help="images to measure on (default: train)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/learning.jsonl"), help="file of results")
    parser.add_argument("--cache", type=Path, default=default_cache(), help=f"cache ({default_cache()})")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="only print the table of these files")
    parser.add_argument("--worker", metavar="RUN", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.table:
        print(table(record for path in options.table for record in read_records(path)))
        return
    if options.worker:
        given = json.loads(options.worker)
        work(Run(**given | {"settings": tuple(given["settings"])}), options.out, options.cache)
        return
    networks = [*(options.networks or ([] if options.recipe else ["bn"])), *(f"recipe:{n}" for n in options.recipe)]
    runs = [
        Run(
            data=data,
            select=options.select,
            networks=pair,
            seed=seed,
            steps=options.steps,
            batch_size=options.batch_size,
            channels=0 if pair.startswith("recipe:") else options.channels,
            init="" if pair.startswith("recipe:") else options.init,
            settings=tuple(options.set),
            label=options.label,
        )
        for data, pair, seed in product(options.data, networks, options.seeds)
    ]
    read_settings(options.set)  # an error in them is reported once, and at once
    done = {record["key"] for record in read_records(options.out)}
    todo = [run for run in runs if run.key not in done]
    print(f"{len(todo)} of {len(runs)} runs to do, into {options.out}", flush=True)
    torch.set_num_threads(1)
    for run in {(run.data, run.networks.startswith("recipe:") and run.networks): run for run in todo}.values():
        reference(run.load(options.cache), options.cache)  # made here once, not by each process
    failed = perform_all(todo, options.out, options.cache, jobs=options.jobs)
    keys = {run.key for run in runs}
    print("\n" + table(record for record in read_records(options.out) if record["key"] in keys))
    if failed:
        sys.exit(f"learning.py: {len(failed)} runs failed: " + "; ".join(run.title for run in failed))


if __name__ == "__main__":
    main()

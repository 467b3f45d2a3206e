"""How like MNIST a run's samples are, and whether they are the digits that they were asked to be.

    python examples/mnist_quality.py runs/mnist

A small classifier is trained here from scratch on the training images, with their labels. It says which digits come out
for each digit that is asked for by name, and distances are taken in its features. Its accuracy is printed with them, as
such numbers mean nothing without their features; none of them is an FID. One half of the test images against the other
gives the figures of a perfect generator, and the samples are as many. Images of 64 x 64 are looked at in 28 x 28. What
was found is left in quality.json in the folder of the run.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infogan_lib import InfoGAN
from infogan_lib.evaluation import SampleQuality, sample_quality
from infogan_lib.evaluation.sample_quality import extract_features
from infogan_lib.metrics import frechet_distance, kernel_distance, precision_recall
from infogan_lib.recipes import RunError, load_run
from infogan_lib.recipes.recipe import resized
from mnist_files import BUNDLED, DataFileError, load_mnist

FEATURES = 64
SIDE = 28  # of the images that the classifier takes
ASKED = 200  # images of each digit


def classifier() -> nn.Sequential:
    """Logits (N, 10) of images (N, 1, 28, 28); all but its last layer gives 64 features."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, FEATURES), nn.ReLU(), nn.Dropout(0.3), nn.Linear(FEATURES, 10)),
    )


def train(images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> nn.Sequential:
    """A classifier of images (N, 1, 28, 28) in [0, 1]."""
    torch.manual_seed(seed)
    network = classifier()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    batches = -(-len(images) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(128):
            loss = F.cross_entropy(network(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"classifier: epoch {epoch + 1} of {epochs}", flush=True)
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that are given their label."""
    answers = torch.cat([network(part).argmax(1) for part in images.split(1000)])
    return (answers == labels).double().mean().item()


@torch.no_grad()
def asked_and_drawn(model: InfoGAN, classify: Callable[[Tensor], Tensor], *, seed: int) -> dict[str, list[int]]:
    """For each digit that a category is named after, how many of `ASKED` images are read as 0, 1, ... 9."""
    names = sorted(name for name in model.category_names.get("digit", ()) if name is not None)
    answers = {}
    for name in names:
        found = classify(model.sample(ASKED, digit=name, seed=seed)).argmax(1)
        answers[name] = torch.bincount(found, minlength=10).tolist()
    return answers


def perfect(features: nn.Module, images: Tensor, name: str) -> SampleQuality:
    """One half of the test images against the other."""
    half = len(images) // 2
    first, second = (extract_features(features, part) for part in (images[:half], images[half : 2 * half]))
    distances = frechet_distance(first, second), kernel_distance(first, second)
    return SampleQuality(name, *distances, *precision_recall(first, second), half, half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out folder of a finished run of examples/mnist.py")
    parser.add_argument("--epochs", type=int, default=4, help="of the classifier (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the classifier and the samples (default: 0)")
    parser.add_argument("--data", type=Path, default=BUNDLED, help="folder with the four IDX files of MNIST")
    options = parser.parse_args()
    try:
        model, data = load_run(options.run), load_mnist(options.data)
    except (RunError, DataFileError) as error:
        sys.exit(f"mnist_quality.py: {error}")
    if model.image_shape[0] != 1 or "digit" not in model.latent:
        sys.exit(f"mnist_quality.py: {options.run} is no run on MNIST: its images are {model.image_shape}")
    # The first half of MNIST's test images is by other writers than the second.
    mixed = torch.randperm(len(data["test"][0]), generator=torch.Generator().manual_seed(options.seed))
    real, real_labels = (part[mixed] for part in data["test"])
    (train_x, train_y), (test_x, test_y) = (
        (images.float() / 255, labels.long()) for images, labels in (data["train"], (real, real_labels))
    )
    network = train(train_x, train_y, epochs=options.epochs, seed=options.seed)
    right = accuracy(network, test_x, test_y)
    name = f"the {FEATURES} features of a classifier with {right:.1%} on the test images, seed {options.seed}"
    low, high = model.pixel_range or (0.0, 1.0)
    features = network[:-2]  # all but the dropout and the last layer

    def seen(images: Tensor) -> Tensor:
        return resized((images - low) / (high - low), SIDE)

    answers = asked_and_drawn(model, lambda images: network(seen(images)), seed=options.seed)
    half = resized(real[: len(real) // 2], model.image_shape[-1])
    rows = {
        "the run's samples": sample_quality(
            model, half, lambda images: features(seen(images)), name=name, seed=options.seed
        ),
        "test images, halves": perfect(features, test_x, name),
    }
    as_asked = sum(counts[int(digit)] for digit, counts in answers.items()) / (10 * ASKED)
    drawn = sum(max(counts) == counts[int(digit)] for digit, counts in answers.items())
    print(f"\nread as (columns) what was asked for by name (rows), {ASKED} images each, by {name}")
    print("      " + "".join(f"{digit:>6}" for digit in range(10)))
    for digit, counts in answers.items():
        print(f"{digit:>6}" + "".join(f"{count:>6}" for count in counts))
    print(f"{as_asked:.1%} are the digit that was asked for; {drawn} of 10 digits come out")
    steps = json.loads((options.run / "result.json").read_text())["steps"]
    result = {"steps": steps, "classifier": right, "as_asked": as_asked, "digits_drawn": drawn, "answers": answers}
    result |= {what: asdict(found) for what, found in rows.items()}
    (options.run / "quality.json").write_text(json.dumps(result) + "\n")
    print(f"\nin {name}")
    print(f"{'':<22}{'Frechet':>10}{'kernel':>10}{'precision':>11}{'recall':>9}")
    for what, found in rows.items():
        print(
            f"{what:<22}{found.frechet:>10.3f}{found.kernel:>10.4f}{found.precision:>11.3f}{found.recall:>9.3f}"
            f"   ({found.num_generated:,} against {found.num_real:,})"
        )


if __name__ == "__main__":
    main()

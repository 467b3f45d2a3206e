"""Compare a run's samples with MNIST, and check whether they are the digits that were requested.

    python examples/mnist_quality.py runs/mnist

A small classifier is trained from scratch on the labeled training images. Its predictions show which digits are drawn
for each digit requested by name, and distances are computed in its features. Such distances mean nothing without the
features, so its accuracy is printed with them; none of them is an FID. One half of the test images against the other
gives the figures of a perfect generator, for the same number of samples. Images of 64 x 64 are resized to 28 x 28. The
results are written to quality.json in the run's folder.
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
from infogan_lib.recipes import RunError, load_run, resize_images
from mnist_files import BUNDLED, DataFileError, load_mnist

FEATURES = 64
SIZE = 28  # side of the classifier's images, in pixels
REQUESTS = 200  # images per digit


def classifier() -> nn.Sequential:
    """Build a network from images (N, 1, 28, 28) to logits (N, 10); without its last layer it returns 64 features."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, FEATURES), nn.ReLU(), nn.Dropout(0.3), nn.Linear(FEATURES, 10)),
    )


def train_classifier(images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> nn.Sequential:
    """Train a classifier.

    Args:
        images: Images (N, 1, 28, 28) in [0, 1].
        labels: Labels (N,) from 0 to 9.
        epochs: Passes over the images.
        seed: Seed of the weights and of the order of the images.

    Returns:
        The network, in eval mode.
    """
    torch.manual_seed(seed)
    network = classifier()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    batches = -(-len(images) // 128)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(128):
            loss = F.cross_entropy(network(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        print(f"classifier: epoch {epoch + 1} of {epochs}", flush=True)
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose predicted class is their label."""
    predicted = torch.cat([network(batch).argmax(1) for batch in images.split(1000)])
    return (predicted == labels).double().mean().item()


@torch.no_grad()
def predictions_by_request(model: InfoGAN, classify: Callable[[Tensor], Tensor], *, seed: int) -> dict[str, list[int]]:
    """Classify `REQUESTS` samples of each digit that a category is named after.

    Args:
        model: The model, whose categories of "digit" have names.
        classify: Function from samples to logits (N, 10).
        seed: Seed of the samples.

    Returns:
        For each name, the number of samples classified as 0, 1, ..., 9.
    """
    names = sorted(name for name in model.category_names.get("digit", ()) if name is not None)
    counts = {}
    for name in names:
        predicted = classify(model.sample(REQUESTS, digit=name, seed=seed)).argmax(1)
        counts[name] = torch.bincount(predicted, minlength=10).tolist()
    return counts


def quality_of_real_images(features: nn.Module, images: Tensor, name: str) -> SampleQuality:
    """Compare one half of the test images with the other."""
    half = len(images) // 2
    first, second = (extract_features(features, part) for part in (images[:half], images[half : 2 * half]))
    distances = frechet_distance(first, second), kernel_distance(first, second)
    return SampleQuality(name, *distances, *precision_recall(first, second), half, half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out folder of a finished run of examples/mnist.py")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the classifier (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the classifier and the samples (default: 0)")
    parser.add_argument("--data", type=Path, default=BUNDLED, help="folder with the four IDX files of MNIST")
    options = parser.parse_args()
    try:
        model, data = load_run(options.run), load_mnist(options.data)
    except (RunError, DataFileError) as error:
        sys.exit(f"mnist_quality.py: {error}")
    if model.image_shape[0] != 1 or "digit" not in model.latent:
        sys.exit(f"mnist_quality.py: {options.run} is not a run on MNIST: its images are {model.image_shape}")
    # The first half of MNIST's test images is by other writers than the second.
    shuffled = torch.randperm(len(data["test"][0]), generator=torch.Generator().manual_seed(options.seed))
    real, real_labels = (part[shuffled] for part in data["test"])
    (train_x, train_y), (test_x, test_y) = (
        (images.float() / 255, labels.long()) for images, labels in (data["train"], (real, real_labels))
    )
    network = train_classifier(train_x, train_y, epochs=options.epochs, seed=options.seed)
    test_accuracy = accuracy(network, test_x, test_y)
    name = f"the {FEATURES} features of a classifier with {test_accuracy:.1%} on the test images, seed {options.seed}"
    low, high = model.pixel_range or (0.0, 1.0)
    features = network[:-2]  # without the dropout and the last layer

    def for_classifier(images: Tensor) -> Tensor:
        return resize_images((images - low) / (high - low), SIZE)

    predictions = predictions_by_request(model, lambda images: network(for_classifier(images)), seed=options.seed)
    half = resize_images(real[: len(real) // 2], model.image_shape[-1])
    qualities = {
        "the run's samples": sample_quality(
            model, half, lambda images: features(for_classifier(images)), name=name, seed=options.seed
        ),
        "test images, halves": quality_of_real_images(features, test_x, name),
    }
    as_requested = sum(counts[int(digit)] for digit, counts in predictions.items()) / (10 * REQUESTS)
    digits_drawn = sum(max(counts) == counts[int(digit)] for digit, counts in predictions.items())
    print(f"\ndigits requested by name (rows) and predicted (columns), {REQUESTS} images each, by {name}")
    print("      " + "".join(f"{digit:>6}" for digit in range(10)))
    for digit, counts in predictions.items():
        print(f"{digit:>6}" + "".join(f"{count:>6}" for count in counts))
    print(f"{as_requested:.1%} are the digit that was requested; {digits_drawn} of 10 digits are drawn")
    result = {
        "steps": json.loads((options.run / "result.json").read_text())["steps"],
        "classifier_accuracy": test_accuracy,
        "as_requested": as_requested,
        "digits_drawn": digits_drawn,
        "predictions": predictions,
        **{source: asdict(quality) for source, quality in qualities.items()},
    }
    (options.run / "quality.json").write_text(json.dumps(result) + "\n")
    print(f"\nin {name}")
    print(f"{'':<22}{'Frechet':>10}{'kernel':>10}{'precision':>11}{'recall':>9}")
    for source, quality in qualities.items():
        print(
            f"{source:<22}{quality.frechet:>10.3f}{quality.kernel:>10.4f}{quality.precision:>11.3f}"
            f"{quality.recall:>9.3f}   ({quality.num_generated:,} against {quality.num_real:,})"
        )


if __name__ == "__main__":
    main()

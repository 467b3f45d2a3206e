"""What real images give: the classifier, its features of them, and the figures of a perfect generator.

All of it depends on the data only, so it is computed once and kept in a cache folder.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infogan_lib.metrics import density_coverage, frechet_distance, kernel_distance, measure_images, precision_recall
from meter.classifier import classify, make_classifier, train_classifier
from meter.data import LabeledImages

SAMPLES = 5000
"""Samples, and real images, that are compared; fewer where half of the real images are fewer."""

PER_CLASS = 300
"""Real images of a class whose pairwise distances are taken."""

VERSION = 2
"""Increase it when the meaning of anything cached changes."""


@dataclass(frozen=True)
class Reference:
    """Real images as the meter sees them.

    Attributes:
        classifier: The meter's own classifier, in eval mode.
        classifier_accuracy: Its accuracy on labeled images that it was not trained on.
        features: Features of the first half of the real images, shape (n, 64).
        class_distance: Mean distance in pixels of two real images of a class, averaged over classes.
        spread: Standard deviation over the real images of each measure in which they differ.
        ceiling: The figures of the second half of the real images against the first.
    """

    classifier: nn.Sequential
    classifier_accuracy: float
    features: NDArray[np.float64]
    class_distance: float
    spread: dict[str, float]
    ceiling: dict[str, float]


def pairwise_distance(images: Tensor) -> float:
    """Mean Euclidean distance of two images of a batch (N, *)."""
    return torch.pdist(images.flatten(1)).mean().item()


def compare(real: NDArray[np.float64], generated: NDArray[np.float64]) -> dict[str, float]:
    """Distances, precision and recall (k = 3), density and coverage (k = 5) of generated features."""
    precision, recall = precision_recall(real, generated)
    density, coverage = density_coverage(real, generated)
    return {
        "frechet": frechet_distance(real, generated),
        "kernel": kernel_distance(real, generated),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def as_requested(predicted: Tensor, requested: Tensor) -> dict[str, float]:
    """Share of images that are read as the class requested, and that of the worst class.

    Args:
        predicted: Predicted classes (N,).
        requested: Requested classes (N,); -1 for a category without a class, which counts as wrong.
    """
    right = (predicted == requested).double()
    worst = min(right[requested == label].mean().item() for label in requested.unique().tolist())
    return {"asked": right.mean().item(), "asked_worst": worst}


def shuffled_test(data: LabeledImages) -> tuple[Tensor, Tensor]:
    """The test images and labels in a fixed random order: MNIST's two halves are by different writers."""
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))
    return data.test[order], data.test_labels[order]


def reference(data: LabeledImages, cache: Path) -> Reference:
    """Load the reference of a data set from the cache, or make it.

    Args:
        data: The data.
        cache: Folder of the cache; made where there is none.
    """
    path = cache / f"{data.name}-{data.train.shape[-1]}-{_fingerprint(data)}.pt"
    if path.is_file():
        state = torch.load(path, weights_only=True)
    else:
        state = _make(data)
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        torch.save(state, part)
        part.replace(path)
    classifier = make_classifier(data.train.shape[-1], data.train.shape[1], data.num_classes)
    classifier.load_state_dict(state.pop("classifier"))
    return Reference(classifier.eval(), features=state.pop("features").numpy(), **state)


def _make(data: LabeledImages) -> dict[str, Any]:
    fit, fit_labels, rest, rest_labels = data.train, data.train_labels, data.test, data.test_labels
    if not data.held_out:  # the figures are of all images, but the classifier is checked on a fifth
        order = torch.randperm(len(fit), generator=torch.Generator().manual_seed(0))
        kept, back = order[len(fit) // 5 :], order[: len(fit) // 5]
        fit, fit_labels, rest, rest_labels = fit[kept], fit_labels[kept], fit[back], fit_labels[back]
    classifier = train_classifier(fit, fit_labels, num_classes=data.num_classes)
    accuracy = (classify(classifier, rest)[1] == rest_labels).double().mean().item()

    images, labels = shuffled_test(data)
    n = min(SAMPLES, len(images) // 2)
    first, second = images[:n], images[n : 2 * n]
    features, others = (classify(classifier, part)[0].double() for part in (first, second))
    predicted = classify(classifier, second)[1]
    distance, other_distance = (
        _class_distance(part, part_labels) for part, part_labels in ((first, labels[:n]), (second, labels[n : 2 * n]))
    )
    measured = measure_images(first, pixel_range=(0, 255), background=0.0)
    spreads = {name: float(np.nanstd(measured[name].numpy())) for name in data.measures}
    ceiling = {
        "accuracy": accuracy,
        "classes": float(data.num_classes),
        **as_requested(predicted, labels[n : 2 * n]),
        **compare(features.numpy(), others.numpy()),
        "noise": other_distance / distance,
        "style": 1.0,
        "bound": float(np.log(data.num_classes)),
    }
    return {
        "classifier": classifier.state_dict(),
        "classifier_accuracy": accuracy,
        "features": features,
        "class_distance": distance,
        "spread": {name: spread for name, spread in spreads.items() if spread > 1e-6},
        "ceiling": ceiling,
    }


def _class_distance(images: Tensor, labels: Tensor) -> float:
    parts = [images[labels == k][:PER_CLASS].float() / 255 for k in labels.unique().tolist()]
    return float(np.mean([pairwise_distance(part) for part in parts if len(part) > 1]))


def _fingerprint(data: LabeledImages) -> str:
    digest = hashlib.sha256(f"{VERSION} {SAMPLES} {data.measures}".encode())
    for part in (data.train, data.train_labels, data.test, data.test_labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]

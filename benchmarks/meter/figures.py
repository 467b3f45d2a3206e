"""The figures of one trained model.

- `accuracy`: fraction of the real images whose category is matched to their label, under the best one-to-one matching
  (the identity for a `Label`); `class_accuracy` is the mean over classes.
- `classes`: number of distinct majority classes among the categories.
- `asked`: share of samples, requested by each category's matched class, that the meter's classifier reads as that
  class; `asked_worst` is that of the worst class.
- `frechet`, `kernel`, `precision`, `recall`, `density`, `coverage`: samples against as many real images, in the
  classifier's features.
- `noise`: mean distance in pixels of two samples of one category and one style, over that of two real images of a
  class.
- `style`: rank correlation (Spearman) of a measured property with a continuous code along its traversal, averaged with
  its sign over traversals and categories; the largest absolute value of all properties, averaged over the dimensions of
  the codes. An effect that nobody sees can be monotone, too, so `style_change` is the change of a property along the
  traversal, in standard deviations of the real images, times that correlation; again the largest, and the mean over
  dimensions. `styles` has both by dimension and property.
- `bound`: lower bound on I(c; x) of the category in nats, over samples of the averaged generator where there is one.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib import Categorical, InfoGAN
from infogan_lib.data.pixels import as_unit
from infogan_lib.evaluation import code_information
from infogan_lib.metrics import match_categories, measure_images
from infogan_lib.metrics.appearance import rank_correlation
from meter.classifier import classify
from meter.data import LabeledImages
from meter.reference import Reference, as_requested, compare, pairwise_distance

TRAVERSALS = 20
"""Traversals of a code per category."""

STEPS = 9
"""Images of a traversal."""


def measure(model: InfoGAN, data: LabeledImages, real: Reference, *, seed: int = 0) -> dict[str, Any]:
    """Compute all figures of a model.

    Args:
        model: A model with a categorical code; the first one is measured.
        data: The data, at the size of the model's images.
        real: The reference of the data.
        seed: Seed of the samples.

    Returns:
        The figures by name, and under "samples" how many samples were compared with as many real images.
    """
    code = next(name for name, code in model.latent.codes.items() if isinstance(code, Categorical))
    categories, rng = model.latent[code].width, torch.Generator().manual_seed(seed)
    figures, label_of = agreement(model, code, data)
    requested = torch.arange(len(real.features)) % categories
    images = _decode(model, model.latent.replace_values(_latents(model, len(requested), rng), {code: requested}))
    features, predicted = classify(real.classifier, images)
    styles = _styles(model, code, real.spread, rng)
    return {
        "samples": len(images),
        **figures,
        **as_requested(predicted, label_of[requested]),
        **compare(real.features, features.double().numpy()),
        "noise": _noise_distance(model, code, rng) / real.class_distance,
        **_mean_style(styles),
        "styles": styles,
        "bound": code_information(model, n=len(images), seed=seed)[code].bound,
    }


def count_classes(contingency: NDArray[np.int64]) -> int:
    """Number of distinct majority classes among the categories that have images, from a table (categories, classes)."""
    return len(set(contingency.argmax(axis=1)[contingency.any(axis=1)].tolist()))


def agreement(model: InfoGAN, code: str, data: LabeledImages) -> tuple[dict[str, float], Tensor]:
    """How Q's categories of the real images agree with the labels, and the label matched to each category."""
    outputs = model.q_outputs(data.test).cpu()[:, model.latent.output_slices[code]]
    match = match_categories(
        outputs.argmax(1),
        data.test_labels,
        category_count=outputs.shape[1],
        label_count=data.num_classes,
        identity=code in model.latent.labels,
    )
    table = match.contingency
    right = [
        table[match.label_per_category == label, label].sum() / max(table[:, label].sum(), 1)
        for label in range(data.num_classes)
    ]
    figures = {
        "accuracy": match.accuracy,
        "class_accuracy": float(np.mean(right)),
        "classes": count_classes(table),
    }
    return figures, torch.from_numpy(match.label_per_category)


def _latents(model: InfoGAN, n: int, rng: torch.Generator) -> Tensor:
    return model.latent.sample(n, rng=rng, device="cpu")


def _decode(model: InfoGAN, latents: Tensor) -> Tensor:
    """Images in [0, 1] on the CPU."""
    return as_unit(model.decode(latents), model.display_range).cpu()


def _noise_distance(model: InfoGAN, code: str, rng: torch.Generator, *, styles: int = 3, n: int = 64) -> float:
    """Mean distance of two samples that differ in their noise only, over categories and some styles of each."""
    distances = []
    for category in range(model.latent[code].width):
        for _ in range(styles):
            latents = _latents(model, n, rng)
            for name in model.latent.codes:
                latents[:, model.latent.slices[name]] = latents[0, model.latent.slices[name]]
            distances.append(pairwise_distance(_decode(model, model.latent.replace_values(latents, {code: category}))))
    return float(np.mean(distances))


def _styles(
    model: InfoGAN, code: str, spread: dict[str, float], rng: torch.Generator
) -> dict[str, dict[str, tuple[float, float]]]:
    """Rank correlation with each dimension of the continuous codes, and change along it, of every property."""
    latent, styles = model.latent, {}
    for name, dim in ((name, d) for name, c in latent.codes.items() if not c.is_discrete for d in range(c.width)):
        pairs: dict[str, list[tuple[float, float]]] = {measure: [] for measure in spread}
        for category in range(latent[code].width):
            base = latent.replace_values(_latents(model, TRAVERSALS, rng), {code: category})
            images = _decode(model, latent.traverse(name, dim=dim, steps=STEPS, base=base))
            values = measure_images(images, pixel_range=(0, 1), background=0.0)
            for measure in spread:
                traversals = values[measure].reshape(TRAVERSALS, STEPS).numpy()
                traversals = traversals[np.isfinite(traversals).all(axis=1)]  # blank images have no slant
                if len(traversals):
                    change = (traversals[:, -1] - traversals[:, 0]).mean() / spread[measure]
                    pairs[measure].append((rank_correlation(traversals), float(change)))
        means = {measure: np.mean(values, axis=0) for measure, values in pairs.items() if values}
        styles[f"{name} {dim}"] = {measure: (float(r), float(change)) for measure, (r, change) in means.items()}
    return styles


def _mean_style(styles: dict[str, dict[str, tuple[float, float]]]) -> dict[str, float | None]:
    """The strongest effects of `_styles`, averaged over dimensions; None without continuous codes."""
    if not styles:
        return {"style": None, "style_change": None}
    monotone = [max((abs(r) for r, _ in effects.values()), default=0.0) for effects in styles.values()]
    changes = [max((abs(r * change) for r, change in effects.values()), default=0.0) for effects in styles.values()]
    return {"style": float(np.mean(monotone)), "style_change": float(np.mean(changes))}

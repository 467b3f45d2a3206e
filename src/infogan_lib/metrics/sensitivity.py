r"""How much each latent variable contributes to the variance of the images, and which categories can be distinguished.

With x = G(v) and independent variables v, the fraction of the variance of the images that involves variable i is its
total effect, estimated from pairs of images that differ only in a fresh draw of it:

.. math:: T_i = \frac{E[(G(v) - G(v_{\sim i}, v_i'))^2]}{2 \operatorname{Var} G(v)}

(Jansen, *Analysis of variance designs for model output*, 1999; Saltelli et al., *Variance based sensitivity analysis
of model output*, 2010, table 2f). Total effects lie between 0 and 1, up to the error of the estimate.
"""

import torch
from torch import Tensor


def between_image_variance(images: Tensor) -> float:
    """Fraction of the variance of all pixels that lies between images.

    Args:
        images: Shape (N, C, *). For vectors (N, F), whose features have scales of their own, the result is 1 or 0:
            whether they differ at all.

    Returns:
        0 to 1; 0 for identical images.
    """
    pixels = images.flatten(1).float()
    between = pixels.var(0, correction=0).mean()
    if images.ndim < 3:
        return float(between > 1e-9 * pixels.square().mean())
    total = pixels.var(correction=0)
    return 0.0 if total == 0 else (between / total).item()


def squared_difference(images: Tensor, redrawn: Tensor) -> Tensor:
    """Mean squared difference of paired images.

    Args:
        images: Shape (N, *).
        redrawn: The images after redrawing a variable, shape (N, *).

    Returns:
        Shape (N,).
    """
    return (images - redrawn).flatten(1).float().square().mean(1)


def total_effects(differences: Tensor, indices: Tensor, images: Tensor, count: int) -> Tensor:
    """Total effects T_i of latent variables.

    Args:
        differences: Squared differences of pairs of images, each with one variable redrawn, shape (P,).
        indices: Index of that variable for each pair, shape (P,).
        images: Images of random latents, shape (N, *), for the variance.
        count: Number of variables.

    Returns:
        Shape (count,); 0 if all images are identical.
    """
    variance = images.flatten(1).float().var(0, correction=0).mean().to(differences)
    pairs = torch.bincount(indices, minlength=count).clamp(min=1)
    means = torch.bincount(indices, weights=differences, minlength=count) / pairs
    return torch.zeros_like(means) if variance == 0 else means / (2 * variance)


def confusion(requested: Tensor, predicted: Tensor, num_categories: int) -> Tensor:
    """Confusion matrix of the categories that G was conditioned on and those that Q predicts.

    Args:
        requested: Categories given to G, shape (N,).
        predicted: Categories predicted by Q, shape (N,).
        num_categories: Number of categories.

    Returns:
        Counts, shape (num_categories, num_categories); rows are requested, columns predicted.
    """
    pairs = torch.bincount(requested * num_categories + predicted, minlength=num_categories**2)
    return pairs.reshape(num_categories, num_categories)


def unused_categories(counts: Tensor, *, min_ratio: float = 0.1) -> list[int]:
    """Categories that Q rarely predicts, for any image, although G is conditioned on them.

    Args:
        counts: Confusion matrix, shape (K, K).
        min_ratio: Ratio of predictions to requests below which a category is unused.
    """
    requested, predicted = counts.sum(1), counts.sum(0)
    return torch.nonzero((requested > 0) & (predicted < min_ratio * requested)).flatten().tolist()


def merged_categories(counts: Tensor, *, max_distance: float = 0.35, min_count: int = 8) -> list[list[int]]:
    """Groups of categories whose images Q cannot distinguish.

    Args:
        counts: Confusion matrix, shape (K, K).
        max_distance: Total variation distance between the rows of two categories, 0 to 1, below which they are merged.
        min_count: Rows with fewer samples are skipped, as their distances are unreliable.
    """
    requested = counts.sum(1)
    rows = counts.double() / requested.clamp(min=1)[:, None]
    distances = torch.cdist(rows, rows, p=1) / 2
    groups: dict[int, list[int]] = {}
    for category in range(len(counts)):
        if requested[category] < min_count:
            continue
        first = next((first for first in groups if distances[first, category] < max_distance), category)
        groups.setdefault(first, []).append(category)
    return [group for group in groups.values() if len(group) > 1]

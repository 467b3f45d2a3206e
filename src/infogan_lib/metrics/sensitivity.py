r"""How much of a generator's images a variable decides, and which categories can be told apart.

With x = G(v), all variables v independent, the part of the images' variance that variable i has a hand in is its total
effect, estimated from pairs of images that differ in nothing but a fresh draw of it:

.. math:: T_i = \frac{E[(G(v) - G(v_{\sim i}, v_i'))^2]}{2 \operatorname{Var} G(v)}

(Jansen, *Analysis of variance designs for model output*, 1999; Saltelli et al., *Variance based sensitivity analysis
of model output*, 2010, table 2f). All shares lie between 0 and 1, up to the error of the estimate.
"""

import torch
from torch import Tensor


def spread(images: Tensor) -> float:
    """The share of the variance of all values that lies between the samples; 0 if they are identical.

    Args:
        images: shape (N, C, *), with the pattern of a picture or a sound in C and *. For vectors (N, F), whose
            features have scales of their own, it is 1 or 0: whether they differ at all.
    """
    values = images.flatten(1).float()
    between = values.var(0, correction=0).mean()
    if images.ndim < 3:
        return float(between > 1e-9 * values.square().mean())
    total = values.var(correction=0)
    return 0.0 if total == 0 else (between / total).item()


def difference(images: Tensor, redrawn: Tensor) -> Tensor:
    """The mean square of what changes in each image, shape (N,), of two batches (N, *)."""
    return (images - redrawn).flatten(1).float().square().mean(1)


def effects(differences: Tensor, of: Tensor, images: Tensor, count: int) -> Tensor:
    """The total effects T_i of `count` variables, shape (count,); 0 where all images are identical.

    Args:
        differences: of pairs of images, each with one variable redrawn, shape (P,).
        of: which variable that is, shape (P,).
        images: images of latents drawn at random, shape (N, *), for the variance.
    """
    variance = images.flatten(1).float().var(0, correction=0).mean().to(differences)
    pairs = torch.bincount(of, minlength=count).clamp(min=1)
    means = torch.bincount(of, weights=differences, minlength=count) / pairs
    return torch.zeros_like(means) if variance == 0 else means / (2 * variance)


def confusion(asked: Tensor, heard: Tensor, categories: int) -> Tensor:
    """Counts (categories, categories) of what was asked for, in rows, and what Q found, both of shape (N,)."""
    return torch.bincount(asked * categories + heard, minlength=categories**2).reshape(categories, categories)


def unused_categories(table: Tensor, *, share: float = 0.1) -> list[int]:
    """Categories that Q finds in less than `share` of the images that were made for them, wherever it finds them."""
    return torch.nonzero((table.sum(1) > 0) & (table.sum(0) < share * table.sum(1))).flatten().tolist()


def merged_categories(table: Tensor, *, distance: float = 0.35, least: int = 8) -> list[list[int]]:
    """Groups of categories whose images Q cannot tell apart.

    Args:
        table: counts as `confusion` gives them.
        distance: the total variation between the rows of two categories, 0 to 1, below which they are one.
        least: a row with fewer samples is left out, as its distance says little.
    """
    counted = table.sum(1)
    rows = table.double() / counted.clamp(min=1)[:, None]
    apart = torch.cdist(rows, rows, p=1) / 2
    groups: dict[int, list[int]] = {}
    for category in range(len(table)):
        if counted[category] < least:
            continue
        first = next((first for first in groups if apart[first, category] < distance), category)
        groups.setdefault(first, []).append(category)
    return [group for group in groups.values() if len(group) > 1]

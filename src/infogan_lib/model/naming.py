"""Categories of a code and labels of images: how they match, and names for the categories."""

from collections.abc import Sequence

from numpy.typing import NDArray
from torch import Tensor

from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.clustering import CategoryMatch, match_categories


def match_labels(
    latent: LatentSpec,
    code: str,
    categories: Tensor | NDArray,
    labels: Tensor,
    label_names: Sequence[str] | None = None,
) -> CategoryMatch:
    """Match the categories (N,) of a code to labels (N,); those of a `Label` are the labels.

    Raises ValueError for different lengths or a label without a name, and ImportError without scipy.
    """
    return match_categories(
        categories,
        labels,
        category_count=latent[code].width,
        label_count=None if label_names is None else len(label_names),
        identity=code in latent.labels,
    )


def names_from_labels(
    match: CategoryMatch, latent: LatentSpec, code: str, label_names: Sequence[str] | None
) -> CategoryNames:
    """A name per category, after the label matched to it; None where it has no label of its own."""
    if code in latent.labels:
        return tuple(map(str, range(latent[code].width)) if label_names is None else label_names)
    names = (
        {label: str(label) for label in match.labels.tolist()} if label_names is None else dict(enumerate(label_names))
    )
    labels_of = enumerate(match.label_per_category)
    return tuple(None if category in match.unmatched_categories else names[label] for category, label in labels_of)

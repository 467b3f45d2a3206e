"""Names for the categories of a code, from labeled images."""

from collections.abc import Sequence

from torch import Tensor

from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.clustering import CategoryMatch, match_categories


def names_from_labels(
    categories: Tensor, labels: Tensor, latent: LatentSpec, code: str, names: Sequence[str] | None
) -> tuple[CategoryNames, CategoryMatch]:
    """Name categories after the labels under the one-to-one matching that most images agree with.

    Args:
        categories: The category of each image, integers from 0, shape (N,).
        labels: The label of each image, integers from 0, shape (N,).
        latent: The variables.
        code: The name of a categorical code; the categories of a `Label` are the labels, so that nothing is matched.
        names: The labels' names; "0", "1", ... if None.

    Returns:
        A name per category, None where it has no label of its own; and the match.

    Raises:
        ValueError: categories and labels of different lengths, or a label without a name.
        ImportError: scipy is not installed.
    """
    match = match_categories(
        categories.cpu().numpy(),
        labels,
        category_count=latent[code].width,
        label_count=None if names is None else len(names),
        identity=code in latent.labels,
    )
    if code in latent.labels:
        return tuple(map(str, range(latent[code].width))) if names is None else tuple(names), match
    label_names = {label: str(label) for label in match.labels.tolist()} if names is None else dict(enumerate(names))
    labels_of = enumerate(match.label_per_category)
    return tuple(None if c in match.unmatched_categories else label_names[label] for c, label in labels_of), match

"""What a finished run is told by: means of its last steps, and how its categories agree with labels."""

from torch import Tensor

from infogan_lib.history.history import History
from infogan_lib.latent.category_names import categorical_names
from infogan_lib.metrics.clustering import CategoryMatch
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.naming import match_labels

RESULT = "result.json"
"""The file of these metrics, which a run leaves once it is finished."""

LAST_STEPS = 100
"""The number of steps over which metrics of the training are averaged."""


def training_metrics(history: History) -> dict[str, float]:
    """Means of losses, bounds and squared errors over the last steps of a run."""
    names = [name for name in history if name.startswith(("loss/", "bound/", "mse/"))]
    return {name: float(history.last(name, LAST_STEPS).mean()) for name in names}


def label_metrics(model: InfoGAN, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Agreement of a model's categories with labels; nothing if it has no single code of categories."""
    names = categorical_names(model.latent)
    if len(names) != 1:
        return {}
    return match_metrics(match_labels(model.latent, names[0], model.encode(images)[names[0]].mode.argmax(1), labels))


def match_metrics(match: CategoryMatch) -> dict[str, float]:
    """The metrics of a match of categories and labels."""
    recovered = float(len(match.recovered_labels))
    return {"accuracy": match.accuracy, "purity": match.purity, "nmi": match.nmi, "labels_found": recovered}

"""What a finished run is told by: means of its last steps, and how its categories agree with labels."""

from torch import Tensor

from infogan_lib.latent.discrete import Categorical
from infogan_lib.metrics.clustering import match_categories
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.training.history import History

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
    names = [name for name, variable in model.latent.codes.items() if isinstance(variable, Categorical)]
    if len(names) != 1:
        return {}
    code = names[0]
    categories = model.encode(images)[code].mode.argmax(1).cpu().numpy()
    identity = code in model.latent.labels
    match = match_categories(categories, labels, category_count=model.latent[code].width, identity=identity)
    recovered = float(len(match.recovered_labels))
    return {"accuracy": match.accuracy, "purity": match.purity, "nmi": match.nmi, "labels_found": recovered}

"""The settings under which all ten digits come out in the labs' own networks: the layers stay, the training changes.

    recipe = recipes.get("lab64-frontend", **recipes.all_digits("lab64-frontend"))

What they have in common: Q is asked to be sure, even and steady about real images as well (`RealImageInformation`),
as the bound alone is content with any ten kinds of image; D and Q see real and generated images in one batch, so that
their BatchNorm makes the same of both and a category means the same in both; the information loss trains the shared
layers, too, where the lab left them out; G learns five to ten times as fast as D; and samples come from the average of
G's last weights. In paper, the styles have a small weight besides, and a floor under their scale.

They were measured on narrow networks, and docs/labs.md has what they gave: all ten digits in real images under every
recipe, and in generated ones under all but lab64-mse and dcgan-tutorial.
"""

from typing import Any

from infogan_lib._checks import join_names
from infogan_lib.recipes.mnist28 import latent_with_light_styles
from infogan_lib.regularizers.real_information import RealImageInformation
from infogan_lib.training import Optimizers


def all_digits(name: str) -> dict[str, Any]:
    """Changes for `get` meant to let a recipe of MNIST find all ten digits; none for one that does so already.

    Args:
        name: of a recipe with ten categories named "digit".

    Raises:
        ValueError: a recipe for which no such settings are known.
    """
    if name == "default":
        return {}
    if name not in _OPTIMIZERS:
        raise ValueError(
            f"no settings for all digits are known for {name!r}; there are some for {join_names(_OPTIMIZERS)}"
        )
    changes = {
        "optimizers": _OPTIMIZERS[name],
        "information_trains": None,
        "joint_batches": True,
        "ema_decay": 0.995,
        "regularizers": [RealImageInformation("digit", weight=2.0)],
    }
    return changes | ({"latent": latent_with_light_styles()} if name == "paper" else {})


_OPTIMIZERS = {
    "lab64-frontend": Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.99)),
    "lab64-conditions": Optimizers(g=1e-3, d=2e-4),
    "lab28-normalnll": Optimizers(g=1e-3, d=1e-4),
    "lab64-mse": Optimizers(g=1e-3, d=2e-4, q=2e-4),
    "dcgan-tutorial": Optimizers(g=1e-3, d=2e-4),
    "paper": Optimizers(g=1e-3, d=1e-4),
}

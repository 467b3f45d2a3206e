"""Settings under which all ten digits come out in the labs' own networks: the layers stay, the training changes.

    recipe = recipes.get("lab64-frontend", **recipes.all_digits("lab64-frontend")).for_images(60_000)

They have in common:

- Q is asked to be confident, balanced and invariant to small warps on real images too (`RealImageInformation`, three
  warps of each image), as any ten kinds of image satisfy the bound alone;
- D and Q see real and generated images in one batch, so that their BatchNorm normalizes both alike and a category means
  the same in both;
- the information loss also trains the layers that D and Q share, where the lab left them out;
- G learns five to ten times as fast as D, and all rates fall to zero over the second half;
- samples come from a moving average of G's weights;
- in `paper`, the styles have a small weight, and the scale of their posterior has a lower bound.

They were measured on narrow networks; docs/labs.md has the results: all ten digits in real images for every recipe,
97.7% to 98.4% of them right, and in generated images for all but dcgan-tutorial.
"""

from typing import Any

from infogan_lib._checks import join_names, shorten
from infogan_lib.data.augmentation import RandomAffine
from infogan_lib.recipes.mnist28 import latent_with_light_styles
from infogan_lib.regularizers import RealImageInformation
from infogan_lib.step import Optimizers

_OPTIMIZERS = {
    "lab64-frontend": Optimizers(g=1e-3, d=2e-4, betas=(0.5, 0.99)),
    "lab64-conditions": Optimizers(g=1e-3, d=2e-4),
    "lab28-normalnll": Optimizers(g=1e-3, d=1e-4),
    "lab64-mse": Optimizers(g=1e-3, d=2e-4, q=2e-4),
    "dcgan-tutorial": Optimizers(g=1e-3, d=2e-4),
    "paper": Optimizers(g=1e-3, d=1e-4),
}


def all_digits(name: str) -> dict[str, Any]:
    """Return overrides for `get` with which an MNIST recipe finds all ten digits.

    Args:
        name: Name of a recipe with a code "digit" of ten categories.

    Returns:
        The overrides; none for "default", which finds the digits as it is.

    Raises:
        ValueError: If no such settings are known for the recipe.
    """
    if isinstance(name, str) and name == "default":
        return {}
    if not isinstance(name, str) or name not in _OPTIMIZERS:
        raise ValueError(
            f"no settings for all digits are known for {shorten(name)}; there are some for {join_names(_OPTIMIZERS)}"
        )
    term = RealImageInformation("digit", balance=4.0, augment=RandomAffine(), cluster_contrast=0.0)
    overrides = {
        "optimizers": _OPTIMIZERS[name],
        "information_trains": None,
        "joint_batches": True,
        "ema_decay": 0.995,
        "regularizers": [term],
        "decay_start": 0.5,
    }
    return overrides | ({"latent": latent_with_light_styles()} if name == "paper" else {})

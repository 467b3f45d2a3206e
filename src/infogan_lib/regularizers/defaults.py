"""The terms that a trainer has unless told otherwise: with them a plain GAN finds the categories of its data."""

from infogan_lib._checks import check_shape, check_type
from infogan_lib.latent.category_names import only_categorical_code
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.regularizers.base import Regularizer
from infogan_lib.regularizers.real_information import RealImageInformation
from infogan_lib.regularizers.virtual_adversarial import VirtualAdversarial


def default_regularizers(latent: LatentSpec, image_shape: tuple[int, ...]) -> tuple[Regularizer, ...]:
    """Terms about real images for a latent with one `Categorical` code; none for any other latent.

    InfoGAN's own objective is about generated images alone, and any k kinds of image satisfy it. For images (C, H, W)
    the category of a real image should be the same under a small warp and in another light; for other data, where no
    such change is known, under the worst small change. Two categorical codes would both come to mean the same classes,
    so with several the choice is left to the user. docs/learning.md has the measurements.

    Args:
        latent: The variables.
        image_shape: The shape of one image, without the batch.

    Raises:
        TypeError: If `latent` is no `LatentSpec`, or `image_shape` no shape.
    """
    image_shape = check_shape("image_shape", image_shape)
    code = only_categorical_code(check_type("latent", latent, LatentSpec))
    if code is None:
        return ()
    if len(image_shape) == 3:
        return (RealImageInformation(code),)
    without_views = RealImageInformation(code, weight=1.0, information=0.2, balance=4.0, augment=None)
    return (without_views, VirtualAdversarial(code, after=0))

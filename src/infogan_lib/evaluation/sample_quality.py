r"""How like the real images the generated ones are, in the features of a network that is said.

.. math::
    d_F^2 = \lVert \mu_r - \mu_g \rVert^2 + \operatorname{tr}\big(C_r + C_g - 2 (C_r C_g)^{1/2}\big), \qquad
    d_K^2 = E[k(r, r')] + E[k(g, g')] - 2 E[k(r, g)], \quad k(a, b) = (a \cdot b / D + 1)^3

(Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017, equation 6; Binkowski et al.,
*Demystifying MMD GANs*, ICLR 2018, section 4), and precision and recall by nearest neighbours (Kynkaanniemi et al.,
*Improved Precision and Recall Metric*, NeurIPS 2019, section 2). Such numbers belong to their features, which is why
none is called FID here: that name is for the features of one Inception network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infogan_lib._checks import describe
from infogan_lib.data.pixels import UNKNOWN_RANGE, as_float, check_real_images
from infogan_lib.metrics.distances import (
    Features,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.introspection import device_and_dtype, eval_mode


@dataclass(frozen=True)
class SampleQuality:
    """Generated against real images, in the features of one network.

    Attributes:
        features: what the features are, in words: the distances mean nothing without it.
        frechet: the squared Frechet distance of two normal distributions fitted to the features, from 0.
        kernel: the unbiased estimate of the squared kernel distance, about 0 for the same images; may be negative.
        precision: the share of generated images that lie among the real ones, 0 to 1.
        recall: the share of real images that lie among the generated ones, 0 to 1.
        real, generated: how many images were compared.
    """

    features: str
    frechet: float
    kernel: float
    precision: float
    recall: float
    real: int
    generated: int


def sample_quality(
    model: InfoGAN,
    images: Tensor,
    extractor: nn.Module | Callable[[Tensor], Tensor],
    *,
    name: str,
    neighbours: int = 3,
    seed: int = 0,
) -> SampleQuality:
    """As many samples as there are images, compared with them.

    Args:
        model: of which samples are drawn.
        images: real images (N, *image_shape), as for `model.encode`.
        extractor: features (N, *) of images (N, *image_shape) in the model's own range, on its device and in its dtype;
            a module is put into eval mode.
        name: what the features are, "a convolutional network trained on MNIST, 99.1%", say.
        neighbours: of the precision and recall.
        seed: of the samples.

    Raises:
        TypeError, ValueError: images that `model.encode` refuses, an extractor that gives no features, not more images
            than features, an empty name.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"name must say what the features are, but got {describe(name)}")
    check_real_images(images, model.image_shape, model.pixel_range)
    device, dtype = device_and_dtype(model.generator)
    batches = (as_float(batch.to(device), model.pixel_range or UNKNOWN_RANGE, dtype) for batch in images.split(512))
    real = features_of(extractor, torch.cat(list(batches)))
    made = features_of(extractor, model.sample(len(images), seed=seed))
    precision, recall = precision_recall(real, made, neighbours=neighbours)
    distances = frechet_distance(real, made), kernel_distance(real, made)
    return SampleQuality(name, *distances, precision, recall, len(real), len(made))


@torch.no_grad()
def features_of(
    extractor: nn.Module | Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int = 512
) -> Features:
    """The features of images (N, *), flattened, shape (N, D), in float64.

    Raises:
        TypeError, ValueError: an extractor that gives something else than a row for each image.
    """
    modules = [extractor] if isinstance(extractor, nn.Module) else []
    device, dtype = (
        device_and_dtype(modules[0]) if modules and any(True for _ in modules[0].parameters()) else (None, None)
    )
    rows = []
    with eval_mode(*modules):
        for batch in images.split(batch_size):
            found = extractor(batch.to(device=device or batch.device, dtype=dtype or batch.dtype))
            if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(batch):
                shape = tuple(found.shape) if isinstance(found, Tensor) else describe(found)
                raise ValueError(f"the extractor must give features (N, *) for {len(batch)} images, but gave {shape}")
            rows.append(found.flatten(1).double().cpu())
    return torch.cat(rows).numpy()

"""How similar generated images are to real ones, in the features of a network that the user names.

The distances are defined in `infogan_lib.metrics.distances`. They depend on the features, which is why none of them is
called FID here: that name stands for the features of one Inception network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from infogan_lib._checks import check_dense, check_function, check_name, check_seed, check_type, describe
from infogan_lib.data.pixels import UNKNOWN_RANGE, as_float, check_real_images
from infogan_lib.evaluation.features import Features
from infogan_lib.metrics.distances import frechet_distance, kernel_distance, precision_recall
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import device_and_dtype, eval_mode


@dataclass(frozen=True)
class SampleQuality:
    """Generated against real images, in the features of one network.

    Attributes:
        features: What the features are, in words: the distances mean nothing without it.
        frechet: Squared Frechet distance of two normal distributions fitted to the features, from 0.
        kernel: Unbiased estimate of the squared kernel distance, about 0 for equal distributions; may be negative.
        precision: Fraction of generated images that lie among the real ones, 0 to 1.
        recall: Fraction of real images that lie among the generated ones, 0 to 1.
        num_real: Number of real images.
        num_generated: Number of generated images.
        preprocessing: How the images were prepared for the network, which the distances depend on as well.
    """

    features: str
    frechet: float
    kernel: float
    precision: float
    recall: float
    num_real: int
    num_generated: int
    preprocessing: str = "as generated"


def sample_quality(
    model: InfoGAN,
    images: Tensor,
    extractor: nn.Module | Callable[[Tensor], Tensor] | Features,
    *,
    name: str,
    neighbors: int = 3,
    seed: int = 0,
) -> SampleQuality:
    """Compare real images with the same number of samples. Needs the extra `eval`.

    Args:
        model: The model to sample from.
        images: Real images (N, *image_shape), as for `model.encode`.
        extractor: Function from images (N, *image_shape), in the model's pixel range, device and dtype, to features
            (N, *); a module is called in eval mode. `Features` for a network that wants other images.
        name: What the features are, such as "a convolutional network trained on MNIST, 99.1%".
        neighbors: Number of nearest neighbors for precision and recall.
        seed: Seed for the samples.

    Raises:
        TypeError: If `images` cannot be used with `model.encode`.
        ValueError: If `images` does not fit the model, the extractor does not return features, there are no more images
            than features, or the name is empty.
        ImportError: If scikit-learn is not installed.
    """
    check_type("model", model, InfoGAN)
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"name must say what the features are, but got {describe(name)}")
    name, seed = check_name("name", name), check_seed(seed)
    check_function("extractor", extractor, "a module or a function from images to features", 1)
    preprocessing = "as generated"
    if isinstance(extractor, Features):
        preprocessing = extractor.preprocessing
        extractor = extractor.of_range(model.pixel_range or UNKNOWN_RANGE)
    check_real_images(images, model.image_shape, model.pixel_range, model.output_range)
    device, dtype = device_and_dtype(model.generator)
    batches = (as_float(batch.to(device), model.pixel_range or UNKNOWN_RANGE, dtype) for batch in images.split(512))
    real = extract_features(extractor, torch.cat(list(batches)))
    generated = extract_features(extractor, model.sample(len(images), seed=seed))
    precision, recall = precision_recall(real, generated, neighbors=neighbors)
    distances = frechet_distance(real, generated), kernel_distance(real, generated)
    return SampleQuality(name, *distances, precision, recall, len(real), len(generated), preprocessing)


@torch.no_grad()
def extract_features(
    extractor: nn.Module | Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int = 512
) -> NDArray[np.float64]:
    """Features (N, D) of images (N, *) in float64, in batches and flattened; a module is called in eval mode.

    Raises ValueError if the extractor does not return a tensor with one row per image.
    """
    module = extractor if isinstance(extractor, nn.Module) else None
    device, dtype = device_and_dtype(module) if module is not None and [*module.parameters()] else (None, None)
    rows = []
    with eval_mode(module):
        for batch in images.split(batch_size):
            features = extractor(batch.to(device=device or batch.device, dtype=dtype or batch.dtype))
            if not isinstance(features, Tensor) or features.ndim < 2 or len(features) != len(batch):
                result = tuple(features.shape) if isinstance(features, Tensor) else describe(features)
                raise ValueError(f"the extractor must give features (N, *) for {len(batch)} images, but gave {result}")
            check_dense("what the extractor gives", features)
            if features.is_complex() or features.numel() == 0:
                raise ValueError(f"the extractor must give real numbers for each image, but gave {describe(features)}")
            rows.append(features.flatten(1).cpu().double())
    return torch.cat(rows).numpy()

r"""A category that is the label of the image, where that is known: conditional and semi-supervised InfoGANs.

The code is sampled, and recovered from generated images, as any other category. Besides, Q learns it from the real
images x whose label y is known,

.. math:: L_S = \mu \, E[-\log Q(c = e_y \mid x)]

so that category i is label i. With a few labels this is the semi-supervised InfoGAN of Spurr et al., *Guiding InfoGAN
with Semi-Supervision*, ECML 2017, section 3; with all of them, the class-conditional GAN of Odena et al., *Conditional
Image Synthesis with Auxiliary Classifier GANs*, ICML 2017, section 3.
"""

from dataclasses import KW_ONLY, dataclass

from typing_extensions import override

from infogan_lib._checks import check_float
from infogan_lib.latent.discrete import Categorical


@dataclass(frozen=True, repr=False)
class Label(Categorical):
    """One of k categories that Q also learns from the labels of real images: category i is label i.

    `InfoGANTrainer.fit` takes the labels beside the images, as integers from 0 to k - 1, and -1 where one is unknown.

    Args:
        k: Number of labels, at least 2.
        weight: As for `Categorical`.
        loss: As for `Categorical`; it also scores the labels.
        probs: As for `Categorical`.
        learn_probs_after: As for `Categorical`.
        supervision: Mu, the factor of the cross-entropy on labeled images, above 0.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `supervision` is not above 0, or an argument is none that `Categorical` takes.

    Source: Spurr et al., ECML 2017, section 3.

    Example:
        >>> from infogan_lib import LatentSpec, Noise
        >>> LatentSpec(z=Noise(62), digit=Label(10)).labels
        mappingproxy({'digit': Label(10)})
    """

    _: KW_ONLY
    supervision: float = 1.0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "supervision", check_float("supervision", self.supervision, above=0))

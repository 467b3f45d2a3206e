"""Regularizers: further terms of D's loss or of G's."""

from infogan_lib.data.augmentation import (
    Augmentation,
    Brightness,
    Compose,
    Contrast,
    Cutout,
    RandomAffine,
    Saturation,
    Translation,
)
from infogan_lib.regularizers.base import (
    DiscriminatorRegularizer,
    GeneratorRegularizer,
    RealImageRegularizer,
    Regularizer,
)
from infogan_lib.regularizers.consistency import Consistency
from infogan_lib.regularizers.contrastive import Contrastive
from infogan_lib.regularizers.defaults import default_regularizers
from infogan_lib.regularizers.gradient_penalties import R1, R2, GradientPenalty
from infogan_lib.regularizers.mode_seeking import ModeSeeking
from infogan_lib.regularizers.real_information import RealImageInformation
from infogan_lib.regularizers.virtual_adversarial import VirtualAdversarial

__all__ = [
    "R1",
    "R2",
    "Augmentation",
    "Brightness",
    "Compose",
    "Consistency",
    "Contrast",
    "Contrastive",
    "Cutout",
    "DiscriminatorRegularizer",
    "GeneratorRegularizer",
    "GradientPenalty",
    "ModeSeeking",
    "RandomAffine",
    "RealImageInformation",
    "RealImageRegularizer",
    "Regularizer",
    "Saturation",
    "Translation",
    "VirtualAdversarial",
    "default_regularizers",
]

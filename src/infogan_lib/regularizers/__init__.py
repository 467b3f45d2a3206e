"""Regularisers: further terms of a training step. Off unless asked for."""

from infogan_lib.data.augmentation import Augmentation, RandomAffine
from infogan_lib.regularizers.base import (
    DiscriminatorRegularizer,
    GeneratorRegularizer,
    RealImageRegularizer,
    Regularizer,
)
from infogan_lib.regularizers.mode_seeking import ModeSeeking
from infogan_lib.regularizers.real_information import RealImageInformation

__all__ = [
    "Augmentation",
    "DiscriminatorRegularizer",
    "GeneratorRegularizer",
    "ModeSeeking",
    "RandomAffine",
    "RealImageInformation",
    "RealImageRegularizer",
    "Regularizer",
]

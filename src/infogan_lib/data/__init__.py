"""Data: batches of images from many kinds of source, in a reproducible order; their checks; augmentation."""

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

__all__ = [
    "Augmentation",
    "Brightness",
    "Compose",
    "Contrast",
    "Cutout",
    "RandomAffine",
    "Saturation",
    "Translation",
]

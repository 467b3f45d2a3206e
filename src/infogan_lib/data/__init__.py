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
from infogan_lib.data.image_folder import ImageFolder
from infogan_lib.data.sharded import Sharded

__all__ = [
    "Augmentation",
    "Brightness",
    "Compose",
    "Contrast",
    "Cutout",
    "ImageFolder",
    "RandomAffine",
    "Saturation",
    "Sharded",
    "Translation",
]

"""Data: batches of images from whatever is given, in an order that a resumed run finds again, and their checks."""

from infogan_lib.data.augmentation import Augmentation, RandomAffine

__all__ = ["Augmentation", "RandomAffine"]

"""Data sets to begin with: scikit-learn's digits, MNIST's files, a folder of pictures."""

from infogan_lib.data.image_folder import ImageFolder
from infogan_lib.datasets.digits import digits
from infogan_lib.datasets.idx import DataFileError, mnist

__all__ = ["DataFileError", "ImageFolder", "digits", "mnist"]

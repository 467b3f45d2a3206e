"""The data that ``--data`` names: scikit-learn's digits, a folder of IDX files, or a folder of pictures."""

from typing import NamedTuple

import torch
from torch import Tensor

from infogan_lib import datasets
from infogan_lib._checks import check_path, shorten
from infogan_lib.datasets.idx import PREFIXES
from infogan_lib.recipes import Recipe

_MAX_PICTURES = 2000
"""The most pictures of a folder that a report reads, which have to be in memory."""


class NamedData(NamedTuple):
    """Training data, and images to look at afterwards.

    Attributes:
        train: What `fit` takes.
        num_images: Number of training images.
        test: Images to report on, which are training images where the data has no others.
        test_labels: Their labels; None if there are none.
        label_names: Names of the labels; None for their numbers.
    """

    train: Tensor | datasets.ImageFolder
    num_images: int
    test: Tensor
    test_labels: Tensor | None
    label_names: list[str] | None


def load(name: str, recipe: Recipe) -> NamedData:
    """Load data at the size of a recipe: "digits", a folder of IDX files as MNIST's four, or one of pictures.

    Raises:
        DataFileError: If a file is missing or damaged.
        ImportError: If scikit-learn or Pillow is needed and not installed.
        ValueError: If the folder holds no pictures.
        FileNotFoundError: If there is no such folder.
    """
    if name == "digits":
        images, labels = datasets.digits(max(8, recipe.image_size))
        images = recipe.images(images)
        return NamedData(images, len(images), images, labels, None)
    folder = check_path("--data", name)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {shorten(name)}; --data is 'digits', or a folder of images")
    if any(folder.glob(f"{PREFIXES['train']}-images-idx3-ubyte*")):
        images, (test, labels) = recipe.images(datasets.mnist(folder)[0]), datasets.mnist(folder, "test")
        return NamedData(images, len(images), recipe.images(test), labels, None)
    mode = "L" if recipe.model().image_shape[0] == 1 else "RGB"
    pictures = datasets.ImageFolder(folder, recipe.image_size, mode=mode)
    chosen = range(0, len(pictures), -(-len(pictures) // _MAX_PICTURES))
    items = [pictures[i] for i in chosen]
    test = torch.stack([item[0] if isinstance(item, tuple) else item for item in items])
    if not pictures.labels:
        return NamedData(pictures, len(pictures), test, None, None)
    labels = torch.tensor([pictures.labels[i] for i in chosen])
    return NamedData(pictures, len(pictures), test, labels, pictures.classes)

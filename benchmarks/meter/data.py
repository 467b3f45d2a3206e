"""Labeled data sets of small gray images, each split for choosing settings or for the final report.

With `select="train"` a sixth of the training images is held back and takes the place of the test images, so that the
test set plays no part in any choice. With `select="test"` the test images are read.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from infogan_lib import datasets
from infogan_lib.recipes import resize_images

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from mnist_files import BUNDLED, load_mnist
from sprites_data import Sprites

Select = Literal["train", "test"]

HELD_BACK = 6
"""One image in so many is held back when settings are chosen."""

GLYPH_MEASURES = ("slant", "width", "height", "thickness", "brightness")


@dataclass(frozen=True, kw_only=True)
class LabeledImages:
    """Images to train on, and images to measure with.

    Args:
        name: Name of the data set.
        train: Training images (N, C, H, W), uint8.
        train_labels: Their labels (N,), int64, from 0; the GAN does not see them.
        test: Images that the figures are computed on, (M, C, H, W), uint8.
        test_labels: Their labels (M,), int64.
        measures: Names of the measured properties that a style may control.
        held_out: Whether the test images are other images than those trained on.
        groups: Group of each training image, (N,); a group is held back as a whole. None to hold back single images.
    """

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    measures: tuple[str, ...] = GLYPH_MEASURES
    held_out: bool = True
    groups: Tensor | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.train_labels.max()) + 1

    def resized(self, size: int | None) -> "LabeledImages":
        """The same data at another size; None for their own."""
        if size is None:
            return self
        return replace(self, train=resize_images(self.train, size), test=resize_images(self.test, size))

    def select(self, train: Tensor) -> "LabeledImages":
        """The same data with only some of the training images."""
        groups = None if self.groups is None else self.groups[train]
        return replace(self, train=self.train[train], train_labels=self.train_labels[train], groups=groups)

    def held_back(self) -> "LabeledImages":
        """The data for choosing settings: a sixth of the training images in place of the test images."""
        if not self.held_out:
            return self
        groups = torch.arange(len(self.train)) if self.groups is None else self.groups
        names = groups.unique()
        shuffled = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(0))]
        is_back = torch.isin(groups, shuffled[: len(names) // HELD_BACK])
        test, test_labels = self.train[is_back], self.train_labels[is_back]
        return replace(self.select(~is_back), test=test, test_labels=test_labels)


def load(name: str, size: int | None = None, *, select: Select = "train", folder: Path) -> LabeledImages:
    """Load a data set.

    Args:
        name: One of `available()`.
        size: Side of the images; that of the data set if None.
        select: "train" to measure on held-back training images, "test" to measure on the test images.
        folder: Folder of the files that benchmarks/make_letters.py makes.

    Raises:
        ValueError: If there is no data set of that name.
        FileNotFoundError: If its files have not been made.
    """
    if name not in _LOADERS:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(available())}")
    data, keep_some, own_size = _LOADERS[name]
    loaded = replace(data(folder), name=name)
    loaded = loaded.held_back() if select == "train" else loaded
    if keep_some is not None:
        loaded = loaded.select(keep_some(loaded.train_labels))
    return loaded.resized(own_size if size is None else size)


def default_cache() -> Path:
    """The meter's folder in the cache of the user's system."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "infogan-lib" / "learning"


def available() -> list[str]:
    """Names of the data sets."""
    return list(_LOADERS)


def _mnist(_: Path) -> LabeledImages:
    data = load_mnist(BUNDLED)
    (train, train_labels), (test, test_labels) = data["train"], data["test"]
    return LabeledImages(
        name="mnist", train=train, train_labels=train_labels.long(), test=test, test_labels=test_labels.long()
    )


def _digits(_: Path) -> LabeledImages:
    """scikit-learn's 1,797 digits of 8 x 8: too few to hold some out, so all are trained on and measured with."""
    images, labels = datasets.digits(8)
    return LabeledImages(
        name="digits", train=images, train_labels=labels, test=images, test_labels=labels, held_out=False
    )


def _sprites(_: Path) -> LabeledImages:
    """30,000 of the 737,280 sprites, 10,000 of them to test; the label is the shape."""
    sprites = Sprites()
    chosen = torch.randperm(len(sprites), generator=torch.Generator().manual_seed(0))[:30_000]
    factors = sprites.factors_of(chosen)
    images, labels = sprites.images(factors), factors[:, 0]
    return LabeledImages(
        name="sprites",
        train=images[10_000:],
        train_labels=labels[10_000:],
        test=images[:10_000],
        test_labels=labels[:10_000],
        measures=(*GLYPH_MEASURES, "x", "y"),
    )


def _letters(folder: Path) -> LabeledImages:
    path = folder / "letters.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; make it with benchmarks/make_letters.py --out {path}")
    with np.load(path) as arrays:
        parts = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "typefaces"}
    return LabeledImages(
        name="letters",
        train=parts["train"][:, None],
        train_labels=parts["train_labels"].long(),
        test=parts["test"][:, None],
        test_labels=parts["test_labels"].long(),
        groups=parts["train_typefaces"].long(),
    )


def unequal(labels: Tensor, *, ratio: float = 10.0) -> Tensor:
    """Choose images so that class sizes fall geometrically.

    Args:
        labels: Labels (N,) from 0.
        ratio: Size of the first class over that of the last.

    Returns:
        Indices of the chosen images, in order.
    """
    counts = labels.bincount()
    last = len(counts) - 1
    # As large as the classes allow.
    scale = min(int(n) * ratio ** (k / last) for k, n in enumerate(counts))
    sizes = [round(scale * ratio ** (-k / last)) for k in range(len(counts))]
    return torch.cat([(labels == k).nonzero()[:size, 0] for k, size in enumerate(sizes)]).sort().values


_LOADERS: dict[str, tuple[Callable[[Path], LabeledImages], Callable[[Tensor], Tensor] | None, int | None]] = {
    "mnist": (_mnist, None, None),
    "digits": (_digits, None, 16),
    "letters": (_letters, None, None),
    "sprites": (_sprites, None, None),
    "mnist-unequal": (_mnist, unequal, None),
    "mnist32": (_mnist, None, 32),
    "mnist64": (_mnist, None, 64),
}

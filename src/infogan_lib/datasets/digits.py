"""scikit-learn's digits: 1,797 handwritten digits of 8 x 8 pixels, which come with it.

Source: Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998.
"""

import torch
from torch import Tensor

from infogan_lib._checks import check_int, require_eval
from infogan_lib.recipes import resize_images


def digits(size: int = 16) -> tuple[Tensor, Tensor]:
    """The digits and their labels.

    Args:
        size: The side of the images, 8 to 512; they are scaled up bilinearly.

    Returns:
        Images (1797, 1, size, size) as uint8, white on black, and labels (1797,) as int64.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
        >>> from infogan_lib import datasets
        >>> images, labels = datasets.digits()
        >>> images.shape, labels[:4]
        (torch.Size([1797, 1, 16, 16]), tensor([0, 1, 2, 3]))
    """
    size = check_int("size", size, minimum=8, maximum=512)
    with require_eval("datasets.digits"):
        from sklearn.datasets import load_digits
    pixels, labels = load_digits(return_X_y=True)
    images = (torch.from_numpy(pixels) / 16 * 255).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    return resize_images(images, size), torch.from_numpy(labels).long()

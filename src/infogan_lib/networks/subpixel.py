r"""Transposed convolutions as sub-pixel convolutions.

A transposed convolution with stride s that makes maps s times as large,

.. math:: y_{sj+r} = \sum_a x_{j-a}\, w_{sa+r+p}, \qquad 0 \le r < s,

is for each r a convolution of x. All of them are one convolution with stride 1 to :math:`s^2` times as many channels,
whose pixels are then shuffled: Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient
Sub-Pixel Convolutional Neural Network*, CVPR 2016, section 3.2. Where the channels are as few as an image's, a CPU
fills its vector registers better that way.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


def is_subpixel(kernel: torch.Size, stride: Pair, padding: Pair, output_padding: Pair) -> bool:
    """Whether a transposed convolution with these settings makes maps exactly `stride` times as large."""
    sides = zip(kernel, padding, output_padding, strict=True)
    s = stride[0]
    return stride == (s, s) and s > 1 and all(side + extra == s + 2 * cut for side, cut, extra in sides)


def subpixel_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: Pair) -> Tensor:
    """`conv_transpose2d` where `is_subpixel` holds.

    Args:
        x: Maps (N, C, H, W).
        weight: As of a transposed convolution, (C, K, kh, kw).
        bias: (K,), or None.
        stride: In both dimensions.
        padding: In each dimension.

    Returns:
        Maps (N, K, stride * H, stride * W).
    """
    around, reach = [], []
    for kernel, cut in zip(weight.shape[2:], padding, strict=True):
        a = max((kernel - 1 - cut) // stride, (cut + stride - 1) // stride)  # the largest |a| of the sum
        around.append((stride * a - cut, stride * (a + 1) + cut - kernel))
        reach.append(a)
    taps = F.pad(weight, (*around[1], *around[0])).unflatten(3, (-1, stride)).unflatten(2, (-1, stride))
    taps = taps.flip(2, 4).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)  # from (C, K, a, r, a, r) to (K, r, r, C, -a, -a)
    bias = None if bias is None else bias.repeat_interleave(stride**2)
    return F.pixel_shuffle(torch.conv2d(x, taps, bias, 1, reach), stride)

"""Q heads: from the discriminator's features to the raw outputs of all codes."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int, check_shape
from infogan_lib.checkpoints.compare import without_wrappers
from infogan_lib.latent.base import MAX_WIDTH
from infogan_lib.latent.spec import LatentSpec

QHeadFactory = Callable[[Sequence[int], int], nn.Module]
"""Makes a Q head from the features' shape, without the batch, and the number of raw outputs."""

MAX_SIDE = 8


class QHead(nn.Module):
    """Strided convolutions down to 8 positions a side, then Linear, leaky ReLU, Linear; no norm.

    No layer of it looks at the batch: Q judges each image by itself, real or generated, in training as in evaluation.
    The convolutions, of kernel 4 and stride 2, double the channels up to `hidden`; features of at most 8 positions a
    side need none. All layers begin with He's initialization.

    Args:
        feature_shape: The features' shape without the batch: (F,), (C, T), (C, H, W), ...
        outputs: The number of raw outputs, `LatentSpec.num_outputs`.
        hidden: The width of the hidden layer, and the most channels that a convolution has.

    Shape:
        features (N, *feature_shape) to raw outputs (N, outputs).

    Raises:
        ValueError: features with more than three sides.

    Source: He et al., *Delving Deep into Rectifiers*, ICCV 2015, for the initial weights.
    """

    def __init__(self, feature_shape: Sequence[int], outputs: int, *, hidden: int = 128) -> None:
        super().__init__()
        outputs = check_int("outputs", outputs, minimum=1, maximum=MAX_WIDTH)
        hidden = check_int("hidden", hidden, minimum=1, maximum=MAX_WIDTH)
        maps = _maps(check_shape("feature_shape", feature_shape), hidden)
        layers: list[nn.Module] = []
        for (channels, *sides), (wider, *_) in pairwise(maps):
            layers += [_halving_convolution(channels, wider, sides), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Flatten(), nn.Linear(math.prod(maps[-1]), hidden), nn.LeakyReLU(_SLOPE)]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(hidden, outputs)
        for layer in self.body:
            if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(layer.weight, _SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.body(features))


class BatchNormQHead(nn.Module):
    """The InfoGAN paper's head: Linear, BatchNorm, leaky ReLU, Linear on flattened features.

    BatchNorm looks at the batch, which real and generated images do not share: categories of real images come out less
    well than with `QHead`. Feature maps of more than 8 positions a side are averaged down to 8 first.

    Args:
        feature_shape: The features' shape without the batch: (F,), (C, T), (C, H, W), ...
        outputs: The number of raw outputs, `LatentSpec.num_outputs`.
        hidden: The width of the hidden layer.

    Shape:
        features (N, *feature_shape) to raw outputs (N, outputs).

    Raises:
        ValueError: features with more than three sides.

    Source: Chen et al., InfoGAN, 2016, appendix C.1 (FC 128, batch norm, leaky ReLU 0.1, FC).
    """

    def __init__(self, feature_shape: Sequence[int], outputs: int, *, hidden: int = 128) -> None:
        super().__init__()
        outputs = check_int("outputs", outputs, minimum=1, maximum=MAX_WIDTH)
        hidden = check_int("hidden", hidden, minimum=1, maximum=MAX_WIDTH)
        channels, *sides = check_shape("feature_shape", feature_shape)
        pooled = tuple(min(side, MAX_SIDE) for side in sides)
        self.pool = _average_pool(pooled) if pooled != tuple(sides) else nn.Identity()
        features = channels * math.prod(pooled)
        self.body = nn.Sequential(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(_SLOPE))
        self.out = nn.Linear(hidden, outputs)

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.body(self.pool(features).flatten(1)))


LIBRARY_HEADS: dict[str, Callable[..., nn.Module]] = {"QHead": QHead, "BatchNormQHead": BatchNormQHead}
"""The heads that a saved model can be loaded with by name."""

SMALL_HEAD = 2**19
"""A head of at most this many parameters is never made narrower."""

LEAST_WIDTH = 16
WIDTH = 128
"""The least and the usual width of a head that is made in proportion to D."""


def proportionate_head(feature_shape: Sequence[int], outputs: int, *, discriminator_size: int) -> QHead:
    """A head that has no more parameters than D, or is small.

    Its width is 128, halved until the head has no more parameters than D or `SMALL_HEAD`, and at least 16.
    """
    width, most = WIDTH, max(discriminator_size, SMALL_HEAD)
    while width > LEAST_WIDTH and _size(feature_shape, outputs, width) > most:
        width //= 2
    return QHead(feature_shape, outputs, hidden=width)


def is_library_head(q_head: object) -> bool:
    """Whether something given as a Q head is one of `LIBRARY_HEADS`, as it is or with settings by `partial`."""
    return (q_head.func if isinstance(q_head, partial) else q_head) in LIBRARY_HEADS.values()


def saved_head(name: str, tensors: Mapping[str, Any], outputs: int) -> QHeadFactory:
    """What makes a head of `LIBRARY_HEADS` as wide as a saved one; the width is 128 if its tensors do not show it."""
    weights = [value for key, value in tensors.items() if without_wrappers(key) == "out.weight"]
    shapes = [tuple(weight.shape) for weight in weights if isinstance(weight, Tensor)]
    widths = [shape[1] for shape in shapes if len(shape) == 2 and shape[0] == outputs and shape[1] > 0]
    return partial(LIBRARY_HEADS[name], hidden=widths[0] if len(widths) == 1 else WIDTH)


_SLOPE = 0.1


def _size(feature_shape: Sequence[int], outputs: int, hidden: int) -> int:
    """The number of parameters of a `QHead`, with nothing allocated."""
    maps = _maps(feature_shape, hidden)
    kernels = [math.prod(_kernel(sides)) for _, *sides in maps]
    layers = [(before[0] * kernel, after[0]) for (before, after), kernel in zip(pairwise(maps), kernels, strict=False)]
    layers += [(math.prod(maps[-1]), hidden), (hidden, outputs)]
    return sum((inputs + 1) * width for inputs, width in layers)  # the one is the bias


def _maps(feature_shape: Sequence[int], hidden: int) -> list[tuple[int, ...]]:
    """The shapes of a `QHead`'s maps, from the features to what is flattened."""
    maps = [tuple(feature_shape)]
    while len(maps[-1]) > 1 and max(maps[-1][1:]) > MAX_SIDE:
        channels, *sides = maps[-1]
        maps.append((min(max(2 * channels, 32), hidden), *(max(1, side // 2) for side in sides)))
    return maps


def _kernel(sides: Sequence[int]) -> tuple[int, ...]:
    return tuple(4 if side > 1 else 1 for side in sides)


def _halving_convolution(channels: int, wider: int, sides: Sequence[int]) -> nn.Module:
    """A convolution that halves every side longer than one."""
    kernel = _kernel(sides)
    stride = tuple(2 if side > 1 else 1 for side in sides)
    make = _by_sides(sides, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return make(channels, wider, kernel, stride, tuple(size // 4 for size in kernel))


def _average_pool(sides: Sequence[int]) -> nn.Module:
    return _by_sides(sides, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)(sides)


def _by_sides(sides: Sequence[int], *classes: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    if len(sides) > len(classes):
        raise ValueError(
            f"a Q head of the library takes features with up to three sides, but got {len(sides)}; give a q_head of "
            "your own"
        )
    return classes[len(sides) - 1]


def outputs_in_order(returned: Any, spec: LatentSpec) -> list[Tensor]:
    """What a Q head returned, one tensor or several in a tuple, list or dict, as tensors (N, *) in the codes' order.

    A dict whose keys are the codes' names is put into their order; any other keeps its own.
    """
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, dict):
        return [returned[name] for name in spec.codes] if set(returned) == set(spec.codes) else list(returned.values())
    return list(returned)


def flat_outputs(returned: Any, spec: LatentSpec) -> Tensor:
    """What a Q head returned as one tensor of raw outputs (N, R); see `outputs_in_order`."""
    parts = [part.flatten(1) for part in outputs_in_order(returned, spec)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

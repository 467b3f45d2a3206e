"""Q heads: from the discriminator's features to the raw outputs of all codes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int, check_shape
from infogan_lib.latent.base import MAX_WIDTH
from infogan_lib.latent.spec import LatentSpec

QHeadFactory = Callable[[Sequence[int], int], nn.Module]
"""Makes a Q head from the features' shape, without the batch, and the number of raw outputs."""

MAX_SIDE = 8
MAX_CHANNELS = 128


class QHead(nn.Module):
    """Strided convolutions down to 8 positions a side, then Linear, leaky ReLU, Linear; no norm.

    No layer of it looks at the batch: Q judges each image by itself, real or generated, in training as in evaluation.
    The convolutions, of kernel 4 and stride 2, double the channels up to 128; features of at most 8 positions a side
    need none. All layers begin with He's initialization.

    Args:
        feature_shape: the features' shape without the batch: (F,), (C, T), (C, H, W), ...
        outputs: the number of raw outputs, `LatentSpec.num_outputs`.
        hidden: the width of the hidden layer.

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
        channels, *sides = check_shape("feature_shape", feature_shape)
        layers: list[nn.Module] = []
        while sides and max(sides) > MAX_SIDE:
            wider = max(32, min(2 * channels, MAX_CHANNELS))
            layers += [_halving_convolution(channels, wider, sides), nn.LeakyReLU(_SLOPE)]
            channels, sides = wider, [max(1, side // 2) for side in sides]
        layers += [nn.Flatten(), nn.Linear(channels * math.prod(sides), hidden), nn.LeakyReLU(_SLOPE)]
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
        feature_shape: the features' shape without the batch: (F,), (C, T), (C, H, W), ...
        outputs: the number of raw outputs, `LatentSpec.num_outputs`.
        hidden: the width of the hidden layer.

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


LIBRARY_HEADS: dict[str, QHeadFactory] = {"QHead": QHead, "BatchNormQHead": BatchNormQHead}
"""The heads that a saved model can be loaded with by name."""

_SLOPE = 0.1


def _halving_convolution(channels: int, wider: int, sides: Sequence[int]) -> nn.Module:
    """A convolution that halves every side longer than one."""
    kernel = tuple(4 if side > 1 else 1 for side in sides)
    stride = tuple(2 if side > 1 else 1 for side in sides)
    make = _by_sides(sides, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return make(channels, wider, kernel, stride, tuple(size // 4 for size in kernel))


def _average_pool(sides: Sequence[int]) -> nn.Module:
    return _by_sides(sides, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)(sides)


def _by_sides(sides: Sequence[int], *classes: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The class of layer for features with this many sides."""
    if len(sides) > len(classes):
        raise ValueError(
            f"a Q head of the library takes features with up to three sides, but got {len(sides)}; give a q_head of "
            "your own"
        )
    return classes[len(sides) - 1]


def outputs_in_order(returned: Any, spec: LatentSpec) -> list[Tensor]:
    """What a Q head returned as tensors (N, *) in the codes' order.

    Args:
        returned: a tensor, or several in a tuple, list or dict. A dict whose keys are the codes' names is put into
            their order; any other keeps its own.
        spec: the latent.
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

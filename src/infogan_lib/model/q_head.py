"""The default Q head: from the discriminator's features to the raw outputs of all codes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_int, describe
from infogan_lib.latent.spec import LatentSpec

MAX_SIDE = 8


class QHead(nn.Module):
    """Linear, BatchNorm, leaky ReLU, Linear on flattened features.

    Feature maps of more than 8 positions a side are averaged down to 8 first, so that a discriminator on large images
    does not need a Q head larger than itself.

    Args:
        feature_shape: the features' shape without the batch: (F,), (C, T), (C, H, W), ...
        outputs: the number of raw outputs, `LatentSpec.num_outputs`.
        hidden: the width of the hidden layer.

    Shape:
        features (N, *feature_shape) to raw outputs (N, outputs).

    Source: Chen et al., InfoGAN, 2016, appendix C.1 (FC 128, batch norm, leaky ReLU 0.1, FC).
    """

    def __init__(self, feature_shape: Sequence[int], outputs: int, *, hidden: int = 128) -> None:
        super().__init__()
        outputs = check_int("outputs", outputs, minimum=1)
        hidden = check_int("hidden", hidden, minimum=1)
        shape = feature_shape if isinstance(feature_shape, Sequence) and not isinstance(feature_shape, str) else ()
        if not shape:
            raise TypeError(
                f"feature_shape must be a shape such as (128,) or (C, H, W), but got {describe(feature_shape)}"
            )
        channels, *sides = (check_int("each side of feature_shape", side, minimum=1) for side in shape)
        pooled = tuple(min(side, MAX_SIDE) for side in sides)
        self.pool = _average_pool(pooled) if pooled != tuple(sides) else nn.Identity()
        features = channels * math.prod(pooled)
        self.body = nn.Sequential(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1))
        self.out = nn.Linear(hidden, outputs)

    @override
    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.body(self.pool(features).flatten(1)))


def _average_pool(sides: tuple[int, ...]) -> nn.Module:
    if len(sides) > 3:
        raise ValueError(
            f"QHead takes features with up to three sides, but got {len(sides)}; give a q_head of your own"
        )
    return (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[len(sides) - 1](sides)


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

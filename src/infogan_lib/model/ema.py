r"""The averaged generator: an exponential moving average of its weights and buffers.

.. math::
    \bar\theta_{t+1} = d_t \bar\theta_t + (1 - d_t) \theta_{t+1}, \qquad d_t = \min\Big(d, \frac{1 + t}{10 + t}\Big)

after t updates; the first copies the weights. The growing decay keeps a young average from being the first weights
(TensorFlow, `tf.train.ExponentialMovingAverage`, argument `num_updates`).
"""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from infogan_lib._checks import check_float
from infogan_lib.model.introspection import device_and_dtype, widest_float


def make_ema(generator: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a generator, buffers included.

    Args:
        generator: the generator; the average is a copy of it.
        decay: the largest weight of the old average in an update, in (0, 1).

    Raises:
        ValueError: a decay that is not in (0, 1), or a generator that cannot be copied.
    """
    decay = check_float("ema_decay", decay, above=0)
    if decay >= 1:
        raise ValueError(f"ema_decay must be below 1, but got {decay}")
    try:
        ema = AveragedModel(generator, multi_avg_fn=_MovingAverage(decay), use_buffers=True)
    except RuntimeError as error:
        raise ValueError(
            f"ema_decay needs a generator that can be copied, but got: {error}; the older torch.nn.utils.spectral_norm "
            "cannot be copied, torch.nn.utils.parametrizations.spectral_norm can"
        ) from error
    ema.n_averaged = ema.n_averaged.to(device_and_dtype(generator)[0])  # torch makes it on the CPU
    return ema.requires_grad_(False)


def ema_decay(ema: AveragedModel | None) -> float | None:
    """The decay that `make_ema` was given; None without an average."""
    return None if ema is None else ema.multi_avg_fn.decay  # type: ignore[union-attr]


def check_ema(current: AveragedModel | None, decay: float) -> None:
    """Refuse another decay than that of an average that a loaded model has already.

    Raises:
        ValueError: the decays differ.
    """
    if current is not None and ema_decay(current) != decay:
        raise ValueError(
            f"the model has an average with decay {ema_decay(current)}, but got ema_decay={decay}; leave ema_decay out "
            "to continue it"
        )


@torch.no_grad()
def update_ema(ema: AveragedModel, generator: nn.Module) -> None:
    """Take the generator's weights into the average, without waiting for the device.

    The first update copies them. Floating buffers are averaged as weights are; other buffers are copied.

    Args:
        ema: the average, from `make_ema`.
        generator: the generator that it is of.
    """
    pairs = [*zip(ema.module.parameters(), generator.parameters(), strict=True)]
    pairs += [*zip(ema.module.buffers(), generator.buffers(), strict=True)]
    count = ema.n_averaged.to(widest_float(ema.n_averaged.device))
    decay = ((1 + count) / (10 + count)).clamp(max=ema.multi_avg_fn.decay)  # type: ignore[union-attr]
    weight = torch.where(count == 0, 1.0, 1 - decay)
    kinds = {(average.device, average.dtype) for average, _ in pairs if average.is_floating_point()}
    weights = {kind: weight.to(*kind) for kind in kinds}
    for average, current in pairs:
        if average.is_floating_point():
            average.lerp_(current, weights[average.device, average.dtype])
        else:
            average.copy_(current)
    ema.n_averaged += 1


class _MovingAverage:
    """The moving average for `AveragedModel.update_parameters`, as an object that can be pickled."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averages: Any, current: Any, count: Any) -> None:
        decay = min(self.decay, (1 + float(count)) / (10 + float(count)))
        get_ema_multi_avg_fn(decay)(averages, current, count)

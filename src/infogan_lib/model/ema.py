"""The averaged generator: an exponential moving average of its weights and buffers, made by torch."""

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from infogan_lib._checks import check_float


def averaged(generator: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a generator, buffers included.

    Raises:
        ValueError: a decay that is not in (0, 1), or a generator that cannot be copied.
    """
    decay = check_float("ema_decay", decay, above=0)
    if decay >= 1:
        raise ValueError(f"ema_decay must be below 1, but got {decay}")
    try:
        model = AveragedModel(generator, multi_avg_fn=_MovingAverage(decay), use_buffers=True)
    except RuntimeError as error:
        raise ValueError(
            f"ema_decay needs a generator that can be copied, but got: {error}; the older torch.nn.utils.spectral_norm "
            "cannot be copied, torch.nn.utils.parametrizations.spectral_norm can"
        ) from error
    return model.requires_grad_(False)


def decay_of(model: AveragedModel | None) -> float | None:
    """The decay that `averaged` was given; None without an average."""
    return None if model is None else model.multi_avg_fn.decay  # type: ignore[union-attr]


class _MovingAverage:
    """Torch's moving average as an object that can be pickled, which its closure cannot."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averages: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(averages, current, count)

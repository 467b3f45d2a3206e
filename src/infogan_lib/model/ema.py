r"""The averaged generator: an exponential moving average of its weights and running statistics.

.. math::
    \bar\theta_{t+1} = d_t \bar\theta_t + (1 - d_t) \theta_{t+1}, \qquad d_t = \min\Big(d, \frac{1 + t}{10 + t}\Big)

after t updates; the first copies the weights. The growing decay keeps a young average from being the first weights
(TensorFlow, `tf.train.ExponentialMovingAverage`, argument `num_updates`).

Of the buffers, running statistics (`running_mean`, `running_var`) are averaged, and all others are copied: the mean of
two unit vectors is none. The vectors of spectral norm belong to a weight, and the average has another one; so each
update brings them closer to the averaged weight by ten power iterations. With one, as training makes for G's own, the
averaged weights were off a spectral norm of 1 by more than 1e-3 after a third of the steps; with ten after a twentieth.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from infogan_lib._checks import check_float
from infogan_lib.model.introspection import device_and_dtype, set_mode, widest_float

POWER_ITERATIONS = 10
"""Those of spectral norm in an update of the average, at least."""

_FIRST_UPDATES = 10
"""The updates' worth of iterations that a new average begins with, as the older hook's vectors are random at first."""


class MovingAverage(AveragedModel):
    """An exponential moving average of a generator, in `module`; see `make_ema`.

    Args:
        generator: the generator; the average is a copy of it.
        decay: the largest weight of the old average in an update, in (0, 1).
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        with _copyable(generator):
            super().__init__(generator, use_buffers=True)
        self.n_averaged = self.n_averaged.to(device_and_dtype(generator)[0])  # torch makes it on the CPU
        self.decay = decay
        self.requires_grad_(False)
        for spectral_norm in _spectral_norms(self.module):
            settings = spectral_norm.settings
            settings.n_power_iterations = max(settings.n_power_iterations, POWER_ITERATIONS)
            for _ in range(_FIRST_UPDATES):
                spectral_norm.iterate()

    @override
    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the generator's weights into the average, without waiting for the device."""
        count = self.n_averaged.to(widest_float(self.n_averaged.device))
        weight = torch.where(count == 0, 1.0, 1 - ((1 + count) / (10 + count)).clamp(max=self.decay))
        kinds = {(tensor.device, tensor.dtype) for tensor in (*self.module.parameters(), *self.module.buffers())}
        weights = {kind: weight.to(*kind) for kind in kinds if kind[1].is_floating_point or kind[1].is_complex}
        for average, current in zip(self.module.parameters(), model.parameters(), strict=True):
            _average(average, current, weights)
        spectral_norms = [*_spectral_norms(self.module)]
        own_vectors = {id(vector) for norm in spectral_norms for vector in norm.vectors}
        for (name, average), current in zip(self.module.named_buffers(), model.buffers(), strict=True):
            if name.rpartition(".")[2].startswith("running_"):
                _average(average, current, weights)
            elif id(average) not in own_vectors:
                average.copy_(current)
        for norm in spectral_norms:
            norm.iterate()
        self.n_averaged += 1


def make_ema(generator: nn.Module, decay: float) -> MovingAverage:
    """An exponential moving average of a generator.

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
        return MovingAverage(generator, decay)
    except RuntimeError as error:
        raise ValueError(f"ema_decay needs a generator that copy.deepcopy can copy, but got: {error}") from error


def ema_decay(ema: MovingAverage | None) -> float | None:
    """The decay that `make_ema` was given; None without an average."""
    return None if ema is None else ema.decay


def check_ema(current: MovingAverage | None, decay: float) -> None:
    """Refuse another decay than that of an average that a loaded model has already.

    Raises:
        ValueError: the decays differ.
    """
    if current is not None and current.decay != decay:
        raise ValueError(
            f"the model has an average with decay {current.decay}, but got ema_decay={decay}; leave ema_decay out to "
            "continue it"
        )


def _average(average: Tensor, current: Tensor, weights: Mapping[tuple[torch.device, torch.dtype], Tensor]) -> None:
    """Move an average towards the current value, which replaces it where there is no weight for its dtype."""
    weight = weights.get((average.device, average.dtype))
    if weight is None:
        average.copy_(current)
    else:
        average.lerp_(current, weight)


class _SpectralNormed(NamedTuple):
    """A weight under spectral norm; `iterate` makes `settings.n_power_iterations`, which change the vectors."""

    settings: _SpectralNorm | SpectralNorm
    vectors: tuple[Tensor, Tensor]
    iterate: Callable[[], object]


def _spectral_norms(module: nn.Module) -> Iterator[_SpectralNormed]:
    """The weights under spectral norm, whether by a parametrization or by the older hook."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer):
            chains: Any = layer.parametrizations
            for name, chain in chains.items():
                for norm in (part for part in chain if isinstance(part, _SpectralNorm)):
                    yield _SpectralNormed(norm, (norm._u, norm._v), partial(_weight_in_training, layer, name, chain))
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                vectors = getattr(layer, f"{hook.name}_u"), getattr(layer, f"{hook.name}_v")
                yield _SpectralNormed(hook, vectors, partial(hook.compute_weight, layer, do_power_iteration=True))


def _weight_in_training(layer: nn.Module, name: str, parametrizations: nn.Module) -> Tensor:
    """A parametrized weight as it is computed in training, where spectral norm makes a power iteration."""
    with set_mode(parametrizations, training=True):
        return getattr(layer, name)


@contextmanager
def _copyable(module: nn.Module) -> Iterator[None]:
    """Take out of its graph what older hooks (`weight_norm`) compute before each pass, as a graph cannot be copied."""
    computed = [
        (layer, name, value)
        for layer in module.modules()
        for name, value in vars(layer).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    for layer, name, value in computed:
        vars(layer)[name] = value.detach()
    try:
        yield
    finally:
        for layer, name, value in computed:
            vars(layer)[name] = value

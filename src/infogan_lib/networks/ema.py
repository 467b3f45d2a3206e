r"""The averaged generator: an exponential moving average of its weights and running statistics.

.. math::
    \bar\theta_{t+1} = d_t \bar\theta_t + (1 - d_t) \theta_{t+1}, \qquad d_t = \min\Big(d, \frac{1 + t}{10 + t}\Big)

after t updates; the first copies the weights. The growing decay keeps a young average from being the first weights
(TensorFlow, `tf.train.ExponentialMovingAverage`, argument `num_updates`).

Of the buffers, running statistics (`running_mean`, `running_var`) are averaged, and all others are copied: the mean of
two unit vectors is none. The vectors of spectral norm belong to a weight, and the average has another one: whenever
the average is read after a change, they are the first singular vectors of the averaged weight, so that its spectral
norm is 1. (Power iterations in each update are not enough: with ten, a reading in twenty was off by more than 1e-3,
where the two largest singular values are close.)
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from infogan_lib._checks import check_float
from infogan_lib.networks.introspection import device_and_dtype, has_float64, set_mode, widest_float


class MovingAverage(AveragedModel):
    """An exponential moving average of a generator, whose copy it keeps in `module`; see `make_ema`."""

    def __init__(self, generator: nn.Module, decay: float) -> None:
        with _copyable(generator):
            super().__init__(generator, use_buffers=True)
        self.n_averaged = self.n_averaged.to(device_and_dtype(generator)[0])  # torch makes it on the CPU
        self.decay = decay
        self.requires_grad_(False)
        self._versions: list[int] = []

    @property
    def module(self) -> nn.Module:
        """The averaged generator, its vectors of spectral norm those of the averaged weights."""
        versions = [parameter._version for parameter in self._averaged.parameters()]
        if self._versions != versions:
            for norm in _spectral_norms(self._averaged):
                with torch.no_grad():
                    _set_singular_vectors(norm.matrix(), *norm.vectors)
            self._versions = versions
        return self._averaged

    @property
    def _averaged(self) -> nn.Module:
        """The averaged generator as the last update left it."""
        average = self._modules["module"]
        assert average is not None
        return average

    @override
    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The average's tensors, as `module` holds them, and the number of updates."""
        _ = self.module
        return super().state_dict(*args, **kwargs)

    @override
    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the generator's weights into the average, without waiting for the device."""
        count = self.n_averaged.to(widest_float(self.n_averaged.device))
        weight = torch.where(count == 0, 1.0, 1 - ((1 + count) / (10 + count)).clamp(max=self.decay))
        kinds = {(tensor.device, tensor.dtype) for tensor in (*self._averaged.parameters(), *self._averaged.buffers())}
        weights = {kind: weight.to(*kind) for kind in kinds if kind[1].is_floating_point or kind[1].is_complex}
        for average, current in zip(self._averaged.parameters(), model.parameters(), strict=True):
            _average(average, current, weights)
        for (name, average), current in zip(self._averaged.named_buffers(), model.buffers(), strict=True):
            if name.rpartition(".")[2].startswith("running_"):
                _average(average, current, weights)
            else:
                average.copy_(current)
        self.n_averaged += 1


def make_ema(generator: nn.Module, decay: float) -> MovingAverage:
    """An exponential moving average of a generator, with a decay in (0, 1), the largest weight of the old average.

    Raises ValueError for another decay, or a generator that cannot be copied.
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
    """Refuse, by a ValueError, another decay than that of an average that a loaded model has already."""
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
    """A weight under spectral norm, as a matrix, and the vectors u and v in sigma = u^T W v."""

    matrix: Callable[[], Tensor]
    vectors: tuple[Tensor, Tensor]


def _spectral_norms(module: nn.Module) -> Iterator[_SpectralNormed]:
    for layer in module.modules():
        if parametrize.is_parametrized(layer):
            chains: Any = layer.parametrizations
            for chain in chains.values():
                for norm in chain:
                    if isinstance(norm, _SpectralNorm) and hasattr(norm, "_u"):  # a weight (F,) has no such vectors
                        yield _SpectralNormed(partial(_parametrized_matrix, chain, norm), (norm._u, norm._v))
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                weight, *vectors = (getattr(layer, hook.name + ending) for ending in ("_orig", "_u", "_v"))
                yield _SpectralNormed(partial(hook.reshape_weight_to_matrix, weight), (vectors[0], vectors[1]))


def _parametrized_matrix(parametrizations: Any, norm: _SpectralNorm) -> Tensor:
    """The matrix that a spectral norm is given by the parametrizations before it."""
    chain = parametrizations
    weights = [chain.original] if chain.is_tensor else [getattr(chain, f"original{i}") for i in range(chain.ntensors)]
    with set_mode(chain, training=False):
        for part in chain:
            if part is norm:
                break
            weights = [part(*weights)]
    return norm._reshape_weight_to_matrix(weights[0])


def _set_singular_vectors(matrix: Tensor, u: Tensor, v: Tensor) -> None:
    """Set u and v to the first singular vectors of a matrix, unless it has values that are not finite."""
    if not has_float64(matrix.device):  # MPS: the CPU has the solver, too
        matrix = matrix.cpu()
    matrix = matrix.to(torch.promote_types(matrix.dtype, widest_float(matrix.device)))
    if not matrix.isfinite().all():
        return
    if len(u) <= len(v):
        left = torch.linalg.eigh(matrix @ matrix.mH).eigenvectors[:, -1]
        right = matrix.mH @ left
    else:
        right = torch.linalg.eigh(matrix.mH @ matrix).eigenvectors[:, -1]
        left = matrix @ right
    u.copy_(F.normalize(left, dim=0))
    v.copy_(F.normalize(right, dim=0))


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

r"""The contrastive term of InfoGAN-CR: each dimension of the codes should change something of its own.

Q recovers a code however the image shows it; two dimensions may share one visible change, rotated against it. Here G
makes pairs of images that agree in exactly one of k continuous dimensions, I, and a classifier H has to say which,

.. math::
    L_{CR} = E \big[ -\log H(I \mid x, x') \big], \qquad x = G(z, c), \quad x' = G(z, c'), \quad c_I = c'_I,

which G and H minimize together: it is log k where images do not show their codes, and near 0 where every dimension has
an effect that stays recognizable whatever the others are (Lin et al., *InfoGAN-CR and ModelCentrality:
Self-supervised Model Training and Selection for Disentangling GANs*, ICML 2020).

The other dimensions of a pair differ by at least a *gap*, which makes the task easier. Progressive training begins with
a wide gap and then narrows it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_bool, check_float, check_int, describe, join_names, shorten
from infogan_lib.latent import Gaussian, LatentSpec, LatentVariable, Uniform
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import GeneratorRegularizer, check_several_names


class Contrastive(GeneratorRegularizer):
    """Cross-entropy, in nats, of a classifier that finds the one code dimension that a pair of images shares.

    Discrete codes are drawn anew for both images of a pair. Each update of G makes as many images more as the batch
    has, and as half as many pairs. One object belongs to one trainer, as it owns the classifier's weights.

    Args:
        network: The classifier H, from pairs of images side by side in dimension 1, shape (N, 2C, *), to one logit per
            dimension, (N, k). A small network fit for the images if None.
        codes: Names of the `Uniform` and `Gaussian` codes to use, whose dimensions are those that H tells apart; all
            there are if None.
        weight: The factor on the term. The paper uses 1 to 3, and none in the first part of training.
        gap: The least distance in each dimension that a pair does not share, in probability mass of the prior, from 0
            up to 1: for `Uniform(-1, 1)`, 0.95 is a distance of 1.9. As a mapping from step to gap it changes with
            training: ``{0: 0.95, 35_000: 0.0}``.
        share_noise: Whether the two images of a pair have the same noise, as in the authors' program.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.

    Raises:
        TypeError: An argument of the wrong type.
        ValueError: A gap outside 0 to 1, or a schedule that does not begin at step 0.

    Source: Lin et al., *InfoGAN-CR and ModelCentrality*, ICML 2020.
    """

    name = "contrastive"

    def __init__(
        self,
        network: nn.Module | None = None,
        *,
        codes: str | Sequence[str] | None = None,
        weight: float = 1.0,
        gap: float | Mapping[int, float] = 0.0,
        share_noise: bool = True,
        after: int = 0,
        every: int = 1,
    ) -> None:
        if network is not None and not isinstance(network, nn.Module):
            raise TypeError(f"network must be an nn.Module or None, but got {describe(network)}")
        self.codes = check_several_names("codes", codes, "code")
        self._set_schedule(weight=weight, after=after, every=every)
        self.network = network
        self.gap = _check_gap(gap)
        self.share_noise = check_bool("share_noise", share_noise)
        self._current_gap: Tensor | None = None

    @override
    def check(self, latent: LatentSpec) -> None:
        continuous = [name for name, variable in latent.items() if isinstance(variable, Uniform | Gaussian)]
        others = [name for name in self.codes or () if name not in continuous]
        if others:
            raise ValueError(
                f"Contrastive needs Uniform or Gaussian codes, which are {join_names(continuous)} in this latent, "
                f"but got {join_names(others)}"
            )
        count = sum(latent[name].width for name in self._code_names(latent))
        if count < 2:
            raise ValueError(
                "Contrastive asks which of several continuous dimensions a pair shares, but its codes have "
                f"{count} in this latent; add a Uniform or Gaussian code"
            )

    @override
    def prepare(self, latent: LatentSpec, image_shape: tuple[int, ...], device: torch.device, seed: int) -> None:
        """Build the classifier if none was given, and check that it fits.

        Raises:
            ValueError: A term that another trainer already has, or a network with another output shape.
        """
        if self._current_gap is not None:
            raise ValueError("this Contrastive already belongs to a trainer; make a new one for this trainer")
        count = sum(latent[name].width for name in self._code_names(latent))
        if self.network is None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                network = pair_classifier(image_shape, count)
        else:
            network = self.network
        network.to(device)
        _check_outputs(network, image_shape, count, device)
        self.network = network
        self._current_gap = torch.tensor(self.gap[0][1], device=device)

    @override
    def set_step(self, step: int) -> None:
        if self._current_gap is not None and len(self.gap) > 1:
            self._current_gap.fill_(next(gap for start, gap in reversed(self.gap) if start <= step))

    @override
    def __call__(
        self,
        latent: LatentSpec,
        sampled: Tensor,
        images: Tensor,
        generate: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        if self.network is None or self._current_gap is None:
            raise RuntimeError("Contrastive has no classifier yet; call prepare(...) before training")
        first, second, shared = sample_pairs(
            latent,
            sampled[: -(-len(sampled) // 2)],
            self._code_names(latent),
            gap=self._current_gap,
            share_noise=self.share_noise,
            rng=rng,
        )
        # One batch, so that BatchNorm makes no difference between the two of a pair.
        pairs = torch.cat(generate(torch.cat([first, second])).tensor_split(2), dim=1)
        logits = self.network(pairs.to(_dtype(self.network)))
        return F.cross_entropy(at_least_float32(logits), shared)

    def _code_names(self, latent: LatentSpec) -> tuple[str, ...]:
        if self.codes is not None:
            return self.codes
        return tuple(name for name, variable in latent.items() if isinstance(variable, Uniform | Gaussian))


def sample_pairs(
    latent: LatentSpec, base: Tensor, codes: Sequence[str], *, gap: Tensor, share_noise: bool, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of latents that agree in one continuous dimension and differ by at least the gap in all others.

    Args:
        latent: The variables.
        base: Latents (n, L) that the variables which are not in `codes` are taken from.
        codes: Names of the continuous codes, whose k dimensions are those that may be shared.
        gap: The least difference, in probability mass of the prior; a scalar on the device of the latents.
        share_noise: Whether a pair shares its noise.
        rng: Source of randomness, on the device of the latents.

    Returns:
        The first latents (n, L), the second (n, L), and which dimension they share (n,), from 0 to k - 1.
    """
    n, widths = len(base), [latent[name].width for name in codes]
    dtype = torch.promote_types(base.dtype, torch.float32)
    shared = torch.randint(sum(widths), (n,), generator=rng, device=base.device)
    u, v = torch.rand(2, n, sum(widths), generator=rng, device=base.device, dtype=dtype)
    is_shared = shared[:, None] == torch.arange(sum(widths), device=base.device)
    v = torch.where(is_shared, u, v)
    # Drawn closer together and then pushed apart, which is uniform on the pairs that are at least the gap apart.
    gaps = torch.where(is_shared, 0, gap.to(dtype))
    push = torch.where(u < v, -gaps, gaps) / 2
    u, v = (gaps / 2 + (1 - gaps) * w for w in (u, v))
    u, v = u + push, v - push

    first, second = base.clone(), base.clone()
    for name, end, width in zip(codes, accumulate(widths), widths, strict=True):
        for pairs, w in ((first, u), (second, v)):
            pairs[:, latent.slices[name]] = _quantile(latent[name], w[:, end - width : end]).to(base.dtype)
    for name, variable in latent.items():
        is_noise = name not in latent.codes
        if name not in codes and not (is_noise and share_noise):
            second[:, latent.slices[name]] = variable.sample(n, rng=rng, device=base.device, dtype=base.dtype)
    return first, second, shared


def pair_classifier(image_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A small classifier of pairs of images side by side in dimension 1.

    Args:
        image_shape: The shape of one image: (F,) for vectors, (C, *) with one to three sides otherwise.
        num_classes: The number of logits.

    Returns:
        Strided convolutions down to about four pixels a side, for vectors none, and two linear layers.
    """
    channels, *sides = 2 * image_shape[0], *image_shape[1:]
    layers: list[nn.Module] = []
    convolutions = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    if len(sides) in convolutions:
        width = 32
        while max(sides) > 4 and min(sides) > 1:
            layers += [convolutions[len(sides)](channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
            channels, width, sides = width, min(2 * width, 256), [side // 2 for side in sides]
    size = channels * torch.Size(sides).numel()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 128), nn.LeakyReLU(0.1), nn.Linear(128, num_classes))


def _check_gap(gap: object) -> tuple[tuple[int, float], ...]:
    schedule = dict(gap) if isinstance(gap, Mapping) else {0: gap}
    schedule = {check_int("a step of gap", step, minimum=0): value for step, value in schedule.items()}
    if min(schedule, default=None) != 0:
        raise ValueError(
            f"gap must say what it is from step 0 on, such as {{0: 0.95, 5000: 0.0}}, but got {shorten(gap)}"
        )
    result = tuple((step, check_float("gap", schedule[step], minimum=0)) for step in sorted(schedule))
    if any(value >= 1 for _, value in result):
        raise ValueError(f"gap must be a finite number of at least 0 and below 1, but got {describe(gap)}")
    return result


def _check_outputs(network: nn.Module, image_shape: tuple[int, ...], count: int, device: torch.device) -> None:
    pairs = torch.zeros(2, 2 * image_shape[0], *image_shape[1:], device=device, dtype=_dtype(network))
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            logits = network.eval()(pairs)
    finally:
        for module, mode in modes:
            module.training = mode
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (2, count) or not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise ValueError(
            f"network of Contrastive must map pairs {tuple(pairs.shape)} to one logit per dimension, floats of shape "
            f"(2, {count}), but gave {describe(logits)}"
        )


def _dtype(network: nn.Module) -> torch.dtype:
    return next((parameter.dtype for parameter in network.parameters()), torch.get_default_dtype())


def _quantile(code: LatentVariable, probability: Tensor) -> Tensor:
    """The value below which the prior has this probability."""
    if isinstance(code, Uniform):
        return code.low + (code.high - code.low) * probability
    smallest = torch.finfo(probability.dtype).eps  # the quantiles of 0 and 1 are infinite
    return torch.special.ndtri(probability.clamp(smallest, 1 - smallest))

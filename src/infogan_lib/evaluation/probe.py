"""Measurements of a generator and its Q on a few latents during training, without side effects on the run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from infogan_lib.data.rng import preserve_rng, seed_all
from infogan_lib.latent.category_names import categorical_names
from infogan_lib.latent.loss_code import VectorCode
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.metrics.sensitivity import between_image_variance, confusion, squared_difference, total_effects
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import device_and_dtype, eval_mode, has_batch_norm
from infogan_lib.step.snapshot import Snapshot

MAX_BATCHES = 16

MIN_REQUESTS, TARGET_REQUESTS = 8, 16
"""Requests per category. Codes with too many categories to request each `MIN_REQUESTS` times are skipped."""


class Factor(NamedTuple):
    """A part of the latent that is redrawn on its own: a variable, or one dimension of a continuous code."""

    name: str
    dim: int | None

    def __str__(self) -> str:
        return repr(self.name) if self.dim is None else f"dimension {self.dim} of {self.name!r}"


@dataclass(frozen=True)
class ProbeResult:
    """Measurements of one probe.

    Attributes:
        between_image_variance: Fraction of the variance of the pixels that lies between images, 0 to 1.
        total_effects: Total effect of each factor that was perturbed, 0 to 1.
        confusion: Counts of requested (rows) and predicted (columns) categories of each categorical code, in training
            mode; in eval mode if Q is trained on joint batches of real and generated images.
        eval_confusion: The same in eval mode, if Q reads through BatchNorm and is not trained on joint batches.
    """

    between_image_variance: float
    total_effects: Mapping[Factor, float]
    confusion: Mapping[str, Tensor]
    eval_confusion: Mapping[str, Tensor] = field(default_factory=dict)


class Probe:
    """Samples latents, generates images as in training, and compares Q's predictions with the latents.

    Networks stay in their current mode, with batches of the given size; buffers and global random number generators are
    restored, so that a run with a probe is bitwise the same as one without. A probe generates at most 33 batches: one,
    one for each of up to 16 factors, and up to 16 in which the categories alternate; the latter twice if Q reads
    through BatchNorm.

    Q sees generated images in batches of their own, as in training. If it is trained on `joint` batches of real and
    generated images, it is probed in eval mode instead, as its running statistics cover both.
    """

    def __init__(self, model: InfoGAN, *, samples: int, joint: bool = False) -> None:
        self._model, self._samples, self._joint = model, samples, joint
        self._q_networks = (model.discriminator, model.q)
        self._has_batch_norm = any(has_batch_norm(network) for network in self._q_networks if network is not None)
        self._factors = list(_factors(model.latent))
        widths = {name: model.latent[name].width for name in categorical_names(model.latent)}
        max_width = MAX_BATCHES * samples // MIN_REQUESTS
        self._categories = {name: width for name, width in widths.items() if width <= max_width}
        self._snapshot = Snapshot([model])

    @torch.no_grad()
    def __call__(self, seed: int, index: int) -> ProbeResult:
        """Run the probe once; `index` is its number in the run.

        With more than 16 factors, two consecutive probes perturb the same ones, and the next two others.
        """
        rng, device = torch.Generator().manual_seed(seed), device_and_dtype(self._model.generator)[0]
        factors = self._factors_at(index)
        base, fresh = self._sample(rng), self._sample(rng)
        eval_confusion, differences = {}, []
        with no_side_effects(self._snapshot, device):
            base_images = self._generate(base, seed, device)
            for factor in factors:
                images = self._generate(self._redraw(base, fresh, factor), seed, device)
                differences.append(squared_difference(base_images, images).cpu())
            batches = list(self._category_batches(rng))
            # Eval mode first, as a forward pass in training mode updates the running statistics.
            if self._joint or self._has_batch_norm:
                with eval_mode(*self._q_networks):
                    eval_confusion = self._confusion(batches, seed, device)
            if self._joint:
                train_confusion, eval_confusion = eval_confusion, {}
            else:
                train_confusion = self._confusion(batches, seed, device)
        indices = torch.arange(len(factors)).repeat_interleave(self._samples)
        effects = total_effects(torch.cat(differences), indices, base_images, len(factors)).tolist()
        return ProbeResult(
            between_image_variance(base_images),
            dict(zip(factors, effects, strict=True)),
            train_confusion,
            eval_confusion,
        )

    def _confusion(self, batches: Sequence[Tensor], seed: int, device: torch.device) -> dict[str, Tensor]:
        counts = {name: torch.zeros(k, k, dtype=torch.int64) for name, k in self._categories.items()}
        for latents in batches:
            images = self._generate(latents, seed, device)
            posteriors = self._model.latent.posteriors(self._model.forward_q(images))
            for name, table in counts.items():
                requested = latents[:, self._model.latent.slices[name]].argmax(1)
                table += confusion(requested, posteriors[name].mode.argmax(1).cpu(), len(table))
        return counts

    def _factors_at(self, index: int) -> list[Factor]:
        count = min(len(self._factors), MAX_BATCHES)
        start = index // 2 * count
        return [self._factors[(start + i) % len(self._factors)] for i in range(count)]

    def _sample(self, rng: torch.Generator) -> Tensor:
        return self._model.latent.sample(self._samples, rng=rng, device="cpu")

    def _redraw(self, base: Tensor, fresh: Tensor, factor: Factor) -> Tensor:
        columns = self._model.latent.slices[factor.name]
        if factor.dim is not None:
            columns = slice(columns.start + factor.dim, columns.start + factor.dim + 1)
        redrawn = base.clone()
        redrawn[:, columns] = fresh[:, columns]
        return redrawn

    def _category_batches(self, rng: torch.Generator) -> Iterator[Tensor]:
        """Latents in which the categories of every code alternate, in an order of its own for each code."""
        max_width = max(self._categories.values(), default=0)
        count = min(-(-TARGET_REQUESTS * max_width // self._samples), MAX_BATCHES)
        orders = {}
        for name, k in self._categories.items():
            rounds = -(-count * self._samples // k)
            orders[name] = torch.cat([torch.randperm(k, generator=rng) for _ in range(rounds)])
        for number in range(count):
            latents = self._sample(rng)
            for name, order in orders.items():
                categories = order[number * self._samples : (number + 1) * self._samples]
                columns = self._model.latent.slices[name]
                latents[:, columns] = torch.eye(self._categories[name], dtype=latents.dtype)[categories]
            yield latents

    def _generate(self, latents: Tensor, seed: int, device: torch.device) -> Tensor:
        seed_all(seed, device)  # the same dropout masks for images that are compared
        return self._model.generate(latents.to(*device_and_dtype(self._model.generator)))


@contextmanager
def no_side_effects(snapshot: Snapshot, device: torch.device) -> Iterator[None]:
    """Restore what a snapshot covers and the global random number generators afterwards."""
    snapshot.take()
    with preserve_rng(device):
        try:
            yield
        finally:
            snapshot.restore()


def _factors(latent: LatentSpec) -> Iterator[Factor]:
    for name, variable in latent.items():
        if isinstance(variable, VectorCode) and not variable.is_discrete:
            yield from (Factor(name, dim) for dim in range(variable.width))
        else:
            yield Factor(name, None)

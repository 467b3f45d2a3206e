"""The parts of a trainer: the model, its average, its regularizers, and what a checkpoint holds of all parts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from infogan_lib._checks import check_instance
from infogan_lib.checkpoints.compare import without_wrappers
from infogan_lib.checkpoints.state import OptimizerState
from infogan_lib.data.pixels import UNKNOWN_RANGE, known_range, warn_range_mismatch, warn_unknown_range
from infogan_lib.data.rng import RandomStreams, derive_seed
from infogan_lib.data.stream import Position
from infogan_lib.history.history import History
from infogan_lib.latent import LatentSpec
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.ema import check_ema, ema_decay, make_ema
from infogan_lib.regularizers.base import Regularizer, check_regularizers
from infogan_lib.regularizers.defaults import default_regularizers
from infogan_lib.resume.config import run_config
from infogan_lib.resume.ledger import RunLedger
from infogan_lib.step.step import InfoGANStep
from infogan_lib.step.whole_step import StepQueue


def as_model(
    generator: nn.Module | InfoGAN, discriminator: nn.Module | None, latent: LatentSpec | None, *, seed: int
) -> InfoGAN:
    """An `InfoGAN`, given as one or as its three parts. Raises TypeError for one beside parts, or parts missing."""
    if isinstance(generator, InfoGAN):
        if discriminator is not None or latent is not None:
            raise TypeError("an InfoGAN holds its discriminator and latent already; give it alone")
        return generator
    if discriminator is None or latent is None:
        raise TypeError("give a generator, a discriminator and a latent, or an InfoGAN in place of the three")
    return InfoGAN(generator, discriminator, latent, seed=seed)


def prepare_regularizers(regularizers: Any, model: InfoGAN, *, seed: int) -> tuple[Regularizer, ...]:
    """The regularizers of a trainer, checked, with their networks on the model's device; the default ones for None.

    Raises TypeError for something that is no regularizer, and ValueError for a term that is not defined for this model
    or that another trainer has.
    """
    if regularizers is None:
        regularizers = default_regularizers(model.latent, model.image_shape)
    terms = check_regularizers(regularizers, model.latent)
    device = next(model.parameters()).device
    for term in terms:
        term.prepare(model.latent, model.image_shape, device, derive_seed(seed, "regularizer", term.name))
        network = check_instance(f"network of {type(term).__name__}", term.network, nn.Module)
        if network is not None and any(map(is_lazy, network.parameters())):
            raise ValueError(f"network of {type(term).__name__} must have its shapes; call it once in prepare()")
    return terms


def add_ema(model: InfoGAN, decay: float | None) -> None:
    """Give a model an average of G's weights, unless it has one already or none is wanted.

    Raises ValueError for a decay outside (0, 1), or another one than that of the average there is.
    """
    if decay is not None:
        check_ema(model.ema_generator, decay)
        model.ema_generator = model.ema_generator or make_ema(model.generator, decay)


def settle_pixel_range(model: InfoGAN, images: Tensor) -> None:
    """Warn of images (N, *) outside of the generator's range; where `pixel_range` is not known, take it from them."""
    if model.pixel_range is None and images.dtype == torch.uint8:
        warn_unknown_range()
        model.pixel_range = UNKNOWN_RANGE
    elif model.pixel_range is None:
        model.pixel_range = known_range(images)
    warn_range_mismatch(images, model.pixel_range or UNKNOWN_RANGE, model.output_range)


def count_frozen(model: InfoGAN) -> int:
    """The number of a model's parameters, as tensors, that require no gradients."""
    groups = model.parameter_groups(frozen=True)
    return sum(not parameter.requires_grad for group in groups.values() for parameter in group)


def parameter_kinds(model: InfoGAN) -> dict[str, tuple[torch.dtype, torch.device]]:
    """The dtype and device of each parameter, by its name."""
    return {name: (parameter.dtype, parameter.device) for name, parameter in model.named_parameters()}


def check_own_parts(
    model: InfoGAN,
    kinds: Mapping[str, tuple[torch.dtype, torch.device]],
    step: InfoGANStep,
    optimizers: Mapping[str, Optimizer],
    schedulers: Sequence[LRScheduler],
) -> None:
    """Check that a trainer's model and optimizers are those that it was made with, of which its step has references.

    Raises ValueError for parameters of other `kinds` than `parameter_kinds` told then, or for other objects.
    """
    for name, now in parameter_kinds(model).items():
        if (before := kinds.get(name, now)) != now:
            raise ValueError(
                f"{name!r} is {now[0]} on {now[1]} by now, and was {before[0]} on {before[1]} when the trainer was "
                "made; convert the model back, or make another trainer of it"
            )
    if not is_own(step, optimizers, schedulers):
        of_schedulers = schedulers != step.schedulers
        what, argument = ("schedulers", "scheduler=...") if of_schedulers else ("optimizers", "g=..., d=..., q=...")
        raise ValueError(
            f"trainer.{what} must be those that the trainer was made with, as others would do nothing; change the "
            f"param_groups of its optimizers, or make another trainer of the model with Optimizers({argument})"
        )


def is_own(step: InfoGANStep, optimizers: Mapping[str, Optimizer], schedulers: Sequence[LRScheduler]) -> bool:
    """Whether a step has these optimizers and schedulers."""
    return schedulers == step.schedulers and [*optimizers.values()] == [*step.d_optimizers, *step.g_optimizers]


def _tap_in_words(model: InfoGAN) -> str:
    """Where Q reads D, without the names of wrappers."""
    tap = model.discriminator_adapter.tap
    if model.discriminator_adapter.read_features is not None:
        return "a function"
    return str(tap and replace(tap, layer=without_wrappers(tap.layer)))


def make_ledger(
    step: InfoGANStep,
    optimizers: Mapping[str, Optimizer],
    streams: RandomStreams,
    position: Position,
    history: History,
    *,
    queue: StepQueue,
    augmented: Mapping[str, object],
    seed: int,
) -> RunLedger:
    """The record of a trainer's fits; see `RunLedger`. The optimizers are all by name, D's first."""
    model = step.model
    settings = run_config(
        model.latent,
        step.adversarial,
        optimizers,
        step.schedulers,
        step.regularizers,
        augmented,
        tap=_tap_in_words(model),
        pixel_range=model.pixel_range,
        information_trains=sorted(step.information_trains),
        d_steps=step.d_steps,
        g_steps=step.g_steps,
        joint_batches=step.joint_batches,
        accumulation_steps=step.accumulation_steps,
        precision=step.precision.name,
        tf32=step.precision.tf32,
        sync_batchnorm=step.engine.sync_batchnorm,
        frozen=count_frozen(model),
        device=next(model.parameters()).device.type,
        ema_decay=ema_decay(model.ema_generator),
        seed=seed,
    )
    states = OptimizerState([*optimizers.values()])
    return RunLedger(step, states, streams, position, history, settings, queue=queue, augmented=augmented)

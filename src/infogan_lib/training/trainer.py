"""The trainer: data, devices, precision, averaging and callbacks around the step. It owns no maths."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from infogan_lib._checks import describe, real_number, whole_number
from infogan_lib.latent import LatentSpec
from infogan_lib.losses.adversarial import AdversarialLoss, NonSaturating
from infogan_lib.model import InfoGAN
from infogan_lib.networks.forms import DiscriminatorOutput, GeneratorInput, placement
from infogan_lib.networks.taps import Tap
from infogan_lib.pixels import PixelRange, as_float
from infogan_lib.pixels import pixel_range as checked_range
from infogan_lib.regularizers import Regularizer
from infogan_lib.training.data import Batches, TensorBatches, images_of, open_batches
from infogan_lib.training.history import History
from infogan_lib.training.optimizers import OptimizerChoice, build_optimizers
from infogan_lib.training.precision import Precision, PrecisionName
from infogan_lib.training.randomness import RandomStreams
from infogan_lib.training.step import InfoGANStep, Trained, trained_parts
from infogan_lib.training.validation import check_images, check_kind, check_last_batch, warn_of_reach

_UNKNOWN_REACH: PixelRange = (-1.0, 1.0)
"""What bytes are mapped onto where the generator's last activation does not say."""


class Callback:
    """What `InfoGANTrainer.fit` tells of; subclass it and override what you need."""

    def on_fit_start(self, trainer: "InfoGANTrainer", total_steps: int | None) -> None:
        """Before the first step. `total_steps` is what `trainer.steps` will be at the end, where that is known."""

    def on_step_end(self, trainer: "InfoGANTrainer", figures: Mapping[str, float]) -> None:
        """After every step, with its figures; `trainer.steps` counts it already."""

    def on_epoch_end(self, trainer: "InfoGANTrainer") -> None:
        """After every whole epoch; `trainer.epochs` counts it already."""

    def on_fit_end(self, trainer: "InfoGANTrainer") -> None:
        """After the last step, also when an error ended the run."""


class InfoGANTrainer:
    """Trains a generator and a discriminator into an InfoGAN.

    Args:
        generator, discriminator, latent, q_head, q_network, tap, generator_input, discriminator_output: the parts,
            as `InfoGAN` takes them.
        adversarial: the GAN's game, `NonSaturating()` by default.
        information_trains: what the information loss trains, of "generator", "q_head" and "trunk" (the layers of D
            that Q reads through). None for all that there are.
        g_optimizer, d_optimizer, q_optimizer: your own optimisers, or functions that make one of a list of
            parameters. None for Adam. An optimiser for G that holds Q's parameters too serves both.
        lr_g, lr_d, lr_q: Adam's learning rates; 1e-3 for G, 2e-4 for D, and for Q that of G's Adam, or 1e-3 where G has
            an optimiser of yours.
        betas: Adam's, (0.5, 0.999).
        d_steps: G and Q are updated at every `d_steps`-th step only.
        g_steps: how often G and Q are updated in such a step, each time with new latents.
        accumulate: into how many parts a batch is split, to save memory; the gradients add up to the batch's, except
            that what looks at a whole batch (BatchNorm, `RealImageInformation`) sees its part only.
        regularizers: further terms about real images, such as `RealImageInformation("digit")`.
        ema_decay: of the averaged generator that `model.sample` then uses, such as 0.999. None for none.
        precision: "fp32", or the networks under autocast with "bf16" or "fp16".
        pixel_range: what uint8 data is mapped onto; G's own reach if None, and (-1, 1) where it has none.
        augment: applied to every batch of real images, as ``augment(images, generator)``.
        device: "auto" for CUDA where there is one, else the CPU; or any torch device.
        seed: of latents, data order and augmentation, each with its own stream. The library neither reads nor seeds
            torch's global generator; dropout in your networks and a shuffling DataLoader of yours do read it.

    Attributes:
        model: the `InfoGAN`, to sample from, encode with and traverse.
        history: the figures of all steps.
        steps, epochs: how many have been made.

    Raises:
        TypeError, ValueError: arguments that cannot work, before anything is trained.

    Source: Chen et al., InfoGAN, NeurIPS 2016, equation 6 and appendix C (Adam and its rates).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: LatentSpec,
        *,
        q_head: nn.Module | None = None,
        q_network: nn.Module | None = None,
        tap: str | Tap | None = None,
        generator_input: GeneratorInput | Literal["auto"] = "auto",
        discriminator_output: DiscriminatorOutput | Literal["auto"] = "auto",
        adversarial: AdversarialLoss | None = None,
        information_trains: Iterable[Trained] | None = None,
        g_optimizer: OptimizerChoice = None,
        d_optimizer: OptimizerChoice = None,
        q_optimizer: OptimizerChoice = None,
        lr_g: float | None = None,
        lr_d: float | None = None,
        lr_q: float | None = None,
        betas: tuple[float, float] | None = None,
        d_steps: int = 1,
        g_steps: int = 1,
        accumulate: int = 1,
        regularizers: Sequence[Regularizer] = (),
        ema_decay: float | None = None,
        precision: PrecisionName = "fp32",
        pixel_range: PixelRange | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        device: torch.device | str = "auto",
        seed: int = 0,
    ) -> None:
        self._seed = whole_number("seed", seed, minimum=0)
        self.device = chosen_device(device)
        for module in (generator, discriminator, q_head, q_network):
            if isinstance(module, nn.Module):
                module.to(self.device)
        self.model = InfoGAN(
            generator,
            discriminator,
            latent,
            q_head=q_head,
            q_network=q_network,
            tap=tap,
            generator_input=generator_input,
            discriminator_output=discriminator_output,
            seed=seed,
        ).to(self.device)
        if pixel_range is not None:
            self.model.pixel_range = checked_range(pixel_range)
        if adversarial is not None and not isinstance(adversarial, AdversarialLoss):
            hint = f"; did you mean {adversarial.__name__}()?" if isinstance(adversarial, type) else ""
            raise TypeError(f"adversarial must be an AdversarialLoss, but got {describe(adversarial)}{hint}")
        if augment is not None and not callable(augment):
            raise TypeError(f"augment must be a function of images and a generator, but got {describe(augment)}")
        self._streams = RandomStreams(self._seed, self.device)
        self._augment = augment
        self._d_steps = whole_number("d_steps", d_steps, minimum=1)
        self._g_steps = whole_number("g_steps", g_steps, minimum=1)
        trains = trained_parts(information_trains, self.model)
        d_optimizers, g_optimizers = build_optimizers(
            self.model,
            trains,
            g_optimizer=g_optimizer,
            d_optimizer=d_optimizer,
            q_optimizer=q_optimizer,
            lr_g=lr_g,
            lr_d=lr_d,
            lr_q=lr_q,
            betas=betas,
        )
        self._step = InfoGANStep(
            self.model,
            d_optimizers,
            g_optimizers,
            adversarial=adversarial or NonSaturating(),
            information_trains=trains,
            precision=Precision(precision, self.device),
            accumulate=whole_number("accumulate", accumulate, minimum=1),
            regularizers=checked_regularizers(regularizers, latent),
            augmentation=self._streams["augmentation"],
        )
        if ema_decay is not None:
            self.model.averaged_generator = averaged(self.model.generator, ema_decay)
        self._dtype = placement(self.model.generator)[1]
        self._batch_norm = _has_batch_norm(self.model)
        self._smallest_batch = (2 if self._batch_norm else 1) * self._step.accumulate
        self.history = History()
        self.epochs = 0
        self._passes = 0

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return self._step.count

    def fit(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int = 128,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train for so many more epochs or steps.

        Args:
            data: a Tensor of images (N, *image_shape), which is kept on the device; a Dataset; a DataLoader; or any
                iterable of batches. A batch is a Tensor of images or a tuple or list that starts with one. uint8
                images are mapped onto `pixel_range`; floats are taken as they are.
            epochs, steps: give exactly one. Steps run over as many epochs as they need.
            batch_size: of a Tensor or Dataset; a loader or iterable brings its own.
            callbacks: told of the run's progress, in order.

        Returns:
            The history of all steps so far.

        Raises:
            TypeError, ValueError: data that cannot be trained on, before the first step.
            NonFiniteLossError: before the update that it would have spoiled.
        """
        if (epochs is None) == (steps is None):
            raise ValueError(f"give either epochs or steps to fit, but got epochs={epochs} and steps={steps}")
        last_epoch = None if epochs is None else self.epochs + whole_number("epochs", epochs, minimum=1)
        last_step = None if steps is None else self.steps + whole_number("steps", steps, minimum=1)
        batch_size = whole_number("batch_size", batch_size, minimum=1)
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be Callback objects, but got {describe(callback)}")
        source = open_batches(data, batch_size=batch_size, seed=self._seed, device=self.device)
        if isinstance(data, DataLoader):
            check_last_batch(data, self._smallest_batch)
        if isinstance(data, Tensor):
            check_images(data, self.model.image_shape)
            warn_of_reach(data, self._bytes_onto, self.model.reach)
        if last_step is None and last_epoch is not None and source.per_epoch is not None:
            total = self.steps + source.per_epoch * (last_epoch - self.epochs)
        else:
            total = last_step
        self.model.train()
        with ExitStack() as ending:
            for callback in callbacks:
                ending.callback(callback.on_fit_end, self)
                callback.on_fit_start(self, total)
            while self.epochs != last_epoch and self.steps != last_step:
                self._run_epoch(source, last_step, callbacks)
        return self.history

    def _run_epoch(self, source: Batches, last_step: int | None, callbacks: Sequence[Callback]) -> None:
        before, started = self.steps, time.perf_counter()
        # Each pass has an order of its own, also one that ended early, so that short fits see all of the data.
        self._passes += 1
        for images in source.epoch(self._passes - 1):
            if self.steps == before and not isinstance(source, TensorBatches):
                check_images(images, self.model.image_shape)
                warn_of_reach(images, self._bytes_onto, self.model.reach)
            figures = self.step(images)
            ended = time.perf_counter()
            speed = {"images_per_second": len(images) / (ended - started)}
            started = ended
            self.history.record(self.steps, speed)
            figures |= speed
            for callback in callbacks:
                callback.on_step_end(self, figures)
            if self.steps == last_step:
                if self.steps - before != source.per_epoch:
                    return
                break  # a whole epoch, also where the loader gives more batches than its length says
        if self.steps == before:
            raise ValueError(
                f"data gave no batch in epoch {self.epochs}; an iterator that is used up cannot begin again: "
                "give a list, a DataLoader or another iterable that can"
            )
        self.epochs += 1
        self.history.epochs.append(self.steps)
        for callback in callbacks:
            callback.on_epoch_end(self)

    def step(self, batch: Any) -> dict[str, float]:
        """Make one step on a batch, for those who own their loop.

        Args:
            batch: images (N, *image_shape), or a tuple or list that starts with them.

        Returns:
            The step's figures: "loss/d", "loss/g" and "loss/information" (weighted), "nll/CODE", "bound/CODE" (nats)
            and "bound_fraction/CODE" (of H(c)) for each code, or "mse/CODE"; "d_real", D(x); "d_fake_before" and
            "d_fake_after", D(G(z)) before and after D's update; "grad_norm/d" and "grad_norm/g". What concerns G
            is there in the steps that update it.

        Raises:
            ValueError: images of another shape, too few for batch normalisation, or not finite.
            NonFiniteLossError: before the update that it would have spoiled.
        """
        images = images_of(batch)
        check_kind(images, self.model.image_shape)
        if len(images) < self._smallest_batch:
            why = ", as BatchNorm needs 2 in each part" if self._batch_norm else ""
            raise ValueError(
                f"a batch of {len(images)} images is too small: with accumulate={self._step.accumulate} a step takes "
                f"at least {self._smallest_batch}{why}; if it is a loader's last batch, use drop_last=True"
            )
        if images.dtype == torch.uint8 and self.model.pixel_range is None:
            self.model.pixel_range = _UNKNOWN_REACH
        real = as_float(images.to(self.device, non_blocking=True), self._bytes_onto, self._dtype)
        if not real.isfinite().all():
            raise ValueError(f"the batch of step {self.steps} holds NaN or infinite values; clean the data")
        if self._augment is not None:
            real = self._augment(real, self._streams["augmentation"])
            check_kind(real, self.model.image_shape)
        updates = self._g_steps if (self.steps + 1) % self._d_steps == 0 else 0
        figures = self._step(real, self._draw, generator_updates=updates)
        self.history.record(self.steps, figures)
        return figures

    def _draw(self, n: int) -> Tensor:
        return self.model.latent.sample(n, generator=self._streams["latents"], device=self.device, dtype=self._dtype)

    @property
    def _bytes_onto(self) -> PixelRange:
        return self.model.pixel_range or _UNKNOWN_REACH


def chosen_device(device: torch.device | str) -> torch.device:
    """The device asked for; for "auto" CUDA where there is one, else the CPU.

    Raises:
        ValueError: no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device must be 'auto' or a device of this machine such as 'cpu', but got {device!r}: {error}"
        ) from error
    return found


def checked_regularizers(regularizers: Any, latent: LatentSpec) -> tuple[Regularizer, ...]:
    """The regularisers, each fit for the latent."""
    found = tuple(regularizers) if isinstance(regularizers, Iterable) else (regularizers,)
    names = [getattr(regularizer, "name", None) for regularizer in found]
    for regularizer in found:
        if not isinstance(regularizer, Regularizer):
            raise TypeError(f"regularizers must be Regularizer objects, but got {describe(regularizer)}")
        regularizer.check(latent)
        if names.count(regularizer.name) > 1:
            raise ValueError(f"two regularisers are named {regularizer.name!r}; give one of them another name")
    return found


def averaged(generator: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a generator, buffers included."""
    decay = real_number("ema_decay", decay, above=0)
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


class _MovingAverage:
    """Torch's moving average as an object that can be pickled, which its closure cannot."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averages: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(averages, current, count)


def _has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())

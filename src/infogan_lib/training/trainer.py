"""The trainer: data, devices, precision, averaging and callbacks around the step. It owns no maths."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from infogan_lib._checks import check_bool, check_int, describe
from infogan_lib.checkpoints.state import OptimizerState, StateList
from infogan_lib.data.dataset import images_of
from infogan_lib.data.pixels import UNKNOWN_RANGE, PixelRange, as_float
from infogan_lib.data.pixels import pixel_range as checked_range
from infogan_lib.data.rng import GlobalRandomness, RandomStreams
from infogan_lib.data.sources import open_batches
from infogan_lib.data.stream import DataStream, Position
from infogan_lib.data.validation import check_images, check_kind, check_last_batch, warn_range_mismatch
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.adversarial import AdversarialLoss, NonSaturating
from infogan_lib.model.adapters import DiscriminatorOutput, GeneratorInput
from infogan_lib.model.ema import make_ema
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.model.introspection import device_and_dtype, has_batch_norm
from infogan_lib.model.state import ModelState
from infogan_lib.model.tap import Tap
from infogan_lib.regularizers.base import Regularizer, checked_regularizers
from infogan_lib.training.callbacks import Callback, stateful_among
from infogan_lib.training.history import History
from infogan_lib.training.loop import FitLoop
from infogan_lib.training.optimizers import OptimizerChoice, Trained, build_optimizers, build_schedulers, trained_parts
from infogan_lib.training.precision import Precision, PrecisionName, chosen_device
from infogan_lib.training.resume import Resume, Run, RunOptions, Runs
from infogan_lib.training.settings import run_settings
from infogan_lib.training.signals import StopSignals
from infogan_lib.training.step import InfoGANStep


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
        schedule: a function that makes a torch `LRScheduler` of an optimiser; each optimiser gets one, and it is
            stepped after every step.
        d_steps: G and Q are updated at every `d_steps`-th step only.
        g_steps: how often G and Q are updated in such a step, each time with new latents.
        joint_batches: whether D and Q are shown real and generated images in one batch, for a D with layers that look
            at a whole batch, such as BatchNorm: they then treat both kinds alike, and in evaluation as in training. By
            default each kind has a batch of its own, as in the DCGAN paper. D then holds the activations of both at
            once, and G's update has D look at the real images as well.
        accumulate: into how many parts a batch is split, to save memory; the gradients add up to the batch's, except
            that what looks at a whole batch (BatchNorm, `RealImageInformation`, `ModeSeeking`) sees its part only.
        regularizers: further terms about real images, such as `RealImageInformation("digit")`, or generated ones, such
            as `ModeSeeking(after=500)`.
        ema_decay: of the averaged generator that `model.sample` then uses, such as 0.999. None for none.
        precision: "fp32", or the networks under autocast with "bf16" or "fp16".
        pixel_range: what uint8 data is mapped onto; G's own reach if None, and (-1, 1) where it has none.
        augment: applied to every batch of real images, as ``augment(images, generator)``.
        device: "auto" for CUDA where there is one, else the CPU; or any torch device.
        seed: of latents, data order and augmentation, each with its own stream. What the items of a Dataset draw at
            random is seeded from it as well, epoch by epoch and batch by batch. Dropout in your networks and a
            shuffling DataLoader of yours draw from torch's global generator, which the library does not seed.

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
        schedule: Callable[[Optimizer], LRScheduler] | None = None,
        d_steps: int = 1,
        g_steps: int = 1,
        joint_batches: bool = False,
        accumulate: int = 1,
        regularizers: Sequence[Regularizer] = (),
        ema_decay: float | None = None,
        precision: PrecisionName = "fp32",
        pixel_range: PixelRange | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        device: torch.device | str = "auto",
        seed: int = 0,
    ) -> None:
        self._seed = check_int("seed", seed, minimum=0)
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
        self._streams = RandomStreams(self._seed, self.device, ("latents", "augmentation", "regularization"))
        self._augment = augment
        self._d_steps = check_int("d_steps", d_steps, minimum=1)
        self._g_steps = check_int("g_steps", g_steps, minimum=1)
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
        self._schedulers = build_schedulers(schedule, d_optimizers + g_optimizers)
        found = checked_regularizers(regularizers, latent)
        self._step = InfoGANStep(
            self.model,
            d_optimizers,
            g_optimizers,
            adversarial=adversarial or NonSaturating(),
            information_trains=trains,
            precision=Precision(precision, self.device),
            joint_batches=check_bool("joint_batches", joint_batches),
            accumulate=check_int("accumulate", accumulate, minimum=1),
            regularizers=found,
            augmentation=self._streams["augmentation"],
            regularization=self._streams["regularization"],
        )
        if ema_decay is not None:
            self.model.ema_generator = make_ema(self.model.generator, ema_decay)
        self._dtype = device_and_dtype(self.model.generator)[1]
        self._batch_norm = has_batch_norm(self.model)
        self._smallest_part = max([2 if self._batch_norm else 1, *(r.min_batch_size for r in found)])
        self._smallest_batch = self._smallest_part * self._step.accumulate
        self.history = History()
        self._position = Position()
        optimizers = OptimizerState(d_optimizers + g_optimizers)
        parts = {
            "model": ModelState(self.model),
            "optimizers": optimizers,
            "schedulers": StateList(self._schedulers),
            "step": self._step,
            "streams": self._streams,
            "global_randomness": GlobalRandomness(self.device),
            "position": self._position,
            "history": self.history,
        }
        settings = run_settings(
            latent,
            self._step.adversarial,
            d_optimizers + g_optimizers,
            self._schedulers,
            found,
            tap=str(tap),
            augmented=augment is not None,
            pixel_range=self.model.pixel_range,
            information_trains=sorted(trains),
            d_steps=self._d_steps,
            g_steps=self._g_steps,
            joint_batches=self.joint_batches,
            accumulate=self._step.accumulate,
            ema_decay=ema_decay,
            precision=precision,
            device=self.device.type,
            seed=self._seed,
        )
        held = [*self.model.parameters(), *self.model.buffers()]
        size = sum(tensor.numel() * tensor.element_size() for tensor in held)
        self._runs = Runs(parts, self._position, optimizers, settings, lambda: self.steps, size)

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return self._step.count

    @property
    def adversarial(self) -> AdversarialLoss:
        """The GAN's game."""
        return self._step.adversarial

    @property
    def joint_batches(self) -> bool:
        """Whether D and Q are shown real and generated images in one batch."""
        return self._step.joint_batches

    @property
    def epochs(self) -> int:
        """How many passes over the data were completed."""
        return self._position.epochs

    def fit(
        self,
        data: Any,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        callbacks: Sequence[Callback] = (),
        run_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        keep_checkpoints: int | None = None,
        resume: Resume = "auto",
    ) -> History:
        """Train for so many more epochs or steps.

        With `run_dir` the run is saved at its beginning and end, every so many steps, and at a SIGINT (Ctrl-C), SIGTERM
        or SIGHUP, after which the program ends with exit status 130, 143 or 129 (a notebook with KeyboardInterrupt).
        The same program started again goes on from the last checkpoint; on a CPU, and with data that comes again as it
        came before, to the last bit as if it had never stopped. It passes over calls of `fit` that were completed, and
        counts epochs and steps from where a call first began: to train further, ask for more. Without `run_dir` Ctrl-C
        raises KeyboardInterrupt after the step.

        Args:
            data: a Tensor of images (N, *image_shape), which is kept on the device; a Dataset; a DataLoader; or any
                iterable of batches. A batch is a Tensor of images or a tuple or list that starts with one. uint8
                images are mapped onto `pixel_range`; floats are taken as they are.
            epochs, steps: give exactly one. Steps run over as many epochs as they need.
            batch_size: of a Tensor or Dataset; a loader or iterable brings its own.
            num_workers: how many processes make the batches of a Dataset; 0 for none beside this one.
            callbacks: told of the run's progress, in order.
            run_dir: the run's folder, for one trainer at a time. None to save nothing.
            checkpoint_every: save after every so many steps, 500 if None.
            keep_checkpoints: how many of the newest checkpoints stay, 2 if None.
            resume: "auto" to go on with what is in `run_dir`; False to refuse a folder that holds a run; or a run
                folder or checkpoint from which a run in `run_dir` begins, with other rates and losses if you like.

        Returns:
            The history of all steps so far.

        Raises:
            TypeError, ValueError: data that cannot be trained on, before the first step; with `run_dir`, also data in
                which a place cannot be found again.
            CheckpointError: a checkpoint that cannot be used or written, a run with other settings, a folder in which
                another trainer is at work. What was saved before is still there.
            NonFiniteLossError: a loss turned NaN or infinite; the weights are those of the step before, and the
                checkpoints stay. The same settings would meet it again: begin from a checkpoint with others.
        """
        if (epochs is None) == (steps is None):
            raise ValueError(f"give either epochs or steps to fit, but got epochs={epochs} and steps={steps}")
        more_epochs = None if epochs is None else check_int("epochs", epochs, minimum=1)
        more_steps = None if steps is None else check_int("steps", steps, minimum=1)
        batch_size = check_int("batch_size", batch_size, minimum=1)
        num_workers = check_int("num_workers", num_workers, minimum=0)
        stateful = stateful_among(callbacks)
        options = RunOptions.checked(run_dir, checkpoint_every, keep_checkpoints, resume)
        source = open_batches(data, batch_size=batch_size, num_workers=num_workers, seed=self._seed, device=self.device)
        if source.no_position and (options.run_dir is not None or isinstance(options.resume, Path)):
            raise ValueError(f"a run that can be resumed needs data with a position: {source.no_position}")
        if isinstance(data, DataLoader):
            check_last_batch(data, self._smallest_batch)
        if isinstance(data, Tensor):
            self._check_batch(data)
        stream = DataStream(source, self._position)
        with ExitStack() as ending:
            run = ending.enter_context(Run(self._runs, options, stream, stateful))
            if not run.resume():
                return self.history
            step, epoch = self._position.begin_fit(self._runs.finished, self.steps)
            last_step = None if more_steps is None else step + more_steps
            last_epoch = None if more_epochs is None else epoch + more_epochs
            total = last_step
            if last_epoch is not None and source.expected is not None:
                total = self.steps - self._position.offset + source.expected * (last_epoch - self.epochs)
            self.model.train()
            for callback in callbacks:
                ending.callback(callback.on_fit_end, self)
                callback.on_fit_start(self, total)
            run.save()
            stop = ending.enter_context(StopSignals(saves=run.saves))
            check = None if isinstance(data, Tensor) else self._check_batch  # a tensor was looked at as a whole
            FitLoop(self, stream, callbacks, run, stop, check).until(last_step, last_epoch)
        return self.history

    def _check_batch(self, images: Tensor) -> None:
        check_images(images, self.model.image_shape)
        warn_range_mismatch(images, self._bytes_onto, self.model.output_range)

    def save_checkpoint(self, folder: str | os.PathLike[str]) -> None:
        """Save everything the next step depends on, for those who own their loop; `fit` does this by itself.

        Args:
            folder: made where there is none; an earlier checkpoint in it is replaced in one piece.

        Raises:
            CheckpointError: a fault of the disk; what was saved before is still there.
        """
        self._runs.save(Path(folder))

    def load_checkpoint(self, folder: str | os.PathLike[str]) -> None:
        """Go on from what `save_checkpoint` saved, or from a run folder or checkpoint of `fit`.

        Raises:
            CheckpointError: damage, other settings or other networks; the trainer is then as it was.
        """
        self._runs.load(Path(folder))

    def step(self, batch: Any) -> dict[str, float]:
        """Make one step on a batch, for those who own their loop.

        Args:
            batch: images (N, *image_shape), or a tuple or list that starts with them.

        Returns:
            The step's figures: "loss/d", "loss/g" and "loss/information" (weighted), "nll/CODE", "bound/CODE" (nats)
            and "bound_fraction/CODE" (of H(c)) for each code, or "mse/CODE"; "d_real", D(x); "d_fake_before" and
            "d_fake_after", D(G(z)) before and after D's update; "grad_norm/d" and "grad_norm/g"; and
            "regularizer/NAME". What concerns G is there in the steps that update it.

        Raises:
            ValueError: images of another shape, too few for batch normalisation or a regulariser, or not finite.
            NonFiniteLossError: a loss, a gradient or a weight is NaN or infinite; the step is not made, and weights,
                buffers, optimisers and the library's streams of randomness are as they were before it.
        """
        images = images_of(batch)
        check_kind(images, self.model.image_shape)
        if len(images) < self._smallest_batch:
            needs = "BatchNorm" if self._batch_norm else "a regulariser"
            why = f", as {needs} needs {self._smallest_part} in each part" if self._smallest_part > 1 else ""
            raise ValueError(
                f"a batch of {len(images)} images is too small: with accumulate={self._step.accumulate} a step takes "
                f"at least {self._smallest_batch}{why}; if it is a loader's last batch, use drop_last=True"
            )
        if images.dtype == torch.uint8 and self.model.pixel_range is None:
            self.model.pixel_range = UNKNOWN_RANGE
        real = as_float(images.to(self.device, non_blocking=True), self._bytes_onto, self._dtype)
        if not real.isfinite().all():
            raise ValueError(f"the batch of step {self.steps} holds NaN or infinite values; clean the data")
        updates = self._g_steps if (self.steps + 1) % self._d_steps == 0 else 0
        streams = self._streams.state_dict()
        try:
            if self._augment is not None:
                real = self._augment(real, self._streams["augmentation"])
                check_kind(real, self.model.image_shape)
            figures = self._step(real, self._draw, generator_updates=updates)
        except BaseException:
            self._streams.load_state_dict(streams)
            raise
        self._runs.has_stepped = True
        for scheduler in self._schedulers:
            scheduler.step()
        self.history.record(self.steps, figures)
        return figures

    def _draw(self, n: int) -> Tensor:
        return self.model.latent.sample(n, rng=self._streams["latents"], device=self.device, dtype=self._dtype)

    @property
    def _bytes_onto(self) -> PixelRange:
        return self.model.pixel_range or UNKNOWN_RANGE

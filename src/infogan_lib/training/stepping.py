"""The steps of a trainer, for those who own their loop: launched on batches, and read in order, at once or later."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from infogan_lib._checks import check_int, check_tensor
from infogan_lib._html import table
from infogan_lib._warnings import warn
from infogan_lib.data.batch_images import to_tensor
from infogan_lib.data.dataset import Reader
from infogan_lib.data.labels import Batch, LabeledBatch, as_floats, images_of
from infogan_lib.data.pixels import UNKNOWN_RANGE
from infogan_lib.data.rng import RandomStreams, derive_seed
from infogan_lib.data.stream import Position
from infogan_lib.data.transfer import Transfer
from infogan_lib.data.validation import BatchLimits, check_images, check_shape_and_dtype
from infogan_lib.distributed import Processes
from infogan_lib.losses import AdversarialLoss, PairedAdversarialLoss
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.resume.ledger import RunLedger
from infogan_lib.step.optimizers import Part
from infogan_lib.step.precision import ContextState
from infogan_lib.step.replicas import check_first_batch
from infogan_lib.step.step import InfoGANStep
from infogan_lib.step.supervision import MissingLabels
from infogan_lib.step.whole_step import StepQueue
from infogan_lib.training.assembly import count_frozen, is_own, settle_pixel_range
from infogan_lib.training.pretraining import Pretraining, QStarts, check_starts
from infogan_lib.training.summary import summarize, summary_rows


class Stepper(ABC):
    """What `InfoGANTrainer` does with one batch; its attributes are the trainer's."""

    model: InfoGAN
    device: torch.device
    distributed: Processes
    optimizers: dict[str, torch.optim.Optimizer]
    schedulers: list[LRScheduler]
    streams: RandomStreams
    _step: InfoGANStep
    _queue: StepQueue
    _position: Position
    _batches: BatchLimits
    _ledger: RunLedger
    _dtype: torch.dtype
    _transfer: Transfer
    _read_batch: Reader
    _parameters: list[nn.Parameter]
    _places: list[tuple[dict[str, Any], str, Any]]  # of layers and parameters when they were last looked at
    _kinds: list[tuple[bool, torch.dtype]] | None = None  # whether each parameter required gradients then
    _missing_labels: MissingLabels
    _seed: int
    _has_settled_range = False
    _has_warned_of_eval_mode = False
    _has_checked_processes = False
    _fitting_thread: int | None = None  # the one that is in a call of `fit`

    @property
    def steps(self) -> int:
        """How many steps have been made and read."""
        return self._queue.steps

    @property
    def epochs(self) -> int:
        """The number of completed epochs."""
        return self._position.epochs

    @property
    def is_resumed(self) -> bool:
        """Whether the run was begun before: steps were made, or it has a checkpoint of step 0; for callbacks."""
        return self.steps > 0 or bool(self._ledger.folders)

    @property
    def launched(self) -> int:
        """How many steps have been launched; at most two more than `steps`."""
        return self._step.count

    @property
    def last_batch(self) -> Tensor | None:
        """The real images of the last step read, on the device and before `augment`; None before the first."""
        return self._queue.last_batch

    @property
    def adversarial(self) -> AdversarialLoss | PairedAdversarialLoss:
        """The adversarial loss."""
        return self._step.adversarial

    @property
    def information_trains(self) -> frozenset[Part]:
        """The parts that the information loss trains."""
        return self._step.information_trains

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """The loss scaler; it does something with `Engine(precision="fp16")` only."""
        return self._step.precision.scaler

    @property
    def joint_batches(self) -> bool:
        """Whether D and Q see real and generated images in one batch."""
        return self._step.joint_batches

    def summary(self) -> str:
        """The networks and their numbers of parameters, where Q reads, the losses, the precision and the device."""
        return summarize(self._step, self.optimizers, self.device)

    @override
    def __repr__(self) -> str:
        return f"InfoGANTrainer({self.steps} steps made on {self.device}, latent={self.model.latent!r})"

    def _repr_html_(self) -> str:
        made = ("made so far", f"{self.steps:,} steps, {self.epochs:,} epochs")
        return table([made, *summary_rows(self._step, self.optimizers, self.device).items()])

    def step(self, batch: Any) -> dict[str, float]:
        """Make one step on a batch, for those who own their loop. Networks stay in their mode, as always in torch.

        Call `trainer.model.train()` before the loop, and again after `eval()`; a step in eval mode warns once.

        Args:
            batch: Images (N, *image_shape); a tuple or list that starts with them; or a dict with no other images. With
                a `Label`, (images, labels), or a dict with one tensor of integers. With several processes, the whole
                batch in each of them.

        Returns:
            The step's metrics: "loss/d", "loss/g" and "loss/information" (weighted), "nll/CODE", "bound/CODE" (nats)
            and "bound_fraction/CODE" (of H(c)) for each code, or "mse/CODE"; "supervision/CODE" for each `Label`, the
            cross-entropy of the known labels, 0 without one; "d_real", D(x); "d_fake_before" and
            "d_fake_after", D(G(z)) before and after D's update; "grad_norm/d" and "grad_norm/g"; and
            "regularizer/NAME". What concerns G is there in the steps that update it.

        Raises:
            ValueError: images of another shape, too few for BatchNorm or a regularizer, or not finite.
            NonFiniteLossError: a loss, a gradient or a weight is NaN or infinite; the step is rolled back, and weights,
                buffers, optimizers, schedulers and the trainer's random streams are as they were before it.
        """
        self._check_not_fitting("step", elsewhere=True)
        launched = self.launched
        try:
            with self.distributed.together():
                self.launch(batch)
                return self.read()
        except BaseException:
            self._queue.roll_back(launched)
            raise

    def pretrain_q(self, images: Any, *, steps: int = 300, starts: int = 5, batch_size: int = 128) -> QStarts:
        """Train Q on real images alone, before the first step, so that fewer classes share a category.

        Q and the layers of D that it reads through are begun several times and trained by the trainer's terms about
        real images: once from the weights that they have, then each time from these in another order, which are weights
        of the same distribution. They are left as in the start whose categories agree most with those of the others.
        Everything else is as before: what is frozen, the rest of D, G, the optimizers' states, all random streams. For
        a D that has learned something already give one start, or freeze its layers. A program that calls `fit` gives it
        `callbacks=[PretrainQ(images)]` instead, which a resumed run passes over.

        Args:
            images: A Tensor or array of images (N, *image_shape) as for `fit`, of which some thousands are enough.
            steps: The number of steps of each start, at the rates that the optimizers have now.
            starts: The number of starts: 1, or at least 3.
            batch_size: The number of images in a step.

        Returns:
            How much the starts agree, and which one is kept.

        Raises:
            TypeError: images or an argument of another type.
            ValueError: images that do not fit the model, a number that is too small, or no `RealImageInformation`
                from the first step on.
            NonFiniteLossError: what Q says of the images turned NaN or infinite; Q is as it was.
            RuntimeError: a step was made already.
        """
        self._check_not_fitting("pretrain_q", elsewhere=True)
        if self.launched:
            raise RuntimeError(
                f"Q is pretrained before the first step, and this trainer has made {self.launched:,}; make another "
                "trainer, of the same model if you like"
            )
        sizes = {"steps": check_int("steps", steps, minimum=1), "starts": check_starts(starts)}
        sizes["batch_size"] = check_int("batch_size", batch_size, minimum=1)
        self._batches.check(batch_size)
        images = check_tensor("images", to_tensor(images))
        self._check_data(images)
        self._train_what_learns()
        to_range = self.model.pixel_range or UNKNOWN_RANGE

        def to_floats(x: Tensor) -> Tensor:
            return images_of(as_floats(x, self._transfer, to_range, self._dtype))

        found = Pretraining(self._step, self.streams, to_floats).run(
            images, **sizes, seed=derive_seed(self._seed, "pretrain_q")
        )
        self.distributed.share([*self.model.parameters(), *self.model.buffers()])
        return found

    def launch(self, batch: Any) -> None:
        """Launch a step without waiting for the device; `read` gives its metrics, and until then `steps` leaves it out.

        Args:
            batch: As for `step`.

        Raises:
            ValueError: images of another shape, or too few for BatchNorm or a regularizer.
            RuntimeError: two steps are waiting to be read already.
        """
        self._check_not_fitting("launch", elsewhere=True)
        real = self._read_batch(batch)
        images = images_of(real)
        check_shape_and_dtype(images, self.model.image_shape)
        self._batches.check(len(images))
        self._warn_of_eval_mode()
        self._train_unfrozen()
        if isinstance(real, LabeledBatch):
            self._missing_labels.watch(real.labels)
        if not self._has_settled_range:
            settle_pixel_range(self.model, images)
            self._has_settled_range = True
        to_range = self.model.pixel_range or UNKNOWN_RANGE
        real = as_floats(real, self._transfer, to_range, self._dtype)
        if self.distributed.world_size > 1 and not self._has_checked_processes:
            check_first_batch(self.distributed, self.model, self._step.precision, real)
            self._has_checked_processes = True
        self._queue.launch(real, self._draw)
        self._ledger.has_stepped = True

    def _train_unfrozen(self) -> None:
        """Train what requires gradients now, which may have changed since the last step, as may all parts."""
        kinds = [(parameter.requires_grad, parameter.dtype) for parameter in self._parameters]
        is_same = kinds == self._kinds and all(place.get(name) is part for place, name, part in self._places)
        if not is_same or not is_own(self._step, self.optimizers, self.schedulers):
            if self._fitting_thread is None:  # what a callback freezes is frozen by the run itself
                self._count_frozen()
            self._train_what_learns()
            if self._step.graphs is not None:
                self._step.graphs.look_again()
            places = [place for module in self.model.modules() for place in (module._modules, module._parameters)]
            self._places = [(place, name, part) for place in places for name, part in place.items()]
            self._parameters = [*self.model.parameters()]
            self._kinds = [(parameter.requires_grad, parameter.dtype) for parameter in self._parameters]

    def _check_data(self, batch: Batch) -> None:
        images = images_of(batch)
        check_images(images, self.model.image_shape)
        settle_pixel_range(self.model, images)
        self._has_settled_range = True

    @abstractmethod
    def _train_what_learns(self) -> None:
        """Train all that requires gradients, and nothing else."""

    def _count_frozen(self) -> None:
        """Count what is frozen at the beginning of a run, which must be the same where it is resumed."""
        if self.steps == 0:
            self._ledger.settings["frozen"] = count_frozen(self.model)

    def _warn_of_eval_mode(self) -> None:
        """Warn, the first time, of a G or D in eval mode, unless it is frozen; so may be a part of it on purpose."""
        networks = {"the generator": self.model.generator, "the discriminator": self.model.discriminator}
        in_eval_mode = [
            name
            for name, network in networks.items()
            if not network.training and any(parameter.requires_grad for parameter in network.parameters())
        ]
        if in_eval_mode and not self._has_warned_of_eval_mode:
            self._has_warned_of_eval_mode = True
            warn(
                f"{' and '.join(in_eval_mode)} in eval mode: the step trains the weights, but without dropout and with "
                "the running statistics of BatchNorm, which stay as they are; call trainer.model.train() before",
            )

    def read(self) -> dict[str, float]:
        """The metrics of the earliest step that was launched and not read, once the device has computed them.

        Raises:
            ValueError: the step's batch holds values that are not finite.
            NonFiniteLossError: a loss, a gradient or a weight is NaN or infinite. In both cases everything is as it was
                before that step, and a step launched after it is dropped.
            RuntimeError: no step was launched.
        """
        return self._queue.read()

    def discard(self) -> None:
        """Roll back the steps that were launched and not read."""
        self._queue.roll_back(self.steps)

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        self._check_not_fitting("fit")
        self._check_all_read()
        self._fitting_thread, contexts = threading.get_ident(), ContextState(self.device)
        try:
            yield
        except BaseException:
            contexts.restore()  # an interrupt may come inside the end of a context, such as torch.no_grad
            raise
        finally:
            self._fitting_thread = None

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the call of `fit` under way, which a callback may copy the trainer in."""
        return self.__dict__ | {"_fitting_thread": None, "_kinds": None, "_places": []}

    def _check_not_fitting(self, name: str, *, elsewhere: bool = False) -> None:
        """Check that no callback or other thread interferes with a call of `fit`. Raises RuntimeError.

        With `elsewhere` callbacks may call this method, and only other threads may not, as they may come amid a step.
        """
        if self._fitting_thread not in ((None, threading.get_ident()) if elsewhere else (None,)):
            raise RuntimeError(
                f"{name} was called while a call of fit of this trainer is under way, by a callback or another thread; "
                "call it when that has ended, as after trainer.stop()"
            )

    def _check_all_read(self) -> None:
        """Check that no step is pending, which a checkpoint would hold in its weights and not in its count."""
        if self.launched > self.steps:
            raise RuntimeError("a step was launched and not read; call read() or discard() first")

    def _draw(self, n: int) -> Tensor:
        return self.model.latent.sample(n, rng=self.streams["latents"], device=self.device, dtype=self._dtype)

"""The trainer: data, devices, precision, averaging and callbacks around the step. It owns no maths."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Never

from torch import Tensor, nn
from torch.utils.data import DataLoader
from typing_extensions import override

from infogan_lib._checks import check_bool, check_dense, check_int, check_name, check_path, check_seed
from infogan_lib.data.batch_images import to_tensor
from infogan_lib.data.dataset import BatchSource, batch_reader
from infogan_lib.data.labels import Batch
from infogan_lib.data.rng import RandomStreams
from infogan_lib.data.sharded import Sharded
from infogan_lib.data.shared_source import share_source
from infogan_lib.data.sources import TensorSource, make_source
from infogan_lib.data.stream import DataStream, Position
from infogan_lib.data.transfer import Transfer
from infogan_lib.data.validation import BatchLimits, check_last_batch
from infogan_lib.distributed import join
from infogan_lib.history.history import History
from infogan_lib.latent import LatentSpec
from infogan_lib.losses import AdversarialLoss, PairedAdversarialLoss
from infogan_lib.model.infogan import InfoGAN
from infogan_lib.networks.introspection import device_and_dtype, has_batch_norm
from infogan_lib.regularizers.base import Regularizer
from infogan_lib.resume.checkpoint_settings import Checkpoints, as_checkpoints
from infogan_lib.resume.fit_calls import as_target
from infogan_lib.resume.session import FitSession
from infogan_lib.step.calls import Augment
from infogan_lib.step.engine import Engine
from infogan_lib.step.optimizers import (
    Optimizers,
    Part,
    check_held,
    check_information_trains,
    check_trainable,
    parameters_by_optimizer,
)
from infogan_lib.step.replicas import begin_alike, check_networks
from infogan_lib.step.step import InfoGANStep
from infogan_lib.step.step_graphs import step_graphs
from infogan_lib.step.supervision import MissingLabels
from infogan_lib.step.whole_step import StepQueue
from infogan_lib.training.arguments import (
    check_adversarial,
    check_engine,
    check_optimizers,
    refuse_positional,
    refuse_unknown_of_fit,
    refuse_unknown_of_trainer,
)
from infogan_lib.training.assembly import (
    add_ema,
    as_model,
    check_own_parts,
    make_ledger,
    parameter_kinds,
    prepare_regularizers,
)
from infogan_lib.training.callbacks import Callback, check_callbacks, stateful_among
from infogan_lib.training.loop import run_fit
from infogan_lib.training.progress import with_progress
from infogan_lib.training.stepping import Stepper

STREAMS = ("latents", "augmentation", "discriminator_augmentation", "regularization")
"""The names of the trainer's streams of random numbers."""


class InfoGANTrainer(Stepper):
    """Trains a generator and a discriminator into an InfoGAN.

    Args:
        generator: Any module that makes images from a latent, as `InfoGAN` takes it; or an `InfoGAN` in place of the
            three, such as one with a tap of its own or one that was loaded.
        discriminator: Any module that judges images, as `InfoGAN` takes it.
        latent: The noise and the codes.
        optimizers: Learning rates, optimizers and schedulers.
        engine: Device, precision and gradient accumulation.
        adversarial: The adversarial loss; `NonSaturating()` if None.
        regularizers: Further terms of D's and G's losses, such as `R1()`; () for the paper's objective alone. None for
            `default_regularizers`, with which a categorical code comes to mean categories of the real images.
        information_trains: The parts that the information loss trains, of "generator", "q_head" and "trunk" (the layers
            of D that Q reads through); all there are if None.
        d_steps: Updates of D per update of G and Q.
        g_steps: Updates of G and Q in a step that updates them, each with new latents.
        joint_batches: Whether D and Q see real and generated images in one batch. For a D with layers that look at a
            batch, such as BatchNorm: they then treat both kinds alike, and in evaluation as in training. D then holds
            the activations of both at once, also in G's update. By default each kind has a batch of its own.
        ema_decay: Decay of an average of G's weights, such as 0.999, which `model.sample` then uses; None for none.
        augment: Augmentation of real images, `(images, rng) -> images`, once per batch.
        discriminator_augment: Likewise, of all images that D and Q see, real and generated, with gradients through it.
        seed: Seed of the trainer's streams of random numbers (latents, data order, augmentation) and, item by item, of
            the global generators while a Dataset is read. Dropout and a shuffling DataLoader of yours are not seeded.

    Attributes:
        model: The `InfoGAN`.
        history: The metrics of all steps.
        device: The device that the networks are on.
        optimizers: The optimizers by name, "d", "g" and "q", as far as each has parameters; frozen ones are among them.
        schedulers: Their learning-rate schedulers, in the same order; none without `Optimizers(scheduler=)`.
        streams: The streams of random numbers, by name a `torch.Generator` each.
        distributed: The processes that train together; `distributed.rank` is the number of this one, of
            `distributed.world_size`.
        is_stopping: Whether `stop` was called in the call of `fit` under way, or in the last one.

    Raises:
        TypeError: an argument of another type.
        ValueError: arguments that do not fit each other, before anything is trained.
        RuntimeError: processes that were launched together and differ in their settings.

    Source: Chen et al., InfoGAN, NeurIPS 2016, equation 6 and appendix C.
    """

    def __init__(
        self,
        generator: nn.Module | InfoGAN,
        discriminator: nn.Module | None = None,
        latent: LatentSpec | None = None,
        *,
        optimizers: Optimizers | None = None,
        engine: Engine | None = None,
        adversarial: AdversarialLoss | PairedAdversarialLoss | None = None,
        regularizers: Sequence[Regularizer] | None = None,
        information_trains: Iterable[Part] | None = None,
        d_steps: int = 1,
        g_steps: int = 1,
        joint_batches: bool = False,
        ema_decay: float | None = None,
        augment: Augment | None = None,
        discriminator_augment: Augment | None = None,
        seed: int = 0,
        **unknown: Never,
    ) -> None:
        self.distributed = join()
        refuse_unknown_of_trainer(InfoGANTrainer, InfoGANTrainer.fit, unknown)
        optimizer_settings, engine_settings = check_optimizers(optimizers), check_engine(engine)
        game = check_adversarial(adversarial)
        d_steps, g_steps = check_int("d_steps", d_steps, minimum=1), check_int("g_steps", g_steps, minimum=1)
        check_bool("joint_batches", joint_batches)
        self._seed = check_seed(seed)
        self.device = engine_settings.torch_device()
        check_networks(self.distributed, engine_settings, generator, discriminator)
        model = as_model(generator, discriminator, latent, seed=seed)
        engine_settings.check_dtypes(model, self.device)
        self.model = model.to(self.device)
        add_ema(self.model, ema_decay)
        terms = prepare_regularizers(regularizers, self.model, seed=self._seed)
        self._information_trains = information_trains
        trains = check_information_trains(information_trains, self.model)
        networks = [term.network for term in terms if term.network is not None]
        self.optimizers = optimizer_settings.build(self.model, trains, networks)
        self.schedulers = optimizer_settings.build_schedulers(self.optimizers.values())
        self.streams = RandomStreams(self._seed, self.device, STREAMS)
        augmented = {"augment": augment, "discriminator_augment": discriminator_augment}
        self._step = InfoGANStep(
            self.model,
            self.optimizers,
            adversarial=game,
            information_trains=trains,
            engine=engine_settings,
            d_steps=d_steps,
            g_steps=g_steps,
            joint_batches=joint_batches,
            regularizers=terms,
            streams=self.streams,
            **augmented,
            schedulers=self.schedulers,
            processes=self.distributed,
        )
        self._step.graphs = step_graphs(self._step, self.streams)
        self._dtype = device_and_dtype(self.model.generator)[1]
        self._label_sizes = {name: code.k for name, code in self.model.latent.labels.items()}
        self._read_batch = batch_reader(self._label_sizes)
        self._missing_labels = MissingLabels(self._label_sizes)
        batch_norm = has_batch_norm(self.model)
        self._batches = BatchLimits(
            max([2 if batch_norm else 1, *(term.min_batch_size for term in terms)]),
            engine_settings.accumulation_steps,
            "BatchNorm" if batch_norm else "a regularizer",
        )
        self._transfer, self._parameters, self._places = Transfer(self.device), [*self.model.parameters()], []
        self._made_of = parameter_kinds(self.model)
        self.history, self.is_stopping = History(), False
        self._queue = StepQueue(self._step, self.history)
        self._position = Position()
        self._ledger = make_ledger(
            self._step,
            self.optimizers,
            self.streams,
            self._position,
            self.history,
            queue=self._queue,
            augmented=augmented,
            seed=self._seed,
        )
        begin_alike(self.distributed, [self.model, self._step.networks], self._ledger.settings, self.device)

    def fit(
        self,
        data: Any,
        *positional: Never,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int = 128,
        num_workers: int = 0,
        image_key: str | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
        **unknown: Never,
    ) -> History:
        """Train for a number of further epochs or steps.

        With `checkpoints` the run is saved at its beginning and end, every so many steps, and at a SIGINT (Ctrl-C),
        SIGTERM or SIGHUP, after which the program ends with exit status 130, 143 or 129 (a notebook with
        KeyboardInterrupt). The same program started again resumes from the last checkpoint; on a CPU, and with
        reproducible data, the result is bitwise identical to that of an uninterrupted run. It skips calls of `fit` that
        were completed, and counts `epochs` and `steps` from where the interrupted call began: to train further, ask
        for more. Without `checkpoints` Ctrl-C raises KeyboardInterrupt after the step.

        Args:
            data: A Tensor or array of images (N, *image_shape), which is kept on the device; a Dataset, such as
                `infogan_lib.data.ImageFolder`; a list of Pillow pictures; a DataLoader; any iterable of batches; or a
                stream in `infogan_lib.data.Sharded`. A batch is a Tensor or array of images, a tuple or list that
                starts with one, or a dict. uint8 images are mapped onto the model's `pixel_range`; floats are taken as
                they are. A `Label` needs labels.
            epochs: Passes over the data. Give exactly one of `epochs` and `steps`.
            steps: Steps, over as many epochs as they need.
            batch_size: Batch size for a Tensor or Dataset; a loader or iterable has its own. Several processes share a
                batch of this size.
            num_workers: Worker processes that load the items of a Dataset; 0 loads them in the main process.
            image_key: The images' key in items or batches that are dicts; None if only one tensor can be images.
            callbacks: Called in order.
            progress: Whether to show a `ProgressBar()`, unless there is one among the callbacks.
            checkpoints: The run's folder, or `Checkpoints(folder, every=500, keep=2, resume="auto")`; None to save
                nothing.

        Returns:
            The history of all steps so far.

        Raises:
            TypeError: data or an argument of a type that cannot be used.
            ValueError: data that cannot be trained on, before the first step; with `checkpoints`, also data in which a
                position cannot be found again.
            CheckpointError: a checkpoint that cannot be used or written, a run with other settings, or a folder that
                another trainer is using. What was saved before is still there.
            NonFiniteLossError: a loss turned NaN or infinite; weights and checkpoints are those of before.
            RuntimeError: another call of `fit` is under way, or a step was launched and not read.
        """
        if positional:
            refuse_positional(positional)
        refuse_unknown_of_fit(InfoGANTrainer.fit, unknown)
        target = as_target(epochs, steps)
        batch_size = check_int("batch_size", batch_size, minimum=1)
        num_workers = check_int("num_workers", num_workers, minimum=0)
        called, saving = check_callbacks(callbacks), as_checkpoints(checkpoints)
        check_bool("progress", progress)
        stateful = stateful_among(called)
        key = None if image_key is None else check_name("image_key", image_key)
        size = {"batch_size": batch_size, "num_workers": num_workers}
        with self._fitting(), self.distributed.together():
            arguments = {**target._asdict(), **size, "checkpoints": saving}
            names = {"callbacks": [type(callback).__name__ for callback in called]}
            self.distributed.check_settings("arguments of fit", arguments | names)
            source, check = self._source(to_tensor(data), key, size, resumable=saving is not None)
            self._count_frozen()
            self._train_what_learns()
            stream = DataStream(source, self._position)
            with closing(FitSession(self._ledger, saving, stream, stateful, self.distributed)) as session, session:
                run_fit(self, session, with_progress(called, progress), check, target)
        return self.history

    def _source(
        self, data: Any, key: str | None, size: dict[str, int], *, resumable: bool
    ) -> tuple[BatchSource, Callable[[Batch], None] | None]:
        """The source of batches, and a check of the first batch of an epoch unless all data was checked."""
        is_tensor = isinstance(data, Tensor)
        if is_tensor:
            check_dense("data", data)
        if is_tensor and data.ndim > 1 and len(data) > 0:
            self._check_data(data)
        if is_tensor and key is not None:
            raise ValueError(f"image_key={key!r} would do nothing: data is one Tensor of images")
        read = batch_reader(self._label_sizes, key)
        batches = data.batches if isinstance(data, Sharded) else data
        source = make_source(batches, **size, seed=self._seed, device=self.device, read=read)
        if source.not_resumable and resumable:
            raise ValueError(f"a run that can be resumed needs data with a position: {source.not_resumable}")
        if isinstance(batches, DataLoader):
            check_last_batch(batches, self._batches.min_batch_size)
        if isinstance(source, TensorSource) and not is_tensor:
            self._check_data(source.images)
        check = None if isinstance(source, TensorSource) else self._check_data  # a Tensor was checked as a whole
        return share_source(source, data, self._seed, self.distributed), check

    def stop(self) -> None:
        """End the call of `fit` under way after the step that is reported, as completed; for callbacks.

        A step that was launched already is rolled back.
        """
        self.is_stopping = True

    @override
    def _train_what_learns(self) -> None:
        check_own_parts(self.model, self._made_of, self._step, self.optimizers, self.schedulers)
        trains = check_information_trains(self._information_trains, self.model)
        parameters = parameters_by_optimizer(self.model, trains, self._step.networks.values())
        check_trainable(parameters)
        check_held(parameters, self.optimizers)
        self._step.train(trains)

    def save_checkpoint(self, folder: str | os.PathLike[str]) -> None:
        """Save everything the next step depends on, for those who own their loop; `fit` does this by itself.

        Args:
            folder: Made where there is none; a checkpoint in it is replaced, or stays if there is a CheckpointError.

        Raises:
            CheckpointError: an error of the disk.
            RuntimeError: a step was launched and not read, or a call of `fit` is under way in another thread.
        """
        self._check_not_fitting("save_checkpoint", elsewhere=True)
        self._check_all_read()
        path = check_path("folder", folder)
        self.distributed.from_main(lambda: self._ledger.save(path))

    def load_checkpoint(self, folder: str | os.PathLike[str]) -> None:
        """Resume from what `save_checkpoint` saved, or from a run folder or checkpoint of `fit`.

        Raises:
            CheckpointError: damage, other settings or other networks; the trainer is then as it was.
            RuntimeError: a step was launched and not read, or a call of `fit` is under way.
        """
        self._check_not_fitting("load_checkpoint")
        self._check_all_read()
        self._count_frozen()
        self._ledger.load(check_path("folder", folder))
